"""
SES v2 SendEmail: requests a second and CPU of the server per request, beside two emulators, in turns.

    local mode        `paravion up` on the embedded engine: signature checked, message kept durably, then delivered to the
                      inbox, whose work is in its CPU
    handler alone     the same doors and services on ports in memory, one call after the other, without HTTP
    moto              its server, which neither checks the signature nor sends
    aws-ses-v2-local  the same, where npm is installed (PARAVION_SES_LOCAL names the folder of its node_modules)

The same signed requests for all, over four kept connections, signed by the same client, whose CPU is in the rate and
not in the server's CPU.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
ACCESS_KEY, SECRET_KEY = "AKIAPARAVIONLOCAL000", "paravion-local-secret-key-not-for-production"
ROUNDS, REQUESTS, CONNECTIONS, WARM = 3, 400, 4, 60
HANDLER = "handler alone"
PATH = "/v2/email/outbound-emails"
BODY = json.dumps(
    {
        "FromEmailAddress": "me@example.org",
        "Destination": {"ToAddresses": ["you@example.com"]},
        "Content": {"Simple": {"Subject": {"Data": "bench"}, "Body": {"Text": {"Data": "Hello, bench.\n" * 70}}}},
    }
).encode()
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Row:
    """What was measured of one server; `send` makes so many requests, `cpu` tells the server's seconds."""

    name: str
    send: Callable[[int], None]
    cpu: Callable[[], float]
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def main() -> int:
    """Print a table; the best of the rounds of each row counts."""
    (ROOT / "var").mkdir(exist_ok=True)
    with ExitStack() as stack:
        rows = [_paravion(stack), _handler(), _moto(stack)]
        rows += filter(None, [_ses_v2_local(stack)])
        for row in rows:
            row.send(WARM)
        for _ in range(ROUNDS):
            for row in rows:
                time.sleep(1)  # what the one before left behind is not this one's
                began, used = time.perf_counter(), row.cpu()
                row.send(REQUESTS)
                lasted, spent = time.perf_counter() - began, row.cpu() - used
                # Nobody waits for the handler alone: its rate is that of its CPU.
                row.rates.append(REQUESTS / (spent if row.name == HANDLER else lasted))
                row.costs.append(spent / REQUESTS * 1000)
    print(f"SendEmail of 1 KB to one recipient, {CONNECTIONS} connections, best of {ROUNDS} rounds of {REQUESTS}")
    print(f"  {'':18} {'requests/s':>10} {'CPU ms/request':>15}   rate and CPU beside moto")
    moto = next(row for row in rows if row.name == "moto")
    for row in rows:
        rate, cost = max(row.rates), min(row.costs)
        ratios = f"{rate / max(moto.rates):6.2f} x {cost / min(moto.costs):8.2f} x"
        print(f"  {row.name:18} {rate:10.0f} {cost:15.2f}   {ratios}", flush=True)
    return 0


def _paravion(stack: ExitStack) -> Row:
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "var"))
    command = [sys.executable, "-m", "paravion.cli.main", "up", "--engine", "embedded", "--data", folder]
    command += ["--api", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0", "--set", "log_level=ERROR"]
    process = _started(stack, command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout or ():
        if line.startswith("paravion ready "):
            words = dict(word.partition("=")[::2] for word in line.split()[2:])
            return _over_http("local mode", words["api"].removeprefix("http://"), process.pid)
    raise RuntimeError("paravion up ended before it was ready")


def _moto(stack: ExitStack) -> Row:
    port = _free_port()
    process = _started(stack, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
    host = f"127.0.0.1:{port}"
    _wait(host)
    connection = http.client.HTTPConnection(host)
    _request(connection, "POST", "/v2/email/identities", json.dumps({"EmailIdentity": "me@example.org"}).encode(), host)
    return _over_http("moto", host, process.pid)


def _ses_v2_local(stack: ExitStack) -> Row | None:
    folder = Path(os.environ.get("PARAVION_SES_LOCAL", "")) / "node_modules" / "aws-ses-v2-local"
    node = shutil.which("node")
    if node is None or not folder.is_dir():
        print("aws-ses-v2-local is not installed here: left out")
        return None
    port = _free_port()
    entry = json.loads((folder / "package.json").read_text())["bin"]
    script = folder / (entry if isinstance(entry, str) else next(iter(entry.values())))
    process = _started(stack, [node, str(script), "--host=127.0.0.1", f"--port={port}"])
    _wait(f"127.0.0.1:{port}")
    return _over_http("aws-ses-v2-local", f"127.0.0.1:{port}", process.pid)


def _handler() -> Row:
    from paravion.api.doors import serve
    from paravion.api.validate_doors import VALIDATE_DOORS
    from paravion.services.validate import submit
    from tests.support.world import World

    world = World(log_level="ERROR")
    world.now = time.time()
    stored = json.dumps({"secret_key": SECRET_KEY, "enabled": True})
    world.secrets.put(f"credentials/{ACCESS_KEY}", stored)
    deps = world.for_validate

    def send(count: int) -> None:
        world.now = time.time()
        for _ in range(count):
            headers = _signed("POST", PATH, BODY, "bench.example")
            event = {
                "rawPath": PATH, "rawQueryString": "", "headers": headers, "isBase64Encoded": True,
                "body": base64.b64encode(BODY).decode(),
                "requestContext": {"http": {"method": "POST", "sourceIp": "192.0.2.7"}, "requestId": "r"},
            }  # fmt: skip
            began = time.process_time()
            answer = serve(event, deps, VALIDATE_DOORS, lambda submission: submit(submission, deps)).to_event()
            spent[0] += time.process_time() - began
            if answer["statusCode"] != http.HTTPStatus.OK:
                raise RuntimeError(answer)

    spent = [0.0]
    return Row(HANDLER, send, lambda: spent[0])


def _started(stack: ExitStack, command: list[str], **given: object) -> subprocess.Popen[str]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, **given}
    process: subprocess.Popen[str] = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]

    def end() -> None:
        process.terminate()
        process.wait(30)

    stack.callback(end)
    return process


def _over_http(name: str, host: str, pid: int) -> Row:
    def send(count: int) -> None:
        todo = itertools.count()
        faults: list[BaseException] = []

        def work() -> None:
            connection = http.client.HTTPConnection(host)
            try:
                while next(todo) < count:
                    _request(connection, "POST", PATH, BODY, host)
            except BaseException as exc:
                faults.append(exc)
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]

    return Row(name, send, lambda: _cpu_s(pid))


def _request(connection: http.client.HTTPConnection, method: str, path: str, body: bytes, host: str) -> None:
    connection.request(method, path, body, _signed(method, path, body, host))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{answer.status} {text[:200]!r}")


def _signed(method: str, path: str, body: bytes, host: str) -> dict[str, str]:
    headers = {"content-type": "application/json", "host": host, "amz-sdk-invocation-id": str(uuid.uuid4())}
    request = AWSRequest(method, f"http://{host}{path}", headers=headers, data=body)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "ses", "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(host: str) -> None:
    name, _, port = host.partition(":")
    for _ in range(300):
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{host} does not open")


if __name__ == "__main__":
    sys.exit(main())
