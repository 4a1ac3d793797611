"""
How much memory a way through the code takes, measured by the kernel in a process of its own.

`python -m tests.support.memory WAY OCTETS LINE_END` prints the peak above what the process had before the
message came, in multiples of the message. The ways: `ours` (check and edit), `floor` (CPython's email parser
doing as much), `signed` and `signed-floor` (the same, and signed by RSA and Ed25519: here, and by dkimpy), `upload` (an upload through validate into the spool, on ports in memory).
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
from paravion.domain.status import Rejected

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


def upload(content: bytes) -> object:
    """Read an upload, and submit it: the spool holds the body in the end."""
    from tests.support.world import World

    world = World(max_message_octets=str(40 << 20))
    world.for_validate.uploads.items["u"] = content  # type: ignore[attr-defined]  # MemoryUploads
    try:
        return world, world.submit("you@example.com", content=world.for_validate.uploads.read("u", 1 << 30))
    except Rejected as exc:
        raise AssertionError(exc.detail) from exc


WAYS: dict[str, Callable[[bytes], object]] = {
    "ours": ours,
    "floor": floor,
    "signed": signed,
    "signed-floor": signed_floor,
    "upload": upload,
}


def peak_ratio(way: str, octets: int, line_end: str = "CRLF") -> float:
    """Measure one way in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/paravion/python"), str(ROOT)))}
    command = [sys.executable, "-m", "tests.support.memory", way, str(octets), line_end]
    return float(subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def _peak_octets() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss begins with what the parent had when it started us.
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure here."""
    way, octets, line_end = WAYS[sys.argv[1]], int(sys.argv[2]), sys.argv[3]
    way(HEADER + b"warm up\r\n")
    line = b"x" * 70 + (b"\r\n" if line_end == "CRLF" else b"\n")
    before = _peak_octets()
    with tempfile.TemporaryFile() as file:
        # Written in pieces and read at once: the message is in memory a single time.
        file.write(HEADER if line_end == "CRLF" else HEADER.replace(b"\r\n", b"\n"))
        for _ in range((octets - len(HEADER)) // len(line)):
            file.write(line)
        file.seek(0)
        content = file.read()
    kept = way(content)
    print((_peak_octets() - before) / octets)
    del kept


if __name__ == "__main__":
    main()
