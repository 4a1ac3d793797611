"""`paravion webhook secret`: show, make and rotate what requests to a webhook's host are signed with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action; `run` of the result does it."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    secret = actions.add_parser("secret", help="show a host's secrets, newest first; the first time, make one")
    secret.add_argument("host", help="of the webhook's URL")
    change = secret.add_mutually_exclusive_group()
    change.add_argument("--rotate", action="store_true", help="make a new one; requests are signed with both")
    change.add_argument("--end-rotation", action="store_true", help="sign with the newest alone")
    secret.set_defaults(run=_secret)


def _secret(arguments: argparse.Namespace) -> int:
    client = Client(load(os.environ))
    path = f"/v1/webhooks/{quote(arguments.host)}/secret"
    answer: dict[str, Any]
    if arguments.rotate:
        answer = client.post(f"{path}/rotation", {})
    else:
        if arguments.end_rotation:
            client.delete(f"{path}/rotation")
        answer = client.put(path)
    for secret in answer["secrets"]:
        print(plain(secret))
    return EX_OK
