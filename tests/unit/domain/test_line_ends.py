"""Whether CR and LF stand together everywhere, RFC 5321 2.3.8."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paravion.domain import line_ends
from paravion.domain.line_ends import has_whole_lines


@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"\x85", b"\xff", b"\x0b"])), st.integers(1, 5))
@example([b"\r\n", b"\r"], 2)
@example([b"a", b"\r\n"], 2)
def test_as_counted(pieces: list[bytes], piece: int) -> None:
    """The same as by counting them, wherever a piece ends; nothing else is a line's end."""
    octets = b"".join(pieces)
    pairs = octets.count(b"\r\n")
    expected = octets.count(b"\r") == octets.count(b"\n") == pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_ends, "_PIECE", piece)
        assert has_whole_lines(octets) is expected
        assert has_whole_lines(bytearray(octets)) is expected
