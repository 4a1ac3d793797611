"""
What the functions' memory is with large mail: each in a process of its own, measured by the kernel.

`python -m tests.support.function_memory WAY OCTETS` prints two numbers in octets: the peak above what the process had
before the large mail came, and the peak as a whole, which is what the function's MemorySize must hold. Before, a small
mail went the same way, and everything is loaded.

S3 is another process (`… s3 OCTETS`), spoken to by TLS and the real botocore: uploads and bodies of any length that it
makes up, and takes without keeping them. So are the hosts that mail is sent to (tests/support/memory.py). All other
ports are in memory: they hold no content.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.memory import ROOT, peak_octets

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL_OCTETS = 10_000
HEADER = b"From: me@example.org\r\nTo: you@example.com\r\nSubject: large\r\nContent-Type: text/plain\r\n\r\n"
LIST_HEADER = (
    b'From: me@example.org\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\n\r\nLeave: {{amazonSESUnsubscribeUrl}}\r\n--b\r\nContent-Type: image/png\r\n\r\n"
)
LEAVE = b"Leave: {{amazonSESUnsubscribeUrl}}\r\n"
TEXT = b"From: me@example.org\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
BEGINS = {
    "p": LIST_HEADER,
    "t": TEXT + b"8bit\r\n\r\n" + LEAVE,
    "q": TEXT + b"quoted-printable\r\n\r\n" + LEAVE,
    "b": TEXT + b"base64\r\n\r\n" + base64.b64encode(LEAVE + b" " * (-len(LEAVE) % 3)) + b"\r\n",
}
"""What content begins with that has a link in it; all others with HEADER."""

LINES = {
    "c": b"x" * 70 + b"\r\n", "l": b"x" * 71 + b"\n", "e": b"\xe4" * 70 + b"\r\n", "p": b"x" * 70 + b"\r\n",
    "t": b"x" * 70 + b"\r\n", "q": b"=C3=A4" * 10 + b"=\r\n", "b": b"eHh4" * 19 + b"\r\n",
}  # fmt: skip
"""CRLF, LF, 8-bit, an attachment behind a text with a link; and one text with a link, plain and in both encodings."""


ACCESS_KEY = "AKIATESTTESTTEST"


def upload_id(line: str, octets: str, *, top: bool, number: int = 0) -> str:
    """Name an object that S3 makes up: "l" or "s" of octets, with a header or in the middle of a body."""
    return f"{line}{octets}{'h' if top else 'm'}{'abcdefghij'[number]}".ljust(26, "a")


VALIDATES: dict[str, tuple[str, int, dict[str, Any]]] = {
    # line ends, parts, fields of the submission
    "validate-plain": ("c", 1, {}),
    "validate-signed-parts-lf": ("l", 5, {"key": "dkim"}),
    "validate-8-bit-alias": ("e", 1, {"recipient": "team@local.example", "key": "dkim"}),
    "validate-contact-list": ("p", 1, {"list": "news"}),
    "validate-contact-list-text": ("t", 1, {"list": "news"}),
    "validate-contact-list-quoted": ("q", 1, {"list": "news"}),
    "validate-contact-list-base64": ("b", 1, {"list": "news"}),
}
DELIVERS = {
    # line ends of the bodies, what the hosts are (tests/support/memory.py)
    "deliver-ten": ("c", "deliver-tls"),
    "deliver-ten-converted": ("e", "without 8BITMIME"),
    "bounce-full": ("c", "deliver-clear"),
}
WAYS = (*VALIDATES, *DELIVERS)


def peaks(way: str, octets: int) -> tuple[int, int]:
    """Measure one way in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/paravion/python"), str(ROOT)))}
    command = [sys.executable, "-m", "tests.support.function_memory", way, str(octets)]
    result = subprocess.run(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    above, whole = map(int, result.stdout.split())
    return above, whole


@contextmanager
def _child(*arguments: str) -> Iterator[str]:
    """Run another process of this module until the context ends; gives its first line."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def be_s3(octets: int) -> None:
    """Serve until standard input ends."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from tests.support.smtp_server import certificate

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2].partition("?")[0]
            size = octets if name[1] == "l" else SMALL_OCTETS
            self._answer(size)
            begin = BEGINS.get(name[0], HEADER if name[2] == "h" else b"")
            self.wfile.write(begin)
            line, left = LINES[name[0]], size - len(begin)
            piece = line * 5000
            while left:
                self.wfile.write(piece[:left])
                left -= min(left, len(piece))

        def do_PUT(self) -> None:
            if "Content-Length" in self.headers:
                self._skip(int(self.headers["Content-Length"]))
            else:
                # By TLS botocore sends a body with its checksum behind it (aws-chunked), in HTTP's own chunks.
                while size := int(self.rfile.readline(), 16):
                    self._skip(size + 2)
                self.rfile.readline()
            self._answer(0)

        def _skip(self, left: int) -> None:
            while left:
                left -= len(self.rfile.read(min(left, 1 << 16)))

        def _answer(self, size: int) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", '"x"')
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with tempfile.TemporaryDirectory() as folder:
        context = certificate(Path(folder), "localhost")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], folder, flush=True)
        sys.stdin.read()
        server.shutdown()


@contextmanager
def _s3(octets: int) -> Iterator[Any]:
    """Give a client as bootstrap.py makes it, of an S3 that is another process."""
    import botocore.session
    from botocore.config import Config

    from paravion.bootstrap import _CONFIG

    with _child("tests.support.function_memory", "s3", str(octets)) as told:
        port, folder = told.split()
        os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        assert ssl.create_default_context(cafile=f"{folder}/server.pem")
        yield botocore.session.get_session().create_client(
            "s3", "us-east-1", endpoint_url=f"https://localhost:{port}", verify=f"{folder}/server.pem",
            config=_CONFIG.merge(Config(s3={"addressing_style": "path"})),
        )  # fmt: skip


def _validate(way: str, octets: int) -> tuple[int, int]:
    from paravion.adapters.in_parallel import InParallel
    from paravion.adapters.s3_spool import S3Spool, S3Uploads
    from paravion.domain import contacts, unsubscribe
    from paravion.domain.dkim_keys import encode
    from paravion.domain.ids import upload_name
    from paravion.domain.ses_smtp_password import smtp_password
    from paravion.services.commit import CommitDeps
    from tests.support.dkim_keys import active_ring
    from tests.support.world import World

    line, parts, asked = VALIDATES[way]
    world = World(max_message_octets=str(40 << 20), local_domains="local.example", public_url="https://api.example.org")
    world.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps({"secret_key": "s3cret", "enabled": True}))
    world.secrets.put(unsubscribe.SECRET, unsubscribe.write_keys((unsubscribe.Key("k1", b"x" * 32),)))
    world.records.put(contacts.LISTS_KIND, "news", {"ContactListName": "news", "Topics": []})
    world.load("aliases", "team: a@a.example, b@b.example\nowner-team: boss@o.example\n")
    if asked.get("key"):
        world.secrets.put("dkim/example.org", encode(active_ring()))
    names = {
        upload_name(one, ACCESS_KEY): one
        for one in (upload_id(line, size, top=n == 0, number=n) for size in "sl" for n in range(parts))
    }

    class Uploads(S3Uploads):
        """Whose objects lie under ids that tell the other process what to make up."""

        def pieces(self, upload_id: str, limit: int) -> Any:
            return super().pieces(names[upload_id], limit)

    with _s3(octets // parts) as client, tempfile.TemporaryDirectory() as drafts:
        spool = S3Spool(client, "spool", Path(drafts))
        deps = replace(
            world.for_validate,
            to_commit=CommitDeps(spool, world.queues, InParallel(16)),
            uploads=Uploads(client, client, "spool", world.for_validate.clock),
        )
        _submit(line, "s", parts, asked, deps, smtp_password("s3cret", "us-east-1"))
        before = peak_octets()
        _submit(line, "l", parts, asked, deps, smtp_password("s3cret", "us-east-1"))
        assert not list(Path(drafts).iterdir())
        return peak_octets() - before, peak_octets()


def _submit(line: str, size: str, parts: int, asked: dict[str, Any], deps: Any, password: str) -> None:
    """Submit by the native door, with uploads."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("measured_validate", ROOT / "functions/validate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if asked.get("list"):
        # The native door has no member for it: it stands in the header of other doors' mail.
        module.submit = lambda submission, deps: _original(replace(submission, contact_list=asked["list"]), deps)
    body = {
        "reverse_path": "me@example.org",
        "recipients": [asked.get("recipient", "you@example.com")],
        "upload_ids": [upload_id(line, size, top=n == 0, number=n) for n in range(parts)],
    }
    event = {
        "rawPath": "/v1/messages",
        "rawQueryString": "",
        "headers": {
            "authorization": f"Basic {base64.b64encode(f'{ACCESS_KEY}:{password}'.encode()).decode()}",
            "content-type": "application/json", "host": "h", "idempotency-key": f"k{size}",
        },
        "requestContext": {"http": {"method": "POST", "path": "/v1/messages", "sourceIp": "192.0.2.1"}, "requestId": "r"},
        "body": json.dumps(body), "isBase64Encoded": False,
    }  # fmt: skip
    answer = module.make_handler(lambda: deps)(event, None)
    assert answer["statusCode"] == 202, answer


def _original(submission: Any, deps: Any) -> Any:
    from paravion.services.validate import submit

    return submit(submission, deps)


def _deliver(way: str, octets: int) -> tuple[int, int]:
    """Ten jobs in one batch, to ten hosts; or a bounce of what was refused, with RET=FULL."""
    from paravion.adapters.s3_spool import S3Spool
    from paravion.adapters.smtp_client import SmtpTransport
    from paravion.domain.envelope import decode_qf, encode_qf
    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.domain.outcome import Outcome, Result
    from paravion.ports import QueueName
    from paravion.services.bounce import bounce
    from paravion.services.commit import CommitDeps
    from paravion.services.deliver import deliver
    from tests.support.world import World

    line, hosts = DELIVERS[way]
    with _s3(octets) as client, _child("tests.support.memory", "hosts", hosts) as port:
        hops = {
            f"d{n}.test": NextHop(f"d{n}.test", (MxHost(f"mx{n}.test", int(port), ("127.0.0.1",), allow_private=True),))
            for n in range(10)
        }
        refused = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
        world = World(hops=hops, script={f"x@d{n}.test": [refused] for n in range(10)})
        real = S3Spool(client, "spool")

        class Spool:
            """Envelopes in memory, bodies as long as they are made out to be."""

            size = "s"

            def get_envelope(self, queue_id: str) -> bytes:
                if queue_id not in world.spool.envelopes:
                    return world.spool.get_envelope(queue_id)
                envelope, header = decode_qf(world.spool.get_envelope(queue_id))
                length = octets if self.size == "l" else SMALL_OCTETS
                body_type = "8BITMIME" if line == "e" else "7BIT"
                return encode_qf(replace(envelope, body_octets=length, body_type=body_type), header)

            def open_body(self, queue_id: str, length: int) -> Any:
                return real.open_body(upload_id(line, self.size, top=False), length)

            def get_body(self, queue_id: str) -> bytes:
                return real.get_body(upload_id(line, self.size, top=False))

            def put_body(self, queue_id: str, body: Any) -> None:
                world.spool.put_body(queue_id, body)

            def put_envelope(self, queue_id: str, qf: bytes) -> bytes | None:
                return world.spool.put_envelope(queue_id, qf)

        spool: Any = Spool()

        async def send() -> list[str]:
            transport = SmtpTransport("us.test", world.resolver)
            deps = replace(world.for_deliver, spool=spool)
            if way != "bounce-full":
                deps = replace(deps, transport=transport)
            failed = await deliver(world.queues.receive(QueueName.DELIVERY, 10), deps, 120.0)
            await transport.close()
            return failed

        def work(size: str) -> None:
            spool.size = size
            ids = [world.submit(f"x@{hop}", ret="FULL").queue_id for hop in hops]
            failed = asyncio.run(send())
            if way != "bounce-full":
                assert not failed
                assert {"delivered"} == {state for one in ids for state in world.states(one).values()}
                return
            deps = replace(
                world.for_bounce, to_commit=CommitDeps(spool, world.queues, world.for_bounce.to_commit.in_parallel)
            )
            items = world.queues.receive(QueueName.BOUNCE, 10)
            assert len(items) == len(ids)
            assert bounce(items, deps) == []
            world.queues.items[QueueName.DELIVERY].clear()
            world.queues.items[QueueName.BOUNCE].clear()

        work("s")
        before = peak_octets()
        work("l")
        return peak_octets() - before, peak_octets()


def main() -> None:
    """Measure here."""
    way, octets = sys.argv[1], int(sys.argv[2])
    if way == "s3":
        be_s3(octets)
        return
    print(*(_validate if way in VALIDATES else _deliver)(way, octets))


if __name__ == "__main__":
    main()
