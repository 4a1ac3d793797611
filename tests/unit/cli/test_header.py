"""cli/header.py: where the header section ends, and From."""

import pytest

from paravion.cli.header import add_from, header_field, prepare

BODIES = {
    "usual": (b"To: b@y\nX: 1\n\nbody\n", b"To: b@y\nX: 1\n\nbody\n"),
    "crlf": (b"To: b@y\r\n\r\nbody\r\n", b"To: b@y\r\n\r\nbody\r\n"),
    "folded": (b"To: b@y,\n\tc@y\n\nbody", b"To: b@y,\n\tc@y\n\nbody"),
    "no header": (b"just text\n", b"\njust text\n"),
    "no header, indented": (b" text: x\n", b"\n text: x\n"),
    "body without an empty line": (b"To: b@y\nbody text\n", b"To: b@y\n\nbody text\n"),
    "only a header": (b"To: b@y\n", b"To: b@y\n\n"),
    "only a header, cut": (b"To: b@y", b"To: b@y\n\n"),
    "only a header, cut in its line end": (b"To: b@y\r", b"To: b@y\n\n"),
    "empty": (b"", b"\n"),
    "empty line first": (b"\nbody\n", b"\nbody\n"),
    "mbox line": (b"From a@x Mon Nov  3 10:00:00 2025\nTo: b@y\n\nFrom x\n", b"To: b@y\n\nFrom x\n"),
    "mbox lines": (b">From a@x Mon Nov  3\r\nFrom b\r\nTo: b@y\r\n\r\nx", b"To: b@y\r\n\r\nx"),
    "an mbox line alone": (b"From a@x", b"\n"),
    "octets that are no UTF-8": (b"X: \xff\n\n\xfe\n", b"X: \xff\n\n\xfe\n"),
    "bare names": (
        b'From: root (Cron <x> "D")\nTo: root, "A, B" <c>, d@y,\n e\nResent-Cc: t: a, b@y;\nX: root\n\nx',
        b'From: root@h (Cron <x> "D")\nTo: root@h, "A, B" <c@h>, d@y,\n e@h\nResent-Cc: t: a@h, b@y;\nX: root\n\nx',
    ),
    "no names": (b"To: a b, \\c, <>, (d), 'e f', g@, [h], \"\nCc: u:;\n\n",) * 2,
    "commas in encoded words": (
        b"To: =?UTF-8?Q?Doe,_John?= <j@x>, =?us-ascii?q?a=3Db?= root,\n =?x?B?YQ==?= <c>\nX: =?x?Q?a,b?=\n\nx",
        b"To: =?UTF-8?Q?Doe=2C_John?= <j@x>, =?us-ascii?q?a=3Db?= root,\n =?x?B?YQ==?= <c@h>\nX: =?x?Q?a,b?=\n\nx",
    ),
    "carriage returns": (b"X: 1\n\n10%\r20%\r\ndone\r\r\n\r", b"X: 1\n\n10%\n20%\r\ndone\r\n\n"),
    "carriage returns in the header": (b"X: 1\rBcc: b@y\n\nx\r", b"X: 1\rBcc: b@y\n\nx\n"),
    "NUL": (b"X: 1\n\na\0b\n\0", b"X: 1\n\nab\n"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), BODIES.values(), ids=BODIES)
def test_a_message_is_prepared(content, expected):
    """RFC 5322 2.1; what scripts pipe without a header becomes a body, bare names get our host name."""
    octets = bytearray(content)
    length = prepare(octets, "h", "", "")
    assert expected == octets
    assert octets[length:].startswith((b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("name", "word", "between"), [("To", "a@x.example", ","), ("X", "word", " "), ("Cc", "b@y.example", ", ")]
)
def test_a_long_line_is_folded(name, word, between):
    """RFC 5322 2.1.1 and 2.2.3: nothing of it changes but white space."""
    octets = bytearray(f"{name}: {between.join([word] * 1000)}\n\n".encode())
    prepare(octets, "h.example", "", "")
    lines = octets.decode().split("\n")
    assert max(map(len, lines)) <= 998
    assert len(lines) > 3
    assert 1000 == "".join(lines).count(word)


def test_what_has_no_blank_is_not_folded():
    """Then it is refused by name."""
    octets = bytearray(b"X: " + b"y" * 2000 + b"\n\n")
    prepare(octets, "h.example", "", "")
    assert b"X: " + b"y" * 2000 + b"\n\n" == octets


def test_fields_are_found_unfolded_and_in_any_case():
    """RFC 5322 2.2.3, 1.2.2."""
    header = b"TO: a@x,\n b@x\nX-To: c@x\nto : d@x\n"
    assert [b" a@x, b@x", b" d@x"] == header_field(header, b"to")


FROMS = {
    "none given": (b"", "a@x.example", "", b"From: a@x.example\n"),
    "name": (b"", "a@x.example", "A B", b"From: A B <a@x.example>\n"),
    "name with specials": (b"", "a@x.example", 'A. "B"', b'From: "A. \\"B\\"" <a@x.example>\n'),
    "there is one": (b"from: c@y\n", "a@x.example", "A B", b"from: c@y\n"),
    "null sender": (b"", "", "A B", b""),
    "crlf": (b"To: b@y\r\n", "a@x.example", "", b"From: a@x.example\r\nTo: b@y\r\n"),
    "umlaut": (b"", "a@x.example", "Jürgen", b"From: =?utf-8?b?SsO8cmdlbg==?= <a@x.example>\n"),
}


@pytest.mark.parametrize(("header", "sender", "name", "expected"), FROMS.values(), ids=FROMS)
def test_from_is_added_when_there_is_none(header, sender, name, expected):
    """As sendmail -f and -F do."""
    assert expected == add_from(header, sender, name)


def test_a_long_name_becomes_words_of_at_most_75_characters():
    """RFC 2047 2; no character is divided."""
    octets = add_from(b"", "a@x.example", "ü" * 60)
    words = octets.removeprefix(b"From: ").split(b" <")[0].split(b" ")
    assert all(len(word) <= 75 for word in words)
    assert len(words) > 1
