"""Priorities on the mail's road: who decides, and what attempts, warnings, returns and reports make of it."""

from __future__ import annotations

import math
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from paravion.domain.envelope import decode_qf, encode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.priority import Span
from paravion.domain.schedule import with_priorities
from paravion.domain.status import IDEMPOTENCY_CONFLICT, Rejected
from tests.support.world import PLAN, START, World

BUSY = Outcome(Result.DEFERRED, "4.3.2", 451, "busy, come back", "RCPT", "mx.b.example")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a.example")
YOU, SENDER = "you@b.example", "author@a.example"
PLANS = with_priorities(
    PLAN,
    {"urgent": Span(0.5, is_factor=True), "bulk": Span(2, is_factor=True)},
    {"urgent": Span(3600), "bulk": Span(math.inf), "dsn": Span(60)},
    {"urgent": Span(40_000), "dsn": Span(5000)},
)


def content(*fields: str) -> bytes:
    """Give a small message with these fields."""
    return "".join(f"{field}\r\n" for field in (f"From: {SENDER}", *fields, "", "body")).encode()


@pytest.mark.parametrize(
    ("asked", "of_set", "field", "expected"),
    [
        ("", "", "Subject: x", ""),
        ("", "", "Priority: urgent", "urgent"),
        ("", "", "Precedence: junk", "bulk"),
        ("", "bulk", "Priority: urgent", "bulk"),
        ("urgent", "bulk", "Precedence: bulk", "urgent"),
        ("normal", "bulk", "Subject: x", "normal"),
    ],
)
def test_the_request_decides_then_the_set_then_the_header(asked: str, of_set: str, field: str, expected: str) -> None:
    """docs/schedule.md's order."""
    world = World()
    world.records.put("configuration-set", "news", {"Priority": of_set})
    receipt = world.submit(YOU, priority=asked, configuration_set="news", content=content(field))
    assert decode_qf(world.spool.get_envelope(receipt.queue_id))[0].priority == expected
    assert world.states(receipt.queue_id) == {}
    world.run()
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.priority == expected


def test_another_priority_is_another_message() -> None:
    """Under one idempotency key."""
    world = World()
    world.submit(YOU, priority="bulk", idempotency_key="k")
    assert world.submit(YOU, priority="bulk", idempotency_key="k").repeated
    with pytest.raises(Rejected) as rejected:
        world.submit(YOU, priority="urgent", idempotency_key="k")
    assert rejected.value.status is IDEMPOTENCY_CONFLICT


@pytest.mark.parametrize(
    ("priority", "first_s", "warned_s", "returned_s"),
    [("normal", 315, 14_400, 432_000), ("urgent", 157.5, 3600, 40_000), ("bulk", 630, None, 432_000)],
)
def test_busy_mail_is_tried_told_of_and_returned_by_its_priority(
    priority: str, first_s: float, warned_s: float | None, returned_s: float
) -> None:
    """The first wait (half the jitter drawn), the warning that promises the right end, and that end."""
    world = World({YOU: [BUSY]}, plan=PLANS)
    receipt = world.submit(YOU, sender=SENDER, priority=priority)
    world.run(until=START + 1)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.due_at == START + first_s
    world.run()
    reports = [report.decode() for report in world.accepted_by(SENDER)]
    assert ["Action: delayed" in report for report in reports] == [True, False][warned_s is None :]
    if warned_s is not None:
        (until,) = [line.partition(":")[2] for line in reports[0].splitlines() if line.startswith("Will-Retry-Until")]
        assert parsedate_to_datetime(until.strip()).timestamp() == START + returned_s
        (record,) = world.ledger.load_message(receipt.queue_id)
        told = next(e.at for e in record.log if e.at >= START + warned_s)
        assert told <= START + warned_s + 1400 * 1.1
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.recipients[0].at == START + returned_s


def test_our_own_reports_have_the_plan_of_their_own() -> None:
    """Given up after 5,000 s here, and nobody is warned of them whatever the setting says."""
    world = World({"gone@b.example": [MISSING], SENDER: [BUSY]}, plan=PLANS, postmaster="postmaster@example.net")
    world.submit("gone@b.example", sender=SENDER, priority="bulk")
    world.run()
    assert world.kinds() == ["double-bounce", "dsn", "mail"]
    (record,) = [record for record in world.ledger.records.values() if record.priority == "dsn" and record.attempts > 1]
    assert record.recipients[0].at == START + 5000
    (double,) = world.accepted_by("postmaster@example.net")
    assert b"Action: failed" in double


def test_an_envelope_from_before_priorities_is_normal() -> None:
    """What lay in the spool when this came."""
    world = World({YOU: [BUSY]}, plan=PLANS)
    receipt = world.submit(YOU, sender=SENDER)
    envelope, header = decode_qf(world.spool.envelopes[receipt.queue_id])
    line, _, rest = encode_qf(replace(envelope, priority="bulk"), header).partition(b"\n")
    old = line.replace(b',"priority":"bulk","deliver_by":null', b"")
    assert old != line
    world.spool.envelopes[receipt.queue_id] = old + b"\n" + rest
    world.run(until=START + 1)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.due_at == START + 315
