"""
`paravion`: login, send, install, up, smtpd, show, queue, hold, release, flush, requeue, cancel, remove, identity,
doctor, tables, suppression, quota, hosts, routes, events, complaint, webhook, holds, parked, operations, fsck,
credentials, export, import, version.

A command's own work stands in its module, which is imported only when it is called.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paravion import __version__
from paravion.cli.client import EX_CONFIG, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, ApiAway, ApiError, Client
from paravion.cli.config import BadConfig, load
from paravion.cli.process import EX_IOERR, drop_output, fill_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


EX_INTERRUPTED: Final = 130
"""As a shell shows what Ctrl-C ended; a message that was handed in goes on."""

_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)

_MODULES: Final = {
    "login": "write the configuration file: endpoint and credential",
    "send": "send a message made of words and files, or one that is there",
    "install": "make a quick sendmail, mailq and newaliases in a directory",
    "tables": "load and show aliases and sendmail's other tables",
    "suppression": "addresses that nothing is sent to",
    "quota": "how much tenants may send, and have sent",
    "hosts": "which hosts are slow or away, and limits for them",
    "holds": "rules by which new mail is held from now on",
    "parked": "what nobody could handle: look at it, give it back, drop it",
    "operations": "what operators did to many messages at once",
    "routes": "what smarthosts are logged in to with",
    "events": "webhooks that are told what becomes of mail, and telling once more",
    "complaint": "enter that a recipient complained of a message",
    "credentials": "access keys: who may call, what for, and SMTP passwords",
    "webhook": "the secrets that requests to webhooks are signed with",
    "fsck": "check and mend the data directory of a paravion on this machine",
}
"""Commands of which each has a module of its name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the console script's entry. Gives a sysexits code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if argv is None:
        fill_files()
        if sys.stdin is None:  # where nobody is to be asked, and nothing is to be read
            sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 (as long as the process)
    if words[:1] == ["up"]:
        from paravion.cli import up  # only this command needs it, and it parses its own words

        return up.main(words[1:])
    parser = _parser(words[0] if words else "")
    try:
        arguments = parser.parse_args(words)
    except SystemExit as exc:  # argparse exits 2 for bad usage, 0 after --help
        return EX_USAGE if exc.code else EX_OK
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EX_INTERRUPTED
    except BrokenPipeError:  # such as `| head`
        drop_output()
        code = EX_IOERR
    except OSError as exc:
        if exc.filename is not None or exc.errno not in _NOT_WRITTEN:
            raise
        drop_output()
        code = _fail(f"standard output: {exc.strerror}", EX_IOERR)
    return code


def _run(arguments: argparse.Namespace) -> int:
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG)
    except ApiAway as exc:
        return _fail(str(exc), EX_TEMPFAIL)
    except ApiError as exc:
        return _fail(exc.text, exc.exit)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="paravion", description="A serverless sendmail.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    commands.add_parser("up", help="run the whole system on this machine", add_help=False)

    smtpd = commands.add_parser("smtpd", help="run the SMTP front door before an API")
    if command == "smtpd":
        _add_smtpd(smtpd)

    show = commands.add_parser("show", help="show one message: its recipients and its timeline")
    show.add_argument("queue_id")
    show.add_argument("--transcript", action="store_true", help="show also what was said in its attempts")
    show.add_argument("--attempt", type=int, metavar="N", help="of the transcripts that of this attempt only")
    show.set_defaults(run=_show)

    queue = commands.add_parser("queue", help="show what waits, as mailq does")
    queue.add_argument("-v", action="store_true", help="show also when each job is due, its priority and deadline")
    queue.add_argument("-qQ", action="store_true", dest="held", help="show what is held, and nothing else")
    queue.set_defaults(run=_queue)

    from paravion.cli import hold

    hold.add_arguments(commands)

    identity = commands.add_parser("identity", help="who may send, and the DKIM keys that sign")
    doctor = commands.add_parser("doctor", help="say what a sending domain's DNS lacks")
    if command in {"identity", "doctor"}:
        from paravion.cli import identity as identities

        identities.add_identity(identity)
        identities.add_doctor(doctor)
    export = commands.add_parser("export", help="write all that is set up here to a file")
    import_ = commands.add_parser("import", help="take what an export holds")
    if command in {"export", "import"}:
        from paravion.cli import moving

        moving.add_export(export)
        moving.add_import(import_)
    for name, help_text in _MODULES.items():
        parts = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if command == name:
            import_module(f"paravion.cli.{name}").add_arguments(parts)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_smtpd(parser: argparse.ArgumentParser) -> None:
    find_infra()
    try:
        from infra.front_door import command
    except ImportError as exc:  # it is not part of the package
        parser.set_defaults(run=_not_installed(str(exc), "paravion"))
        return
    command.add_arguments(parser)
    parser.set_defaults(run=command.run)


def find_infra() -> None:
    """Make `infra` importable when we run from a checkout (pip install -e): it is not part of the package."""
    root = Path(__file__).resolve().parents[5]
    if (root / "infra" / "__init__.py").is_file() and str(root) not in sys.path:
        sys.path.append(str(root))


def _not_installed(fault: str, extra: str) -> Callable[[argparse.Namespace], int]:
    return lambda _: _fail(f"{fault}: this command runs from a checkout with {extra} installed", EX_UNAVAILABLE)


def _show(arguments: argparse.Namespace) -> int:
    from paravion.cli import show

    queue_id: str = arguments.queue_id
    if not queue_id.isascii() or not queue_id.isalnum():
        return _fail(f"{queue_id!r} is not a queue id", EX_USAGE)
    if arguments.attempt is not None and (arguments.attempt < 1 or not arguments.transcript):
        return _fail("--attempt takes a number above 0, with --transcript", EX_USAGE)
    client = Client(load(os.environ))
    for line in show.render(client.get(f"/v1/messages/{queue_id}")):
        print(line)
    if arguments.transcript:
        which = f"?attempt={arguments.attempt}" if arguments.attempt else ""
        for line in show.render_transcript(client.get(f"/v1/messages/{queue_id}/transcript{which}")):
            print(line)
    return EX_OK


def _queue(arguments: argparse.Namespace) -> int:
    from paravion.cli import mailq
    from paravion.cli.sendmail_options import Options

    options = Options()
    options.verbose, options.held = arguments.v, arguments.held
    return mailq.run(options, os.environ)


def _version(_: argparse.Namespace) -> int:
    print(f"paravion {__version__}")
    return EX_OK


def _fail(text: str, exit_code: int) -> int:
    line = "".join(char if char.isprintable() else "?" for char in text)
    print(f"paravion: {line}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
