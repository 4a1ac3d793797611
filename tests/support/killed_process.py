"""
The embedded engine in a process of its own that kills itself (SIGKILL) at the call that was told, and a new one after.

    python -m tests.support.killed_process

Reads a line of JSON for each engine: its `point` (a name), `template`, `words` and `assignments` (local mode's options),
and `kill`: null, or the call, which such call it is, and whether after it. Writes lines of JSON, each with the point:

    api, pid    a life has begun, its doors are open; one that was killed begins again at the same place
    killed      whether a message was sent and nobody has written that down: RFC 1047's instant
    steps       all that were made, when it has ended in peace: after SIGTERM to its pid, once nothing waits

Lives are forked, so that what they import is imported once. A call is one of a port's, of SMTP's writes and answers, or
of a webhook's; the queue's own delete is one, too.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.local import embedded
from infra.local.embedded import EmbeddedEngine
from infra.local.embedded_process import LogFile
from infra.local.options import join_address, parse_address, read_options
from paravion import bootstrap_smtp  # noqa: F401 (what a life would import, and what follows)
from paravion.adapters import webhook_client  # noqa: F401
from paravion.adapters.embedded_ledger import EmbeddedLedger
from paravion.adapters.embedded_queues import EmbeddedQueues
from paravion.adapters.embedded_spool import EmbeddedSpool
from paravion.adapters.embedded_suppression import EmbeddedSuppression
from paravion.adapters.embedded_transcripts import EmbeddedTranscripts
from paravion.adapters.smtp_connection import Connection
from paravion.adapters.webhook_events import WebhookEvents
from paravion.services import deliver

WATCHED = {
    "spool": (EmbeddedSpool, ("put_body", "put_envelope")),
    "queues": (EmbeddedQueues, ("send", "send_texts", "release", "delete")),
    "ledger": (EmbeddedLedger, ("claim", "load", "save", "wake")),
    "suppression": (EmbeddedSuppression, ("put",)),
    "transcripts": (EmbeddedTranscripts, ("put",)),
    "smtp": (Connection, ("write", "answer")),
    "webhook": (WebhookEvents, ("publish",)),
}
_PR_SET_PDEATHSIG = 1
_END = b"\r\n.\r\n"
_VERBS = {b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT"}


def say(**fields: Any) -> None:
    """Write a line that no other process's cuts in two."""
    os.write(1, json.dumps(fields).encode() + b"\n")


class Watch:
    """Counts a life's calls, and kills it."""

    def __init__(self, point: str, kill: tuple[str, int, bool] | None) -> None:
        self.point, self.kill = point, kill
        self.made: Counter[str] = Counter()
        self.steps: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._exposed = False
        for name, (port, methods) in WATCHED.items():
            for method in methods:
                setattr(port, method, self._watched(f"{name}.{method}", getattr(port, method)))

    def _watched(self, label: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def watched_async(*arguments: Any, **named: Any) -> Any:
                is_told = self._begin(label, arguments)
                result = await method(*arguments, **named)
                self._end(label, is_told)
                return result

            return watched_async

        @functools.wraps(method)
        def watched(*arguments: Any, **named: Any) -> Any:
            is_told = self._begin(label, arguments)
            result = method(*arguments, **named)
            self._end(label, is_told)
            return result

        return watched

    def _begin(self, label: str, arguments: tuple[Any, ...]) -> bool:
        if label in {"queues.send", "queues.delete"}:
            label = f"{label} {arguments[1]}"
        if label == "smtp.write":
            verb = arguments[1][:4].upper()
            label = f"{label} {verb.decode() if verb in _VERBS else 'message'}"
        with self._lock:
            self.made[label] += 1
            step = (label, self.made[label])
            self.steps.append(step)
            is_told = self.kill is not None and step == self.kill[:2]
            if is_told and self.kill is not None and not self.kill[2]:
                self._die()
            if label.startswith("smtp.write") and arguments[1].endswith(_END):
                self._exposed = True
        return is_told

    def _end(self, label: str, is_told: bool) -> None:
        if label == "ledger.save":
            self._exposed = False
        if is_told:
            self._die()

    def _die(self) -> None:
        say(point=self.point, killed=self._exposed)
        os.kill(os.getpid(), signal.SIGKILL)


def live(told: dict[str, Any], kill: Any, api: str, ready: int) -> None:
    """Be one life; writes its place to `ready`."""
    # An attempt, and its lease, as short as the functions' in killed_functions.py.
    embedded.DELIVER_S = 8.0  # type: ignore[misc]
    deliver.LEASE_MARGIN_S, deliver._RECORDING_S = 1.0, 2.0  # type: ignore[misc]
    watch = Watch(told["point"], (str(kill[0]), int(kill[1]), bool(kill[2])) if kill else None)
    words = {**told["words"], "api": api}
    options = read_options(Path(told["template"]), words, told["assignments"], {})
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    log = os.open(told["words"]["data"] + ".log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    engine = EmbeddedEngine(options, LogFile(log))  # type: ignore[arg-type]
    engine.start()
    place = engine.api_url.removeprefix("http://")
    os.write(ready, place.encode())
    os.close(ready)
    say(point=told["point"], api=engine.api_url, pid=os.getpid())
    while not ended.wait(0.1):
        pass
    # What is still on its way comes to its end first.
    while engine.data.waiting_jobs(1) or any(sum(depth.values()) for depth in engine.queue_depths().values()):
        time.sleep(0.05)
    engine.stop()
    say(point=told["point"], steps=watch.steps)


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        work()
        status = 0
    except BaseException as exc:
        say(point="", fault=repr(exc))
        raise
    finally:
        os._exit(status)


def supervise(told: dict[str, Any]) -> None:
    """Begin lives until one ends in peace."""
    kill, api = told["kill"], "127.0.0.1:0"
    while True:
        hear, ready = os.pipe()
        pid = _fork(functools.partial(live, told, kill, api, ready))
        os.close(ready)
        place = os.read(hear, 100).decode()
        os.close(hear)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            return
        api, kill = join_address(parse_address(place)), None


def main() -> None:
    """Begin engines as they are told of."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that supervise
    for line in iter(sys.stdin.readline, ""):
        told = json.loads(line)

        def work(told: dict[str, Any] = told) -> None:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            supervise(told)

        _fork(work)


if __name__ == "__main__":
    main()
