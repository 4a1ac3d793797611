"""
Events in calls that take several: how many, what the answer says of each, and who spoilt a call that was refused.

    the call                                   what is done
    -----------------------------------------  -------------------------------------------------------------------
    was answered                               the answer says which entries were not taken
    was refused for what is in it              made again by halves, until the entry that is refused stands alone
    failed: throttled, no right, no such       told of all its entries; each of them would fail the same way
    destination, no answer

Halves cost calls, so that one publication makes SPLITS of them at most; what is left then is told as refused, and
tried again in other company.

Used by: adapters/sns_destination.py, adapters/events_destination.py, adapters/firehose_destination.py,
adapters/cloudwatch_destination.py.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_ENTRIES: Final = 10
_OCTETS: Final = 250_000
"""SNS, EventBridge and Firehose take ten entries and 256 KB at least."""

SPLITS: Final = 20
"""Times that a refused call is made again by halves: four bad entries of 20 stand alone by then, or two of 100."""


def in_batches(
    sizes: Sequence[int],
    call: Callable[[list[int]], Mapping[str, Any]],
    failures: Callable[[Mapping[str, Any]], Mapping[int, str]] = lambda _: {},
    *,
    entries: int = _ENTRIES,
    octets: int = _OCTETS,
) -> list[str]:
    """
    Send entries in as few calls as they fit in.

    Args:
        sizes: Octets of each.
        call: Sends those of some numbers, in order.
        failures: Of an answer: the place in its call of each that was not taken, and why.
        entries, octets: Most of one call.

    Returns:
        For each entry why it was not taken, "" if it was.
    """
    problems = [""] * len(sizes)
    left = deque(_batches(sizes, entries, octets))
    splits = SPLITS
    while left:
        some = left.popleft()
        answer, problem, is_about_content = answer_of(lambda some=some: call(some))  # type: ignore[misc]
        if is_about_content and len(some) > 1 and splits:
            splits -= 1
            half = len(some) // 2
            left.extendleft([some[half:], some[:half]])
            continue
        found = dict.fromkeys(range(len(some)), problem) if problem else failures(answer)
        for place, why in found.items():
            problems[some[place]] = why[:300]
    return problems


def _batches(sizes: Sequence[int], entries: int, octets: int) -> Iterator[list[int]]:
    some: list[int] = []
    held = 0
    for n, size in enumerate(sizes):
        if some and (len(some) == entries or held + size > octets):
            yield some
            some, held = [], 0
        some.append(n)
        held += size
    if some:
        yield some
