"""
Accept and queue, in one run: smtp-source before our front door, Postfix's smtpd and a bare aiosmtpd.

    make bench-smtpd
    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_smtpd.py [messages]

20 sessions that are kept, 10 KB, one recipient. Each server takes its turn in each of the rounds; shown are the best
rate and the least CPU a message, then all of them, and their ratios to Postfix's or, without one, to aiosmtpd's.

- `door`: our front door before an API that says yes at once: what the protocol costs.
- `paravion-up`: the whole embedded engine, which writes the message to its disk with fsync; nothing is sent on, for
  its relay takes connections and says nothing. Its CPU is that of the whole process.
- `postfix`: smtpd, cleanup and the queue file with fsync, without its queue manager: nothing is sent on.
- `aiosmtpd`: its SMTP class with a handler that does nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.bench_road import Server, Took, cpu_s, paravion
from tests.support import postfix
from tests.support.foreign import ENVIRON, ROOT, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

CHECKOUT = Path(__file__).resolve().parents[2]
SESSIONS = 20
OCTETS = 10_240
ROUNDS = 3


class NoApi:
    """An API that keeps nothing and says yes."""

    async def close(self) -> None:
        """See MessageApi."""

    async def knows(self, authorization: str) -> bool:
        """See MessageApi."""
        return True

    async def limits(self) -> None:
        """See MessageApi."""

    part_octets = 0
    submit_timeout_s = None

    def forget(self, upload_ids: Any) -> None: ...

    async def put_part(self, authorization: str, part: bytes) -> Any:
        """See MessageApi; nobody asks for it."""
        raise NotImplementedError

    async def submit(self, authorization: str, fields: Mapping[str, Any], content: object, key: str) -> Any:
        """See MessageApi."""
        from infra.front_door.api import Answer

        return Answer("250 2.0.0 Ok abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz")


async def serve(kind: str) -> None:
    """Run one of the servers in this process, and say where."""
    if kind == "aiosmtpd":
        from aiosmtpd.smtp import SMTP

        class Handler:
            async def handle_DATA(self, *_: object) -> str:  # noqa: N802 (aiosmtpd's name)
                return "250 2.0.0 Ok"

        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: SMTP(Handler(), loop=loop), "127.0.0.1", 0, backlog=1024)
        port = listener.sockets[0].getsockname()[1]
    else:
        import ipaddress

        from infra.front_door.server import FrontDoor
        from infra.front_door.settings import FrontDoorSettings

        networks = (ipaddress.ip_network("127.0.0.0/8"),)
        settings = FrontDoorSettings("http://127.0.0.1:9", port=0, trusted_networks=networks, credential=("A", "b"))
        door = FrontDoor(settings, NoApi())
        await door.start()
        port = door.address[1]
    print(port, flush=True)
    await asyncio.Event().wait()


@contextmanager
def child(kind: str) -> Iterator[Server]:
    """Run `serve` in a process of its own."""
    path = os.pathsep.join(map(str, (CHECKOUT / "layers/paravion/python", CHECKOUT)))
    process = subprocess.Popen(
        [sys.executable, __file__, f"serve={kind}"],
        env={**os.environ, "PYTHONPATH": path}, cwd=CHECKOUT, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), lambda: cpu_s(process.pid))
    finally:
        stop(process)


@contextmanager
def whole() -> Iterator[Server]:
    """Run `paravion up`, whose relay takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent, paravion(silent.getsockname()[1], dkim=False) as server:
        yield server


@contextmanager
def with_postfix() -> Iterator[Server]:
    """Run a Postfix that sends nothing."""
    # Without a queue manager nothing flows out, and Postfix would slow its clients down by a second each.
    box = postfix.Postfix({"in_flow_delay": "0"})
    box.without_queue_manager()
    with box:
        yield Server(box.port, box.cpu_s)


def measure(server: Server, messages: int) -> Took:
    """Submit by smtp-source; the first mails, which find it cold, don't count."""
    for count in (messages // 10, messages):
        cpu, began = server.cpu_s(), time.perf_counter()
        words = ["-d", "-m", str(count), "-l", str(OCTETS), "-s", str(SESSIONS)]
        words += ["-f", "sender@example.org", "-t", "recipient@example.net", f"127.0.0.1:{server.port}"]
        subprocess.run([ROOT / "usr/sbin/smtp-source", *words], env=ENVIRON, check=True)
        seconds = time.perf_counter() - began
        time.sleep(0.2)
    return Took(count / seconds, (server.cpu_s() - cpu) / count * 1000)


def main() -> int:
    """Print the table."""
    for word in sys.argv[1:]:
        if word.startswith("serve="):
            asyncio.run(serve(word.removeprefix("serve=")))
    if not postfix.is_sink_there():
        print("no smtp-source here (.ci/foreign-servers)")
        return 0
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    messages = numbers[0] if numbers else 4000
    only = [word.removeprefix("only=") for word in sys.argv[1:] if word.startswith("only=")]
    servers: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "door": lambda: child("door"),
        "aiosmtpd": lambda: child("aiosmtpd"),
        "paravion-up": whole,
    }
    if postfix.is_there():
        servers["postfix"] = with_postfix
    servers = {name: start for name, start in servers.items() if not only or name in only}
    figures: dict[str, list[Took]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, start in servers.items():
            with start() as server:
                figures[name].append(measure(server, messages))
    best = {name: Took(max(t.rate for t in of), min(t.cpu_ms for t in of)) for name, of in figures.items()}
    print(f"{messages} mails of {OCTETS} octets, {SESSIONS} sessions that are kept")
    for name, (rate, cpu_ms) in best.items():
        line = f"{name:12} {rate:7.0f}/s  {cpu_ms:6.3f} ms CPU"
        for other in ("postfix", "aiosmtpd"):
            if other in best and other != name:
                line += f"   of {other}'s: x{rate / best[other].rate:.2f} rate, x{cpu_ms / best[other].cpu_ms:.2f} CPU"
        rates, cpus = (
            " ".join(f"{getattr(t, kind):.{d}f}" for t in figures[name]) for kind, d in (("rate", 0), ("cpu_ms", 3))
        )
        print(f"{line}   ({rates}; {cpus})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
