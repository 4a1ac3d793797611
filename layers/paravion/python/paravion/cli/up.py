"""
`paravion up`: the whole system on one machine, until it is interrupted.

It runs the template and the functions of a checkout: the one around the working directory, or the one that
this package lies in. Everything else stands in `infra/local/` there.

Exit status (sysexits.h): 0 stopped, 64 bad words, 65 the template can't be run, 69 not available (no
checkout, a busy port, an engine that is not built), 70 a function can't be initialised, 78 bad variables.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70
EX_CONFIG: Final = 78

NOTICE: Final = "moto keeps everything in memory: mail that is in it when paravion stops is lost."
ENGINES: Final = {"moto": "infra.local.engine", "embedded": "infra.local.embedded"}


def parser(prog: str = "paravion up") -> argparse.ArgumentParser:
    """Give the parser of the words after `paravion up`."""
    words = argparse.ArgumentParser(
        prog=prog,
        description="Run the whole system on one machine, until interrupted.",
        epilog="Each option also comes from a variable: PARAVION_API, PARAVION_RELAY, …; "
        "each setting too: PARAVION_RETRY_INTERVALS_S=2,4,8",
    )
    words.add_argument("--engine", metavar="embedded|moto", help="what it runs on (default: embedded)")
    words.add_argument(
        "--data", metavar="DIR", help="where the embedded engine keeps everything (default: ~/.local/state/paravion)"
    )
    words.add_argument(
        "--processes", metavar="auto|1|2", help="of the embedded engine: doors and workers in one, or one each"
    )
    words.add_argument("--api", metavar="HOST:PORT", help="HTTP API (default: 127.0.0.1:8025; port 0: any free one)")
    words.add_argument("--smtp", metavar="HOST:PORT", help="SMTP with STARTTLS (default: 127.0.0.1:2525)")
    words.add_argument("--smtps", metavar="HOST:PORT", help="SMTP inside TLS (default: 127.0.0.1:2465)")
    words.add_argument("--relay", metavar="inbox|mx|HOST:PORT", help="where all mail goes (default: inbox)")
    words.add_argument("--access-key", metavar="K", help="the first credential (default: one fixed for local mode)")
    words.add_argument("--secret-key", metavar="S", help="its secret")
    words.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], dest="assignments", help="any setting, repeatable"
    )
    words.add_argument("--log", metavar="FILE", type=Path, help="where functions log (default: standard error)")
    return words


def find_checkout(start: Path, package: Path) -> Path | None:
    """Give the nearest folder around `start`, else around `package`, with a template.yaml and infra/local."""
    for origin in (start, package):
        for folder in (origin, *origin.parents):
            if (folder / "template.yaml").is_file() and (folder / "infra" / "local").is_dir():
                return folder
    return None


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run `paravion up`; gives the exit status."""
    try:
        words = parser().parse_args(argv)
    except SystemExit as exc:
        return EX_USAGE if exc.code else 0
    try:
        options = _options(words, environ)
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(_open_log(words.log)) if words.log else sys.stderr
            return _run(options, log)
    except _Failed as exc:
        for line in exc.lines:
            print(f"paravion up: {line}", file=sys.stderr)
        return exc.status


class _Failed(Exception):
    """The command ends with a status and a line for each problem."""

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.status = status
        self.lines = lines


def _options(words: argparse.Namespace, environ: Mapping[str, str]) -> Any:
    """Find the checkout and let its options module read what we were told."""
    checkout = find_checkout(Path.cwd(), Path(__file__).resolve())
    if checkout is None:
        raise _Failed(EX_UNAVAILABLE, "no checkout of paravion here (a folder with template.yaml and infra/local)")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    module = _module("infra.local.options")
    try:
        options = module.read_options(checkout / "template.yaml", vars(words), words.assignments, environ)
    except module.BadOptions as exc:
        raise _Failed(EX_USAGE if exc.in_words else EX_CONFIG, *exc.problems) from exc
    if options.engine == "embedded":
        return dataclasses.replace(options, data=options.data or str(default_data(environ)))
    if options.data:
        raise _Failed(EX_USAGE, f"--data {options.data}: the moto engine keeps nothing; leave --data out")
    return options


def default_data(environ: Mapping[str, str]) -> Path:
    """Where a program of this user's keeps its state (XDG base directories)."""
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "paravion"


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise _Failed(EX_UNAVAILABLE, f"{exc} (is paravion[local] installed?)") from exc


def _open_log(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8", buffering=1)
    except OSError as exc:
        raise _Failed(EX_UNAVAILABLE, f"--log {path}: {exc.strerror}") from exc


def _run(options: Any, log: TextIO) -> int:
    """Start the engine, say where it is, wait for a signal, stop."""
    module = _module(ENGINES[options.engine])
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    notice = NOTICE if options.engine == "moto" else f"everything is kept in {options.data}."
    print(f"paravion up: {notice}", file=sys.stderr, flush=True)
    ready_to = sys.stdout
    # What handlers print belongs to the log; standard output is for the ready line.
    with contextlib.redirect_stdout(log):
        engine = module.make_engine(options, log)
        try:
            engine.start()
        except module.FAILURES as exc:
            raise _Failed(_status(exc), getattr(exc, "strerror", None) or str(exc)) from exc
        try:
            if not stopping.is_set():
                print(ready_line(engine), file=ready_to, flush=True)
            # The kernel may give a signal to any thread, and Python tells this one only when it runs.
            while not stopping.wait(1.0):
                if engine.failed:
                    raise _Failed(EX_SOFTWARE, engine.failed)
        finally:
            engine.stop()
    return 0


def _status(exc: Exception) -> int:
    """Give the exit status for what kept an engine from starting."""
    by_name = {"TemplateError": EX_DATAERR, "FunctionFailed": EX_SOFTWARE, "Misconfigured": EX_CONFIG}
    return by_name.get(type(exc).__name__, EX_UNAVAILABLE)


def ready_line(engine: Any) -> str:
    """Give the line that says where everything is."""
    places = {
        "api": engine.api_url,
        "smtp": engine.smtp_address,
        "smtps": engine.smtps_address,
        "inbox": engine.inbox_url,
    }
    return "paravion ready " + " ".join(f"{name}={place}" for name, place in places.items() if place)
