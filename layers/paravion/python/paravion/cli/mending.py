"""
What programs have piped into sendmail for ever and the API refuses: mended as sendmail and Postfix do it.

Cron writes `From: root (Cron Daemon)` and `To: root`, scripts put a hundred addresses into one line, and what they
report has progress bars, with carriage returns, and now and then a NUL. Nobody looks at the exit of such a call, so
that a refusal loses the mail. Nothing else is changed; imported only where there is something to mend.

RFC: 5322 2.1.1 (998 octets), 2.2.3 (folding), 2.3 (CR and LF only together), 3.4 (mailbox); 2047 5 (encoded names).
"""

from __future__ import annotations

import re

from paravion.cli.header import ADDRESS_FIELDS, LONGEST_LINE_OCTETS

_FOLD_AT_OCTETS = 900
_ATOM = re.compile(rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]+")
_BLANKS = b" \t\r\n"
_CR_BEFORE_LINE_END = re.compile(rb"\r+(?=\r\n)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_TOKEN = re.compile(
    rb"""(?P<skip>[ \t\r\n]+|\((?:[^()\\]|\\.)*\))"""
    rb"""|(?P<quoted>"(?:[^"\\]|\\.)*"|\[[^\[\]\\]*\])"""
    rb"""|(?P<angle><[^<>"]*>)"""
    rb"""|(?P<encoded>=\?[^?\s]+\?[Qq]\?[^?\s]*\?=)"""
    rb"""|(?P<end>[,;:])"""
    rb"""|(?P<other>[^\s,;:<>"()\[\]]+|.)""",
    re.DOTALL,
)  # fmt: skip

_NOT_IN_A_WORD = re.compile(rb"""[,;:<>()\[\]@"\\]""")
"""Of a phrase, RFC 2047 5 (3); programs encode names and forget their commas."""


def mend_header(header: bytes, hostname: str) -> bytes:
    """
    Give bare names in address fields a domain, and fold what is longer than a line may be.

    Args:
        header: The section, each line with its end.
        hostname: Of bare names.
    """
    domain = b"@" + hostname.encode("utf-8", "surrogateescape")
    lines: list[bytes] = []
    for field in _fields(header):
        name, colon, value = field.partition(b":")
        is_of_addresses = name.strip(b" \t").lower().removeprefix(b"resent-") in ADDRESS_FIELDS
        mended = name + colon + qualify(value, domain) if is_of_addresses else field
        lines += [_fold(line, commas=is_of_addresses) for line in mended.splitlines(keepends=True)]
    return b"".join(lines)


def mend_body(content: bytearray, start: int) -> None:
    """Make every lone carriage return from `start` on a line end, and leave out NULs; in place."""
    body = bytes(memoryview(content)[start:]).translate(None, b"\0")
    content[start:] = _BARE_CR.sub(b"\n", _CR_BEFORE_LINE_END.sub(b"", body))


def qualify(value: bytes, domain: bytes) -> bytes:
    """
    Append a domain to each bare name of an address list: `root (Cron Daemon)`, `Doe <root>`; all else stays.

    But for `=?utf-8?Q?Doe,_John?=`, whose comma is encoded too: half of it would be taken for a name.

    Args:
        value: A field's, folded or not.
        domain: With its @.
    """
    out = bytearray()
    atoms, atom_end, is_bare = 0, 0, True

    def close() -> None:
        if is_bare and atoms == 1:
            out[atom_end:atom_end] = domain

    for match in _TOKEN.finditer(value):
        kind, token = match.lastgroup, match[0]
        if kind == "end":
            if token != b":":
                close()
            atoms, is_bare = 0, True
        elif kind == "angle":
            inner = token[1:-1].strip(_BLANKS)
            if _ATOM.fullmatch(inner):
                token = b"<" + inner + domain + b">"
            is_bare = False
        elif kind in ("quoted", "encoded"):
            token = _encoded(token, kind)
            is_bare = False
        elif kind == "other":
            atoms += 1
            atom_end = len(out) + len(token)
            is_bare = is_bare and bool(_ATOM.fullmatch(token))
        out += token
    close()
    return bytes(out)


def _encoded(word: bytes, kind: str) -> bytes:
    return _NOT_IN_A_WORD.sub(lambda found: b"=%02X" % found[0][0], word) if kind == "encoded" else word


def _fields(header: bytes) -> list[bytes]:
    found: list[bytes] = []
    for line in header.splitlines(keepends=True):
        if found and line[:1] in (b" ", b"\t"):
            found[-1] += line
        else:
            found.append(line)
    return found


def _fold(line: bytes, *, commas: bool) -> bytes:
    """Break a line at blanks, or behind commas, if it is too long; what has neither stays."""
    text = line.rstrip(b"\r\n")
    end_of_line = line[len(text) :] or b"\n"
    pieces: list[bytes] = []
    while len(text) > LONGEST_LINE_OCTETS:
        first = text.find(b":") + 2 if not pieces and text[:1] not in (b" ", b"\t") else 1
        at = max(text.rfind(b" ", first, _FOLD_AT_OCTETS), text.rfind(b"\t", first, _FOLD_AT_OCTETS))
        between = b""
        if at < 0 and commas and (at := text.rfind(b",", first, _FOLD_AT_OCTETS) + 1):
            between = b" "
        if at <= 0 or not text[:at].strip(b" \t"):
            break
        pieces.append(text[:at])
        text = between + text[at:]
    return end_of_line.join([*pieces, text]) + line[len(line.rstrip(b"\r\n")) :]
