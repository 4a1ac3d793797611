"""
Waits for a message's end and says what happens to each recipient: for `paravion send --wait`.

One line for each change on standard output; on a terminal the line below says on standard error what it waits for.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, ApiAway, ApiError
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.cli.client import Client

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
_ENDED = ("delivered", "failed", "removed")


def wait(
    client: Client,
    queue_id: str,
    *,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """
    Ask until every recipient has the message or never will.

    Returns:
        0 delivered to all, 69 not to all, 75 not at its end after `timeout_s`; the message goes on by itself then.
    """
    told: dict[str, tuple[str, str]] = {}
    until = clock() + timeout_s
    pause = FIRST_WAIT_S
    while True:
        try:
            message = client.get(f"/v1/messages/{queue_id}")
        except (ApiAway, ApiError) as exc:
            message = {}
            if isinstance(exc, ApiError) and exc.exit != EX_TEMPFAIL:
                _say("")
                print(f"paravion: {queue_id} is kept, but can't be watched: {plain(exc.text)}", file=sys.stderr)
                return EX_TEMPFAIL
            _say(f"can't be asked: {plain(exc)}")
        recipients = message.get("recipients", [])
        for line in _changes(recipients, told):
            _say("")
            print(line, flush=True)
        state = message.get("state")
        if state in {"done", "removed"} or (recipients and all(r.get("state") in _ENDED for r in recipients)):
            _say("")
            if state == "removed":
                print("removed from the queue")
            return EX_OK if recipients and all(r.get("state") == "delivered" for r in recipients) else EX_UNAVAILABLE
        if clock() + pause > until:
            _say("")
            print(f"paravion: {queue_id} goes on, but is not at its end after {timeout_s:g} s", file=sys.stderr)
            return EX_TEMPFAIL
        if message:
            due = f", next attempt {plain(message['due_at'])}" if message.get("due_at") else ""
            ended = sum(r.get("state") in _ENDED for r in recipients)
            _say(f"{queue_id}: {plain(state)}, {ended} of {len(recipients)} recipients{due}")
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_WAIT_S)


def _changes(recipients: list[Mapping[str, Any]], told: dict[str, tuple[str, str]]) -> list[str]:
    lines = []
    for recipient in recipients:
        address, state, text = (plain(recipient.get(name)) for name in ("forward_path", "state", "text"))
        if state != "queued" and told.get(address) != (state, text):
            told[address] = (state, text)
            host = f" at {plain(recipient['mx_host'])}" if recipient.get("mx_host") else ""
            lines.append(f"{address}: {state}{host}" + (f": {text}" if text else ""))
    return lines


def _say(text: str) -> None:
    """Put a line in place of the last one, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
