"""Duplicates, rivals, poison, missing objects, outages: each ends as the design says, never in silence."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import (
    ALL_SHARDS,
    LOST_AFTER_S,
    DueJob,
    Job,
    JobKey,
    JobRecord,
    Notice,
    NoticeKind,
    State,
    claimed,
    with_outcomes,
)
from paravion.domain.status import (
    BAD_MESSAGE,
    IDEMPOTENCY_CONFLICT,
    MESSAGE_TOO_BIG,
    NO_RECIPIENTS,
    NO_SUCH_CONFIGURATION_SET,
    RECIPIENT_SYNTAX,
    RELAY_DENIED,
    ROUTING_LOOP,
    SENDER_SYNTAX,
    TOO_MANY_RECIPIENTS,
    Rejected,
    Status,
)
from paravion.errors import ClaimLost, LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import Identity, QueueName, Transaction
from paravion.services.deliver import deliver
from paravion.services.retry import sweep
from tests.support.world import PLAN, START, Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
SENDER = "me@example.org"


def test_job_delivered_twice_by_sqs_is_sent_once() -> None:
    """SQS is at least once: the second copy finds the job done and is dropped."""
    world = World()
    receipt = world.submit("you@a.example")
    world.queues.send(QueueName.DELIVERY, [Job(JobKey(receipt.queue_id), START)])
    world.run()
    assert len(world.accepted_by("you@a.example")) == 1
    assert world.queues.items[QueueName.PARKED] == []


def test_two_workers_with_one_job_at_once_send_it_once() -> None:
    """The ledger's lease decides; the loser's item goes the dead-letter road and is dropped there."""
    world = World()
    receipt = world.submit("you@a.example")
    world.queues.send(QueueName.DELIVERY, [Job(JobKey(receipt.queue_id), START)])
    first, second = world.queues.receive(QueueName.DELIVERY)

    async def both() -> list[list[str]]:
        return await asyncio.gather(
            deliver([first], world.for_deliver, 60.0), deliver([second], world.for_deliver, 60.0)
        )

    failed = asyncio.run(both())
    assert sorted(map(len, failed)) == [0, 1]
    world.run()
    assert len(world.accepted_by("you@a.example")) == 1
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}


def _met_a_rival() -> tuple[World, str, JobRecord]:
    """A job that another worker holds, and whose item has gone by the delivery queue to `retry`."""
    world = World()
    queue_id = world.submit("you@a.example").queue_id
    held = world.ledger.claim(Job(JobKey(queue_id), START), token="other", lease_until=START + 90)
    assert held is not None
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    return world, queue_id, held


def test_rival_of_a_running_lease_waits_for_its_end() -> None:
    """A copy that meets a live lease comes again after it, and does not disturb its worker."""
    world, queue_id, held = _met_a_rival()
    assert world.ledger.load(held.key) == held
    assert world.queues.next_visible_at() == START + 95
    # The other worker died: its job is found after its lease, and delivered.
    world.run()
    assert world.states(queue_id) == {"you@a.example": "delivered"}


def test_deferred_job_whose_item_is_gone_is_found_again() -> None:
    """Its worker had an item that was no longer in the queue when the attempt ended: the sweep brings it to `retry`."""
    taken = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
    world = World({"you@a.example": [Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx"), taken]})
    receipt = world.submit("you@a.example")
    items = world.queues.receive(QueueName.DELIVERY)
    asyncio.run(deliver(items, world.for_deliver, 60.0))
    world.queues.delete(QueueName.DELIVERY, [item.receipt for item in items])
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert (record.state, record.due_at) == (State.TRIED, START + LOST_AFTER_S)
    world.run()
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}


def test_item_given_twice_does_not_leave_its_deferred_job_to_nobody() -> None:
    """The rival takes the one item that there is to `retry`; the worker then defers, and has none to bring there."""
    world, queue_id, held = _met_a_rival()
    busy = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
    tried = with_outcomes(
        replace(held, recipient_count=1), {0: ("you@a.example", busy)}, now=world.now, notify={}, last=True
    )
    world.ledger.save(tried)
    world.run()
    assert world.states(queue_id) == {"you@a.example": "delivered"}
    (record,) = world.ledger.load_message(queue_id)
    assert record.attempts == 2


@pytest.mark.parametrize("queue", [QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE])
def test_poison_body_is_parked_with_a_fault_logged(queue: str) -> None:
    """What is no job of ours ends in the parked queue, soon, and takes nothing else with it."""
    world = World()
    world.queues.put(queue, "{not a job")
    receipt = world.submit("you@a.example")
    world.run(until=START + 3600)
    assert [item.body for item in world.queues.items[QueueName.PARKED]] == ["{not a job"]
    assert world.now < START + 3600
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}
    assert "Fault" in [event for event, _ in world.event_log.records]


def test_missing_envelope_is_retried_then_ended_with_a_record() -> None:
    """A qf that is gone defers (it might come back); then, with nobody known to be told, the log alone has it."""
    world = World()
    receipt = world.submit("you@a.example")
    del world.spool.envelopes[receipt.queue_id]
    world.run()
    assert world.queues.items[QueueName.PARKED] == []
    assert world.states(receipt.queue_id) == {"unknown": "failed"}
    assert [event for event, _ in world.event_log.records][-2:] == ["Expiration", "DoubleBounceDropped"]
    assert world.accepted_by("you@a.example") == []


def test_missing_envelope_that_comes_back_is_delivered() -> None:
    """Unknown trouble is transient."""
    world = World()
    receipt = world.submit("you@a.example")
    qf = world.spool.envelopes.pop(receipt.queue_id)
    world.run(until=START + 600)
    world.spool.envelopes[receipt.queue_id] = qf
    world.run()
    assert len(world.accepted_by("you@a.example")) == 1


def test_missing_body_is_deferred_and_returned_in_the_end() -> None:
    """Without a df nothing can be sent; the sender hears of it when the time is up."""
    world = World()
    receipt = world.submit("you@a.example", sender=SENDER)
    del world.spool.bodies[receipt.queue_id]
    world.run()
    assert world.states(receipt.queue_id) == {"you@a.example": "failed"}
    reports = world.accepted_by(SENDER)
    assert len(reports) == 2
    assert b"delayed" in reports[0]
    assert b"failed" in reports[1]


def test_ledger_away_for_an_hour_costs_the_mail_nothing() -> None:
    """Throttled claims are no attempts: the mail waits and goes out when the ledger is back."""
    world = World()
    claim = world.ledger.claim

    def throttled(*_args: object, **_kwargs: object) -> None:
        if world.now < START + 3600:
            raise LedgerUnavailable("throttled")

    world.ledger.claim = lambda *args, **kwargs: throttled() or claim(*args, **kwargs)  # type: ignore[method-assign]
    receipt = world.submit("you@a.example")
    world.run()
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.attempts == 1
    assert START + 3600 <= record.recipients[0].at < START + 3600 + 1200


@pytest.mark.parametrize(
    ("error", "port", "call"),
    [
        (SpoolUnavailable, "spool", "put_body"),
        (SpoolUnavailable, "spool", "put_envelope"),
        (QueueUnavailable, "queues", "send"),
    ],
)
def test_outage_before_the_commit_is_no_promise(error: type[Exception], port: str, call: str) -> None:
    """The caller is told to come back, and nothing is ever sent."""
    World(saboteur=(plain := Saboteur())).submit("you@a.example")
    saboteur = Saboteur(at=plain.calls.index(f"validate:{port}.{call}"), error=error)
    world = World(saboteur=saboteur)
    with pytest.raises(error):
        world.submit("you@a.example")
    assert not any("queues" in later for later in saboteur.calls[saboteur.at + 1 :])
    world.run()
    assert world.transport.accepted == []


def test_repeat_with_the_same_key_is_one_message() -> None:
    """Idempotent doors: the first answer again, one delivery."""
    world = World()
    first = world.submit("you@a.example", idempotency_key="order-7")
    world.run()
    again = world.submit("you@a.example", idempotency_key="order-7")
    world.run()
    assert (again.queue_id, again.repeated, first.repeated) == (first.queue_id, True, False)
    assert len(world.accepted_by("you@a.example")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"content": b"From: me@example.org\r\n\r\nother\r\n"},
        {"sender": "other@example.org"},
        {"tags": (("a", "b"),)},
        {"envid": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_same_key_for_another_message_is_refused(change: dict[str, object]) -> None:
    """A key names one message; what differs in any way is told so, and not sent."""
    world = World()
    world.submit("you@a.example", idempotency_key="order-7")
    with pytest.raises(Rejected) as refusal:
        world.submit("you@a.example", idempotency_key="order-7", **change)
    assert refusal.value.status is IDEMPOTENCY_CONFLICT
    world.run()
    assert len(world.accepted_by("you@a.example")) == 1


def test_keys_of_two_principals_do_not_meet() -> None:
    """A key is the principal's own."""
    world = World()
    first = world.submit("you@a.example", idempotency_key="k")
    second = world.submit("you@a.example", idempotency_key="k", principal="AKIAOTHER")
    assert first.queue_id != second.queue_id


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"recipients": ("not an address",)}, RECIPIENT_SYNTAX),
        ({"recipients": ("a@b.example\r\nRCPT TO:<x@y>",)}, RECIPIENT_SYNTAX),
        ({"recipients": ()}, NO_RECIPIENTS),
        ({"recipients": tuple(f"r{n}@a.example" for n in range(1001))}, TOO_MANY_RECIPIENTS),
        ({"sender": "@nobody"}, SENDER_SYNTAX),
        ({"content": b"no header at all"}, BAD_MESSAGE),
        ({"content": b"Subject: x\r\n\r\nno From\r\n"}, BAD_MESSAGE),
        ({"content": b"From: a@b.example\r\nFrom: c@d.example\r\n\r\n"}, BAD_MESSAGE),
        ({"content": b"From: a@b.example\r\n\r\n" + b"x" * 11_000_000}, MESSAGE_TOO_BIG),
        ({"content": b"Received: x\r\n" * 101 + b"From: a@b.example\r\n\r\n"}, ROUTING_LOOP),
        ({"content": b"From: a@b.example\r\nX-SES-CONFIGURATION-SET: none\r\n\r\n"}, NO_SUCH_CONFIGURATION_SET),
    ],
    ids=[
        "recipient", "injection", "no-recipients", "1001-recipients", "sender", "no-header", "no-from", "two-froms",
        "11-MB", "101-hops", "configuration-set",
    ],
)  # fmt: skip
def test_bad_submission_is_refused_and_nothing_is_kept(fields: dict[str, object], status: Status) -> None:
    """The right row of the taxonomy, and not a byte stored."""
    world = World()
    recipients = fields.pop("recipients", ("you@a.example",))
    with pytest.raises(Rejected) as refusal:
        world.submit(*recipients, **fields)  # type: ignore[misc]
    assert refusal.value.status is status
    assert (world.spool.envelopes, world.spool.bodies) == ({}, {})
    assert world.queues.next_visible_at() is None
    assert [event for event, _ in world.event_log.records] == ["Rejection"]


@pytest.mark.parametrize(
    ("check", "names", "allowed"),
    [
        ("off", (), True),
        ("created", (), False),
        ("created", ("example.org",), True),
        ("created", ("me@example.org",), True),
        ("created", ("org",), False),
        ("verified", ("example.org",), False),
        ("verified", ("+example.org",), True),
        ("verified", ("+other.example",), False),
    ],
)
def test_sender_needs_an_identity(check: str, names: tuple[str, ...], allowed: bool) -> None:
    """Deny by default: an address, its domain or one above it; verified where that is asked for."""
    world = World(identity_check=check)
    for name in names:
        world.identities.put(Identity(name.lstrip("+"), name.startswith("+"), "t", START))
    if allowed:
        world.submit("you@a.example")
        return
    with pytest.raises(Rejected, match=r"me@example\.org") as refusal:
        world.submit("you@a.example")
    assert refusal.value.status is RELAY_DENIED


def test_from_of_another_is_refused_though_the_reverse_path_is_ours() -> None:
    """What the recipient sees must be verified too, not only the envelope."""
    world = World(identity_check="created")
    world.identities.put(Identity("example.org", True, "t", START))
    with pytest.raises(Rejected, match=r"ceo@bank\.example"):
        world.submit("you@a.example", content=b"From: ceo@bank.example\r\n\r\n")


def test_greylisted_comes_back_when_the_host_said() -> None:
    """Not by the schedule, which would be early at first and late later on."""
    grey = Outcome(Result.DEFERRED, "4.7.1", 451, "Greylisted, try again in 10 minutes", "RCPT", "mx.example.net")
    delivered = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.example.net")
    world = World({"bob@example.net": [grey, delivered]})
    receipt = world.submit("bob@example.net")
    world.run(until=START + 599)
    assert world.states(receipt.queue_id) == {"bob@example.net": "deferred"}
    world.run()
    assert world.states(receipt.queue_id) == {"bob@example.net": "delivered"}
    ((_, state),) = world.ledger.load_message(receipt.queue_id)[0].recipients.items()
    assert 600 <= state.at - START < 700


def test_busy_for_five_days_is_warned_once_and_returned_once() -> None:
    """queue_warn_s and queue_return_s: one delay report, then one failure, nothing afterwards."""
    world = World({"busy@b.example": [BUSY]})
    receipt = world.submit("busy@b.example", sender=SENDER)
    world.run()
    reports = world.accepted_by(SENDER)
    assert [b"Action: delayed" in r for r in reports] == [True, False]
    assert b"Action: failed" in reports[1]
    assert b"busy, come back" in reports[1]
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert (record.state, record.owed) == (State.DONE, ())
    assert record.recipients[0].at == START + 432_000


@pytest.mark.parametrize(
    ("notify", "outcome", "actions"),
    [
        ((), MISSING, [b"failed"]),
        (("NEVER",), MISSING, []),
        (("SUCCESS",), MISSING, []),
        (("FAILURE",), MISSING, [b"failed"]),
        (("FAILURE",), BUSY, [b"failed"]),
        (("DELAY",), BUSY, [b"delayed"]),
        (("NEVER",), BUSY, []),
        (("SUCCESS",), Outcome(Result.DELIVERED, "2.0.0", 250, "Ok"), [b"relayed"]),
        (("SUCCESS",), Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", relayed_dsn=True), []),
    ],
)
def test_notify_decides_what_is_reported(notify: tuple[str, ...], outcome: Outcome, actions: list[bytes]) -> None:
    """RFC 3461 4.1: NEVER stays silent, SUCCESS is reported unless the next hop took over the duty."""
    world = World({"you@b.example": [outcome]})
    world.submit(Recipient("you@b.example", notify), sender=SENDER)
    world.run()
    found = [line for report in world.accepted_by(SENDER) for line in report.splitlines() if b"Action:" in line]
    assert [b"Action: " + action for action in actions] == found


def test_bounce_of_a_bounce_goes_to_the_postmaster_and_no_further() -> None:
    """Sender unknown: the report fails, the postmaster hears of it; if he is unknown too, that is the end."""
    script = {"you@a.example": [MISSING], SENDER: [MISSING], "postmaster@example.net": [MISSING]}
    world = World(script, postmaster="postmaster@example.net")
    world.submit("you@a.example", sender=SENDER)
    world.run()
    assert world.kinds() == ["double-bounce", "dsn", "mail"]
    assert world.transport.accepted == []
    assert [event for event, _ in world.event_log.records].count("DoubleBounceDropped") == 1


@pytest.mark.parametrize("sender", [SENDER, ""], ids=["sender-unknown", "null-sender"])
def test_double_bounce_without_a_postmaster_is_dropped_with_a_record(sender: str) -> None:
    """Nothing loops, and the log tells."""
    world = World({"you@a.example": [MISSING], SENDER: [MISSING]})
    world.submit("you@a.example", sender=sender)
    world.run()
    assert world.transport.accepted == []
    assert [event for event, _ in world.event_log.records].count("DoubleBounceDropped") == 1


def test_domain_without_mail_fails_for_its_recipients_only() -> None:
    """A null MX is final for its domain; the others of the message are delivered."""
    null_mx = Outcome(Result.FAILED, "5.1.10", 0, "Domain accepts no mail", "DNS")
    world = World(hops={"no.example": null_mx})
    receipt = world.submit("a@no.example", "b@yes.example")
    world.run()
    assert world.states(receipt.queue_id) == {"a@no.example": "failed", "b@yes.example": "delivered"}


def test_domains_with_one_hop_share_a_transaction() -> None:
    """Recipients of one next hop go in one transaction."""
    hop = NextHop("mx.shared.example", (MxHost("mx.shared.example"),))
    world = World(hops={"a.example": hop, "b.example": hop})
    world.submit("x@a.example", "y@b.example", "z@c.example")
    world.run()
    assert world.transport.calls == 2


def test_250_recipients_make_three_jobs_that_share_one_body() -> None:
    """Chunks of at most 100; one qf, one df."""
    world = World()
    paths = [f"r{n}@a.example" for n in range(250)]
    receipt = world.submit(*paths)
    world.run()
    assert len(world.ledger.load_message(receipt.queue_id)) == 3
    assert (len(world.spool.envelopes), len(world.spool.bodies)) == (1, 1)
    assert sorted(path for _, path, _, _ in world.transport.accepted) == sorted(paths)


def test_outcome_of_one_hop_is_recorded_while_another_hangs() -> None:
    """The RFC 1047 instant is kept small: the first hop's 250 is written before the second hop answers."""
    world = World()
    receipt = world.submit("fast@a.example", "slow@b.example")
    send = world.transport.send
    released = asyncio.Event()

    async def watched(hop: NextHop, transaction: object, deadline: float) -> object:
        if hop.name == "b.example":
            await released.wait()
        return await send(hop, transaction, deadline)  # type: ignore[arg-type]

    world.transport.send = watched  # type: ignore[assignment,method-assign]
    items = world.queues.receive(QueueName.DELIVERY)

    async def go() -> None:
        task = asyncio.ensure_future(deliver(items, world.for_deliver, 60.0))
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if world.states(receipt.queue_id) == {"fast@a.example": "delivered"}:
                break
        else:
            raise AssertionError("not recorded")
        released.set()
        await task

    asyncio.run(go())
    assert world.states(receipt.queue_id) == {"fast@a.example": "delivered", "slow@b.example": "delivered"}


def test_smarthost_takes_all_mail_in_one_transaction() -> None:
    """With a relay no name is looked up."""
    world = World()
    hop = NextHop("smart:587", (MxHost("smart", 587, allow_private=True),))
    world.for_deliver = replace(world.for_deliver, smarthost=hop)
    receipt = world.submit("x@a.example", "y@b.example")
    world.run()
    assert world.transport.calls == 1
    assert world.states(receipt.queue_id) == {"x@a.example": "delivered", "y@b.example": "delivered"}


def test_report_settled_meanwhile_does_not_lose_the_workers_outcome() -> None:
    """The bounce of an earlier failure changes the record under a worker; its 250 goes on top."""
    world = World({"busy@b.example": [BUSY, Outcome(Result.DELIVERED, "2.0.0", 250, "Ok")]})
    receipt = world.submit("busy@b.example", "missing@c.example", sender=SENDER)
    key = JobKey(receipt.queue_id)
    world.transport.script["missing@c.example"] = [MISSING]
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    world.now += 400
    world.sweep()
    send = world.transport.send

    async def interrupted(*args: object) -> object:
        outcomes = await send(*args)  # type: ignore[arg-type]
        assert world.invoke(QueueName.BOUNCE)
        return outcomes

    world.transport.send = interrupted  # type: ignore[assignment,method-assign]
    record = world.ledger.load(key)
    assert record is not None
    assert record.owed
    world.invoke(QueueName.DELIVERY)
    after = world.ledger.load(key)
    assert after is not None
    assert (after.state, after.owed) == (State.DONE, ())
    world.transport.send = send  # type: ignore[method-assign]
    world.run()
    assert len(world.accepted_by("busy@b.example")) == 1
    assert len(world.accepted_by(SENDER)) == 1


def test_worker_that_lost_its_claim_writes_nothing() -> None:
    """Somebody else's record is not overwritten; the item goes the dead-letter road."""
    world = World()
    receipt = world.submit("you@a.example")
    key = JobKey(receipt.queue_id)
    send = world.transport.send

    async def stolen(*args: object) -> object:
        outcomes = await send(*args)  # type: ignore[arg-type]
        record = world.ledger.records[key]
        world.ledger.records[key] = replace(record, token="thief", version=record.version + 1)
        return outcomes

    world.transport.send = stolen  # type: ignore[assignment,method-assign]
    items = world.queues.receive(QueueName.DELIVERY)
    assert asyncio.run(deliver(items, world.for_deliver, 60.0)) == [items[0].item_id]
    assert world.ledger.records[key].token == "thief"


def test_ledger_gone_until_the_end_counts_as_broken_off() -> None:
    """The outcome could not be written in all the time there was: the attempt broke off, the mail comes back."""
    world = World()
    receipt = world.submit("you@a.example")

    def refuse(_record: object) -> None:
        raise LedgerUnavailable("throttled")

    save, world.ledger.save = world.ledger.save, refuse  # type: ignore[assignment,method-assign]
    items = world.queues.receive(QueueName.DELIVERY)
    assert asyncio.run(deliver(items, world.for_deliver, 0.2)) == [items[0].item_id]
    world.ledger.save = save  # type: ignore[method-assign]
    world.run()
    # The instant of RFC 1047, stretched over the outage: a second copy, never a lost mail.
    assert len(world.accepted_by("you@a.example")) == 2
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}


def test_job_done_that_owes_a_report_is_told_to_the_bounce_queue_again() -> None:
    """SQS brings a done job back: what it owes is sent to the bounce queue once more, and reported once."""
    world = World({"you@a.example": [MISSING]})
    receipt = world.submit("you@a.example", sender=SENDER)
    world.invoke(QueueName.DELIVERY)
    world.queues.items[QueueName.BOUNCE].clear()
    world.queues.send(QueueName.DELIVERY, [Job(JobKey(receipt.queue_id), START)])
    world.run()
    assert len(world.accepted_by(SENDER)) == 1


def test_bounce_job_without_a_record_is_parked() -> None:
    """It can't be: so somebody must look at it."""
    world = World()
    world.queues.send(QueueName.BOUNCE, [Job(JobKey("q" * 26), START)])
    world.run()
    assert len(world.queues.items[QueueName.PARKED]) == 1


@pytest.mark.parametrize("whole", [False, True], ids=["body alone", "whole report"])
def test_report_id_that_is_taken_by_other_octets(whole: bool) -> None:
    """A body left by a crash makes the report take its next id; a whole report there is enqueued, not doubled."""
    world = World({"you@a.example": [MISSING]})
    world.submit("you@a.example", sender=SENDER)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.BOUNCE)
    (report_id,) = [
        queue_id for queue_id in world.spool.envelopes if b"auto-replied" in world.spool.envelopes[queue_id]
    ]
    world.spool.bodies[report_id] = b"other octets\r\n"
    if not whole:
        del world.spool.envelopes[report_id]
    world.queues.items[QueueName.DELIVERY].clear()
    key = next(iter(world.ledger.records))
    record = world.ledger.records[key]
    world.ledger.records[key] = replace(record, owed=(Notice(NoticeKind.FAILED, 1),))
    world.queues.send(QueueName.BOUNCE, [Job(key, START)])
    world.run()
    assert len(world.accepted_by(SENDER)) == 1
    assert len([q for q in world.spool.envelopes if b"auto-replied" in world.spool.envelopes[q]]) == 1


def test_body_that_is_gone_is_left_out_of_the_report() -> None:
    """The sender hears of the failure even if the content can't be returned."""
    world = World({"you@a.example": [MISSING]})
    receipt = world.submit("you@a.example", sender=SENDER)
    world.invoke(QueueName.DELIVERY)
    del world.spool.bodies[receipt.queue_id]
    world.run()
    (report,) = world.accepted_by(SENDER)
    assert b"text/rfc822-headers" in report


@pytest.mark.parametrize("queue", [QueueName.RETRY, QueueName.BOUNCE])
def test_record_that_keeps_changing_leaves_the_item_for_later(queue: str) -> None:
    """After some tries the item stays hidden and comes again; nothing is overwritten."""
    world = World({"you@a.example": [BUSY] if queue == QueueName.RETRY else [MISSING]})
    receipt = world.submit("you@a.example", sender=SENDER)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    save = world.ledger.save

    def always_late(record: JobRecord) -> JobRecord:
        raise ClaimLost(str(record.key))

    world.ledger.save = always_late  # type: ignore[method-assign]
    world.invoke(queue)
    assert [item.receives for item in world.queues.items[queue]] == [1]
    world.ledger.save = save  # type: ignore[method-assign]
    world.run()
    assert len(world.accepted_by(SENDER)) >= 1
    assert world.states(receipt.queue_id) == {"you@a.example": "failed"}


def test_control_field_that_we_cannot_obey_is_refused_by_name() -> None:
    """Never ignored."""
    world = World()
    content = b"From: a@b.example\r\nX-SES-SOURCE-ARN: arn:x\r\n\r\n"
    with pytest.raises(Rejected, match="SourceArn: 'arn:x'"):
        world.submit("you@a.example", content=content)


def test_tags_of_the_header_are_those_of_a_call_without_any() -> None:
    """X-SES-MESSAGE-TAGS is a setting of the send, and does not travel; SES does not join it with the request's."""
    world = World()
    content = b"From: a@b.example\r\nX-SES-MESSAGE-TAGS: a=1, b=2\r\n\r\n"
    receipt = world.submit("you@a.example", content=content, tags=(("c", "3"),))
    envelope, header = decode_qf(world.spool.envelopes[receipt.queue_id])
    assert envelope.tags == (("c", "3"),)
    assert b"X-SES" not in header
    receipt = world.submit("you@a.example", content=content)
    assert decode_qf(world.spool.envelopes[receipt.queue_id])[0].tags == (("a", "1"), ("b", "2"))


def test_sweep_pages_through_a_long_index_whose_copy_lags() -> None:
    """An index that still shows what was woken (it is eventually consistent) does not hold up the rest."""
    world = World()
    for n in range(2500):
        key = JobKey(f"q{n}")
        world.ledger.save(JobRecord(key, START, State.DEFERRED, due_at=START + n / 1000))
    world.now = START + 10
    shown = {shard: world.ledger.due(shard, world.now, 10_000) for shard in range(ALL_SHARDS)}

    def lagging(shard: int, _now: float, limit: int, after: DueJob | None = None) -> list[DueJob]:
        first = shown[shard].index(after) + 1 if after else 0
        return shown[shard][first : first + limit]

    world.ledger.due = lagging  # type: ignore[method-assign]
    assert world.sweep() == 2500
    assert world.sweep() == 0
    assert len(world.queues.items[QueueName.DELIVERY]) == 2500


def test_sweep_ends_when_its_time_is_up() -> None:
    """What is left, more than a page of each shard, is found by the next one."""
    world = World()
    for n in range(2000):
        world.ledger.save(JobRecord(JobKey(f"q{n}"), START, State.DEFERRED, due_at=START))
    times = iter([60.0, 4.0])
    count = sweep(world.for_retry, lambda: next(times))
    assert 0 < count < 2000
    assert count + world.sweep() == 2000


def test_delivery_that_stands_still_for_hours_doubles_no_mail() -> None:
    """
    What `deliver` does not touch is enqueued again each hour, in case it was lost: one item more for each hour.

    Each costs a claim and a look by `retry` when delivery goes on, and nothing else; what was really lost is found.
    """
    later = [BUSY, Outcome(Result.DELIVERED, "2.0.0", 250, "Ok")]
    world = World({f"u{n}@b.example": list(later) for n in range(4)})
    world.for_retry = replace(world.for_retry, sweep_grace_s=3600)
    ids = [world.submit(f"u{n}@b.example").queue_id for n in range(4)]
    while world.invoke(QueueName.DELIVERY) or world.invoke(QueueName.RETRY):
        pass
    for _ in range(5 * 60):
        world.now += 60
        world.sweep()
    waiting = world.queues.items[QueueName.DELIVERY]
    assert len(waiting) == 4 * 5
    lost = {ids[0]}
    world.queues.items[QueueName.DELIVERY] = [item for item in waiting if item.body.key.queue_id not in lost]
    world.run()
    for n, queue_id in enumerate(ids):
        (record,) = world.ledger.load_message(queue_id)
        assert (len(world.accepted_by(f"u{n}@b.example")), record.attempts) == (1, 2)
    assert not any(world.queues.items.values())


def test_who_said_never_is_not_named_in_the_report_of_another() -> None:
    """RFC 3461 4.1, in the report itself."""
    world = World({"a@b.example": [MISSING], "c@d.example": [MISSING]})
    world.submit(Recipient("a@b.example", ("NEVER",)), "c@d.example", sender=SENDER)
    world.run()
    (report,) = world.accepted_by(SENDER)
    assert b"c@d.example" in report
    assert b"rfc822; a@b.example" not in report


def test_delay_that_is_over_when_its_report_is_due_is_not_reported() -> None:
    """The bounce queue was late: everybody has the mail by now."""
    world = World(
        {"you@a.example": [BUSY, Outcome(Result.DELIVERED, "2.0.0", 250, "Ok")]}, plan=replace(PLAN, warn_s=0)
    )
    world.submit("you@a.example", sender=SENDER)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    (late,) = world.queues.items[QueueName.BOUNCE]
    late.visible_at = START + 4000
    world.run()
    key = next(iter(world.ledger.records))
    assert world.ledger.records[key].owed == ()
    assert world.accepted_by(SENDER) == []


def test_from_that_is_no_address_is_nobodys_identity() -> None:
    """With the check on, what can't be parsed can't be verified."""
    world = World(identity_check="created")
    world.identities.put(Identity("example.org", True, "t", START))
    with pytest.raises(Rejected) as refusal:
        world.submit("you@a.example", content=b"From: x@[999.1.1.1]\r\n\r\n")
    assert refusal.value.status in {RELAY_DENIED, BAD_MESSAGE}


def test_failure_found_late_in_an_attempt_is_reported_though_bounce_ran_meanwhile() -> None:
    """A report of the attempt under way waits for its end: its members still come in."""
    later = [BUSY, MISSING]
    world = World({"a@one.example": [MISSING], "b@two.example": list(later), "c@three.example": list(later)})
    inner, under_way = world.transport.send, [False]

    async def send(hop: NextHop, transaction: object, deadline: float) -> object:
        if under_way[0] and hop.name == "three.example":
            for _ in range(200):
                await asyncio.sleep(0.005)
                if any(notice.attempt == 2 for record in world.ledger.records.values() for notice in record.owed):
                    break
            # An older item of the bounce queue turns up again while this hop is still talking.
            world.now += 1100
            await asyncio.to_thread(world.invoke, QueueName.BOUNCE)
        return await inner(hop, transaction, deadline)  # type: ignore[arg-type]

    world.transport.send = send  # type: ignore[assignment,method-assign]
    world.submit("a@one.example", "b@two.example", "c@three.example", sender=SENDER)
    for queue in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        world.invoke(queue)
    world.queues.receive(QueueName.BOUNCE)
    world.now += 320
    world.sweep()
    under_way[0] = True
    world.invoke(QueueName.DELIVERY)
    world.run()
    reports = b"".join(world.accepted_by(SENDER))
    for path in (b"a@one.example", b"b@two.example", b"c@three.example"):
        assert reports.count(b"Final-Recipient: rfc822; " + path) == 1


def test_key_used_again_after_the_spool_expired_is_a_new_message() -> None:
    """The ledger's record outlives the spool, and speaks of the earlier message only."""
    world = World()
    world.submit("a@one.example", idempotency_key="weekly")
    world.run()
    world.spool.envelopes.clear()
    world.spool.bodies.clear()
    world.now += 17 * 86_400
    again = world.submit("a@one.example", idempotency_key="weekly", content=b"From: me@example.org\r\n\r\nnew\r\n")
    assert not again.repeated
    world.run()
    assert len(world.accepted_by("a@one.example")) == 2


@pytest.mark.parametrize("large", [False, True])
def test_one_batch_does_not_open_a_thousand_connections(large: bool) -> None:
    """Memory and descriptors are the function's, whatever its jobs name."""
    world = World(max_message_octets="10000000")
    open_now, most = [0], [0]

    async def send(hop: NextHop, transaction: Transaction, _deadline: float) -> dict[int, Outcome]:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        await asyncio.sleep(0.002)
        open_now[0] -= 1
        return {n: Outcome(Result.DELIVERED, "2.0.0", 250, "ok", "DOT", hop.name) for n in transaction.recipients}

    world.transport.send = send  # type: ignore[assignment,method-assign]
    body = b"x\r\n" * (400_000 if large else 1)
    world.submit(*[f"u@d{n}.example" for n in range(1000)], content=b"From: me@example.org\r\n\r\n" + body)
    world.invoke(QueueName.DELIVERY)
    assert most[0] == (20 if large else 100)
    assert world.queues.items[QueueName.DELIVERY] == []


def test_record_of_a_chunk_fits_an_item_whatever_a_host_answers() -> None:
    """DynamoDB refuses items over 400 KB: a verbose host must not keep other hosts' outcomes from being written."""
    from paravion.adapters.dynamodb_ledger import _item

    text = "\U0001f6ab" * 1000
    record = replace(claimed(None, Job(JobKey("a" * 26), START), token="t", lease_until=START), recipient_count=100)
    told = {n: (f"user{n}@{'h' * 60}.example", replace(MISSING, text=text)) for n in range(100)}
    record = with_outcomes(record, told, now=START, notify={}, last=False)
    size = sum(len(name) + len(next(iter(value.values())).encode()) for name, value in _item(record).items())
    assert size < 400 * 1024


def test_ledger_away_for_hours_parks_nothing() -> None:
    """Rule 6: our own outage defers mail; nobody has to move it by hand afterwards."""
    world = World()
    world.queues.visibility_s = 360
    world.submit("a@one.example")

    class Down:
        def __getattr__(self, name: str) -> object:
            def call(*_args: object, **_kwargs: object) -> None:
                raise LedgerUnavailable(name)

            return call

    up = world.for_deliver, world.for_retry
    world.for_deliver = replace(world.for_deliver, ledger=Down())  # type: ignore[arg-type]
    world.for_retry = replace(world.for_retry, ledger=Down())  # type: ignore[arg-type]
    while world.now < START + 12 * 3600:
        world.invoke(QueueName.DELIVERY)
        world.invoke(QueueName.RETRY)
        world.now += 60
    world.for_deliver, world.for_retry = up
    world.run()
    assert world.queues.items[QueueName.PARKED] == []
    assert len(world.accepted_by("a@one.example")) == 1


def test_recipients_address_in_utf8_asks_nothing_of_the_others() -> None:
    """RFC 6531 3.4: the header decides for all; each path decides at its own host."""
    world = World()
    receipt = world.submit("plain@old.example", "\u00fcser@new.example")
    envelope, header = decode_qf(world.spool.envelopes[receipt.queue_id])
    assert header.isascii()
    assert not envelope.smtputf8
