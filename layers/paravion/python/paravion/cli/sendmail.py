"""
`sendmail`, a drop-in for /usr/sbin/sendmail: standard input to the native API.

Exit 0 means that the message is kept; 75 that it is not and may be tried again. Nothing is spooled
on this machine. Date and Message-ID are added by the API, From here, as only we know who calls.

Next on the message's path: cli/client.py. Standards: sendmail(8), sysexits.h, RFC 3461 (-N, -R, -V).
"""

from __future__ import annotations

import os
import sys

from paravion.cli.addresses import split_addresses
from paravion.cli.client import (
    EX_CONFIG,
    EX_DATAERR,
    EX_OK,
    EX_TEMPFAIL,
    ApiAway,
    ApiError,
    Client,
    new_idempotency_key,
)
from paravion.cli.config import BadConfig, load
from paravion.cli.header import add_from, header_field, split_header
from paravion.cli.sendmail_options import BadUsage, Options, parse_options

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO

    from paravion.cli.config import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the console script's entry."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run(words, os.environ, sys.stdin.buffer)


def run(words: Sequence[str], environ: Mapping[str, str], stdin: BinaryIO) -> int:
    """
    Do what a call asks for.

    Args:
        words: Without the command's name.
        environ: For the configuration and the caller's name.
        stdin: The message.

    Returns:
        The sysexits code.
    """
    quiet = False
    try:
        options = parse_options(words)
        quiet = options.quiet
        if options.mode == "m":
            return _deliver(options, environ, stdin)
        return _verify(options, environ) if options.mode == "v" else _other_mode(options)
    except BadUsage as exc:
        return _fail(str(exc), exc.exit, quiet=quiet)
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG, quiet=quiet)
    except ApiAway as exc:
        return _fail(f"not accepted, try again later: {exc}", EX_TEMPFAIL, quiet=quiet)
    except ApiError as exc:
        text = f"not accepted, try again later: {exc.text}" if exc.exit == EX_TEMPFAIL else exc.text
        return _fail(text, exc.exit, quiet=quiet)


def _other_mode(options: Options) -> int:
    if options.recipients:
        raise BadUsage(f"no recipients are taken with this mode: {options.recipients[0]}")
    if options.mode == "p":
        from paravion.cli import mailq

        return mailq.main(["-v"] if options.verbose else [])
    if options.mode == "i":
        from paravion.cli import newaliases

        return newaliases.main([])
    from paravion import __version__

    print(f"paravion {__version__}")
    return EX_OK


def _verify(options: Options, environ: Mapping[str, str]) -> int:
    from paravion.cli import verify

    if not options.recipients:
        raise BadUsage("-bv: no addresses")
    config = load(environ, options.config_path)
    # A bare name gets the API's first local domain, not this machine's.
    addresses = [word if "@" not in word else one for word in options.recipients for one in _recipients([word], config)]
    return verify.run(addresses, Client(config), verbose=options.verbose)


def _deliver(options: Options, environ: Mapping[str, str], stdin: BinaryIO) -> int:
    if not options.recipients and not options.from_header:
        raise BadUsage("no recipients: name them, or pass -t")
    config = load(environ, options.config_path)
    recipients = _recipients(options.recipients, config)
    sender = _default_sender(environ, config) if options.sender is None else _reverse_path(options.sender, config)
    client = Client(config)
    content = read_message(stdin, dot_ends=options.dot_ends)
    header, body = split_header(content)
    if options.from_header and options.notify:
        # The API knows NOTIFY for recipients that it is told, not for those that it finds.
        recipients += _header_recipients(header, config)
    header = add_from(header, sender, options.full_name)
    fields = _fields(options, sender, recipients)
    receipt = client.submit(fields, header + body, new_idempotency_key("sendmail"))
    if options.verbose:
        print(f"queued as {receipt['queue_id']}, recipients: {receipt.get('recipients')}")
    return EX_OK


def _fields(options: Options, sender: str, recipients: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"reverse_path": sender, "door": "sendmail"}
    if options.notify:
        notify = list(options.notify)
        fields["recipients"] = [{"forward_path": recipient, "notify": notify} for recipient in recipients]
    else:
        fields["recipients"] = recipients
    optional = {
        "recipients_from_header": options.from_header,
        "body_type": options.body_type,
        "smtputf8": options.smtputf8,
        "ret": options.ret,
        "envid": options.envid,
    }
    if not options.aliasing:
        fields["aliasing"] = False
    return fields | {name: value for name, value in optional.items() if value}


def read_message(stdin: BinaryIO, *, dot_ends: bool) -> bytes:
    """Give the message's octets: all of standard input, or with `dot_ends` up to a line that is a lone dot."""
    if not dot_ends:
        return stdin.read()
    lines: list[bytes] = []
    for line in stdin:
        if line.rstrip(b"\r\n") == b".":
            break
        lines.append(line)
    return b"".join(lines)


def _recipients(words: Sequence[str], config: Config) -> list[str]:
    found: list[str] = []
    for word in words:
        try:
            addresses = split_addresses(word, _hostname(config))
        except ValueError as exc:
            raise BadUsage(f"recipient: {exc}", EX_DATAERR) from None
        if not addresses:
            raise BadUsage(f"recipient: no address in {word!r}", EX_DATAERR)
        found += addresses
    return found


def _header_recipients(header: bytes, config: Config) -> list[str]:
    values = [value for name in (b"to", b"cc", b"bcc") for value in header_field(header, name)]
    return _recipients([value.decode("utf-8", "surrogateescape") for value in values if value.strip()], config)


def _reverse_path(value: str, config: Config) -> str:
    """-f's value: `""` and `<>` are the null reverse-path, a bare name gets our domain."""
    if value.strip() in {"", "<>"}:
        return ""
    try:
        (sender,) = split_addresses(value, _hostname(config))
    except ValueError:
        raise BadUsage(f"-f: not one address: {value!r}", EX_DATAERR) from None
    return sender.removeprefix("\\")


def _hostname(config: Config) -> str:
    if config.hostname:
        return config.hostname
    import socket

    return socket.gethostname()


def _default_sender(environ: Mapping[str, str], config: Config) -> str:
    return config.sender or f"{_login_name(environ)}@{_hostname(config)}"


def _login_name(environ: Mapping[str, str]) -> str:
    """Say who calls, by the user id and not by what the environment claims."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return environ.get("LOGNAME") or environ.get("USERNAME") or "nobody"


def _fail(text: str, exit_code: int, *, quiet: bool) -> int:
    if not quiet:
        line = "".join(char if char.isprintable() else "?" for char in text)
        print(f"sendmail: {line}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
