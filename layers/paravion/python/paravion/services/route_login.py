"""
What the names of routes' credentials stand for, read when a host is logged in to.

Most deployments have none: the secret store is opened, and domain/sasl.py loaded, when the first one is needed.
Next: adapters/smtp_client.py, which gives it to domain/smtp_auth.py.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from paravion.domain.status import MISCONFIGURED, SPOOL_UNAVAILABLE
from paravion.domain.verdict import Stage, our_outcome
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.domain.outcome import Outcome
    from paravion.domain.sasl import Credential
    from paravion.ports import Secrets


class RouteLogin:
    """
    Reads credentials; called from threads.

    Args:
        open_store: Gives the secret store; called once.
    """

    def __init__(self, open_store: Callable[[], Secrets]) -> None:
        self._open_store = open_store
        self._store: Secrets | None = None
        self._turn = threading.Lock()

    def __call__(self, name: str) -> Credential | Outcome:
        """Give the credential, or the outcome for mail that needs it: deferred. Never raises."""
        from paravion.domain.sasl import parse_credential

        try:
            # One after the other: twenty connections that open at once ask the store once, and its cache after that.
            with self._turn:
                if self._store is None:
                    self._store = self._open_store()
                text = self._store.get(f"routes/{name}")
            if text is None:
                wanted = f"There is no credential {name} (paravion routes credential add {name})"
                return our_outcome(MISCONFIGURED, wanted, Stage.AUTH)
            return parse_credential(text)
        except SecretsUnavailable:
            return our_outcome(SPOOL_UNAVAILABLE, f"The credential {name} can't be read now", Stage.AUTH)
        except ValueError:
            # Not in the error's words: they could hold a piece of the secret.
            return our_outcome(MISCONFIGURED, f"The credential {name} is malformed: add it again", Stage.AUTH)
