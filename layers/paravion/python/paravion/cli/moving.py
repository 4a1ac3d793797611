"""
`paravion export` and `paravion import`: an installation to a file, and into another one, over the API of either.

The file is read line by line and never held whole; each table is. An import reads it three times: by itself, then
checked by the API, then written. Next: api/native_moving.py, of this installation or that.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paravion.cli.client import EX_DATAERR, EX_OK, ApiError, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain import export_file
from paravion.domain.export_file import BadExport

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EX_NOINPUT: Final = 66
EX_CANTCREAT: Final = 73

_PAGE: Final = {"suppressed": 1000, "setting": 1000, "host_limit": 100}
"""Records of one request; of others, which cost look-ups or keys, a few."""
_FEW: Final = 20
_TABLES_OCTETS: Final = 1_000_000
"""Tables go together, and so at one instant, up to this and _TABLES of them."""
_TABLES: Final = 100


class _Page(NamedTuple):
    records: list[dict[str, Any]]
    octets: int


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; `run` of the result does it."""
    parser.add_argument("file", help="is written whole or not at all, readable by you alone")
    parser.add_argument("--secrets", action="store_true", help="with private keys, passwords and access keys")
    parser.add_argument("--force", action="store_true", help="in place of a file that is there")
    parser.set_defaults(run=_export)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; `run` of the result does it."""
    parser.add_argument("file", help="what `paravion export` wrote")
    parser.add_argument("--replace", action="store_true", help="what is here already and differs")
    parser.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    parser.set_defaults(run=_import)


def _export(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    if path.exists() and not arguments.force:
        return _fail(f"{path} is there already (--force)", EX_CANTCREAT)
    client, secrets = Client(load(os.environ)), bool(arguments.secrets)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(export_file.encode(export_file.header(secrets=secrets)))
            for record in _exported(client, secrets=secrets):
                file.write(export_file.encode(record))
                count += 1
            file.write(export_file.encode(export_file.end(count)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        return _fail(f"{path}: {exc.strerror}", EX_CANTCREAT)
    finally:
        with suppress(OSError):
            temporary.unlink()
    print(f"{count} records in {plain(str(path))}{'' if secrets else ', no secrets'}")
    return EX_OK


def _exported(client: Client, *, secrets: bool) -> Iterator[dict[str, Any]]:
    query = {"secrets": "true"} if secrets else {}
    while True:
        page = client.get("/v1/export", query)
        yield from page["records"]
        if not page["after"]:
            return
        query["after"] = page["after"]


def _import(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    client = Client(load(os.environ))
    replace = {"replace": "true"} if arguments.replace else {}
    try:
        lists, credentials = _names(path)
        told: list[dict[str, Any]] = []
        for query in [{"check": "true"}, *([] if arguments.check else [{}])]:
            told = []
            for page in _pages(path):
                body = {"records": page, "lists": lists, "route_credentials": credentials}
                told.append(client.put("/v1/import", {**query, **replace}, _encoded(body), "application/json"))
    except BadExport as exc:
        return _fail(f"{path}: {exc}; nothing was imported", EX_DATAERR)
    except OSError as exc:
        return _fail(f"{path}: {exc.strerror}", EX_NOINPUT)
    except ApiError as exc:
        return _fail(f"{path}: {exc.text}{_advice(exc.text)}", exc.exit)
    for line in render(told, checked_only=arguments.check):
        print(line)
    return EX_OK


def render(told: list[dict[str, Any]], *, checked_only: bool) -> Iterator[str]:
    """Give the lines that say what became of the records."""
    from paravion.settings import NO_PARAMETER

    totals: dict[str, dict[str, int]] = {}
    for answer in told:
        for kind, counts in answer["counts"].items():
            for state, count in counts.items():
                states = totals.setdefault(kind, {})
                states[state] = states.get(state, 0) + count
    if checked_only:
        yield "nothing was imported; an import would come to:"
    for kind, states in totals.items():
        yield f"{plain(kind)}: {', '.join(f'{count} {plain(state)}' for state, count in states.items())}"
    for answer in told:
        for name in answer["new_keys"]:
            yield f"{plain(name)}: new DKIM keys; publish their records: paravion identity show {plain(name)}"
    settings = [setting for answer in told for setting in answer["settings"]]
    if settings:
        yield "settings that differ here, and can't be set from here:"
    for setting in settings:
        name, value, here = (plain(setting[word]) for word in ("name", "value", "here"))
        camel = "".join(part.capitalize() for part in name.split("_"))
        parameter = "no parameter of the template" if name in NO_PARAMETER else f"parameter {camel}"
        yield f"  paravion up --set {name}={value}    deployed: {parameter}    now: {here or '(empty)'}"


def _names(path: Path) -> tuple[list[str], list[str]]:
    """Read the whole file once; gives the lists and the credentials of routes that are in it."""
    lists: dict[str, None] = {}
    credentials = []
    for _, record in _read(path):
        if record["kind"] == "table" and str(record.get("table")).startswith("include/"):
            lists[str(record["table"])] = None
        elif record["kind"] == "route_credential":
            credentials.append(str(record.get("name")))
    return list(lists), credentials


def _pages(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Give the records in pieces of one kind each, those of a table together."""
    page: list[dict[str, Any]] = []
    octets, kind, table, names = 0, "", "", 0
    for line, record in _read(path):
        is_next = record["kind"] != kind
        if kind == "table" and not is_next:
            is_new = record.get("table") != table
            is_next = is_new and (octets >= _TABLES_OCTETS or names >= _TABLES)
            names += is_new
        elif not is_next:
            is_next = len(page) >= _PAGE.get(kind, _FEW)
        if is_next and page:
            yield page
            page = []
        if is_next:
            octets, names = 0, 1
        kind, table = record["kind"], str(record.get("table"))
        octets += sum(len(str(text)) for text in record.get("lines") or ())
        page.append({"line": line, "record": record})
    if page:
        yield page


def _read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        yield from export_file.read(iter(lambda: file.readline(export_file.LINE_OCTETS + 1), b""))


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _advice(text: str) -> str:
    return " (--replace takes the file's)" if "is here already and differs" in text else ""


def _fail(text: str, exit_code: int) -> int:
    print(f"paravion: {plain(text)}", file=sys.stderr)
    return exit_code
