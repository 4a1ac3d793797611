"""A Haraka of the test's own, in one folder, that takes mail on loopback and forwards it to one port."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.support.foreign import ENVIRON, FOLDER, free_port, stop, wait_open

_BINARY: Final = FOLDER / "haraka/node_modules/.bin/haraka"

_RECIPIENTS: Final = """\
exports.hook_rcpt = (next, connection, params) => {
    const user = params[0].user
    if (user === 'bad') return next(DENY, 'no such mailbox')
    if (user === 'later') return next(DENYSOFT, 'greylisted')
    next(OK)
}
"""


def is_there() -> bool:
    """Say whether a Haraka can be started here."""
    return _BINARY.exists() and shutil.which("node") is not None


class Haraka:
    """
    One instance.

    Args:
        relay: The port that it forwards to.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, relay: int) -> None:
        self.port = free_port()
        self._temporary = tempfile.TemporaryDirectory(prefix="haraka-")
        self._folder = folder = Path(self._temporary.name)
        files = {
            "config/smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=0\n",
            "config/me": "haraka.test\n",
            "config/plugins": "recipients\nqueue/smtp_forward\n",
            "config/smtp_forward.ini": f"host=127.0.0.1\nport={relay}\nenable_outbound=false\n",
            "config/loglevel": "NOTICE\n",
            "plugins/recipients.js": _RECIPIENTS,
        }
        # Haraka's own defaults; without this file it dies at the first connection.
        (folder / "config").mkdir()
        shutil.copy(FOLDER / "haraka/node_modules/Haraka/config/connection.ini", folder / "config")
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(_BINARY), "-c", str(self._folder)], env=ENVIRON, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_open(self.port, self.log)
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)
        self._temporary.cleanup()

    def log(self) -> str:
        """Give the log so far."""
        return (self._folder / "log").read_text()
