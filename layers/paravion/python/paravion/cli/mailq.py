"""
`mailq`: what waits, in sendmail's columns.

    -----------Q-ID----------- -Tries- ------Q-Time------- ------------Sender/Recipient------------
    abcdefghijklmnopqrstuvwxyz       2 2025-11-03 10:00:00 a@example.com
                     (450 4.2.0 Try again later)
                                                           b@busy.example

What is held shows why; `-qQ` shows that alone, as sendmail's does with what it has in quarantine.

sendmail's size column holds the number of attempts: the ledger does not know sizes, only the spool does.
"""

from __future__ import annotations

import os
import sys

from paravion.cli.client import EX_CONFIG, EX_OK, EX_TEMPFAIL, EX_USAGE, ApiAway, ApiError, Client
from paravion.cli.config import BadConfig, load

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

MOST_JOBS = 1000
_TITLE = "-----------Q-ID----------- -Tries- ------Q-Time------- ------------Sender/Recipient------------"
_INDENT = 55


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the console script's entry."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run(words, os.environ)


def run(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """
    Print the queue; `-v` adds when each job is due, `-qQ` shows what is held and nothing else.

    Returns:
        The sysexits code.
    """
    unknown = [word for word in words if word not in {"-v", "-qQ"}]
    if unknown:
        print(f"mailq: unknown argument {unknown[0]}", file=sys.stderr)
        return EX_USAGE
    try:
        query = {"limit": str(MOST_JOBS)} | ({"held": "true"} if "-qQ" in words else {})
        jobs = Client(load(environ)).get("/v1/queue", query).get("jobs", [])
    except BadConfig as exc:
        print(f"mailq: {exc}", file=sys.stderr)
        return EX_CONFIG
    except ApiAway as exc:
        print(f"mailq: {exc}", file=sys.stderr)
        return EX_TEMPFAIL
    except ApiError as exc:
        print(f"mailq: {exc.text}", file=sys.stderr)
        return exc.exit
    for line in render(jobs, verbose="-v" in words):
        print(line)
    return EX_OK


def render(jobs: Sequence[Mapping[str, Any]], *, verbose: bool) -> Iterator[str]:
    """Give the lines for the jobs of GET /v1/queue."""
    if not jobs:
        yield "Mail queue is empty"
        return
    yield _TITLE
    for job in jobs:
        arrived = plain(job.get("queued_at"))[:19].replace("T", " ")
        sender = plain(job.get("reverse_path")) or "<>"
        yield f"{plain(job.get('queue_id')):<26} {plain(job.get('attempts')):>7} {arrived:<19} {sender}"
        if verbose:
            yield f"{'':17}(due {plain(job.get('due_at'))}, {plain(job.get('state'))})"
        if job.get("held") or job.get("state") == "held":
            yield f"{'':17}(held: {plain(job.get('held')) or 'ask an operator'})"
        reason = None
        for recipient in job.get("recipients", []):
            text = plain(recipient.get("text"))
            if text and text != reason:
                yield f"{'':17}({text})"
                reason = text
            yield f"{'':{_INDENT}}{plain(recipient.get('forward_path'))}"
    yield f"{'':17}Total jobs: {len(jobs)}" + (" or more" if len(jobs) >= MOST_JOBS else "")


def plain(value: object) -> str:
    """Give a value as text that can't steer a terminal: a remote host's words stand in it."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)


if __name__ == "__main__":
    sys.exit(main())
