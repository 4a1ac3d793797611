"""
A Postfix of the test's own: its configuration, queue and log in one folder, its doors on loopback.

The programs are Debian's, unpacked by `.ci/foreign-servers` and installed nowhere: nothing of the machine's own
mail is touched. Needs root, for Postfix's master changes to other users. The package's `smtp-source` and
`smtp-sink` are here as well.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.support.foreign import ENVIRON, ROOT, free_port, wait_open

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DAEMONS: Final = ROOT / "usr/lib/postfix/sbin"

_QUEUES: Final = ("incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "flush", "saved")
_OWNER, _PRIVS, _GROUP = "mail", "daemon", "uucp"
"""Users that every Debian has; Postfix insists on three different ones."""

_SERVICES: Final = """\
{smtp} inet n - n - {processes} smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - {processes} smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


def is_there() -> bool:
    """Say whether a Postfix can be started here."""
    return (DAEMONS / "master").exists() and os.geteuid() == 0


def is_sink_there() -> bool:
    """Say whether smtp-sink can be started here."""
    return (ROOT / "usr/sbin/smtp-sink").exists()


class Postfix:
    """
    One instance.

    Attributes:
        port: Where its smtpd listens.
        folder: `main.cf`, `master.cf`, `queue/`, `data/` and `log`.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, processes: int = 100) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="postfix-")
        self.folder = folder = Path(self._temporary.name)
        self.port = free_port()
        self._master: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        for name in ("queue/pid", "queue/public", "queue/private", "data", *(f"queue/{name}" for name in _QUEUES)):
            (folder / name).mkdir(parents=True)
            shutil.chown(folder / name, _OWNER)
        values = {
            "compatibility_level": "3.6",
            "mail_owner": _OWNER,
            "setgid_group": _GROUP,
            "default_privs": _PRIVS,
            "daemon_directory": str(DAEMONS),
            "command_directory": str(ROOT / "usr/sbin"),
            "import_environment": "LD_LIBRARY_PATH MAIL_CONFIG TZ",
            "queue_directory": str(folder / "queue"),
            "data_directory": str(folder / "data"),
            "maillog_file": str(folder / "log"),
            "maillog_file_prefixes": str(folder),
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": "postfix.test",
            "mydestination": "",
            "alias_maps": "",
            "local_transport": "error:nobody is local here",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtp_host_lookup": "native",
            **(settings or {}),
        }
        (folder / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        self._services = _SERVICES.format(smtp=f"127.0.0.1:{self.port}", processes=processes)
        self._write_services(self._services)

    def __enter__(self) -> Self:
        command = [str(DAEMONS / "master"), "-c", str(self.folder), "-d"]
        environ = {**ENVIRON, "MAIL_CONFIG": str(self.folder)}
        self._master = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_open(self.port, self.log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._master is not None
        self._master.terminate()
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait()
        self._temporary.cleanup()

    def without_queue_manager(self) -> None:
        """From the next start on, keep what is accepted and send nothing."""
        self._write_services(re.sub(r"^qmgr .*\n", "", self._services, flags=re.MULTILINE))

    def with_queue_manager(self) -> None:
        """Send what is there, from now on."""
        assert self._master is not None
        self._write_services(self._services)
        self._master.send_signal(signal.SIGHUP)

    def queued(self) -> int:
        """Count the messages under way."""
        names = ("incoming", "active", "deferred", "hold")
        return sum(len(files) for name in names for _, _, files in os.walk(self.folder / "queue" / name))

    def is_sending(self) -> bool:
        """Say whether its queue manager is at work."""
        return any(files for _, _, files in os.walk(self.folder / "queue" / "active"))

    def cpu_s(self) -> float:
        """Give the CPU seconds of all its processes so far, ended ones included."""
        assert self._master is not None
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile; its parent knows
                continue
            if int(fields[3]) == self._master.pid:  # the session is master's own
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        """Give the log so far."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def _write_services(self, text: str) -> None:
        (self.folder / "master.cf").write_text(text)


class Sink:
    """
    smtp-sink: takes all mail and forgets it.

    Attributes:
        count: Messages taken so far.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self.count = 0
        self._process = process
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        assert self._process.stdout is not None
        text = b""
        while piece := os.read(self._process.stdout.fileno(), 65536):
            text = (text + piece)[-400:]
            found = re.findall(rb"mesg=(\d+)\s", text)
            if found:
                self.count = int(found[-1])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._watcher.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until that many messages came in all. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while self.count < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.count} of {count} messages after {seconds} s")
            time.sleep(0.005)


@contextmanager
def sink(*options: str) -> Iterator[Sink]:
    """Run smtp-sink on a port of its own."""
    port = free_port()
    command = [str(ROOT / "usr/sbin/smtp-sink"), "-c", *options, f"127.0.0.1:{port}", "1000"]
    if os.geteuid() == 0:
        command[1:1] = ["-u", _PRIVS]
    taken = Sink(subprocess.Popen(command, env=ENVIRON, stdout=subprocess.PIPE), port)
    try:
        wait_open(port)
        yield taken
    finally:
        taken.close()


def source(port: int, messages: int, octets: int, sessions: int = 20) -> None:
    """Submit messages by smtp-source, as fast as they are taken."""
    command = [str(ROOT / "usr/sbin/smtp-source"), "-d", "-m", str(messages), "-l", str(octets), "-s", str(sessions)]
    addresses = ["-f", "sender@example.org", "-t", "recipient@example.net"]
    subprocess.run([*command, *addresses, f"127.0.0.1:{port}"], env=ENVIRON, check=True, capture_output=True)
