"""
`mailq`: what waits, in sendmail's columns.

    -----------Q-ID----------- -Tries- ------Q-Time------- ------------Sender/Recipient------------
    abcdefghijklmnopqrstuvwxyz       2 2025-11-03 10:00:00 a@example.com
                     (450 4.2.0 Try again later)
                                                           b@busy.example

What waits on this machine (client_queue.py) comes first, also where the API can't be asked.

What is held shows why; `-qQ` shows that alone, as sendmail's does with what it has in quarantine.

sendmail's size column holds the number of attempts: the ledger does not know sizes, only the spool does.
"""

from __future__ import annotations

import sys

from paravion.cli.client import EX_CONFIG, EX_OK, EX_TEMPFAIL, ApiAway, ApiError, Client
from paravion.cli.config import BadConfig, load

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from paravion.cli.client_queue import Entry
    from paravion.cli.config import Config
    from paravion.cli.sendmail_options import Options

MOST_JOBS = 1000
_TITLE = "-----------Q-ID----------- -Tries- ------Q-Time------- ------------Sender/Recipient------------"
_INDENT = 55


def run(options: Options, environ: Mapping[str, str]) -> int:
    """
    Print the queue.

    `-v` adds when each job is due, its priority and deadline; `-qQ` shows what is held alone, `-qI` and its kin select.

    Returns:
        The sysexits code.
    """
    try:
        config = load(environ, options.config_path)
        kept = [] if options.held else _kept(config, environ, options)
        for line in render_kept(kept):
            print(line)
        if options.half == "c":
            if not kept:
                print("Mail queue is empty")
            return EX_OK
        query = {"limit": str(MOST_JOBS)} | ({"held": "true"} if options.held else {})
        # Whoever is without network shall see at once what waits here.
        found = _client(config, kept).get("/v1/queue", query).get("jobs", [])
        jobs = [job for job in found if _is_meant(job, options)]
    except (BadConfig, ApiAway, ApiError) as exc:
        return _fail(exc)
    if not kept or jobs:
        for line in render(jobs, verbose=options.verbose):
            print(line)
    if len(found) > len(jobs) and len(found) >= MOST_JOBS:
        print(f"mailq: of the service's jobs the first {len(found)} were looked at", file=sys.stderr)
    return EX_OK


def count(options: Options, environ: Mapping[str, str]) -> int:
    """Print how many messages wait here and how many jobs the service has (-bP). Gives the sysexits code."""
    try:
        config = load(environ, options.config_path)
        kept = _kept(config, environ, options)
        if options.half != "m":
            print(f"on this machine: entries={len(kept)}")
        if options.half == "c":
            return EX_OK
        jobs = _client(config, kept).get("/v1/queue", {"limit": str(MOST_JOBS)}).get("jobs", [])
    except (BadConfig, ApiAway, ApiError) as exc:
        return _fail(exc)
    print(f"{plain(config.api)}: entries={len(jobs)}" + (" or more" if len(jobs) >= MOST_JOBS else ""))
    return EX_OK


def _client(config: Config, kept: Sequence[Entry]) -> Client:
    return Client(config, retry_waits_s=()) if kept else Client(config)


def _kept(config: Config, environ: Mapping[str, str], options: Options) -> list[Entry]:
    from paravion.cli.client_queue import selection, users_queue

    queue = None if options.half == "m" else users_queue(config, environ, options.queue_folder)
    wanted = selection(options.selectors)
    return [entry for entry in (queue.entries() if queue else []) if wanted is None or wanted(entry)]


def _is_held(job: Mapping[str, Any]) -> bool:
    """Say whether a job waits for an operator, not for an instant."""
    return bool(job.get("held")) or job.get("state") == "held"


def _is_meant(job: Mapping[str, Any], options: Options) -> bool:
    """Say whether -qI, -qR, -qS and their opposites select a job of GET /v1/queue."""
    if not options.selectors:
        return True
    from paravion.cli.client_queue import is_selected

    recipients = [str(recipient.get("forward_path")) for recipient in job.get("recipients", [])]
    return is_selected(options.selectors, str(job.get("queue_id")), recipients, str(job.get("reverse_path") or ""))


def _fail(exc: BadConfig | ApiAway | ApiError) -> int:
    text = exc.text if isinstance(exc, ApiError) else str(exc)
    print(f"mailq: {plain(text)}", file=sys.stderr)
    if isinstance(exc, ApiError):
        return exc.exit
    return EX_CONFIG if isinstance(exc, BadConfig) else EX_TEMPFAIL


def render_kept(entries: Sequence[Entry]) -> Iterator[str]:
    """Give the lines for what waits on this machine."""
    if not entries:
        return
    import time

    yield _TITLE
    for entry in entries:
        arrived = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.queued_at))
        yield f"{entry.id:<26} {entry.tries:>7} {arrived:<19} {plain(entry.sender) or '<>'}"
        yield f"{'':17}({'given up' if entry.is_dead else 'on this machine'}: {plain(entry.reason) or 'not tried yet'})"
        for recipient in entry.recipients or ["(recipients of the header)"]:
            yield f"{'':{_INDENT}}{plain(recipient)}"
    yield f"{'':17}On this machine: {len(entries)}"


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
            yield from _wishes(job)
        if _is_held(job):
            yield f"{'':17}(held: {plain(job.get('held')) or 'ask an operator'})"
        reason = None
        for recipient in job.get("recipients", []):
            text = plain(recipient.get("text"))
            if text and text != reason:
                yield f"{'':17}({text})"
                reason = text
            yield f"{'':{_INDENT}}{plain(recipient.get('forward_path'))}"
    yield f"{'':17}Total jobs: {len(jobs)}" + (" or more" if len(jobs) >= MOST_JOBS else "")


def _wishes(job: Mapping[str, Any]) -> Iterator[str]:
    """Tell of a priority that not all mail has, and of a deadline."""
    if job.get("priority", "normal") != "normal":
        yield f"{'':17}(priority {plain(job['priority'])})"
    if job.get("deliver_by"):
        end = "returned" if job.get("deliver_by_mode") == "return" else "its sender is told"
        yield f"{'':17}(deliver by {plain(job['deliver_by'])}, then {end})"


def plain(value: object) -> str:
    """Give a value as text that can't steer a terminal: a remote host's words stand in it."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)
