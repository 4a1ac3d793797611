"""
The arguments of MAIL and RCPT (path and parameters) and of BDAT. Pure.

Strict on brackets, since what two hosts read differently is an attack; lenient in one thing that old
clients do, a blank after the colon. A source route is dropped, as RFC 5321 F.2 has it.

RFC: 5321 4.1.1.2 and 4.1.1.3, 1870 (SIZE), 6152 (BODY), 6531 3.4 (SMTPUTF8), 3461 4 (RET, ENVID, NOTIFY,
ORCPT), 4954 5 (AUTH on MAIL), 3030 2 (BDAT), 4865 4 (HOLDFOR, HOLDUNTIL), 2852 4 (BY), 8689 2 (REQUIRETLS).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from infra.front_door import replies
from paravion.domain import address, status
from paravion.domain.schedule import MAX_RELEASE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH: Final = re.compile(r'<(?:@[^:<>"]*:)?((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>(?:[ ]+(.*))?', re.DOTALL)
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\U0010ffff]+))?")
_WORD: Final = re.compile(r"[^ \t]+")
_UTF8: Final = ("AUTH", "ORCPT")
"""Whose values may be UTF-8 once SMTPUTF8 is said: RFC 6531 3.4, 6533 3. All others have a grammar of their own."""

_CHUNK: Final = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.ASCII | re.IGNORECASE)
_INTERVAL: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII | re.IGNORECASE,
)
_BY: Final = re.compile(r"([+-]?[0-9]{1,9});([NR])(T)?", re.ASCII | re.IGNORECASE)
_DIGITS: Final = 20  # RFC 1870 3: size-value is 1 to 20 digits
_BODY_TYPES: Final = ("7BIT", "8BITMIME")
_POSTMASTER: Final = "postmaster"
_RETS: Final = ("FULL", "HDRS")


class Refusal(Exception):
    """The command is refused; `reply` is the line to say."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass
class Transaction:
    """
    One mail transaction as far as it has come.

    Attributes:
        reverse_path: "" for null.
        recipients: As POST /v1/messages takes them.
        options: Its other fields: body_type, smtputf8, ret, envid, send_at, tls, deliver_by with its mode and
            trace.
        refused_count: RCPT commands refused.
    """

    reverse_path: str
    options: dict[str, Any] = field(default_factory=dict)
    recipients: list[str | dict[str, Any]] = field(default_factory=list)
    refused_count: int = 0


def parse_mail(  # noqa: C901, PLR0912 (one branch for each parameter)
    argument: str, *, max_message_octets: int, extended: bool, now: float = 0.0, secure: bool = False
) -> Transaction:
    """
    Begin a transaction.

    Args:
        argument: What follows `MAIL `.
        max_message_octets: A SIZE above it is refused at once.
        extended: The client said EHLO; else no parameters are taken.
        now: Seconds since the epoch, from which HOLDFOR and BY count.
        secure: TLS is on; else REQUIRETLS is unknown, as it was not offered.

    Raises:
        Refusal
    """
    path, parameters = _parse(argument, "FROM:", extended=extended)
    options: dict[str, Any] = {}
    for name, value in parameters:
        if name == "SIZE":
            if not value.isdecimal() or len(value) > _DIGITS:
                raise Refusal(replies.bad_parameter("SIZE must be 1 to 20 digits"))
            if int(value) > max_message_octets:
                raise Refusal(replies.of_status(status.MESSAGE_TOO_BIG, f"the limit is {max_message_octets} octets"))
        elif name == "BODY":
            options["body_type"] = _choice(name, value, _BODY_TYPES)
        elif name == "RET":
            options["ret"] = _choice(name, value, _RETS)
        elif name == "ENVID":
            options["envid"] = _checked(address.check_envid, name, value)
        elif name == "SMTPUTF8":
            _check_bare(name, value)
            options["smtputf8"] = True
        elif name == "REQUIRETLS" and secure:
            _check_bare(name, value)
            options["tls"] = "requiretls"
        elif name in {"HOLDFOR", "HOLDUNTIL"}:
            if "send_at" in options:
                raise Refusal(replies.bad_parameter("HOLDFOR and HOLDUNTIL exclude each other"))
            options["send_at"] = _release(name, value, now)
        elif name == "BY":
            options |= _deadline(value, now)
        elif name == "AUTH":
            # RFC 4954 5: must be taken; whom we do not trust to say it counts as AUTH=<>, which says nothing.
            pass
        else:
            raise Refusal(replies.unknown_parameter(name))
    if "send_at" in options and options.get("deliver_by", "~") <= options["send_at"]:
        # Both are of one form and in UTC: their order as texts is that of time.
        raise Refusal(replies.bad_parameter("BY is over before the message may be sent"))
    if path:
        path = _address(path, status.SENDER_SYNTAX, smtputf8=bool(options.get("smtputf8")))
    return Transaction(path, options)


def parse_rcpt(argument: str, *, hostname: str, smtputf8: bool, extended: bool) -> str | dict[str, Any]:
    """
    Read one recipient, in the form that POST /v1/messages takes.

    Args:
        argument: What follows `RCPT `.
        hostname: Ours, whose postmaster `<postmaster>` is (RFC 5321 4.5.1).
        smtputf8: Said in MAIL.
        extended: The client said EHLO; else no parameters are taken.

    Raises:
        Refusal
    """
    path, parameters = _parse(argument, "TO:", extended=extended, smtputf8=smtputf8)
    options: dict[str, Any] = {}
    for name, value in parameters:
        if name == "NOTIFY":
            try:
                options["notify"] = address.check_notify(value.split(","))
            except ValueError as exc:
                raise Refusal(replies.bad_parameter(str(exc))) from None
        elif name == "ORCPT":
            options["orcpt"] = _checked(_orcpt, name, value)
        else:
            raise Refusal(replies.unknown_parameter(name))
    if path.lower() == _POSTMASTER:
        path = f"{path}@{hostname}"
    forward_path = _address(path, status.RECIPIENT_SYNTAX, smtputf8=smtputf8)
    return {"forward_path": forward_path, **options} if options else forward_path


def parse_bdat(argument: str) -> tuple[int, bool]:
    """
    Read a chunk's octets and whether it is the last.

    Args:
        argument: What follows `BDAT `.

    Raises:
        Refusal
    """
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise Refusal(replies.BAD_CHUNK)
    return int(match[1]), bool(match[2])


def _parse(argument: str, keyword: str, *, extended: bool, smtputf8: bool = False) -> tuple[str, list[tuple[str, str]]]:
    row = status.SENDER_SYNTAX if keyword == "FROM:" else status.RECIPIENT_SYNTAX
    if argument[: len(keyword)].upper() != keyword:
        raise Refusal(replies.bad_parameter(f"Syntax: {keyword}<address>"))
    match = _PATH.fullmatch(argument[len(keyword) :].strip(" "))
    if match is None:
        raise Refusal(replies.of_status(row, "must be <local@domain>"))
    path, rest = match[1], match[2] or ""
    if rest.strip() and not extended:
        raise Refusal(replies.bad_parameter("Parameters are for clients that said EHLO"))
    parameters = list(_parameters(rest))
    if not rest.isascii():
        may_be_utf8 = _UTF8 if smtputf8 or ("SMTPUTF8", "") in parameters else ()
        for name, value in parameters:
            if not value.isascii() and name not in may_be_utf8:
                raise Refusal(replies.bad_parameter(f"{name} must be ASCII"))
    return path, parameters


def _parameters(rest: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for word in _WORD.findall(rest):
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise Refusal(replies.bad_parameter(f"Bad parameter: {word}"))
        name = match[1].upper()
        if name in seen:
            raise Refusal(replies.bad_parameter(f"Parameter given twice: {name}"))
        seen.add(name)
        yield name, match[2] or ""


def _release(name: str, value: str, now: float) -> str:
    """Give the release as POST /v1/messages takes it; one that is past means at once (RFC 4865 4.2)."""
    if name == "HOLDFOR":
        if not _INTERVAL.fullmatch(value) or int(value) == 0:
            raise Refusal(replies.bad_parameter("HOLDFOR must be 1 to 9 digits, seconds"))
        at = now + int(value)
    else:
        if not _INSTANT.fullmatch(value):
            raise Refusal(replies.bad_parameter("HOLDUNTIL must be as 2026-01-02T03:04:05Z"))
        try:
            # What is before the epoch is as past as that; in UTC it may lie before the first year.
            at = max(0.0, datetime.fromisoformat(value.upper()).timestamp())
        except (ValueError, OverflowError):
            raise Refusal(replies.bad_parameter("HOLDUNTIL: there is no such instant")) from None
    if at > now + MAX_RELEASE_S:
        raise Refusal(replies.bad_parameter(f"{name}: at most {MAX_RELEASE_S:.0f} s ahead"))
    return instant(at)


def _deadline(value: str, now: float) -> dict[str, Any]:
    """Give a deadline as POST /v1/messages takes it."""
    match = _BY.fullmatch(value)
    if match is None:
        raise Refusal(replies.bad_parameter("BY must be 1 to 9 digits, seconds, then ;N or ;R, then maybe T"))
    seconds, returns = int(match[1]), match[2].upper() == "R"
    if returns and seconds <= 0:
        raise Refusal(replies.bad_parameter("BY with R must be above 0 seconds"))
    options: dict[str, Any] = {
        "deliver_by": instant(now + seconds),
        "deliver_by_mode": "return" if returns else "notify",
    }
    return {**options, "deliver_by_trace": True} if match[3] else options


def instant(at: float) -> str:
    """Give seconds since the epoch as RFC 3339 has them, in UTC, to the second after."""
    return datetime.fromtimestamp(math.ceil(at), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value.upper() not in choices:
        raise Refusal(replies.bad_parameter(f"{name} must be one of {', '.join(choices)}"))
    return value.upper()


def _check_bare(name: str, value: str) -> None:
    if value:
        raise Refusal(replies.bad_parameter(f"{name} takes no value"))


def _checked(check: Any, name: str, value: str) -> str:
    if not value:
        raise Refusal(replies.bad_parameter(f"{name} needs a value"))
    try:
        return str(check(value))
    except ValueError as exc:
        raise Refusal(replies.bad_parameter(str(exc))) from None


def _orcpt(value: str) -> str:
    return address.check_orcpt(address.to_ascii_orcpt(value))


def _address(path: str, row: status.Status, *, smtputf8: bool) -> str:
    if not path.isascii() and not smtputf8:
        raise Refusal(replies.SMTPUTF8_WANTED)
    try:
        return address.parse_path(path, smtputf8=smtputf8)
    except ValueError as exc:
        raise Refusal(replies.of_status(row, str(exc))) from None
