"""
Which jobs an operator means: by recipient, sender or host, as he names them.

    criterion  holds an address             holds a domain                     other
    ---------  ---------------------------  ---------------------------------  --------------------------------
    recipient  an open recipient of a job   the domain of an open recipient    -
    sender     the job's reverse-path       the domain of its reverse-path     `<>`: the null reverse-path
    host       -                            where an open recipient's mail     a host's name: the one that an
                                            goes: its domain                   open recipient was last tried at

Texts, as `sendmail -q` has them, are looked for in a job's id, its reverse-path or its open recipients, in any case of
letters; one that is negated is in none of them. They say of a job as a whole whether it is meant.

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
    from collections.abc import Sequence

NULL: Final = "<>"

TEXT_OF: Final = ("id", "recipient", "sender")
MAX_TEXTS: Final = 20

_LONGEST: Final = 320


@dataclass(frozen=True, slots=True)
class Text:
    """
    A text that a job holds, or must not hold.

    Attributes:
        of: One of TEXT_OF.
        text: In lower case, not empty.
    """

    of: str
    text: str
    negated: bool = False

    def __str__(self) -> str:
        """Give it in words."""
        return f"{self.of} {'lacks' if self.negated else 'holds'} {self.text}"


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Criteria in normal form (`parse`); "" for one that is not asked about. Without any it is everything.

    Attributes:
        recipient, sender: `local@domain`, or a domain; of the sender also NULL.
        host: A mail host's name, or a domain.
        texts: Each of which must hold.
    """

    recipient: str = ""
    sender: str = ""
    host: str = ""
    texts: tuple[Text, ...] = ()

    @property
    def is_everything(self) -> bool:
        """It names no criterion."""
        return not (self.recipient or self.sender or self.host or self.texts)

    def matches(self, queue_id: str, reverse_path: str, waiting: Sequence[tuple[str, str]]) -> list[bool]:
        """
        Say of each open recipient of a job whether it is meant.

        Args:
            queue_id: Of its message.
            reverse_path: "" for null.
            waiting: Forward-path of each, and the host where it was last tried, "" for none.
        """
        by_sender = not self.sender or (
            not reverse_path if self.sender == NULL else _is_named(reverse_path, self.sender)
        )
        if not by_sender or not self._is_held_by(queue_id, reverse_path, [forward_path for forward_path, _ in waiting]):
            return [False] * len(waiting)
        return [self._takes(forward_path, mx_host) for forward_path, mx_host in waiting]

    def _is_held_by(self, queue_id: str, reverse_path: str, forward_paths: Sequence[str]) -> bool:
        values = {"id": (queue_id,), "recipient": forward_paths, "sender": (reverse_path,)}
        return all(any(text.text in value.lower() for value in values[text.of]) != text.negated for text in self.texts)

    def _takes(self, forward_path: str, mx_host: str) -> bool:
        if self.recipient and not _is_named(forward_path, self.recipient):
            return False
        return not self.host or self.host in {mx_host.lower(), _domain(forward_path)}


def parse(
    recipient: str = "", sender: str = "", host: str = "", texts: Sequence[tuple[str, str, bool]] = ()
) -> Selection:
    """
    Read criteria as an operator writes them; domains may be in U-labels.

    Args:
        texts: As the fields of Text, in any case.

    Raises:
        ValueError: One is neither an address nor a domain, or no text.
    """
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"at most {MAX_TEXTS} texts are taken")
    for of, text, _ in texts:
        if of not in TEXT_OF or not text or len(text) > _LONGEST or not text.isprintable():
            raise ValueError(
                f"text {shown(text, _LONGEST)}: 1 to {_LONGEST} printable characters of an id, recipient or sender"
            )
    return Selection(
        _name(recipient, "recipient"),
        NULL if sender == NULL else _name(sender, "sender"),
        _host(host) if host else "",
        tuple(Text(of, text.lower(), negated) for of, text, negated in texts),
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
