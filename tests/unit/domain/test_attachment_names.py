"""domain/attachment_names.py: every name by which a recipient's program would show a file of the message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.attachment_names import file_names

TOP = b'From: a@b.example\nContent-Type: multipart/mixed; boundary="b"\n\npreamble name=p.exe\n'


def part(fields: bytes, body: bytes = b"x") -> bytes:
    return b"--b\n" + fields + b"\n\n" + body + b"\n"


NAMES = {
    "quoted": (part(b'Content-Disposition: attachment; filename="a b.exe"'), ["a b.exe"]),
    "bare, folded, in capitals": (part(b"CONTENT-DISPOSITION: attachment;\n\tFILENAME=A.EXE"), ["A.EXE"]),
    "both fields": (
        part(b"Content-Type: text/plain; name=a.txt\nContent-Disposition: inline; filename=a.vbs"), ["a.vbs", "a.txt"],
    ),
    "RFC 2231": (part(b"Content-Disposition: attachment; filename*=utf-8''%C3%A4%2Eexe"), ["ä.exe"]),
    "RFC 2231, in parts": (part(b'Content-Disposition: attachment; filename*0="a.e"; filename*1=xe'), ["a.exe"]),
    "RFC 2047": (part(b'Content-Type: x/y; name="=?utf-8?b?w6QuZXhl?="'), ["ä.exe"]),
    "RFC 2047 that can't be read": (part(b'Content-Type: x/y; name="=?klingon?q?a?=.exe"'), ["=?klingon?q?a?=.exe"]),
    "several": (part(b"Content-Type: x/y; name=1.a") + part(b"Content-Type: x/y; name=2.b"), ["1.a", "2.b"]),
    "nested, without an end": (
        part(b"Content-Type: multipart/related; boundary=c", b"--c\nContent-Type: x/y; name=in.scr\n\nx"), ["in.scr"],
    ),
    "in a text, in an attached message, behind the end": (
        part(b"Content-Type: text/plain", b"filename=a.exe")
        + part(b"Content-Type: message/rfc822", b"Content-Type: x/y; name=in.exe\n\nx") + b"--b--\nname=e.exe\n", [],
    ),
    "none at all": (part(b"X: y"), []),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_names(body: bytes, expected: list[str], line_end: bytes) -> None:
    """RFC 2183, 2231, 2047, and what is sent besides."""
    assert list(file_names((TOP + body).replace(b"\n", line_end))) == expected


def test_message_that_is_one_file() -> None:
    """No multipart."""
    assert list(file_names(b"From: a@b.example\nContent-Disposition: attachment; filename=a.js\n\nx")) == ["a.js"]


@given(st.lists(st.sampled_from([b"--b", b"--b--", b"\r\n", b"\n", b"\xff", b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: x/y; name*0*=x'%", b'Content-Disposition: ;filename="', b"=?utf-8?b?!?=", b"\0", b":", b"name"]),
    max_size=20).map(b"".join))  # fmt: skip
def test_never_raises(body: bytes) -> None:
    """What can't be read has no names; whether it is mail is for others to say."""
    assert all(isinstance(name, str) for name in file_names(TOP + body))
    assert all(isinstance(name, str) for name in file_names(body))
