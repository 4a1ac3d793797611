"""Mail servers that we did not write, as `.ci/foreign-servers` unpacked them; and what starting one takes."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER: Final = Path(os.environ.get("PARAVION_FOREIGN") or Path(__file__).resolve().parents[2] / ".foreign")
ROOT: Final = FOLDER / "root"

_LIBRARIES: Final = (
    ROOT / "usr/lib/postfix",
    *(ROOT / "usr/lib").glob("*-linux-gnu"),
    *(ROOT / "lib").glob("*-linux-gnu"),
)
ENVIRON: Final = {
    **os.environ,
    "LD_LIBRARY_PATH": os.pathsep.join(map(str, _LIBRARIES)),
    "PATH": os.pathsep.join((str(ROOT / "usr/sbin"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin")),
}


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_open(port: int, log: Callable[[], str] = str, seconds: float = 20.0) -> None:
    """Wait until somebody listens there. Raises RuntimeError with the log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens at port {port} after {seconds} s\n{log()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, politely first."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
