"""
The embedded engine in several processes: this one keeps the data directory and its children, which do the work.

    process   does                                                     when it dies
    --------  -------------------------------------------------------  ------------------------------------------------
    this one  has the lock, cleans up, starts the others               they end at once; the lock ends with the last
    doors     HTTP and SMTP: accepts, checks, commits                   started again, at the same places
    workers   deliver, retry, bounce, sweep, expiry, checkpoints        started again; its leases are over then

A child that dies again and again ends all of it (`failed`), so that whoever watches over this process can act.

The lock's descriptor is the children's too: as long as one of them works, nobody else has the directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from infra.local.embedded_process import STOP, Ends, encode_options
from infra.local.options import parse_address
from paravion.adapters.embedded_data import EmbeddedData, Part
from paravion.adapters.embedded_files import make_folder
from paravion.adapters.embedded_lock import DataUnavailable, lock_folder
from paravion.adapters.json_event_log import JsonEventLog
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from infra.local.options import Address, Options

STOP_S: Final = 14.0
"""How long a child may take to stop: its own grace twice, and a little."""

DEATHS: Final = 5
DEATHS_S: Final = 60.0
"""More than so many deaths within so long, and it is given up."""

_PAUSE_S: Final = 0.5


class _Child:
    """A child process and the ends of its pipes."""

    def __init__(self, part: Part, options: Options, *, link: socket.socket, log: int, lock: int) -> None:
        self.part = part
        hold, self._lifeline = os.pipe()
        self._answer, tell = os.pipe()
        ends = Ends(hold, tell, link.fileno(), log)
        words = [sys.executable, "-m", "infra.local.embedded_process", part.value, *map(str, ends)]
        # glibc gives each read's 256 KiB back to the kernel else, and asks for them anew with the next.
        environ = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 20)}
        try:
            self.process = subprocess.Popen(  # noqa: S603 (our own module)
                words,
                stdin=subprocess.PIPE,
                stdout=log,
                env={**environ, **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=(*ends, lock),
                # A terminal's signals are for the parent.
                start_new_session=False,
            )
        finally:
            os.close(hold)
            os.close(tell)
        assert self.process.stdin is not None  # noqa: S101 (a pipe, see above)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(encode_options(options))
            self.process.stdin.close()

    def wait_ready(self) -> dict[str, Any]:
        """
        Wait until it has started; gives where its doors are.

        Raises:
            DataUnavailable, Misconfigured: It could not start.
        """
        with os.fdopen(self._answer, "rb") as answer:
            line = answer.readline()
        if not line:
            raise DataUnavailable(f"the {self.part.value} process ended with status {self.process.wait()}")
        told: dict[str, Any] = json.loads(line)
        if "fault" in told:
            self.process.wait()
            if told["fault"] == "Misconfigured":
                raise Misconfigured([told["text"]])
            raise DataUnavailable(told["text"])
        return told

    def ask_to_stop(self) -> None:
        """Let it finish what it began."""
        with contextlib.suppress(OSError):
            os.write(self._lifeline, STOP)

    def end(self, timeout_s: float) -> int:
        """Wait for its end, in the end by force; gives its status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            with contextlib.suppress(OSError):
                os.close(self._lifeline)


class EmbeddedProcesses:
    """
    The embedded engine, as `paravion up` runs it on more than one core. Use `start` and `stop`.

    Attributes:
        api_url, smtp_address, smtps_address: Where the doors are.
        failed: Why it gave up; "" while all is well.
    """

    inbox_url = None

    def __init__(self, options: Options, log: TextIO | None = None) -> None:
        self.options = options
        self.api_url = ""
        self.smtp_address: str | None = None
        self.smtps_address: str | None = None
        self.failed = ""
        self._log = log or sys.stderr
        self._lock = -1
        self._links: tuple[socket.socket, socket.socket]
        self._children: dict[Part, _Child] = {}
        self._watchers: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._guard = threading.Lock()

    def start(self) -> Self:
        """
        Start everything; when it returns all doors are open.

        Raises:
            DataUnavailable: The directory or a door can't be opened; the text says why.
            Misconfigured, OSError
        """
        folder = Path(self.options.data)
        try:
            make_folder(folder)
            self._lock = lock_folder(folder)
        except OSError as exc:
            raise DataUnavailable(f"{folder}: {exc.strerror}") from exc
        try:
            # Ends what a crash left, while nobody works on the directory.
            EmbeddedData(folder, time.time, lock=self._lock).close()
            self._links = socket.socketpair()
            begun = [self._begin(part) for part in (Part.DOORS, Part.WORKERS)]
            told, _ = (child.wait_ready() for child in begun)
        except BaseException:
            self.stop()
            raise
        self.api_url, self.smtp_address, self.smtps_address = told["api"], told["smtp"], told["smtps"]
        self._stay(told)
        for part in self._children:
            watcher = threading.Thread(target=self._watch, args=(part,), name=f"paravion-{part.value}", daemon=True)
            self._watchers.append(watcher)
            watcher.start()
        return self

    def stop(self) -> None:
        """Close the doors, then let the workers finish what they began."""
        with self._guard:
            self._stopping.set()
        for part in (Part.DOORS, Part.WORKERS):
            if child := self._children.get(part):
                child.ask_to_stop()
                child.end(STOP_S)
        for watcher in self._watchers:
            watcher.join()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
            for end in getattr(self, "_links", ()):
                end.close()

    def pids(self) -> dict[str, int]:
        """Give the children's process numbers."""
        return {part.value: child.process.pid for part, child in self._children.items()}

    def _begin(self, part: Part) -> _Child:
        child = _Child(
            part,
            self.options,
            link=self._links[part is Part.WORKERS],
            log=self._log.fileno(),
            lock=self._lock,
        )
        self._children[part] = child
        return child

    def _stay(self, told: dict[str, Any]) -> None:
        """Have the doors come back where they are, whichever ports the system chose."""
        given = self.options
        self.options = replace(
            given,
            api=_at(given.api, told["api"].removeprefix("http://")),
            smtp=_at(given.smtp, told["smtp"]),
            smtps=_at(given.smtps, told["smtps"]),
        )

    def _watch(self, part: Part) -> None:
        deaths: deque[float] = deque(maxlen=DEATHS)
        events = JsonEventLog("up", "INFO", self._log, time.time)
        while True:
            status = self._children[part].process.wait()
            if self._stopping.is_set():
                return
            says = f"the {part.value} process ended with status {status}"
            if not status:
                # Somebody asked it to: all of it ends.
                self.failed = says
                return
            while True:
                if len(deaths) == DEATHS and time.monotonic() - deaths[0] < DEATHS_S:
                    self.failed = f"{says}, too often"
                    return
                deaths.append(time.monotonic())
                events.emit("Fault", {"stage": "up", "process": part.value, "error": f"{says}; starting it again"})
                if self._stopping.wait(_PAUSE_S if len(deaths) > 1 else 0):
                    return
                try:
                    with self._guard:
                        if self._stopping.is_set():
                            return
                        child = self._begin(part)
                    child.wait_ready()
                except (OSError, DataUnavailable, Misconfigured) as exc:
                    says = f"the {part.value} process could not be started: {exc}"
                else:
                    break


def _at(address: Address, place: str | None) -> Address:
    """Give an address with the port that it got."""
    return (address[0], parse_address(place)[1]) if place else address
