"""
A submission's content once it was read: what services/validate.py needs to know of it.

Made by services/validate.py of what is in memory, by services/large_mail.py of what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

    from paravion.domain.message import Message


@dataclass(frozen=True, slots=True)
class Content:
    """
    A content that was read.

    Attributes:
        octets: Of the content, as it came.
        told: SHA-256 that has been told the content, as it came; to be told more. None without an idempotency key.
    """

    message: Message
    octets: int
    told: hashlib._Hash | None
