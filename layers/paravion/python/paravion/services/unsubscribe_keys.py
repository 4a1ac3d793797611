"""
The keys that unsubscribe links are made and read with: made with the first contact list, changed by an operator.

`validate` reads them to make links, `admin` alone writes them. A link works as long as its key is in the ring, which
is for the last ten rotations.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from paravion.domain import unsubscribe
from paravion.errors import Misconfigured
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.domain.unsubscribe import Key
    from paravion.ports import Secrets
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


def read(secrets: Secrets, *, fresh: bool = False) -> tuple[Key, ...]:
    """
    Give the ring, () when there is none yet.

    Raises:
        Misconfigured: It can't be read.
        SecretsUnavailable
    """
    text = secrets.get(unsubscribe.SECRET, fresh=fresh)
    if text is None:
        return ()
    try:
        return unsubscribe.read_keys(text)
    except ValueError as exc:
        raise Misconfigured([f"secret {unsubscribe.SECRET}: {exc}"]) from exc


def ensure(secrets: Secrets, new_token: Callable[[], str]) -> None:
    """Make the first key if there is none. Raises SecretsUnavailable, Misconfigured."""
    if not read(secrets):
        secrets.put(unsubscribe.SECRET, unsubscribe.write_keys(_with_new((), new_token)), new=True)


def rotate(principal: Principal, deps: AdminDeps) -> int:
    """
    Make a new key for new links; those made before go on working.

    Returns:
        How many keys there are.

    Raises:
        Rejected: access_denied.
        SecretsUnavailable, Misconfigured
    """
    require_operator(principal, "keys of unsubscribe links are")
    ring = _with_new(read(deps.secrets, fresh=True), deps.new_token)
    deps.secrets.put(unsubscribe.SECRET, unsubscribe.write_keys(ring))
    return len(ring)


def _with_new(ring: tuple[Key, ...], new_token: Callable[[], str]) -> tuple[Key, ...]:
    """The key is what two tokens hash to; its name, which everybody sees, comes of a third."""
    octets = hashlib.sha256(f"{new_token()} {new_token()}".encode()).digest()
    name = hashlib.sha256(new_token().encode()).hexdigest()[:8]
    return unsubscribe.with_new_key(ring, name, octets)
