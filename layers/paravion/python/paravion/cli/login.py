"""
`paravion login`: asks for endpoint and credential, checks them against the API, and writes the configuration file.

The file is the user's own, or --file's; it is replaced as a whole, mode 0600, and keeps what else stood in it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from paravion.cli.client import EX_DATAERR, EX_NOPERM, EX_OK, EX_USAGE, ApiAway, ApiError, Client
from paravion.cli.config import NAMES, BadConfig, Config, read_file, user_file

if TYPE_CHECKING:
    from collections.abc import Mapping

EX_CANTCREAT = 73
_QUICK_WAITS_S = (0.5,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--endpoint", metavar="URL", help="of the API")
    parser.add_argument("--access-key", metavar="KEY")
    parser.add_argument("--secret-stdin", action="store_true", help="read the secret key as a line of standard input")
    parser.add_argument("--file", metavar="FILE", help="write this one instead of the user's own")
    parser.add_argument("--sender", metavar="ADDRESS", help="reverse path of sendmail when -f is not given")
    parser.add_argument("--no-check", action="store_true", help="don't ask the API whether the credential is good")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:  # noqa: C901 (one check after the other)
    path = Path(arguments.file or user_file(os.environ))
    before = read_file(str(path)) or {}
    try:
        values = {
            **before,
            "endpoint": arguments.endpoint or _ask("Endpoint", before.get("endpoint", "")),
            "access_key": arguments.access_key or _ask("Access key", before.get("access_key", "")),
            "secret_key": _secret(from_stdin=arguments.secret_stdin),
        }
    except EOFError:
        return _fail("nobody is there to be asked: pass --endpoint, --access-key and --secret-stdin", EX_USAGE)
    if arguments.sender:
        values["sender"] = arguments.sender
    if not all(values[name] for name in ("endpoint", "access_key", "secret_key")):
        return _fail("endpoint, access key and secret key are all needed", EX_USAGE)
    bad = [name for name, value in values.items() if not value.isprintable()]
    if bad:
        return _fail(f"control characters in {', '.join(bad)}", EX_DATAERR)
    client = Client(Config(**values), retry_waits_s=_QUICK_WAITS_S)
    if not arguments.no_check:
        try:
            client.get("/v1/credentials/self")
        except ApiError as exc:
            if exc.is_of_credential:
                return _fail(f"nothing was written: {exc.text}", EX_NOPERM)
            raise
        except ApiAway as exc:
            raise ApiAway(f"nothing was written, for it can't be checked (--no-check): {exc}") from exc
    try:
        write(path, values)
    except OSError as exc:
        return _fail(f"{path}: {exc.strerror or exc}", EX_CANTCREAT)
    print(f"{path} written")
    shadowing = [name for name in ("PARAVION_ENDPOINT", "PARAVION_API", "PARAVION_ACCESS_KEY", "PARAVION_SECRET_KEY")
                 if os.environ.get(name)]  # fmt: skip
    if shadowing:
        print(f"paravion: {', '.join(shadowing)} in the environment beats it", file=sys.stderr)
    return EX_OK


def _ask(what: str, default: str) -> str:
    if not sys.stdin.isatty():
        if default:
            return default
        raise EOFError
    return input(f"{what}{f' [{default}]' if default else ''}: ").strip() or default


def _secret(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().strip()
    if not sys.stdin.isatty():
        raise EOFError
    from getpass import getpass

    return getpass("Secret key: ").strip()


def write(path: Path, values: Mapping[str, str]) -> None:
    """
    Replace the file at one instant, readable by its owner alone; a link is followed.

    Raises:
        OSError
        BadConfig: A name that no configuration has.
    """
    unknown = values.keys() - set(NAMES)
    if unknown:
        raise BadConfig(f"unknown: {', '.join(sorted(unknown))}")
    path = path.resolve()
    for folder in reversed((path.parent, *path.parent.parents)):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # as below
    octets = "".join(f'{name} = "{_quoted(values[name])}"\n' for name in NAMES if values.get(name)).encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "wb") as opened:
            os.fchmod(file, 0o600)  # a umask may take what the owner needs
            opened.write(octets)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _quoted(value: str) -> str:
    """As TOML's basic string; the value is printable."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _fail(text: str, exit_code: int) -> int:
    line = "".join(char if char.isprintable() else "?" for char in text)
    print(f"paravion: {line}", file=sys.stderr)
    return exit_code
