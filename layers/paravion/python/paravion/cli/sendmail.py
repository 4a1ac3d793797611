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
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, BinaryIO

    from paravion.cli.client_queue import ClientQueue
    from paravion.cli.config import Config

NAMES = {"mailq": "-bp", "hoststat": "-bh", "purgestat": "-bH", "smtpd": "-bd"}
"""By which the command may be called, and the options that they mean: sendmail(8)."""

QUICK_RETRY_WAITS_S = (0.5,)
"""Before the client queue takes a message, so that a caller does not wait long for a service that is away."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the console script's entry."""
    words = sys.argv[1:] if argv is None else list(argv)
    name = sys.argv[0].rpartition("/")[2] if argv is None else ""
    if name == "newaliases":  # which has words of its own
        from paravion.cli import newaliases

        return newaliases.main(words)
    if name in NAMES:
        words = [NAMES[name], *words]
    return run(words, os.environ, sys.stdin.buffer)


def run(  # noqa: PLR0911 (one for each way that it can end)
    words: Sequence[str], environ: Mapping[str, str], stdin: BinaryIO
) -> int:
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
        if options.mode == "q":
            return _run_queue(options, environ)
        return _verify(options, environ) if options.mode == "v" else _other_mode(options, environ)
    except BadUsage as exc:
        return _fail(str(exc), exc.exit, quiet=quiet)
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG, quiet=quiet)
    except ApiAway as exc:
        return _fail(f"not accepted, try again later: {exc}", EX_TEMPFAIL, quiet=quiet)
    except ApiError as exc:
        text = f"not accepted, try again later: {exc.text}" if exc.exit == EX_TEMPFAIL else exc.text
        return _fail(text, exc.exit, quiet=quiet)


def _other_mode(options: Options, environ: Mapping[str, str]) -> int:  # noqa: PLR0911 (one for each mode)
    if options.recipients:
        raise BadUsage(f"no recipients are taken with this mode: {options.recipients[0]}")
    if options.mode in {"p", "P"}:
        from paravion.cli import mailq

        if options.mode == "P":
            return mailq.count(environ, options.config_path, options.queue_folder)
        words = [*(["-v"] if options.verbose else []), *(["-qQ"] if options.held else [])]
        return mailq.run(words, environ, options.config_path, options.queue_folder)
    if options.mode == "i":
        from paravion.cli import newaliases

        return newaliases.main([])
    if options.mode == "h":
        from paravion.cli import main as whole

        return whole.main(["hosts", "list"])
    if options.mode == "s":
        return _serve(options, environ)
    if options.mode == "C":
        Client(load(environ, options.config_path))
        print("the configuration is complete")
        return EX_OK
    from paravion import __version__

    print(f"paravion {__version__}")
    return EX_OK


def _serve(options: Options, environ: Mapping[str, str]) -> int:
    """-bs: SMTP with who started us."""
    from paravion.cli import sendmail_smtp

    config = load(environ, options.config_path)
    Client(config)

    def keep(fields: dict[str, Any], content: bytes) -> str:
        return _hand_in(options, config, environ, fields, content, new_idempotency_key("sendmail"))

    return sendmail_smtp.serve(keep, hostname=_hostname(config))


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
    Client(config)  # A bad endpoint is the caller's to mend before a message is taken.
    content = read_message(stdin, dot_ends=options.dot_ends)
    header, body = split_header(content)
    if options.from_header and options.notify:
        # The API knows NOTIFY for recipients that it is told, not for those that it finds.
        recipients += _header_recipients(header, config)
    header = add_from(header, sender, options.full_name)
    fields = _fields(options, sender, recipients)
    told = _hand_in(options, config, environ, fields, header + body, new_idempotency_key("sendmail"))
    if options.verbose:
        print(told)
    return EX_OK


def _hand_in(
    options: Options,
    config: Config,
    environ: Mapping[str, str],
    fields: dict[str, Any],
    content: bytes,
    key: str,
) -> str:
    """
    Have the API keep a message, or the client queue, and say which.

    Raises:
        ApiAway, ApiError: Nobody keeps it.
    """
    queue = client_queue(config, environ, options.queue_folder)
    mode = options.delivery_mode or config.delivery_mode
    if queue is None:
        return _receipt(Client(config).submit(fields, content, key))
    from paravion.cli.client_queue import QueueUnavailable

    if mode != "i":
        try:
            entry_id = queue.put(fields, content, key, "")
        except QueueUnavailable:
            pass  # Then the caller waits for the API.
        else:
            if mode == "b":
                in_background(lambda: queue.run(Client(config).submit))
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
        in_background(lambda: queue.run(Client(config).submit))
    return told


def _receipt(receipt: Mapping[str, Any]) -> str:
    return f"queued as {receipt['queue_id']}, recipients: {receipt.get('recipients')}"


def client_queue(config: Config, environ: Mapping[str, str], folder: str = "") -> ClientQueue | None:
    """Give this user's queue, in `folder` if that is named; None if there is to be none."""
    if config.queue == "off" and not folder:
        return None
    from paravion.cli import client_queue as queues

    return queues.ClientQueue(
        folder or queues.expected_folder(config.queue, environ),
        lifetime_s=config.queue_lifetime_s,
        max_octets=config.queue_octets,
    )


def in_background(work: Callable[[], object]) -> None:
    """Do something in a process of its own, which nobody waits for and which holds none of the caller's files."""
    sys.stdout.flush()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    code = 1
    try:
        if not os.fork():
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for file in range(3):
                os.dup2(nothing, file)
            # Whoever started us may wait until nobody holds his pipes any more.
            os.closerange(3, 1024)
            work()
        code = 0
    finally:
        os._exit(code)


def _run_queue(options: Options, environ: Mapping[str, str]) -> int:
    """-q: hand in what waits on this machine; root does it for every user of a common directory."""
    if options.recipients:
        raise BadUsage(f"no recipients are taken with -q: {options.recipients[0]}")
    config = load(environ, options.config_path)
    queue = client_queue(config, environ, options.queue_folder)
    if queue is None:
        raise BadUsage("-q: the client queue is off (PARAVION_QUEUE)")
    from paravion.cli.client_queue import QueueUnavailable, matching, parts_of

    tests = [matching(kind, text, negated=negated) for kind, text, negated in options.selectors]
    wanted = (lambda entry: all(test(entry) for test in tests)) if tests else None

    def run_it() -> int:
        try:
            done = queue.run(Client(config).submit, wanted, _tell if options.verbose else lambda _: None)
        except QueueUnavailable as exc:
            return _fail(str(exc), EX_TEMPFAIL, quiet=options.quiet)
        if options.verbose:
            more = ", another run is under way" if done.is_elsewhere else ""
            print(f"handed in: {done.sent}, waiting: {done.waiting}, given up: {done.dead}{more}")
        return EX_TEMPFAIL if done.waiting else EX_OK

    if os.geteuid() or not config.queue or options.queue_folder:
        return run_it()
    codes = []
    for uid, folder in parts_of(config.queue):
        queue.folder = folder
        codes.append(_as_user(uid, run_it))
    return max(codes, default=EX_OK)


def _as_user(uid: int, work: Callable[[], int]) -> int:
    """Do something with the rights of the user whom it concerns, in a child."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = EX_TEMPFAIL
    try:
        if uid:
            import pwd

            os.setgroups([])
            os.setgid(pwd.getpwuid(uid).pw_gid)
            os.setuid(uid)
        code = work()
        sys.stdout.flush()
    finally:
        os._exit(code)


def _tell(line: str) -> None:
    print("".join([char if char.isprintable() else "?" for char in line]))


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
        "protocol": options.protocol,
        "client": options.client,
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
