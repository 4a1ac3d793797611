"""A message keeps its octets or is refused with the reason; what we add and remove is exactly what we say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.headers import split_header
from paravion.domain.message import (
    MAX_HEADER_OCTETS,
    Controls,
    Message,
    complete,
    control_fields,
    header_recipients,
    header_sender,
    hop_count,
    read_message,
    received_field,
)
from paravion.domain.status import BAD_MESSAGE, MESSAGE_TOO_BIG, RECIPIENT_SYNTAX, SENDER_SYNTAX, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

A = TypeVar("A")
T = TypeVar("T")

LIMIT = 1 << 20
NOW = 1_700_000_000.0
DATE = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
QUEUE_ID = "abcdefghijklmnopqrstuvwxyz"
MESSAGE_ID = b"Message-ID: <abcdefghijklmnopqrstuvwxyz@mx.example>\r\n"
FROM = b"From: a@b.c\r\n"


def read(content: bytes) -> Message:
    """Read with a limit that no test but those of limits meets."""
    return read_message(content, max_octets=LIMIT)


def completed(content: bytes, *, trace: bytes = b"", restamp: bool = False) -> bytes:
    """Give the completed header of a content."""
    return complete(read(content), queue_id=QUEUE_ID, now=NOW, hostname="mx.example", trace=trace, restamp=restamp)


@pytest.mark.parametrize(
    ("content", "body"),
    [
        pytest.param(FROM + b"\r\nhello\r\n", b"hello\r\n", id="plain"),
        pytest.param(FROM + b"\r\n", b"", id="empty_body"),
        pytest.param(FROM, b"", id="header_only"),
        pytest.param(FROM[:-2], b"", id="header_only_without_crlf"),
        pytest.param(FROM + b"\r\n\r\n", b"\r\n", id="body_of_one_empty_line"),
        pytest.param(FROM + b"\r\nhello", b"hello\r\n", id="last_crlf_added"),
        pytest.param(FROM + b"\r\n.\r\n..\r\n.a\r\n", b".\r\n..\r\n.a\r\n", id="dots_stay"),
        pytest.param(FROM + b"\r\nX: y\r\n\r\nz\r\n", b"X: y\r\n\r\nz\r\n", id="body_like_a_header"),
        pytest.param(FROM + b"\r\n \r\n", b" \r\n", id="body_begins_with_space"),
        pytest.param(b"From: a@b.c\n\nhello\nthere\n", b"hello\r\nthere\r\n", id="lf_only"),
        pytest.param(b"From: a@b.c\n\nhello", b"hello\r\n", id="lf_only_last_added"),
        pytest.param(b"From: a@b.c\r\n\nx\r\ny\n\n", b"x\r\ny\r\n\r\n", id="mixed"),
        pytest.param(b"From: a@b.c\n\r\nx\n", b"x\r\n", id="lf_then_crlf"),
        pytest.param(FROM + b"\r\na\n.\nQUIT\r\n", b"a\r\n.\r\nQUIT\r\n", id="smuggled_dot"),
        pytest.param(b"From a@b.c Tue Nov 14 22:13:20 2023\r\n" + FROM + b"\r\nx\r\n", b"x\r\n", id="mbox_line"),
        pytest.param(b"From a@b.c Tue Nov 14 22:13:20 2023\nFrom: a@b.c\n\nx\n", b"x\r\n", id="mbox_line_lf"),
        pytest.param(b"From : a@b.c\r\n\r\nx\r\n", b"x\r\n", id="obsolete_from_is_no_mbox_line"),
        pytest.param(FROM + b"\r\n\xff\xfe\r\n", b"\xff\xfe\r\n", id="8_bit"),
    ],
)
def test_body_is_kept(content: bytes, body: bytes) -> None:
    """The module's table: CRLF line ends stay, bare LFs become CRLF, dots are not ours to touch."""
    message = read(content)
    assert message.body == body
    assert [field.key for field in message.fields] == [b"from"]
    assert message.fields[0].value == b"a@b.c"


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        pytest.param(b"", "From: field is missing", id="nothing"),
        pytest.param(b"\r\nhello\r\n", "From: field is missing", id="no_header"),
        pytest.param(b"\nhello\n", "From: field is missing", id="no_header_lf"),
        pytest.param(b"hello there\r\n", "header line 1: no colon in 'hello there'; is the empty line", id="body_alone"),
        pytest.param(FROM + b"hello\r\n", "header line 2: no colon", id="no_empty_line"),
        pytest.param(b"From nobody\r\n", "From: field is missing", id="mbox_line_alone"),
        pytest.param(b"From nobody", "header line 1: no colon", id="mbox_line_without_end"),
        pytest.param(b"Subject: x\r\n\r\n", "From: field is missing", id="no_from"),
        pytest.param(b"From:\r\n\r\n", "From: field has no address", id="empty_from"),
        pytest.param(b"From: nobody:;\r\n\r\n", "From: field has no address", id="empty_group"),
        pytest.param(b"From: (a:b)\r\n\r\n", "From: field has no address", id="comment_alone"),
        pytest.param(b"From: root\r\n\r\n", "From: no domain in 'root'", id="unqualified_from"),
        pytest.param(b"From: a@b.c, d@e.f\r\n\r\n", "From: 2 addresses need a Sender", id="authors_without_sender"),
        pytest.param(FROM + b"\r\na\rb\r\n", "line 3 of the message, octet 2: carriage return", id="bare_cr"),
        pytest.param(FROM + b"\r\na\r", "line 3 of the message, octet 2: carriage return", id="cr_at_end"),
        pytest.param(FROM + b"\r\na\r\r\n", "line 3 of the message, octet 2: carriage return", id="cr_cr_lf"),
        pytest.param(FROM + b"\r\na\n\rb", "line 4 of the message, octet 1: carriage return", id="lf_cr"),
        pytest.param(b"From: a@b.c\rBcc: d@e.f\r\n\r\n", "line 1 of the message, octet 12", id="cr_in_header"),
        pytest.param(FROM + b"\r\nx\r\na\x00\r\n", "line 4 of the message, octet 2: NUL", id="nul"),
        pytest.param(FROM + b"X: " + b"x" * 996 + b"\r\n\r\n", "header line 2: 999 octets", id="header_line_999"),
        pytest.param(FROM + b"X: \xe9\r\n\r\n", "header line 2: octets that are neither", id="latin1_header"),
        pytest.param(FROM + b"Bad name: x\r\n\r\n", "header line 2: bad field name", id="bad_name"),
        pytest.param(FROM + b"X: y\r\n\r\n", "", id="good"),
    ],
)  # fmt: skip
def test_bad_message_is_refused_with_its_place(content: bytes, detail: str) -> None:
    """BAD_MESSAGE, and the detail leads to the octet or the field."""
    if not detail:
        assert len(read(content).fields) == 2
        return
    with pytest.raises(Rejected) as caught:
        read(content)
    assert caught.value.status is BAD_MESSAGE
    assert caught.value.detail.startswith(detail)


@pytest.mark.parametrize(
    "name",
    ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Date"],
)
def test_singleton_twice_is_refused_by_name(name: str) -> None:
    """RFC 5322 3.6: at most once, in whatever case and with whatever obsolete space it comes."""
    odd = name.swapcase().encode()
    start = b"" if name == "From" else FROM
    with pytest.raises(Rejected) as caught:
        read(start + name.encode() + b": a@b.c\r\nX: y\r\n" + odd + b" : d@e.f\r\n\r\n")
    assert caught.value.status is BAD_MESSAGE
    assert caught.value.detail == f"{name}: field is there more than once (RFC 5322 3.6)"


def test_other_fields_may_repeat() -> None:
    """Received, Comments, Keywords, Resent- and optional fields come as often as they like."""
    content = FROM + b"Received: x\r\nReceived: y\r\nComments: x\r\nComments: y\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    assert hop_count(read(content)) == 2
    assert read(content).values(b"X-a") == [b"1", b"2"]


def test_bare_lf_is_refused_by_policy() -> None:
    """RFC 5321 2.3.8 forbids it; who wants may refuse it, the place named."""
    with pytest.raises(Rejected) as caught:
        read_message(FROM + b"\r\nx\ny\r\n", max_octets=LIMIT, bare_lf="refuse")
    assert caught.value.detail == "line 3 of the message, octet 2: line feed without carriage return"
    assert read_message(FROM + b"\r\nx\r\n", max_octets=LIMIT, bare_lf="refuse").body == b"x\r\n"
    with pytest.raises(ValueError, match="bare_lf='perhaps'"):
        read_message(FROM, max_octets=LIMIT, bare_lf="perhaps")


@pytest.mark.parametrize(
    ("content", "limit", "fits"),
    [
        pytest.param(FROM + b"\r\n", 15, True, id="exactly"),
        pytest.param(FROM + b"\r\n", 14, False, id="one_over"),
        pytest.param(FROM + b"\r\n\n\n", 19, True, id="lf_counts_as_two"),
        pytest.param(FROM + b"\r\n\n\n", 18, False, id="lf_counts_as_two_over"),
    ],
)
def test_size_is_counted_with_crlf(content: bytes, limit: int, fits: bool) -> None:
    """RFC 1870 5: the message's size is that of its form on the wire."""
    if fits:
        read_message(content, max_octets=limit)
        return
    with pytest.raises(Rejected) as caught:
        read_message(content, max_octets=limit)
    assert caught.value.status is MESSAGE_TOO_BIG


def test_header_section_has_a_limit() -> None:
    """A hostile header of half a million fields is not worth the memory."""
    filler = b"X: y\r\n" * (MAX_HEADER_OCTETS // 6)
    with pytest.raises(Rejected) as caught:
        read(FROM + filler + b"\r\n")
    assert caught.value.status is MESSAGE_TOO_BIG
    assert "header section" in caught.value.detail


@pytest.mark.parametrize(
    ("header", "body", "is_8bit", "header_is_utf8"),
    [
        pytest.param(b"", b"x\r\n", False, False, id="ascii"),
        pytest.param(b"", b"\xe9\r\n", True, False, id="8bit_body"),
        pytest.param("Subject: ü\r\n".encode(), b"x\r\n", False, True, id="utf8_header"),
        pytest.param("To: jörg@b.c\r\n".encode(), "ü\r\n".encode(), True, True, id="both"),
    ],
)
def test_needs_of_8_bits_are_told(header: bytes, body: bytes, is_8bit: bool, header_is_utf8: bool) -> None:
    """RFC 6152 for the body, RFC 6531 and 6532 for the header."""
    message = read(FROM + header + b"\r\n" + body)
    assert (message.is_8bit, message.header_is_utf8) == (is_8bit, header_is_utf8)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b"x" * 998 + b"\r\n", 0, id="998"),
        pytest.param(b"x" * 999 + b"\r\n", 1, id="999"),
        pytest.param(b"x" * 999, 1, id="999_without_crlf"),
        pytest.param((b"x" * 998 + b"\r\n") * 3, 0, id="998_each"),
        pytest.param(b"a\r\n" * 700 + b"x" * 999 + b"\r\nb\r\n", 701, id="later"),
        pytest.param(b"a\r\n" + b"x" * 500 + b"\r\n" + b"y" * 600 + b"\r\n", 0, id="two_that_are_longer_together"),
    ],
)
def test_long_body_line_is_kept_and_told(body: bytes, line: int) -> None:
    """RFC 5321 4.5.3.1.6 sets a least that hosts take; wrapping would change the mail."""
    message = read(FROM + b"\r\n" + body)
    assert message.long_line == line
    assert message.body.removesuffix(b"\r\n") == body.removesuffix(b"\r\n")


@given(st.lists(st.integers(0, 1200), max_size=12))
def test_first_long_line_is_found(lengths: list[int]) -> None:
    """The jumping search agrees with looking at every line."""
    body = b"".join(b"x" * n + b"\r\n" for n in lengths)
    expected = next((n for n, length in enumerate(lengths, 1) if length > 998), 0)
    assert read(FROM + b"\r\n" + body).long_line == expected


@pytest.mark.parametrize("offset", range(-3, 4))
def test_crlf_across_pieces_is_kept(offset: int) -> None:
    """Normalising works in pieces of 256 KiB; a CRLF on their border is one line end."""
    start = b"\n"  # makes the message one that needs normalising
    padding = b"x" * ((1 << 18) - len(start) - 1 + offset)
    body = read(FROM + b"\r\n" + start + padding + b"\r\ny\n").body
    assert body == b"\r\n" + padding + b"\r\ny\r\n"


NAMES = st.sampled_from(["X-Test", "x-test", "X", "Received", "Keywords", "X-!#$%&'*+-.^_`|~", "x-paravio"])
WORDS = st.lists(st.text('aZ09,:;<>"()\\.=?@ü日\x01', min_size=1, max_size=8), max_size=4)
FOLDS = st.sampled_from([" ", "\t", "\r\n ", "\r\n\t", "\r\n  \r\n "])
FIELDS = st.lists(
    st.builds(lambda name, gap, fold, words: f"{name}{gap}:{fold.join(['', *words])}".encode(),
              NAMES, st.sampled_from(["", " ", "\t"]), FOLDS, WORDS),
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=200).map(lambda octets: octets.replace(b"\0", b"").replace(b"\r", b"").replace(b"\n", b"\r\n")),
    st.lists(st.sampled_from([b".", b"..", b"", b"x", b"\xff", b"From x", b"A: b"]), max_size=10).map(b"\r\n".join),
)


@given(FIELDS, FIELDS, BODIES, st.booleans(), st.booleans())
def test_round_trip(before: list[bytes], after: list[bytes], body: bytes, lf_only: bool, restamp: bool) -> None:
    """Every original field comes out in order with its octets, the body with its own (CRLF line ends)."""
    fields = [*before, b"From: a@b.c", *after]
    content = b"\r\n".join((*fields, b"", body))
    if lf_only:
        content = content.replace(b"\r\n", b"\n")
    trace = received_field(client="", hostname="h", protocol="HTTPS", queue_id=QUEUE_ID, for_path=None, now=NOW)
    header = completed(content, trace=trace, restamp=restamp)
    last_received = max((n for n, raw in enumerate(fields, 1) if raw.startswith(b"Received")), default=0)
    lines = [raw + b"\r\n" for raw in fields]
    assert header == b"".join((trace, *lines[:last_received], DATE, MESSAGE_ID, *lines[last_received:]))
    expected_body = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert read(content).body == expected_body
    again = read(header + b"\r\n" + expected_body)
    assert [field.raw for field in again.fields if field.key not in {b"date", b"message-id"}][1:] == fields
    assert again.body == expected_body


@given(st.one_of(st.binary(max_size=100), st.text("From: a@b\r\n\t .\x00ü,<>", max_size=80).map(str.encode),
                 st.text("From: a@b\r\n\t .,<>", max_size=80).map(lambda t: FROM + t.encode())))  # fmt: skip
def test_reader_raises_nothing_but_rejected(content: bytes) -> None:
    """Whatever comes in is a message whose every reader works or refuses, or is refused."""
    message = _unless_rejected(read, content)
    if message is None:
        return
    split_header(complete(message, queue_id=QUEUE_ID, now=NOW, hostname="h", trace=b"", restamp=False))
    assert b"\r" not in message.body.replace(b"\r\n", b"")
    assert b"\n" not in message.body.replace(b"\r\n", b"")
    readers: tuple[Callable[[Message], object], ...] = (header_recipients, header_sender, control_fields, hop_count)
    for reader in readers:
        _unless_rejected(reader, message)


def _unless_rejected(reader: Callable[[A], T], argument: A) -> T | None:
    """Call it; None when it refuses, in printable ASCII."""
    try:
        return reader(argument)
    except Rejected as exc:
        detail = exc.detail
    assert detail.isascii()
    assert detail.isprintable()
    return None


REST = b"Subject: x\r\n"


@pytest.mark.parametrize(
    ("content", "trace", "restamp", "header"),
    [
        pytest.param(FROM, b"", False, DATE + MESSAGE_ID + FROM, id="both_missing"),
        pytest.param(FROM, b"Received: x\r\n", False, b"Received: x\r\n" + DATE + MESSAGE_ID + FROM, id="behind_ours"),
        pytest.param(b"Received: y\r\n" + FROM, b"Received: x\r\n", False,
                     b"Received: x\r\nReceived: y\r\n" + DATE + MESSAGE_ID + FROM, id="behind_theirs"),
        pytest.param(FROM + b"dATE: then\r\n", b"", False, MESSAGE_ID + FROM + b"dATE: then\r\n", id="date_kept"),
        pytest.param(FROM + b"message-id: <x@y>\r\n", b"", False, DATE + FROM + b"message-id: <x@y>\r\n", id="id_kept"),
        pytest.param(b"Date: then\r\n" + FROM + b"Message-Id: <x@y>\r\n" + REST, b"", True,
                     DATE + FROM + MESSAGE_ID + REST, id="restamped_in_place"),
        pytest.param(b"Date: then\r\n" + FROM, b"", True, MESSAGE_ID + DATE + FROM, id="restamped_and_added"),
    ],
)  # fmt: skip
def test_header_is_completed(content: bytes, trace: bytes, restamp: bool, header: bytes) -> None:
    """RFC 6409 8.1 and 8.2; trace fields stay together at the top (RFC 5322 3.6)."""
    assert completed(content, trace=trace, restamp=restamp) == header


@pytest.mark.parametrize(
    "name",
    [
        *("Bcc", "Resent-Bcc", "Return-Path", "X-SES-CONFIGURATION-SET", "X-SES-MESSAGE-TAGS"),
        *("X-SES-SOURCE-ARN", "X-SES-FROM-ARN", "X-SES-RETURN-PATH-ARN", "X-SES-LIST-MANAGEMENT-OPTIONS"),
        *("X-Paravion-Anything", "x-paravion-"),
    ],
)
@pytest.mark.parametrize("change", [str, str.lower, str.swapcase])
def test_field_that_is_not_for_the_receiver_is_removed(name: str, change: type[str]) -> None:
    """Folded or not, in whatever case, obsolete space or not."""
    assert completed(FROM + change(name).encode() + b" : x,\r\n y\r\n" + REST) == DATE + MESSAGE_ID + FROM + REST


def test_fields_like_the_removed_ones_stay() -> None:
    """Other X- fields are the sender's."""
    rest = b"X-SES-Outgoing: 1\r\nX-Paravion: 1\r\nX-Bcc: 1\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    assert completed(FROM + rest) == DATE + MESSAGE_ID + FROM + rest


def test_trace_must_be_whole_fields() -> None:
    """Otherwise the first original field would become part of it."""
    with pytest.raises(ValueError, match="CRLF"):
        completed(FROM, trace=b"Received: x")


@pytest.mark.parametrize(
    ("client", "for_path", "value"),
    [
        pytest.param("[192.0.2.7]", "b@y.example",
                     "from [192.0.2.7] by mx.example (paravion) with ESMTPSA id ID for <b@y.example>; DATE", id="single"),
        pytest.param("[IPv6:2001:db8::7]", None,
                     "from [IPv6:2001:db8::7] by mx.example (paravion) with ESMTPSA id ID; DATE", id="ipv6"),
        pytest.param("host.example (host.example [192.0.2.7])", None,
                     "from host.example (host.example [192.0.2.7]) by mx.example (paravion) with ESMTPSA id ID; DATE", id="comment"),
        pytest.param("", None, "by mx.example (paravion) with ESMTPSA id ID; DATE", id="no_client"),
        pytest.param("evil; (x) by y\r\nBcc: z", None,
                     "from unknown (evil? ?x? by y??Bcc: z) by mx.example (paravion) with ESMTPSA id ID; DATE", id="hostile"),
        pytest.param("x" * 400, None, "from " + "x" * 304 + " by mx.example (paravion) with ESMTPSA id ID; DATE", id="long"),
        pytest.param("", '"a b"@c.d', 'by mx.example (paravion) with ESMTPSA id ID for <"a b"@c.d>; DATE', id="quoted"),
        pytest.param("", "jörg@c.d", "by mx.example (paravion) with ESMTPSA id ID for <jörg@c.d>; DATE", id="utf8"),
    ],
)  # fmt: skip
def test_received_field(client: str, for_path: str | None, value: str) -> None:
    """RFC 5321 4.4 and 3848; nothing a client says breaks out of its place."""
    octets = received_field(
        client=client, hostname="mx.example", protocol="ESMTPSA", queue_id=QUEUE_ID, for_path=for_path, now=NOW
    )
    [field] = split_header(octets)
    expected = value.replace("DATE", "Tue, 14 Nov 2023 22:13:20 +0000").replace(" ID", f" {QUEUE_ID}")
    assert field.name == b"Received"
    assert field.value.decode() == expected
    assert octets.endswith(b"\r\n")


def test_received_field_takes_no_injection() -> None:
    """A for-path with a line end is a caller's bug, not a field."""
    with pytest.raises(ValueError, match="control character"):
        received_field(client="", hostname="h", protocol="HTTPS", queue_id=QUEUE_ID, for_path="a@b\r\nX: y", now=NOW)


@pytest.mark.parametrize(
    ("fields", "controls"),
    [
        pytest.param(b"", Controls("", (), {}), id="none"),
        pytest.param(b"x-ses-configuration-set: main\r\n", Controls("main", (), {}), id="set"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k=v, k2=v2\r\n", Controls("", (("k", "v"), ("k2", "v2")), {}), id="tags"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k=v,\r\n\tk2 = v2,\r\n", Controls("", (("k", "v"), ("k2", "v2")), {}), id="folded"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k=v\r\nX-SES-MESSAGE-TAGS: a=b\r\n", Controls("", (("k", "v"), ("a", "b")), {}), id="two_fields"),
        pytest.param(b"X-Ses-Source-Arn: x\r\nX-SES-RETURN-PATH-ARN: y\r\nX-SES-FROM-ARN: z\r\n",
                     Controls("", (), {"source_arn": "x", "return_path_arn": "y", "from_arn": "z"}), id="arns"),
        pytest.param(b"X-SES-LIST-MANAGEMENT-OPTIONS: news; topic=sport\r\n",
                     Controls("", (), {}, "news; topic=sport"), id="contact_list"),
        pytest.param(b"X-SES-Outgoing: x\r\n", Controls("", (), {}), id="a_received_one"),
    ],
)  # fmt: skip
def test_control_fields_are_read(fields: bytes, controls: Controls) -> None:
    """SES's fields become settings of the send; those we can't obey are named."""
    assert control_fields(read(FROM + fields)) == controls


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        pytest.param(b"X-SES-CONFIGURATION-SET: a b\r\n", "X-SES-CONFIGURATION-SET: 'a b' is not 1 to 64", id="set"),
        pytest.param(b"X-SES-CONFIGURATION-SET:\r\n", "X-SES-CONFIGURATION-SET: '' is not", id="empty_set"),
        pytest.param(b"X-SES-CONFIGURATION-SET: a\r\nX-SES-CONFIGURATION-SET: a\r\n",
                     "X-SES-CONFIGURATION-SET: field is there more than once", id="two_sets"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k\r\n", "X-SES-MESSAGE-TAGS: 'k' is not of the form name=value", id="no_equals"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k=\r\n", "X-SES-MESSAGE-TAGS: '' is not 1 to 256", id="empty_value"),
        pytest.param("X-SES-MESSAGE-TAGS: k=ü\r\n".encode(), "X-SES-MESSAGE-TAGS: '\\xfc' is not", id="utf8"),
        pytest.param(b"X-SES-MESSAGE-TAGS: k=v, k=w\r\n", "X-SES-MESSAGE-TAGS: 'k' is there more than once", id="twice"),
        pytest.param(b"X-SES-TENANT: acme\r\n", "X-SES-TENANT: the tenants of Amazon's fleet are not offered", id="tenant"),
    ],
)  # fmt: skip
def test_bad_control_field_is_refused_by_name(fields: bytes, detail: str) -> None:
    """Ignoring a bad one would send the mail under other settings than its sender believes."""
    with pytest.raises(Rejected) as caught:
        control_fields(read(FROM + fields))
    assert caught.value.status is BAD_MESSAGE
    assert caught.value.detail.startswith(detail)


def test_header_recipients_come_in_order_each_once() -> None:
    """To, Cc, Bcc, whatever their order in the header; the same address in another form is the same."""
    content = (
        b"Bcc: hidden@x.y\r\n" + FROM + b"Cc: Team: c@x.y, B <b@X.Y>;\r\n"
        b"To: A <a@x.y>, b@x.y,\r\n undisclosed:;\r\nReply-To: no@x.y\r\n\r\n"
    )
    assert header_recipients(read(content)) == ["a@x.y", "b@x.y", "c@x.y", "hidden@x.y"]
    assert header_recipients(read(FROM)) == []


def test_bad_header_recipient_is_refused_with_its_field() -> None:
    """RECIPIENT_SYNTAX; read_message itself lets odd address fields pass, they may be only for show."""
    message = read(FROM + b"To: a@b.c\r\nCc: root\r\n\r\n")
    with pytest.raises(Rejected) as caught:
        header_recipients(message)
    assert caught.value.status is RECIPIENT_SYNTAX
    assert caught.value.detail == "Cc: no domain in 'root' at position 1"


@pytest.mark.parametrize(
    ("fields", "sender"),
    [
        pytest.param(FROM, "a@b.c", id="from"),
        pytest.param(FROM + b"Sender: S <s@b.c>\r\n", "s@b.c", id="sender"),
        pytest.param(b"From: a@b.c, d@e.f\r\nSender: s@b.c\r\n", "s@b.c", id="many_authors"),
    ],
)
def test_header_sender(fields: bytes, sender: str) -> None:
    """RFC 5322 3.6.2: who sent it is Sender, or the author."""
    assert header_sender(read(fields)) == sender


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        pytest.param(b"a@b.c, d@e.f", "Sender: 2 addresses, RFC 5322 3.6.2 wants one", id="two"),
        pytest.param(b"", "Sender: 0 addresses", id="none"),
        pytest.param(b"root", "Sender: no domain in 'root'", id="unqualified"),
    ],
)
def test_bad_sender_is_refused(value: bytes, detail: str) -> None:
    """SENDER_SYNTAX, once somebody asks."""
    with pytest.raises(Rejected) as caught:
        header_sender(read(FROM + b"Sender: " + value + b"\r\n"))
    assert caught.value.status is SENDER_SYNTAX
    assert caught.value.detail.startswith(detail)


def test_body_stays_out_of_the_log() -> None:
    """A message's repr never shows content."""
    assert "secret" not in repr(read(FROM + b"\r\nsecret\r\n"))


def _lines_run(content: bytes) -> int:
    """Count the lines that Python runs for one read: a measure that no busy machine disturbs."""
    count = 0

    def trace(_frame: object, event: str, _arg: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        read(content)
    except Rejected:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        pytest.param(FROM, b"X: y\r\n", id="fields"),
        pytest.param(FROM + b"X: y", b"\r\n z", id="folds"),
        pytest.param(FROM + b"\r\n", b"\n", id="bare_lfs"),
        pytest.param(FROM + b"\r\n", b"x\r\n" * 100, id="body_lines"),
        pytest.param(b"From: a@b.c", b",b@c.d", id="authors"),
        pytest.param(b"", b"From \n", id="mbox_lines"),
    ],
)
def test_reader_is_linear(head: bytes, unit: bytes) -> None:
    """Twice the input is at most about twice the work, for whatever is repeated."""
    once, twice = _lines_run(head + unit * 1000), _lines_run(head + unit * 2000)
    assert twice <= 2 * once + 100


RESENT = b"Resent-From: r1@x.y, r2@x.y\r\nResent-To: new@x.y\r\nResent-Cc: cc@x.y\r\n"


@pytest.mark.parametrize(
    ("content", "recipients", "sender"),
    [
        pytest.param(RESENT + FROM + b"To: old@x.y\r\n", ["new@x.y", "cc@x.y"], "r1@x.y", id="resent"),
        pytest.param(b"Resent-Sender: s@x.y\r\n" + RESENT + FROM + b"Sender: o@x.y\r\n", ["new@x.y", "cc@x.y"], "s@x.y",
                     id="resent_sender"),
        pytest.param(RESENT + b"Received: x\r\nResent-To: older@x.y\r\nResent-Bcc: o@x.y\r\n" + FROM,
                     ["new@x.y", "cc@x.y"], "r1@x.y", id="block_ends_at_received"),
        pytest.param(RESENT + b"Resent-From: o@x.y\r\nResent-Bcc: o@x.y\r\n" + FROM, ["new@x.y", "cc@x.y"], "r1@x.y",
                     id="block_ends_where_a_name_comes_again"),
        pytest.param(b"Resent-To: new@x.y\r\nX-A: b\r\nResent-Bcc: b@x.y\r\n" + FROM, ["new@x.y", "b@x.y"], "a@b.c",
                     id="other_fields_do_not_end_it"),
        pytest.param(b"Resent-Date: now\r\n" + FROM + b"To: old@x.y\r\nSender: s@x.y\r\n", [], "s@x.y", id="nobody_new"),
    ],
)  # fmt: skip
def test_message_sent_on_by_hand_goes_to_its_new_recipients(content: bytes, recipients: list[str], sender: str) -> None:
    """RFC 5322 3.6.6: the topmost Resent- block decides, and whoever got the original does not get it again."""
    message = read(content)
    assert header_recipients(message) == recipients
    assert header_sender(message) == sender


RESENT_DATE = b"Resent-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
RESENT_ID = b"Resent-Message-ID: <abcdefghijklmnopqrstuvwxyz.resent@mx.example>\r\n"


@pytest.mark.parametrize(
    ("content", "header"),
    [
        pytest.param(RESENT + FROM, DATE + MESSAGE_ID + RESENT_DATE + RESENT_ID + RESENT + FROM, id="both_missing"),
        pytest.param(FROM + RESENT + REST, DATE + MESSAGE_ID + FROM + RESENT_DATE + RESENT_ID + RESENT + REST,
                     id="before_their_block"),
        pytest.param(RESENT + b"RESENT-DATE: then\r\n" + FROM,
                     DATE + MESSAGE_ID + RESENT_ID + RESENT + b"RESENT-DATE: then\r\n" + FROM, id="date_is_theirs"),
        pytest.param(RESENT + b"Resent-From: o@x.y\r\nResent-Date: then\r\n" + FROM,
                     DATE + MESSAGE_ID + RESENT_DATE + RESENT_ID + RESENT + b"Resent-From: o@x.y\r\nResent-Date: then\r\n"
                     + FROM, id="an_older_block_has_its_own"),
        pytest.param(b"Received: y\r\n" + RESENT + FROM, b"Received: y\r\n" + DATE + MESSAGE_ID + RESENT + FROM,
                     id="passed_on_since"),
        pytest.param(b"Resent-Bcc: b@x.y\r\n" + FROM, DATE + MESSAGE_ID + FROM, id="nothing_to_be_seen"),
    ],
)  # fmt: skip
def test_message_sent_on_by_hand_is_completed(content: bytes, header: bytes) -> None:
    """RFC 5322 3.6.6: a block has a date, and its own id; the sender of the block is never invented."""
    assert completed(content) == header


@pytest.mark.parametrize(
    ("value", "detail"),
    [(b"Resent-From: ;", "Resent-From: ';' at"), (b"Resent-From:", "Resent-From: field has no address"),
     (b"Resent-Sender: a@b.c, d@e.f", "Resent-Sender: 2 addresses")],
)  # fmt: skip
def test_bad_resent_sender_is_refused_by_name(value: bytes, detail: str) -> None:
    """Where it decides, it must be readable."""
    with pytest.raises(Rejected) as caught:
        header_sender(read(value + b"\r\n" + FROM))
    assert caught.value.status is SENDER_SYNTAX
    assert caught.value.detail.startswith(detail)


def test_unquoted_at_and_brackets_in_froms_name_are_taken() -> None:
    """Common in the wild; the angle brackets name the author, and the octets stay."""
    for value in (b"a@b.example <a@b.example>", b"[List] A <a@b.example>"):
        message = read(b"From: " + value + b"\r\n\r\n")
        assert [author.address for author in message.authors] == ["a@b.example"]
        assert message.fields[0].raw == b"From: " + value
