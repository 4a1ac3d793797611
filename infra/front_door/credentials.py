"""
AUTH: asks the API whether access key and SMTP password belong together, and remembers it briefly.

Remembered are keyed digests, under a key of this process: a memory dump shows no passwords.
A refusal is remembered for a shorter time, since a new credential must soon be good.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.front_door.api import MessageApi

GOOD_S: Final = 60.0
BAD_S: Final = 5.0
_ENTRIES: Final = 10_000


class Credentials:
    """
    What is known of credentials.

    Args:
        api: Whom to ask.
        clock: Seconds, any origin.
    """

    def __init__(self, api: MessageApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[float, bool]] = {}

    def is_known(self, authorization: str) -> bool:
        """Say whether a credential was good just now."""
        until, good = self._known.get(self._digest(authorization), (0.0, False))
        return good and self._clock() < until

    def _digest(self, authorization: str) -> bytes:
        return hmac.digest(self._key, authorization.encode(), hashlib.sha256)

    async def are_good(self, authorization: str) -> bool:
        """
        Say whether the API takes a credential.

        Args:
            authorization: Value of the Authorization field.

        Raises:
            Away: It can't be said now.
        """
        digest = self._digest(authorization)
        until, good = self._known.get(digest, (0.0, False))
        if self._clock() < until:
            return good
        good = await self._api.knows(authorization)
        if len(self._known) >= _ENTRIES:
            self._known.clear()
        self._known[digest] = (self._clock() + (GOOD_S if good else BAD_S), good)
        return good
