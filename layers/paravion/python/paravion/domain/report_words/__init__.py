"""
The words of reports to people, one module for each language; English is the pattern of all.

A language's module has the same names with the same keys and placeholders, and is loaded when it is first needed.

    PHRASES           by name: sentences and their pieces
    FAILED            why a mail failed for good, and what to do, by `subject.detail`, else `subject`, else ""
    FAILED_HERE       likewise, first choice when no remote host's reply decided
    FAILED_SUPPRESSED the same, for an address on the suppression list (domain/suppression.py)
    FAILED_UNSUBSCRIBED the same, for who has unsubscribed from a contact list
    FAILED_HELD       the same, for what nobody released from its hold
    LATER             what stood in the way at the last attempt; completes the phrase `last_try`
    LATER_HERE        likewise, first choice when no remote host's reply decided

RFC: 3282 (the language tags in the original's header).
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES: Final = ("en", "de", "fr", "es")

_RANGE: Final = re.compile(r"([A-Za-z]{1,8})(?:-[0-9A-Za-z-]{1,60})?(?:\s*;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?")
_LONGEST: Final = 1000


class Words(Protocol):
    """A language's module."""

    PHRASES: Mapping[str, str]
    FAILED: Mapping[str, tuple[str, str]]
    FAILED_HERE: Mapping[str, tuple[str, str]]
    FAILED_SUPPRESSED: tuple[str, str]
    FAILED_UNSUBSCRIBED: tuple[str, str]
    FAILED_HELD: tuple[str, str]
    LATER: Mapping[str, str]
    LATER_HERE: Mapping[str, str]


def words_of(language: str) -> Words:
    """
    Give a language's words.

    Raises:
        ValueError: Not one of LANGUAGES.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no words in {language!r}")
    return cast("Words", import_module(f"{__name__}.{language}"))


def chosen(accepted: str, written: str, otherwise: str) -> str:
    """
    Choose the language of a report.

    Args:
        accepted: The original's Accept-Language: what its sender reads, by preference (q).
        written: Its Content-Language: what its sender writes.
        otherwise: What if neither names one of LANGUAGES.
    """
    for field in (accepted, written):
        wanted: list[tuple[float, int, str]] = []
        for item in field[:_LONGEST].split(","):
            found = _RANGE.fullmatch(item.strip())
            if found and found[1].lower() in LANGUAGES and float(found[2] or 1):
                wanted.append((-float(found[2] or 1), len(wanted), found[1].lower()))
        if wanted:
            return min(wanted)[2]
    return otherwise
