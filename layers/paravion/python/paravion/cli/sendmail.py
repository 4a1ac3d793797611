"""
`sendmail`, a drop-in for /usr/sbin/sendmail: standard input to the native API, or to the client queue.

Exit 0 means that the message is kept: by the API, or on this machine's disk where the API can't be reached
(client_queue.py); 75 that it is not and may be tried again. Date and Message-ID are added by the API, From here, as
only we know who calls.

Next on the message's path: cli/client.py. Standards: sendmail(8), sysexits.h, RFC 3461 (-N, -R, -V).
"""

from __future__ import annotations

import os
import sys

from paravion.cli import process
from paravion.cli.addresses import split_addresses
from paravion.cli.client import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOINPUT,
    EX_OK,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    LONGEST_OCTETS,
    ApiAway,
    ApiError,
    Client,
    new_idempotency_key,
)
from paravion.cli.config import BadConfig, load
from paravion.cli.header import prepare
from paravion.cli.sendmail_options import BadUsage, Options, parse_options

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO, NoReturn

    from paravion.cli.config import Config

NAMES = {"mailq": "-bp", "newaliases": "-bi", "hoststat": "-bh", "purgestat": "-bH", "smtpd": "-bd"}
"""By which the command may be called, and the options that they mean: sendmail(8)."""

_PIECE_OCTETS = 1 << 20

QUICK_RETRY_WAITS_S = (0.5,)
"""Before the client queue takes a message, so that a caller does not wait long for a service that is away."""


def program() -> NoReturn:
    """Be the command's process: the console scripts' entry, by every name."""
    process.run(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the sysexits code."""
    words = sys.argv[1:] if argv is None else list(argv)
    name = sys.argv[0].rpartition("/")[2] if argv is None else ""
    if name == "newaliases" and words[:1] == ["--aliases"]:  # which has a word of its own
        from paravion.cli import newaliases

        return newaliases.main(words)
    if name in NAMES:
        words = [NAMES[name], *words]
    return run(words, os.environ, process.standard_input())


def run(  # noqa: PLR0911 (one for each way that it can end)
    words: Sequence[str], environ: Mapping[str, str], stdin: BinaryIO | None
) -> int:
    """
    Do what a call asks for.

    Args:
        words: Without the command's name.
        environ: For the configuration and the caller's name.
        stdin: The message; None if it was closed.

    Returns:
        The sysexits code.
    """
    quiet = False
    try:
        options = parse_options(words)
        quiet = options.quiet
        if options.mode == "m":
            return _deliver(options, environ, stdin)
        if options.mode == "q":
            from paravion.cli import sendmail_queue

            return sendmail_queue.run(options, environ)
        return _show(options, environ)
    except BadUsage as exc:
        return _fail(str(exc), exc.exit, quiet=quiet)
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG, quiet=quiet)
    except ApiAway as exc:
        return _fail(f"not accepted, try again later: {exc}", EX_TEMPFAIL, quiet=quiet)
    except ApiError as exc:
        text = f"not accepted, try again later: {exc.text}" if exc.exit == EX_TEMPFAIL else exc.text
        return _fail(text, exc.exit, quiet=quiet)


def _show(options: Options, environ: Mapping[str, str]) -> int:
    """Every mode whose words are what it is called for: when nobody takes them, that is told by the exit."""
    try:
        code = _verify(options, environ) if options.mode == "v" else _other_mode(options, environ)
    except OSError as exc:
        raise BadUsage(f"standard output: {exc.strerror or exc}", process.EX_IOERR) from exc
    return code if process.flush() else code or process.EX_IOERR


def _other_mode(options: Options, environ: Mapping[str, str]) -> int:
    if options.recipients:
        raise BadUsage(f"no recipients are taken with this mode: {options.recipients[0]}")
    if options.mode in {"p", "P"}:
        from paravion.cli import mailq

        return mailq.count(options, environ) if options.mode == "P" else mailq.run(options, environ)
    if options.mode == "s":
        return _serve(options, environ)
    if options.mode == "version":
        from paravion import __version__

        print(f"paravion {__version__}")
        return EX_OK
    config = load(environ, options.config_path)
    client = Client(config)
    if options.mode == "i":
        from paravion.cli import newaliases

        return newaliases.run(newaliases.files_of(options.alias_files or config.aliases), client)
    if options.mode == "h":
        from paravion.cli import hosts

        return hosts.show_all(client)
    print("the configuration is complete")
    return EX_OK


def _serve(options: Options, environ: Mapping[str, str]) -> int:
    """-bs: SMTP with who started us."""
    from paravion.cli import sendmail_smtp

    config = load(environ, options.config_path)
    Client(config)

    def keep(fields: dict[str, Any], content: bytes) -> str:
        message = bytearray(content)  # Who speaks SMTP to a command leaves the same things out as who pipes.
        prepare(message, _hostname(config), str(fields.get("reverse_path") or ""), options.full_name)
        if options.protocol:
            fields.pop("protocol")  # that of the pipe
        fields = _wishes(options) | fields  # What SMTP says of this message goes before what the call says of all.
        fields["recipients"] = [_with_notify(recipient, options) for recipient in fields["recipients"]]
        return _hand_in(options, config, environ, fields, message, new_idempotency_key("sendmail"))

    return sendmail_smtp.serve(keep, hostname=_hostname(config))


def _verify(options: Options, environ: Mapping[str, str]) -> int:
    from paravion.cli import verify

    if not options.recipients:
        raise BadUsage("-bv: no addresses")
    config = load(environ, options.config_path)
    # A bare name gets the API's first local domain, not this machine's.
    addresses = [word if "@" not in word else one for word in options.recipients for one in _recipients([word], config)]
    if not options.aliasing:
        addresses = ["\\" + address.removeprefix("\\") for address in addresses]
    return verify.run(addresses, Client(config), verbose=options.verbose)


def _deliver(options: Options, environ: Mapping[str, str], stdin: BinaryIO | None) -> int:
    if not options.recipients and not options.from_header:
        raise BadUsage("no recipients: name them, or pass -t")
    config = load(environ, options.config_path)
    hostname = _hostname(config)
    recipients = _recipients(options.recipients, config)
    sender = _default_sender(environ, config) if options.sender is None else _reverse_path(options.sender, config)
    Client(config)  # A bad endpoint is the caller's to mend before a message is taken.
    content = read_message(stdin, dot_ends=options.dot_ends)
    header_octets = prepare(content, hostname, sender, options.full_name)
    if options.from_header and options.notify:
        # The API knows NOTIFY for recipients that it is told, not for those that it finds.
        recipients += _header_recipients(bytes(content[:header_octets]))
    fields = _fields(options, sender, recipients)
    told = _hand_in(options, config, environ, fields, content, new_idempotency_key("sendmail"))
    if options.verbose:
        process.say(told)
    return EX_OK


def _hand_in(
    options: Options,
    config: Config,
    environ: Mapping[str, str],
    fields: dict[str, Any],
    content: bytes | bytearray,
    key: str,
) -> str:
    """
    Have the API keep a message, or the client queue, and say which.

    Raises:
        ApiAway, ApiError: Nobody keeps it.
    """
    mode = options.delivery_mode or config.delivery_mode
    if config.queue == "off" and not options.queue_folder:
        return _receipt(Client(config).submit(fields, content, key))
    from paravion.cli.client_queue import QueueUnavailable, open_queue

    queue = open_queue(config, environ, options.queue_folder)
    if mode != "i":
        try:
            entry_id = queue.put(fields, content, key, "")
        except QueueUnavailable:
            pass  # Then the caller waits for the API.
        else:
            if mode == "b":
                process.in_background(lambda: queue.run(Client(config).submit))
            return f"queued on this machine as {entry_id}"
    try:
        told = _receipt(Client(config, retry_waits_s=QUICK_RETRY_WAITS_S).submit(fields, content, key))
    except (ApiAway, ApiError) as exc:
        if isinstance(exc, ApiError) and exc.exit != EX_TEMPFAIL:
            raise
        reason = exc.text if isinstance(exc, ApiError) else str(exc)
        try:
            # The same key: if the answer alone was lost, the queue's submission is this one's repeat.
            return f"queued on this machine as {queue.put(fields, content, key, reason)}: {reason}"
        except QueueUnavailable as full:
            raise ApiAway(f"{reason}; nor can it wait here: {full}") from exc
    if not queue.is_empty():
        process.in_background(lambda: queue.run(Client(config).submit))
    return told


def _receipt(receipt: Mapping[str, Any]) -> str:
    return f"queued as {receipt['queue_id']}, recipients: {receipt.get('recipients')}"


def _fields(options: Options, sender: str, recipients: list[str]) -> dict[str, Any]:
    return {
        "reverse_path": sender,
        "door": "sendmail",
        "recipients": [_with_notify(recipient, options) for recipient in recipients],
        **_wishes(options),
    }


def _with_notify(recipient: str | dict[str, Any], options: Options) -> str | dict[str, Any]:
    """Give a recipient with -N's word, unless he has one of his own."""
    if not options.notify or (isinstance(recipient, dict) and "notify" in recipient):
        return recipient
    known = recipient if isinstance(recipient, dict) else {"forward_path": recipient}
    return {**known, "notify": list(options.notify)}


def _wishes(options: Options) -> dict[str, Any]:
    """Give what the options say of a message."""
    wishes = {
        "recipients_from_header": options.from_header,
        "body_type": options.body_type,
        "smtputf8": options.smtputf8,
        "ret": options.ret,
        "envid": options.envid,
        "protocol": options.protocol,
        "client": options.client,
    }
    found = {name: value for name, value in wishes.items() if value}
    return found if options.aliasing else {**found, "aliasing": False}


def read_message(stdin: BinaryIO | None, *, dot_ends: bool) -> bytearray:
    """
    Give the message's octets: all of standard input, or with `dot_ends` up to a line that is a lone dot.

    Raises:
        BadUsage: It can't be read, or has no end in sight: then nothing is sent of it.
    """
    if stdin is None:
        raise BadUsage("standard input is closed, or a directory: there is no message", EX_NOINPUT)
    content = bytearray()
    at_line_start = True
    read = stdin.readline if dot_ends else stdin.read
    try:
        while octets := read(_PIECE_OCTETS):
            if dot_ends and at_line_start and octets.rstrip(b"\r\n") == b".":
                break
            at_line_start = octets.endswith(b"\n")
            content += octets
            if len(content) > LONGEST_OCTETS:
                raise BadUsage(f"longer than any service takes: {LONGEST_OCTETS} octets", EX_UNAVAILABLE)
    except OSError as exc:
        exit_code = EX_NOINPUT if exc.errno in process.NO_INPUT else process.EX_IOERR
        raise BadUsage(f"standard input: {exc.strerror or exc}: nothing is sent", exit_code) from exc
    return content


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


def _header_recipients(header: bytes) -> list[str]:
    """As the API finds them: of a message that was sent on by hand, those of its Resent- fields alone."""
    from paravion.domain.message import header_recipients
    from paravion.domain.message import read_message as read_whole
    from paravion.domain.status import Rejected

    try:
        return header_recipients(read_whole(header + b"\r\n", max_octets=LONGEST_OCTETS))
    except Rejected as exc:
        raise BadUsage(exc.detail or exc.status.text, EX_DATAERR) from exc


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
    return config.hostname or os.uname().nodename


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
        process.say(f"sendmail: {text}", error=True)
    return exit_code


if __name__ == "__main__":
    program()
