"""What is in memory of a message of 40 MB: some pieces of it, whatever is done with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.function_memory import peaks
from tests.support.memory import DELIVERIES, delivery_peak, peak_ratio

LARGE = 40_000_000
TEMPLATE = (Path(__file__).parents[2] / "template.yaml").read_text()


def memory_of(way: str) -> int:
    """Give the MemorySize of the function that a way is of, octets."""
    found = re.search(rf"Handler: {way.partition('-')[0]}\.handler.*?MemorySize: ([0-9]+)", TEMPLATE, re.DOTALL)
    assert found is not None
    return int(found[1]) << 20


@pytest.mark.parametrize(
    "way",
    [
        "validate-signed-parts-lf",
        "validate-8-bit-alias",
        "validate-contact-list",
        "validate-contact-list-quoted",
        "validate-contact-list-base64",
    ],
)
def test_validate_holds_pieces_of_an_upload(way: str) -> None:
    """By the real door, handler and botocore: checked, hashed, signed and kept, by way of a file."""
    above, whole = peaks(way, LARGE)
    assert above < 24_000_000
    assert whole < memory_of(way)


@pytest.mark.parametrize(
    ("way", "octets", "most"),
    [
        # Of whatever is streamed the length does not matter; tests/bench/bench_message.py has 40 MB.
        ("deliver-ten", 10_000_000, 80_000_000),
        ("deliver-ten-converted", 10_000_000, 256_000_000),
        ("bounce-full", LARGE, 8_000_000),
    ],
)
def test_batch_of_large_mail(way: str, octets: int, most: int) -> None:
    """Ten side by side to ten hosts, also made 7-bit for them; the reports on ten that failed, with RET=FULL."""
    above, whole = peaks(way, octets)
    assert above < most
    assert whole < memory_of(way)


@pytest.mark.parametrize("line_end", ["CRLF", "LF"])
@pytest.mark.parametrize("way", ["ours", "signed"])
def test_message_in_memory_is_held_less_than_three_times(way: str, line_end: str) -> None:
    """What came as a whole, as by a request, and its body as it is kept; nothing makes a third copy."""
    assert peak_ratio(way, LARGE, line_end) < 2.5


@pytest.mark.parametrize("way", DELIVERIES)
def test_large_message_streams_through_deliver(way: str) -> None:
    """To four hosts at once, with a transcript: some pieces of it are in memory, never all of it."""
    assert delivery_peak(way, LARGE) < 20_000_000
