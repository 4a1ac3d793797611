"""
A submission's content once it was read: what services/validate.py needs to know of it.

Made by services/validate.py of what is in memory, by services/large_mail.py of what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterable

    from paravion.domain.message import LargeBody, Message
    from paravion.domain.placeholder import Edit


@dataclass(frozen=True, slots=True)
class Content:
    """
    A content that was read.

    Attributes:
        octets: Of the content, as it came.
        told: SHA-256 that has been told the content, as it came; to be told more. None without an idempotency key.
        edited: Gives the message's body with edits made; None: it is in memory.
    """

    message: Message
    octets: int
    told: hashlib._Hash | None
    edited: Callable[[Iterable[Edit]], LargeBody] | None = None
