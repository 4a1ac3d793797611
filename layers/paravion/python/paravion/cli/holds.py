"""`paravion holds`: rules by which new mail is held from now on."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="the rules (without an action as well)").set_defaults(run=_list)
    add = actions.add_parser("add", help="hold what is submitted from now on")
    add.add_argument("name", metavar="to:NAME|from:NAME", help="an address or a domain")
    add.add_argument("--reason", default="held by hand", help="why, for mailq and the history")
    add.set_defaults(run=_add)
    remove = actions.add_parser("remove", help="hold it no longer; what is held stays held")
    remove.add_argument("name", metavar="to:NAME|from:NAME")
    remove.set_defaults(run=_remove)


def _list(_: argparse.Namespace) -> int:
    holds = Client(load(os.environ)).get("/v1/holds")["holds"]
    for hold in holds:
        at = plain(hold["at"])[:19].replace("T", " ")
        print(f"{plain(hold['name'])}  since {at}, by {plain(hold['by'])}: {plain(hold['reason'])}")
    if not holds:
        print("No new mail is held")
    return EX_OK


def _add(arguments: argparse.Namespace) -> int:
    body = json.dumps({"reason": arguments.reason}).encode()
    told = Client(load(os.environ)).put(f"/v1/holds/{quote(arguments.name)}", {}, body, "application/json")
    print(f"{plain(told['name'])}: new mail is held within a minute")
    return EX_OK


def _remove(arguments: argparse.Namespace) -> int:
    Client(load(os.environ)).delete(f"/v1/holds/{quote(arguments.name)}")
    print(f"{plain(arguments.name)}: held no longer; paravion release lets go what is held")
    return EX_OK
