"""`paravion flush` and its like by selection: what they ask and what they print."""

from __future__ import annotations

import pytest

from paravion.cli import main
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error

PAGE = {"examined": 500, "matched": 3, "changed": 2, "left": {"in_hand": 1}, "after": "p2", "operation": "o"}


@pytest.fixture
def api(monkeypatch):
    with FakeApi() as fake:
        monkeypatch.setenv("PARAVION_API", fake.url)
        monkeypatch.setenv("PARAVION_ACCESS_KEY", "AKIA")
        monkeypatch.setenv("PARAVION_SECRET_KEY", "secret")
        fake.flushes = fake.script
        yield fake


def test_flush_by_selection_follows_pages_and_tells_the_sums(api, capsys):
    """And of hosts what they were."""
    hosts = [{"name": "mx.a", "was": "dead", "state": "slow"}]
    api.script.append((200, {**PAGE, "hosts": hosts, "wait_s": 60}))
    hosts = [{"name": "mx.b", "was": "slow", "state": "slow"}]
    left = {"in_hand": 1, "scheduled": 4}
    api.script.append((200, {**PAGE, "examined": 9, "left": left, "after": None, "hosts": hosts, "wait_s": 0}))
    assert main.main(["flush", "--recipient", "a.example", "--sender", "<>", "--reason", "up again"]) == 0
    criteria = {"recipient": "a.example", "sender": "<>", "limit": 500, "reason": "up again", "dry_run": False}
    assert [(request.method, request.path, request.fields) for request in api.requests] == [
        ("POST", "/v1/queue/flush", criteria),
        ("POST", "/v1/queue/flush", {**criteria, "after": "p2"}),
    ]
    assert capsys.readouterr().out.splitlines() == [
        "    mx.a was dead, counts as slow now",
        "    tried in 60 s, when every function has heard of it",
        "    mx.b is slow, and its limits stay",
        "6 of 509 jobs match, 4 flushed; left: 2 in hand, 4 scheduled for later",
    ]


def test_dry_run_says_what_would_be(api, capsys):
    """Nothing is done."""
    api.script.append((200, {**PAGE, "after": None, "left": {}}))
    assert main.main(["flush", "--all", "--dry-run"]) == 0
    assert api.requests[0].fields == {"all": True, "limit": 500, "dry_run": True}
    assert capsys.readouterr().out == "3 of 500 jobs match, 2 would be flushed\n"


@pytest.mark.parametrize(
    "words",
    [["flush"], ["flush", QUEUE_ID, "--all"], ["flush", "--host", "a", "--all"], ["flush", QUEUE_ID, "--dry-run"]],
)
def test_neither_or_both_are_refused(api, capsys, words):
    """Before anything is asked."""
    assert main.main(words) == 64
    assert api.requests == []
    assert capsys.readouterr().err.startswith("paravion: ")


def test_refusal_ends_it_with_its_exit(api, capsys):
    """As everywhere."""
    api.script.append(error(403, "access_denied", 554, "5.7.1", "Access denied", "an operator's"))
    assert main.main(["flush", "--all"]) == 77
    assert "Access denied" in capsys.readouterr().err


def test_flush_by_id_says_why_a_job_was_left(api, capsys):
    """Of several jobs one may be held."""
    jobs = [{"state": "ready"}, {"state": "held", "left": "held"}]
    api.script.append((200, {"queue_id": QUEUE_ID, "changed": 1, "jobs": jobs, "hosts": []}))
    assert main.main(["flush", QUEUE_ID]) == 0
    assert capsys.readouterr().out == f"{QUEUE_ID}: 1 job flushed, now held, ready; left: 1 held\n"


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["held", "done"], "returned to its sender within a minute"),
        (["claimed"], "now claimed"),
        (["removed"], "now removed"),
    ],
)
def test_cancel_says_what_becomes_of_the_mail(api, capsys, states, told):
    """Not that it is held, which it is until the next sweep; one's own is simply gone."""
    api.script.append((200, {"queue_id": QUEUE_ID, "changed": 1, "jobs": [{"state": state} for state in states]}))
    assert main.main(["cancel", QUEUE_ID]) == 0
    assert capsys.readouterr().out == f"{QUEUE_ID}: 1 job cancelled, {told}\n"


def test_help_says_what_an_act_does(capsys):
    """To somebody who asks for nothing else."""
    for words, said in ((["cancel"], "the sender reads the reason"), (["holds"], "Rules by which new mail is held")):
        assert main.main([*words, "--help"]) == 0
        assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("action", "fields"), [("cancel", {}), ("remove", {"tell": False})])
def test_what_ends_mail_counts_first_and_wants_a_word(api, capsys, monkeypatch, action, fields):
    """Nobody can be asked: --yes; somebody can: he is."""
    page = {**PAGE, "after": None, "left": {"mixed": 1}}
    api.script.append((200, page))
    assert main.main([action, "--host", "mx.a"]) == 64
    assert "add --yes" in capsys.readouterr().err
    asked = {"host": "mx.a", "limit": 500, **fields}
    assert [request.fields for request in api.requests] == [{**asked, "dry_run": True}]
    api.script.append((200, page))
    assert main.main([action, "--host", "mx.a", "--yes"]) == 0
    assert api.requests[-1].fields == {**asked, "dry_run": False}
    assert "1 with other recipients besides" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, count in (("n", 1), ("y", 2)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        api.requests.clear()
        api.script.extend([(200, page)] * count)
        assert main.main([action, "--host", "mx.a"]) == 0
        assert [request.fields["dry_run"] for request in api.requests] == [True, False][:count]
