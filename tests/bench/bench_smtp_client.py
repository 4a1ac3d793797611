"""
Messages per second and CPU per message of the SMTP client, beside smtplib, to one sink in a process of its own.

    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_smtp_client.py [messages] [connections]

10 KB bodies, one recipient, plain loopback. The sink answers and forgets. Ratios hold better than times.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import smtplib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.next_hop import MxHost, NextHop
from paravion.ports import Transaction

HEADER = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: bench\r\n"
BODY = (b"x" * 76 + b"\r\n") * 131
EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"


class Body:
    """A body in memory."""

    octets = len(BODY)

    def at_hand(self):
        """Give it."""
        return BODY

    async def chunks(self):
        """Give it whole."""
        yield BODY


class NoResolver:
    """Never asked: the hop names its address."""


class Sink(asyncio.Protocol):
    """The least SMTP server that PIPELINING allows."""

    def connection_made(self, transport):
        """Greet."""
        self.transport, self.buffer, self.content = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data):
        """Answer whole commands, skip content."""
        self.buffer += data
        out = []
        while True:
            if self.content:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    self.buffer = self.buffer[-4:]
                    break
                self.buffer, self.content = self.buffer[end + 5 :], False
                out.append(b"250 2.0.0 ok\r\n")
                continue
            line, found, rest = self.buffer.partition(b"\r\n")
            if not found:
                break
            self.buffer = rest
            verb = line[:4].upper()
            if verb == b"DATA":
                self.content = True
                out.append(b"354 go\r\n")
            elif verb == b"EHLO":
                out.append(EHLO)
            elif verb == b"QUIT":
                self.transport.write(b"".join((*out, b"221 bye\r\n")))
                self.transport.close()
                return
            else:
                out.append(b"250 2.0.0 ok\r\n")
        if out:
            self.transport.write(b"".join(out))


def serve(port):
    """Run the sink in this process."""

    async def main():
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


def ours(port, messages, connections):
    """Use SmtpTransport."""
    hop = NextHop("sink", (MxHost("sink", port, ("127.0.0.1",), allow_private=True),))

    async def main():
        client = SmtpTransport("bench.test", NoResolver(), connections_per_host=connections)
        deadline = asyncio.get_running_loop().time() + 600
        left = iter(range(messages))

        async def work():
            for n in left:
                transaction = Transaction(f"q{n}", "a@example.com", {0: ("b@example.net", (), "")}, HEADER, Body())
                outcomes = await client.send(hop, transaction, deadline)
                assert outcomes[0].code == 250, outcomes  # a refusal would be fast, and no measurement

        await asyncio.gather(*(work() for _ in range(connections)))
        await client.close()

    asyncio.run(main())


def smtplib_reused(port, messages, connections):
    """Use smtplib in threads, each with one connection."""

    def work(share):
        with smtplib.SMTP("127.0.0.1", port, "bench.test") as client:
            for _ in range(share):
                client.sendmail("a@example.com", ["b@example.net"], HEADER + b"\r\n" + BODY)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, [messages // connections] * connections))


def smtplib_plain(port, messages, connections):
    """Use smtplib in threads, a connection for each message."""

    def work(_):
        with smtplib.SMTP("127.0.0.1", port, "bench.test") as client:
            client.sendmail("a@example.com", ["b@example.net"], HEADER + b"\r\n" + BODY)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(messages)))


def main():
    """Measure each in turn, three times, and print the best of each and the ratios."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    messages -= messages % connections
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sink = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
    sink.start()
    port = receiver.recv()
    best = {}
    for _ in range(3):
        for run in (ours, smtplib_reused, smtplib_plain):
            wall, cpu = time.perf_counter(), time.process_time()
            run(port, messages, connections)
            took = (time.perf_counter() - wall) / messages, (time.process_time() - cpu) / messages
            best[run] = min(best.get(run, took), took)
    sink.kill()
    base_wall, base_cpu = best[ours]
    print(f"{messages} messages of {len(BODY)} octets, {connections} connections")
    for run, (wall, cpu) in best.items():
        print(
            f"{run.__name__:16} {1 / wall:7.0f}/s {1000 * cpu:6.3f} ms CPU   "
            f"{wall / base_wall:5.2f} x the time, {cpu / base_cpu:5.2f} x the CPU of ours"
        )


if __name__ == "__main__":
    main()
