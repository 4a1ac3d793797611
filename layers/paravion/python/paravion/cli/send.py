"""
`paravion send`, for people: makes a message of words and files, or takes one that is there, and hands it in.

What it makes is MIME by the email package, with encoded words and quoted-printable where something is not ASCII. A
message that is there, of a file or standard input, goes as it is. Unlike `sendmail` it keeps nothing on this machine:
who calls it sees that it failed.

Next on the message's path: cli/client.py; cli/watch.py waits for its end.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paravion.cli import process
from paravion.cli.client import (
    EX_DATAERR,
    EX_NOINPUT,
    EX_OK,
    EX_UNAVAILABLE,
    EX_USAGE,
    LONGEST_OCTETS,
    Client,
    new_idempotency_key,
)
from paravion.cli.config import load
from paravion.domain.priority import ASKED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage
    from io import BufferedReader

    from paravion.cli.config import Config

_OWN_FIELDS = {"from": "--from", "to": "--to", "cc": "--cc", "bcc": "--bcc", "subject": "--subject",
               "reply-to": "--reply-to", "mime-version": "--text, --html and --attach"}  # fmt: skip
"""Fields that other options make; of a --header beside them nobody could say which counts, or who gets a copy."""

_OF_ADDRESSES = frozenset(
    f"{again}{name}" for again in ("", "resent-") for name in ("sender", "from", "to", "cc", "bcc")
)
"""Fields that a --header may set and whose addresses we read: Python's parser refuses, mends or falls, by version."""

_MAKING = ("subject", "text", "html", "attach", "header", "reply_to")
"""Options that make a message: not for one that is there."""


class BadMessage(Exception):
    """The call can't be served; `exit` is its sysexits code."""

    def __init__(self, text: str, exit_code: int = EX_USAGE) -> None:
        super().__init__(text)
        self.exit = exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("message", nargs="?", metavar="FILE", help="a message that is there; - for standard input")
    for name, help_text in {
        "to": "recipient, also `Name <address>`; may be repeated",
        "cc": "recipient that the others see; may be repeated",
        "bcc": "recipient that nobody sees; may be repeated",
    }.items():
        parser.add_argument(f"--{name}", action="append", default=[], metavar="ADDRESS", help=help_text)
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="author; default: PARAVION_SENDER")
    parser.add_argument("--reply-to", metavar="ADDRESS")
    parser.add_argument("--subject", metavar="TEXT")
    parser.add_argument("--text", metavar="TEXT", help="the plain text; - for standard input, @FILE for a file")
    parser.add_argument("--html", metavar="HTML", help="the same in HTML; - or @FILE as well")
    parser.add_argument("--attach", action="append", default=[], metavar="FILE", help="may be repeated")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="may be repeated")
    parser.add_argument("--at", metavar="WHEN", help="not before: 2026-12-24 18:00, in 2 hours, tomorrow 9:00")
    parser.add_argument("--priority", choices=ASKED, help="how soon it is tried again, and when its sender is told")
    parser.add_argument("--by", metavar="WHEN", help="told, if it is not delivered by then (RFC 2852)")
    parser.add_argument("--return-by", metavar="WHEN", help="returned instead, and only sent to hosts that do the same")
    parser.add_argument(
        "--tls", choices=("require", "requiretls"), help="secure connections only: from us, or all the way"
    )
    parser.add_argument("--wait", action="store_true", help="wait until it has come to its end, and show how")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="of --wait; 600 s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what a call asks for; gives the sysexits code."""
    config = load(os.environ)
    if not 0 < arguments.timeout < float("inf"):
        return _fail("--timeout: must be more than 0 seconds", EX_USAGE)
    try:
        fields, content = _submission(arguments, config)
    except BadMessage as exc:
        return _fail(str(exc), exc.exit)
    client = Client(config)
    receipt = client.submit(fields, content, new_idempotency_key("send"))
    queue_id = str(receipt["queue_id"])
    later = f", to be sent at {fields['send_at']}" if "send_at" in fields else ""
    # It is kept, and must not be sent again for words that nobody takes.
    process.say(f"queued as {queue_id}{later}")
    if not process.flush():
        process.drop_output()
    if not arguments.wait:
        return EX_OK
    from paravion.cli import watch

    return watch.wait(client, queue_id, timeout_s=arguments.timeout)


def _submission(arguments: argparse.Namespace, config: Config) -> tuple[dict[str, Any], bytes]:
    made = [f"--{name.replace('_', '-')}" for name in _MAKING if getattr(arguments, name) not in (None, [])]
    if arguments.message is not None and made:
        raise BadMessage(f"{', '.join(made)}: not with a message that is there")
    recipients = [address for name in ("to", "cc", "bcc") for address in _addresses(name, getattr(arguments, name))]
    is_there = arguments.message is not None or not (made or sys.stdin.isatty())
    if is_there:
        content = _read(arguments.message or "-")
        if not content:
            raise BadMessage(f"{arguments.message or '-'}: there is no message", EX_NOINPUT)
        fields: dict[str, Any] = {"recipients": recipients}
        if not recipients:
            fields["recipients_from_header"] = True
        if arguments.sender:
            fields["reverse_path"] = _addresses("from", [arguments.sender])[0]
    else:
        if not recipients:
            raise BadMessage("nobody to send it to: pass --to")
        author = arguments.sender or config.sender
        if not author:
            raise BadMessage("who is it from? Pass --from, or set PARAVION_SENDER")
        content = _made(arguments, author)
        fields = {"recipients": recipients, "reverse_path": _addresses("from", [author])[0]}
    if any(not address.isascii() for address in (*recipients, fields.get("reverse_path", ""))):
        fields["smtputf8"] = True
    return {**fields, **_wishes(arguments)}, content


def _wishes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give when and how it is to be sent, delivered and tried."""
    fields: dict[str, Any] = {}
    for name in ("priority", "tls"):
        if word := getattr(arguments, name):
            fields[name] = word
    if arguments.by and arguments.return_by:
        raise BadMessage("--by and --return-by: one of them")
    for name, field in (("at", "send_at"), ("by", "deliver_by"), ("return_by", "deliver_by")):
        if word := getattr(arguments, name):
            fields[field] = _instant(name, word)
    if "deliver_by" in fields:
        fields["deliver_by_mode"] = "return" if arguments.return_by else "notify"
    return fields


def _instant(name: str, words: str) -> str:
    from paravion.cli.when import instant

    try:
        at = instant(words, datetime.now(UTC))
    except ValueError as exc:
        raise BadMessage(f"--{name.replace('_', '-')}: {exc}") from exc
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _addresses(name: str, words: Sequence[str]) -> list[str]:
    from paravion.domain.address import parse_mailboxes

    found = []
    for word in words:
        try:
            addresses = [mailbox.address for mailbox in parse_mailboxes(word.encode("utf-8", "surrogateescape"))]
        except ValueError as exc:
            raise BadMessage(f"--{name}: {exc}", EX_DATAERR) from exc
        if not addresses or (name == "from" and len(addresses) > 1):
            raise BadMessage(f"--{name}: not one address in {word!r}", EX_DATAERR)
        found += addresses
    return found


def _made(arguments: argparse.Namespace, author: str) -> bytes:
    """Make the message; Date and Message-ID are added by the API."""
    from email import policy
    from email.message import EmailMessage

    if arguments.text is None and arguments.html is None and not arguments.attach:
        raise BadMessage("it would be empty: pass --text, --html or --attach")
    if [arguments.text, arguments.html].count("-") > 1:
        raise BadMessage("--text and --html can't both be standard input")
    is_utf8 = any(
        not address.isascii()
        for name in ("to", "cc", "from")
        for address in _addresses(name, [author] if name == "from" else getattr(arguments, name))
    )
    # What is ASCII needs no 8BITMIME on its way.
    message = EmailMessage((policy.SMTPUTF8 if is_utf8 else policy.SMTP).clone(cte_type="7bit"))
    _set_fields(message, arguments, author)
    text, html = (None if word is None else _text(word) for word in (arguments.text, arguments.html))
    try:
        if text is not None or html is None:
            message.set_content(text or "")
        if html is not None and text is not None:
            message.add_alternative(html, subtype="html")
        elif html is not None:
            message.set_content(html, subtype="html")
    except UnicodeError as exc:
        raise BadMessage("--text, --html: not UTF-8", EX_DATAERR) from exc
    for path in arguments.attach:
        _attach(message, path)
    return message.as_bytes()


def _set_fields(message: EmailMessage, arguments: argparse.Namespace, author: str) -> None:
    _set(message, "--from", "From", author)
    for name in ("to", "cc"):
        if addresses := getattr(arguments, name):
            _set(message, f"--{name}", name.title(), ", ".join(addresses))
    if arguments.reply_to is not None:
        _addresses("reply-to", [arguments.reply_to])
        _set(message, "--reply-to", "Reply-To", arguments.reply_to)
    _set(message, "--subject", "Subject", arguments.subject or "")
    for line in arguments.header:
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name or not all("!" <= char <= "~" for char in name):
            raise BadMessage(f"--header {line!r}: must be NAME: VALUE")
        if name.lower() in _OWN_FIELDS or name.lower().startswith("content-"):
            raise BadMessage(f"--header {name}: pass {_OWN_FIELDS.get(name.lower(), '--text, --html and --attach')}")
        if name.lower() in _OF_ADDRESSES:
            _addresses(f"header {name}", [value.strip()])
        _set(message, f"--header {name}", name, value.strip())


def _set(message: EmailMessage, option: str, name: str, value: str) -> None:
    try:
        value.encode()
        message[name] = value
    except Exception as exc:  # the email package's parser falls over some values instead of refusing them
        raise BadMessage(f"{option}: {exc}", EX_DATAERR) from exc


def _attach(message: EmailMessage, path: str) -> None:
    import mimetypes

    kind, encoding = mimetypes.guess_type(path)
    if kind is None or encoding is not None or kind.startswith(("multipart/", "message/")):
        kind = "application/octet-stream"
    name = Path(path).name
    if not name.isprintable():  # control characters, or octets that are not UTF-8
        raise BadMessage(f"--attach: {name!r} is no name for an attachment", EX_DATAERR)
    maintype, _, subtype = kind.partition("/")
    message.add_attachment(_read(path), maintype=maintype, subtype=subtype, filename=name)


def _text(word: str) -> str:
    if word != "-" and not word.startswith("@"):
        return word
    try:
        return _read("-" if word == "-" else word[1:]).decode()
    except UnicodeDecodeError as exc:
        raise BadMessage(f"{'standard input' if word == '-' else word[1:]}: not UTF-8", EX_DATAERR) from exc


def _read(path: str) -> bytes:
    if path == "-":
        return _read_standard_input()
    try:
        with Path(path).open("rb") as file:
            return _bounded(path, file)
    except OSError as exc:
        raise BadMessage(f"{path}: {exc.strerror}", EX_NOINPUT) from exc


def _bounded(name: str, file: BufferedReader) -> bytes:
    content = file.read(LONGEST_OCTETS + 1)
    if len(content) > LONGEST_OCTETS:
        raise BadMessage(f"{name}: longer than any service takes: {LONGEST_OCTETS} octets", EX_UNAVAILABLE)
    return content


def _read_standard_input() -> bytes:
    stdin = process.standard_input()
    try:
        return _bounded("standard input", stdin) if stdin is not None else b""
    except OSError as exc:
        raise BadMessage(f"standard input: {exc.strerror or exc}: nothing is sent", process.EX_IOERR) from exc


def _fail(text: str, exit_code: int) -> int:
    line = "".join(char if char.isprintable() else "?" for char in text)
    print(f"paravion: {line}", file=sys.stderr)
    return exit_code
