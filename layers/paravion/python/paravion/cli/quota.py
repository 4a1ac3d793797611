"""`paravion quota`: how much tenants may send, over the API."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="show what a tenant may send and has sent")
    show.add_argument("--tenant", help="another one than the credential's own")
    show.set_defaults(run=_show)
    change = actions.add_parser("set", help="set what a tenant may send")
    change.add_argument("--tenant", default="", help="whose; default: those without one")
    change.add_argument("--max-24-hour-send", type=_limit, metavar="N", help="NONE, or DEFAULT: the setting")
    change.add_argument("--max-send-rate", type=_limit, metavar="N", help="recipients; likewise")
    change.set_defaults(run=_set)


def _show(arguments: argparse.Namespace) -> int:
    query = None if arguments.tenant is None else {"tenant": arguments.tenant}
    return _print(Client(load(os.environ)).get("/v1/quota", query))


def _set(arguments: argparse.Namespace) -> int:
    given = {"max_24_hour_send": arguments.max_24_hour_send, "max_send_rate": arguments.max_send_rate}
    fields = {name: None if value == "DEFAULT" else value for name, value in given.items() if value is not None}
    body = json.dumps({"tenant": arguments.tenant, **fields}).encode()
    return _print(Client(load(os.environ)).put("/v1/quota", None, body, "application/json"))


def _limit(text: str) -> float | str:
    """Read a number, NONE or DEFAULT; the API says which numbers it takes."""
    word = text.upper()
    if word == "DEFAULT":
        return word
    try:
        return -1 if word == "NONE" else float(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, NONE or DEFAULT") from exc


def _print(answer: Mapping[str, Any]) -> int:
    for line in render(answer):
        print(line)
    return EX_OK


def render(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show a quota."""
    for name, what in (("max_24_hour_send", "in 24 hours"), ("max_send_rate", "a second")):
        value = answer[name]
        yield f"{what:<14}{'no limit' if value == -1 else f'{value:g}'}"
    count = answer.get("sent_last_24_hours")
    yield f"{'sent':<14}{'not counted' if count is None else plain(str(count))}"
