"""
How much memory a way through the code takes, measured by the kernel in a process of its own.

`python -m tests.support.memory WAY OCTETS LINE_END` prints the peak above what the process had before the
message came, in multiples of the message. The ways: `ours` (check and edit), `floor` (CPython's email parser
doing as much), `signed` and `signed-floor` (the same, and signed by RSA and Ed25519: here, and by dkimpy). What comes by
upload is never in memory as a whole: tests/support/function_memory.py.

`python -m tests.support.memory deliver-… OCTETS` prints the peak in octets of `deliver` sending one message to four
hosts at once (DELIVERIES), its body streaming in by adapters/s3_spool.py.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import TYPE_CHECKING

from paravion.domain import dkim
from paravion.domain.headers import split_header
from paravion.domain.message import complete, header_recipients, read_message

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
HEADER = b"From: me@example.org\r\nTo: you@example.com\r\nBcc: hidden@example.com\r\nSubject: large\r\n\r\n"


def ours(content: bytes) -> tuple[bytes, bytes]:
    """Check and edit; content and result are both kept, as the caller keeps them."""
    message = read_message(content, max_octets=1 << 30)
    header_recipients(message)
    return complete(message, queue_id="q" * 26, now=0.0, hostname="h.example", trace=b"", restamp=False), message.body


def floor(content: bytes) -> bytes:
    """Do as much with the email package."""
    message = BytesParser(policy=SMTP).parsebytes(content)
    del message["Bcc"]
    return message.as_bytes()


def signed(content: bytes) -> object:
    """Check, edit and sign."""
    from tests.support.signing import KEYS

    header, body = ours(content)
    return dkim.sign(split_header(header), dkim.body_hash(body), KEYS, now=0.0) + header, body


def signed_floor(content: bytes) -> object:
    """Do as much with the email package and dkimpy."""
    from tests.support.signing import dkimpy_signatures

    octets = floor(content)
    return dkimpy_signatures(octets) + octets


WAYS: dict[str, Callable[[bytes], object]] = {
    "ours": ours,
    "floor": floor,
    "signed": signed,
    "signed-floor": signed_floor,
}


def peak_ratio(way: str, octets: int, line_end: str = "CRLF") -> float:
    """Measure one way in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/paravion/python"), str(ROOT)))}
    command = [sys.executable, "-m", "tests.support.memory", way, str(octets), line_end]
    return float(subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def peak_octets() -> int:
    """Give the most that this process has had in memory."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss begins with what the parent had when it started us.
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class EndlessObjects:
    """An S3 client whose objects have any length and are nowhere."""

    def __init__(self, octets: int) -> None:
        self._octets = octets

    def get_object(self, **_: object) -> dict[str, object]:
        """See botocore; the stream has what `S3Body` uses."""
        return {"Body": _Endless(self._octets)}


class _Endless:
    _LINE = b"." + b"x" * 69 + b"\r\n"

    def __init__(self, octets: int) -> None:
        self._left = octets

    def read(self, most: int = 1 << 30) -> bytes:
        size = min(most, self._left)
        self._left -= size
        return (self._LINE * (size // len(self._LINE) + 1))[:size]

    def close(self) -> None:
        self._left = 0


DELIVERIES: dict[str, tuple[tuple[str, ...], bool]] = {
    # what the hosts offer, and whether TLS
    "deliver-clear": (("PIPELINING", "SIZE", "8BITMIME"), False),
    "deliver-tls": (("PIPELINING", "SIZE", "8BITMIME"), True),
    "deliver-bdat": (("PIPELINING", "SIZE", "8BITMIME", "CHUNKING"), False),
    "deliver-bdat-tls": (("PIPELINING", "SIZE", "8BITMIME", "CHUNKING"), True),
}


def delivery_peak(way: str, octets: int) -> int:
    """Measure a delivery in a process of its own: octets at its peak beyond what the process had before."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/paravion/python"), str(ROOT)))}
    command = [sys.executable, "-m", "tests.support.memory", way, str(octets)]
    return int(subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def _deliver(way: str, octets: int) -> int:
    """Send to four hosts, with a transcript, first a small message that loads everything; give the large one's peak."""
    # The hosts, which hold what they are given, are another process.
    command = [sys.executable, "-m", "tests.support.memory", "hosts", way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hosts:
        assert hosts.stdout is not None
        assert hosts.stdin is not None
        port = int(hosts.stdout.readline())
        _send(port, 1 << 21)
        before = peak_octets()
        _send(port, octets)
        hosts.stdin.close()
        return peak_octets() - before


def _be_hosts(way: str) -> None:
    """Take mail until standard input ends."""
    from tests.support.smtp_server import SmtpServer, certificate, running

    extensions, is_tls = {**DELIVERIES, "without 8BITMIME": (("PIPELINING", "SIZE"), False)}[way]
    with tempfile.TemporaryDirectory() as folder:
        context = certificate(Path(folder), "mx.test") if is_tls else None
        with running(SmtpServer(extensions=extensions, tls=context, keep_octets=False)) as server:
            print(server.port, flush=True)
            sys.stdin.read()


def _send(port: int, octets: int) -> None:
    import asyncio
    from dataclasses import replace

    from paravion.adapters.s3_spool import S3Body
    from paravion.adapters.smtp_client import SmtpTransport
    from paravion.domain.envelope import decode_qf, encode_qf
    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.ports import QueueName
    from paravion.services.deliver import deliver
    from tests.support.world import World

    hosts = [
        NextHop(f"d{n}.test", (MxHost(f"mx{n}.test", port, ("127.0.0.1",), allow_private=True),)) for n in range(4)
    ]
    world = World(hops={hop.name: hop for hop in hosts})
    receipt = world.submit(*(f"x@{hop.name}" for hop in hosts))

    class Spool:
        def get_envelope(self, queue_id: str) -> bytes:
            envelope, header = decode_qf(world.spool.get_envelope(queue_id))
            return encode_qf(replace(envelope, body_octets=octets), header)

        def open_body(self, queue_id: str, length: int) -> S3Body:
            return S3Body(EndlessObjects(length), "spool", queue_id, length)

    async def run() -> list[str]:
        transport = SmtpTransport("us.test", world.resolver)
        deps = replace(world.for_deliver, spool=Spool(), transport=transport)  # type: ignore[arg-type]  # half a Spool
        failed = await deliver(world.queues.receive(QueueName.DELIVERY, 10), deps, 120.0)
        await transport.close()
        return failed

    if asyncio.run(run()) or set(world.states(receipt.queue_id).values()) != {"delivered"}:
        raise AssertionError(world.ledger.load_message(receipt.queue_id))
    if not world.transcripts.books:
        raise AssertionError("no transcript was kept")


def main() -> None:
    """Measure here."""
    if sys.argv[1] == "hosts":
        _be_hosts(sys.argv[2])
        return
    if sys.argv[1] in DELIVERIES:
        print(_deliver(sys.argv[1], int(sys.argv[2])))
        return
    way, octets, line_end = WAYS[sys.argv[1]], int(sys.argv[2]), sys.argv[3]
    way(HEADER + b"warm up\r\n")
    line = b"x" * 70 + (b"\r\n" if line_end == "CRLF" else b"\n")
    before = peak_octets()
    with tempfile.TemporaryFile() as file:
        # Written in pieces and read at once: the message is in memory a single time.
        file.write(HEADER if line_end == "CRLF" else HEADER.replace(b"\r\n", b"\n"))
        for _ in range((octets - len(HEADER)) // len(line)):
            file.write(line)
        file.seek(0)
        content = file.read()
    kept = way(content)
    print((peak_octets() - before) / octets)
    del kept


if __name__ == "__main__":
    main()
