"""`paravion complaint`: enter that a recipient complained of a message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it takes; `run` of the result does it."""
    parser.add_argument("address", help="who complained")
    parser.add_argument("--message", required=True, metavar="ID", help="the message's queue id")
    parser.add_argument("--kind", default="", help="of the report: abuse, fraud, not-spam …")
    parser.add_argument("--user-agent", default="", help="of the report")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    body = {"address": arguments.address, "kind": arguments.kind, "user_agent": arguments.user_agent}
    Client(load(os.environ)).post(f"/v1/messages/{quote(arguments.message)}/complaint", body)
    return EX_OK
