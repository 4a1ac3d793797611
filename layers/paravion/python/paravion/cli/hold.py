"""`paravion hold`, `release` and `remove`: an operator's hand on messages in the queue, over the API."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, ApiAway, ApiError, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.cli.config import Config

_HELP = {
    "hold": "keep messages from being tried until they are released",
    "release": "let held messages go on",
    "remove": "take messages out of the queue for good; nobody is told",
}
_DONE = {"hold": "held", "release": "released", "remove": "removed"}


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands."""
    for name, text in _HELP.items():
        parser = commands.add_parser(name, help=text)
        parser.add_argument("queue_id", nargs="+", type=_queue_id)
        if name == "hold":
            parser.add_argument("--reason", default="held by hand", help="why, for mailq and the history")
        parser.set_defaults(run=_run, action=name)


def _queue_id(text: str) -> str:
    if not text.isascii() or not text.isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is not a queue id")
    return text


def _run(arguments: argparse.Namespace) -> int:
    """Go through all ids; what one of them is refused for is told, and the others are done."""
    config = load(os.environ)
    client = Client(config)
    acts: Mapping[str, Callable[[str], dict[str, Any]]] = {
        "hold": lambda path: client.post(f"{path}/hold", {"reason": arguments.reason}),
        "release": lambda path: client.post(f"{path}/release", {}),
        "remove": client.delete,
    }
    exit_code = EX_OK
    for queue_id in arguments.queue_id:
        if arguments.action == "remove" and _is_removed_here(queue_id, config):
            print(f"{queue_id}: removed from this machine's queue")
            continue
        try:
            answer = acts[arguments.action](f"/v1/messages/{queue_id}")
        except ApiError as exc:
            print(f"paravion: {queue_id}: {plain(exc.text)}", file=sys.stderr)
            exit_code = exc.exit
            continue
        states = sorted({plain(job["state"]) for job in answer["jobs"]})
        print(f"{queue_id}: {plain(answer['changed'])} jobs {_DONE[arguments.action]}, now {', '.join(states)}")
    return exit_code


def _is_removed_here(queue_id: str, config: Config) -> bool:
    from paravion.cli.client_queue import QueueUnavailable, users_queue

    queue = users_queue(config, os.environ)
    try:
        return queue is not None and queue.holds(queue_id) and queue.remove(queue_id)
    except QueueUnavailable as exc:
        raise ApiAway(str(exc)) from exc
