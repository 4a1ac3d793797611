"""
sendmail's tables: each file format to keys and values, checked as a whole.

    kind           a line                                      read by
    -------------  ------------------------------------------  ------------------------------------------
    aliases        `name: target, target…`, continuation lines  domain/expand.py, for local domains
    include        `target, target…`; `:include:` names it      domain/expand.py, a page at a time
    virtusertable  `user@domain  address` or `error:…`          domain/expand.py, for every recipient
    genericstable  `user` or `user@domain`, then an address     services/expand.py, for senders
    access         `From:…`, `To:…`, `Connect:…`, `Server:…`   services/access.py
    mailertable    `domain`, `.domain` or `.`, then a route     services/deliver.py

A parser takes octets and gives entries, or raises one BadTable that names file and line of every problem (the
first twenty of them): a table is taken whole or not at all. What we can't do (programs, files) and targets that
the operator's settings do not name (domain/target.py) are refused here, and not first at delivery. Time and memory
are linear in the file.

Keys and values are text in one normal form: keys in lower case, domains in A-labels, several targets joined
by LF. How entries lie in storage is domain/table_pages.py's.

Next: services/tables.py loads them.
Formats: aliases(5) and cf/README of sendmail 8.18.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from paravion.domain import routes
from paravion.domain.address import parse_mailboxes, parse_path, plain_local, shown, split_address
from paravion.domain.next_hop import is_literal
from paravion.domain.refusal import Refusal
from paravion.domain.table_pages import INCLUDE, Entries
from paravion.domain.target import AllowedTargets, is_target, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

KINDS: Final = ("aliases", "virtusertable", "genericstable", "access", "mailertable")
"""What a file can be loaded as; and `include/NAME`, a list's members."""

MAX_ENTRY_OCTETS: Final = 16_384
"""An entry with its continuation lines; longer lists are files of their own (`:include:`)."""

MAX_MEMBERS: Final = 100_000
"""Members of one included list."""

MAX_ENTRIES: Final = 500_000
"""Entries of one table."""

MAX_PROBLEMS: Final = 20

MAX_REASON: Final = 200
"""Characters of a quarantine's reason."""

_ATEXT: Final = r"[^\x00-\x20\"(),:;<>@\[\\\]\x7f]"
_NAME: Final = re.compile(rf"{_ATEXT}+")
_INCLUDE_NAME: Final = re.compile(r"[A-Za-z0-9_./+-]{1,200}")
_TAGS: Final = ("connect:", "from:", "to:", "server:")
_ERROR: Final = re.compile(r"(?:([45])\.(\d{1,3})\.(\d{1,3}):?)?[ \t]*(?:([45]\d\d)(?![0-9]))?[ \t]*(.*)")
_CODE_TEXT: Final = re.compile(r"([45]\d\d)[ \t]+(.+)")

_INSTEAD: Final = "name a function (lambda:NAME), queue (sqs:ARN), topic (sns:ARN) or webhook (https://...) instead"
_NOT_HERE: Final = {
    "|": f"programs are never run here: {_INSTEAD}",
    "/": f"mail is never written to files here: {_INSTEAD}",
    "http://": "a webhook must be https://",
}

_KEYWORDS: Final = {
    "nouser": ("5.1.1", 550, "User unknown"),
    "nohost": ("5.1.2", 550, "Host unknown"),
    "unavailable": ("5.0.0", 550, "Unavailable"),
    "usage": ("5.0.0", 550, "Command line usage error"),
    "config": ("5.3.5", 550, "Configuration error"),
    "tempfail": ("4.0.0", 450, "Temporary failure"),
}
"""sendmail's symbolic errors: `error:nouser text`."""


class BadTable(Exception):
    """
    A table is refused as a whole.

    Attributes:
        problems: `file:line: what`, in order, printable ASCII; the first MAX_PROBLEMS of `count`.
    """

    def __init__(self, problems: Sequence[str], count: int) -> None:
        more = f"; and {count - len(problems)} more" if count > len(problems) else ""
        super().__init__("; ".join(problems) + more)
        self.problems = tuple(problems)
        self.count = count


class _Problems:
    """Collects what is wrong, bounded."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def add(self, file: str, line: int, text: str) -> None:
        self.count += 1
        if len(self.lines) < MAX_PROBLEMS:
            self.lines.append(f"{shown(file, 200)}:{line}: {shown(text, 200)}")

    def add_all(self, file: str, line: int, texts: Iterable[str]) -> None:
        for text in texts:
            self.add(file, line, text)

    def check(self) -> None:
        if self.count:
            raise BadTable(self.lines, self.count)


def parse_table(
    kind: str,
    files: Sequence[tuple[str, bytes]],
    local_domains: Sequence[str] = (),
    max_members: int = MAX_MEMBERS,
    allowed: AllowedTargets | None = AllowedTargets(),  # noqa: B008 (frozen)
    has_credential: Callable[[str], bool] | None = None,
) -> Entries:
    """
    Read the files of one table.

    Args:
        kind: Of KINDS, or `include/NAME`.
        files: Name and octets of each; several make one table.
        local_domains: For finding alias loops; the first qualifies bare names.
        max_members: Of an included list.
        allowed: Targets that aliases and lists may name, by default none. None: whatever is named is taken, for who
            does not know the settings.
        has_credential: Says of a name in the mailertable whether there is such a credential; asked once for each
            name, and may raise what it likes. None: whatever is named is taken.

    Raises:
        BadTable: Every problem with its file and line; nothing else is ever raised for what a file holds.
        ValueError: No such kind.
    """
    if kind not in KINDS and not kind.startswith(INCLUDE):
        raise ValueError(f"no kind of table: {shown(kind)}")
    problems = _Problems()
    entries: Entries = {}
    places: dict[str, tuple[str, int]] = {}
    for file, octets in files:
        if kind.startswith(INCLUDE):
            _read_members(file, octets, entries, max_members, allowed, problems)
            continue
        for line, key, value in _lines_of(kind, file, octets, problems):
            if key in places:
                first_file, first_line = places[key]
                problems.add(file, line, f"{key} is there already, at {shown(first_file, 200)}:{first_line}")
            elif len(entries) >= MAX_ENTRIES:
                problems.add(file, line, f"more than {MAX_ENTRIES} entries")
                break
            else:
                entries[key] = value
                places[key] = (file, line)
                problems.add_all(file, line, _not_allowed(value.split("\n"), allowed))
    if kind == "aliases" and not problems.count:
        for name, loop in _alias_loops(entries, local_domains):
            problems.add(*places[name], f"alias loop: {loop}")
    for key, name in _unknown_credentials(kind, entries, has_credential):
        problems.add(*places[key], f"auth={name}: there is no such credential (paravion routes credential add)")
    problems.check()
    return entries


def _unknown_credentials(
    kind: str, entries: Entries, has_credential: Callable[[str], bool] | None
) -> Iterator[tuple[str, str]]:
    if kind != "mailertable" or has_credential is None:
        return
    known: dict[str, bool] = {}
    for key, value in entries.items():
        for name in routes.credentials_of(value):
            if name not in known:
                known[name] = has_credential(name)
            if not known[name]:
                yield key, name


def includes_of(entries: Mapping[str, str]) -> dict[str, str]:
    """Give the names that aliases or members include, each with the first key that does."""
    found: dict[str, str] = {}
    for key, value in entries.items():
        if ":include:" in value:
            for target in value.split("\n"):
                if target.startswith(":include:"):
                    found.setdefault(target.removeprefix(":include:"), key)
    return found


def include_name(path: str) -> str:
    """
    Give the name that an included file is loaded under: its path without leading slashes.

    Raises:
        ValueError: What is wrong with it.
    """
    name = path.strip().lstrip("/")
    if not _INCLUDE_NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"':include:{shown(path)}': a name has 1 to 200 of letters, digits and _ . / + -")
    return name


# Lines


def _decoded(file: str, octets: bytes, problems: _Problems) -> Iterator[tuple[int, str]]:
    """Give number and text of each line; comments and empty lines are left out."""
    for number, raw in enumerate(octets.split(b"\n"), 1):
        raw = raw.removesuffix(b"\r")  # noqa: PLW2901 (the same line)
        if not raw.strip() or raw.startswith(b"#"):
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            problems.add(file, number, "not UTF-8")
            continue
        if any(ord(char) < 32 and char != "\t" for char in text):  # noqa: PLR2004 (C0 controls)
            problems.add(file, number, "control character")
            continue
        yield number, text


def _lines_of(kind: str, file: str, octets: bytes, problems: _Problems) -> Iterator[tuple[int, str, str]]:
    if kind == "aliases":
        lines = _folded(file, octets, problems)
        parse: Callable[[str], tuple[str, str]] = _alias
    else:
        lines = _decoded(file, octets, problems)
        parse = {
            "virtusertable": _virtuser,
            "genericstable": _generic,
            "access": _access,
            "mailertable": _mailer,
        }[kind]
    for number, text in lines:
        if len(text) > MAX_ENTRY_OCTETS:
            problems.add(
                file, number, f"longer than {MAX_ENTRY_OCTETS} characters: put members into a file and :include: it"
            )
            continue
        try:
            key, value = parse(text)
        except BadLine as exc:
            problems.add(file, number, str(exc))
        else:
            yield number, key, value


class BadLine(Exception):
    """One line is wrong; becomes a problem of its table."""


def _folded(file: str, octets: bytes, problems: _Problems) -> Iterator[tuple[int, str]]:
    """Join continuation lines (they begin with white space), and those after a backslash at a line's end."""
    parts: list[str] = []
    first, length, goes_on = 0, 0, False
    for number, text in _decoded(file, octets, problems):
        if text[0] in " \t" or goes_on:
            if not parts:
                problems.add(file, number, "continues nothing")
                continue
        else:
            if parts:
                yield first, " ".join(parts)
            parts, first, length = [], number, 0
        goes_on = text.endswith("\\")
        length += len(text)
        # What is too long is told once, and not kept.
        if length <= MAX_ENTRY_OCTETS or not parts:
            parts.append(text.removesuffix("\\").strip())
        elif len(parts[-1]) <= MAX_ENTRY_OCTETS:
            parts.append("x" * (MAX_ENTRY_OCTETS + 1))
    if parts:
        yield first, " ".join(parts)


def _two(text: str) -> tuple[str, str]:
    if text[0] in " \t":
        raise BadLine("begins with white space")
    key, _, value = text.replace("\t", " ").partition(" ")
    value = value.strip()
    if not value:
        raise BadLine(f"{key}: nothing on the right side")
    return key, value


# aliases and included lists


def _alias(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        name, quote, rest = text[1:].partition('"')
        rest = rest.lstrip()
        if not quote or not rest.startswith(":"):
            raise BadLine("a quoted name is followed by a colon")
        value = rest[1:]
    else:
        name, colon, value = text.partition(":")
        if not colon:
            raise BadLine("no colon after the alias's name")
    name = name.strip().lower()
    if "@" in name:
        raise BadLine(f"{name}: an alias is a local name; an address belongs into the virtusertable")
    if not _NAME.fullmatch(name):
        raise BadLine(f"'{name}' is not a local name")
    targets = _targets(value)
    if not targets:
        raise BadLine(f"{name}: no target")
    return name, "\n".join(dict.fromkeys(targets))


def _not_allowed(values: Sequence[str], allowed: AllowedTargets | None) -> Iterator[str]:
    """Say of each target why the settings don't allow it."""
    if allowed is None:
        return
    for value in values:
        problem = allowed.problem(value) if is_target(value) else ""
        if problem:
            yield f"'{value}': {problem}"


def _read_members(
    file: str, octets: bytes, entries: Entries, limit: int, allowed: AllowedTargets | None, problems: _Problems
) -> None:
    for number, text in _decoded(file, octets, problems):
        try:
            if len(text) > MAX_ENTRY_OCTETS:
                raise BadLine(f"longer than {MAX_ENTRY_OCTETS} characters")  # noqa: TRY301 (one place that tells)
            for target in _targets(text):
                if len(entries) >= limit:
                    problems.add(file, number, f"more than {limit} members")
                    return
                entries[f"{len(entries):07}"] = target
                problems.add_all(file, number, _not_allowed((target,), allowed))
        except BadLine as exc:
            problems.add(file, number, str(exc))


def _targets(text: str) -> list[str]:
    """Split at commas outside quotes, angle brackets and comments, and check each."""
    return [_target(part) for part in _split_commas(text)]


def _split_commas(text: str) -> Iterator[str]:  # noqa: C901 (a state machine over characters)
    if not any(char in text for char in '"(<'):
        yield from (part.strip() for part in text.split(",") if part.strip())
        return
    start, depth, quoted, escaped = 0, 0, False, False
    for n, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "(<":
            depth += 1
        elif char in ")>":
            depth -= 1
        elif char == "," and depth == 0:
            if text[start:n].strip():
                yield text[start:n].strip()
            start = n + 1
    if quoted or depth:
        raise BadLine("a quote or bracket is not closed")
    if text[start:].strip():
        yield text[start:].strip()


def _target(text: str) -> str:
    """Give the normal form of `local@domain`, `name`, either behind a backslash, `:include:name` or a target."""
    inner = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    lowered = inner.lower()
    for start, why in _NOT_HERE.items():
        if lowered.startswith(start):
            raise BadLine(f"'{inner}': {why}")
    try:
        if is_target(inner):
            return parse_target(inner)
        if lowered.startswith(":include:"):
            return f":include:{include_name(inner[9:])}"
        if text[0] == "\\":
            return "\\" + _address(text[1:])
        if any(char in text for char in "<( "):
            mailboxes = parse_mailboxes(text.encode())
            if len(mailboxes) != 1:
                raise BadLine(f"'{text}': not one address")
            return _address(mailboxes[0].address)
        return _address(inner if _NAME.fullmatch(inner) else text)
    except ValueError as exc:
        raise BadLine(f"'{shown(text)}': {exc}") from exc


def _address(text: str) -> str:
    """A path in normal form, or a bare local name."""
    if "@" in text:
        return parse_path(text, smtputf8=True)
    if not _NAME.fullmatch(text):
        raise ValueError("neither an address nor a local name")
    parse_path(f"{text}@x.invalid", smtputf8=True)
    return text


def _alias_loops(entries: Mapping[str, str], local_domains: Sequence[str]) -> Iterator[tuple[str, str]]:
    """
    Find aliases that lead back to themselves over others, each loop once, without recursion.

    A name among its own targets is no loop: it is the mailbox of that name, as sendmail has it.
    """
    local = frozenset(local_domains)
    done: set[str] = set()
    for start in entries:
        if start in done:
            continue
        path: list[str] = [start]
        on_path = {start: 0}
        stack = [iter(_next_names(start, entries, local))]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                gone = path.pop()
                del on_path[gone]
                done.add(gone)
            elif name in on_path:
                loop = [*path[on_path[name] :], name]
                yield name, " -> ".join(loop if len(loop) < 12 else [*loop[:6], "...", *loop[-5:]])  # noqa: PLR2004 (one line)
            elif name not in done:
                path.append(name)
                on_path[name] = len(path) - 1
                stack.append(iter(_next_names(name, entries, local)))


def _next_names(name: str, entries: Mapping[str, str], local: frozenset[str]) -> Iterator[str]:
    for target in entries[name].split("\n"):
        if target[0] in ":\\":
            continue
        bare, at, domain = target.rpartition("@")
        key = (bare if at else target).lower()
        if key != name and (not at or domain in local) and key in entries:
            yield key


# virtusertable, genericstable


def _virtuser(text: str) -> tuple[str, str]:
    key, value = _two(text)
    local, at, domain = key.rpartition("@")
    if not at:
        raise BadLine(f"{key}: no @; the left side is user@domain or @domain")
    domain = _domain(domain)
    # `++*` is the older spelling of `++`.
    local = local.lower()
    local = local.removesuffix("*") if local.endswith("++*") else local
    if local and not _NAME.fullmatch(local):
        raise BadLine(f"'{local}' is not a local part")
    return f"{local}@{domain}", _virtuser_value(value)


def _virtuser_value(value: str) -> str:
    if value.lower().startswith("error:"):
        return f"error:{_refusal(value[6:])}"
    if " " in value:
        raise BadLine(f"'{value}': one address stands on the right side")
    _refuse_targets(value)
    bad = re.search(r"%(?![123])", value)
    if bad:
        raise BadLine(f"'{value}': after % stands 1, 2 or 3")
    try:
        _address(substituted(value, "x", "x"))
    except ValueError as exc:
        raise BadLine(f"'{value}': {exc}") from exc
    return value


def _refuse_targets(value: str) -> None:
    if is_target(value):
        raise BadLine(f"'{value}': a target stands in the aliases: write a local name here, and make it an alias")
    for start, why in _NOT_HERE.items():
        if value.lower().startswith(start):
            raise BadLine(f"'{value}': {why}")


def substituted(value: str, user: str, detail: str) -> str:
    """Put %1 (user), %2 (detail) and %3 (+detail, or nothing) into a right side."""
    words = {"%1": user, "%2": detail, "%3": f"+{detail}" if detail else ""}
    return re.sub("%[123]", lambda match: words[match[0]], value)


def virtuser_keys(path: str) -> list[tuple[str, str, str]]:
    """Give the keys that a forward-path is looked up by, best first, each with %1 and %2."""
    local, domain = split_address(path)
    local = plain_local(local)
    low = local.lower()
    user, plus, detail = low.partition("+")
    given_user, _, given_detail = local.partition("+")
    if not plus or not user or local.startswith('"'):  # of what needs its quotes a part is no local part
        return [(f"{low}@{domain}", local, ""), (f"@{domain}", local, "")]
    keys = [f"{low}@{domain}", f"{user}++@{domain}", f"{user}+*@{domain}", f"{user}@{domain}"]
    keys += [f"++@{domain}", f"+*@{domain}", f"@{domain}"]
    if not detail:
        keys = [key for key in keys if "++@" not in key]
    return [(key, given_user, given_detail) for key in keys]


def alias_keys(local: str) -> list[str]:
    """Give the names that a local part is looked up by, best first."""
    low = plain_local(local).lower()
    user, plus, _ = low.partition("+")
    return [low, f"{user}+*", user] if plus and user and not low.startswith('"') else [low]


def _generic(text: str) -> tuple[str, str]:
    key, value = _two(text)
    local, at, domain = key.rpartition("@")
    if not at:
        local = key
    if not _NAME.fullmatch(local):
        raise BadLine(f"'{key}': the left side is user or user@domain")
    if "@" not in value or " " in value:
        raise BadLine(f"'{value}': one whole address stands on the right side")
    try:
        path = parse_path(value, smtputf8=True)
    except ValueError as exc:
        raise BadLine(f"'{value}': {exc}") from exc
    return (f"{local.lower()}@{_domain(domain)}" if at else local.lower()), path


# access


def _access(text: str) -> tuple[str, str]:
    key, value = _two(text)
    low = key.lower()
    tag = next((tag for tag in _TAGS if low.startswith(tag)), "")
    if not tag and ":" in low and not re.fullmatch(r"[0-9a-f:]+(?:ipv6)?|ipv6:[0-9a-f:]+", low):
        raise BadLine(f"{key}: of sendmail's tags only Connect:, From: and To: are known here, and our own Server:")
    low, value = _access_key(low.removeprefix(tag)), _access_value(value)
    if tag == "server:":
        _check_server(low, value)
    return tag + low, value


def _check_server(key: str, value: str) -> None:
    if "@" in key:
        raise BadLine(f"Server:{key}: a host, a domain above it, or a network")
    if value.startswith("QUARANTINE:"):
        raise BadLine(f"Server:{key}: mail is held before it is routed: QUARANTINE: goes with Connect:, From: or To:")
    if value == "DISCARD" and re.fullmatch(r"[0-9.]+|ipv6:.*|[0-9a-f:]*:[0-9a-f:]*", key):
        raise BadLine(f"Server:{key}: mail is discarded by the host's name, not by its address")


def _access_key(key: str) -> str:
    if not key:
        raise BadLine("nothing after the tag")
    if key.startswith("ipv6:"):
        return key
    local, at, domain = key.rpartition("@")
    if not at:
        return key.strip("[]") if re.fullmatch(r"\[?[0-9a-f.:]+\]?", key) else _domain(key)
    if not _NAME.fullmatch(local):
        raise BadLine(f"'{key}': an address, user@, a domain or a network")
    return f"{local}@{_domain(domain)}" if domain else f"{local}@"


def _access_value(value: str) -> str:
    word = value.upper()
    if word in {"OK", "RELAY", "REJECT", "DISCARD", "SKIP"}:
        return word
    if word.startswith("QUARANTINE:"):
        reason = _unquoted(value[11:].strip())
        if not reason or len(reason) > MAX_REASON or not (reason.isascii() and reason.isprintable()):
            raise BadLine(f"QUARANTINE: is followed by 1 to {MAX_REASON} printable ASCII characters")
        return f"QUARANTINE:{reason}"
    if word.startswith("ERROR:"):
        return f"ERROR:{_refusal(_unquoted(value[6:]))}"
    match = _CODE_TEXT.fullmatch(value)
    if match:
        return f"ERROR:{_refusal(value)}"
    raise BadLine(f"'{value}': OK, RELAY, REJECT, DISCARD, SKIP, QUARANTINE:text, ERROR:D.S.N:code text, code text")


def access_keys(path: str) -> list[str]:
    """Give the keys, without tag, that an address is looked up by, best first."""
    local, domain = split_address(path)
    low = plain_local(local).lower()
    # Also of a detail that needs quotes: whoever is refused is so with any detail.
    user, plus, _ = low.removeprefix('"').partition("+")
    names = (low, user) if plus and user else (low,)
    return [*(f"{name}@{domain}" for name in names), *parent_domains(domain), *(f"{name}@" for name in names)]


def network_keys(address: str) -> list[str]:
    """Give the keys, without tag, for a client's IP address: itself and the nets above it."""
    separator = ":" if ":" in address else "."
    parts = address.lower().split(separator)
    nets = [separator.join(parts[:n]) for n in range(len(parts), 0, -1)]
    return [*nets, *(f"ipv6:{net}" for net in nets)] if separator == ":" else nets


def parent_domains(domain: str) -> list[str]:
    """Give a domain and those above it; a literal has none above."""
    if is_literal(domain):
        return [domain.strip("[]")]
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(len(labels))]


def mailer_keys(domain: str) -> list[str]:
    """Give the mailertable's keys for a domain, best first: itself, `.parent`s, and `.` for all."""
    return [domain, *(f".{name}" for name in parent_domains(domain)[1:]), "."]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _refusal(text: str) -> Refusal:
    """`D.S.N:code text`, `nouser text`, `code text`."""
    text = _unquoted(text.strip())
    word, _, rest = text.replace(":", " ", 1).partition(" ")
    if word.lower() in _KEYWORDS:
        status, code, default = _KEYWORDS[word.lower()]
        match = _CODE_TEXT.fullmatch(rest.strip())
        return _checked(int(match[1]) if match else code, status, match[2] if match else rest.strip() or default)
    match = _ERROR.fullmatch(text)
    if match is None or not (match[1] or match[4]):
        raise BadLine(f"'{text}': must be error:D.S.N:code text, error:D.S.N text or error:nouser text")
    status = f"{match[1]}.{match[2]}.{match[3]}" if match[1] else f"{match[4][0]}.7.1"
    return _checked(int(match[4] or f"{status[0]}50"), status, match[5].strip() or "Refused")


def _checked(code: int, status: str, text: str) -> Refusal:
    if str(code)[0] != status[0]:
        raise BadLine(f"{code} and {status} are of different classes")
    if not (text.isascii() and text.isprintable()):
        raise BadLine("the text must be printable ASCII")
    return Refusal(code, status, text)


# mailertable


def _mailer(text: str) -> tuple[str, str]:
    key, value = _two(text)
    if key != ".":
        key = f".{_domain(key[1:])}" if key.startswith(".") else _domain(key)
    mailer, colon, rest = value.partition(":")
    name = mailer.lower()
    if not colon:
        raise BadLine(f"'{value}': must be mailer:host")
    if name == "error":
        return key, f"error:{_refusal(rest)}"
    if name == "discard":
        return key, "discard:"
    if not routes.is_mailer(name):
        raise BadLine(f"mailer '{mailer}' is not offered: smtp, esmtp, esmtps, relay, discard or error")
    try:
        return key, routes.written(routes.parse_hops(value))
    except ValueError as exc:
        raise BadLine(str(exc)) from exc


def _domain(text: str) -> str:
    try:
        return parse_path(f"x@{text}").partition("@")[2]
    except ValueError as exc:
        raise BadLine(f"'{text}' is not a domain: {exc}") from exc
