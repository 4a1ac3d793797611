"""Tables, holds, the suppression list, targets and reports together: where one's rule meets another's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from paravion.domain.envelope import Recipient, decode_qf, encode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, Notice, NoticeKind, RecipientState, State, members
from paravion.domain.status import ACCESS_DENIED, IDEMPOTENCY_CONFLICT, Rejected
from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.target_verdict import taken
from paravion.domain.transcript import Page, decode
from paravion.errors import QueueUnavailable
from paravion.ports import QueueName
from paravion.services import hold
from paravion.services.authenticate import Principal
from tests.support.world import START, Saboteur, World

OPERATOR = Principal("AKIAOP", is_operator=True)
HOOK = "https://hooks.example.org/mail"
UNKNOWN = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")


def _world(aliases: str = "", script=None, **arguments) -> World:
    world = World(script, local_domains="local.example", **arguments)
    if aliases:
        world.load("aliases", aliases)
    return world


def _deps(world: World) -> SimpleNamespace:
    """What services/hold.py needs of the admin function."""
    return SimpleNamespace(
        spool=world.spool, ledger=world.ledger, event_log=world.event_log, clock=lambda: world.now
    )  # fmt: skip


def _sent(world: World) -> list[str]:
    return sorted(path for _, path, _, _ in world.transport.accepted)


def _handed_over(world: World) -> list[tuple[str, str]]:
    return [(recipient, target) for target, _, recipient, _ in world.targets.taken]


def _pages(world: World) -> list[Page]:
    return [page for octets in world.transcripts.books.values() for page in decode(octets)]


# Targets and the suppression list


def test_suppressed_mailbox_of_an_alias_keeps_its_target_from_no_mail() -> None:
    """The list speaks of a mailbox; the program that gets the alias's mail never bounced."""
    world = _world(
        f"support: support, {HOOK}\n", {"support@local.example": [UNKNOWN]}, targets={HOOK: [taken("yes")] * 2}
    )
    world.submit("support@local.example")
    world.run()
    assert list(world.suppression.items) == ["support@local.example"]
    queue_id = world.submit("support@local.example").queue_id
    world.run()
    (record,) = world.ledger.load_message(queue_id)
    assert [state.outcome.command for _, state in sorted(record.recipients.items())] == ["SUPPRESSION", "TARGET"]
    assert len(_handed_over(world)) == 2


@pytest.mark.parametrize("word", ["DISCARD", "REJECT"])
def test_target_refused_by_one_alias_gets_the_mail_by_another(word: str) -> None:
    """Each target once; but what the access table keeps from an alias is not kept from the next one."""
    world = _world(f"all: a, b\na: {HOOK}\nb: {HOOK}\n")
    world.load("access", f"To:a@local.example {word}\n")
    world.submit("all@local.example")
    world.run()
    assert _handed_over(world) == [("b@local.example", HOOK)]


def test_target_of_two_aliases_gets_the_mail_once() -> None:
    """With an access table too."""
    world = _world(f"all: a, b\na: {HOOK}\nb: {HOOK}\n")
    world.load("access", "To:c@local.example REJECT\n")
    receipt = world.submit("all@local.example", "a@local.example")
    world.run()
    assert (receipt.recipient_count, len(_handed_over(world))) == (1, 1)


def test_transcript_tells_of_each_target_of_an_alias() -> None:
    """They share its address."""
    queue = "sqs:arn:aws:sqs:eu-west-1:123456789012:inbox"
    world = _world(f"both: {HOOK}, {queue}\n", targets={HOOK: [taken("hook has it")], queue: [taken("queue has it")]})
    world.submit("both@local.example")
    world.run()
    told = "".join(line.text for page in _pages(world) for line in page.lines)
    assert ("hook has it" in told, "queue has it" in told) == (True, True)


# Holds


def test_held_mail_with_a_target_goes_to_both_after_its_release() -> None:
    """And not before."""
    world = _world(f"team: {HOOK}, ann@a.example\n")
    world.load("access", "To:team@local.example QUARANTINE:check\n")
    queue_id = world.submit("team@local.example").queue_id
    world.run(until=START + 3600)
    assert (_handed_over(world), _sent(world)) == ([], [])
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert (len(_handed_over(world)), _sent(world)) == (1, ["ann@a.example"])


def test_recipient_suppressed_while_his_mail_was_held_is_not_sent_to() -> None:
    """The list is asked at the attempt; the sender hears of it."""
    world = _world()
    world.load("access", "From:me@example.org QUARANTINE:check\n")
    queue_id = world.submit("a@a.example", "b@b.example").queue_id
    world.run(until=START + 3600)
    world.suppression.put(Suppressed("a@a.example", Reason.COMPLAINT, world.now, "operator"))
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _sent(world) == ["b@b.example", "me@example.org"]
    assert world.states(queue_id) == {"a@a.example": "failed", "b@b.example": "delivered"}


def test_removed_part_stays_removed_whichever_try_wrote_its_envelope() -> None:
    """A part's envelope may be older than the commit: that makes its job no later message's."""
    world = _world("list: ann@a.example, bob@b.example\nowner-list: boss@o.example\n")
    real, broken = world.spool.put_envelope, []

    def break_first(queue_id: str, octets: bytes) -> bytes | None:
        if not decode_qf(octets)[0].body_id and not broken:
            broken.append(queue_id)
            raise QueueUnavailable("before the first qf")
        return real(queue_id, octets)

    world.spool.put_envelope = break_first  # type: ignore[method-assign]
    with pytest.raises(QueueUnavailable):
        world.submit("c@c.example", "list@local.example", idempotency_key="k")
    world.now += 60
    queue_id = world.submit("c@c.example", "list@local.example", idempotency_key="k").queue_id
    told = hold.remove(queue_id, OPERATOR, _deps(world))
    assert [job["state"] for job in told["jobs"]] == ["removed", "removed"]
    world.run()
    assert _sent(world) == []


def test_delay_owed_by_a_removed_job_is_not_reported() -> None:
    """Nobody promises to keep trying what an operator took away."""
    waits = RecipientState("a@a.example", Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx"), 1.0, 1)
    record = JobRecord(JobKey("q"), 0.0, State.DEFERRED, recipients={0: waits})
    delayed = Notice(NoticeKind.DELAYED, 1)
    assert list(members(record, delayed, {})) == [0]
    assert members(JobRecord(JobKey("q"), 0.0, State.REMOVED, recipients={0: waits}), delayed, {}) == {}


def test_removed_job_that_comes_late_out_of_the_queue_is_dropped() -> None:
    """Its item may have waited there for its turn."""
    world = _world()
    queue_id = world.submit("a@a.example").queue_id
    hold.remove(queue_id, OPERATOR, _deps(world))
    world.queues.send(QueueName.DELIVERY, [Job(JobKey(queue_id), START)], delay_s=600.0)
    world.run()
    assert _sent(world) == []


# The same submission again


@pytest.mark.parametrize("word", ["REJECT", "DISCARD", "ERROR:4.7.1:450 later"])
def test_repeat_of_what_was_taken_is_the_same_whatever_the_tables_say_now(word: str) -> None:
    """The first answer was lost, and a table was loaded: the mail is on its way all the same."""
    world = _world("team: ann@a.example, bob@b.example\n")
    first = world.submit("c@c.example", "team@local.example", idempotency_key="k")
    world.load("access", f"From:me@example.org {word}\n")
    world.load("aliases", "team: carl@c.example\n")
    again = world.submit("c@c.example", "team@local.example", idempotency_key="k")
    assert (again.queue_id, again.recipient_count, again.repeated) == (first.queue_id, 3, True)
    world.run()
    assert _sent(world) == ["ann@a.example", "bob@b.example", "c@c.example"]


def test_repeat_enqueues_what_the_first_try_did_not() -> None:
    """It was kept, and the queue was away; by now a table refuses it, but nobody can say how much is enqueued."""
    saboteur = Saboteur()
    world = _world(saboteur=saboteur)
    saboteur.at, saboteur.error = 3, QueueUnavailable
    with pytest.raises(QueueUnavailable):
        world.submit("a@a.example", idempotency_key="k")
    world.load("access", "To:a@a.example REJECT\n")
    assert world.submit("a@a.example", idempotency_key="k").repeated
    world.run()
    assert _sent(world) == ["a@a.example"]


def test_another_message_under_the_key_of_one_that_was_taken_gets_its_own_refusal() -> None:
    """Only the same submission is answered for."""
    world = _world()
    world.submit("a@a.example", idempotency_key="k")
    with pytest.raises(Rejected) as caught:
        world.submit("b@b.example", idempotency_key="k")
    assert caught.value.status is IDEMPOTENCY_CONFLICT
    world.load("access", "To:b@b.example REJECT\n")
    with pytest.raises(Rejected) as caught:
        world.submit("b@b.example", idempotency_key="k")
    assert caught.value.status is ACCESS_DENIED
    with pytest.raises(Rejected):
        world.submit("b@b.example", idempotency_key="new")


# Who the client is


def test_helo_that_is_an_address_does_not_stand_for_the_client() -> None:
    """A client says in HELO what it likes; Connect: is asked for where it came from."""
    world = _world()
    world.load("access", "Connect:203.0.113 REJECT\n")
    with pytest.raises(Rejected):
        world.submit("a@a.example", client="[10.0.0.1] ([203.0.113.9])")
    with pytest.raises(Rejected):
        world.submit("a@a.example", client="[203.0.113.9]")
    world.submit("a@a.example", client="[203.0.113.9] ([10.0.0.1])")


# Reports


def test_list_and_failure_in_one_attempt_are_two_reports_to_two_people() -> None:
    """The sender hears of the list, its owner of the member, and the sender of the one that he named himself."""
    world = _world("list: ann@a.example, bob@b.example\nowner-list: boss@o.example\npair: x@x.example, y@y.example\n",
                   {"bob@b.example": [UNKNOWN], "y@y.example": [UNKNOWN]})  # fmt: skip
    world.submit(*(Recipient(f"{name}@local.example", ("SUCCESS", "FAILURE")) for name in ("list", "pair")))
    world.run()
    subjects = {
        to: sorted(
            line for text in world.accepted_by(to) for line in text.split(b"\r\n") if line.startswith(b"Action:")
        )
        for to in ("me@example.org", "boss@o.example")
    }
    assert subjects == {
        "me@example.org": [b"Action: delivered", b"Action: expanded", b"Action: failed"],
        "boss@o.example": [b"Action: failed"],
    }


def test_envelope_of_an_earlier_version_is_read_with_what_it_lacks() -> None:
    """A mail that was kept before a deployment is delivered after it."""
    import json

    world = _world()
    queue_id = world.submit("a@a.example").queue_id
    octets = world.spool.envelopes[queue_id]
    line, _, header = octets.partition(b"\n")
    fields = json.loads(line)
    for name in ("parts", "body_id", "tls_required", "arrivals", "quarantine", "kind"):
        del fields[name]
    for name in ("origin", "refusal", "target"):
        del fields["recipients"][0][name]
    old = json.dumps(fields).encode() + b"\n" + header
    assert encode_qf(*decode_qf(old)) == octets
    world.spool.envelopes[queue_id] = old
    world.run()
    assert _sent(world) == ["a@a.example"]
