"""
The automatic reply of the mailbox simulator's `ooto`: what a vacation program would send.

The same message gives the same octets, so that a reply that is made again is one message.

RFC: 3834 (to the reverse-path, null reverse-path of its own, Auto-Submitted, In-Reply-To, References).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.dsn_text import original_fields
from paravion.domain.headers import format_date, make_field

if TYPE_CHECKING:
    from paravion.domain.envelope import Envelope

_TEXT = b"I am out of the office.\r\n\r\n(The mailbox simulator wrote this: there is nobody.)\r\n"


def build_reply(
    reply_id: str, envelope: Envelope, header: bytes, replier: str, now: float, hostname: str
) -> tuple[bytes, bytes]:
    """
    Give header and body of a reply.

    Args:
        reply_id: Its queue id.
        envelope, header: Of the message that it answers; its reverse-path is not null.
        replier: The simulated address.
    """
    original = original_fields(header)
    subject = original.get(b"subject", "")
    fields = [
        ("From", replier),
        ("To", envelope.reverse_path),
        ("Subject", f"Auto: {subject}" if subject.isascii() else "Auto: your message"),
        ("Date", format_date(now)),
        ("Message-ID", f"<{reply_id}@{hostname}>"),
        ("In-Reply-To", original.get(b"message-id", "")),
        ("References", original.get(b"message-id", "")),
        ("Auto-Submitted", "auto-replied (vacation)"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=us-ascii"),
    ]
    octets = b"".join(make_field(name, value, utf8=True) for name, value in fields if value)
    return octets, _TEXT
