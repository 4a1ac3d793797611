"""
The dialogue of AUTH: PLAIN and LOGIN, line by line. Pure; session.py says the challenges, credentials.py checks.

RFC: 4954 4 (the exchange), 4616 (PLAIN); LOGIN is draft-murchison-sasl-login, which old clients speak.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from infra.front_door import replies
from infra.front_door.commands import Refusal

MECHANISMS: Final = ("PLAIN", "LOGIN")
_PLAIN_PARTS: Final = 3  # RFC 4616 2: authorisation id, user, password


class Credential(NamedTuple):
    """What the client claims; both empty where it wants to act for somebody else."""

    user: bytes
    password: bytes


class Exchange:
    """
    One AUTH command.

    Args:
        mechanism: Of MECHANISMS.
        initial: The initial response as it stands in the command, or None.
    """

    def __init__(self, mechanism: str, initial: str | None) -> None:
        self._is_login = mechanism == "LOGIN"
        self._user: bytes | None = None
        self._initial = initial

    def start(self) -> bytes | Credential:
        """
        Give the first challenge, or the credential at once.

        Raises:
            Refusal
        """
        if self._initial is None:
            return b"Username:" if self._is_login else b""
        # RFC 4954 4: an empty initial response is a lone =
        return self._take(b"" if self._initial == "=" else _decode(self._initial.encode()))

    def respond(self, line: bytes) -> bytes | Credential:
        """
        Take the client's next line, without its end; gives the next challenge or the credential.

        Raises:
            Refusal
        """
        if line == b"*":
            raise Refusal(replies.AUTH_CANCELLED)
        return self._take(_decode(line))

    def _take(self, response: bytes) -> bytes | Credential:
        if self._is_login:
            if self._user is None:
                self._user = response
                return b"Password:"
            return Credential(self._user, response)
        parts = response.split(b"\0")
        if len(parts) != _PLAIN_PARTS:
            raise Refusal(replies.BAD_BASE64)
        authorisation, user, password = parts
        if authorisation not in {b"", user}:
            return Credential(b"", b"")
        return Credential(user, password)


def _decode(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(replies.BAD_BASE64) from None
