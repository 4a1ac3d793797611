"""
Which jobs an operator means: by recipient, sender or host, as he names them.

    criterion  holds an address             holds a domain                     other
    ---------  ---------------------------  ---------------------------------  --------------------------------
    recipient  an open recipient of a job   the domain of an open recipient    -
    sender     the job's reverse-path       the domain of its reverse-path     `<>`: the null reverse-path
    host       -                            where an open recipient's mail     a host's name: the one that an
                                            goes: its domain                   open recipient was last tried at

Several criteria must all hold. A recipient is open while it is neither delivered nor failed. Addresses are compared
without regard to case and to quotes that a local part needs not; a domain is that one alone, not those below it.

Next: services/select.py, which goes through the queue with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paravion.domain.address import parse_path, shown, split_address
from paravion.domain.suppression import looked_up_as, normal_form

if TYPE_CHECKING:
    from collections.abc import Iterable

NULL: Final = "<>"

_LONGEST: Final = 320


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Criteria in normal form (`parse`); "" for one that is not asked about. Without any it is everything.

    Attributes:
        recipient, sender: `local@domain`, or a domain; of the sender also NULL.
        host: A mail host's name, or a domain.
    """

    recipient: str = ""
    sender: str = ""
    host: str = ""

    @property
    def is_everything(self) -> bool:
        """It names no criterion."""
        return not (self.recipient or self.sender or self.host)

    def matches(self, reverse_path: str, waiting: Iterable[tuple[str, str]]) -> list[bool]:
        """
        Say of each open recipient of a job whether it is meant.

        Args:
            reverse_path: "" for null.
            waiting: Forward-path of each, and the host where it was last tried, "" for none.
        """
        by_sender = not self.sender or (
            not reverse_path if self.sender == NULL else _is_named(reverse_path, self.sender)
        )
        return [by_sender and self._takes(forward_path, mx_host) for forward_path, mx_host in waiting]

    def _takes(self, forward_path: str, mx_host: str) -> bool:
        if self.recipient and not _is_named(forward_path, self.recipient):
            return False
        return not self.host or self.host in {mx_host.lower(), _domain(forward_path)}


def parse(recipient: str = "", sender: str = "", host: str = "") -> Selection:
    """
    Read criteria as an operator writes them; domains may be in U-labels.

    Raises:
        ValueError: One is neither an address nor a domain.
    """
    return Selection(
        _name(recipient, "recipient"),
        NULL if sender == NULL else _name(sender, "sender"),
        _host(host) if host else "",
    )


def _name(text: str, what: str) -> str:
    if not text:
        return ""
    try:
        path = parse_path(text if "@" in text else f"x@{text}", smtputf8=True)
    except ValueError as exc:
        raise ValueError(f"{what} {shown(text, _LONGEST)}: {exc}") from exc
    return normal_form(path) if "@" in text else _domain(path)


def _host(text: str) -> str:
    """A host may be an address as well, with or without brackets."""
    if not text.isprintable() or " " in text or "@" in text or len(text) > _LONGEST:
        raise ValueError(f"host {shown(text, _LONGEST)}: no name of a host or domain")
    if text.isascii():
        return text.lower().removesuffix(".")
    return _name(text, "host")


def _is_named(path: str, name: str) -> bool:
    return looked_up_as(path) == name if "@" in name else _domain(path) == name


def _domain(path: str) -> str:
    try:
        return split_address(path)[1].lower()
    except ValueError:
        return ""  # a pipe's or a local name, which an operator can't mean by a domain
