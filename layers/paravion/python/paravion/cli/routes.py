"""
`paravion routes credential`: what smarthosts are logged in to with, over the API.

A secret comes from the terminal, unseen, or from standard input; never from the command line, which every user
of the machine may read, and it is never shown.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_DATAERR, EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    subjects = parser.add_subparsers(metavar="SUBJECT", required=True)
    credential = subjects.add_parser("credential", help="what smarthosts are logged in to with")
    actions = credential.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="keep one, in place of one that may be there; its secret is asked for")
    add.add_argument("name", help="as auth=NAME has it in the mailertable")
    add.add_argument("--user", required=True, help="account at the smarthost")
    add.add_argument("--mechanism", default="", help="SCRAM-SHA-256, PLAIN, LOGIN or XOAUTH2; else the strongest")
    add.add_argument("--token", action="store_true", help="the secret is an OAuth 2.0 access token (XOAUTH2)")
    add.set_defaults(run=_add)
    show = actions.add_parser("show", help="show whose one is")
    show.add_argument("name")
    show.set_defaults(run=_show)
    actions.add_parser("list", help="list the names").set_defaults(run=_list)
    remove = actions.add_parser("remove", help="forget one that no route names")
    remove.add_argument("name")
    remove.set_defaults(run=_remove)


def _add(arguments: argparse.Namespace) -> int:
    kind = "token" if arguments.token else "password"
    client = Client(load(os.environ))
    secret = _secret(kind)
    if not secret:
        print(f"paravion: no {kind} was given", file=sys.stderr)
        return EX_DATAERR
    fields = {"user": arguments.user, kind: secret, "mechanism": arguments.mechanism}
    return _print(client.put(_path(arguments.name), {}, _json(fields), "application/json"))


def _secret(kind: str) -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{kind}: ")
    # One line, as `echo` and secret managers write it.
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def _json(fields: dict[str, str]) -> bytes:
    import json

    return json.dumps(fields).encode()


def _show(arguments: argparse.Namespace) -> int:
    return _print(Client(load(os.environ)).get(_path(arguments.name)))


def _list(_: argparse.Namespace) -> int:
    for name in Client(load(os.environ)).get("/v1/routes/credentials")["credentials"]:
        print(plain(name))
    return EX_OK


def _remove(arguments: argparse.Namespace) -> int:
    Client(load(os.environ)).delete(_path(arguments.name))
    return EX_OK


def _print(shown: dict[str, Any]) -> int:
    mechanism = plain(shown["mechanism"]) or "the strongest offered"
    print(f"{plain(shown['name'])}: {plain(shown['user'])}, by {plain(shown['kind'])}, {mechanism}")
    return EX_OK


def _path(name: str) -> str:
    return f"/v1/routes/credentials/{quote(name)}"
