"""Fields: cut without losing an octet, refused with the line named, made so that any reader reads them back."""

from __future__ import annotations

import email.header
import email.utils
from email.message import Message as StandardMessage
from email.parser import BytesParser
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.address import parse_mailboxes
from paravion.domain.headers import (
    Field,
    encode_words,
    format_date,
    format_mailbox,
    format_param,
    make_field,
    quote_param,
    split_header,
)
from paravion.domain.status import BAD_MESSAGE, Rejected

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=120)
ASCII_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)


@pytest.mark.parametrize(
    ("octets", "fields"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"A: b\r\n", [(b"A", b"A: b")], id="one"),
        pytest.param(b"A: b", [(b"A", b"A: b")], id="no_last_crlf"),
        pytest.param(b"A:\r\n", [(b"A", b"A:")], id="empty_value"),
        pytest.param(b"A: b\r\n\tc\r\n d\r\nE:f\r\n", [(b"A", b"A: b\r\n\tc\r\n d"), (b"E", b"E:f")], id="folded"),
        pytest.param(b"A: b\r\n \r\nC: d\r\n", [(b"A", b"A: b\r\n "), (b"C", b"C: d")], id="obs_blank_continuation"),
        pytest.param(b"A \t: b\r\n", [(b"A", b"A \t: b")], id="obs_space_before_colon"),
        pytest.param(b"!#$~: b\r\n", [(b"!#$~", b"!#$~: b")], id="any_printable_name"),
        pytest.param("A: ü\r\n".encode(), [(b"A", "A: ü".encode())], id="utf8"),
        pytest.param(b"A: " + b"x" * 995, [(b"A", b"A: " + b"x" * 995)], id="line_998"),
        pytest.param(b"A:" + b"\r\n b" * 400, [(b"A", b"A:" + b"\r\n b" * 400)], id="long_field_of_short_lines"),
        pytest.param(b"A: \x01\x1b\x7f\r\n", [(b"A", b"A: \x01\x1b\x7f")], id="obs_controls"),
    ],
)
def test_header_is_cut_into_fields(octets: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """RFC 5322 2.2 and 4.5: every octet stays in its field."""
    assert split_header(octets) == [Field(*pair) for pair in fields]


@pytest.mark.parametrize(
    ("octets", "detail"),
    [
        pytest.param(b"A: b\r\nC: d\r\nhello\r\n", "header line 3: no colon in 'hello'; is the empty line", id="no_colon"),
        pytest.param(b"A: b\r\n c\r\nhello\r\n", "header line 3: no colon", id="line_counts_folds"),
        pytest.param(b": x\r\n", "header line 1: no field name before the colon", id="no_name"),
        pytest.param(b"A b: x\r\n", "header line 1: bad field name 'A b'", id="space_in_name"),
        pytest.param("Ä: x\r\n".encode(), "header line 1: bad field name '\\xc4'", id="utf8_name"),
        pytest.param(b"A\x01: x\r\n", "header line 1: bad field name 'A\\x01'", id="control_in_name"),
        pytest.param(b"A\r\n : x\r\n", "header line 1: no colon in 'A'", id="fold_before_colon"),
        pytest.param(b" A: x\r\n", "header line 1: begins with white space", id="leading_space"),
        pytest.param(b"A: b\r\n\r\nC: d\r\n", "header line 2: empty line inside", id="empty_line"),
        pytest.param(b"A: b\r\nC: " + b"x" * 996, "header line 2: 999 octets, RFC 5322 allows 998", id="line_999"),
        pytest.param(b"A: b\r\n " + b"x" * 998, "header line 2: 999 octets", id="continuation_999"),
        pytest.param(b"A: b\r\nC: \x00\r\n", "header line 2: NUL", id="nul"),
        pytest.param(b"A: b\rBcc: c\r\n", "header line 1: carriage return without line feed", id="bare_cr"),
        pytest.param(b"A: b\nBcc: c\r\n", "header line 1: line feed without carriage return", id="bare_lf"),
        pytest.param(b"A: b\r\n\r", "header line 2: carriage return", id="cr_at_end"),
        pytest.param(b"A: b\r\nC: J\xf6rg\r\n", "header line 2: octets that are neither ASCII nor UTF-8", id="latin1"),
    ],
)  # fmt: skip
def test_bad_header_is_refused_with_its_line(octets: bytes, detail: str) -> None:
    """What RFC 5322 2.2 and 6532 can't be is bad_message, the line counted from 1."""
    with pytest.raises(Rejected) as caught:
        split_header(octets)
    assert caught.value.status is BAD_MESSAGE
    assert caught.value.detail.startswith(detail)
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()


@given(st.one_of(st.binary(max_size=80), st.text("Aa: \t\r\n\x00ü", max_size=80).map(str.encode)))
def test_header_splitter_raises_nothing_but_rejected(octets: bytes) -> None:
    """Whatever comes in: fields that join to the same octets, or Rejected."""
    try:
        fields = split_header(octets)
    except Rejected:
        return
    assert b"\r\n".join(field.raw for field in fields) == octets.removesuffix(b"\r\n")


def test_value_is_unfolded() -> None:
    """RFC 5322 2.2.3: CRLF before white space goes, the white space stays."""
    field = Field(b"Subject", b"Subject :  a\r\n\tb\r\n  c ")
    assert field.value == b"a\tb  c"
    assert field.key == b"subject"


@pytest.mark.parametrize(
    ("name", "value", "octets"),
    [
        pytest.param("A", "b", b"A: b\r\n", id="plain"),
        pytest.param("A", "", b"A:\r\n", id="empty"),
        pytest.param("A", "  b \t", b"A: b\r\n", id="trimmed"),
        pytest.param("A", "x" * 40 + " " + "y" * 40, b"A: " + b"x" * 40 + b"\r\n " + b"y" * 40 + b"\r\n", id="folded"),
        pytest.param("A", "x" * 72 + " y", b"A: " + b"x" * 72 + b"\r\n y\r\n", id="column_77"),
        pytest.param("A", "x" * 71 + " y", b"A: " + b"x" * 71 + b" y\r\n", id="column_76"),
        pytest.param("A", "x" * 200, b"A: " + b"x" * 200 + b"\r\n", id="one_long_word"),
        pytest.param("A", "x" * 995, b"A: " + b"x" * 995 + b"\r\n", id="line_998"),
        pytest.param("A", "x" * 997, b"A:\r\n " + b"x" * 997 + b"\r\n", id="after_the_name"),
    ],
)
def test_field_is_made_and_folded(name: str, value: str, octets: bytes) -> None:
    """RFC 5322 2.2.3: folds stand before white space, lines keep to 76 columns where words allow it."""
    assert make_field(name, value) == octets


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        pytest.param("A", "b\r\nBcc: c", "A: control character \\x0d at position 2", id="crlf"),
        pytest.param("A", "b\nc", "control character \\x0a", id="lf"),
        pytest.param("A", "b\rc", "control character \\x0d", id="cr"),
        pytest.param("A", "b\x00", "control character \\x00", id="nul"),
        pytest.param("A", "\x1b[2J", "control character \\x1b", id="escape"),
        pytest.param("A", "jörg", "value is not ASCII", id="not_ascii"),
        pytest.param("A", "x" * 998, "can't be folded", id="word_too_long"),
        pytest.param("", "b", "bad field name ''", id="no_name"),
        pytest.param("A:", "b", "bad field name 'A:'", id="colon"),
        pytest.param("A b", "b", "bad field name 'A b'", id="space"),
        pytest.param("A\r\nB", "b", "bad field name", id="name_injection"),
        pytest.param("A\n", "b", "bad field name", id="name_with_lf"),
        pytest.param("Ä", "b", "bad field name", id="utf8_name"),
    ],
)
def test_bad_field_is_not_made(name: str, value: str, reason: str) -> None:
    """Nothing crosses from a value into the header section."""
    with pytest.raises(ValueError) as caught:
        make_field(name, value)
    assert reason in str(caught.value)


def test_utf8_field_is_made_on_demand() -> None:
    """RFC 6532: only for a message that needs SMTPUTF8; octets count, not characters."""
    assert make_field("To", "jörg@b.c", utf8=True) == "To: jörg@b.c\r\n".encode()
    assert make_field("A", "ü" * 36 + " ü", utf8=True) == ("A: " + "ü" * 36 + "\r\n ü\r\n").encode()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=2500))
def test_made_field_reads_back(value: str) -> None:
    """One field comes out of the splitter, its value is what went in, and its lines are short enough."""
    try:
        octets = make_field("X-Test", value)
    except ValueError:
        assert any(len(word) > 980 for word in value.split())
        return
    [field] = split_header(octets)
    assert field.value == value.strip(" \t").encode()
    for line in octets.split(b"\r\n"):
        assert len(line) <= 76 or len(line.split()) <= 2 or b"  " in line


@given(TEXT)
def test_encoded_words_read_back(text: str) -> None:
    """RFC 2047: another decoder gives the text; each word has at most 75 characters, and 62 here."""
    encoded = encode_words(text)
    assert encoded.isascii()
    if text.isascii():
        assert encoded == text
        return
    assert all(len(word) <= 62 for word in encoded.split(" "))
    assert str(email.header.make_header(email.header.decode_header(encoded))) == text
    for line in make_field("Subject", encoded).splitlines():
        assert len(line) <= 76


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        pytest.param("plain = text?", "plain = text?", id="ascii"),
        pytest.param("Grüße", "=?utf-8?b?R3LDvMOfZQ==?=", id="b_is_shorter"),
        pytest.param("a café au lait", "=?utf-8?q?a_caf=C3=A9_au_lait?=", id="q_is_shorter"),
        pytest.param("日本語", "=?utf-8?b?5pel5pys6Kqe?=", id="b"),
    ],
)
def test_words_are_encoded_the_shorter_way(text: str, encoded: str) -> None:
    """Q for text that is nearly ASCII, B for the rest."""
    assert encode_words(text) == encoded


def test_words_with_controls_are_not_encoded() -> None:
    """An encoded CRLF would only be a slower injection."""
    with pytest.raises(ValueError, match="control character"):
        encode_words("ü\r\nBcc: x")


@pytest.mark.parametrize(
    ("display", "address", "text"),
    [
        pytest.param("", "a@B.C", "a@b.c", id="address_alone"),
        pytest.param("Jane Doe", "a@b.c", "Jane Doe <a@b.c>", id="phrase"),
        pytest.param("Doe, Jane", "a@b.c", '"Doe, Jane" <a@b.c>', id="quoted"),
        pytest.param('J "x" \\', "a@b.c", '"J \\"x\\" \\\\" <a@b.c>', id="escaped"),
        pytest.param("evil@x.y", "a@b.c", '"evil@x.y" <a@b.c>', id="address_as_name"),
        pytest.param("Jörg", "a@bücher.de", "=?utf-8?b?SsO2cmc=?= <a@xn--bcher-kva.de>", id="encoded"),
        pytest.param("=?utf-8?q?J=C3=B6?=", "a@b.c", "=?utf-8?q?J=C3=B6?= <a@b.c>", id="encoded_already"),
    ],
)
def test_mailbox_is_formatted(display: str, address: str, text: str) -> None:
    """RFC 5322 3.4: a phrase, quoted or encoded as it needs, and a checked address."""
    assert format_mailbox(display, address) == text


@pytest.mark.parametrize(
    ("display", "address"),
    [
        pytest.param("a\r\nBcc: x@y.z", "a@b.c", id="name_injection"),
        pytest.param("ü\n", "a@b.c", id="encoded_injection"),
        pytest.param("a", "a@b.c>\r\nBcc: <x@y.z", id="address_injection"),
        pytest.param("a", "", id="no_address"),
    ],
)
def test_bad_mailbox_is_not_formatted(display: str, address: str) -> None:
    """A name or address never leaves its place."""
    with pytest.raises(ValueError):
        format_mailbox(display, address)


@given(ASCII_TEXT.filter(lambda text: "=?" not in text))
def test_formatted_mailbox_reads_back(display: str) -> None:
    """Our own list parser gives back the name and address."""
    [mailbox] = parse_mailboxes(format_mailbox(display, "a@b.c").encode())
    assert (mailbox.display.decode(), mailbox.address) == (display.strip(), "a@b.c")


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [
        pytest.param(0, "Thu, 01 Jan 1970 00:00:00 +0000", id="epoch"),
        pytest.param(951_782_400.999, "Tue, 29 Feb 2000 00:00:00 +0000", id="leap_day"),
        pytest.param(1_700_000_000, "Tue, 14 Nov 2023 22:13:20 +0000", id="round_number"),
    ],
)
def test_date_is_formatted(epoch_s: float, text: str) -> None:
    """RFC 5322 3.3, in UTC, never in the locale's words."""
    assert format_date(epoch_s) == text


@given(st.integers(0, 4_102_444_799))
def test_date_agrees_with_the_standard_library(epoch_s: int) -> None:
    """Every second of this century, as email.utils has it."""
    assert format_date(epoch_s) == email.utils.formatdate(epoch_s).replace("-0000", "+0000")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("utf-8", "utf-8", id="token"),
        pytest.param("a b", '"a b"', id="space"),
        pytest.param("", '""', id="empty"),
        pytest.param('a"\\', '"a\\"\\\\"', id="escaped"),
        pytest.param("=_abc", '"=_abc"', id="boundary"),
        pytest.param("100%.txt", '"100%.txt"', id="percent"),
        pytest.param("it's", '"it\'s"', id="apostrophe"),
        pytest.param("a*b", '"a*b"', id="asterisk"),
    ],
)
def test_parameter_is_quoted_when_needed(value: str, text: str) -> None:
    """RFC 2045 5.1: tspecials and spaces need quotes."""
    assert quote_param(value) == text


@pytest.mark.parametrize("value", [pytest.param("a\r\nb", id="crlf"), pytest.param("ü", id="not_ascii")])
def test_bad_parameter_is_not_quoted(value: str) -> None:
    """Neither control characters nor anything beyond ASCII."""
    with pytest.raises(ValueError, match="parameter value"):
        quote_param(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("a.txt", "filename=a.txt", id="token"),
        pytest.param("a b.txt", 'filename="a b.txt"', id="quoted"),
        pytest.param("ü.txt", "filename*=utf-8''%C3%BC.txt", id="encoded"),
        pytest.param("a" * 65, "filename=" + "a" * 65, id="fills_a_line"),
        pytest.param("a" * 66, f"filename*0*=utf-8''{'a' * 53}; filename*1*={'a' * 13}", id="sections"),
    ],
)
def test_parameter_is_formatted(value: str, text: str) -> None:
    """RFC 2231 4 only where RFC 2045 does not suffice."""
    assert format_param("filename", value) == text


@pytest.mark.parametrize("name", ["", "file name", "filename*", "a'b", "a%b", "a\r\n"])
def test_bad_parameter_name_is_refused(name: str) -> None:
    """RFC 2231 7: `*`, `'` and `%` have a meaning there."""
    with pytest.raises(ValueError, match="bad parameter name"):
        format_param(name, "x")


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=700))
def test_parameter_reads_back(value: str) -> None:
    """CPython's parser gives the same value, sections and all, out of a folded field."""
    octets = make_field("Content-Disposition", "attachment; " + format_param("filename", value))
    message = StandardMessage()
    [field] = split_header(octets)
    message["Content-Disposition"] = field.value.decode()
    found = message.get_filename("")
    if not value.isascii() or len(value) > 500:
        assert found == value.strip()  # get_filename strips
    else:  # its unquoting of plain values differs in the details of white space
        assert BytesParser(policy=SMTP).parsebytes(octets + b"\r\n").get_content_disposition() == "attachment"


@given(st.text("ab*'%;=\"\\ ()@,.", max_size=300))  # without <>, which the old parser takes for quotes
def test_ascii_parameter_reads_back_by_both_parsers(value: str) -> None:
    """Python's old parser and its new one read the same name, whatever RFC 2231 marks it holds."""
    octets = make_field("Content-Disposition", "attachment; " + format_param("filename", value))
    content = octets + b"\r\n"
    if '"' not in value:  # which the old parser unquotes twice
        assert email.message_from_bytes(content, policy=email.policy.compat32).get_filename() == value.strip()
    if value:
        assert (
            email.message_from_bytes(content, policy=email.policy.default)["Content-Disposition"].params["filename"]
            == value
        )


@pytest.mark.parametrize("name", ["a b c d e f g h i j k l", "x" * 30 + " " + "y" * 30])
def test_quoted_string_is_not_folded_inside(name: str) -> None:
    """White space around a fold is read differently; a quoted string that fits on a line stays whole."""
    octets = make_field("Content-Disposition", "attachment; creation-date=z; " + format_param("filename", name))
    assert f'"{name}"'.encode() in octets
