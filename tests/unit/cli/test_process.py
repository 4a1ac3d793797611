"""The commands as processes: closed files, full disks behind the words, signals, no memory to spare."""

import array
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from paravion.cli import process, sendmail
from tests.unit.cli.fake_api import error

SENDMAIL = "import sys; from paravion.cli.sendmail import program; program()"
# A process of its own between the test and what is measured: Linux counts what the parent had for its child's peak.
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def environ(api, home):
    """A configuration, and where the package is."""
    return {
        "PARAVION_ENDPOINT": api.url, "PARAVION_ACCESS_KEY": "A", "PARAVION_SECRET_KEY": "s", "HOME": str(home),
        "PYTHONPATH": str(Path(sendmail.__file__).parents[2]), "PARAVION_HOSTNAME": "h.example",
        "PARAVION_QUEUE": "off",
    }  # fmt: skip


def shell(api, home, text, script):
    """Run `$S`, which is sendmail, in a shell; gives its exit code and what it said."""
    words = f'{sys.executable} -S -c "{SENDMAIL}"'
    done = subprocess.run(["sh", "-c", text.replace("$S", words)], env=environ(api, home), input=script, cwd=home,
                          capture_output=True, check=False)  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).decode()


KEPT = {
    "no standard output": "$S -v b@y.example >&-",
    "a full disk behind the words": "$S -v b@y.example >/dev/full",
    "nobody listens": "$S -v b@y.example >&- 2>&-",
}


@pytest.mark.parametrize("call", KEPT.values(), ids=KEPT)
def test_what_is_kept_exits_0_whoever_hears_it(api, tmp_path, call):
    """A caller that saw another exit would send it again."""
    assert (0, "") == shell(api, tmp_path, call, b"x\n")
    assert 1 == len(api.submissions)


NOT_KEPT = {
    "no standard input": ("$S b@y.example <&-", 66),
    "for writing only": ("$S b@y.example 0>out", 66),
    "SMTP of what is for writing only": ("$S -bs 0>out", 66),
    "a refusal that nobody hears": ("$S 'a b' 2>/dev/full", 65),
    "a list that can't be written": ("$S -bp >/dev/full", 74),
}


@pytest.mark.parametrize(("call", "code"), NOT_KEPT.values(), ids=NOT_KEPT)
def test_exit_tells_what_words_can_not(api, tmp_path, call, code):
    """By sysexits, without a traceback."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    found, said = shell(api, tmp_path, call, b"x\n")
    assert code == found
    assert "Traceback" not in said
    assert [] == api.submissions


def ended(running):
    """Give its exit and what it said."""
    _, said = running.communicate()
    return running.returncode, said.decode()


def begin(api, home, stdin, *words):
    """Start sendmail, with SIGHUP ignored as under nohup."""
    begun = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {SENDMAIL}"
    return subprocess.Popen([sys.executable, "-S", "-c", begun, *words], env=environ(api, home), stdin=stdin,
                            stderr=subprocess.PIPE)  # fmt: skip


def test_a_terminal_that_is_gone_is_no_end_of_a_message(api, tmp_path):
    """A hang-up reads like the end of a file: half a message must not be sent."""
    master, slave = os.openpty()
    os.write(master, b"half\n")
    while not array.array("i", fcntl.ioctl(slave, termios.FIONREAD, b"0000"))[0]:
        time.sleep(0.005)
    running = begin(api, tmp_path, slave, "b@y.example")
    while array.array("i", fcntl.ioctl(slave, termios.FIONREAD, b"0000"))[0]:
        time.sleep(0.005)
    os.close(master)
    os.close(slave)
    code, said = ended(running)
    assert 74 == code
    assert "nothing is sent" in said
    assert [] == api.requests


def test_a_connection_that_was_reset_is_no_end_of_a_message(api, tmp_path):
    """Nor of SMTP: what was not finished is dropped."""
    for words, found in ((["b@y.example"], 74), (["-bs"], 0)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            served, _ = server.accept()
        with served:
            client.sendall(b"half\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            code, said = ended(begin(api, tmp_path, served, *words))
        assert found == code, said
        assert "Traceback" not in said
    assert [] == api.requests


def test_input_that_says_nothing_yet_is_waited_for(api, tmp_path):
    """Whoever shares a pipe may have set it so that reading it gives nothing at once: an end it is not."""
    for words in (["b@y.example"], ["-i", "b@y.example"]):
        reads, writes = os.pipe()
        os.set_blocking(reads, False)
        running = begin(api, tmp_path, reads, *words)
        os.write(writes, b"first\n")
        while array.array("i", fcntl.ioctl(reads, termios.FIONREAD, b"0000"))[0]:
            time.sleep(0.005)
        os.write(writes, b"last\n")
        os.close(writes)
        os.close(reads)
        assert (0, "") == ended(running)
        assert b"first\nlast" in api.submissions[-1].content.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_a_word(api, tmp_path, number):
    """While it reads, nothing is sent of a message that is not there as a whole."""
    # Whoever runs these tests may ignore hang-ups, and a command keeps to what it is started with.
    begun = f"import signal; signal.signal({number:d}, signal.SIG_DFL); {SENDMAIL}"
    words = [sys.executable, "-S", "-c", begun, "b@y.example"]
    running = subprocess.Popen(words, env=environ(api, tmp_path), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdin.write(b"half\n")
    running.stdin.flush()
    while not _has_read(running):
        time.sleep(0.005)
    running.send_signal(number)
    _, said = running.communicate()
    assert (-number, b"") == (running.returncode, said)
    assert [] == api.requests


def _has_read(running):
    """Say whether it took what is in its pipe."""
    waiting = array.array("i", [0])
    fcntl.ioctl(running.stdin, termios.FIONREAD, waiting)
    return not waiting[0]


def test_endless_input_is_refused_in_bounded_memory(api, tmp_path):
    """More than any service takes: nothing is sent, and memory holds the bound and little more."""
    if sys.platform != "linux":
        pytest.skip("counts kilobytes as Linux does")
    python = [sys.executable, "-S", "-c"]
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run([*python, PEAK, *python, SENDMAIL, "-i", "b@y.example"], env=environ(api, tmp_path),
                              stdin=endless, capture_output=True, check=False)  # fmt: skip
    assert 69 == done.returncode
    assert b"longer than any service takes" in done.stderr
    assert int(done.stdout) < 400_000


def test_no_more_processes_is_no_fault(monkeypatch):
    """What waits is then left to the next call."""

    def no_fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    assert not process.in_background(lambda: None)


def test_refused_after_reading_says_why_once(api, tmp_path):
    """One line, one exit."""
    api.script.append(error(422, "no_such_user", 550, "5.1.1", "No such user"))
    assert (67, "sendmail: No such user\n") == shell(api, tmp_path, "$S b@y.example", b"x\n")
