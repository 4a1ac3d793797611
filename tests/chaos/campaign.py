"""
The chaos campaign: mail through all doors, while `paravion up` is killed and started again, and its disk is full once.

    python -m tests.chaos.campaign --mails 3000 --kills 20 [--seed N] [--processes 1|2] [--keep]

The engine is a real child process on a data directory, the next hop another process (sink.py), clients are threads of
this one (submitters.py). Of several processes a kill takes one: the parent, with which all end and which is started
again here, the doors, or the workers, which it starts again itself. Kills come at random instants, some before the doors are open; mail is spread over the lives,
and what a life left to do falls into the next. At the end everything may finish; verdict.py says what must hold.

The disk: a small tmpfs that is filled to the brim, where we may mount one; else the process's RLIMIT_FSIZE, which
makes every write beyond a file's first octets fail.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from paravion.adapters.embedded_check import Check
from paravion.adapters.embedded_queues import VISIBILITY_S
from tests.chaos.submitters import DOORS, Submitted
from tests.chaos.verdict import Lives, Verdict, judge

ROOT: Final = Path(__file__).resolve().parents[2]
UP: Final = [sys.executable, "-c", "import sys; from paravion.cli.main import main; sys.exit(main(sys.argv[1:]))", "up"]
READY_S: Final = 60.0
CLIENTS: Final = {"native": 4, "ses": 2, "smtp": 4}
_ALL: Final = 0.4
"""How often a kill takes the parent, where there are parts."""

_DEATHS: Final = 4
_BEGIN_S: Final = 0.2
"""A process takes longer than this to begin, and a busy sink less to tell what a dead one had sent."""

_DISK_OCTETS: Final = 256 << 20
_LEFT_BY_KILLS: Final = frozenset({"file-orphan"})
"""Findings of fsck that a kill may leave: a large body whose mail was promised to nobody."""

_QUEUED: Final = """
SELECT
    -- But for what waits in the retry queue for the end of a lease that has been given back.
    (SELECT COUNT(*) FROM item WHERE queue != 3 AND NOT (queue = 1 AND visible_at > 0 AND EXISTS (
        SELECT 1 FROM job WHERE queue_id = item.job AND chunk = item.chunk AND state IN ('done', 'removed')))),
    (SELECT COUNT(*) FROM item WHERE queue = 3),
    (SELECT COUNT(*) FROM job WHERE state NOT IN ('done', 'removed'))
"""


@dataclass(frozen=True)
class Plan:
    """
    One campaign.

    Attributes:
        life_s: How long a process lives after its doors are open, at least and at most.
        full_s: How long the disk is full; 0: never.
        return_s: After this the engine gives up on busy recipients; 0: there are none.
        patience_s: How long everything may take to finish after the last kill.
        processes: Of the engine.
    """

    mails: int
    kills: int
    seed: int
    life_s: tuple[float, float] = (0.1, 2.0)
    full_s: float = 2.0
    return_s: float = 0.0
    patience_s: float = 600.0
    processes: int = 2

    def settings(self) -> dict[str, str]:
        """The engine's."""
        return {
            "retry_intervals_s": "0.3,0.6",
            "retry_jitter_ratio": "0.3",
            "sweep_interval_s": "0.2",
            "fault_backoff_s": "0.2",
            "queue_warn_s": "1209600",
            "queue_return_s": f"{self.return_s or 1209600:g}",
            "trusted_networks": "127.0.0.1/32",
            "mta_sts": "off",
            # Meet the disk's end itself, not what keeps mail away from it.
            "min_free_octets": "0",
        }


@dataclass
class Engine:
    """`paravion up`, started as often as it is killed, always at the same places."""

    data: Path
    relay: str
    settings: dict[str, str]
    said: Path
    processes: int
    places: dict[str, str] = field(default_factory=lambda: {door: _free_place() for door in ("api", "smtp", "smtps")})
    process: subprocess.Popen[str] | None = None
    is_ready: bool = False
    deaths: Counter[str] = field(default_factory=Counter)

    def start(self) -> None:
        """Start; doesn't wait for the doors."""
        self.is_ready = False
        self.deaths.clear()
        words = ["--engine", "embedded", "--data", str(self.data), "--relay", self.relay]
        words += ["--processes", str(self.processes)]
        words += [word for door, place in self.places.items() for word in (f"--{door}", place)]
        words += [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARAVION_", "AWS_"))}
        environ = {**kept, "PYTHONPATH": f"{ROOT / 'layers/paravion/python'}:{ROOT}"}
        self.process = subprocess.Popen(
            [*UP, *words], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # By a pipe: the log's own writes must not fail with the disk's.
        threading.Thread(target=self._keep, args=(self.process.stderr,), daemon=True).start()

    def wait_ready(self) -> None:
        """Wait until all doors are open, or were."""
        if self.is_ready:
            return
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("paravion ready"):
            raise RuntimeError(f"the engine did not start: {self.said.read_text('utf-8')[-2000:]}")
        self.is_ready = True

    def parts(self) -> dict[str, int]:
        """Give the children's process numbers by what they do; none of one that is ending or beginning."""
        assert self.process is not None
        found = {}
        pid = self.process.pid
        for child in " ".join(file.read_text("ascii") for file in Path(f"/proc/{pid}/task").glob("*/children")).split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if b"infra.local.embedded_process" in words:
                    found[words[words.index(b"infra.local.embedded_process") + 1].decode()] = int(child)
        return found

    def kill_part(self, draws: random.Random) -> str:
        """Kill the doors or the workers; gives which, "" if it is the turn of all."""
        parts = self.parts() if self.is_ready else {}
        part = draws.choice(sorted(parts)) if parts else ""
        # One that dies too often would end all of it.
        if not part or draws.random() < _ALL or self.deaths[part] >= _DEATHS:
            return ""
        self.deaths[part] += 1
        os.kill(parts[part], signal.SIGKILL)
        until = time.monotonic() + READY_S
        while self.parts().get(part, parts[part]) == parts[part]:
            assert time.monotonic() < until, f"the {part} were not started again"
            time.sleep(0.005)
        return part

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; gives the exit status."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        try:
            status = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        return status

    def left(self) -> tuple[int, int, int]:
        """Count what is queued, what is parked, and jobs that are open."""
        with contextlib.closing(sqlite3.connect(self.data / "paravion.db", timeout=10)) as connection:
            connection.execute("PRAGMA query_only = 1")
            queued, parked, open_jobs = connection.execute(_QUEUED).fetchone()
            return int(queued), int(parked), int(open_jobs)

    def _keep(self, stream: Any) -> None:
        with stream, self.said.open("a", encoding="utf-8") as file:
            for line in stream:
                file.write(line)


class Disk:
    """Where the data directory lies, and how it becomes full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.is_mounted = os.geteuid() == 0 and _quiet(
            "mount", "-t", "tmpfs", "-o", f"size={_DISK_OCTETS}", "paravion-chaos", str(folder)
        )

    @property
    def how(self) -> str:
        """Say what makes it full."""
        return "a tmpfs, filled" if self.is_mounted else "RLIMIT_FSIZE (a tmpfs could not be mounted)"

    @contextlib.contextmanager
    def full(self, pids: Sequence[int]) -> Iterator[None]:
        """Be full."""
        if not self.is_mounted:
            limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
            for pid, (_, hard) in limits.items():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, hard))
            yield
            for pid, before in limits.items():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            return
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for piece in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(piece))
        yield
        ballast.unlink()

    def close(self) -> None:
        """Give it back."""
        if self.is_mounted:
            _quiet("umount", "-l", str(self.folder))


def run(plan: Plan, folder: Path) -> Verdict:
    """Run a campaign in a directory of its own."""
    folder.mkdir(exist_ok=True)
    draws = random.Random(plan.seed)
    log = folder / "sink.log"
    sink = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.sink", str(log), str(plan.seed)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert sink.stdout is not None
    disk = Disk(folder / "disk")
    engine = Engine(
        disk.folder / "data",
        f"127.0.0.1:{int(sink.stdout.readline())}",
        plan.settings(),
        folder / "said",
        plan.processes,
    )
    lives, submitted = Lives(), Submitted()
    gate = _Gate(plan.mails)
    clients = [
        threading.Thread(target=_submit, args=(plan, door, engine.places, gate, submitted, n), daemon=True)
        for door, count in CLIENTS.items()
        for n in range(count)
    ]
    try:
        _live(engine, lives)
        for client in clients:
            client.start()
        full_in = draws.randrange(plan.kills // 2, plan.kills) if plan.full_s else -1
        for life in range(plan.kills):
            gate.open_to(plan.mails * (life + 1) // (plan.kills + 1))
            if draws.random() > 0.15 or life in {full_in, 0}:  # others die before their doors are open
                engine.wait_ready()
                time.sleep(draws.uniform(*plan.life_s))
            else:
                time.sleep(draws.uniform(0.0, 1.0))
            if life == full_in:
                _fill(engine, disk, lives, plan.full_s)
                time.sleep(draws.uniform(*plan.life_s))
            # What a full disk failed is hidden for minutes; who has no patience for that kills those who hide it.
            _kill(engine, lives, draws, whole=life == full_in and plan.patience_s < max(VISIBILITY_S.values()))
        engine.wait_ready()
        gate.open_to(plan.mails)
        for client in clients:
            client.join(plan.patience_s)
        faults = [*gate.faults, *(f"client {n} never ended" for n, one in enumerate(clients) if one.is_alive())]
        left = _finish(engine, plan.patience_s)
        status = engine.end(signal.SIGTERM)
        with contextlib.closing(Check(engine.data, repair=False)) as check:
            checked = [(finding.name, finding.what) for finding in check.findings()]
    finally:
        if engine.process is not None and engine.process.poll() is None:
            engine.end(signal.SIGKILL)
        disk.close()
        sink.kill()
        sink.wait()
        sink.stdout.close()
    verdict = judge(submitted, log, lives)
    faults += [f"{count} {what}" for what, count in zip(("queued", "parked", "open"), left, strict=True) if count]
    faults += [f"fsck, {name}: {what}" for name, what in checked if name not in _LEFT_BY_KILLS]
    if status:
        faults.append(f"the last process ended with status {status}")
    verdict.faults[:0] = faults
    return verdict


class _Gate:
    """Lets clients take numbers up to a mark that moves with the kills."""

    def __init__(self, mails: int) -> None:
        self._mails = mails
        self._mark = self._next = 0
        self._changed = threading.Condition()
        self.faults: list[str] = []

    def open_to(self, mark: int) -> None:
        with self._changed:
            self._mark = mark
            self._changed.notify_all()

    def take(self) -> int | None:
        """Give the next mail's number once it may be begun; None: there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._next < self._mark or self._next >= self._mails)
            if self._next >= self._mails:
                return None
            self._next += 1
            return self._next - 1


def _submit(plan: Plan, door: str, places: dict[str, str], gate: _Gate, submitted: Submitted, client: int) -> None:
    draws = random.Random(f"{plan.seed} {door} {client}")
    try:
        submitter = DOORS[door](places)
        while (number := gate.take()) is not None:
            submitter.submit(submitted, number, draws, busy=bool(plan.return_s) and draws.random() < 0.01)
    except Exception as exc:
        gate.faults.append(f"a client of {door} fell over: {exc!r}")


def _live(engine: Engine, lives: Lives, *, wait: bool = True) -> None:
    lives.started.append(time.time() + _BEGIN_S)
    engine.start()
    if wait:
        engine.wait_ready()


def _kill(engine: Engine, lives: Lives, draws: random.Random, *, whole: bool = False) -> None:
    """Kill one process, or all; the doors' death is no end of a life, for they send nothing."""
    at = time.time()
    part = "" if whole else engine.kill_part(draws)
    lives.kinds[part or "all"] += 1
    if part == "workers":
        lives.killed.append(at)
        lives.started.append(time.time() + _BEGIN_S)
    elif not part:
        engine.end(signal.SIGKILL)
        lives.killed.append(time.time())
        _live(engine, lives, wait=False)


def _fill(engine: Engine, disk: Disk, lives: Lives, full_s: float) -> None:
    assert engine.process is not None
    begun_at = time.time()
    with disk.full([engine.process.pid, *engine.parts().values()]):
        time.sleep(full_s)
    # What could not be recorded meanwhile is tried again for some seconds.
    lives.full.append((begun_at, time.time() + 10))
    print(f"the disk was full for {full_s:g} s: {disk.how}", flush=True)


def _finish(engine: Engine, patience_s: float) -> tuple[int, int, int]:
    """Wait until nothing is queued and every job is closed; gives what is left."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        queued, _, open_jobs = engine.left()
        if not queued and not open_jobs:
            break
        time.sleep(0.2)
    return engine.left()


def _free_place() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def _quiet(*words: str) -> bool:
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Run a campaign as told; exit status 1 when something does not hold."""
    words = argparse.ArgumentParser(prog="chaos", description="Kill paravion while it works, and count its mail.")
    words.add_argument("--mails", type=int, default=3000)
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    words.add_argument("--processes", type=int, default=2, choices=(1, 2))
    words.add_argument("--keep", action="store_true", help="leave the logs behind, and say where")
    given = words.parse_args()
    print(f"{given.mails} mails, {given.kills} kills, seed {given.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="paravion-chaos-"))
    began = time.monotonic()
    verdict = run(Plan(given.mails, given.kills, given.seed, return_s=60.0, processes=given.processes), folder)
    print(verdict)
    print(f"{'FAILED' if verdict.faults else 'everything holds'} after {time.monotonic() - began:.0f} s")
    if given.keep or verdict.faults:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return bool(verdict.faults)


if __name__ == "__main__":
    sys.exit(main())
