"""
The corpus: small messages, each with one trap that real or hostile mail sets, all written for this project.

`python -m tests.corpus.traps` writes them as `tests/corpus/*.eml`, for other programs to read; the
golden list of refusals is tests/unit/golden/refusals.txt. The reader of third-party corpora that the traps
were learned from is `python -m tests.corpus.survey DIRECTORY…`; none of their files are here.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent

F = b"From: Me <me@example.org>\r\n"
T = b"To: you@example.com\r\n"
S = b"Subject: trap\r\n"
H = F + T + S
B = b"\r\nbody\r\n"

_BOUNDARY = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"


def _froms() -> dict[bytes, bytes]:
    """Give the values of From by name; body and other fields are always the same."""
    return {
        b"plain": b"me@example.org",
        b"angle": b"<me@example.org>",
        b"comment-after": b"me@example.org (Me)",
        b"comment-nested": b"me@example.org (a (b (c) d) e)",
        b"comment-quoted-paren": b"me@example.org (a \\) b)",
        b"comment-before-at": b"me(x)@example.org",
        b"comment-in-domain": b"me@example(x).org",
        b"comment-open": b"me@example.org (Me",
        b"comment-480-deep": b"(" * 480 + b")" * 480 + b" me@example.org",
        b"quoted-name": b'"Me, Myself" <me@example.org>',
        b"quoted-name-escapes": b'"Me \\"M\\" \\\\" <me@example.org>',
        b"quoted-name-open": b'"Me <me@example.org>',
        b"quoted-local": b'"me me"@example.org',
        b"quoted-local-at": b'"me@x"@example.org',
        b"name-dots": b"M. E. <me@example.org>",
        b"name-is-address": b"me@example.org <me@example.org>",
        b"name-is-other-address": b"boss@bank.example <me@example.org>",
        b"name-brackets": b"[List] Me <me@example.org>",
        b"name-apostrophe": b"O'Me <me@example.org>",
        b"name-backslash": b"Me \\(x\\) <me@example.org>",
        b"name-unquoted-comma": b"Me, Myself <me@example.org>",
        b"name-utf8": "Jörg <me@example.org>".encode(),
        b"name-latin1": b"J\xf6rg <me@example.org>",
        b"name-encoded-word": b"=?iso-8859-1?q?J=F6rg?= <me@example.org>",
        b"name-encoded-word-hides-address": b"=?utf-8?q?boss=40bank.example?= <me@example.org>",
        b"name-encoded-word-hides-crlf": b"=?utf-8?q?a=0D=0ABcc:_x=40y.example?= <me@example.org>",
        b"name-rtl-override": "\u202ekcub <me@example.org>".encode(),
        b"local-utf8": "jörg@example.org".encode(),
        b"domain-utf8": "me@bücher.example".encode(),
        b"domain-sharp-s": "me@straße.example".encode(),
        b"domain-upper": b"me@EXAMPLE.ORG",
        b"domain-final-dot": b"me@example.org.",
        b"domain-two-dots": b"me@example..org",
        b"domain-underscore": b"me@my_host.example",
        b"domain-literal": b"me@[192.0.2.1]",
        b"domain-literal-v6": b"me@[IPv6:2001:db8::1]",
        b"domain-number": b"me@192.0.2.1",
        b"domain-single-label": b"me@localhost",
        b"domain-label-64": b"me@" + b"a" * 64 + b".example",
        b"local-65": b"m" * 65 + b"@example.org",
        b"local-dot-end": b"me.@example.org",
        b"local-dots": b"m..e@example.org",
        b"route": b"<@a.example,@b.example:me@example.org>",
        b"spaces-obsolete": b"me . x @ example . org",
        b"folded-everywhere": b"\r\n Me\r\n <me\r\n @example.org>",
        b"no-at": b"root",
        b"empty": b"",
        b"null-path": b"<>",
        b"two-at": b"me@x@example.org",
        b"two-without-sender": b"me@example.org, us@example.org",
        b"two-without-comma": b"me@example.org us@example.org",
        b"empty-elements": b", ,me@example.org, ,",
        b"semicolons": b"me@example.org; us@example.org",
        b"group-empty": b"nobody:;",
        b"group-of-one": b"us: me@example.org;",
        b"group-open": b"us: me@example.org",
        b"group-nested": b"a: b: me@example.org;;",
        b"angle-open": b"Me <me@example.org",
        b"angle-twice": b"Me <<me@example.org>>",
        b"after-angle": b"<me@example.org> Me",
        b"percent-hack": b"me%x.example@example.org",
        b"bang-path": b"x.example!me@example.org",
        b"control-character": b"m\x01e@example.org",
        b"delete": b"me\x7f <me@example.org>",
    }


def _headers() -> dict[str, bytes]:
    """Traps of the header section."""
    return {
        "no-from": T + S + B,
        "from-twice": F + H + B,
        "from-twice-other-case": b"from: x@y.example\r\n" + H + B,
        "from-space-before-colon-twice": b"From : x@y.example\r\n" + H + B,
        "subject-twice": H + S + B,
        "to-twice": H + T + B,
        "date-twice": b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n" * 2 + H + B,
        "references-twice": b"References: <a@b>\r\n" * 2 + H + B,
        "reply-to-twice": b"Reply-To: a@b.example\r\n" * 2 + H + B,
        "content-type-twice": b"Content-Type: text/plain\r\nContent-Type: text/html\r\n" + H + B,
        "two-authors-with-sender": b"From: a@x.example, b@x.example\r\nSender: a@x.example\r\n" + B,
        "sender-unreadable": b"Sender: <<\r\n" + H + B,
        "to-unreadable": b"To: <<\r\n" + F + B,
        "to-undisclosed": b"To: undisclosed-recipients:;\r\n" + F + B,
        "date-garbage": b"Date: yesterday\r\n" + H + B,
        "date-empty": b"Date:\r\n" + H + B,
        "message-id-garbage": b"Message-ID: no brackets\r\n" + H + B,
        "bcc-and-return-path": b"Return-Path: <x@y.example>\r\nBcc: hidden@x.example\r\n" + H + B,
        "bcc-folded": b"Bcc: a@x.example,\r\n b@x.example,\r\n\tc@x.example\r\n" + H + B,
        "resent-block": b"Resent-From: me@example.org\r\nResent-To: a@x.example\r\nResent-Bcc: b@x.example\r\n" + H + B,
        "received-100": b"Received: by x.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n" * 100 + H + B,
        "received-101": b"Received: by x.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n" * 101 + H + B,
        "received-in-the-middle": H + b"Received: by x.example; Tue, 14 Nov 2023 22:13:20 +0000\r\nX-A: b\r\n" + B,
        "own-control-field": b"X-Paravion-Something: x\r\n" + H + B,
        "ses-tags": b"X-SES-MESSAGE-TAGS: a=b, c=d\r\n" + H + B,
        "ses-tags-bad": b"X-SES-MESSAGE-TAGS: a b\r\n" + H + B,
        "ses-configuration-set": b"X-SES-CONFIGURATION-SET: x\r\n" + H + B,
        "folds-of-all-kinds": H + b"X-A: a\r\n b\r\n\tc\r\n  \td\r\nX-B:\r\n e\r\n" + B,
        "fold-of-white-space-only": H + b"X-A: a\r\n \r\n b\r\n" + B,
        "fold-at-the-top": b" folded\r\n" + H + B,
        "value-empty": H + b"X-A:\r\nX-B: \r\nX-C:\t\r\n" + B,
        "value-without-space": H + b"X-A:b\r\n" + B,
        "white-space-at-the-end": H + b"X-A: b \t \r\n" + B,
        "space-before-colon": H + b"X-A : b\r\n" + B,
        "name-odd-but-legal": H + b"!#$%&'*+-./09;<=>?@[]^_`{|}~: b\r\n" + B,
        "name-with-space": H + b"X A: b\r\n" + B,
        "name-utf8": H + "X-Ä: b\r\n".encode() + B,
        "name-empty": H + b": b\r\n" + B,
        "name-1000-long": H + b"X" * 996 + b":b\r\n" + B,
        "line-998": H + b"X-A: " + b"b" * 993 + b"\r\n" + B,
        "line-999": H + b"X-A: " + b"b" * 994 + b"\r\n" + B,
        "line-999-after-a-fold": H + b"X-A:\r\n " + b"b" * 998 + b"\r\n" + B,
        "subject-utf8": F + T + "Subject: Grüße\r\n".encode() + B,
        "subject-latin1": F + T + b"Subject: Gr\xfc\xdfe\r\n" + B,
        "subject-utf8-overlong": F + T + b"Subject: \xc0\xaf\r\n" + B,
        "subject-utf8-cut": F + T + b"Subject: Gr\xc3\r\n" + B,
        "subject-utf8-surrogate": F + T + b"Subject: \xed\xa0\x80\r\n" + B,
        "subject-byte-order-mark": F + T + b"Subject: \xef\xbb\xbfx\r\n" + B,
        "byte-order-mark-first": b"\xef\xbb\xbf" + H + B,
        "subject-iso-2022-jp": F + T + b"Subject: \x1b$B$3\x1b(B\r\n" + B,
        "subject-tab-and-bell": F + T + b"Subject: a\tb\x07\r\n" + B,
        "mbox-line": b"From me@example.org Tue Nov 14 22:13:20 2023\r\n" + H + B,
        "mbox-line-quoted": b">From me@example.org Tue Nov 14 22:13:20 2023\r\n" + H + B,
        "mbox-line-in-the-middle": F + b"From me@example.org Tue Nov 14 22:13:20 2023\r\n" + T + B,
        "header-alone": H,
        "header-alone-without-crlf": H[:-2],
        "no-empty-line": H + b"body without empty line\r\n",
        "no-empty-line-mime": H + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n",
        "body-alone": b"just words\r\n",
        "empty-line-first": b"\r\n" + H + B,
        "dashes-first": b"------\r\n" + H + B,
        "nothing": b"",
        "crlf-alone": b"\r\n",
        "http-request": b"POST / HTTP/1.1\r\nHost: x.example\r\n" + H + B,
        "empty-line-of-space": H + b" \r\nbody?\r\n",
        "injected-by-bare-cr": H + b"X-A: b\rBcc: victim@x.example\r\n" + B,
        "injected-by-bare-lf": H + b"X-A: b\nX-Injected: yes\r\n" + B,
        "injected-by-nel": H + "X-A: b\u0085Bcc: victim@x.example\r\n".encode() + B,
        "injected-by-line-separator": H + "X-A: b\u2028Bcc: victim@x.example\r\n".encode() + B,
        "injected-by-vertical-tab": H + b"X-A: b\x0bBcc: victim@x.example\r\n" + B,
        "nul-in-header": H + b"X-A: b\0c\r\n" + B,
    }


def _bodies() -> dict[str, bytes]:
    """Traps of the body."""
    return {
        "body-empty": H + b"\r\n",
        "body-one-line-end": H + b"\r\n\r\n",
        "body-without-line-end": H + b"\r\nx",
        "body-many-line-ends": H + b"\r\n" * 20,
        "body-lf": (H + B).replace(b"\r\n", b"\n"),
        "body-mixed-ends": H + b"\r\na\nb\r\nc\n",
        "body-header-lf-body-crlf": H.replace(b"\r\n", b"\n") + b"\n" + b"a\r\nb\r\n",
        "body-bare-cr": H + b"\r\na\rb\r\n",
        "body-cr-cr-lf": H + b"\r\na\r\r\nb\r\n",
        "body-cr-at-the-end": H + b"\r\na\r",
        "body-lf-cr": H + b"\r\na\n\rb\r\n",
        "body-nul": H + b"\r\na\0b\r\n",
        "body-dots": H + b"\r\n.\r\n..\r\n.a\r\n...\r\n",
        "body-dot-lf-dot": H + b"\r\na\n.\nMAIL FROM:<x@y.example>\r\n.\r\n",
        "body-8-bit": H + b"\r\n" + bytes(range(128, 256)) + b"\r\n",
        "body-controls": H + b"\r\n" + bytes(n for n in range(1, 32) if n not in (10, 13)) + b"\x7f\r\n",
        "body-line-998": H + b"\r\n" + b"x" * 998 + b"\r\n",
        "body-line-20000": H + b"\r\n" + b"x" * 20_000 + b"\r\n",
        "body-from-line": H + b"\r\nFrom here on\r\n>From there\r\n",
        "body-like-a-header": H + b"\r\nBcc: x@y.example\r\nReturn-Path: <x@y.example>\r\n\r\nx\r\n",
        "body-begins-with-white-space": H + b"\r\n\t x\r\n",
        "body-uuencoded": H + b"\r\nbegin 644 x\r\n#86)C\r\n`\r\nend\r\n",
        "mime-boundary-never-closed": H + _BOUNDARY + b"\r\n--b\r\n\r\nx\r\n",
        "mime-boundary-missing": H + b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
        "mime-boundary-is-prefix-of-another": H + _BOUNDARY + b"\r\n--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n"
        b"\r\n--bb\r\n\r\nx\r\n--bb--\r\n--b--\r\n",
        "mime-nested-50": H + b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
        + b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(50)),
        "mime-message-in-message": H + b"Content-Type: message/rfc822\r\n\r\n" + H + b"Content-Type: message/rfc822\r\n\r\n" + H + B,
        "mime-base64-broken": H + b"Content-Transfer-Encoding: base64\r\n\r\n!!!=\r\n",
        "mime-8bit-labelled-7bit": H + b"Content-Transfer-Encoding: 7bit\r\n\r\n\xc3\xbc\r\n",
        "mime-unknown-charset": H + b"Content-Type: text/plain; charset=x-nonsense\r\n\r\n\xff\r\n",
        "mime-preamble-and-epilogue": H + _BOUNDARY + b"\r\nbefore\r\n--b\r\n\r\nx\r\n--b--\r\nafter\r\n",
        "signed-pgp-trailing-space": H + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx \r\n--b\r\n\r\ny\r\n--b--\r\n",
    }  # fmt: skip


def traps() -> dict[str, bytes]:
    """Give every trap by its name."""
    froms = {f"from-{name.decode()}": b"From: " + value + b"\r\n" + T + S + B for name, value in _froms().items()}
    return {**froms, **_headers(), **_bodies()}


def main() -> None:
    """Write the files."""
    for path in HERE.glob("*.eml"):
        path.unlink()
    for name, content in traps().items():
        (HERE / f"{name}.eml").write_bytes(content)


if __name__ == "__main__":
    main()
