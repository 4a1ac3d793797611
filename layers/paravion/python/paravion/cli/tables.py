"""`paravion tables`: load, show, list and unload sendmail's tables over the API."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

EX_NOINPUT = 66


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    load_one = actions.add_parser("load", help="load a file in place of what was loaded")
    load_one.add_argument("kind", help="aliases, virtusertable, genericstable, access, mailertable or include")
    load_one.add_argument("file")
    load_one.add_argument("--name", default="", help="of an included list; its file's path without it")
    load_one.set_defaults(run=_load)
    show = actions.add_parser("show", help="show a table, or one entry")
    show.add_argument("kind")
    show.add_argument("key", nargs="?", default="")
    show.add_argument("--name", default="", help="of an included list")
    show.set_defaults(run=_show)
    actions.add_parser("list", help="show which tables are loaded").set_defaults(run=_list)
    unload = actions.add_parser("unload", help="forget a table")
    unload.add_argument("kind")
    unload.add_argument("--name", default="", help="of an included list")
    unload.set_defaults(run=_unload)


def _load(arguments: argparse.Namespace) -> int:
    path: str = arguments.file
    try:
        octets = Path(path).read_bytes()
    except OSError as exc:
        print(f"paravion: {path}: {exc.strerror}", file=sys.stderr)
        return EX_NOINPUT
    query = {"file": path, **_name(arguments, os.path.abspath(path))}  # noqa: PTH100 (a name, links and all)
    answer = _client().put(_path(arguments), query, octets, "application/octet-stream")
    print(f"{plain(answer['kind'])}: {plain(answer['entries'])} entries, generation {plain(answer['generation'])}")
    return EX_OK


def _show(arguments: argparse.Namespace) -> int:
    query = _name(arguments, "") | ({"key": arguments.key} if arguments.key else {})
    answer: Mapping[str, Any] = _client().get(_path(arguments), query)
    for entry in answer["entries"]:
        value = ", ".join(map(plain, entry["value"]))
        print(value if arguments.kind == "include" else f"{plain(entry['key'])}\t{value}")
    if not arguments.key and len(answer["entries"]) < answer["count"]:
        print(f"# {answer['count']} entries in all")
    return EX_OK


def _list(_: argparse.Namespace) -> int:
    for table in _client().get("/v1/tables")["tables"]:
        print("  ".join(plain(table[name]) for name in ("kind", "entries", "generation", "loaded_at")))
    return EX_OK


def _unload(arguments: argparse.Namespace) -> int:
    _client().delete(_path(arguments), _name(arguments, ""))
    return EX_OK


def _client() -> Client:
    return Client(load(os.environ))


def _path(arguments: argparse.Namespace) -> str:
    from paravion.domain.http1 import quote

    return f"/v1/tables/{quote(arguments.kind)}"


def _name(arguments: argparse.Namespace, default: str) -> dict[str, str]:
    name: str = arguments.name or (default if arguments.kind == "include" else "")
    return {"name": name} if name else {}
