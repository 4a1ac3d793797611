"""`python -m infra.front_door`: the process that containers run, its ready line and its end by a signal."""

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.integration.test_front_door import HELLO, Client
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi

CHECKOUT = Path(__file__).resolve().parents[2]


@contextmanager
def running(api):
    """A door in a process of its own, with its address as Client wants it."""
    path = os.pathsep.join(map(str, (CHECKOUT / "layers/paravion/python", CHECKOUT)))
    environ = {**os.environ, "PYTHONPATH": path, "PARAVION_ACCESS_KEY": "AKIADOOR", "PARAVION_SECRET_KEY": "secret"}
    words = ["--api", api.url, "--listen", "127.0.0.1:0", "--trusted-networks", "127.0.0.0/8"]
    with subprocess.Popen(
        [sys.executable, "-m", "infra.front_door", *words],
        env=environ, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            host, port = re.search(rb"smtp=(\S+):(\d+)", process.stdout.readline()).groups()
            yield SimpleNamespace(process=process, door=SimpleNamespace(address=(host.decode(), int(port))))
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_amid_data_loses_nothing(number):
    """Whoever is in DATA may end it, whoever has ended it hears the answer, all others hear 421; then exit 0."""
    with FakeApi() as api, running(api) as door, ExitStack() as stack:
        api.script.append("hang")
        idle, ended, half = (stack.enter_context(Client(door)) for _ in range(3))
        ended.begin()
        ended.say("DATA")
        ended.send(HELLO + b".\r\n")
        assert api.waiting.wait(10)
        half.begin()
        half.say("DATA")
        half.send(HELLO)
        door.process.send_signal(number)
        assert idle.reply().startswith("421 4.3.2 ")
        half.send(b".\r\n")
        assert f"250 2.0.0 Ok {QUEUE_ID}" == half.reply()
        assert half.reply().startswith("421 4.3.2 ")
        assert door.process.poll() is None
        api.released.set()
        assert f"250 2.0.0 Ok {QUEUE_ID}" == ended.reply()
        assert ended.reply().startswith("421 4.3.2 ")
        assert door.process.wait(10) == 0
        assert [HELLO] * 2 == [submission.content for submission in api.submissions]
