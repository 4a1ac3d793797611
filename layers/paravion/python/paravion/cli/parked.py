"""`paravion parked`: what lies in the parked queue, giving it back, dropping it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from paravion.cli.client import EX_OK, EX_USAGE, ApiError, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_SHOWN: Final = 1000
_AT_ONCE: Final = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="what lies there (without an action as well)").set_defaults(run=_list)
    redrive = actions.add_parser("redrive", help="give items back to where they are worked on")
    redrive.add_argument("item", nargs="*", metavar="ITEM", help="these alone, by the id that list shows")
    redrive.add_argument("--message", default="", metavar="ID", help="those of this message")
    redrive.add_argument("--all", action="store_true", help="all of them")
    redrive.add_argument("--reason", default="", help="why, for the record")
    redrive.set_defaults(run=_redrive)
    drop = actions.add_parser("drop", help="drop items for good; the messages stay as they are")
    drop.add_argument("item", nargs="*", metavar="ITEM")
    drop.add_argument("--message", default="", metavar="ID", help="those of this message")
    drop.add_argument("--reason", default="", help="why, for the record")
    drop.set_defaults(run=_drop)


def render(items: list[Mapping[str, Any]], *, is_whole: bool) -> Iterator[str]:
    """Give the lines for the items of GET /v1/parked."""
    if not items:
        yield "Nothing is parked"
        return
    for item in items:
        what = plain(item["what"])
        if item["what"] == "job":
            what = f"job {plain(item['queue_id'])}/{plain(item['chunk'])}, {plain(item['state'])}"
        elif item["what"] == "events" and item["queue_id"]:
            what = f"events of {plain(item['queue_id'])}"
        yield f"{plain(item['id'])}  {_time(item['sent_at'])}  {what}"
        if item["last_text"]:
            yield f"    ({_time(item['last_at'])} {plain(item['last_text'])})".replace("( ", "(")
    yield f"{len(items)} parked" + ("" if is_whole else " or more")


def _list(_: argparse.Namespace) -> int:
    answer = _client().get("/v1/parked", {"limit": str(_SHOWN)})
    for line in render(answer["items"], is_whole=answer["is_whole"]):
        print(line)
    return EX_OK


def _redrive(arguments: argparse.Namespace) -> int:
    if bool(arguments.item or arguments.message) == arguments.all:
        print("paravion: name items, or --message, or --all", file=sys.stderr)
        return EX_USAGE
    body: dict[str, Any] = {"limit": _AT_ONCE} | ({"all": True} if arguments.all else {})
    body |= {"ids": arguments.item} if arguments.item else {}
    body |= {"queue_id": arguments.message} if arguments.message else {}
    body |= {"reason": arguments.reason} if arguments.reason else {}
    client = _client()
    redriven = 0
    while True:
        answer = client.post("/v1/parked/redrive", body)
        redriven += answer["redriven"]
        # What can't be given back is met again each time.
        if not (arguments.all and answer["more"] and answer["redriven"]):
            break
    left = f"; {plain(answer['left'])} left, whose meaning nobody knows" if answer["left"] else ""
    print(f"{redriven} given back{left}")
    return EX_OK


def _drop(arguments: argparse.Namespace) -> int:
    """Go through all; what one of them is refused for is told, and the others are done."""
    if not arguments.item and not arguments.message:
        print("paravion: name items, or --message", file=sys.stderr)
        return EX_USAGE
    client = _client()
    exit_code = EX_OK
    query = {"reason": arguments.reason} if arguments.reason else {}
    if arguments.message:
        answer = client.delete("/v1/parked", {"queue_id": arguments.message, **query})
        for told in answer["dropped"]:
            print(f"{plain(told['id'])}: dropped")
    for item in arguments.item:
        try:
            client.delete(f"/v1/parked/{quote(item)}", query)
        except ApiError as exc:
            print(f"paravion: {plain(item)}: {plain(exc.text)}", file=sys.stderr)
            exit_code = exc.exit
            continue
        print(f"{plain(item)}: dropped")
    return exit_code


def _time(value: object) -> str:
    return plain(value)[:19].replace("T", " ")


def _client() -> Client:
    return Client(load(os.environ))
