"""domain/message_reader.py: what comes in pieces is read as the whole is, wherever it is cut."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paravion.domain import message_reader
from paravion.domain.message import MAX_HEADER_OCTETS, read_message
from paravion.domain.message_reader import MessageReader
from paravion.domain.status import MESSAGE_TOO_BIG, Rejected

CORPUS = sorted((Path(__file__).parents[2] / "corpus").glob("*.eml"))
LIMIT = 1 << 24
FROM = b"From: a@example.org\r\n"

TRAPS = [
    *(b"", b"\r", b"\n", b"\r\n", b"\0", b"\r\n.\r\n", b"\n.\n", b"\r\n.\n", b"\r\n..\r\n", b" ", b"\t", b":"),
    *(b"From", b"From ", b"From me Mon\r\n", b"From me\n", b"From : b@example.org\r\n", FROM, FROM[:-2] + b"\n"),
    *(b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n", b"Subject: x\r\n", b"Subject: \xc3\xa4\r\n", b"no field\r\n"),
    *(b"x", b"\xe4", b"x" * 997, b"x" * 998, b"x" * 999, b"x" * 1001, b"y\r\n" * 300, b"\r\n" * 5),
]
"""What a message is put together of: each a whole, half or wrong end of something."""


def outcome(read, content, **policy):
    """Everything that is known of a message, or why it is refused."""
    try:
        message = read(content, **policy)
    except Rejected as exc:
        return exc.status.key, exc.detail
    return message.fields, message.body, message.is_8bit, message.header_is_utf8, message.long_line, message.authors


def in_pieces(content, cuts, **policy):
    """Read as `read_message` does, cut at these places."""
    reader = MessageReader(**policy)
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    body = b"".join([*(reader.feed(content[a:b]) for a, b in pairwise(places)), reader.end()])
    assert reader.octets == len(content)
    return reader.message(body)


CUTS = st.lists(st.integers(0, 1 << 20), max_size=8)
POLICY = st.fixed_dictionaries(
    {"bare_lf": st.sampled_from(["normalise", "refuse"]), "max_octets": st.sampled_from([LIMIT, 1000, 40])}
)


@given(st.lists(st.sampled_from(TRAPS), max_size=12).map(b"".join), CUTS, POLICY)
@example(FROM + b"\r\n" + b"x" * 999, [22, 23, 24, 25], {"bare_lf": "normalise", "max_octets": LIMIT})
@settings(max_examples=400, deadline=None)
def test_pieces_are_read_as_the_whole_is(content, cuts, policy) -> None:
    """The same fields, body octets and findings, or the same refusal, word for word."""
    whole = outcome(read_message, content, **policy)
    assert whole == outcome(in_pieces, content, cuts=cuts, **policy)
    with_header = FROM + b"\r\n" + content
    assert outcome(read_message, with_header, **policy) == outcome(in_pieces, with_header, cuts=cuts, **policy)


@pytest.mark.parametrize("bare_lf", ["normalise", "refuse"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_corpus_in_pieces_of_one_size(size, bare_lf) -> None:
    """Every trap of the corpus, octet by octet and in larger steps."""
    for path in CORPUS:
        content = path.read_bytes()
        read = {"max_octets": LIMIT, "bare_lf": bare_lf}
        expected = outcome(read_message, content, **read)
        assert expected == outcome(in_pieces, content, cuts=range(0, len(content), size), **read), path.name


def _mbox(octets: int) -> bytes:
    return b"From " + b"m" * octets


OVER = MAX_HEADER_OCTETS + 10


@pytest.mark.parametrize(
    "content",
    {
        "endless header": b"Subject: x\r\n" + b" x\r\n" * OVER,
        "header at the limit": FROM + b"X: y\r\n" * ((MAX_HEADER_OCTETS - len(FROM)) // 6) + b"\r\nbody\r\n",
        "header over it": FROM + b"X: y\r\n" * (MAX_HEADER_OCTETS // 6) + b"\r\nbody\r\n",
        "long mbox line": _mbox(OVER) + b"\r\n" + FROM + b"\r\nbody",
        "endless mbox line": _mbox(OVER),
        "obsolete From after an endless fold": b"From" + b" " * OVER + b": a@example.org\r\n\r\nbody",
        "mbox line after endless space": b"From" + b" " * OVER + b"m\r\n" + FROM + b"\r\nbody",
        "space alone": b"From" + b" " * OVER,
        "NUL behind an endless header": b"x" * OVER + b"\0",
    }.items(),
    ids=lambda item: item[0],
)
def test_endless_tops(content) -> None:
    """What is held is bounded, and the verdict is that of the whole."""
    _, octets = content
    cuts = range(0, len(octets), 100_003)
    expected = outcome(read_message, octets, max_octets=LIMIT)
    assert expected == outcome(in_pieces, octets, cuts=cuts, max_octets=LIMIT)


def test_long_header_is_not_kept() -> None:
    """A body without its empty line of any size costs what a header section may have."""
    reader = MessageReader(max_octets=1 << 40)
    tracemalloc.start()
    for _ in range(200):
        assert reader.feed(b"X-Line: " + b"x" * 70_000 + b"\r\n") == b""
    assert tracemalloc.get_traced_memory()[1] < 4 * MAX_HEADER_OCTETS
    tracemalloc.stop()
    with pytest.raises(Rejected, match="header section") as caught:
        reader.end()
    assert caught.value.status is MESSAGE_TOO_BIG


def test_unknown_policy_is_a_callers_fault() -> None:
    """As of `read_message`."""
    with pytest.raises(ValueError, match="bare_lf"):
        message_reader.MessageReader(max_octets=1, bare_lf="keep")
