"""What is in memory of a message of 40 MB: some pieces of it, whatever is done with it."""

from __future__ import annotations

import pytest

from tests.support.function_memory import VALIDATES, peaks
from tests.support.memory import DELIVERIES, delivery_peak, peak_ratio

LARGE = 40_000_000
LAMBDA = {"validate": 1024, "deliver": 512, "bounce": 512}
"""MemorySize in template.yaml, MB; tests/unit/test_template.py holds it to these."""


@pytest.mark.parametrize("way", [way for way in VALIDATES if way != "validate-contact-list"])
def test_validate_holds_pieces_of_an_upload(way: str) -> None:
    """By the real door, handler and botocore: checked, hashed, signed and kept, by way of a file."""
    above, whole = peaks(way, LARGE)
    assert above < 24_000_000
    assert whole < LAMBDA["validate"] << 20


def test_link_is_put_into_the_whole() -> None:
    """A contact list's link stands in the text, which is read as a whole: rare, and within the function's memory."""
    _, whole = peaks("validate-contact-list", LARGE)
    assert whole < 256 << 20


@pytest.mark.parametrize(("way", "most"), [("deliver-ten", 80_000_000), ("bounce-full", 8_000_000)])
def test_batch_of_large_mail(way: str, most: int) -> None:
    """Ten of 40 MB side by side, by TLS to ten hosts; the reports on ten that failed, whose senders want them back."""
    above, whole = peaks(way, LARGE)
    assert above < most
    assert whole < LAMBDA[way.partition("-")[0]] << 20


@pytest.mark.parametrize("line_end", ["CRLF", "LF"])
@pytest.mark.parametrize("way", ["ours", "signed"])
def test_message_in_memory_is_held_less_than_three_times(way: str, line_end: str) -> None:
    """What came as a whole, as by a request, and its body as it is kept; nothing makes a third copy."""
    assert peak_ratio(way, LARGE, line_end) < 2.5


@pytest.mark.parametrize("way", DELIVERIES)
def test_large_message_streams_through_deliver(way: str) -> None:
    """To four hosts at once, with a transcript: some pieces of it are in memory, never all of it."""
    assert delivery_peak(way, LARGE) < 20_000_000
