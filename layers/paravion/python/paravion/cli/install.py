"""
`paravion install DIRECTORY`: makes `sendmail`, `mailq` and `newaliases` there, as small programs that start at once.

They run this Python without its site packages, which sendmail does not need and which take longer to set up than a
message to hand in, and without what the environment says about Python (-I): who may call sendmail must not be able to
say what it imports. A shell begins, half a millisecond of it: Python itself refuses to start with a directory as
standard input, in words and with an exit of its own, so that is closed first. /usr/sbin and /usr/lib may be such
directories where no other MTA is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from paravion.cli.client import EX_DATAERR, EX_OK

NAMES = ("sendmail", "mailq", "newaliases")
EX_CANTCREAT = 73
_MARK = "# Made by `paravion install`."
_PROGRAM = """\
#!/bin/sh
{mark}
''':'
[ -d /dev/stdin ] && exec <&-
exec {python} -IS "$0" "$@"
'''
import sys

sys.path.insert(0, {path!r})
from paravion.cli.sendmail import program  # noqa: E402

program()
"""
_UNQUOTABLE = "'\\\n"
"""In what is read by a shell and by Python."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("directory", type=Path)
    parser.add_argument("--force", action="store_true", help="also in place of other programs of these names")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if any(char in sys.executable for char in _UNQUOTABLE):
        return _fail(f"{sys.executable}: no program can name it: there is a quote or a backslash in it", EX_DATAERR)
    program = program_text()
    taken = [name for name in NAMES if not arguments.force and not _is_ours(arguments.directory / name)]
    if taken:
        return _fail(f"{arguments.directory}: {', '.join(taken)} of somebody else's is there (--force)", EX_CANTCREAT)
    for name in NAMES:
        path = arguments.directory / name
        temporary = path.with_name(f".{name}.{os.getpid()}")
        try:
            temporary.write_text(program)
            temporary.chmod(0o755)
            temporary.replace(path)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            return _fail(f"{path}: {exc.strerror or exc}", EX_CANTCREAT)
        print(path)
    return EX_OK


def program_text() -> str:
    """Give the program, for the Python and the package that run now."""
    return _PROGRAM.format(python=f"'{sys.executable}'", mark=_MARK, path=str(Path(__file__).resolve().parents[2]))


def _is_ours(path: Path) -> bool:
    try:
        return _MARK in path.read_text(errors="replace")
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _fail(text: str, exit_code: int) -> int:
    print(f"paravion: {text}", file=sys.stderr)
    return exit_code
