"""
From start to exit: our `sendmail` beside Postfix's and msmtp, one message at a time, rows taking turns.

    make bench-sendmail
    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_sendmail.py [rounds]

Shown are the median and the least wall time and the CPU of the command itself (not of whom it talks to), and the
ratio of both medians to Postfix's.

- `paravion, to the API`: as `paravion install` makes it; exits when `paravion up` on loopback has the message on its
  disk with fsync.
- `paravion, over TLS`: the same API behind TLS, as behind API Gateway, whose authority is found by its hash as in
  Debian's /etc/ssl/certs; `one bundle`: in one file among the system's others, which is read as a whole.
- `paravion, as pip makes it`: the same with this Python's site packages and pip's kind of script.
- `paravion, to its queue`: `-odq`: on the disk of this machine, with fsync, without the API.
- `Postfix`: its sendmail and postdrop, into the maildrop directory with fsync; nobody picks it up.
- `msmtp, to SMTP`: to the SMTP door of the same `paravion up`, without TLS and AUTH; exits when that has it on its disk.
- `msmtp, over TLS`: to the door with TLS, its authority in the same bundle.
- `Python itself`: an empty program, without site packages: below this ours can't go.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from infra.local.options import DEFAULTS
from tests.support import postfix
from tests.support.foreign import ENVIRON, ROOT, stop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "layers/paravion/python"
ROUNDS = 40
MESSAGE = b"From: me@example.org\nTo: you@example.net\nSubject: cron\n\n" + b"One line of what cron has to say.\n" * 40
PIP = """\
#!{python}
import sys
sys.path.insert(0, {path!r})
from paravion.cli.sendmail import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""


def call(words: Sequence[str | Path], environ: Mapping[str, str], file: Path) -> tuple[float, float]:
    """Run a command on the message; gives wall and CPU seconds."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        words[0], [str(word) for word in words], environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, str(file), os.O_RDONLY, 0)],
    )  # fmt: skip
    _, status, usage = os.wait4(pid, 0)
    took = time.perf_counter() - began
    assert status == 0, (words, status)
    return took, usage.ru_utime + usage.ru_stime


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str, int, int]:
    """Run `paravion up`, which sends nothing today; gives its API and its SMTP ports, without TLS and with."""
    doors = [word for door in ("api", "smtp", "smtps") for word in (f"--{door}", "127.0.0.1:0")]
    words = ["up", *doors, "--data", f"{folder}/data", "--relay", "127.0.0.1:9", "--log", f"{folder}/log"]
    environ = {**os.environ, "PYTHONPATH": f"{PACKAGE}{os.pathsep}{CHECKOUT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "paravion.cli.main", *words, "--set", "trusted_networks=127.0.0.0/8"],
        env=environ, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    ready = process.stdout.readline().decode()
    api, port = re.search(r"api=(\S+)", ready), re.search(r" smtp=\S+:(\d+)", ready)
    assert api, ready
    assert port, ready
    tls_port = re.search(r" smtps=\S+:(\d+)", ready)
    assert tls_port, ready
    return process, api[1], int(port[1]), int(tls_port[1])


def start_tls(folder: Path, api: str) -> tuple[subprocess.Popen[bytes], str]:
    """Put TLS before the API; gives its URL. Authorities are then in FOLDER/bundle.pem and, by hash, in FOLDER/hashed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.tls_front", str(folder), api.removeprefix("http://")],
        env={**os.environ, "PYTHONPATH": f"{PACKAGE}{os.pathsep}{CHECKOUT}"}, cwd=CHECKOUT, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    port = int(process.stdout.readline())
    authority = (folder / "authority.pem").read_text()
    words = ["openssl", "x509", "-hash", "-noout", "-in", folder / "authority.pem"]
    (folder / "hashed").mkdir()
    digest = subprocess.run(words, capture_output=True, check=True).stdout.decode().strip()
    (folder / "hashed" / f"{digest}.0").write_text(authority)
    others = Path("/etc/ssl/certs/ca-certificates.crt")
    (folder / "bundle.pem").write_text((others.read_text() if others.exists() else "") + authority)
    return process, f"https://localhost:{port}"


def rows(
    folder: Path, api: str, url: str, port: int, tls_port: int
) -> dict[str, tuple[list[str | Path], Mapping[str, str]]]:
    """Give what is measured here: words and environment."""
    ours = {
        "PARAVION_ENDPOINT": api, "PARAVION_ACCESS_KEY": DEFAULTS["access_key"], "HOME": str(folder),
        "PARAVION_SECRET_KEY": DEFAULTS["secret_key"], "PARAVION_HOSTNAME": "host.example", "PATH": os.environ["PATH"],
    }  # fmt: skip
    words = [sys.executable, "-m", "paravion.cli.main", "install", str(folder)]
    subprocess.run(words, env={**ours, "PYTHONPATH": str(PACKAGE)}, check=True, stdout=subprocess.DEVNULL)
    pip = folder / "pip-sendmail"
    pip.write_text(PIP.format(python=sys.executable, path=str(PACKAGE)))
    pip.chmod(0o755)
    call_words: list[str | Path] = ["-i", "-f", "me@example.org", "you@example.net"]
    found: dict[str, tuple[list[str | Path], Mapping[str, str]]] = {
        "paravion, to the API": ([folder / "sendmail", *call_words], ours),
        "paravion, over TLS": (
            [folder / "sendmail", *call_words],
            {**ours, "PARAVION_ENDPOINT": url, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": f"{folder}/hashed"},
        ),
        "paravion, TLS, one bundle": (
            [folder / "sendmail", *call_words],
            {**ours, "PARAVION_ENDPOINT": url, "SSL_CERT_FILE": f"{folder}/bundle.pem"},
        ),
        "paravion, as pip makes it": ([pip, *call_words], ours),
        "paravion, to its queue": ([folder / "sendmail", "-odq", *call_words], {**ours, "HOME": f"{folder}/other"}),
        "Python itself": ([sys.executable, "-IS", "-c", ""], ours),
    }
    msmtp = shutil.which("msmtp", path=f"{ROOT}/usr/bin{os.pathsep}{os.environ['PATH']}")
    if msmtp:
        words = ["--host=127.0.0.1", f"--port={port}", "--from=me@example.org", "--file=/dev/null", "you@example.net"]
        found["msmtp, to SMTP"] = ([msmtp, *words], ENVIRON)
        with (folder / "bundle.pem").open("a") as bundle:
            bundle.write(ssl.get_server_certificate(("127.0.0.1", tls_port)))
        words[1:2] = [f"--port={tls_port}", "--tls", "--tls-starttls=off", f"--tls-trust-file={folder}/bundle.pem"]
        found["msmtp, over TLS"] = ([msmtp, *words], ENVIRON)
    return found


def main() -> int:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    exports = {"export_environment": "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH"}
    box = postfix.Postfix(exports) if postfix.is_there() else None
    with tempfile.TemporaryDirectory(prefix="sendmail-") as name:
        folder = Path(name)
        (folder / "other").mkdir()
        file = folder / "message"
        file.write_bytes(MESSAGE)
        process, api, port, tls_port = start(folder)
        front, url = start_tls(folder, api)
        try:
            measured = rows(folder, api, url, port, tls_port)
            if box is not None:
                (box.folder / "queue/maildrop").mkdir()
                os.mkfifo(box.folder / "queue/public/pickup")  # where it would wake up who is not there
                words = [ROOT / "usr/sbin/sendmail", "-C", box.folder, "-i", "-f", "me@example.org", "you@example.net"]
                measured["Postfix"] = (words, {**ENVIRON, "MAIL_CONFIG": str(box.folder)})
            figures: dict[str, list[tuple[float, float]]] = {row: [] for row in measured}
            for number in range(rounds + 3):
                for row, (words, environ) in measured.items():
                    took = call(words, environ, file)
                    if number >= 3:  # the first ones find everything cold
                        figures[row].append(took)
        finally:
            stop(front)
            stop(process)
            if box is not None:
                box._temporary.cleanup()
    base = figures.get("Postfix")
    print(f"{rounds} calls each, in turn; {len(MESSAGE)} octets")
    for row, took in figures.items():
        walls, cpus = zip(*took, strict=True)
        line = (
            f"{row:26} {median(walls) * 1000:6.1f} ms, least {min(walls) * 1000:5.1f}, CPU {median(cpus) * 1000:5.1f}"
        )
        if base:
            base_walls, base_cpus = zip(*base, strict=True)
            line += f"   of Postfix's: x{median(walls) / median(base_walls):.2f} wall, x{median(cpus) / median(base_cpus):.2f} CPU"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
