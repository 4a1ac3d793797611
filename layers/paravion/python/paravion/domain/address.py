"""
Addresses: mailboxes of the envelope, address lists of the header, and the values of RFC 3461's parameters.

An envelope path is `local@domain` without angle brackets. The local part is its host's business and is
never changed; the domain is put into the one form that DNS and we compare by: lower case, A-labels, no
final dot. Header fields are read by a tokenizer in linear time: display names, comments, groups and the
obsolete forms included. Does not look anything up, and does not rewrite header fields.

Every ValueError's text is printable ASCII and says what is wrong and where; positions count from 1.

RFC: 5321 4.1.2 and 4.5.3.1 (paths and limits), 5322 3.4 and 4.4 (lists, obsolete forms), 6854 (groups in
From), 6531 (SMTPUTF8), 5890 (A-labels), 3461 4 (xtext, NOTIFY, ORCPT, ENVID).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LOCAL: Final = 64
"""Octets of a local part, RFC 5321 4.5.3.1.1."""

MAX_DOMAIN: Final = 255
MAX_CLIENT: Final = MAX_DOMAIN + len(" ([IPv6:])") + 39
"""What a client calls itself and its address, as a Received field has them (RFC 5321 4.4)."""
"""Octets of a domain, RFC 5321 4.5.3.1.2."""

MAX_LABEL: Final = 63
"""Octets of a label, RFC 1035 2.3.4."""

MAX_PATH: Final = 254
"""Octets of `local@domain`: RFC 5321 4.5.3.1.3 grants a path 256, of which the angle brackets are two."""

MAX_COMMENT_DEPTH: Final = 100
"""Deepest nesting of comments that is read; mail has one, attacks have thousands."""

MAX_ORCPT: Final = 500
"""Characters of an ORCPT value, RFC 3461 4.2."""

MAX_ENVID: Final = 100
"""Characters of an ENVID value, RFC 3461 4.4."""

# Written as what they are not: a class with ranges up to U+10FFFF takes milliseconds to compile at start.
_NO_ATEXT: Final = r'\x00-\x20"(),:;<>@\[\\\]\x7f'
_DOT_STRING: Final = re.compile(rf"[^.{_NO_ATEXT}]+(?:\.[^.{_NO_ATEXT}]+)*")
_LOCAL_CHARACTER: Final = re.compile(rf"[^{_NO_ATEXT}]")
_QUOTED_STRING: Final = re.compile(r'"(?:[^\x00-\x1f"\\\x7f]|\\[ -~])*+"')
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
# RFC 6531 admits all of UTF-8; C1 controls, line separators and surrogates are in no script and only serve tricks.
_NO_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LABEL_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 3.1

_DEVIATIONS: Final = {
    "\u00df": "LATIN SMALL LETTER SHARP S",
    "\u03c2": "GREEK SMALL LETTER FINAL SIGMA",
    "\u200c": "ZERO WIDTH NON-JOINER",
    "\u200d": "ZERO WIDTH JOINER",
}
"""IDNA2003 and IDNA2008 make different domains of these (RFC 5894 7.2): mail could go to a stranger."""

_LONGEST_INPUT: Final = 1024  # characters; U-labels may be longer than the A-labels that count

_PATHS_KEPT: Final = 1024
"""A mail's addresses are read at each step of its road: by its door, from its header, for its sender's identity."""


def shown(text: str | bytes, limit: int = 60) -> str:
    """Escape foreign text for an answer or a log line: printable ASCII, cut after `limit` characters."""
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("utf-8", "surrogateescape")
    cut = text[:limit].encode("ascii", "backslashreplace").decode("ascii")
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut)
    return f"{plain}..." if len(text) > limit else plain


@lru_cache(_PATHS_KEPT)
def parse_path(text: str, *, smtputf8: bool = False) -> str:
    """
    Check one mailbox of the envelope and give it in the form that everything else compares by.

    Args:
        text: `local@domain` without angle brackets; the domain may be in U-labels, end in a dot, or be an
            address literal. The null reverse-path "" is the caller's affair.
        smtputf8: The message may need RFC 6531: the local part may hold more than ASCII.

    Returns:
        The same local part, quoting included, and the normalised domain.

    Raises:
        ValueError: What is wrong, and where.

    RFC: 5321 4.1.2, 4.1.3, 4.5.3.1; 6531 3.3. Stricter in one thing: a domain whose last label is a
    number is refused, for it is an address that lacks its brackets (RFC 3696 2).
    """
    if len(text) > _LONGEST_INPUT:
        raise ValueError(f"address is longer than {MAX_PATH} octets")
    if bad := _NO_TEXT.search(text):
        raise ValueError(f"control character {shown(bad[0])} at position {bad.start() + 1}")
    local, at, domain = text.rpartition("@")
    if not at:
        raise ValueError(f"no @ in '{shown(text)}'" if text else "address is empty")
    _check_local(local, smtputf8=smtputf8)
    path = f"{local}@{_normalised_domain(domain, len(local) + 2)}"
    if len(path) > MAX_PATH or (not path.isascii() and len(path.encode()) > MAX_PATH):
        raise ValueError(f"address is longer than {MAX_PATH} octets")
    return path


def split_address(path: str) -> tuple[str, str]:
    """
    Split what `parse_path` gave into local part and domain; a quoted local part may hold an @.

    Raises:
        ValueError: There is no @.
    """
    local, at, domain = path.rpartition("@")
    if not at:
        raise ValueError(f"no @ in '{shown(path)}'")
    return local, domain


def plain_local(local: str) -> str:
    r"""
    Give the local part of `parse_path`'s in its one form: without quotes and backslashes that it needs not.

    `"bob"` and `"b\ob"` are `bob`'s other spellings, and whatever is said of one mailbox is said of all its spellings.

    RFC: 5321 4.1.2.
    """
    if not local.startswith('"'):
        return local
    return _quoted(re.sub(r"\\(.)", r"\1", local[1:-1]))


def plain_path(path: str) -> str:
    """Give a path of `parse_path`'s with its local part in its one form; what is none stays as it is."""
    if '"' not in path:
        return path
    local, at, domain = path.rpartition("@")
    return f"{plain_local(local)}@{domain}" if at else path


def _check_local(local: str, *, smtputf8: bool) -> None:
    if not local:
        raise ValueError("local part is empty")
    if not local.isascii() and not smtputf8:
        raise ValueError("local part is not ASCII: the message needs SMTPUTF8 (RFC 6531)")
    if len(local) > MAX_LOCAL or (not local.isascii() and len(local.encode()) > MAX_LOCAL):
        raise ValueError(f"local part is longer than {MAX_LOCAL} octets")
    if _DOT_STRING.fullmatch(local) or _QUOTED_STRING.fullmatch(local):
        return
    if local[0] == '"':
        quoted = _QUOTED_STRING.match(local)
        if quoted:
            raise ValueError(f"local part goes on after its closing quote, at position {quoted.end() + 1}")
        raise ValueError("local part opens a quote that is not closed")
    for n, character in enumerate(local):
        if not _LOCAL_CHARACTER.match(character):
            raise ValueError(f"'{character}' at position {n + 1} of the local part needs quotes around the local part")
    raise ValueError("local part has a dot at its start, at its end or beside another dot")


def _normalised_domain(domain: str, position: int) -> str:
    """Check a domain or literal that starts at `position` of the address, for the error's text."""
    if domain.startswith("["):
        return _normalised_literal(domain)
    if not domain.isascii():
        domain = _to_a_labels(domain)
    domain = domain.removesuffix(".").lower()
    if not domain:
        raise ValueError("domain is empty")
    if len(domain) > MAX_DOMAIN:
        raise ValueError(f"domain is longer than {MAX_DOMAIN} octets")
    labels = domain.split(".")
    for label in labels:
        if len(label) > MAX_LABEL:
            raise ValueError(f"label '{label[:20]}...' of the domain is longer than {MAX_LABEL} octets")
        if not _LABEL.fullmatch(label):
            raise ValueError(_label_fault(label, position))
        position += len(label) + 1
    if labels[-1].isdecimal():
        raise ValueError("domain ends in a number: an IP address is written in brackets, as [192.0.2.1]")
    return domain


def _label_fault(label: str, position: int) -> str:
    if not label:
        return f"domain has an empty label, at position {position}"
    for n, character in enumerate(label):
        if not (character.isascii() and (character.isalnum() or character == "-")):
            return f"'{shown(character)}' at position {position + n} does not belong in a domain"
    return f"label '{label}' of the domain begins or ends with a hyphen"


def _normalised_literal(literal: str) -> str:
    """Check an address literal, RFC 5321 4.1.3; no General-address-literal is registered, so none is taken."""
    inner = literal[1:-1]
    if not literal.endswith("]") or not inner:
        raise ValueError("address literal does not end with a bracket" if inner else "address literal is empty")
    tag, colon, address = inner.partition(":")
    try:
        if not colon:
            return f"[{ipaddress.IPv4Address(inner)}]"
        # IPv6Address takes a zone as in fe80::1%eth0, which means nothing to another host.
        if tag.lower() == "ipv6" and "%" not in address:
            ipv6 = ipaddress.IPv6Address(address)
            mapped = ipv6.ipv4_mapped  # written out: Python 3.13's str() gives another form than 3.11's
            return f"[IPv6:::ffff:{mapped}]" if mapped else f"[IPv6:{ipv6}]"
    except ipaddress.AddressValueError:
        pass
    raise ValueError(f"address literal '{shown(literal)}' is neither [IPv4] nor [IPv6:...]")


def _to_a_labels(domain: str) -> str:
    """Turn U-labels into A-labels (RFC 3490 4.1) where IDNA2003 and IDNA2008 agree."""
    for character, name in _DEVIATIONS.items():
        if character in domain:
            raise ValueError(
                f"domain holds U+{ord(character):04X} {name}, which IDNA2003 and IDNA2008 read differently: "
                "write the domain in A-labels (xn--...)"
            )
    return ".".join(map(_to_a_label, _LABEL_DOTS.split(domain)))


def _to_a_label(label: str) -> str:
    if label.isascii():
        return label
    if len(label) > MAX_LABEL:  # before the codec, whose time grows with the square of the length
        raise ValueError(f"label '{shown(label, 10)}' of the domain is longer than {MAX_LABEL} octets")
    try:
        encoded = label.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise ValueError(f"label '{shown(label)}' of the domain is no IDNA label") from exc
    if "." in encoded:  # nameprep makes dots of look-alikes such as U+2024, which RFC 3490 3.1 does not name
        raise ValueError(f"label '{shown(label)}' of the domain hides a dot")
    return encoded


@dataclass(frozen=True, slots=True)
class Mailbox:
    """
    One mailbox of an address field.

    Attributes:
        display: The display name's octets without quoting and comments, b"" for none; encoded words
            (RFC 2047) and UTF-8 stay as they are.
        address: As `parse_path` gives it; the local part may hold UTF-8 (RFC 6532).
    """

    display: bytes
    address: str


_ATOM, _QUOTED, _LITERAL, _SPECIAL = "atom", "quoted", "literal", "special"

_TOKEN: Final = re.compile(
    rb"""
      (?P<space>[ \t]++)
    | (?P<atom>[A-Za-z0-9!\#$%&'*+/=?^_`{|}~\x80-\xff-]++)
    | (?P<special>[<>:;,@.])
    | "(?P<quoted>(?:[^"\\]|\\.)*+)"
    | \[(?P<literal>(?:[^\[\]\\])*+)\]
    | (?P<comment>\()
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_PART: Final = re.compile(rb"[()]|\\.", re.DOTALL)
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_CONTROL: Final = re.compile(rb"[\x00\r\n]")


class _Token(NamedTuple):  # a tuple, because a long list makes many
    kind: str
    text: bytes
    mark: bytes  # the special character that it is, b"" for a word
    spaced: bool  # white space or a comment stands before it
    at: int


def parse_mailboxes(value: bytes) -> list[Mailbox]:
    """
    Read the value of From, Sender, Reply-To, To, Cc or Bcc: every mailbox in order, groups flattened.

    Args:
        value: As in the field, folded or not. Empty list elements, comments, obsolete routes and
            obsolete spacing are dropped (RFC 5322 4.4).

    Raises:
        ValueError: What is wrong, and at which octet of the unfolded value.

    A display name may hold `@`, `[` and `]` without quotes, as in `a@x <a@x>` and `[List] A <a@x>`: RFC 5322
    forbids it, mail is full of it, and the angle brackets say which address is meant. An empty group that ends
    the value needs no semicolon.

    Time and memory are linear in the length of the value.
    """
    text = _FOLD.sub(b"", value)
    if bad := _CONTROL.search(text):
        raise ValueError(f"control character {shown(bad[0])} at position {bad.start() + 1}")
    return _ListReader(_tokens(text)).mailboxes()


def _tokens(text: bytes) -> list[_Token]:
    tokens = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(_token_fault(text, position))
        kind = match.lastgroup or ""
        if kind == "comment":
            position, spaced = _comment_end(text, position), True
            continue
        if kind == "space":
            spaced = True
        else:
            part = match[kind]
            tokens.append(_Token(kind, part, part if kind == _SPECIAL else b"", spaced, position + 1))
            spaced = False
        position = match.end()
    return tokens


def _token_fault(text: bytes, position: int) -> str:
    what = {b'"': "quote", b"[": "bracket"}.get(text[position : position + 1])
    if what:
        return f"{what} at position {position + 1} is not closed"
    return f"'{shown(text[position : position + 1])}' at position {position + 1} must be quoted"


def _comment_end(text: bytes, start: int) -> int:
    """Give the position after the comment that opens at `start` (RFC 5322 3.2.2)."""
    depth = 0
    for match in _COMMENT_PART.finditer(text, start):
        if match[0] == b"(":
            depth += 1
            if depth > MAX_COMMENT_DEPTH:
                raise ValueError(f"comments nested deeper than {MAX_COMMENT_DEPTH} at position {match.start() + 1}")
        elif match[0] == b")":
            depth -= 1
            if depth == 0:
                return match.end()
    raise ValueError(f"comment at position {start + 1} is not closed")


class _ListReader:
    """Reads an address-list from its tokens, each looked at once."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._found: list[Mailbox] = []
        self._words: list[_Token] = []  # of the element under way
        self._in_group = False
        self._group_begins = 0  # how many were found before it

    def mailboxes(self) -> list[Mailbox]:
        complete = False  # a mailbox or a group ended: a separator must come
        while (token := self._take()) is not None:
            mark = token.mark
            if mark in {b",", b";"}:
                self._separator(token)
                complete = mark == b";"
            elif complete:
                raise ValueError(f"no comma before '{shown(token.text, 20)}' at position {token.at}")
            elif mark == b"<":
                display, self._words = _display(self._words), []
                self._found.append(Mailbox(display, self._angle(token.at)))
                complete = True
            elif mark == b":":
                self._open_group(token)
            elif mark == b">":
                raise ValueError(f"'>' at position {token.at} without '<'")
            else:
                self._words.append(token)
        # `undisclosed-recipients:` often stands without its semicolon; in any other group that may be a mistake.
        if self._in_group and (self._words or len(self._found) > self._group_begins):
            raise ValueError("group is not ended by ';'")
        self._flush()
        return self._found

    def _flush(self) -> None:
        if self._words:
            self._found.append(Mailbox(b"", _address(self._words)))
            self._words = []

    def _separator(self, token: _Token) -> None:
        if token.mark == b";":
            if not self._in_group:
                raise ValueError(f"';' at position {token.at} ends no group; addresses are separated by commas")
            self._in_group = False
        self._flush()

    def _open_group(self, token: _Token) -> None:
        # A group's name is a strict phrase: with `@` before the colon it may as well be a route.
        odd = any(word.kind == _LITERAL or word.mark not in {b"", b"."} for word in self._words)
        if self._in_group or not self._words or odd:
            raise ValueError(f"':' at position {token.at} opens no group")
        self._words, self._in_group, self._group_begins = [], True, len(self._found)

    def _take(self) -> _Token | None:
        if self._next == len(self._tokens):
            return None
        self._next += 1
        return self._tokens[self._next - 1]

    def _angle(self, opened_at: int) -> str:
        """Read up to the closing bracket; an obsolete route before the address is dropped (RFC 5322 4.4)."""
        words: list[_Token] = []
        in_route = False
        while (token := self._take()) is not None:
            mark = token.mark
            if mark == b">":
                if in_route or not words:
                    raise ValueError(f"no address in the angle brackets at position {opened_at}")
                return _address(words)
            if in_route:
                in_route = mark != b":"
            elif not words and mark in {b"@", b","}:
                in_route = True
            else:
                words.append(token)
        raise ValueError(f"'<' at position {opened_at} is not closed")


def _display(words: list[_Token]) -> bytes:
    """Join a phrase (RFC 5322 3.2.5, dots as in 4.1) without its quoting; specials that end nothing pass."""
    parts = []
    for n, word in enumerate(words):
        text = word.text
        if word.kind == _QUOTED:
            text = _QUOTED_PAIR.sub(rb"\1", text)
        elif word.kind == _LITERAL:
            text = b"[" + text + b"]"
        parts.append(b" " + text if n and word.spaced else text)
    return b"".join(parts)


def _address(words: list[_Token]) -> str:
    """Put an addr-spec together, with the obsolete spacing and quoting of RFC 5322 4.4."""
    marks = [word.mark for word in words]
    if b"@" not in marks:
        sample = b"".join(word.text for word in words[:8])
        raise ValueError(f"no domain in '{shown(sample)}' at position {words[0].at}")
    at = marks.index(b"@")
    for group in (words[:at], words[at + 1 :]):
        for left, right in pairwise(group):
            if _SPECIAL not in {left.kind, right.kind}:
                raise ValueError(f"'{shown(right.text, 20)}' at position {right.at} does not belong in an address")
    for word in words[at + 1 :]:
        if word.kind == _QUOTED:
            raise ValueError(f"'{shown(word.text, 20)}' at position {word.at} must not be quoted in a domain")
    domain = b"".join(b"[" + w.text.strip(b" \t") + b"]" if w.kind == _LITERAL else w.text for w in words[at + 1 :])
    try:
        return parse_path(_local_part(words[:at]) + "@" + domain.decode(), smtputf8=True)
    except UnicodeDecodeError as exc:
        raise ValueError(f"address at position {words[0].at} is not UTF-8") from exc
    except ValueError as exc:
        raise ValueError(f"address at position {words[0].at}: {exc}") from exc


def _local_part(words: list[_Token]) -> str:
    if len(words) == 1 and words[0].kind == _QUOTED:
        return f'"{words[0].text.decode()}"'
    if any(word.kind == _LITERAL for word in words):
        raise ValueError("'[' must be quoted in a local part")
    if not any(word.kind == _QUOTED for word in words):
        return b"".join(word.text for word in words).decode()
    # obs-local-part "a"."b": RFC 5321 knows one quoted string around the whole, which means the same.
    plain = b"".join(_QUOTED_PAIR.sub(rb"\1", w.text) if w.kind == _QUOTED else w.text for w in words).decode()
    return _quoted(plain)


def _quoted(content: str) -> str:
    """Give a local part for what it says, in quotes if it needs them."""
    if _DOT_STRING.fullmatch(content):
        return content
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_XTEXT_PLAIN: Final = re.compile(rb"[^!-*,-<>-~]")
_XTEXT_HEX: Final = re.compile(rb"\+([0-9A-F]{2})")


def xtext_encode(text: str) -> str:
    """
    Encode a parameter's value for the wire, RFC 3461 4; characters beyond ASCII as their UTF-8 octets.

    Raises:
        ValueError: Control characters, which have no business in an address or an id.
    """
    if bad := _NO_TEXT.search(text):
        raise ValueError(f"control character {shown(bad[0])} at position {bad.start() + 1}")
    return _XTEXT_PLAIN.sub(lambda match: b"+%02X" % match[0][0], text.encode()).decode("ascii")


def xtext_decode(text: str) -> str:
    """
    Decode xtext, RFC 3461 4.

    Raises:
        ValueError: Not xtext, or it hides control characters or something that is not UTF-8.
    """
    end = _xtext_end(text)
    if end < len(text):
        raise ValueError(f"'{shown(text[end])}' at position {end + 1} is not xtext")
    octets = _XTEXT_HEX.sub(lambda match: bytes([int(match[1], 16)]), text.encode("ascii"))
    try:
        plain = octets.decode()
    except UnicodeDecodeError as exc:
        raise ValueError("xtext holds octets that are not UTF-8") from exc
    if bad := _NO_TEXT.search(plain):
        raise ValueError(f"xtext hides control character {shown(bad[0])}")
    return plain


def _xtext_end(text: str) -> int:
    match = _XTEXT.match(text)
    return match.end() if match else 0


def check_orcpt(text: str) -> str:
    """
    Check an ORCPT value, `addr-type;xtext` as on the wire, and give it back.

    Raises:
        ValueError: What is wrong. RFC: 3461 4.2, 6533 3 (addr-type utf-8, in its ASCII forms).
    """
    if len(text) > MAX_ORCPT:
        raise ValueError(f"ORCPT is longer than {MAX_ORCPT} characters")
    kind, semicolon, address = text.partition(";")
    if not semicolon or not kind.isascii() or "." in kind or not _DOT_STRING.fullmatch(kind):
        raise ValueError(f"ORCPT '{shown(text)}' is not of the form addr-type;address")
    if not address:
        raise ValueError("ORCPT has no address")
    try:
        xtext_decode(address)
    except ValueError as exc:
        raise ValueError(f"ORCPT: {exc}") from exc
    return text


_NO_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def to_ascii_orcpt(text: str) -> str:
    """
    Give an ORCPT value that holds UTF-8 in its ASCII form, in which it is kept and sent on.

    Args:
        text: As on the wire: `utf-8;` and an address in RFC 6533's unitext; or in ASCII, which stays as it is.

    Raises:
        ValueError: What is wrong. RFC: 6533 3 (utf-8-addr-unitext, EmbeddedUnicodeChar).
    """
    if text.isascii():
        return text
    kind, _, _ = text.partition(";")
    if kind.lower() != "utf-8":
        raise ValueError(f"ORCPT '{shown(text)}': only an address of type utf-8 may hold UTF-8")
    if bad := _NO_TEXT.search(text):
        raise ValueError(f"ORCPT hides control character {shown(bad[0])}")
    return _NO_ASCII.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", text)


_NOTIFY: Final = ("SUCCESS", "FAILURE", "DELAY")


def check_notify(words: Iterable[str]) -> tuple[str, ...]:
    """
    Check the words of a NOTIFY parameter; () stays () and means the default.

    Returns:
        In upper case, each once, in RFC 3461's order.

    Raises:
        ValueError: An unknown word, or NEVER beside another. RFC: 3461 4.1.
    """
    given = {word.upper() for word in words}
    if given == {"NEVER"}:
        return ("NEVER",)
    if "NEVER" in given:
        raise ValueError("NOTIFY: NEVER stands alone")
    if unknown := sorted(given.difference(_NOTIFY)):
        raise ValueError(f"NOTIFY: '{shown(unknown[0])}' is none of SUCCESS, FAILURE, DELAY and NEVER")
    return tuple(word for word in _NOTIFY if word in given)


def check_envid(text: str) -> str:
    """
    Check an ENVID value, xtext as on the wire, and give it back; "" is none.

    Raises:
        ValueError: What is wrong. RFC: 3461 4.4, which wants printable ASCII inside the xtext as well.
    """
    if len(text) > MAX_ENVID:
        raise ValueError(f"ENVID is longer than {MAX_ENVID} characters")
    try:
        plain = xtext_decode(text)
    except ValueError as exc:
        raise ValueError(f"ENVID: {exc}") from exc
    if not plain.isascii():
        raise ValueError("ENVID is not ASCII")
    return text
