"""
A stored table as the lines of sendmail's own file: what domain/tables.py would read back as the same entries.

Next: services/moving_out.py gives the lines to whoever exports; services/tables.py takes them like any other file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.refusal import Refusal
from paravion.domain.table_pages import INCLUDE
from paravion.domain.target import is_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def lines_of(kind: str, entries: Mapping[str, str]) -> Iterator[str]:
    """Give the lines of some entries, in their order, without line ends."""
    for key, value in entries.items():
        if kind.startswith(INCLUDE):
            yield _target(value)
        elif kind == "aliases":
            # A line that begins with # is a comment, and quotes are taken off a name.
            name = f'"{key}"' if key.startswith("#") else key
            yield f"{name}: {', '.join(map(_target, value.split(chr(10))))}"
        elif kind == "access":
            yield f"{key}\t{_access(value)}"
        else:
            yield f"{key}\t{_with_refusal(value, 'error:')}"


def _target(value: str) -> str:
    # A target may hold commas; and a member that begins with # would be a comment.
    return f'"{value}"' if is_target(value) or value.startswith("#") else value


def _access(value: str) -> str:
    if value.startswith("QUARANTINE:"):
        return f'QUARANTINE:"{value.removeprefix("QUARANTINE:")}"'
    return _with_refusal(value, "ERROR:")


def _with_refusal(value: str, start: str) -> str:
    if not value.startswith(start):
        return value
    refusal = Refusal.parse(value.removeprefix(start))
    return f"{start}{refusal.status}:{refusal.code} {refusal.text}"
