"""
A loaded queue drained by the delivery engine, beside Postfix draining its own, aiosmtplib and smtplib.

    make bench-deliver
    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_deliver.py [messages] [only=ours,floor,…]

10 KB, one recipient, at most 20 connections, the same smtp-sink; then again with 20 ms of round trip added by a
proxy. Ours is services/deliver.py with everything that it does: claim, envelope, routes, suppression, transcripts, one
transaction, record. Spool, queue and ledger are in memory and called without threads; hosts are not paced. Eight batches
of ten are under way at a time (four until pipelining behind the dot, which needs somebody who waits). Postfix is
Debian's as configured there, but for its relayhost and a concurrency of 20 from the start; its queue lies on this disk,
loaded before its queue manager starts, for which it must not hold its clients back (`in_flow_delay`). aiosmtplib and
smtplib send from 20 tasks or threads with a connection each, and have no queue at all. `floor` is what asyncio's streams
come to with nothing around them: no spool, queue, record, verdict, time-out or transcript; replies are counted, not read.

CPU is that of the sender: its process, or all of Postfix's. Rows take turns, three times; shown are the best rate and
the least CPU of each, then all three: machines here are shared. Where Debian's Postfix could not be unpacked
(`.ci/foreign-servers`) our own sink stands in.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import smtplib
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import aiosmtplib

from paravion.adapters import memory
from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.envelope import Envelope, Recipient, encode_qf
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.queue import Job, JobKey, Received, State
from paravion.services.blocking import directly
from paravion.services.deliver import deliver
from tests.bench.bench_smtp_client import BODY, HEADER, serve
from tests.support import postfix
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = 20
BATCH = 10
BATCHES = 8
ROUNDS = 3
DELAY_S = 0.01
SENDER, RECIPIENT = "sender@example.org", "recipient@example.net"

Took = tuple[float, float]
"""Wall and CPU seconds."""


class NoEvents:
    """The log's cost is the platform's, not the engine's; Postfix's goes to a file."""

    def emit(self, event: str, fields: object) -> None:
        """Forget it."""


def ours(port: int, messages: int) -> Took:
    """Drain a queue in memory."""
    hop = NextHop("sink", (MxHost("sink", port, ("127.0.0.1",), allow_private=True),))
    world = World()
    jobs: deque[Job] = deque()
    for n in range(messages):
        queue_id = f"{n:026d}"
        envelope = Envelope(queue_id, SENDER, (Recipient(RECIPIENT),), world.now, len(BODY))
        world.spool.put_body(queue_id, BODY)
        world.spool.put_envelope(queue_id, encode_qf(envelope, HEADER))
        jobs.append(Job(JobKey(queue_id), world.now))

    async def main() -> Took:
        transport = SmtpTransport("bench.test", memory.MemoryResolver({}), connections_per_host=CONNECTIONS)
        deps = _engine(world, transport, hop)
        gc.freeze()  # the loaded queue lies on somebody's disk, not in the engine's memory
        start = time.perf_counter(), time.process_time()

        async def function() -> None:
            while jobs:
                batch = [jobs.popleft() for _ in range(min(BATCH, len(jobs)))]
                items = [Received(f"i{n}", f"r{n}", job) for n, job in enumerate(batch)]
                assert await deliver(items, deps, 300.0) == []

        await asyncio.gather(*(function() for _ in range(BATCHES)))
        took = time.perf_counter() - start[0], time.process_time() - start[1]
        await transport.close()
        return took

    took = asyncio.run(main())
    assert {record.state for record in world.ledger.records.values()} == {State.DONE}
    return took


def _engine(world: World, transport: SmtpTransport, hop: NextHop) -> Any:
    names = ("spool", "queues", "ledger", "suppression", "transcripts")
    ports = {name: getattr(world, name) for name in names}  # without the saboteur of the tests around them
    return replace(
        world.for_deliver, **ports, transport=transport, event_log=NoEvents(), smarthost=hop, in_thread=directly
    )


def floor(port: int, messages: int) -> Took:
    """Use bare streams, with the next message's commands behind each final dot."""
    commands = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()

    async def work(left: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b"EHLO bench.test\r\n")
        while (await reader.readline())[3:4] == b"-":
            pass
        if next(left, None) is not None:
            writer.write(commands)
            behind = commands
            while behind:
                behind = commands if next(left, None) is not None else b""
                for _ in range(3):
                    await reader.readline()
                content = HEADER + b"\r\n" + BODY.replace(b"\r\n.", b"\r\n..") + b".\r\n"
                writer.write(content + behind)
                assert (await reader.readline()).startswith(b"250")
        writer.close()

    async def main() -> Took:
        start = time.perf_counter(), time.process_time()
        left = iter(range(messages))
        await asyncio.gather(*(work(left) for _ in range(CONNECTIONS)))
        return time.perf_counter() - start[0], time.process_time() - start[1]

    return asyncio.run(main())


def aiosmtplib_reused(port: int, messages: int) -> Took:
    """Use aiosmtplib, a connection for each of 20 tasks."""

    async def work(left: Iterator[int]) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for _ in left:
                await client.sendmail(SENDER, [RECIPIENT], HEADER + b"\r\n" + BODY)

    async def main() -> Took:
        start = time.perf_counter(), time.process_time()
        left = iter(range(messages))
        await asyncio.gather(*(work(left) for _ in range(CONNECTIONS)))
        return time.perf_counter() - start[0], time.process_time() - start[1]

    return asyncio.run(main())


def smtplib_reused(port: int, messages: int) -> Took:
    """Use smtplib, a connection for each of 20 threads."""

    def work(share: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, "bench.test") as client:
            for _ in range(share):
                client.sendmail(SENDER, [RECIPIENT], HEADER + b"\r\n" + BODY)

    start = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, [messages // CONNECTIONS] * CONNECTIONS))
    return time.perf_counter() - start[0], time.process_time() - start[1]


def postfix_drain(port: int, messages: int, taken: postfix.Sink) -> Took:
    """Load Postfix's queue, then start its queue manager."""
    concurrency = str(CONNECTIONS)
    settings = {
        "relayhost": f"[127.0.0.1]:{port}",
        "default_destination_concurrency_limit": concurrency,
        "initial_destination_concurrency": concurrency,
        # Without a queue manager each session would pause for a second before each message.
        "in_flow_delay": "0",
    }
    box = postfix.Postfix(settings)
    box.without_queue_manager()
    with box:
        print(f"... Postfix takes {messages} messages into its queue", file=sys.stderr, flush=True)
        postfix.source(box.port, messages, len(BODY))
        before = taken.count
        cpu = box.cpu_s()
        box.with_queue_manager()
        while not box.is_sending():
            time.sleep(0.002)
        start = time.perf_counter()
        taken.wait_for(before + messages, 300)
        return time.perf_counter() - start, box.cpu_s() - cpu


def in_own_process(run: Callable[[int, int], Took], port: int, messages: int) -> Took:
    """Run one sender where nothing of the others' is loaded."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (port, messages))


class Delaying(asyncio.Protocol):
    """One side of a connection through the proxy: everything goes on DELAY_S later."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.other: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other side."""
        self.transport = transport
        if self.port:
            self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        there, protocol = await loop.create_connection(Delaying, "127.0.0.1", self.port)
        protocol.other.set_result(self.transport)  # type: ignore[arg-type]
        self.other.set_result(there)

    def data_received(self, data: bytes) -> None:
        """Pass it on, late."""
        asyncio.get_running_loop().call_later(DELAY_S, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.other.done():
            self.other.result().write(data)
        else:
            self.other.add_done_callback(lambda other: other.result().write(data))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Close the other side, late."""
        if self.other.done():
            asyncio.get_running_loop().call_later(DELAY_S, self.other.result().close)


def delay(port: int, answer: Any) -> None:
    """Run the proxy in this process."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Delaying(port), "127.0.0.1", 0)
        answer.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def served(target: Callable[..., None], *args: object) -> Iterator[int]:
    """Run a server in a process of its own; gives its port."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=target, args=(*args, sender), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def compare(title: str, runs: dict[str, Callable[[], Took]], messages: int) -> None:
    """Let each measure in turn, three times, and print what was best beside ours."""
    took: dict[str, list[Took]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            took[name].append(run())
    best = {name: (min(wall for wall, _ in of), min(cpu for _, cpu in of)) for name, of in took.items()}
    print(f"\n{title}: {messages} messages of {len(BODY)} octets, at most {CONNECTIONS} connections")
    for name, of in took.items():
        wall, cpu = best[name]
        line = f"{name:18} {messages / wall:7.0f}/s {1000 * cpu / messages:6.3f} ms CPU"
        if "ours" in best and name != "ours":
            line += f"   ours / it: {wall / best['ours'][0]:5.2f} in rate, {best['ours'][1] / cpu:5.2f} in CPU"
        rates = " ".join(f"{messages / wall:.0f}" for wall, _ in of)
        print(f"{line}   ({rates}; {' '.join(f'{1000 * cpu / messages:.3f}' for _, cpu in of)})", flush=True)


def main() -> None:
    """Print both tables."""
    logging.disable(logging.CRITICAL)
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    only = [name for word in sys.argv[1:] if word.startswith("only=") for name in word[5:].split(",")]
    messages = numbers[0] if numbers else 3000
    messages -= messages % CONNECTIONS  # each thread of smtplib has its share
    with ExitStack() as stack:
        taken = stack.enter_context(postfix.sink()) if postfix.is_sink_there() else None
        if taken is None:
            print("no smtp-sink here: our own sink takes the mail")
        port = taken.port if taken else stack.enter_context(served(serve))
        slow_port = stack.enter_context(served(delay, port))
        for title, to, count in (("loopback", port, messages), ("20 ms of round trip", slow_port, messages // 60 * 20)):
            runs: dict[str, Callable[[], Took]] = {
                run.__name__: partial(in_own_process, run, to, count)
                for run in (floor, ours, aiosmtplib_reused, smtplib_reused)
            }
            if taken is not None and postfix.is_there():
                runs["postfix"] = partial(postfix_drain, to, count, taken)
            compare(title, {name: run for name, run in runs.items() if not only or name in only}, count)


if __name__ == "__main__":
    main()
