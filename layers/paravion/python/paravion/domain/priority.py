"""
A mail's priority: how soon it is tried again, when its sender is warned, when it is returned.

It decides about waits and about nothing else: no mail overtakes another one in a queue (SQS keeps no order).

    urgent      `Priority: urgent`
    normal      whatever says nothing
    non-urgent  `Priority: non-urgent`
    bulk        `Precedence:` bulk, list or junk, whatever Priority says: what a list multiplies is not urgent
    dsn         our own reports, and nothing else

Two fields are read and no other one: X-Priority and Importance are for whoever reads the mail, and List-Id is on mail
that somebody waits for, too. A word that is none of these is nobody's priority and is passed on.

Next: services/validate.py decides by the caller, the configuration set and the header; domain/schedule.py goes by it.
RFC: 2156 5.3.6 (Priority), 3834 5 and sendmail's op.me (Precedence; no warnings for its negative classes).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.message import Message


class Priority(StrEnum):
    """See the module."""

    URGENT = "urgent"
    NORMAL = "normal"
    NON_URGENT = "non-urgent"
    BULK = "bulk"
    DSN = "dsn"


ASKED: Final = tuple(priority.value for priority in Priority if priority is not Priority.DSN)
"""What a caller may ask for."""

_BULK: Final = frozenset({b"bulk", b"list", b"junk"})
_WORDS: Final = {
    b"urgent": Priority.URGENT.value,
    b"normal": Priority.NORMAL.value,
    b"non-urgent": Priority.NON_URGENT.value,
}


def priority_of(message: Message) -> str:
    """Give the priority that a header asks for, "" for none; the first field of a name counts, comments do not."""
    for value in message.values(b"Precedence")[:1]:
        if _word(value) in _BULK:
            return Priority.BULK.value
    for value in message.values(b"Priority")[:1]:
        return _WORDS.get(_word(value), "")
    return ""


def _word(value: bytes) -> bytes:
    return value.partition(b"(")[0].strip(b" \t").lower()


_SPAN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdx])", re.ASCII)
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Span:
    """A time of its own, in seconds (infinite: never), or a multiple of every mail's."""

    value: float
    is_factor: bool = False

    def of(self, base_s: float) -> float:
        """Give it in seconds, where every mail has `base_s`."""
        return self.value * base_s if self.is_factor else self.value


def read_spans(
    text: str, *, units: str = "smhdx", never: bool = False, longest_s: float = math.inf
) -> Mapping[str, Span]:
    """
    Read `urgent=0.25x,bulk=8h,dsn=never`: a span for each priority that does not have every mail's.

    Args:
        units: Those that are taken; `x` is a multiple.
        never: `never` is taken.
        longest_s: Of a span of its own.

    Raises:
        ValueError: Says what is wrong.
    """
    found: dict[str, Span] = {}
    if text.strip() and not text.strip(", "):
        raise ValueError("commas and nothing between them")
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, span = (word.strip() for word in item.partition("="))
        if not equals or name not in tuple(Priority):
            raise ValueError(f"must be PRIORITY=TIME, the priority one of {', '.join(Priority)}")
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = _span(span, units, never=never)
        if found[name].value > longest_s and not found[name].is_factor and span != "never":
            raise ValueError(f"{name}: must be at most {longest_s:.0f} seconds")
    return found


def _span(text: str, units: str, *, never: bool) -> Span:
    if never and text == "never":
        return Span(math.inf)
    match = _SPAN.fullmatch(text)
    if match is None or match[2] not in units:
        kinds = ", ".join(f"1{unit}" for unit in units)
        raise ValueError(f"a time is a number and its unit, as {kinds}{' or never' if never else ''}")
    value = float(match[1])
    if value <= 0:
        raise ValueError("a time must be above 0")
    return Span(value, is_factor=True) if match[2] == "x" else Span(value * _UNITS[match[2]])
