"""SMTP on a pipe (`sendmail -bs`): the door's session without what a pipe needs not, to the command's own end."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.front_door import pipe
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error

DIALOGUE = (
    "EHLO script\r\nMAIL FROM:<a@x.example> RET=HDRS\r\nRCPT TO:<b@y.example> NOTIFY=NEVER\r\nDATA\r\n"
    "Subject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
)


def talk(octets, keep=lambda fields, content: "250 2.0.0 Ok", piece=1 << 16):
    """Everything that was said, and what was kept."""
    said, kept = io.BytesIO(), []

    def note(fields, content):
        kept.append((fields, content))
        return keep(fields, content)

    source = io.BytesIO(octets)
    pipe.serve(lambda most: source.read(min(most, piece)), said.write, note, "host.example", lambda: 1e9)
    return said.getvalue().decode(), kept


@pytest.mark.parametrize("piece", [1 << 16, 1], ids=["at once", "octet by octet"])
@pytest.mark.parametrize("end", ["\r\n", "\n"], ids=["CRLF", "LF"])
def test_message(piece, end):
    """As a client writes it, and as a script does."""
    said, kept = talk(DIALOGUE.replace("\r\n", end).encode(), piece=piece)
    assert [said[:3], said.split("\r\n")[-2][:3]] == ["220", "221"]
    ((fields, content),) = kept
    assert b"Subject: hi\r\n\r\n.dot\r\n" == content
    assert {"reverse_path": "a@x.example", "ret": "HDRS", "door": "sendmail", "protocol": "ESMTP",
            "recipients": [{"forward_path": "b@y.example", "notify": ("NEVER",)}]} == fields  # fmt: skip


def test_no_tls_and_no_auth():
    """Who started us is known, and nobody else can hear."""
    said, _ = talk(b"EHLO x\r\nSTARTTLS\r\nAUTH PLAIN AAAA\r\nQUIT\r\n")
    assert "STARTTLS" not in said
    assert "AUTH" not in said
    assert ["502", "502", "221"] == [line[:3] for line in said.split("\r\n")[-4:-1]]


def test_half_a_message_is_none():
    """The other end went before the dot: nothing is kept."""
    assert [] == talk(DIALOGUE.partition("\r\n.\r\n")[0].encode())[1]


def test_command(tmp_path):
    """`sendmail -bs`: the API's word becomes the reply; without network the client queue takes it."""
    package = Path(__file__).parents[3] / "layers/paravion/python"

    def run(url, *words):
        environ = {"PARAVION_ENDPOINT": url, "PARAVION_ACCESS_KEY": "A", "PARAVION_SECRET_KEY": "s", "HOME": str(tmp_path),
                   "PYTHONPATH": f"{package}{os.pathsep}{package.parents[2]}"}  # fmt: skip
        command = [sys.executable, "-m", "paravion.cli.sendmail", "-bs", *words]
        dialogue = DIALOGUE.replace("DATA", "RCPT TO:<c@y.example>\r\nDATA", 1)
        done = subprocess.run(command, input=dialogue.encode(), env=environ, capture_output=True, check=True)
        return done.stdout.decode().split("\r\n")[-3]

    with FakeApi() as api:
        assert f"queued as {QUEUE_ID}" in run(api.url)
        # What the call says of every message, and SMTP not of this one.
        words = ["-n", "-N", "delay", "-R", "full", "-V", "E1", "-F", "A. B.", "-U", "-B8BITMIME", "-pESMTPS:h.example"]
        assert f"queued as {QUEUE_ID}" in run(api.url, *words)
        first, second = (submission.fields for submission in api.submissions)
        assert not {"aliasing", "envid", "client", "smtputf8", "body_type"} & first.keys()
        assert {
            "aliasing": False, "ret": "HDRS", "envid": "E1", "smtputf8": True, "body_type": "8BITMIME",
            "protocol": "ESMTPS", "client": "h.example",
            "recipients": [{"forward_path": "b@y.example", "notify": ["NEVER"]}, {"forward_path": "c@y.example", "notify": ["DELAY"]}],
        }.items() <= second.items()  # fmt: skip
        assert b'From: "A. B." <a@x.example>\n' in api.submissions[1].content.replace(b"\r", b"")
        api.script.append(error(422, "no_such_user", 550, "5.1.1", "No such user"))
        assert run(api.url).startswith("550 5.1.1 No such user")
    assert "queued on this machine as" in run("http://127.0.0.1:9")
