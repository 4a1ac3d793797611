"""Transcripts from the attempt to the reader: pointed to by the history, shown to the right people, best effort."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from paravion.domain import status
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import Rejected
from paravion.domain.transcript import decode
from paravion.domain.verdict import our_outcome
from paravion.ports import QueueName
from paravion.services.admin import show_message, show_queue
from paravion.services.authenticate import Principal
from paravion.services.deliver import deliver
from paravion.services.transcripts import show_transcript
from tests.support.world import Saboteur, World

OWNER, OTHER, OPERATOR = Principal("AKIATEST"), Principal("AKIAOTHER"), Principal("AKIAOP", is_operator=True)
LATER = Outcome(Result.DEFERRED, "4.2.0", 450, "later", "RCPT", "mx.test")


class Talking:
    """A transport that says something to the transcript."""

    def __init__(self, inner):
        self.inner = inner

    async def send(self, hop, transaction, deadline):
        outcomes = await self.inner.send(hop, transaction, deadline)
        transaction.recorder.note(0.0, f"spoke to {hop.name}")
        return outcomes

    def __getattr__(self, name):
        return getattr(self.inner, name)


def world(**options):
    """A world whose transport talks."""
    made = World(**options)
    made.transport = Talking(made.transport)
    return made


def deps_of(made):
    """What `admin` needs of it."""
    return SimpleNamespace(spool=made.spool, ledger=made.ledger, transcripts=made.transcripts)


def told(answer):
    """Attempt, next hop and first text of each part."""
    return [(part["attempt"], part["next_hop"], part["lines"][0]["text"]) for part in answer["attempts"]]


def test_each_attempt_is_told_in_its_order():
    """Deferred, then delivered: two attempts, two books, and the timeline names both."""
    made = world(script={"a@x.example": [LATER, Outcome(Result.DELIVERED, "2.0.0", 250, "ok", "DOT")]})
    queue_id = made.submit("a@x.example", "b@y.example").queue_id
    made.run()
    answer = show_transcript(queue_id, None, OWNER, deps_of(made))
    assert told(answer) == [
        (1, "x.example", "spoke to x.example"),
        (1, "y.example", "spoke to y.example"),
        (2, "x.example", "spoke to x.example"),
    ]
    assert (answer["missing"], answer["is_whole"]) == ([], True)
    assert told(show_transcript(queue_id, 2, OWNER, deps_of(made))) == [(2, "x.example", "spoke to x.example")]
    timeline = show_message(queue_id, OWNER, deps_of(made))["timeline"]
    named = {line["transcript"] for line in timeline if line["event"] in {"delivered", "deferred"} and line["attempt"]}
    assert None not in named
    assert named == set(made.transcripts.books)


def test_batch_has_one_book_and_each_message_its_own_page():
    """A tenth of a write for each mail; nobody sees another's page."""
    made = world()
    ids = [made.submit(f"r{n}@x{n}.example").queue_id for n in range(10)]
    made.invoke(QueueName.DELIVERY)
    assert len(made.transcripts.books) == 1
    assert len(decode(next(iter(made.transcripts.books.values())))) == 10
    for n, queue_id in enumerate(ids):
        assert told(show_transcript(queue_id, None, OWNER, deps_of(made))) == [
            (1, f"x{n}.example", f"spoke to x{n}.example")
        ]


def test_recipient_without_a_host_is_told_why():
    """DNS's answer is a transcript too."""
    made = world(hops={"gone.example": our_outcome(status.NO_SUCH_DOMAIN, "", "DNS")})
    queue_id = made.submit("a@gone.example").queue_id
    made.run()
    text = "a@gone.example: DNS 5.1.2 Domain does not exist"
    assert told(show_transcript(queue_id, None, OWNER, deps_of(made))) == [(1, "gone.example", text)]


def test_only_who_sees_the_message_sees_the_transcript():
    """The submitter's credential or an operator's; others learn not even that it exists."""
    made = world()
    queue_id = made.submit("a@x.example").queue_id
    made.run()
    assert show_transcript(queue_id, None, OPERATOR, deps_of(made))["attempts"]
    for principal, name in ((OTHER, queue_id), (OPERATOR, "nosuchmessage"), (OTHER, "../xf")):
        with pytest.raises(Rejected) as caught:
            show_transcript(name, None, principal, deps_of(made))
        assert caught.value.status is status.NOT_FOUND


@pytest.mark.parametrize("octets", [None, b"garbage"], ids=["gone", "garbage"])
def test_transcript_that_is_gone_is_said_to_be_missing(octets):
    """After 14 days, or if storing it failed."""
    made = world()
    queue_id = made.submit("a@x.example").queue_id
    made.run()
    (key,) = made.transcripts.books
    if octets is None:
        made.transcripts.books.clear()
    else:
        made.transcripts.books[key] = octets
    answer = show_transcript(queue_id, None, OWNER, deps_of(made))
    assert (answer["attempts"], answer["missing"]) == ([], [{"attempt": 1, "chunk": 0}])


def test_without_transcripts_nothing_is_kept_or_offered():
    """The setting is off: the mail goes as ever."""
    made = World()
    made.for_deliver = replace(made.for_deliver, transcripts=None)
    queue_id = made.submit("a@x.example").queue_id
    made.run()
    assert made.states(queue_id) == {"a@x.example": "delivered"}
    assert made.transcripts.books == {}
    assert show_transcript(queue_id, None, OWNER, deps_of(made))["attempts"] == []
    with pytest.raises(Rejected) as caught:
        show_transcript(queue_id, None, OWNER, SimpleNamespace(**{**vars(deps_of(made)), "transcripts": None}))
    assert caught.value.status is status.NOT_OFFERED


@pytest.mark.parametrize("error", [RuntimeError, OSError], ids=["bug", "outage"])
def test_storing_that_fails_never_fails_a_delivery(error):
    """The mail is delivered, the job done, and the fault is logged."""
    probe = World()
    probe.submit("a@x.example")
    probe.run()
    at = probe.saboteur.calls.index("deliver:transcripts.put")
    made = World(saboteur=Saboteur(at=at, error=error))
    queue_id = made.submit("a@x.example").queue_id
    made.run()
    assert made.states(queue_id) == {"a@x.example": "delivered"}
    assert len(made.accepted_by("a@x.example")) == 1
    assert [fields["stage"] for event, fields in made.event_log.records if event == "Fault"] == ["transcripts"]
    assert show_transcript(queue_id, None, OWNER, deps_of(made))["missing"] == [{"attempt": 1, "chunk": 0}]


def test_refused_storing_is_logged():
    """The adapter says no instead of raising."""
    made = world()
    made.transcripts.put = lambda key, octets: False
    made.submit("a@x.example")
    made.invoke(QueueName.DELIVERY)
    assert [fields["error"] for event, fields in made.event_log.records if event == "Fault"] == ["not kept"]


def test_invocation_without_time_left_stores_nothing():
    """Mail first."""
    made = world()
    made.submit("a@x.example")
    items = made.queues.receive(QueueName.DELIVERY)
    asyncio.run(deliver(items, made.for_deliver, -1.0))
    assert made.transcripts.books == {}


def test_answer_is_bounded_and_says_so():
    """The latest thirty attempts, as much as an answer carries."""
    made = world(script={"a@x.example": [LATER]})
    queue_id = made.submit("a@x.example").queue_id
    made.run()
    answer = show_transcript(queue_id, None, OWNER, deps_of(made))
    attempts = [part["attempt"] for part in answer["attempts"]]
    assert len(attempts) == 30
    assert attempts == sorted(attempts)
    assert not answer["is_whole"]


def test_host_that_was_not_asked_is_told_of():
    """A dead host's mail is deferred unasked, and the transcript says why."""
    away = Outcome(Result.DEFERRED, "4.4.1", text="no answer", command="CONNECT", mx_host="x.example")
    made = World(script={f"r{n}@x.example": [away] * 3 for n in range(40)})
    ids = [made.submit(f"r{n}@x.example").queue_id for n in range(40)]
    while made.invoke(QueueName.DELIVERY):
        pass
    parts = [part for queue_id in ids for part in show_transcript(queue_id, None, OWNER, deps_of(made))["attempts"]]
    assert any("was not tried" in part["lines"][0]["text"] for part in parts)


def test_who_is_behind_a_list_is_the_operators_affair():
    """The sender sees the list and what became of it; hosts' words and transcripts name members."""
    full = Outcome(Result.DEFERRED, "4.2.2", 452, "<joe@x.example> is full", "RCPT", "mx.x.example")
    made = world(script={"joe@x.example": [full]})
    made.load("aliases", "team: joe@x.example, b@y.example\nowner-team: boss@y.example\n")
    made.for_validate = replace(
        made.for_validate, settings=replace(made.for_validate.settings, local_domains=("local.example",))
    )
    queue_id = made.submit("team@local.example").queue_id
    for name in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        made.invoke(name)
    deps = deps_of(made)
    ours, theirs = show_message(queue_id, OWNER, deps), show_message(queue_id, OPERATOR, deps)
    assert {r["forward_path"] for r in theirs["recipients"]} == {"joe@x.example", "b@y.example"}
    assert [(r["forward_path"], r["state"], r["text"]) for r in ours["recipients"]] == [
        ("team@local.example", "deferred", ""), ("team@local.example", "delivered", "")
    ]  # fmt: skip
    for answer in (ours, show_queue(10, OWNER, deps)):
        assert "joe" not in str(answer)
        assert "x.example" not in str(answer)
    assert "joe@x.example" in str(show_queue(10, OPERATOR, deps))
    with pytest.raises(Rejected) as caught:
        show_transcript(queue_id, None, OWNER, deps)
    assert caught.value.status is status.ACCESS_DENIED
    assert show_transcript(queue_id, None, OPERATOR, deps)["attempts"]
