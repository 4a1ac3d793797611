"""qf's form: what is written is read back, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.envelope import CHUNK_RECIPIENTS, Arrivals, Envelope, Recipient, decode_qf, encode_qf

_text = st.text(max_size=20)


@given(
    st.builds(
        Envelope,
        queue_id=_text,
        reverse_path=_text,
        recipients=st.lists(
            st.builds(Recipient, _text, st.lists(_text, max_size=3).map(tuple), _text, _text), max_size=5
        ).map(tuple),
        queued_at=st.floats(0, 1e11),
        body_octets=st.integers(0, 1 << 40),
        body_type=st.sampled_from(("7BIT", "8BITMIME")),
        smtputf8=st.booleans(),
        ret=_text,
        envid=_text,
        tags=st.lists(st.tuples(_text, _text), max_size=3).map(tuple),
        digest=_text,
        arrivals=st.none()
        | st.builds(
            Arrivals,
            _text,
            _text,
            st.lists(st.builds(Recipient, _text, st.just(("SUCCESS",))), max_size=2).map(tuple),
            st.lists(st.builds(Recipient, _text), max_size=2).map(tuple),
        ),
    ),
    st.binary(max_size=200),
)
def test_any_envelope_and_header_survive(envelope: Envelope, header: bytes) -> None:
    """Whatever the header's octets, the envelope's line ends where it ends."""
    assert decode_qf(encode_qf(envelope, header)) == (envelope, header)


@pytest.mark.parametrize(
    "octets",
    [b"", b"{}", b"{}\n", b"[]\n", b"7\n", b"not json\n", b'{"v":2}\n', b'{"v":1}\n', b'{"v":1,"recipients":[{}]}\n',
     b'{"v":1,"recipients":[],"tags":[[1]]}\n', b'{"v":1,"recipients":[],"tags":[],"unknown":1}\n'],
    ids=lambda octets: octets.decode().strip() or "empty",
)  # fmt: skip
def test_anything_else_is_refused(octets: bytes) -> None:
    """A qf that can't be read is a fault that is named, not a mail with odd fields."""
    with pytest.raises(ValueError, match=r"."):
        decode_qf(octets)


@pytest.mark.parametrize(("count", "chunks"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_chunks_share_the_recipients_out(count: int, chunks: int) -> None:
    """At most 100 each, none lost, positions those of the envelope."""
    recipients = tuple(Recipient(f"r{n}@a.example") for n in range(count))
    envelope = Envelope("q", "", recipients, 0.0, 0)
    parts = [envelope.chunk(n) for n in range(envelope.chunk_count)]
    assert (len(parts), envelope.chunk(chunks)) == (chunks, {})
    assert all(len(part) <= CHUNK_RECIPIENTS for part in parts)
    assert {n: r for part in parts for n, r in part.items()} == dict(enumerate(recipients))


def test_envelope_line_is_ascii_without_line_ends() -> None:
    """An address in UTF-8 or a tag with a line end can't end the line early."""
    octets = encode_qf(Envelope("q", "jürgen@a.example", (), 0.0, 0, tags=(("a\nb", "c\r"),)), b"H: v\r\n")
    line = octets.split(b"\n")[0]
    assert line.isascii()
    assert json.loads(line)["reverse_path"] == "jürgen@a.example"
