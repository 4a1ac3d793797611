"""The client queue: no network is no loss, a later run sends each message once, and a kill at any step changes nothing."""

import io
import os
import shutil
import signal
import stat
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from paravion.cli import client, client_queue, mailq, main, process, sendmail, sendmail_queue
from paravion.cli.client import Client
from paravion.cli.client_queue import ClientQueue, QueueUnavailable
from tests.support import power_cut
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error

AWAY = "http://127.0.0.1:9"
MAIL = b"From: me@x.example\nTo: b@y.example\n\nhello\n"


@pytest.fixture
def api():
    """An API that answers as told."""
    with FakeApi() as api:
        yield api


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Retry at once; the background is here and now."""
    monkeypatch.setattr(client, "RETRY_WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(sendmail, "QUICK_RETRY_WAITS_S", (0.0,))
    monkeypatch.setattr(process, "in_background", lambda work: work())
    monkeypatch.setattr(process, "log", lambda _: None)


@pytest.fixture
def home(tmp_path):
    """A user's home; the queue is made in it."""
    return tmp_path


def call(home, endpoint, *words, stdin=MAIL, **more):
    """Call sendmail; gives its exit code."""
    environ = {
        "PARAVION_ENDPOINT": endpoint, "PARAVION_ACCESS_KEY": "AKIA", "PARAVION_SECRET_KEY": "s", "HOME": str(home),
        "PARAVION_HOSTNAME": "host.example", "PARAVION_SENDER": "me@x.example", **more,
    }  # fmt: skip
    return sendmail.run(words, environ, io.BytesIO(stdin))


def queue_of(home, **more):
    """The user's queue, as the command opens it."""
    settings = {"lifetime_s": 5 * 86400, "max_octets": 10**9, **more}
    return ClientQueue(f"{home}/.local/state/paravion/queue", **settings)


def keys(api):
    """Idempotency keys of what came; each is one message."""
    return [request.headers["Idempotency-Key"] for request in api.submissions]


def test_without_network_it_waits_and_is_sent_later_once(home, api, capsys):
    """Exit 0, private files, mailq shows it; `sendmail -q` hands it in under its key, another one has nothing to do."""
    assert 0 == call(home, AWAY, "-v", "b@y.example")
    assert "queued on this machine as" in capsys.readouterr().out
    folder = home / ".local/state/paravion/queue"
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert 75 == call(home, AWAY, "-bp")
    shown = capsys.readouterr()
    assert "b@y.example" in shown.out
    assert "me@x.example" in shown.out
    assert "mailq:" in shown.err
    assert 75 == call(home, AWAY, "-bP")
    assert "on this machine: entries=1" in capsys.readouterr().out
    assert 75 == call(home, AWAY, "-q")
    for _ in range(2):
        assert 0 == call(home, api.url, "-q", "-v")
    assert "handed in: queued as " + QUEUE_ID in capsys.readouterr().out
    (submission,) = api.submissions
    assert MAIL == submission.content
    assert ["b@y.example"] == submission.fields["recipients"]
    assert {"lock", "log"} == {path.name for path in folder.iterdir()}


def test_what_exits_0_survives_a_power_cut(home, tmp_path, monkeypatch):
    """Octets and names are on the disk, of the first message and of one that was tried again."""
    folder, shadow = home / ".local/state/paravion/queue", tmp_path / "shadow"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, getattr(os, name))  # put back at the end
    power_cut.watch(folder, shadow)
    assert 0 == call(home, AWAY, "a@y.example")
    assert 75 == call(home, AWAY, "-q")
    assert 0 == call(home, AWAY, "b@y.example")
    shutil.rmtree(folder)
    shadow.rename(folder)
    assert [2, 1] == [entry.tries for entry in queue_of(home).entries()]
    kept = []
    queue_of(home).run(lambda fields, content, _: kept.append((fields["recipients"], content)) or {"queue_id": "q"})
    assert [(["a@y.example"], MAIL), (["b@y.example"], MAIL)] == kept
    assert queue_of(home).is_empty()


TRANSIENT = {
    "rate": error(429, "rate_limited", 451, "4.4.5"),
    "busy": error(503, "system_busy", 421, "4.3.2"),
    "their fault": error(500, "internal", 451, "4.3.0"),
    "gateway": (502, {}),
    "no queue id": (202, {}),
    "lost": "lost",
}


@pytest.mark.parametrize("answer", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_answer_makes_it_wait_under_the_same_key(home, api, answer):
    """The answer may be all that was lost: the later run is the first call's repeat."""
    api.script.extend([answer] * 2)
    assert 0 == call(home, api.url, "b@y.example")
    api.script.clear()
    assert 0 == call(home, api.url, "-q")
    assert 1 == len(set(keys(api)))
    assert queue_of(home).is_empty()


def test_refusal_is_told_at_once(home, api):
    """What the caller can mend is not kept."""
    api.script.append(error(422, "no_such_user", 550, "5.1.1"))
    assert 67 == call(home, api.url, "b@y.example")
    api.script.append(error(403, "auth_invalid", 535, "5.7.8"))
    assert 77 == call(home, api.url, "b@y.example")
    assert [] == queue_of(home).entries()


def test_next_call_sends_what_waits(home, api):
    """Any call that gets through takes the others along."""
    call(home, AWAY, "a@y.example")
    assert 0 == call(home, api.url, "b@y.example")
    assert [["b@y.example"], ["a@y.example"]] == [request.fields["recipients"] for request in api.submissions]
    assert queue_of(home).is_empty()


def test_delivery_modes(home, api):
    """-odq keeps it without asking the API; -odb hands it in from the background; the file says which is the default."""
    assert 0 == call(home, api.url, "-odq", "a@y.example")
    assert [] == api.requests
    assert 0 == call(home, api.url, "-odb", "b@y.example")
    assert [["a@y.example"], ["b@y.example"]] == [request.fields["recipients"] for request in api.submissions]
    assert 0 == call(home, api.url, "c@y.example", PARAVION_DELIVERY_MODE="queue")
    assert 2 == len(api.submissions)


def test_refused_later_is_given_up_shown_and_tried_again_by_hand(home, api, capsys, monkeypatch):
    """Nobody hears the exit code any more: it stays with the reason, in mailq and the log."""
    call(home, AWAY, "b@y.example")
    api.script.append(error(422, "no_such_user", 550, "5.1.1", "No such user"))
    logged = []
    monkeypatch.setattr(process, "log", logged.append)
    capsys.readouterr()
    assert 0 == call(home, api.url, "-q")
    assert 0 == call(home, api.url, "-q")
    (line,) = logged
    assert line.endswith("from <me@x.example> to b@y.example is given up, and kept (mailq): No such user")
    assert ("", f"sendmail: {line}\n") == capsys.readouterr()
    assert 1 == len(api.submissions)
    (entry,) = queue_of(home).entries()
    assert entry.is_dead
    assert "No such user" in entry.reason
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    assert 0 == call(home, api.url, "-bp")
    assert "(given up: No such user)" in capsys.readouterr().out
    log = (home / ".local/state/paravion/queue/log").read_text()
    assert f"{entry.id} from <me@x.example> is dead: No such user" in log
    assert 0 == call(home, api.url, f"-qI{entry.id}")
    assert 1 == len(set(keys(api)))
    assert [] == queue_of(home).entries()


def test_bad_credential_keeps_what_waits(home, api):
    """It is ours to mend, not the message's fault; the others are not tried under it."""
    for recipient in ("a@y.example", "b@y.example"):
        call(home, AWAY, recipient)
    api.script.append(error(403, "auth_invalid", 535, "5.7.8"))
    assert 75 == call(home, api.url, "-q")
    assert 1 == len(api.submissions)
    assert [False, False] == [entry.is_dead for entry in queue_of(home).entries()]


def test_too_old_is_given_up(home, api):
    """Five days by default."""
    call(home, AWAY, "b@y.example")
    (entry,) = queue_of(home).entries()
    done = queue_of(home, clock=lambda: entry.queued_at + 5 * 86400 + 1).run(client.Client)
    assert (0, 1) == (done.sent, done.dead)
    assert "not handed in within 5 days" in queue_of(home).entries()[0].reason


@pytest.mark.parametrize("written_at", [10.0, 4e9], ids=["1970", "2096"])
def test_a_clock_that_was_not_set_gives_nothing_up(home, written_at):
    """A machine without a battery begins in 1970: the message's time here begins once that is known."""
    queue_of(home, clock=lambda: written_at).put({"recipients": ["a"]}, b"x", "k", "away")
    assert 1 == queue_of(home, clock=lambda: 1.8e9).run(lambda *_: {"queue_id": QUEUE_ID}).sent

    def away(*_):
        raise client.ApiAway("away")

    queue_of(home, clock=lambda: written_at).put({"recipients": ["a"]}, b"x", "k", "away")
    assert 1 == queue_of(home, clock=lambda: 1.8e9).run(away).waiting
    assert 1 == queue_of(home, clock=lambda: 1.8e9 + 6 * 86400).run(away).dead


def test_a_disk_that_may_only_be_read_repeats_nothing(home, api, monkeypatch, capsys):
    """What was handed in can't be taken out: 75, and the next run asks for the same message."""
    call(home, AWAY, "b@y.example")

    def refused(*_):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(os, "unlink", refused)
        assert 75 == call(home, api.url, "-q")
    assert "Read-only" in capsys.readouterr().err
    assert 0 == call(home, api.url, "-q")
    assert [1, 2] == [len(set(keys(api))), len(keys(api))]


def test_home_of_another_user_is_not_used(tmp_path, monkeypatch):
    """As sudo leaves it: root's directories there would be in that user's way."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    monkeypatch.setattr("paravion.cli.config.home_folder", lambda environ: environ.get("HOME") or "/own")
    assert "/own/.local/state/paravion/queue" == client_queue.expected_folder("", {"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("word", "found"),
    [("-qSme@x", 2), ("-q!Sme@x", 0), ("-qRA@Y.example", 1), ("-q!Ra@y", 1), ("-qRnobody", 0), ("-qI0", 2)],
)
def test_selection(home, api, word, found):
    """-qI, -qR, -qS and their opposites, in any case of letters."""
    for recipient in ("a@y.example", "b@y.example"):
        call(home, AWAY, recipient)
    assert 0 == call(home, api.url, word)
    assert found == len(api.submissions)


def job(queue_id, recipient, **more):
    """One of GET /v1/queue."""
    return {"queue_id": queue_id, "reverse_path": "me@x.example", "recipients": [{"forward_path": recipient}], **more}


def flushed(api):
    """What the service was asked to try."""
    return [(request.path, request.fields) for request in api.requests if request.path.endswith("/flush")]


def test_q_flushes_both_queues(home, api, capsys):
    """This machine's and, in as many steps as it takes, the service's."""
    call(home, AWAY, "b@y.example")
    steps = [(200, {"examined": 9, "changed": 2, "after": "x"}), (200, {"examined": 2, "changed": 1, "after": None})]
    api.flushes.extend(steps)
    assert 0 == call(home, api.url, "-q", "-v")
    path = "/v1/queue/flush"
    assert [(path, {"all": True}), (path, {"all": True, "after": "x"})] == flushed(api)
    told = capsys.readouterr().out
    assert "on this machine: handed in: 1, waiting: 0" in told
    assert "in the service: jobs flushed: 3" in told


def test_q_by_selection_flushes_those_of_the_service(home, api, capsys):
    """By what holds the text, through the whole queue: the service looks for it, 200 jobs at a time."""
    step = {"examined": 200, "changed": 2}
    api.flushes.extend([(200, {**step, "after": f"p{n}"}) for n in range(7)] + [(200, {**step, "after": None})])
    assert 0 == call(home, api.url, "-qR@y.example", "-q!Sme", "-v")
    texts = [
        {"of": "recipient", "text": "@y.example", "negated": False},
        {"of": "sender", "text": "me", "negated": True},
    ]
    asked = [fields for _, fields in flushed(api)]
    assert [texts] * 8 == [fields["texts"] for fields in asked]
    assert [None, *(f"p{n}" for n in range(7))] == [fields.get("after") for fields in asked]
    assert "jobs flushed: 16 of 1600 that wait" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["503", "refused", "signal"])
def test_q_that_breaks_off_says_how_far_it_came(home, api, capsys, monkeypatch, how):
    """In words of the queue, not of a message; a signal ends the process as if nobody had heard it."""
    api.flushes.append((200, {"examined": 200, "changed": 3, "after": "x"}))
    if how == "signal":
        post = Client.post
        ended = []

        def then_a_signal(client, path, fields):
            if fields.get("after"):
                os.kill(os.getpid(), signal.SIGTERM)
            return post(client, path, fields)

        def end(signal_):
            ended.append(signal_.number)
            raise SystemExit

        monkeypatch.setattr(Client, "post", then_a_signal)
        monkeypatch.setattr(sendmail_queue._Signal, "end_process", end)
        with pytest.raises(SystemExit):
            call(home, api.url, "-qSme")
        assert ([signal.SIGTERM], signal.SIG_DFL) == (ended, signal.getsignal(signal.SIGTERM))
    else:
        away = (
            error(503, "spool_unavailable", 451, "4.3.0") if how == "503" else error(403, "access_denied", 550, "5.7.1")
        )
        api.flushes.extend([away] * 9)
        assert (75 if how == "503" else 77) == call(home, api.url, "-qSme")
    told = capsys.readouterr().err
    assert "in the service: broke off after 200 jobs, of which 3 were flushed" in told


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [(["-q"], 0, ""), (["-q", "-v"], 0, "nothing flushed: Not allowed"), (["-Am", "-q"], 77, "Not allowed"),
     (["-Ac", "-q", "-v"], 0, "on this machine")],
)  # fmt: skip
def test_q_without_an_operators_credential(home, api, capsys, words, code, told):
    """What is one's own is done; that the service's is not is said to who asks, and an error only where it is named."""
    assert code == call(home, api.url, *words)
    said = "".join(capsys.readouterr())
    assert told in said
    assert bool(told) == bool(said)
    assert ("-Ac" not in words) == bool(flushed(api))


def test_mailq_selects_as_q_does(home, api, capsys):
    """In both queues."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": [job("q1", "c@y.example")]}
    for recipient in ("a@y.example", "b@y.example"):
        call(home, AWAY, recipient)
    for word, found in {"-qRa@y": "a", "-qRc@y": "c", "-q!Rc@y": "ab", "-qSme": "abc", "-qInone": ""}.items():
        assert 0 == call(home, api.url, "-bp", word)
        shown = capsys.readouterr().out
        assert found == "".join(name for name in "abc" if f"{name}@y.example" in shown), word


def test_runner_at_intervals(home, api, monkeypatch, capsys):
    """-q30m: what waits at each instant, again and again, whatever one run came to."""
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            call(home, AWAY, "late@y.example")
        elif len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sendmail_queue, "time", SimpleNamespace(sleep=sleep))
    call(home, AWAY, "b@y.example")
    for words in (["-q30m"], ["-qf30m", "-v"]):
        waits.clear()
        with pytest.raises(KeyboardInterrupt):
            call(home, api.url, *words)
        assert [1800] * 3 == waits
    assert ["b", "late", "late"] == [request.fields["recipients"][0].partition("@")[0] for request in api.submissions]
    assert "handed in: 1" in capsys.readouterr().out


def test_what_cannot_wait_exits_75(home, capsys):
    """Off, full, or not ours alone: then nothing was promised."""
    assert 75 == call(home, AWAY, "b@y.example", PARAVION_QUEUE="off")
    assert 75 == call(home, AWAY, "b@y.example", stdin=b"x" * 1_100_000, PARAVION_QUEUE_MEGABYTES="1")
    assert "full" in capsys.readouterr().err
    assert [] == queue_of(home).entries()
    (home / ".local/state/paravion/queue").chmod(0o755)
    assert 75 == call(home, AWAY, "b@y.example")
    assert "0700" in capsys.readouterr().err
    assert 75 == call("/nonexistent", AWAY, "b@y.example")


@pytest.mark.parametrize("value", [{"PARAVION_QUEUE": "here"}, {"PARAVION_QUEUE_DAYS": "15"}, {"PARAVION_QUEUE_MEGABYTES": "0"},
                                   {"PARAVION_DELIVERY_MODE": "x"}], ids=str)  # fmt: skip
def test_bad_settings_exit_78(home, value):
    """The service knows a repeat for 16 days: nothing may wait longer."""
    assert 78 == call(home, AWAY, "b@y.example", **value)


def test_common_directory(home, api):
    """Each user has a part of his own; root's -q runs them all, each with its owner's rights."""
    spool = home / "spool"
    assert 0 == call(home, AWAY, "b@y.example", PARAVION_QUEUE=str(spool))
    assert (spool / str(os.geteuid())).is_dir()
    assert 0 == call(home, api.url, "-q", PARAVION_QUEUE=str(spool))
    assert 1 == len(api.submissions)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become others")
def test_root_runs_the_parts_of_others_with_their_rights(api):
    """What another user put there is read as that user, so that no link of his leads further than he may go."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o1777)  # noqa: PTH101 (above pytest's own directory, which is root's alone)
        child = os.fork()
        if not child:
            try:
                os.setuid(65534)
                call("/nonexistent", AWAY, "b@y.example", PARAVION_QUEUE=name)
                Path(name, "65534/qflink").symlink_to("/etc/shadow")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        call("/nonexistent", api.url, "-q", PARAVION_QUEUE=name)
        assert 1 == len(api.submissions)
        assert {"lock", "log", "qflink"} == {path.name for path in Path(name, "65534").iterdir()}
        assert {65534} == {path.lstat().st_uid for path in Path(name, "65534").iterdir()}


def test_other_directory(home, api, capsys):
    """-oQ names the queue for every mode that has to do with it."""
    folder = f"-oQ{home}/elsewhere"
    assert 0 == call(home, AWAY, folder, "b@y.example", PARAVION_QUEUE="off")
    assert 75 == call(home, AWAY, folder, "-bp")
    assert "b@y.example" in capsys.readouterr().out
    assert 75 == call(home, AWAY, folder, "-bP")
    assert "entries=1" in capsys.readouterr().out
    assert 0 == call(home, api.url, folder, "-q", PARAVION_QUEUE="off")
    assert 1 == len(api.submissions)


PUT_STEPS = ("content written", "envelope written", "envelope renamed", "directory synced")
RUN_STEPS = ("answered", "envelope removed")


def killed_at(name, work):
    """Do something in a child that is killed at a step; True if it came that far."""
    child = os.fork()
    if not child:
        try:
            client_queue.step = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == name else None
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("name", PUT_STEPS)
def test_kill_while_it_is_kept(home, api, name):
    """Before the rename nothing was promised, after it the message is sent; debris goes, and hinders nothing."""
    assert killed_at(name, lambda: call(home, AWAY, "b@y.example"))
    assert 0 == call(home, api.url, "-q")
    assert (name in PUT_STEPS[2:]) == (len(api.submissions) == 1)
    queue = queue_of(home)
    queue._clock = lambda: Path(queue.folder).stat().st_mtime + client_queue.SWEEP_AFTER_S + 60
    queue.run(client.Client)
    assert {"lock", "log"} >= ({path.name for path in Path(queue.folder).iterdir()})


@pytest.mark.parametrize("name", RUN_STEPS)
def test_kill_while_it_is_handed_in(home, api, name):
    """Killed behind the API's answer: what is asked for again has the same key, and there is one message."""
    call(home, AWAY, "b@y.example")
    assert killed_at(name, lambda: call(home, api.url, "-q"))
    assert 0 == call(home, api.url, "-q")
    assert 1 == len(set(keys(api)))
    assert (2 if name == "answered" else 1) == len(api.submissions)
    assert queue_of(home).is_empty()


@pytest.mark.parametrize("name", ["envelope written", "envelope renamed", "dead written"])
def test_kill_while_it_is_given_up(home, api, name):
    """It waits or is dead, never neither."""
    call(home, AWAY, "b@y.example")
    refusal = error(422, "no_such_user", 550, "5.1.1")
    api.script.append(refusal)
    assert killed_at(name, lambda: call(home, api.url, "-q"))
    api.script.append(refusal)
    assert 0 == call(home, api.url, "-q")
    assert [True] == [entry.is_dead for entry in queue_of(home).entries()]


def test_kill_in_the_first_call_loses_nothing_promised(home, api):
    """The API has it and the caller is dead: nothing waits here, and nothing is sent twice."""
    api.script.append("hang")
    child = os.fork()
    if not child:
        call(home, api.url, "b@y.example")
        os._exit(0)
    assert api.waiting.wait(10)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [] == queue_of(home).entries()


def test_one_run_at_a_time_and_nobody_is_forgotten(home):
    """Who finds the lock taken leaves his message to the one who runs, and that one looks again."""
    queue = queue_of(home)
    queue.put({"recipients": ["a"]}, b"x", "k1", "")
    late = threading.Event()
    asked = []

    def submit(fields, content, key):
        asked.append(key)
        if not late.is_set():
            late.set()
            queue.put({"recipients": ["b"]}, b"x", "k2", "")
            assert queue.run(submit).is_elsewhere
        return {"queue_id": QUEUE_ID}

    assert 2 == queue.run(submit).sent
    assert ["k1", "k2"] == asked


def test_ill_service_is_left_alone(home, api):
    """After three transient refusals in a row the run ends."""
    for _ in range(5):
        call(home, AWAY, "b@y.example")
    api.script.extend([TRANSIENT["their fault"]] * 5)
    assert 75 == call(home, api.url, "-q")
    assert 3 == len(api.submissions)


def test_damage_is_shown_and_links_are_not_followed(home, api, tmp_path, capsys):
    """What can't be read is nobody's message, and stays."""
    call(home, AWAY, "b@y.example")
    folder = home / ".local/state/paravion/queue"
    (folder / "qfbad").write_text("{")
    (tmp_path / "secret").write_text("{}")
    (folder / "qflink").symlink_to(tmp_path / "secret")
    (folder / "qf00").write_text('{"key":"k","fields":{},"octets":3,"queued_at":1,"tried_at":0,"tries":0,"reason":""}')
    assert 75 == call(home, api.url, "-q")
    assert 1 == len(api.submissions)
    assert 4 - 1 == len(queue_of(home).entries())
    assert "can't be read" in "".join(mailq.render_kept(queue_of(home).entries()))


def test_remove(home, monkeypatch, capsys):
    """`paravion remove` takes ids of this machine as well: for good, and without network."""
    call(home, AWAY, "b@y.example")
    queue = queue_of(home)
    (entry,) = queue.entries()
    for name, value in {"ENDPOINT": AWAY, "ACCESS_KEY": "A", "SECRET_KEY": "s"}.items():
        monkeypatch.setenv(f"PARAVION_{name}", value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert 0 == main.main(["remove", entry.id])
    assert not queue.remove(entry.id)
    assert {"lock", "log"} == {path.name for path in Path(queue.folder).iterdir()}


@pytest.mark.parametrize("broken", ["_write", "_sync"])
def test_put_fails_on_a_full_disk(home, monkeypatch, broken):
    """What was written is taken back, and nothing was promised."""
    queue = queue_of(home)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(queue, broken, full)
    with pytest.raises(QueueUnavailable, match="No space"):
        queue.put({}, b"x", "k", "")
    assert [] == list(Path(queue.folder).iterdir())


def test_background_is_another_process(tmp_path, monkeypatch):
    """It outlives the call, and holds none of its files."""
    monkeypatch.undo()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading, writing = os.pipe()

    def work():
        files = sorted(os.readlink(f"/proc/self/fd/{file}") for file in range(3))  # noqa: PTH115 (no file of ours)
        still_open = Path(f"/proc/self/fd/{writing}").exists()
        fifo.write_text(f"{os.getpid()} {os.getsid(0)} {still_open} {' '.join(files)}")

    process.in_background(work)
    pid, session, still_open, *files = fifo.read_text().split(" ")
    os.close(reading)
    os.close(writing)
    assert str(os.getpid()) != pid
    assert str(os.getsid(0)) != session
    assert "False" == still_open
    assert [os.devnull] * 3 == files
