"""`paravion send`, `login` and `install`: what is sent, what is written, and the exits."""

import io
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from paravion.cli import client, install, login, main, watch
from paravion.cli.config import load, read_file
from paravion.cli.when import instant
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error


@pytest.fixture
def api(monkeypatch, tmp_path):
    """An API that answers as told, configured by the environment."""
    monkeypatch.setattr(client, "RETRY_WAITS_S", ())
    with FakeApi() as fake:
        for name, value in {
            "ENDPOINT": fake.url,
            "ACCESS_KEY": "AKIA",
            "SECRET_KEY": "s",
            "SENDER": "me@x.example",
        }.items():
            monkeypatch.setenv(f"PARAVION_{name}", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        yield fake


def stdin(monkeypatch, octets):
    """What the command reads."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


def sent(api):
    """The only submission: its fields and the message."""
    (submission,) = api.submissions
    return submission.fields, message_from_bytes(submission.content, policy=policy.default)


def test_a_message_of_words_and_files(api, tmp_path):
    """Text, HTML, an attachment, further fields; Bcc is in the envelope alone."""
    (tmp_path / "größe.txt").write_bytes(b"attached")
    words = ["--to", "Jörg <j@y.example>", "--cc", "c@y.example", "--bcc", "b@y.example", "--subject", "Größe",
             "--text", "text\n", "--html", "<p>html", "--attach", str(tmp_path / "größe.txt"),
             "--reply-to", "r@x.example", "--header", "X-One: 1"]  # fmt: skip
    assert 0 == main.main(["send", *words])
    fields, message = sent(api)
    assert ["j@y.example", "c@y.example", "b@y.example"] == fields["recipients"]
    assert "me@x.example" == fields["reverse_path"]
    assert ("Größe", "r@x.example", "1") == (message["Subject"], message["Reply-To"], message["X-One"])
    assert "Jörg" in message["To"]
    assert message["Bcc"] is None
    assert "text" == message.get_body(("plain",)).get_content().strip()
    assert "<p>html" == message.get_body(("html",)).get_content().strip()
    (attached,) = message.iter_attachments()
    assert ("größe.txt", b"attached") == (attached.get_filename(), attached.get_payload(decode=True))
    assert api.submissions[0].content.isascii()


def test_a_message_that_is_there_goes_as_it_is(api, tmp_path, monkeypatch):
    """Of a file or standard input; its header says to whom, unless the call does."""
    octets = b"From: a@x.example\nTo: b@y.example\n\n\xff\n"
    path = tmp_path / "mail.eml"
    path.write_bytes(octets)
    assert 0 == main.main(["send", str(path)])
    stdin(monkeypatch, octets)
    assert 0 == main.main(["send", "--to", "c@y.example", "--from", "s@x.example", "-"])
    first, second = api.submissions
    assert (octets, octets) == (first.content, second.content)
    assert (True, []) == (first.fields["recipients_from_header"], first.fields["recipients"])
    assert (["c@y.example"], "s@x.example") == (second.fields["recipients"], second.fields["reverse_path"])


def test_text_of_standard_input_and_a_large_message(api, monkeypatch, capsys):
    """`--text -`; what is too large for a request is uploaded by itself."""
    stdin(monkeypatch, "größer\n".encode() * 600_000)
    assert 0 == main.main(["send", "--to", "b@y.example", "--text", "-"])
    assert api.uploads
    assert {"upload_id"} <= set(api.submissions[0].fields)
    assert f"queued as {QUEUE_ID}" in capsys.readouterr().out


def test_later(api, capsys):
    """--at is the API's send_at, in UTC."""
    assert 0 == main.main(["send", "--to", "b@y.example", "--text", "x", "--at", "in 2 hours"])
    at = datetime.fromisoformat(sent(api)[0]["send_at"])
    assert timedelta(minutes=119) < at - datetime.now(UTC) < timedelta(minutes=121)
    assert "to be sent at 2" in capsys.readouterr().out


def test_priority_and_deadline(api):
    """--by tells, --return-by returns."""
    call = ["send", "--to", "b@y.example", "--text", "x"]
    for more in (["--priority", "bulk", "--by", "in 2 hours"], ["--return-by", "in 1 hour"]):
        assert 0 == main.main([*call, *more])
        fields = api.submissions[-1].fields
        hours = 2 if "--by" in more else 1
        left = datetime.fromisoformat(fields["deliver_by"]) - datetime.now(UTC)
        assert timedelta(minutes=60 * hours - 1) < left < timedelta(minutes=60 * hours + 1)
        assert fields["deliver_by_mode"] == ("notify" if hours == 2 else "return")
        assert fields.get("priority") == ("bulk" if hours == 2 else None)


def test_tls_is_asked_for(api):
    """As the API has it."""
    for word in ("require", "requiretls"):
        assert 0 == main.main(["send", "--to", "b@y.example", "--text", "x", "--tls", word])
        assert api.submissions[-1].fields["tls"] == word


WRONG = {
    "two deadlines": (["--to", "b@y.example", "--text", "x", "--by", "in 1 hour", "--return-by", "in 1 hour"], 64),
    "nobody": (["--text", "x"], 64),
    "nothing": (["--to", "b@y.example", "--subject", "x"], 64),
    "bad address": (["--to", "b@@y", "--text", "x"], 65),
    "two authors": (["--to", "b@y.example", "--text", "x", "--from", "a@x, b@x"], 65),
    "bad field": (["--to", "b@y.example", "--text", "x", "--header", "none"], 64),
    "field twice": (
        ["--to", "b@y.example", "--text", "x", "--header", "X: y", "--header", "Date: z", "--header", "Date: z"],
        65,
    ),
    "a field of another option": (
        ["--to", "b@y.example", "--text", "x", "--subject", "y", "--header", "Subject: z"],
        64,
    ),
    "a copy to nobody": (["--to", "b@y.example", "--text", "x", "--header", "bcc: z@y.example"], 64),
    "a kind of its own": (["--to", "b@y.example", "--text", "x", "--header", "Content-Type: text/html"], 64),
    "line in a name": (["--to", "b@y.example", "--text", "x", "--header", "X\nBcc: z@y"], 64),
    "line in a value": (["--to", "b@y.example", "--text", "x", "--header", "X: x\nBcc: z@y"], 65),
    "line in an author": (["--to", "b@y.example", "--text", "x", "--from", "a@x.example\nBcc: z@y"], 65),
    "line in an attachment": (["--to", "b@y.example", "--attach", "a\nb"], 65),
    "no address for replies": (["--to", "b@y.example", "--text", "x", "--reply-to", "nonsense <"], 65),
    "a field of addresses that has none": (
        ["--to", "b@y.example", "--text", "x", "--header", "Sender: nonsense <"],
        65,
    ),
    "octets that are no text": (["--to", "b@y.example", "--text", "\udcff"], 65),
    "octets that are no subject": (["--to", "b@y.example", "--text", "x", "--subject", "\udcff"], 65),
    "no time": (["--to", "b@y.example", "--text", "x", "--wait", "--timeout", "0"], 64),
    "line in a field": (["--to", "b@y.example", "--text", "x", "--subject", "y\nBcc: z@y"], 65),
    "no file": (["--to", "b@y.example", "--text", "x", "--attach", "/nonexistent"], 66),
    "message and text": (["mail.eml", "--text", "x"], 64),
    "past": (["--to", "b@y.example", "--text", "x", "--at", "2001-01-01"], 64),
    "unknown": (["--nothing"], 64),
}


@pytest.mark.parametrize(("words", "code"), WRONG.values(), ids=WRONG)
def test_wrong_calls(api, capsys, words, code):
    """Nothing is sent, and it is said why."""
    assert code == main.main(["send", *words])
    assert [] == api.requests
    assert capsys.readouterr().err


def test_an_empty_text_is_one(api):
    """All is in the subject; and what is not ASCII is encoded."""
    assert 0 == main.main(["send", "--to", "b@y.example", "--subject", "done", "--text", ""])
    assert 0 == main.main(["send", "--to", "b@y.example", "--text", "grün", "--html", "<b>grün"])
    first, second = (message_from_bytes(each.content, policy=policy.default) for each in api.submissions)
    assert ("done", "") == (first["Subject"], first.get_content().strip())
    assert api.submissions[1].content.isascii()
    assert ["grün", "<b>grün"] == [part.get_content().strip() for part in second.iter_parts()]


def test_what_is_kept_exits_0_though_nobody_hears_it(api, tmp_path):
    """A caller that saw another exit would send it again; a list that can't be written is another matter."""
    program = "import sys; from paravion.cli.main import main; sys.exit(main())"
    environ = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2]), "HOME": str(tmp_path)}
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    for redirected, words, code in (
        (">/dev/full", "send --to b@y.example --text x", 0), (">&-", "send --to b@y.example --text x", 0),
        (">/dev/full", "queue", 74), ("<&-", "send --to b@y.example", 66), ("</dev/zero", "send --to b@y.example", 69),
    ):  # fmt: skip
        call = f"{sys.executable} -c '{program}' {words} {redirected}"
        done = subprocess.run(["sh", "-c", call], env=environ, capture_output=True, check=False)
        assert code == done.returncode, (redirected, words, done.stderr)
        assert b"Traceback" not in done.stderr
    assert 2 == len(api.submissions)


@pytest.mark.parametrize(("fault", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 74)])
def test_breaking_off(api, monkeypatch, capfd, fault, code):
    """Ctrl-C and `| head` are no faults to trace."""

    def broken(*_, **__):
        raise fault

    monkeypatch.setattr(watch, "wait", broken)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    assert code == main.main(["send", "--to", "b@y.example", "--text", "x", "--wait"])
    assert "" == capfd.readouterr().err


WAITED = {
    "delivered": (["delivered"], 0),
    "deferred first": (["deferred", "delivered"], 0),
    "failed": (["failed"], 69),
    "removed": (["deferred", "removed"], 69),
    "never": (["deferred"] * 50, 75),
}


@pytest.mark.parametrize(("states", "code"), WAITED.values(), ids=WAITED)
def test_wait(api, capsys, states, code):
    """A line for each change; the exit says how it ended."""
    for state in states:
        recipients = [{"forward_path": "b@y.example", "state": state, "text": "a\x1bb", "mx_host": "mx"}]
        api.script.append((200, {"state": "tried", "recipients": recipients, "due_at": None}))
    now = [0.0]
    work = client.Client(load({"PARAVION_ENDPOINT": api.url, "PARAVION_ACCESS_KEY": "A", "PARAVION_SECRET_KEY": "s"}))
    advance = lambda seconds: now.__setitem__(0, now[0] + seconds)  # noqa: E731
    assert code == watch.wait(work, QUEUE_ID, timeout_s=60.0, sleep=advance, clock=lambda: now[0])
    out = capsys.readouterr().out
    assert [f"b@y.example: {state} at mx: a?b" for state in dict.fromkeys(states)] == out.splitlines()


UNHEARD = {
    "throttled once": ([error(429, "rate_limited", 451, "4.4.5"), "delivered"], 0, ""),
    "away for a moment": (["lost", "lost", "lost", "delivered"], 0, ""),
    "not allowed to ask": ([error(403, "access_denied", 554, "5.7.1", "Access denied")], 75, "Access denied"),
    "gone": ([error(404, "no_such_message", 554, "5.5.0", "Message does not exist")], 75, "Message does not exist"),
}


@pytest.mark.parametrize(("script", "code", "said"), UNHEARD.values(), ids=UNHEARD)
def test_a_wait_that_is_not_answered_is_no_refusal(api, capsys, monkeypatch, script, code, said):
    """The message is kept: whoever took the exit for a refusal would send it again."""
    monkeypatch.setattr(client, "RETRY_WAITS_S", (0.0,))
    done = {"state": "done", "recipients": [{"forward_path": "b@y", "state": "delivered"}]}
    api.script += [(200, done) if item == "delivered" else item for item in script]
    config = load({"PARAVION_ENDPOINT": api.url, "PARAVION_ACCESS_KEY": "A", "PARAVION_SECRET_KEY": "s"})
    asking = client.Client(config, retry_waits_s=(0.0,))
    assert code == watch.wait(asking, QUEUE_ID, timeout_s=60.0, sleep=lambda _: None)
    if said:
        assert capsys.readouterr().err == f"paravion: {QUEUE_ID} is kept, but can't be watched: {said}\n"


def test_send_waits(api):
    """--wait asks for the message that was made."""
    api.script.append((202, {"queue_id": QUEUE_ID}))
    api.script.append((200, {"state": "done", "recipients": [{"forward_path": "b@y", "state": "delivered"}]}))
    assert 0 == main.main(["send", "--to", "b@y.example", "--text", "x", "--wait"])
    assert f"/v1/messages/{QUEUE_ID}" == api.requests[-1].path


NOW = datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=1)))
WHEN = {
    "2026-12-24T18:00:00Z": "2026-12-24T18:00",
    "2026-12-24 18:00": "2026-12-24T17:00",
    "2026-12-24": "2026-12-23T23:00",
    "in 2 hours": "2026-11-22T21:00",
    "in 1 day and 30 min": "2026-11-23T19:30",
    "in 90s": "2026-11-22T19:01",
    "20:30": "2026-11-22T19:30",
    "19:30": "2026-11-23T18:30",
    "tomorrow 9:00": "2026-11-23T08:00",
    "Tomorrow at 9:00": "2026-11-23T08:00",
}


@pytest.mark.parametrize(("text", "expected"), WHEN.items())
def test_instant(text, expected):
    """As people write it; without a zone it is the machine's."""
    assert instant(text, NOW, NOW.tzinfo).isoformat().startswith(expected)


@pytest.mark.parametrize(
    "text", ["soon", "in", "in 2 fortnights", "25:00", "today 9:00", "2026-13-01", "in 0 s", "in 999999 weeks"]
)
def test_no_instant(text):
    """Past and unreadable ones are refused."""
    with pytest.raises(ValueError, match=r"past|no instant"):
        instant(text, NOW, NOW.tzinfo)


LOGIN = ["login", "--access-key", "AKIANEW", "--secret-stdin"]


def test_login_writes_a_private_file(api, tmp_path, monkeypatch, capsys):
    """Checked first; 0600 whatever was there; other values stay; commands read it."""
    path = tmp_path / ".config/paravion/client.toml"
    path.parent.mkdir(parents=True)
    path.write_text('api = "http://old.example"\nsender = "keep@x.example"\n')
    path.chmod(0o644)
    stdin(monkeypatch, b'se"c\\ret\n')
    assert 0 == main.main([*LOGIN, "--endpoint", api.url])
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    expected = {"endpoint": api.url, "access_key": "AKIANEW", "secret_key": 'se"c\\ret', "sender": "keep@x.example"}
    assert expected == read_file(str(path))
    assert [path] == list(path.parent.iterdir())
    assert "Credential=AKIANEW/" in api.requests[0].headers["Authorization"]
    captured = capsys.readouterr()
    assert 'se"c' not in captured.out + captured.err
    assert "PARAVION_ENDPOINT" in captured.err


@pytest.mark.parametrize("umask", [0, 0o077, 0o277, 0o777])
def test_login_under_any_umask(tmp_path, umask):
    """The file for its owner alone, who can read it; so the directories that are made."""
    target = tmp_path / "kept.toml"
    target.write_text('sender = "keep@x.example"\n')
    link = tmp_path / "link.toml"
    link.symlink_to(target)
    new = tmp_path / "a/b/new.toml"
    before = os.umask(umask)
    try:
        for path in (link, new):
            login.write(path, {"access_key": "A"})
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert {"access_key": "A"} == read_file(str(target))
    assert [0o600, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (target, new)]
    assert [0o700, 0o700] == [stat.S_IMODE(path.stat().st_mode) for path in (new.parent, new.parent.parent)]


def test_login_is_on_the_disk_before_it_says_so(tmp_path, monkeypatch):
    """The octets before the name."""
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("octets"), fsync(file)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (order.append("name"), replace(path, to))[1])
    login.write(tmp_path / "c.toml", {"access_key": "A"})
    assert ["octets", "name"] == order


def test_login_writes_nothing_it_could_not_check(api, tmp_path, monkeypatch):
    """A refused credential, no answer, nobody to ask."""
    path = tmp_path / "c.toml"
    api.script.append(error(403, "auth_invalid", 535, "5.7.8"))
    stdin(monkeypatch, b"bad\n")
    assert 77 == main.main([*LOGIN, "--endpoint", api.url, "--file", str(path)])
    stdin(monkeypatch, b"bad\n")
    assert 75 == main.main([*LOGIN, "--endpoint", "http://127.0.0.1:9", "--file", str(path)])
    stdin(monkeypatch, b"bad\n")
    assert 64 == main.main([*LOGIN, "--file", str(path)])
    assert not path.exists()
    stdin(monkeypatch, b"good\n")
    assert 0 == main.main([*LOGIN, "--endpoint", "http://127.0.0.1:9", "--file", str(path), "--no-check"])
    assert path.exists()


def test_install_makes_programs_that_start_small(api, tmp_path, capsys):
    """sendmail, mailq and newaliases, by their names; without site packages; nobody else's are replaced."""
    (tmp_path / "sendmail").write_text("somebody else's")
    assert 73 == main.main(["install", str(tmp_path)])
    assert 0 == main.main(["install", "--force", str(tmp_path)])
    assert 0 == main.main(["install", str(tmp_path)])
    assert {f"{name}\n" for name in map(str, (tmp_path / name for name in install.NAMES))} <= set(
        capsys.readouterr().out.splitlines(keepends=True)
    )
    environ = {
        "PARAVION_ENDPOINT": api.url,
        "PARAVION_ACCESS_KEY": "A",
        "PARAVION_SECRET_KEY": "s",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [tmp_path / "sendmail", "-v", "b@y.example"], input=b"x\n", env=environ, capture_output=True, check=True
    )
    assert QUEUE_ID.encode() in done.stdout
    # Python itself would refuse to start with a directory as standard input.
    with_folder = f"'{tmp_path}/sendmail' -v b@y.example < /"
    done = subprocess.run(["sh", "-c", with_folder], env=environ, capture_output=True, check=False)
    assert (66, b"sendmail: standard input is closed, or a directory: there is no message\n") == (
        done.returncode, done.stderr,
    )  # fmt: skip
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    done = subprocess.run(["sh", "-c", f"'{tmp_path}/mailq' < /"], env=environ, capture_output=True, check=True)
    assert b"Mail queue is empty\n" == done.stdout
