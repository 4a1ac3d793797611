"""
An Exim of the test's own, in one folder, that takes mail on loopback and relays it to one port.

Debian's binary wants the user `Debian-exim`, which the machine need not have: it runs in a mount namespace whose
password file has him. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.support.foreign import ENVIRON, ROOT, free_port, stop, wait_open

BINARY: Final = ROOT / "usr/sbin/exim4"
_ID: Final = 63_998

_CONFIGURATION: Final = """\
keep_environment = LD_LIBRARY_PATH
exim_path = {binary}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/pid
primary_hostname = exim.test
never_users =
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = rcpt
{tls}
chunking_advertise_hosts = {chunking}
dsn_advertise_hosts = *
accept_8bitmime = true
recipients_max = 5
begin acl
rcpt:
{logged_in}  deny local_parts = bad
    message = 5.1.1 no such mailbox
  defer local_parts = later
    message = 4.7.1 greylisted
  accept
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {relay}
  hosts_try_chunking =
  hosts_avoid_tls = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
"""
_TLS = """\
tls_advertise_hosts = *
tls_certificate = {}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}"""
_NO_TLS = """\
tls_advertise_hosts =
auth_advertise_hosts ="""
_LOGGED_IN = """\
  deny !authenticated = *
    message = 5.7.0 log in first
"""


def is_there() -> bool:
    """Say whether an Exim can be started here."""
    return BINARY.exists() and os.geteuid() == 0 and shutil.which("unshare") is not None


class Exim:
    """
    One instance.

    Args:
        relay: The port that it sends to.
        chunking: Offer CHUNKING, as it does by default.
        certificate: With its key, PEM: offer STARTTLS, and take mail from who logs in under it.
        login: User and password of who may.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, relay: int, *, chunking: bool = True, certificate: Path | None = None,
                 login: tuple[str, str] = ("", "")) -> None:  # fmt: skip
        self.port = free_port()
        self._temporary = tempfile.TemporaryDirectory(prefix="exim-")
        self._folder = folder = Path(self._temporary.name)
        folder.chmod(0o755)
        (folder / "spool").mkdir()
        os.chown(folder / "spool", _ID, _ID)
        configuration = _CONFIGURATION.format(
            folder=folder,
            binary=BINARY,
            relay=relay,
            chunking="*" if chunking else "",
            tls=_TLS.format(folder / "server.pem") if certificate else _NO_TLS,
            logged_in=_LOGGED_IN if certificate else "",
            user=login[0],
            password=login[1],
        )
        (folder / "conf").write_text(configuration)
        if certificate:
            # Where its user may read it.
            (folder / "server.pem").write_bytes(certificate.read_bytes())
        for name, line in (
            ("passwd", f"Debian-exim:x:{_ID}:{_ID}::/:/bin/false\n"),
            ("group", f"Debian-exim:x:{_ID}:\n"),
        ):
            (folder / name).write_text(Path("/etc", name).read_text() + line)

    def __enter__(self) -> Self:
        script = (
            f"mount --bind {self._folder}/passwd /etc/passwd && mount --bind {self._folder}/group /etc/group && "
            f"exec {BINARY} -C {self._folder}/conf -bdf -q1s -oX 127.0.0.1.{self.port}"
        )
        self._process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], env=ENVIRON, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_open(self.port, self.log)
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)
        self._temporary.cleanup()

    def log(self) -> str:
        """Give the log so far."""
        return "".join(path.read_text() for path in (self._folder / "spool").glob("*log") if path.is_file())
