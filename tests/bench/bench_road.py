"""
The whole road, in one run: smtp-source, an MTA on this disk, smtp-sink. `paravion up` beside Postfix and Exim.

    make bench-road
    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_road.py [messages] [new-sessions]

One recipient, 20 sessions, every server fsyncs before it answers. `mails/s` is from the first submission to the last
arrival at the sink; `ms CPU` is that of all processes of the server, a mail. Servers take turns, three times; shown are
the best rate and the least CPU of each, then all three. `none` is smtp-source straight into smtp-sink.

paravion is a child process with fsync on and everything that it does by default, without and with DKIM (RSA-2048 and
Ed25519). Postfix and Exim are Debian's (`.ci/foreign-servers`), as their test classes configure them; Postfix may have
20 transactions with the sink at once. `new-sessions`: a session for each mail instead of 20 that are kept.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from paravion.adapters.embedded_data import EmbeddedData
from paravion.domain import dkim_keys
from tests.support import exim, postfix
from tests.support.dkim_keys import active_ring
from tests.support.foreign import ENVIRON, ROOT, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
SESSIONS = 20
SIZES = (1024, 10_240)
ROUNDS = 3
WARM_UP = 200


class Server(NamedTuple):
    """A server that runs: where it listens, and the CPU seconds that it has used."""

    port: int
    cpu_s: Callable[[], float]


class Took(NamedTuple):
    """Mails a second, and milliseconds of CPU a mail."""

    rate: float
    cpu_ms: float


@contextmanager
def paravion(sink_port: int, *, dkim: bool) -> Iterator[Server]:
    """Run `paravion up` on a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="road-") as folder:
        if dkim:
            with EmbeddedData(Path(folder, "data"), time.time) as data:
                data.secrets.put("dkim/example.org", dkim_keys.encode(active_ring()))
        words = ["--data", f"{folder}/data", "--relay", f"127.0.0.1:{sink_port}", "--log", f"{folder}/log"]
        doors = [word for door in ("api", "smtp", "smtps") for word in (f"--{door}", "127.0.0.1:0")]
        path = os.pathsep.join(map(str, (CHECKOUT / "layers/paravion/python", CHECKOUT)))
        command = [sys.executable, "-m", "paravion.cli.main", "up", *words, *doors]
        command += ["--set", "trusted_networks=127.0.0.0/8", "--set", f"host_concurrency={SESSIONS}"]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path},
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().decode()
            found = re.search(r" smtp=\S+:(\d+)", ready)
            assert found, ready
            yield Server(int(found[1]), lambda: sum(map(cpu_s, _family(process.pid))))
        finally:
            stop(process)


@contextmanager
def with_postfix(sink_port: int) -> Iterator[Server]:
    """Run Postfix as it comes, but for where its mail goes and how many at once."""
    settings = {
        "relayhost": f"[127.0.0.1]:{sink_port}",
        "default_destination_concurrency_limit": str(SESSIONS),
        "initial_destination_concurrency": str(SESSIONS),
    }
    with postfix.Postfix(settings) as box:
        yield Server(box.port, box.cpu_s)


@contextmanager
def with_exim(sink_port: int) -> Iterator[Server]:
    """Run Exim, which sends each mail in a process of its own as it comes in."""
    with exim.Exim(sink_port) as box:
        # Its processes leave their parents, so that nobody knows what they used.
        yield Server(box.port, lambda: math.nan)


def _family(pid: int) -> list[int]:
    """Give a process and its children that live."""
    found = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *map(int, found.split())]


def cpu_s(pid: int) -> float:
    """Give the CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def source(port: int, messages: int, octets: int, *, new_sessions: bool) -> None:
    """Submit by smtp-source."""
    words = [] if new_sessions else ["-d"]
    words += ["-m", str(messages), "-l", str(octets), "-s", str(SESSIONS)]
    addresses = ["-f", "sender@example.org", "-t", "recipient@example.net", f"127.0.0.1:{port}"]
    subprocess.run([ROOT / "usr/sbin/smtp-source", *words, *addresses], env=ENVIRON, check=True)


def measure(server: Server, taken: postfix.Sink, messages: int, octets: int, *, new_sessions: bool) -> Took:
    """Send through a server; the first mails, which find it cold, don't count."""
    for count in (min(WARM_UP, messages), messages):
        before, cpu, began = taken.count, server.cpu_s(), time.perf_counter()
        source(server.port, count, octets, new_sessions=new_sessions)
        taken.wait_for(before + count, 300)
        seconds = time.perf_counter() - began
        # What is written down after the arrival belongs to the mail as well.
        time.sleep(0.3)
    return Took(count / seconds, (server.cpu_s() - cpu) / count * 1000)


def main() -> int:
    """Print a table for each size."""
    if not postfix.is_sink_there():
        print("no smtp-source and smtp-sink here (.ci/foreign-servers)")
        return 0
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    new_sessions = "new-sessions" in sys.argv[1:]
    messages = numbers[0] if numbers else 3000
    only = [word.removeprefix("only=") for word in sys.argv[1:] if word.startswith("only=")]
    for octets in SIZES:
        with postfix.sink() as taken:
            _compare(taken, messages, octets, new_sessions=new_sessions, only=only)
    return 0


def _compare(taken: postfix.Sink, messages: int, octets: int, *, new_sessions: bool, only: list[str]) -> None:
    port = taken.port
    servers: dict[str, Callable[[], object]] = {
        "paravion": lambda: paravion(port, dkim=False),
        "paravion, DKIM": lambda: paravion(port, dkim=True),
    }
    if postfix.is_there():
        servers["postfix"] = lambda: with_postfix(port)
    if exim.is_there():
        servers["exim"] = lambda: with_exim(port)
    servers = {name: start for name, start in servers.items() if not only or name in only}
    sessions = "a session for each mail" if new_sessions else "sessions kept"
    print(f"\n{messages} mails of {octets} octets, 1 recipient, {SESSIONS} at once, {sessions}")
    figures: dict[str, list[Took]] = {name: [] for name in ("none", *servers)}
    for _ in range(ROUNDS):
        straight = Server(port, lambda: 0.0)
        figures["none"].append(measure(straight, taken, messages, octets, new_sessions=new_sessions))
        for name, start in servers.items():
            count = messages // 5 if name == "exim" else messages
            with start() as server:  # type: ignore[attr-defined]
                figures[name].append(measure(server, taken, count, octets, new_sessions=new_sessions))
    best = {name: Took(max(t.rate for t in of), min(t.cpu_ms for t in of)) for name, of in figures.items()}
    anchor = best.get("postfix")
    for name, (rate, cpu_ms) in best.items():
        of = figures[name]
        line = f"{name:16} {rate:7.0f}/s  {cpu_ms:6.2f} ms CPU"
        if anchor and name != "none":
            line += f"   of Postfix's: {rate / anchor.rate:5.2f} in rate, {cpu_ms / anchor.cpu_ms:5.2f} in CPU"
        rates, cpus = " ".join(f"{t.rate:.0f}" for t in of), " ".join(f"{t.cpu_ms:.2f}" for t in of)
        print(f"{line}   ({rates}; {cpus})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
