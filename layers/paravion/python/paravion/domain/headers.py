"""
The header section as fields, octet for octet, and the making of new fields.

Reading: `split_header` cuts a header section into fields and keeps every octet, folding included; a
structured value is somebody else's business (domain/address.py). Writing: `make_field` and its helpers
make fields that any reader takes: folded, ASCII unless told otherwise, no room for CR, LF or NUL.

RFC: 5322 2.2 and 3 (syntax), 4.5 (obsolete: space before the colon), 6532 (UTF-8), 2047 (encoded words),
2231 (parameters).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from paravion.domain.address import parse_path, shown
from paravion.domain.status import BAD_MESSAGE, Rejected

MAX_LINE: Final = 998
"""Octets of a line without its CRLF, RFC 5322 2.1.1 and 6532 3.4."""

FOLD_AT: Final = 76
"""Columns that a folded line keeps to: RFC 5322 says 78, RFC 2047 2 says 76 where encoded words stand."""

_PIECE: Final = re.compile(r'[ \t]*(?:"(?:[^"\\]|\\.){0,72}"|[^ \t])+')
"""What is never folded inside: a word, or a quoted string that fits on a line."""

_ENCODED_WORD: Final = 62  # leaves room for a field name of 12 characters on the first line
_PARAM_LINE: Final = 60

_NAME: Final = re.compile(rb"[!-9;-~]+")
_FIELD_END: Final = re.compile(rb"\r\n(?![ \t])")
_BARE: Final = {
    b"\x00": "NUL",
    b"\r": "carriage return without line feed",
    b"\n": "line feed without carriage return",
}
_NOT_IN_HEADER: Final = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Field:
    """
    One header field as it stands in the message.

    Attributes:
        name: As written, without obsolete white space before the colon.
        raw: Its exact octets, folding included, without the final CRLF.
    """

    name: bytes
    raw: bytes

    @property
    def key(self) -> bytes:
        """The name in lower case: names compare without regard to case (RFC 5322 1.2.2)."""
        return self.name.lower()

    @property
    def value(self) -> bytes:
        """The value unfolded (RFC 5322 2.2.3), without white space at its ends."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


def split_header(octets: bytes) -> list[Field]:
    """
    Cut a header section into its fields.

    Args:
        octets: CRLF line ends, without the empty line after it; the last CRLF may be missing.

    Raises:
        Rejected: BAD_MESSAGE, with the line that RFC 5322 can't be: a bad name, no colon, over 998
            octets, NUL, a bare CR or LF, an empty line, octets that are not UTF-8 (RFC 6532).
    """
    if bad := _NOT_IN_HEADER.search(octets):
        raise _bad_line(octets[: bad.start()].count(b"\n") + 1, _BARE[bad[0]])
    section = octets.removesuffix(b"\r\n")
    if not section:
        return []
    if not section.isascii():
        _check_utf8(section)
    fields: list[Field] = []
    for raw in _FIELD_END.split(section):
        name, colon, _ = raw.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            name = name.rstrip(b" \t")
            if not colon or not _NAME.fullmatch(name):
                raise _bad_line(_line_count(fields) + 1, _field_fault(raw))
        if len(raw) > MAX_LINE:
            for n, line in enumerate(raw.split(b"\r\n")):
                if len(line) > MAX_LINE:
                    raise _bad_line(_line_count(fields) + n + 1, f"{len(line)} octets, RFC 5322 allows {MAX_LINE}")
        fields.append(Field(name, raw))
    return fields


def _bad_line(number: int, what: str) -> Rejected:
    return Rejected(BAD_MESSAGE, f"header line {number}: {what}")


def _line_count(fields: list[Field]) -> int:
    return sum(field.raw.count(b"\r\n") + 1 for field in fields)


def _field_fault(raw: bytes) -> str:
    line = raw.partition(b"\r\n")[0]
    name, colon, _ = line.partition(b":")
    if not line:
        return "empty line inside the header section"
    if line[:1] in {b" ", b"\t"}:
        return "begins with white space, but there is no field to continue"
    if not colon:
        return f"no colon in '{shown(line, 40)}'; is the empty line after the header section missing?"
    if not name:
        return "no field name before the colon"
    return f"bad field name '{shown(name, 40)}'"


def _check_utf8(section: bytes) -> None:
    try:
        section.decode()
    except UnicodeDecodeError as exc:
        line = section[: exc.start].count(b"\n") + 1
        raise _bad_line(line, "octets that are neither ASCII nor UTF-8; encode them (RFC 2047)") from exc


def make_field(name: str, value: str, *, utf8: bool = False) -> bytes:
    """
    Make one complete field, folded, with CRLF at its end.

    Args:
        name: RFC 5322 3.6.8: printable ASCII without a colon.
        value: ASCII; what is not comes through `encode_words`, `format_mailbox` or `format_param`.
            White space at its ends is dropped. Folds at white space only, before column 77 where it can.
        utf8: The message may need RFC 6532: the value may hold any character.

    Raises:
        ValueError: An invalid name, a control character other than TAB in the value (CR, LF and NUL
            would be an injection), characters beyond ASCII, or a word that fits on no line.
    """
    if not name.isascii() or not _NAME.fullmatch(name.encode()):
        raise ValueError(f"bad field name '{shown(name)}'")
    _refuse_controls(value, f"{name}: ", but="\t")
    if not utf8 and not value.isascii():
        raise ValueError(f"{name}: value is not ASCII")
    lines: list[str] = []
    line, columns = f"{name}:", len(name) + 1
    pieces = _PIECE.findall(" " + value.strip(" \t"))
    lengths = map(len, pieces) if value.isascii() else (len(piece.encode()) for piece in pieces)
    # A first line that holds the name alone is legal but ill read: only where it must be.
    room = MAX_LINE
    for piece, length in zip(pieces, lengths, strict=True):
        if columns + length > room:
            lines.append(line)
            line, columns = piece, length
            if length > MAX_LINE:
                raise ValueError(f"{name}: a word of more than {MAX_LINE} octets can't be folded")
        else:
            line, columns = line + piece, columns + length
        room = FOLD_AT
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"


def encode_words(text: str) -> str:
    """
    Give unstructured text for a header: as it is when it is ASCII, else as encoded words in UTF-8.

    The words, each at most 62 characters and of whole characters, are separated by single spaces, which
    a reader drops; Q or B encoding, whichever is shorter. They fit a phrase as well (RFC 2047 5 (3)).

    Raises:
        ValueError: A control character other than TAB, or half a surrogate pair.
    """
    _refuse_controls(text, "", but="\t")
    if text.isascii():
        return text
    octets = text.encode()
    as_q = sum(_q_length(octet) for octet in octets) <= -(-len(octets) // 3) * 4
    frame = len("=?utf-8?q??=")
    room = _ENCODED_WORD - frame if as_q else (_ENCODED_WORD - frame) // 4 * 3
    words, word, used = [], bytearray(), 0
    for character in text:
        encoded = character.encode()
        cost = sum(map(_q_length, encoded)) if as_q else len(encoded)
        if used + cost > room:
            words.append(_encoded_word(word, as_q=as_q))
            word, used = bytearray(), 0
        word += encoded
        used += cost
    words.append(_encoded_word(word, as_q=as_q))
    return " ".join(words)


_Q_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/ ")


def _q_length(octet: int) -> int:
    return 1 if octet in _Q_PLAIN else 3


def _encoded_word(octets: bytes | bytearray, *, as_q: bool) -> str:
    if not as_q:
        return f"=?utf-8?b?{base64.b64encode(octets).decode('ascii')}?="
    text = "".join(chr(octet) if octet in _Q_PLAIN else f"={octet:02X}" for octet in octets)
    return f"=?utf-8?q?{text.replace(' ', '_')}?="


_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def format_mailbox(display: str, address: str) -> str:
    """
    Give a mailbox for an address field: `Name <local@domain>`, or the address alone without a name.

    Args:
        display: Any text; quoted or encoded as it needs. Encoded words that it holds already stay.
        address: Checked and normalised by `parse_path`, UTF-8 allowed.

    Raises:
        ValueError: A control character in the name, or a bad address.
    """
    path = parse_path(address, smtputf8=True)
    display = display.strip(" \t")
    if not display:
        return path
    if display.isascii() and not _PHRASE.fullmatch(display):
        _refuse_controls(display, "display name: ", but="\t")
        display = _in_quotes(display)
    return f"{encode_words(display)} <{path}>"


def format_date(epoch_s: float) -> str:
    """Give an instant as RFC 5322 3.3 date-time in +0000; whole seconds, rounded down."""
    at = datetime.fromtimestamp(int(epoch_s // 1), UTC)
    # strftime would follow the locale.
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[at.month - 1]
    return f"{day}, {at.day:02d} {month} {at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"


_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~-]+")


def quote_param(value: str) -> str:
    """
    Give a MIME parameter's ASCII value: as a token if it is one, else as a quoted string (RFC 2045 5.1).

    A token with `*`, `'` or `%` is quoted as well: readers of RFC 2231, Python's among them, take these for
    its marks.

    Raises:
        ValueError: Control characters or characters beyond ASCII.
    """
    _refuse_controls(value, "parameter value: ")
    if not value.isascii():
        raise ValueError("parameter value is not ASCII")
    return value if _PLAIN_VALUE.fullmatch(value) else _in_quotes(value)


def format_param(name: str, value: str) -> str:
    """
    Give one MIME parameter, `name=value`, by RFC 2231 where RFC 2045 does not suffice.

    Beyond ASCII, or longer than a line, the value is percent-encoded UTF-8, in numbered sections (joined by
    "; ") where one line does not hold it: a quoted string would be folded inside, and readers differ about
    what white space is left of a fold.

    Args:
        name: A token without `*`, `'` and `%`.
        value: Any text without control characters.

    Raises:
        ValueError: A bad name, or a control character in the value.
    """
    if not _TOKEN.fullmatch(name) or re.search(r"[*'%]", name):
        raise ValueError(f"bad parameter name '{shown(name)}'")
    _refuse_controls(value, f"{name}: ")
    if value.isascii():
        plain = f"{name}={quote_param(value)}"
        if len(plain) <= FOLD_AT - 2:  # with a space before it and a semicolon behind
            return plain
    sections, section = [], "utf-8''"
    for octet in value.encode():
        escaped = chr(octet) if octet in _ATTRIBUTE_PLAIN else f"%{octet:02X}"
        if len(section) + len(escaped) > _PARAM_LINE:
            sections.append(section)
            section = ""
        section += escaped
    sections.append(section)
    if len(sections) == 1:
        return f"{name}*={section}"
    return "; ".join(f"{name}*{n}*={text}" for n, text in enumerate(sections))


_ATTRIBUTE_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")

_CONTROL: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _refuse_controls(text: str, where: str, but: str = "") -> None:
    for match in _CONTROL.finditer(text):
        if match[0] not in but or not but:
            raise ValueError(f"{where}control character {shown(match[0])} at position {match.start() + 1}")


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
