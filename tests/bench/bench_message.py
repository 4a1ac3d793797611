"""
What check, edit and signing of a message cost, beside CPython's email parser and dkimpy doing the same.

Run: `PYTHONPATH=layers/paravion/python:. python tests/bench/bench_message.py`. Prints medians and ratios;
ratios hold on any machine, times do not. The floor parses with BytesParser(policy=SMTP), reads From, To,
Subject and Date, and writes the message out again by BytesGenerator's `as_bytes`; for its edit it deletes
Bcc and adds Received. With two DKIM signatures (RSA-2048 and Ed25519), the floor's are dkimpy's over what it
wrote. Then the memory of a message of 40 MB, in multiples of it and with the message itself: check and edit, the
same and signed, and the floors. At last an upload of 40 MB through validate, above what the function has anyhow.
"""

from __future__ import annotations

import statistics
import sys
import time
from email.parser import BytesParser
from email.policy import SMTP
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from paravion.domain import dkim
from paravion.domain.headers import split_header
from paravion.domain.message import complete, control_fields, header_recipients, read_message, received_field
from tests.support.function_memory import WAYS, peaks
from tests.support.memory import peak_ratio
from tests.support.signing import KEYS, dkimpy_signatures

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
QUEUE_ID = "a" * 26
HEADER = (
    b"Return-Path: <old@example.org>\r\n"
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\n"
    b'To: "Doe, Jane" <jane@example.net>, bob@example.com\r\n'
    b"Cc: team: a@example.com, b@example.com;\r\n"
    b"Bcc: hidden@example.org\r\n"
    b"Subject: A message of ordinary length that folds\r\n over two lines\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"X-SES-CONFIGURATION-SET: main\r\n"
    b"X-SES-MESSAGE-TAGS: campaign=spring, kind=news\r\n"
    b"List-Unsubscribe: <https://example.org/u/1>\r\n"
)
LINE = b"x" * 70 + "für".encode() + b"\r\n"


def completed(content: bytes) -> tuple[bytes, bytes]:
    """Check, read what steers, complete."""
    message = read_message(content, max_octets=1 << 26)
    control_fields(message)
    header_recipients(message)
    trace = received_field(
        client="[192.0.2.7]", hostname="mx.example.org", protocol="ESMTPSA", queue_id=QUEUE_ID, for_path=None, now=NOW
    )
    header = complete(message, queue_id=QUEUE_ID, now=NOW, hostname="mx.example.org", trace=trace, restamp=False)
    return header, message.body


def ours(content: bytes) -> bytes:
    """Check and edit; both parts joined, as the floor's output is one."""
    return b"\r\n".join(completed(content))


def signed(content: bytes) -> bytes:
    """Check, edit, hash the body once and sign twice."""
    header, body = completed(content)
    return b"\r\n".join((dkim.sign(split_header(header), dkim.body_hash(body), KEYS, now=NOW) + header, body))


def floor(content: bytes) -> bytes:
    """Do as much with the email package."""
    message = BytesParser(policy=SMTP).parsebytes(content)
    for name in ("From", "To", "Subject", "Date"):
        str(message[name])
    for name in ("Bcc", "Return-Path"):
        del message[name]
    message["Received"] = "from [192.0.2.7] by mx.example.org with ESMTPSA; Tue, 14 Nov 2023 22:13:20 +0000"
    return message.as_bytes()


def signed_floor(content: bytes) -> bytes:
    """Do as much with the email package and dkimpy."""
    octets = floor(content)
    return dkimpy_signatures(octets) + octets


def median_us(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Give the median of one call, from at least 5 and about `seconds` worth of them."""
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _compare(label: str, mine: Callable[[bytes], bytes], theirs: Callable[[bytes], bytes]) -> None:
    print(f"\n{label:>19} {'ours µs':>10} {'floor µs':>12} {'floor/ours':>11}")
    for size, octets, end in (
        ("1 KB", 1 << 10, b"\r\n"),
        ("10 KB", 10 << 10, b"\r\n"),
        ("10 KB, LF", 10 << 10, b"\n"),
        ("1 MB", 1 << 20, b"\r\n"),
        ("10 MB", 10 << 20, b"\r\n"),
        ("10 MB, LF", 10 << 20, b"\n"),
    ):
        content = (HEADER + b"\r\n" + LINE * (octets // len(LINE))).replace(b"\r\n", end)
        own_us = median_us(partial(mine, content))
        floor_us = median_us(partial(theirs, content))
        print(f"{size:>19} {own_us:>10.1f} {floor_us:>12.1f} {floor_us / own_us:>11.1f}")


def main() -> None:
    """Print the table."""
    for label, mine, theirs in (("check + edit", ours, floor), ("check + edit + sign", signed, signed_floor)):
        _compare(label, mine, theirs)
    print(f"\n{'40 MB':>19} {'memory, x message':>20}")
    for way in ("ours", "signed", "floor", "signed-floor"):
        for line_end in ("CRLF", "LF"):
            print(f"{way + ', ' + line_end:>19} {peak_ratio(way, 40_000_000, line_end):>20.2f}")
    print(f"\n{'function, 40 MB':>25} {'peak, MB above':>15} {'peak, MB':>9}")
    for way in WAYS:
        above, whole = peaks(way, 10_000_000 if way == "deliver-ten-converted" else 40_000_000)
        print(f"{way:>25} {above / 1e6:>15.1f} {whole / 1e6:>9.1f}")


if __name__ == "__main__":
    main()
