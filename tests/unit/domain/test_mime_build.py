"""domain/mime_build.py: what a caller names comes out of any MIME parser again."""

from __future__ import annotations

import binascii
import email
import email.policy
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain import mime_build
from paravion.domain.mime_build import Attachment, SimpleMail, TextPart, build_simple, multipart, text_entity
from paravion.domain.status import Rejected

PLAIN = SimpleMail(
    from_="Ann <ann@sender.example>",
    to=("bob@example.org",),
    cc=(),
    reply_to=(),
    subject="Hello",
    subject_charset="UTF-8",
    text=TextPart("Hi Bob\n"),
    html=None,
    attachments=(),
    headers=(),
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LOGO = Attachment("logo.png", PNG, disposition="INLINE", content_id="logo@x")
PDF = Attachment("report.pdf", b"%PDF-1.7 \xff\x00")
HTML = TextPart("<img src='cid:logo@x'>")


def built(mail):
    """Build with the one seed."""
    return build_simple(mail, boundary_seed="seed")


def parsed(mail):
    """Build, and parse as a recipient's program would, without a defect."""
    message = email.message_from_bytes(built(mail), policy=email.policy.SMTP)
    assert [defect for part in message.walk() for defect in part.defects] == []
    return message


def shape(part):
    """Give the tree of content types."""
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        return (part.get_content_subtype(), *map(shape, part.get_payload()))
    return part.get_content_type()


def refusal(mail):
    """Give key and detail of the refusal, which any door can print."""
    with pytest.raises(Rejected) as caught:
        built(mail)
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()
    return caught.value.status.key, caught.value.detail


def test_plain_mail_octet_for_octet():
    """RFC 5322 and 2045: nothing but what the caller named; no Date, no Message-ID."""
    expected = (
        b"From: Ann <ann@sender.example>\r\n"
        b"To: bob@example.org\r\n"
        b"Subject: Hello\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=UTF-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hi Bob\r\n"
    )
    assert expected == built(PLAIN)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "text/plain"),
        ({"text": None, "html": HTML}, "text/html"),
        ({"html": HTML}, ("alternative", "text/plain", "text/html")),
        ({"attachments": (PDF,)}, ("mixed", "text/plain", "application/pdf")),
        (
            {"html": HTML, "attachments": (LOGO,)},
            ("related", ("alternative", "text/plain", "text/html"), "image/png"),
        ),
        ({"text": None, "html": HTML, "attachments": (LOGO,)}, ("related", "text/html", "image/png")),
        (
            {"html": HTML, "attachments": (PDF, LOGO, PDF)},
            (
                "mixed",
                ("related", ("alternative", "text/plain", "text/html"), "image/png"),
                "application/pdf",
                "application/pdf",
            ),
        ),
        ({"attachments": (LOGO,)}, ("mixed", "text/plain", "image/png")),
        ({"html": HTML, "attachments": (replace(LOGO, content_id=""),)},
         ("mixed", ("alternative", "text/plain", "text/html"), "image/png")),
    ],
    ids=["text", "html", "both", "attachment", "inline", "html-inline", "all", "inline-no-html", "inline-no-id"],
)  # fmt: skip
def test_shape(change, expected):
    """RFC 2046 5.1 and 2387: mixed(related(alternative(text, html), inline), attachments), no level in vain."""
    assert expected == shape(parsed(replace(PLAIN, **change)))


def test_related_names_the_type_of_its_root():
    """RFC 2387 3.1: the type parameter is required."""
    message = parsed(replace(PLAIN, html=HTML, attachments=(LOGO,)))
    assert message.get_param("type") == "multipart/alternative"


def test_same_input_and_seed_give_the_same_octets():
    """A repeated submission is the same message; another seed has other boundaries."""
    mail = replace(PLAIN, html=HTML, attachments=(PDF, LOGO))
    assert build_simple(mail, boundary_seed="a") == build_simple(mail, boundary_seed="a")
    assert build_simple(mail, boundary_seed="a") != build_simple(mail, boundary_seed="b")


def test_boundary_that_occurs_in_a_part_is_passed_over():
    """RFC 2046 5.1.1: a text that holds our own boundary does not end its part."""
    once = built(replace(PLAIN, html=HTML))
    message = parsed(replace(PLAIN, text=TextPart(once.decode()), html=HTML))
    assert shape(message) == ("alternative", "text/plain", "text/html")
    assert once == message.get_payload(0).get_payload(decode=True)
    assert message.get_boundary() not in once.decode()


@pytest.mark.parametrize(
    ("text", "charset", "encoding"),
    [
        ("plain", "UTF-8", "7bit"),
        ("", "UTF-8", "7bit"),
        ("x" * 998, "UTF-8", "7bit"),
        ("x" * 999, "UTF-8", "quoted-printable"),
        ("nul \0", "UTF-8", "quoted-printable"),
        ("Grüße aus dem schönen Wien, Bob", "UTF-8", "quoted-printable"),
        ("Grüße", "UTF-8", "base64"),
        ("привет", "UTF-8", "base64"),
        ("Grüße aus Wien", "iso-8859-1", "quoted-printable"),
        ("plain", "", "7bit"),
        ("こんにちは", "iso-2022-jp", "7bit"),
        ("plain", "utf-16", "base64"),
        ("\u0a0d\u2d4e", "utf-16-le", "base64"),
        ("plain", "us-ascii", "7bit"),
    ],
)
def test_transfer_encoding_fits_the_text(text, charset, encoding):
    """RFC 2045 6: 7bit when lines permit, else the shorter of quoted-printable and base64."""
    message = parsed(replace(PLAIN, text=TextPart(text, charset)))
    assert encoding == message["Content-Transfer-Encoding"]
    assert (charset or "UTF-8").lower() == message.get_content_charset()
    assert text.encode(charset or "UTF-8") == message.get_payload(decode=True)
    assert max(map(len, built(replace(PLAIN, text=TextPart(text, charset))).split(b"\r\n"))) <= 998


@pytest.mark.parametrize("text", ["a\nb\n", "a\rb\r", "a\r\nb\r\n", "a\r\nb\n"])
@pytest.mark.parametrize("charset", ["UTF-8", "utf-16-le"])
def test_line_ends_become_crlf(text, charset):
    """RFC 2046 4.1.1: a line ends in CRLF in every charset."""
    message = parsed(replace(PLAIN, text=TextPart(text, charset)))
    assert message.get_payload(decode=True).decode(charset) == "a\r\nb\r\n"


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=400),
    st.text(st.sampled_from("ab =.\t\r\n\0é\x7f-"), max_size=400),
)


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS, html=st.none() | TEXTS, charset=st.sampled_from(["UTF-8", "utf-7", "utf-16", "utf-32-be", "gb18030"])
)
def test_any_text_comes_back(text, html, charset):
    """Every text is read as it was given, but for its line ends; the octets are 7-bit with short lines."""
    mail = replace(PLAIN, text=TextPart(text, charset), html=html if html is None else TextPart(html))
    octets = built(mail)
    assert octets.isascii()
    assert b"\0" not in octets
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    message = parsed(mail)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    expected = [text] if html is None else [text, html]
    lines = ["\n".join(given.replace("\r\n", "\n").split("\r")) for given in expected]
    found = [part.get_payload(decode=True).decode(part.get_content_charset()) for part in leaves]
    assert lines == [given.replace("\r\n", "\n") for given in found]


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255),
       encoding=st.sampled_from(["", "BASE64", "QUOTED_PRINTABLE"]))  # fmt: skip
def test_any_attachment_comes_back(content, name, encoding):
    """RFC 2183 and 2231: content and file name are read as they were given (Python's parser strips the name)."""
    attachment = Attachment(name, content, "application/x-any", transfer_encoding=encoding)
    part = email.message_from_bytes(built(replace(PLAIN, attachments=(attachment,)))).get_payload(1)
    assert content == part.get_payload(decode=True)
    # compat32 leaves the unfolding (RFC 5322 2.2.3) to us.
    assert name.strip() == part.get_filename().replace("\r\n", "")


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"from_": "Jörg <a@b.example>"}, "From", "=?utf-8?b?SsO2cmc=?= <a@b.example>"),
        ({"from_": '"Müller, Jörg" <a@b.example>'}, "From", "=?utf-8?b?TcO8bGxlciwgSsO2cmc=?= <a@b.example>"),
        ({"from_": '"Doe, John" <a@b.example>'}, "From", '"Doe, John" <a@b.example>'),
        ({"from_": "=?utf-8?q?J=C3=B6rg?= <a@b.example>"}, "From", "=?utf-8?q?J=C3=B6rg?= <a@b.example>"),
        ({"from_": '"=?utf-8?b?SsO2cmc=?=" <a@b.example>'}, "From", "=?utf-8?b?SsO2cmc=?= <a@b.example>"),
        ({"from_": "<a@b.example>"}, "From", "a@b.example"),
        ({"from_": "a@Bücher.example"}, "From", "a@xn--bcher-kva.example"),
        ({"to": ("a@b.example", "C <c@d.example>")}, "To", "a@b.example, C <c@d.example>"),
        ({"cc": ("a@b.example",)}, "Cc", "a@b.example"),
        ({"reply_to": ("a@b.example", "c@d.example")}, "Reply-To", "a@b.example, c@d.example"),
        ({"to": ()}, "To", None),
        ({"subject": "Grüße"}, "Subject", "=?utf-8?b?R3LDvMOfZQ==?="),
        ({"subject": ""}, "Subject", ""),
        ({"subject": "Grüße", "subject_charset": "iso-8859-1"}, "Subject", "=?utf-8?b?R3LDvMOfZQ==?="),
        ({"headers": (("X-Campaign", "spring (1)"),)}, "X-Campaign", "spring (1)"),
    ],
)
def test_header_field(change, field, expected):
    """RFC 5322 3.4, 2047: mailboxes and texts stand in their fields as any reader takes them."""
    message = email.message_from_bytes(built(replace(PLAIN, **change)))
    assert expected == (message[field] and message[field].replace("\r\n", ""))


@pytest.mark.parametrize(
    ("change", "key", "detail"),
    [
        ({"from_": "a@b\r\nBcc: x@y"}, "sender_syntax", "From: "),
        ({"from_": ""}, "sender_syntax", "From: "),
        ({"from_": "a@b.example, c@d.example"}, "sender_syntax", "From: not one mailbox"),
        ({"from_": "jörg@b.example"}, "sender_syntax", "From: not one mailbox with an ASCII address"),
        ({"from_": "\ud800 <a@b.example>"}, "sender_syntax", "From: "),
        ({"to": ("a@b.example", '"x\r\ny" <c@d.example>')}, "recipient_syntax", "To[1]: "),
        ({"cc": ("nobody",)}, "recipient_syntax", "Cc[0]: "),
        ({"reply_to": ("x\0 <a@b.example>",)}, "recipient_syntax", "Reply-To[0]: "),
        ({"subject": "a\r\nBcc: x@y"}, "bad_request", "Subject: "),
        ({"subject": "é\n"}, "bad_request", "Subject: "),
        ({"subject": "\0"}, "bad_request", "Subject: "),
        ({"subject": "\ud800"}, "bad_request", "Subject: UTF-8 has no '\\ud800'"),
        ({"subject": "é", "subject_charset": "us-ascii"}, "bad_request", "Subject: us-ascii has no '\\xe9'"),
        ({"subject_charset": "klingon"}, "bad_request", "Subject.Charset: unknown: 'klingon'"),
        ({"text": None}, "bad_request", "Body: neither Text nor Html"),
        ({"text": TextPart("Ω", "iso-8859-1")}, "bad_request", "Body.Text: iso-8859-1 has no '\\u03a9'"),
        ({"html": TextPart("x", "rot13")}, "bad_request", "Body.Html.Charset: unknown: 'rot13'"),
        ({"html": TextPart("x", "idna")}, "bad_request", "Body.Html.Charset: unknown: 'idna'"),
        ({"html": TextPart("x", "utf-8\r\nX: y")}, "bad_request", "Body.Html.Charset: unknown: "),
        ({"attachments": (replace(PDF, file_name=""),)}, "bad_request", "Attachments[0].FileName: empty"),
        ({"attachments": (PDF, replace(PDF, file_name="a\r\nb"))}, "bad_request", "Attachments[1].FileName: "),
        ({"attachments": (replace(PDF, file_name="é\0"),)}, "bad_request", "Attachments[0].FileName: "),
        ({"attachments": (replace(PDF, content_type="pdf"),)}, "bad_request", "Attachments[0].ContentType: "),
        ({"attachments": (replace(PDF, content_type="a/b\r\nX: y"),)}, "bad_request", "Attachments[0].ContentType: "),
        ({"attachments": (replace(PDF, content_type="multipart/mixed; boundary=x"),)}, "bad_request",
         "Attachments[0].ContentType: "),
        ({"attachments": (replace(PDF, content_type=f"a/b; c={'x' * 1000}"),)}, "bad_request",
         "Attachments[0].ContentType: "),
        ({"attachments": (replace(PDF, disposition="FORM-DATA"),)}, "bad_request",
         "Attachments[0].ContentDisposition: "),
        ({"attachments": (replace(PDF, content_id="a b"),)}, "bad_request", "Attachments[0].ContentId: "),
        ({"attachments": (replace(PDF, content_id="a>\r\nX: y"),)}, "bad_request", "Attachments[0].ContentId: "),
        ({"attachments": (replace(PDF, description="a\nb"),)}, "bad_request", "Attachments[0].ContentDescription: "),
        ({"attachments": (replace(PDF, transfer_encoding="8BIT"),)}, "bad_request",
         "Attachments[0].ContentTransferEncoding: unknown"),
        ({"attachments": (replace(PDF, transfer_encoding="SEVEN_BIT"),)}, "bad_request", "Attachments[0]: 8-bit"),
        ({"attachments": (Attachment("a.eml", b"x" * 999),)}, "bad_request", "Attachments[0]: "),
        ({"headers": (("X", "y"),) * 16}, "bad_request", "Headers: more than 15"),
        ({"headers": (("X-A", "y"), ("X Y", "z"))}, "bad_request", "Headers[1].Name: "),
        ({"headers": (("", "z"),)}, "bad_request", "Headers[0].Name: "),
        ({"headers": (("X" * 127, "z"),)}, "bad_request", "Headers[0].Name: "),
        ({"headers": (("X\r\nBcc", "z"),)}, "bad_request", "Headers[0].Name: "),
        ({"headers": (("X-A", "y\r\nBcc: x@y"),)}, "bad_request", "Headers[0].Value: X-A: "),
        ({"headers": (("X-A", "é"),)}, "bad_request", "Headers[0].Value: X-A: "),
        ({"headers": (("X-A", "y" * 996),)}, "bad_request", "Headers[0].Value: X-A: "),
        ({"headers": (("X-A", "y" * 994),)}, "bad_request", "Headers[0].Value: X-A: "),
        ({"headers": (("MESSAGE-id", "<x@y>"),)}, "bad_request", "Headers[0].Name: MESSAGE-id can't be set here"),
        ({"headers": (("Content-Language", "de"),)}, "bad_request", "Headers[0].Name: Content-Language can't"),
    ],
)  # fmt: skip
def test_refused_by_name(change, key, detail):
    """What can't be sent as asked is refused before anything is made, and the place is named."""
    found = refusal(replace(PLAIN, **change))
    assert key == found[0]
    assert found[1].startswith(detail)


@pytest.mark.parametrize(
    "name",
    ["From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
     "Content-Disposition", "Return-Path", "Received"],
)  # fmt: skip
def test_own_fields_can_not_be_set(name):
    """SES v2: the fields that the service writes itself are no custom headers."""
    assert refusal(replace(PLAIN, headers=((name, "x"),))) == (
        "bad_request",
        f"Headers[0].Name: {name} can't be set here",
    )


def test_longest_custom_header_fits():
    """SES v2: name and value of 996 characters together make a line of 998 octets (RFC 5322 2.1.1)."""
    octets = built(replace(PLAIN, headers=(("X", "y" * 995),)))
    assert b"X: " + b"y" * 995 + b"\r\n" in octets


def test_custom_header_without_value():
    """RFC 5322 3.2.5: unstructured text may be empty."""
    assert b"X-A:\r\n" in built(replace(PLAIN, headers=(("X-A", ""),))).replace(b"X-A: \r\n", b"X-A:\r\n")


@pytest.mark.parametrize(
    ("attachment", "content_type"),
    [
        (Attachment("a.PDF", b""), "application/pdf"),
        (Attachment("a.tar.gz", b""), "application/gzip"),
        (Attachment("noextension", b""), "application/octet-stream"),
        (Attachment("pdf", b""), "application/octet-stream"),
        (Attachment("a.xyz", b""), "application/octet-stream"),
        (Attachment("a.txt", "é".encode()), "text/plain; charset=UTF-8"),
        (Attachment("a.txt", b"\xe9"), "text/plain"),
        (Attachment("a.txt", b"\xe9", "text/plain; charset=iso-8859-1"), "text/plain; charset=iso-8859-1"),
    ],
)
def test_content_type_is_guessed_from_the_name(attachment, content_type):
    """SES: without ContentType the file name's extension decides, else application/octet-stream."""
    part = email.message_from_bytes(built(replace(PLAIN, attachments=(attachment,)))).get_payload(1)
    assert content_type == part["Content-Type"]


def test_fields_of_an_attachment():
    """RFC 2183, 2231, 2392, 2045 8: disposition, file name, Content-ID with brackets, description."""
    attachment = Attachment("Übersicht.pdf", b"x", disposition="INLINE", content_id="<a@b>", description="Für Bob")
    part = email.message_from_bytes(built(replace(PLAIN, attachments=(attachment,)))).get_payload(1)
    assert part.items() == [
        ("Content-Type", "application/pdf"),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", "inline; filename*=utf-8''%C3%9Cbersicht.pdf"),
        ("Content-ID", "<a@b>"),
        ("Content-Description", "=?utf-8?q?F=C3=BCr_Bob?="),
    ]


@pytest.mark.parametrize(
    ("attachment", "encoding", "body"),
    [
        (Attachment("a.txt", b"a\nb", transfer_encoding="SEVEN_BIT"), "7bit", b"a\r\nb"),
        (Attachment("a.txt", b"a=\n\xe9", transfer_encoding="QUOTED_PRINTABLE"), "quoted-printable", b"a=3D\r\n=E9"),
        (Attachment("a.bin", b"a\n", transfer_encoding="QUOTED_PRINTABLE"), "quoted-printable", b"a=0A"),
        (Attachment("a.bin", b"x" * 58), "base64", b"eHh4" * 19 + b"\r\neA=="),
        (Attachment("a.eml", b"Subject: x\n\ny", transfer_encoding="BASE64"), "7bit", b"Subject: x\r\n\r\ny"),
        (Attachment("a.eml", b"Subject: x\n\n\xe9"), "8bit", b"Subject: x\r\n\r\n\xe9"),
    ],
    ids=["7bit", "qp-text", "qp-binary", "base64", "message", "message-8bit"],
)
def test_transfer_encoding_of_an_attachment(attachment, encoding, body):
    """RFC 2045 6: as asked, base64 by default; RFC 2046 5.2.1: a message is never encoded."""
    octets = built(replace(PLAIN, attachments=(attachment,)))
    assert f"Content-Transfer-Encoding: {encoding}\r\n".encode() in octets
    assert b"\r\n\r\n" + body + b"\r\n--" in octets


def test_8bit_message_makes_every_level_8bit():
    """RFC 2045 6.4: a multipart's encoding is at least that of its parts."""
    note = Attachment("a.eml", b"Subject: x\n\n\xe9", disposition="INLINE", content_id="a@b")
    message = parsed(replace(PLAIN, html=HTML, attachments=(note, PDF)))
    levels = [part["Content-Transfer-Encoding"] for part in message.walk() if part.is_multipart()]
    assert levels == ["8bit", "8bit", None, "8bit"]


def test_multipart_adds_no_line_to_a_part():
    """RFC 2046 5.1.1: the CRLF before a delimiter belongs to the delimiter."""
    entity = multipart("mixed", (text_entity("a"), text_entity("b\n")), seed="s")
    message = email.message_from_bytes(b"".join((*entity.fields, b"\r\n", *entity.pieces)))
    assert [part.get_payload(decode=True) for part in message.get_payload()] == [b"a", b"b\r\n"]


@given(
    st.lists(st.sampled_from([b"x", b"\xc3", b" ", b"=", b"\n", b"\r", b"."]), min_size=1, max_size=300).map(b"".join)
)
@settings(max_examples=100, deadline=None)
def test_long_line_in_quoted_printable_stays_within_76_octets(line):
    """Whatever stands where its parts meet; a CR or LF by itself is no line end (RFC 2045 6.7)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mime_build, "QUOTED_OCTETS", 74)
        encoded = mime_build.quoted_line(line)
    assert binascii.a2b_qp(encoded) == line
    assert max(map(len, encoded.split(b"\r\n"))) <= 76
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", encoded)
