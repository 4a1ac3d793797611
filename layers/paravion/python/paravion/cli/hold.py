"""
`paravion hold`, `release`, `flush`, `requeue`, `cancel` and `remove`: an operator's hand on the queue, over the API.

Of messages by their ids, or of all that wait of a sender, for a recipient or a host: then so many at a time, until
there are no more.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paravion.cli.client import EX_OK, EX_USAGE, ApiAway, ApiError, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.cli.config import Config

PAGE: Final = 500
"""Jobs that one request looks at."""

_CRITERIA: Final = {
    "recipient": "for this address or domain",
    "sender": "of this address or domain; <> is the null reverse-path",
    "host": "that were last tried at this host, or go to this domain",
}
_WORDS: Final = {
    "in_hand": "in hand",
    "scheduled": "scheduled for later",
    "waiting": "waiting",
    "held": "held",
    "done": "done",
    "removed": "removed",
    "mixed": "with other recipients besides",
    "cancelled": "cancelled already",
}


class _Act(NamedTuple):
    """
    Attributes:
        help, done: What it does, and what a job is then.
        more: The rest of what `--help` says.
        reason: Why, where nobody says.
        ends: It ends mail: by selection it must be confirmed.
    """

    help: str
    done: str
    reason: str = ""
    ends: bool = False
    more: str = ""


_ACTS: Final = {
    "hold": _Act("keep mail from being tried until it is released", "held", "held by hand"),
    "release": _Act("let held mail go on", "released"),
    "flush": _Act(
        "try now what waits for its next attempt",
        "flushed",
        more="Its age and its schedule stay; hosts that were dead are believed to be back.",
    ),
    "requeue": _Act(
        "try now what waits or is held, and count its time anew",
        "requeued",
        more="Its waits, the warning and the return to its sender count from now on.",
    ),
    "cancel": _Act(
        "return mail to its sender with a report, or take one's own back untried",
        "cancelled",
        ends=True,
        more="An operator returns it, and the sender reads the reason; until the next sweep release, hold or requeue "
        "of that message takes it back. `remove` tells nobody. Whoever is no operator takes back his own mail, as long "
        "as nobody has tried it, and no report is sent.",
    ),
    "remove": _Act("take mail out of the queue for good; nobody is told", "removed", ends=True),
}


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    for name, act in _ACTS.items():
        about = f"{act.help[0].upper()}{act.help[1:]}. {act.more}".strip()
        parser = commands.add_parser(name, help=act.help, description=about)
        parser.add_argument("queue_id", nargs="*", type=_queue_id, metavar="ID")
        heard = "why, for the sender and the history" if name == "cancel" else "why, for mailq and the history"
        parser.add_argument("--reason", default=act.reason, help=heard)
        for criterion, text in _CRITERIA.items():
            parser.add_argument(f"--{criterion}", default="", metavar="NAME", help=f"instead of ids: jobs {text}")
        parser.add_argument("--all", action="store_true", help="instead of ids: all jobs")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, but count what would be")
        if act.ends:
            parser.add_argument("--yes", action="store_true", help="do it without asking, by selection")
        parser.set_defaults(run=_run, action=name)


def _queue_id(text: str) -> str:
    if not text.isascii() or not text.isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is not a queue id")
    return text


def _run(arguments: argparse.Namespace) -> int:
    selection = {name: value for name in _CRITERIA if (value := getattr(arguments, name))}
    ways = sum((bool(arguments.queue_id), bool(selection), arguments.all))
    if ways != 1:
        return _usage("name messages by their ids, or jobs by --recipient, --sender and --host, or --all")
    if arguments.queue_id:
        return _usage("--dry-run counts jobs, not ids") if arguments.dry_run else _by_id(arguments)
    body: dict[str, Any] = {**selection, **({"all": True} if arguments.all else {}), "limit": PAGE}
    if arguments.reason:
        body["reason"] = arguments.reason
    action = arguments.action
    if action == "remove":
        action, body = "cancel", {**body, "tell": False}
    client = Client(load(os.environ))
    act = _ACTS[arguments.action]
    if act.ends and not arguments.yes and not arguments.dry_run:
        matched = _by_selection(action, body, client, act, dry_run=True)
        if matched and not sys.stdin.isatty():
            return _usage(f"nothing was {act.done}: add --yes to do it")
        if not matched or input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
            return EX_OK
    _by_selection(action, body, client, act, dry_run=arguments.dry_run)
    return EX_OK


def _by_id(arguments: argparse.Namespace) -> int:
    """Go through all ids; what one of them is refused for is told, and the others are done."""
    config = load(os.environ)
    client = Client(config)
    body = {"reason": arguments.reason} if arguments.reason else {}
    acts: Mapping[str, Callable[[str], dict[str, Any]]] = {
        "remove": lambda path: client.delete(path, body),
    }
    exit_code = EX_OK
    for queue_id in arguments.queue_id:
        if _ACTS[arguments.action].ends and _is_removed_here(queue_id, config):
            print(f"{queue_id}: removed from this machine's queue")
            continue
        path = f"/v1/messages/{queue_id}"
        try:
            act = acts.get(arguments.action)
            answer = act(path) if act is not None else client.post(f"{path}/{arguments.action}", body)
        except ApiError as exc:
            print(f"paravion: {queue_id}: {plain(exc.text)}", file=sys.stderr)
            exit_code = exc.exit
            continue
        left = _left(answer["jobs"])
        told = f"{_jobs(answer['changed'])} {_ACTS[arguments.action].done}, {_now(arguments.action, answer['jobs'])}"
        print(f"{queue_id}: {told}" + (f"; left: {left}" if left else ""))
        _tell_hosts(answer)
    return exit_code


def _by_selection(action: str, body: Mapping[str, Any], client: Client, act: _Act, *, dry_run: bool) -> int:
    """Go through the queue until its end; gives how many jobs matched."""
    counts = {"examined": 0, "matched": 0, "changed": 0}
    left: dict[str, int] = {}
    after: str | None = ""
    is_watched = sys.stderr.isatty()
    while after is not None:
        fields = {**body, "dry_run": dry_run, **({"after": after} if after else {})}
        answer = client.post(f"/v1/queue/{action}", fields)
        counts = {name: count + int(answer[name]) for name, count in counts.items()}
        for word, count in answer["left"].items():
            left[word] = left.get(word, 0) + int(count)
        _tell_hosts(answer)
        after = answer["after"]
        if is_watched and after is not None:
            print(f"{counts['examined']} jobs looked at, {counts['matched']} match …", end="\r", file=sys.stderr)
    told = ", ".join(f"{count} {_WORDS.get(word, plain(word))}" for word, count in sorted(left.items()))
    verb = f"would be {act.done}" if dry_run else act.done
    print(
        f"{counts['matched']} of {_jobs(counts['examined'])} match, {counts['changed']} {verb}"
        + (f"; left: {told}" if told else "")
    )
    return counts["matched"]


def _jobs(count: object) -> str:
    return f"{plain(count)} {'job' if count == 1 else 'jobs'}"


def _now(action: str, jobs: list[Mapping[str, Any]]) -> str:
    """Say where a message's jobs stand; what was cancelled is kept back only until it is returned."""
    states = {plain(job["state"]) for job in jobs}
    if action == "cancel" and states <= {"held", "done", "removed"} and "held" in states:
        return "returned to its sender within a minute"
    return f"now {', '.join(sorted(states))}"


def _left(jobs: list[Mapping[str, Any]]) -> str:
    words = [str(job["left"]) for job in jobs if "left" in job]
    return ", ".join(f"{words.count(word)} {_WORDS.get(word, plain(word))}" for word in dict.fromkeys(words))


def _tell_hosts(answer: Mapping[str, Any]) -> None:
    for host in answer.get("hosts", []):
        was, now = plain(host["was"]), plain(host["state"])
        what = f"was {was}, counts as {now} now" if was != now else f"is {now}, and its limits stay"
        print(f"    {plain(host['name'])} {what}")
    if answer.get("wait_s"):
        print(f"    tried in {plain(answer['wait_s'])} s, when every function has heard of it")


def _usage(text: str) -> int:
    print(f"paravion: {text}", file=sys.stderr)
    return EX_USAGE


def _is_removed_here(queue_id: str, config: Config) -> bool:
    from paravion.cli.client_queue import QueueUnavailable, users_queue

    queue = users_queue(config, os.environ)
    try:
        return queue is not None and queue.holds(queue_id) and queue.remove(queue_id)
    except QueueUnavailable as exc:
        raise ApiAway(str(exc)) from exc
