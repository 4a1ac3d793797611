"""
Local mode's whole road on each engine, from submission to the inbox: messages a second with 1 and 16 submitters.

`paravion up` runs as a process of its own; the submitters use the native API over kept connections, a mail
of 10 KB to one recipient each. Beside it, in the same run, the floor: the same requests to GET /v1/health,
which pass the door and touch no store.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from paravion.domain.ses_smtp_password import smtp_password

ROOT = Path(__file__).resolve().parents[2]
MAILS = 200
PATIENCE_S = 120
ACCESS_KEY, SECRET_KEY = "AKIAPARAVIONLOCAL000", "paravion-local-secret-key-not-for-production"
CONTENT = b"From: me@example.org\r\nTo: you@example.com\r\nSubject: bench\r\n\r\n" + (b"x" * 76 + b"\r\n") * 128


def main() -> int:
    """Print a table for each engine."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        for engine in (["embedded", "--data", folder], ["moto"]):
            _measure(engine)
    return 0


def _measure(engine: list[str]) -> None:
    command = [sys.executable, "-m", "paravion.cli.main", "up", "--engine", *engine]
    command += ["--api", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0", "--set", "log_level=ERROR"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        try:
            host = _ready(process)
            print(f"local mode on {engine[0]}, {MAILS} mails of 10 KB, messages a second")
            print(f"  {'submitters':>10} {'accepted':>9} {'delivered':>9} {'floor':>9}  accepted/floor")
            for submitters in (1, 16):
                # As many at once as will be measured: a function's environments start now.
                _run(host, submitters, 4 * submitters)
                _timed(host, submitters, 4 * submitters, _health)
                accepted, delivered = _run(host, submitters, MAILS)
                floor = MAILS / _timed(host, submitters, MAILS, _health)
                ratio = accepted / floor
                print(f"  {submitters:10} {accepted:9.0f} {delivered:9.0f} {floor:9.0f}  {ratio:.2f}", flush=True)
        finally:
            process.terminate()
            process.wait(30)


def _ready(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if line.startswith("paravion ready "):
            words = dict(word.partition("=")[::2] for word in line.split()[2:])
            return words["api"].removeprefix("http://")
    raise RuntimeError("paravion up ended before it was ready")


def _run(host: str, submitters: int, mails: int) -> tuple[float, float]:
    _delete(host, "/inbox")
    began = time.perf_counter()
    accepted = mails / _timed(host, submitters, mails, _submit)
    until = time.perf_counter() + PATIENCE_S
    while len(json.loads(_get(host, "/inbox"))) < mails:
        if time.perf_counter() > until:
            raise RuntimeError("mails are missing")
        time.sleep(0.05)
    return accepted, mails / (time.perf_counter() - began)


def _timed(host: str, submitters: int, mails: int, work: object) -> float:
    numbers = iter(range(mails))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def submitter() -> None:
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                work(connection, number)  # type: ignore[operator]
        except BaseException as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=submitter) for _ in range(submitters)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began


def _submit(connection: http.client.HTTPConnection, number: int) -> None:
    body = {
        "reverse_path": "me@example.org",
        "recipients": [f"r{number}@example.com"],
        "content": base64.b64encode(CONTENT).decode(),
    }
    token = base64.b64encode(f"{ACCESS_KEY}:{smtp_password(SECRET_KEY, 'us-east-1')}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    connection.request("POST", "/v1/messages", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.ACCEPTED:
        raise RuntimeError(f"{answer.status} {text!r}")


def _health(connection: http.client.HTTPConnection, _: int) -> None:
    connection.request("GET", "/v1/health")
    connection.getresponse().read()


def _get(host: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", path)
    octets = connection.getresponse().read()
    connection.close()
    return octets


def _delete(host: str, path: str) -> None:
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("DELETE", path)
    connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
