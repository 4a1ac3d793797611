"""infra/front_door as a process: large messages at once cost parts of them, silent TLS connections next to nothing."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.test_front_door import unverified
from tests.unit.cli.fake_api import QUEUE_ID

CHECKOUT = Path(__file__).resolve().parents[2]
SESSIONS = 20
LINES = 40_000
LINE = b"." + b"x" * 997 + b"\r\n"
LIMIT = 256 << 20
SILENT = 200
SILENT_KB = 100
"""Each; asyncio alone would take 256."""


class Store:
    """An API that keeps of each upload where in a message's lines it begins, and its length."""

    def __init__(self):
        self.parts, self.lengths, self.url = {}, [], ""

    async def serve(self, reader, writer):
        """Answer the requests of one connection."""
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"Content-Length: (\d+)", head)[1])
                body = await reader.readexactly(length)
                answer = json.dumps(self.answer(head.split()[1], body)).encode()
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()

    def answer(self, path, body):
        """Look at what is put; the parts of a submission must follow each other."""
        if path == "/v1/uploads":
            upload_id = str(len(self.parts))
            self.parts[upload_id] = None
            return {"upload_id": upload_id, "url": f"{self.url}/put/{upload_id}", "method": "PUT", "headers": {}}
        if path.startswith("/put/"):
            begins = (LINE * 2).index(body[: len(LINE)])
            assert body == (LINE * (len(body) // len(LINE) + 2))[begins : begins + len(body)]
            self.parts[path.removeprefix("/put/")] = begins, len(body)
            return {}
        length = 0
        for upload_id in json.loads(body)["upload_ids"]:
            begins, octets = self.parts[upload_id]
            assert begins == length % len(LINE)
            length += octets
        self.lengths.append(length)
        return {"queue_id": QUEUE_ID, "recipients": 1}


async def deliver(port):
    """Send one message of 40 MB; gives the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n")
    for _ in range(LINES // 100):
        writer.write(LINE.replace(b".", b"..", 1) * 100)
        await writer.drain()
    writer.write(b".\r\nQUIT\r\n")
    said = (await reader.read()).decode().splitlines()
    writer.close()
    return said[-2]


async def silence(port, process):
    """Give what a TLS connection costs, in KB, that begins a handshake and says nothing more."""
    before, silent = memory(process, "VmRSS"), []
    for _ in range(SILENT):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        silent.append(writer)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified())
    silent.append(writer)
    after = memory(process, "VmRSS")
    for writer in silent:
        writer.close()
    return (after - before) // SILENT // 1024


def memory(process, what):
    """Give a line of /proc/PID/status, in octets."""
    return int(re.search(what + r":\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024


async def campaign(port):
    """All sessions at once."""
    return await asyncio.gather(*(deliver(port) for _ in range(SESSIONS)))


def test_twenty_sessions_of_40_mb_stay_below_256_mb():
    """What comes in leaves in parts; each message arrives octet for octet. Before that, many that say nothing."""

    async def run():
        store = Store()
        server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
        store.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        environ = {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, (CHECKOUT / "layers/paravion/python", CHECKOUT))),
            "PARAVION_ACCESS_KEY": "AKIADOOR", "PARAVION_SECRET_KEY": "secret",
        }  # fmt: skip
        words = ["--api", store.url, "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0",
                 "--max-connections-per-address", "1000", "--trusted-networks", "127.0.0.0/8"]  # fmt: skip
        process = subprocess.Popen(  # noqa: ASYNC220 (it is quick)
            [sys.executable, "-m", "infra.front_door", *words, "--max-message-octets", str(41_943_040)],
            env=environ, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            ready = await asyncio.to_thread(process.stdout.readline)
            port, tls_port = (int(re.search(name + rb"=\S+:(\d+)", ready)[1]) for name in (b"smtp", b"smtps"))
            silent = await silence(tls_port, process)
            replies = await campaign(port)
            peak = memory(process, "VmHWM")
        finally:
            process.terminate()
            assert process.wait(10) == 0
            process.stdout.close()
            server.close()
        return store.lengths, replies, peak, silent

    lengths, replies, peak, silent = asyncio.run(run())
    assert {f"250 2.0.0 Ok {QUEUE_ID}"} == set(replies)
    assert [len(LINE) * LINES] * SESSIONS == lengths
    assert peak < LIMIT, f"{peak >> 20} MB"
    assert silent < SILENT_KB, f"{silent} KB"
