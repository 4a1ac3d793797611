"""A message of 40 MB passes in less than three times its size, and is delivered in a fraction of it."""

from __future__ import annotations

import pytest

from tests.support.memory import DELIVERIES, delivery_peak, peak_ratio


@pytest.mark.parametrize("line_end", ["CRLF", "LF"])
@pytest.mark.parametrize("way", ["ours", "signed", "upload"])
def test_large_message_is_held_less_than_three_times(way: str, line_end: str) -> None:
    """The message as it came, and its body as it is kept; nothing makes a third copy."""
    assert peak_ratio(way, 40_000_000, line_end) < 2.5


@pytest.mark.parametrize("way", DELIVERIES)
def test_large_message_streams_through_deliver(way: str) -> None:
    """To four hosts at once, with a transcript: some pieces of it are in memory, never all of it."""
    assert delivery_peak(way, 40_000_000) < 20_000_000
