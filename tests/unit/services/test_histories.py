"""
Random histories of one installation: whatever happens in whatever order, each accepted mail comes to one end.

Submissions, replies of hosts, crashes and outages at any port call, items that the queue delivers twice, hours that
pass and operators who hold, release and remove. Then everything is well again, and the world runs until it rests.

`make histories` tries thousands (HISTORIES=n); the suite a few.

RFC: 1047 (the one instant that may double), 3461 4.1 (who hears of what), 3464 2.3 (what a report says).
"""

from __future__ import annotations

import email
import email.policy
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from paravion.domain import envelope
from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.schedule import Plan
from paravion.domain.status import Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from paravion.services import hold
from paravion.services.authenticate import Principal
from paravion.services.blocking import directly
from tests.support.world import Crash, Saboteur, World

HISTORIES = int(os.environ.get("HISTORIES", "25"))
OPERATOR = Principal("AKIAOP", is_operator=True)
OUTAGES = {"spool": SpoolUnavailable, "queues": QueueUnavailable, "ledger": LedgerUnavailable}

REPLIES = {
    "taken": Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx"),
    "busy": Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx"),
    "grey": Outcome(Result.DEFERRED, "4.7.1", 451, "greylisted, try again in 7 minutes", "RCPT", "mx"),
    "cut off": Outcome(Result.DEFERRED, "4.4.2", 0, "connection lost", "DOT", "mx"),
    "unknown": Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx"),
    "refused": Outcome(Result.FAILED, "5.7.1", 554, "not here", "DOT", "mx"),
}
NOTIFY = ((), ("NEVER",), ("FAILURE",), ("SUCCESS",), ("DELAY",), ("SUCCESS", "FAILURE", "DELAY"))
PLAN = Plan(intervals_s=(300, 3600, 28_800), jitter_ratio=0.1, warn_s=14_400, return_s=432_000, fault_backoff_s=30)
"""Few attempts in five days: a history is over in milliseconds."""

SHORTEST_WAIT_S = 300.0

replies = st.lists(st.sampled_from(sorted(REPLIES)), min_size=1, max_size=4)
recipient_lists = st.lists(st.tuples(replies, st.sampled_from(NOTIFY)), min_size=1, max_size=4)


@dataclass
class Mail:
    """What was promised."""

    queue_id: str
    sender: str
    recipients: dict[str, tuple[str, ...]]
    is_removed: bool = False
    reports: Counter[tuple[str, str]] = field(default_factory=Counter)


class History(RuleBasedStateMachine):
    """One installation and its adversity."""

    @initialize()
    def _begin(self) -> None:
        self.saboteur = Saboteur()
        self.world = World({}, saboteur=self.saboteur, plan=PLAN)
        # In no thread: a history that fails can be told again.
        self.world.for_deliver = replace(self.world.for_deliver, in_thread=directly)
        self.admin: Any = SimpleNamespace(
            spool=self.world.spool,
            ledger=self.world.ledger,
            event_log=self.world.event_log,
            clock=lambda: self.world.now,
        )
        self.mails: list[Mail] = []
        self.fired: list[str] = []
        self.serial = 0

    @rule(wanted=recipient_lists)
    def submit(self, wanted: list[tuple[list[str], tuple[str, ...]]]) -> None:
        """A door submits, and repeats it under its key if the answer was lost; sometimes nobody promises anything."""
        self.serial += 1
        recipients = {}
        for n, (script, notify) in enumerate(wanted):
            path = f"r{self.serial}-{n}@d{n}.example"
            self.world.transport.script[path] = [REPLIES[name] for name in script]
            recipients[path] = notify
        sender = f"s{self.serial}@example.org"
        try:
            receipt = self.world.submit_like_a_door(
                *(Recipient(path, notify) for path, notify in recipients.items()),
                sender=sender,
                idempotency_key=f"k{self.serial}",
            )
        except (*OUTAGES.values(), Crash):
            return  # not promised: the door's caller has an error, and repeats it or not
        finally:
            self._note()
        self.mails.append(Mail(receipt.queue_id, sender, recipients))

    @rule(queue=st.sampled_from([QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE]))
    def work(self, queue: str) -> None:
        """A function gets one batch."""
        self.world.invoke(queue)
        self._note()

    @rule()
    def sweep(self) -> None:
        """The minute is over."""
        self.world.sweep()
        self._note()

    @rule(seconds=st.sampled_from([1.0, 61.0, 301.0, 3601.0, 20_000.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.now += seconds

    @rule(ahead=st.integers(0, 14), after=st.booleans(), is_crash=st.booleans())
    def plan_a_fault(self, ahead: int, after: bool, is_crash: bool) -> None:
        """One of the next calls of a port breaks."""
        self.saboteur.at = len(self.saboteur.calls) + ahead
        self.saboteur.after = after
        self.is_crash = is_crash

        def error(name: str) -> BaseException:
            outage = OUTAGES.get(_port(name))
            # A release is best effort by its contract: it dies with its function, or not at all.
            dies = is_crash or outage is None or name.endswith(".release")
            return Crash(name) if dies or outage is None else outage(name)

        self.saboteur.error = error

    @precondition(lambda self: self.mails)
    @rule(data=st.data(), queue=st.sampled_from([QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE]))
    def doubled_item(self, data: Any, queue: str) -> None:
        """SQS delivers an item twice."""
        mail = data.draw(st.sampled_from(self.mails))
        at = decode_qf(self.world.spool.get_envelope(mail.queue_id))[0].queued_at
        self.world.queues.send(queue, [Job(JobKey(mail.queue_id), at)])

    @precondition(lambda self: self.mails)
    @rule(data=st.data(), what=st.sampled_from(["hold", "release", "remove"]))
    def operate(self, data: Any, what: str) -> None:
        """An operator steps in; where the state does not allow it he is told so."""
        mail = data.draw(st.sampled_from(self.mails))
        try:
            if what == "hold":
                hold.hold(mail.queue_id, "looks odd", OPERATOR, self.admin)
            elif what == "release":
                hold.release(mail.queue_id, OPERATOR, self.admin)
            else:
                # Of several jobs it takes those that no worker has, and names the others: he does it again, or not.
                mail.is_removed = True
                hold.remove(mail.queue_id, OPERATOR, self.admin)
        except Rejected:
            pass

    def teardown(self) -> None:
        """All is well again: every promise is kept, once."""
        if not hasattr(self, "world"):
            return
        self.saboteur.at = None
        for mail in self.mails:
            if any(record.state is State.HELD for record in self.world.ledger.load_message(mail.queue_id)):
                hold.release(mail.queue_id, OPERATOR, self.admin)
        self.world.run(until=self.world.now + 40 * 86_400)
        excused = sum(map(_may_double, self.fired))
        self._read_reports()
        for mail in self.mails:
            self._check(mail, excused)
        assert not self.world.queues.items.get(QueueName.PARKED)

    def _note(self) -> None:
        """Remember which call broke."""
        at = self.saboteur.at
        if at is not None and at < len(self.saboteur.calls):
            name = self.saboteur.calls[at]
            # Our own outage leaves what a host took recorded, but for the record itself.
            if self.is_crash or _port(name) not in OUTAGES or name.endswith((".release", "ledger.save")):
                self.fired.append(name)
            self.saboteur.at = None

    def _read_reports(self) -> None:
        by_sender = {mail.sender: mail for mail in self.mails}
        for _, path, reverse_path, content in self.world.transport.accepted:
            if path in by_sender:
                assert reverse_path == ""
                for address, action in _told(content):
                    by_sender[path].reports[address, action] += 1

    def _check(self, mail: Mail, excused: int) -> None:
        accepted = Counter(path for _, path, _, _ in self.world.transport.accepted)
        records = self.world.ledger.load_message(mail.queue_id)
        states = {s.forward_path: s for record in records for s in record.recipients.values()}
        if mail.is_removed:
            assert all(record.state in {State.DONE, State.REMOVED} for record in records)
        else:
            assert {record.state for record in records} == {State.DONE}, mail
            assert set(states) == set(mail.recipients), mail
        for path, notify in mail.recipients.items():
            state = states.get(path)
            is_final = state is not None and state.is_final
            assert is_final or mail.is_removed, (mail, path)
            is_delivered = is_final and state.outcome.result is Result.DELIVERED
            assert accepted[path] >= is_delivered
            assert accepted[path] <= is_delivered + excused, (mail, path, self.fired)
            self._check_reports(
                mail, path, notify, result=str(state.outcome.result) if is_final else "", excused=excused
            )
        for record in records:
            _check_waits(record)

    def _check_reports(self, mail: Mail, path: str, notify: tuple[str, ...], *, result: str, excused: int) -> None:
        wanted = {
            "failed": result == "failed" and (not notify or "FAILURE" in notify),
            "relayed": result == "delivered" and "SUCCESS" in notify,
        }
        for action, is_wanted in wanted.items():
            told = mail.reports[path, action]
            assert is_wanted <= told <= is_wanted * (1 + excused), (mail, path, action, told, self.fired)
        delayed = mail.reports[path, "delayed"]
        assert delayed <= (1 + excused) * (not notify or "DELAY" in notify), (mail, path, delayed)


def _port(call: str) -> str:
    return call.split(":")[1].partition(".")[0]


def _may_double(call: str) -> bool:
    """A host had said 250, and the ledger did not hear of it: whatever `deliver` died of, others were under way."""
    return call.startswith("deliver:")


def _told(content: bytes) -> list[tuple[str, str]]:
    """Give address and action of each recipient that a report speaks of."""
    report = email.message_from_bytes(content, policy=email.policy.default)
    assert report["Auto-Submitted"] == "auto-replied"
    (part,) = [part for part in report.walk() if part.get_content_type() == "message/delivery-status"]
    groups: list[Any] = part.get_payload()
    return [(re.sub(r"^rfc822;\s*", "", str(group["Final-Recipient"])), str(group["Action"])) for group in groups[1:]]


def _check_waits(record: Any) -> None:
    """Nobody is asked again sooner than the schedule or his own word says, but for our own faults and releases."""
    if len(record.log) >= 20:
        return
    last: dict[int, float] = {}
    for entry in record.log:
        if entry.event in {"hold", "release", "broke_off"}:
            last = {}
        for position in entry.recipients:
            is_at_the_end = entry.at >= record.counted_from + PLAN.return_s
            if position in last and not is_at_the_end:
                assert entry.at - last[position] >= SHORTEST_WAIT_S, record.log
            last[position] = entry.at
    warned = [e.at for e in record.log if e.event == "delayed"]
    assert all(at >= record.queued_at + PLAN.warn_s for at in warned)


class SmallJobs(History):
    """The same, every recipient a job of his own: jobs of one message share their reports."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(envelope, "CHUNK_RECIPIENTS", 1)
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self._patch.undo()


# Known histories in the suite, others in the campaign: what nobody changed must not fail at another's change.
_SETTINGS = settings(
    max_examples=HISTORIES, stateful_step_count=40, deadline=None, derandomize="HISTORIES" not in os.environ
)
TestHistories = History.TestCase
TestHistories.settings = _SETTINGS
TestSmallJobs = SmallJobs.TestCase
TestSmallJobs.settings = _SETTINGS
