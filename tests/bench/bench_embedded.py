"""
Submitting to the embedded engine, from `submit` to its answer: mails a second and fsyncs a mail, 1 and 20 submitters.

Each row is a fresh process on a fresh directory of this disk. The floor is the same in each run: one file written
and fsynced for each mail, nothing else; `files` is the engine with every qf and df in a file of its own. fsyncs are
counted by strace in runs of their own, where it is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from paravion.adapters.embedded_data import EmbeddedData
from paravion.bootstrap_embedded import Root
from paravion.domain.envelope import Recipient
from paravion.domain.submission import Submission
from paravion.services.validate import submit

ROOT = Path(__file__).resolve().parents[2]
MAILS = 1000
TRACED = 200
ROUNDS = 3
SIZES = (1024, 10_240)
KINDS = ("floor", "files", "embedded")


def main() -> int:
    """Print the table, or do one row's work."""
    if len(sys.argv) > 1:
        kind, octets, submitters, mails, folder = sys.argv[1:]
        print(*_run(kind, int(octets), int(submitters), int(mails), Path(folder)))
        return 0
    print(f"submitting, {MAILS} mails of one recipient, fsync on; median of {ROUNDS}")
    print(f"  {'octets':>7} {'submitters':>10} {'':9} {'mails/s':>8} {'ms CPU':>7} {'fsyncs/mail':>11}  rate/floor")
    for octets in SIZES:
        for submitters in (1, 20):
            floor = 0.0
            for kind in KINDS:
                # One after the other in each round would be fairer still; the disk's moods are longer than a row.
                rows = [_row(kind, octets, submitters) for _ in range(ROUNDS)]
                rate, cpu = statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows)
                floor = floor or rate
                fsyncs = _fsyncs(kind, octets, submitters)
                print(
                    f"  {octets:7} {submitters:10} {kind:9} {rate:8.0f} {cpu:7.2f} {fsyncs:>11}  {rate / floor:.2f}",
                    flush=True,
                )
    return 0


def _row(kind: str, octets: int, submitters: int, mails: int = MAILS, *prefix: str) -> tuple[float, float]:
    # The disk that the checkout lies on, in its folder that git ignores: /tmp may be memory.
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        words = [kind, str(octets), str(submitters), str(mails), folder]
        command = [*prefix, sys.executable, __file__, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ)
    rate, cpu = map(float, done.stdout.split())
    return rate, cpu


def _fsyncs(kind: str, octets: int, submitters: int) -> str:
    if shutil.which("strace") is None:
        return "-"
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as counts:
        _row(kind, octets, submitters, TRACED, "strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", counts.name)
        calls = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?f", counts.read(), re.MULTILINE)
    return f"{sum(map(int, calls)) / TRACED:.2f}"


def _run(kind: str, octets: int, submitters: int, mails: int, folder: Path) -> tuple[float, float]:
    content = b"From: me@example.org\r\nTo: you@example.com\r\nSubject: bench\r\n\r\n"
    content += (b"x" * 76 + b"\r\n") * (octets // 78)
    if kind == "floor":

        def one(number: int) -> None:
            descriptor = os.open(folder / str(number), os.O_CREAT | os.O_WRONLY | os.O_EXCL)
            os.write(descriptor, content)
            os.fsync(descriptor)
            os.close(descriptor)

        return _timed(one, submitters, mails)
    inline = {"inline_octets": 0} if kind == "files" else {}
    with EmbeddedData(folder / "data", time.time, **inline) as data, Path(os.devnull).open("w") as log:
        deps = Root(data, {"PARAVION_IDENTITY_CHECK": "off"}, log).validate()

        def one(number: int) -> None:
            recipients = (Recipient(f"r{number}@example.com"),)
            submit(Submission("bench", "http", "me@example.org", recipients, content), deps)

        return _timed(one, submitters, mails)


def _timed(one: Any, submitters: int, mails: int) -> tuple[float, float]:
    """Give mails a second and milliseconds of CPU a mail."""
    numbers = iter(range(mails))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            one(number)

    threads = [threading.Thread(target=work) for _ in range(submitters)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return mails / (time.perf_counter() - began), (time.process_time() - cpu) / mails * 1000


if __name__ == "__main__":
    sys.exit(main())
