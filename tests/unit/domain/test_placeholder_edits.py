"""domain/placeholder.py: what must change of a body that is not in memory is what changes of one that is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain import mime_build, placeholder, text_stream
from paravion.domain.headers import split_header
from paravion.domain.placeholder import edits_of, filled_in

MARK, VALUE = "{{mark}}", "https://example.org/x"
ENCODED = base64.b64encode(b"text with {{mark}} in it") + b"\r\n"


class Body:
    """A large body, and how much of it was asked for at once."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.most = octets, 0

    def __len__(self) -> int:
        return len(self.octets)

    def pieces(self) -> Iterator[bytes]:
        raise AssertionError("it is not read as a whole")

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(self.octets)
        self.most = max(self.most, end - start)
        return self.octets[start:end]


def edited(octets: bytes, edits: list[placeholder.Edit]) -> bytes:
    """Make the edits, which must be in order and apart."""
    assert all(one[1] <= other[0] for one, other in pairwise(edits))
    parts, at = [], 0
    for start, end, new in edits:
        parts += [octets[at:start], *new]
        at = end
    return b"".join((*parts, octets[at:]))


FRAGMENTS = [
    *(b"--a\r\n", b"\r\n--a\r\n", b"\r\n--a--\r\n", b"\r\n--a \t\r\n", b"\r\n--a" + b" " * 60, b"\r\n--ab\r\n", b"\r\n--a-"),
    *(b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n--a\r\n\r\n--a\r\n", b"\r\n", b"\r\n\r\n", b"no field\r\n", b" \r\n"),
    *(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Content-Type: multipart/mixed\r\n\r\n"),
    *(b"Content-Type: text/html\r\n\r\n", b"Content-Type: image/png\r\n\r\n", b"Content-Type: text/plain; charset=utf-16\r\n\r\n"),
    b"Content-Type: multipart/signed; boundary=b\r\n\r\n",
    b"Content-Disposition: attachment\r\n\r\n",
    *(b"Content-Transfer-Encoding: base64\r\n\r\n" + ENCODED, b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
    *(b"Content-Transfer-Encoding: base64\r\n\r\n", b"Content-Transfer-Encoding: x-odd\r\n\r\n", b"=\r\n", b"=0A=0D", b"=", b"e3tt"),
    *(b"YXJrfX0\r\n", b"e3ttYXJrfX0=", b"QUJD" * 40 + b"\r\n", b"QUI=QUI=\r\n", b"Q=Q=", b"!Q\r\nQ\r\n==", b"\r\nQUJD" * 20),
    *(b"{{mark}}", b"{{mark}}{{mark}}{{mark}}", b"{{ma=\r\nrk}}", b"x" * 90, b"f\xc3\xbcr\r\n", b"y" * 990 + b"{{mark}}\r\n"),
]  # fmt: skip
TOPS = [
    b"From: a@b.example\r\n",
    b'Content-Type: multipart/alternative; boundary="a"\r\n',
    b"Content-Type: multipart/mixed; boundary=a\r\n",
    b"Content-Type: multipart/mixed\r\n",
    b"Content-Type: application/pdf\r\n",
]


@given(
    st.sampled_from(TOPS),
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(b"".join),
    st.sampled_from([3, 20, 64, 500, 1 << 20]),
    st.sampled_from([1, 3, 7, 100, 1 << 20]),
    st.sampled_from([3, 80, 1 << 16]),
)
@settings(max_examples=600, deadline=None)
def test_edits_make_what_filling_in_makes(top, body, held, window, line) -> None:
    """Nested, unfinished, empty and misleading parts, every encoding; windows of any size."""
    fields = split_header(top)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placeholder, "_HELD_OCTETS", held)
        patch.setattr(text_stream, "_WINDOW", window)
        patch.setattr(text_stream, "QUOTED_OCTETS", line)
        patch.setattr(mime_build, "QUOTED_OCTETS", line)
        changed, edits = edits_of(fields, Body(body), MARK, VALUE, times=2)
        assert (changed, edited(body, edits)) == filled_in(fields, body, MARK, VALUE, times=2)


TEXTS = {
    "plain": (b"", b"{{mark}}\r\n" + b"x" * 70 + b"\r\n", 0),
    "plain, lines that become too long": (b"", b"{{mark}}" + b"x" * 985 + b"\r\n", 0),
    "quoted-printable, one line of text": (b"quoted-printable", b"=7B{mark}}" + b"=C3=A4" * 10 + b"=\r\n", 0),
    "quoted-printable, LF alone": (b"quoted-printable", b"{{mark}}=0Ax=0D" + b"x" * 40 + b"\r\n", 0),
    "base64": (b"base64", base64.b64encode(b"{{mark}}" + b"x" * 49) + b"\r\n", 0),
    "base64 that breaks off": (b"base64", base64.b64encode(b"{{mark}}" + b"x" * 49) + b"\r\n", 4),
}


@pytest.mark.parametrize(("encoding", "line", "cut"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("top", [b"", b"--a\r\n"], ids=["alone", "part"])
def test_large_texts_are_not_held(encoding, line, cut, top) -> None:
    """Read by pieces, and given by pieces; no line above 76 octets where it is encoded, no CR or LF alone."""
    head = b"Content-Type: text/html\r\n" + (b"Content-Transfer-Encoding: " + encoding + b"\r\n" if encoding else b"")
    text = line * (3_000_000 // len(line))
    octets = top + head + b"\r\n" + text[: len(text) - cut] + b"\r\n--a--\r\n" if top else text[: len(text) - cut]
    fields = split_header(TOPS[2] if top else TOPS[0] + head)
    body = Body(octets)
    changed, edits = edits_of(fields, body, MARK, VALUE, times=2)
    new = edited(octets, edits)
    assert (changed, new) == filled_in(fields, octets, MARK, VALUE, times=2)
    assert body.most < 1_100_000
    assert max((len(piece) for *_, pieces in edits for piece in pieces), default=0) < 3_500_000 // 2
    assert (new == octets) is bool(cut)
    if encoding and not cut:
        assert max(map(len, new.split(b"\r\n"))) <= 76
        assert b"\n" not in new.replace(b"\r\n", b"")
        assert b"\r" not in new.replace(b"\r\n", b"")


def test_attachments_are_not_held() -> None:
    """A text between two large attachments, one of them nested: some mebibyte at a time."""
    large = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 1_500_000 + b"\r\n"
    related = (
        b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\r\n{{mark}}\r\n--b\r\n" + large + b"--b--\r\n"
    )
    octets = b"--a\r\n" + large + b"--a\r\n" + related + b"--a--\r\n"
    body = Body(octets)
    fields = split_header(TOPS[2])
    changed, edits = edits_of(fields, body, MARK, VALUE, times=2)
    assert (changed, edited(octets, edits)) == filled_in(fields, octets, MARK, VALUE, times=2)
    assert VALUE.encode() in edited(octets, edits)
    assert body.most < 1_100_000
