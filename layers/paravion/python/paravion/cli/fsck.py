"""
`paravion fsck`: check an embedded engine's data directory, which nobody may have open, and mend it with --repair.

Each finding is a line: its name, what it is, and what mending does or did (adapters/embedded_check.py has the table).

Exit status (sysexits.h): 0 nothing is wrong, or all of it was mended; 65 something is wrong; 66 there is no such
directory; 69 a process has it open; 74 it can't be read or written.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paravion.adapters.embedded_check import Check
from paravion.adapters.embedded_lock import DataUnavailable
from paravion.cli.client import EX_DATAERR, EX_OK, EX_UNAVAILABLE
from paravion.cli.up import default_data

if TYPE_CHECKING:
    import argparse

EX_NOINPUT: Final = 66
EX_IOERR: Final = 74


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words after `paravion fsck`."""
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="the directory (default: PARAVION_DATA, then ~/.local/state/paravion)"
    )
    parser.add_argument("--repair", action="store_true", help="mend what can be mended without losing mail")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, say what was found, and give the exit status."""
    given = os.environ.get("PARAVION_DATA", "")
    folder: Path = arguments.data or (Path(given) if given else default_data(os.environ))
    if not folder.is_dir():
        return _fail(f"{folder} is no directory", EX_NOINPUT)
    try:
        check = Check(folder, repair=arguments.repair)
    except DataUnavailable as exc:
        return _fail(str(exc), EX_UNAVAILABLE)
    except OSError as exc:
        return _fail(f"{folder}: {exc.strerror}", EX_IOERR)
    found = left = 0
    try:
        for finding in check.findings():
            found += 1
            left += not (arguments.repair and finding.remedy)
            print(_line(finding.name, finding.what, finding.remedy, repaired=arguments.repair), flush=True)
    except (OSError, sqlite3.Error) as exc:
        return _fail(f"{folder}: {exc}", EX_IOERR)
    finally:
        check.close()
    print(f"{folder}: {_summary(found, left, repaired=arguments.repair)}")
    return EX_DATAERR if left else EX_OK


def _line(name: str, what: str, remedy: str, *, repaired: bool) -> str:
    told = "not mended here" if not remedy else f"{'done' if repaired else '--repair'}: {remedy}"
    return "".join(char if char.isprintable() else "?" for char in f"{name}: {what} ({told})")


def _summary(found: int, left: int, *, repaired: bool) -> str:
    if not found:
        return "nothing is wrong"
    return f"{found} findings, {found - left} mended" if repaired else f"{found} findings"


def _fail(text: str, exit_code: int) -> int:
    print(f"paravion fsck: {text}", file=sys.stderr)
    return exit_code
