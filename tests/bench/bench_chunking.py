"""
What CHUNKING is worth: messages per second by DATA and by BDAT, on loopback and with 20 ms of round trip.

    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_chunking.py [messages]

10 KB, one recipient, 20 connections, a sink of our own that takes both. Once over kept connections, and once with a
connection for each message, as when every message has another host. Best of three, in turn.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.next_hop import MxHost, NextHop
from paravion.ports import Transaction
from tests.bench.bench_deliver import delay, served
from tests.bench.bench_smtp_client import BODY, EHLO, HEADER, Body, NoResolver, Sink

CONNECTIONS = 20


class ChunkingSink(Sink):
    """The sink, with BDAT."""

    skip: int | None = None

    def data_received(self, data: bytes) -> None:
        """Skip chunks, answer them, and leave the rest to the sink."""
        buffer = getattr(self, "held", b"") + data
        while True:
            if self.skip is not None:
                if len(buffer) < self.skip:
                    break
                buffer, self.skip = buffer[self.skip :], None
                self.transport.write(b"250 2.0.0 ok\r\n")
                continue
            at = -1 if self.content else buffer.find(b"BDAT ")
            if at < 0:
                self.held = b""
                super().data_received(buffer)
                return
            line, found, rest = buffer[at:].partition(b"\r\n")
            if not found:
                break
            super().data_received(buffer[:at])
            buffer, self.skip = rest, int(line.split()[1])
        self.held = buffer


def sink(answer: object) -> None:
    """Run it in this process."""
    import tests.bench.bench_smtp_client as bench

    bench.EHLO = EHLO.replace(b"250 SIZE", b"250-CHUNKING\r\n250 SIZE")

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(ChunkingSink, "127.0.0.1", 0)
        answer.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


def run(port: int, messages: int, *, chunking: bool, kept: bool) -> tuple[float, float]:
    """Give wall and CPU seconds."""
    hop = NextHop("sink", (MxHost("sink", port, ("127.0.0.1",), allow_private=True),))

    async def main() -> None:
        client = SmtpTransport(
            "bench.test", NoResolver(), connections_per_host=CONNECTIONS, chunking=chunking,
            max_idle=200 if kept else 0,
        )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + 600
        left = iter(range(messages))

        async def work() -> None:
            for n in left:
                transaction = Transaction(f"q{n}", "a@example.com", {0: ("b@example.net", (), "")}, HEADER, Body())
                outcomes = await client.send(hop, transaction, deadline)
                assert outcomes[0].code == 250, outcomes

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        await client.close()

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(main())
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with served(sink) as port, served(delay, port) as slow_port:
        for title, to, count in (("loopback", port, messages), ("20 ms of round trip", slow_port, messages // 3)):
            for kept in (True, False):
                best: dict[bool, tuple[float, float]] = {}
                for _ in range(3):
                    for chunking in (False, True):
                        took = run(to, count, chunking=chunking, kept=kept)
                        best[chunking] = min(best.get(chunking, took), took)
                how = "kept" if kept else "fresh"
                rates = {name: count / best[flag][0] for name, flag in (("DATA", False), ("BDAT", True))}
                cpus = {flag: 1000 * took[1] / count for flag, took in best.items()}
                print(
                    f"{title}, {how} connections, {len(BODY)} octets: DATA {rates['DATA']:.0f}/s {cpus[False]:.3f} ms, "
                    f"BDAT {rates['BDAT']:.0f}/s {cpus[True]:.3f} ms CPU, x {rates['BDAT'] / rates['DATA']:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
