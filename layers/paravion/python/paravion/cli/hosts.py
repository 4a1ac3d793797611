"""`paravion hosts`: which hosts are slow or away, and the operator's limits for them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from paravion.cli.client import EX_OK, EX_USAGE, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_PER_MINUTE: Final = {"s": 60.0, "m": 1.0, "h": 1 / 60, "d": 1 / 1440}
_TITLE: Final = f"{'host':<40} {'state':<8} {'since':<20} {'rate/min':>9} {'conns':>6}  until"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="the hosts that have a state (without an action as well)").set_defaults(run=_list)
    show = actions.add_parser("show", help="show what is known of one")
    show.add_argument("host")
    show.set_defaults(run=_show)
    limit = actions.add_parser("limit", help="limit a host, or the domain that mail goes to")
    limit.add_argument("host")
    limit.add_argument("--concurrency", type=int, metavar="N", help="connections at once; 0: no limit")
    limit.add_argument("--rate", metavar="N/UNIT", help="messages per s, m, h or d, such as 100/m; 0: no limit")
    limit.set_defaults(run=_limit)
    reset = actions.add_parser("reset", help="forget what was learnt of one; limits stay")
    reset.add_argument("host")
    reset.set_defaults(run=_reset)


def read_rate(text: str) -> float:
    """
    Read a rate as messages a minute; a number alone is one.

    Raises:
        ValueError: It is none.
    """
    number, slash, unit = text.partition("/")
    if (slash and unit not in _PER_MINUTE) or not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise ValueError(f"{text!r} is no rate: 100/m, 5/s, 2000/h or 10000/d")
    return float(number) * _PER_MINUTE[unit or "m"]


def render(hosts: list[Mapping[str, Any]]) -> Iterator[str]:
    """Give the lines for the hosts of GET /v1/hosts."""
    if not hosts:
        yield "No host is slow, away or limited"
        return
    yield _TITLE
    for host in hosts:
        rate = "-" if host["rate_per_minute"] is None else f"{host['rate_per_minute']:g}"
        until = _time(host["held_until"]) if host["state"] in {"dead", "paused"} else ""
        line = (
            f"{plain(host['name']):<40} {plain(host['state']):<8} {_time(host['since']):<20}"
            f" {rate:>9} {plain(host['concurrency']) or '-':>6}  {until}"
        )
        yield line.rstrip()
        if host["last_text"]:
            yield f"    ({_time(host['last_at'])} {plain(host['last_text'])})"


def _list(_: argparse.Namespace) -> int:
    return show_all(_client())


def show_all(client: Client) -> int:
    """Print every host that has a state."""
    found: list[Mapping[str, Any]] = []
    after = ""
    while True:
        page = client.get("/v1/hosts", {"limit": "1000", **({"after": after} if after else {})})
        found += page["hosts"]
        after = page["after"]
        if not after:
            break
    for line in render(found):
        print(line)
    return EX_OK


def _show(arguments: argparse.Namespace) -> int:
    answer: Mapping[str, Any] = _client().get(_path(arguments), {})
    limit = answer["limit"]
    for name, value in {
        **{name: value for name, value in answer.items() if name != "limit"},
        "limit_rate_per_minute": limit["rate_per_minute"],
        "limit_concurrency": limit["concurrency"],
    }.items():
        print(f"{name:<22} {'-' if value is None else plain(value)}")
    return EX_OK


def _limit(arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {}
    try:
        if arguments.rate is not None:
            body["rate_per_minute"] = read_rate(arguments.rate)
    except ValueError as exc:
        print(f"paravion: {exc}", file=sys.stderr)
        return EX_USAGE
    if arguments.concurrency is not None:
        body["concurrency"] = arguments.concurrency
    if not body:
        print("paravion: give --concurrency, --rate or both", file=sys.stderr)
        return EX_USAGE
    _client().put(_path(arguments) + "/limit", {}, json.dumps(body).encode(), "application/json")
    return EX_OK


def _reset(arguments: argparse.Namespace) -> int:
    _client().delete(_path(arguments), {})
    return EX_OK


def _time(value: object) -> str:
    return plain(value)[:19].replace("T", " ")


def _client() -> Client:
    return Client(load(os.environ))


def _path(arguments: argparse.Namespace) -> str:
    return f"/v1/hosts/{quote(arguments.host)}"
