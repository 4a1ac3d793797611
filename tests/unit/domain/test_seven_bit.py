"""8-bit mail in 7 bits: the same content to any reader, and nothing touched that need not be."""

from __future__ import annotations

import email
import email.policy
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain import seven_bit
from paravion.domain.seven_bit import NotConvertible, is_wanted, to_seven_bit

if TYPE_CHECKING:
    from email.message import Message

H = b"From: a@b.c\r\nMIME-Version: 1.0\r\n"
TEXT = "Viele Grüße an alle, die es lesen\r\n".encode()


def converted(header: bytes, body: bytes) -> bytes:
    """Convert, and see to it that the result is fit for the wire."""
    new_header, new_body = to_seven_bit(header, body)
    content = new_header + b"\r\n" + new_body
    assert new_body.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    return content


def leaves(content: bytes) -> list[tuple[str, bytes]]:
    """Read it as a receiver does: type and decoded octets of every part, messages inside included."""
    found: list[tuple[str, bytes]] = []

    def walk(part: Message) -> None:
        if part.is_multipart():
            found.append((part.get_content_type(), b""))
            for inner in part.get_payload():
                walk(inner)
        else:
            # Line ends of text are the reader's; the parser leaves them as CRLF.
            found.append((part.get_content_type(), part.get_payload(decode=True)))

    walk(email.message_from_bytes(content, policy=email.policy.compat32))
    return found


def part(content: bytes, *fields: bytes) -> bytes:
    """Make a part."""
    return b"".join(field + b"\r\n" for field in fields) + b"\r\n" + content


def multi(
    *parts: bytes, kind: bytes = b"mixed", boundary: bytes = b"xx", preamble: bytes = b"", more: bytes = b""
) -> tuple[bytes, bytes]:
    """Make the field and body of a multipart."""
    body = (
        preamble
        + b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts)
        + b"--"
        + boundary
        + b"--\r\n"
        + more
    )
    return b'Content-Type: multipart/%s; boundary="%s"' % (kind, boundary), body


E8 = b"Content-Transfer-Encoding: 8bit"
T8 = b"Content-Type: text/plain; charset=utf-8"
CASES = {
    "text": (H + T8 + b"\r\n" + E8 + b"\r\n", TEXT),
    "text_label_folded": (H + T8 + b"\r\nContent-Transfer-Encoding:\r\n 8BIT (really)\r\n", TEXT),
    "text_label_binary": (H + T8 + b"\r\nContent-Transfer-Encoding: binary\r\n", TEXT),
    "text_unlabelled": (H + T8 + b"\r\n", TEXT),
    "no_mime_at_all": (b"From: a@b.c\r\n", TEXT),
    "without_line_end": (H + T8 + b"\r\n" + E8 + b"\r\n", TEXT * 3 + "ü".encode()),
    "trailing_space": (H + T8 + b"\r\n" + E8 + b"\r\n", b"\xc3\xbc \t\r\n \r\n-- \r\n.\r\nFrom x\r\n=\r\n"),
    "long_line": (H + T8 + b"\r\n" + E8 + b"\r\n", b"x" * 5000 + b"\xc3\xbc\r\n"),
    "mostly_foreign": (H + T8 + b"\r\n" + E8 + b"\r\n", ("日本語" * 30 + "\r\n").encode() * 4),
    "quoted_printable_with_8_bits": (H + T8 + b"\r\nContent-Transfer-Encoding: quoted-printable\r\n", b"a=C3=BC\xc3\xbc=\r\nb\r\n"),
    "image": (H + b"Content-Type: image/png\r\n" + E8 + b"\r\n", bytes(range(128, 256)) + b"\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("key", CASES)
def test_single_part_reads_the_same(key: str) -> None:
    """Type and decoded content are what they were."""
    header, body = CASES[key]
    assert leaves(converted(header, body)) == leaves(header + b"\r\n" + body)


def test_fields_keep_their_places() -> None:
    """Only the encoding's field changes, where it stands."""
    header = H + E8 + b"\r\nX-A: b\r\n folded\r\n" + T8 + b"\r\n"
    new, _ = to_seven_bit(header, TEXT)
    assert new == header.replace(E8, b"Content-Transfer-Encoding: quoted-printable")


def test_unlabelled_text_is_called_unknown_8bit() -> None:
    """RFC 1428: we do not guess a charset."""
    new, body = to_seven_bit(b"From: a@b.c\r\n", b"caf\xe9 au lait\r\n")
    assert new == (
        b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
    )
    assert body == b"caf=E9 au lait\r\n"


def test_7_bit_message_is_not_touched() -> None:
    """Nothing to do."""
    header, body = H + E8 + b"\r\n", b"x" * 2000 + b"\r\n"
    assert to_seven_bit(header, body) == (header, body)


def test_parts_without_8_bits_are_not_touched() -> None:
    """A signed part beside 8-bit text keeps its octets; the containers' labels follow."""
    field, inner = multi(
        part(b"signed text", T8),
        part(b"sig", b"Content-Type: application/pgp-signature"),
        kind=b"signed",
        boundary=b"yy",
    )
    signed = part(inner, field)
    outer, body = multi(
        part("Es kommt auf die Größe an".encode(), T8, E8),
        signed,
        preamble="früher\r\n".encode(),
        more=b"\xff after\r\n",
    )
    header = H + outer + b"\r\n" + E8 + b"\r\n"
    content = converted(header, body)
    assert signed in content
    assert b"Content-Transfer-Encoding: 7bit\r\n" in content
    assert b"Gr=C3=B6=C3=9Fe an\r\n--xx" in content
    assert leaves(content) == leaves(header + b"\r\n" + body)
    assert content.endswith(b"--xx--\r\n? after\r\n")


def test_message_inside_is_converted_in_its_place() -> None:
    """message/rfc822 may not be encoded: what is inside is (RFC 2046 5.2.1)."""
    inside = b"Subject: x\r\n" + T8 + b"\r\n" + E8 + b"\r\n\r\n" + TEXT
    outer, body = multi(part(inside, b"Content-Type: message/rfc822", E8))
    content = converted(H + outer + b"\r\n", body)
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x\r\n" in content
    assert leaves(content) == leaves(H + outer + b"\r\n\r\n" + body)


def test_digest_without_types_holds_messages() -> None:
    """RFC 2046 5.1.5."""
    outer, body = multi(b"\r\nSubject: x\r\n\r\n" + TEXT, kind=b"digest")
    assert b"\r\nSubject: x\r\nMIME-Version: 1.0\r\n" in converted(H + outer + b"\r\n", body)


def _signed(kind: bytes) -> tuple[bytes, bytes]:
    field, body = multi(part(TEXT, T8, E8), part(b"sig"), kind=kind)
    return H + field + b"\r\n", body


REFUSED = {
    "signed": (*_signed(b"signed"), "signed or encrypted"),
    "encrypted": (*_signed(b"encrypted"), "signed or encrypted"),
    "s_mime": (H + b"Content-Type: application/pkcs7-mime\r\n", TEXT, "signed or encrypted"),
    "base64_with_8_bits": (H + b"Content-Transfer-Encoding: base64\r\n", TEXT, "labelled 'base64'"),
    "unknown_encoding": (H + b"Content-Transfer-Encoding: x-uuencode\r\n", TEXT, "labelled 'x-uuencode'"),
    "two_types": (H + T8 + b"\r\n" + T8 + b"\r\n", TEXT, "content-type is there more than once"),
    "two_encodings": (H + E8 + b"\r\n" + E8 + b"\r\n", TEXT, "content-transfer-encoding is there more than once"),
    "type_unreadable": (H + b"Content-Type: text\r\n", TEXT, "content type 'text'"),
    "no_boundary": (H + b"Content-Type: multipart/mixed\r\n", TEXT, "boundary can't be read"),
    "empty_boundary": (H + b'Content-Type: multipart/mixed; boundary=" "\r\n', TEXT, "boundary can't be read"),
    "no_parts": (H + b"Content-Type: multipart/mixed; boundary=x\r\n", TEXT, "a multipart without parts"),
    "multipart_in_quoted_printable": (H + b"Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: quoted-printable\r\n", TEXT, "multipart in quoted-printable"),
    "part_header": (H + multi(part(b"x", "X-A: ü".encode()))[0] + b"\r\n", multi(part(b"x", "X-A: ü".encode()))[1], "header of a part"),
    "message_inside_header": (H + b"Content-Type: message/rfc822\r\n", "Subject: ü\r\n\r\nx\r\n".encode(), "header of a message inside"),
    "delivery_status": (H + b"Content-Type: message/delivery-status\r\n", TEXT, "message/delivery-status"),
    "long_quoted_printable": (H + b"Content-Transfer-Encoding: quoted-printable\r\n", b"\xff" * 400 + b"\r\n", "lines of more than 998"),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_what_has_no_7_bit_form_is_refused(key: str) -> None:
    """The reason is printable ASCII, for the report."""
    header, body, reason = REFUSED[key]
    with pytest.raises(NotConvertible, match=re.escape(reason)) as caught:
        to_seven_bit(header, body)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_nesting_is_bounded() -> None:
    """A message of a thousand levels costs neither stack nor time."""
    field, body = multi(part(TEXT, T8, E8), boundary=b"b0")
    for n in range(1, 200):
        field, body = multi(part(body, field), boundary=b"b%d" % n)
    with pytest.raises(NotConvertible, match="nested deeper than 50"):
        to_seven_bit(H + field + b"\r\n", body)


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit the memory is not tried."""
    monkeypatch.setattr(seven_bit, "MAX_OCTETS", 5)
    with pytest.raises(NotConvertible, match="more than 5 octets"):
        to_seven_bit(H, TEXT)


def test_soft_break_makes_no_delimiter() -> None:
    """A line broken by quoted-printable must not begin like a delimiter around it: base64 then."""
    line = "ü".encode() + b"x" * 69 + b"--xx" + b"y" * 80 + b"\r\n"
    outer, body = multi(part(b"".join(b"z" * n + line for n in range(40)), T8, E8))
    content = converted(H + outer + b"\r\n", body)
    assert leaves(content) == leaves(H + outer + b"\r\n\r\n" + body)


def test_boundary_in_another_parameter_is_none() -> None:
    """Parameters are read one after the other; a quoted value may hold anything."""
    _, body = multi(part(TEXT, T8, E8), boundary=b"real one")
    header = H + b'Content-Type: multipart/mixed; name="; boundary=false"; ;boundary="real\\ one"\r\n'
    assert b"Gr=C3=BC" in converted(header, body)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"From: a@b.c\r\n", True),
        (b"From: a@b.c\r\ndkim-signature : v=1\r\n", False),
        (b"X-DKIM-Signature: v=1\r\n", True),
    ],
)
def test_conversion_is_wanted_only_where_it_helps(header: bytes, wanted: bool) -> None:
    """A DKIM signature would not survive it."""
    assert is_wanted(header) is wanted


WORDS = st.lists(
    st.sampled_from(["ü", "x", " ", "\t", "=", "--", "日本", ".", "\r\n", "--b0", "--b1--", "From ", "y" * 75]),
    max_size=25,
)
TEXTS = st.one_of(WORDS.map(lambda words: "".join(words).encode()), st.binary(max_size=60).map(
    lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\0", b"")))  # fmt: skip
TYPES = st.sampled_from([(), (T8,), (T8, E8), (b"Content-Type: text/html", b"Content-Transfer-Encoding: 7bit"),
                         (b"Content-Type: image/gif", E8), (b"Content-Type: application/x; name=y", b"Content-Transfer-Encoding: binary")])  # fmt: skip
SOLID = re.compile(rb"(?m)^--b\d")


def _boundary_free(text: bytes) -> bytes:
    """A part must not hold a delimiter itself."""
    return SOLID.sub(b"-", text)


LEAVES = st.builds(lambda text, fields: part(_boundary_free(text), *fields), TEXTS, TYPES)


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> tuple[bytes, bytes]:
    """Give the field and body of a multipart, its boundary its own."""
    parts = []
    for n in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 4 if depth < 3 else 2))
        if kind <= 2:
            parts.append(draw(LEAVES))
        elif kind == 3:
            field, body = draw(trees(depth=depth + 1 + n))
            parts.append(part(body, field, *draw(st.sampled_from([(), (E8,)]))))
        else:
            parts.append(part(b"Subject: x\r\n" + draw(LEAVES), b"Content-Type: message/rfc822"))
    return multi(*parts, boundary=b"b%d" % draw(st.integers(depth * 10, depth * 10 + 9)))


@given(trees())
def test_any_structure_reads_the_same(tree: tuple[bytes, bytes]) -> None:
    """Generated multiparts: parsed by CPython's email package before and after, the same leaves with the same octets."""
    field, body = tree
    header = H + field + b"\r\n"
    assert leaves(converted(header, body)) == leaves(header + b"\r\n" + body)


@given(
    st.sampled_from([H, b"", H + T8 + b"\r\n", H + b"Content-Type: multipart/mixed; boundary=b1\r\n"]),
    st.one_of(st.binary(max_size=200), TEXTS),
)
def test_hostile_content_is_converted_or_refused(header: bytes, body: bytes) -> None:
    """Nothing else is raised, and what comes out is 7-bit."""
    try:
        _, octets = to_seven_bit(header, body)
    except NotConvertible:
        return
    assert octets.isascii()
