"""
Events in calls that take several: how many, and what the answer says of each.

Used by: adapters/sns_destination.py, adapters/events_destination.py, adapters/firehose_destination.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ENTRIES: Final = 10
_OCTETS: Final = 250_000
"""All three take ten entries and 256 KB at least."""


def in_batches(
    texts: Sequence[str],
    call: Callable[[list[int]], Mapping[str, Any]],
    failures: Callable[[Mapping[str, Any]], Mapping[int, str]],
) -> list[str]:
    """
    Send texts in as few calls as they fit in.

    Args:
        call: Sends those of some numbers; what it raises is told of all of them.
        failures: Of an answer: the place in its call of each that was not taken, and why.

    Returns:
        For each text why it was not taken, "" if it was.
    """
    problems = [""] * len(texts)
    for some in _batches(texts):
        answer, problem = answer_of(lambda some=some: call(some))  # type: ignore[misc]
        found = dict.fromkeys(range(len(some)), problem) if problem else failures(answer)
        for place, why in found.items():
            problems[some[place]] = why[:300]
    return problems


def _batches(texts: Sequence[str]) -> list[list[int]]:
    found: list[list[int]] = []
    octets = 0
    for n, text in enumerate(texts):
        if not found or len(found[-1]) == _ENTRIES or octets + len(text) > _OCTETS:
            found.append([])
            octets = 0
        found[-1].append(n)
        octets += len(text)
    return found
