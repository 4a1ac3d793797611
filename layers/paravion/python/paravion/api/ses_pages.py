"""SES's pages: how many things one has, and the token that goes on behind it. Tokens hold a name, and are opaque."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from paravion.api.ses_faults import SesFault, bad_request

PAGE_MAX: Final = 1000
"""SES's own limit."""


def page_size(given: dict[str, Any], member: str = "PageSize", default: int = 100) -> int:
    """
    Give how many things are wanted.

    Raises:
        SesFault: BadRequestException: none, or too many.
    """
    size: int = given.get(member, default)
    if not 1 <= size <= PAGE_MAX:
        raise bad_request(f"{member} must be 1 to {PAGE_MAX}.")
    return size


def after_of(token: str | None) -> str:
    """
    Give the name that a token goes on behind; "" without one.

    Raises:
        SesFault: InvalidNextTokenException.
    """
    try:
        return base64.b64decode((token or "").encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as exc:
        raise SesFault(
            "InvalidNextTokenException", "The specified request includes an invalid or expired token."
        ) from exc


def token_of(name: str) -> str | None:
    """Give the token for what follows a name; None for "", the end."""
    return base64.urlsafe_b64encode(name.encode()).decode() if name else None
