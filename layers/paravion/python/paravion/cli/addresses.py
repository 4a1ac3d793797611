"""
Addresses as people write them for `sendmail`: `root`, `a@x, b@y`, `"Doe, J." <c@z>`, `team: d@z, e@z;`.

What is plain is split here; whatever has quotes, brackets or comments goes to domain/address.py, whose
import costs more than the rest of a call and is seldom needed. The API checks every forward-path.
"""

from __future__ import annotations

_SPECIALS = frozenset('"(<>:;[]\\)')


def split_addresses(text: str, hostname: str) -> list[str]:
    r"""
    Give the addr-specs of an address list in their order, without display names, comments and groups.

    A backslash before a plain address stays: `\root` is not looked up in the aliases (domain/submission.py).

    Args:
        text: The list.
        hostname: What a bare local part is qualified with, as sendmail does it, also in `Doe <root>`.

    Raises:
        ValueError: What is wrong, in printable ASCII.
    """
    parts = [part.strip() for part in text.split(",")]
    plain = "".join(part.removeprefix("\\") for part in parts)
    if _SPECIALS.isdisjoint(plain) and " " not in plain and "\t" not in plain:
        return [part if "@" in part else f"{part}@{hostname}" for part in parts if part.removeprefix("\\")]
    from paravion.cli.mending import qualify
    from paravion.domain.address import parse_mailboxes

    domain = b"@" + hostname.encode("utf-8", "surrogateescape")
    whole = qualify(text.encode("utf-8", "surrogateescape"), domain)
    return [mailbox.address for mailbox in parse_mailboxes(whole)]
