"""The suppression list on the mail's road: filled by bounces, asked before sending; and its operators."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from paravion.adapters.memory import MemoryEventLog, MemorySuppression
from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, Notice, NoticeKind, RecipientState, State
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.suppression import Reason, Suppressed
from paravion.errors import LedgerUnavailable
from paravion.ports import QueueName
from paravion.services import suppression
from paravion.services.authenticate import Principal
from paravion.services.suppress import suppress_bounced, suppress_complained
from tests.support.world import START, World

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
SENDER = "me@example.org"
OPERATOR = Principal("AKIAOP", is_operator=True)


def _list(world: World, address: str, reason: Reason = Reason.BOUNCE) -> None:
    world.suppression.put(Suppressed(address, reason, START - 86_400, "operator", by="AKIAOP"))


def _outcome(world: World, queue_id: str, path: str) -> Outcome:
    (record,) = world.ledger.load_message(queue_id)
    (state,) = [state for state in record.recipients.values() if state.forward_path == path]
    return state.outcome


def _events(world: World, name: str) -> list[dict[str, object]]:
    return [fields for event, fields in world.event_log.records if event == name]


def test_suppressed_recipient_is_not_sent_to_and_the_others_are() -> None:
    """The sender gets one report, of that recipient alone, in words that say what to do."""
    world = World()
    _list(world, "no@b.example")
    receipt = world.submit("a@a.example", "No@B.example", "c@b.example")
    world.run()
    assert world.states(receipt.queue_id) == {
        "a@a.example": "delivered",
        "No@b.example": "failed",
        "c@b.example": "delivered",
    }
    assert [path for _, path, _, _ in world.transport.accepted] == ["a@a.example", "c@b.example", SENDER]
    outcome = _outcome(world, receipt.queue_id, "No@b.example")
    assert (outcome.status, outcome.code, outcome.command) == ("5.1.1", 0, "SUPPRESSION")
    (report,) = world.accepted_by(SENDER)
    assert b"Final-Recipient: rfc822; No@b.example" in report
    assert b"Status: 5.1.1" in report
    text = b" ".join(report.split())
    assert b"take it off the suppression list" in text
    assert b"Not sent: the address is on the suppression list: BOUNCE, since 2027-01-14" in text
    assert b"does not exist" not in text
    assert world.suppression.items["no@b.example"].source == "operator"


def test_recipients_suppressed_and_missing_are_in_one_report() -> None:
    """They failed together."""
    world = World({"gone@b.example": [MISSING]})
    _list(world, "no@b.example")
    world.submit("no@b.example", "gone@b.example")
    world.run()
    (report,) = world.accepted_by(SENDER)
    assert report.count(b"Final-Recipient:") == 2


def test_members_of_a_list_are_asked_each() -> None:
    """A member that is suppressed is left out; the list's owner hears of it."""
    world = World(local_domains="local.example")
    world.load("aliases", "list: a@z.example, no@z.example\nowner-list: boss@o.example\n")
    _list(world, "no@z.example")
    world.submit("list@local.example")
    world.run()
    assert (len(world.accepted_by("a@z.example")), len(world.accepted_by("no@z.example"))) == (1, 0)
    assert len(world.accepted_by("boss@o.example")) == 1


def test_notify_never_stays_silent() -> None:
    """RFC 3461: whoever asked for no report gets none."""
    world = World()
    _list(world, "no@b.example")
    world.submit(Recipient("no@b.example", notify=("NEVER",)))
    world.run()
    assert world.transport.accepted == []


def test_suppressed_sender_still_hears_what_became_of_his_mail() -> None:
    """A report is sent whatever the list says; mail to him is not."""
    world = World({"gone@b.example": [MISSING]})
    _list(world, SENDER, Reason.COMPLAINT)
    world.submit("gone@b.example")
    world.run()
    assert len(world.accepted_by(SENDER)) == 1
    receipt = world.submit(SENDER, sender="other@example.org")
    world.run()
    assert world.states(receipt.queue_id) == {SENDER: "failed"}
    assert len(world.accepted_by(SENDER)) == 1


def test_mail_with_a_null_reverse_path_is_held_back_too() -> None:
    """Somebody submitted it: it is no report of ours."""
    world = World()
    _list(world, "no@b.example")
    receipt = world.submit("no@b.example", sender="")
    world.run()
    assert world.states(receipt.queue_id) == {"no@b.example": "failed"}


def test_deferred_recipient_is_held_back_once_it_is_listed() -> None:
    """The list is asked at each attempt."""
    world = World({"slow@b.example": [BUSY, OK]})
    receipt = world.submit("slow@b.example")
    world.invoke(QueueName.DELIVERY)
    _list(world, "slow@b.example", Reason.COMPLAINT)
    world.run()
    assert world.states(receipt.queue_id) == {"slow@b.example": "failed"}
    assert world.accepted_by("slow@b.example") == []


def test_bounce_fills_the_list_and_the_next_mail_stays() -> None:
    """With what the host said; deleted, the address is sent to again."""
    world = World({"Gone@b.example": [MISSING]})
    receipt = world.submit("Gone@b.example", "good@b.example")
    world.run()
    (entry,) = world.suppression.items.values()
    assert entry == Suppressed(
        "gone@b.example", Reason.BOUNCE, START, "bounce", receipt.queue_id, "mx: 550 5.1.1 no such user"
    )
    assert _events(world, "Suppressed") == [
        {"address": "gone@b.example", "reason": "BOUNCE", "queue_id": receipt.queue_id}
    ]
    assert not any(record.owed for record in world.ledger.records.values())
    calls = world.transport.calls
    again = world.submit("GONE@b.example")
    world.run()
    assert _outcome(world, again.queue_id, "GONE@b.example").command == "SUPPRESSION"
    assert world.transport.calls == calls + 1, "the report alone"
    assert world.suppression.items["gone@b.example"] == entry, "not renewed by our own outcome"
    world.suppression.delete("gone@b.example", world.now)
    world.transport.script["Gone@b.example"] = [OK]
    world.submit("Gone@b.example")
    world.run()
    assert len(world.accepted_by("Gone@b.example")) == 1


def test_bounce_that_nobody_wanted_to_hear_of_fills_the_list() -> None:
    """NOTIFY=NEVER silences the report, not the list."""
    world = World({"gone@b.example": [MISSING]})
    world.submit(Recipient("gone@b.example", notify=("NEVER",)))
    world.run()
    assert list(world.suppression.items) == ["gone@b.example"]
    assert world.kinds() == ["mail"]


@pytest.mark.parametrize(
    "outcome",
    [
        replace(MISSING, status="5.7.1", text="blocked"),
        replace(MISSING, text="blocked by policy"),
        replace(MISSING, status="5.2.2", text="mailbox full"),
        replace(MISSING, command="DOT"),
        Outcome(Result.FAILED, "5.1.2", 0, "Domain does not exist", "DNS"),
        Outcome(Result.FAILED, "5.1.10", 0, "Domain accepts no mail", "DNS"),
        replace(BUSY, status="4.1.1", text="no such user"),
    ],
    ids=["policy", "blocked", "full", "content", "domain", "null MX", "expired"],
)
def test_other_failures_fill_nothing(outcome: Outcome) -> None:
    """The address may be a good one."""
    world = World({"who@b.example": [outcome]})
    receipt = world.submit("who@b.example")
    world.run()
    assert world.states(receipt.queue_id) == {"who@b.example": "failed"}
    assert world.suppression.items == {}


def test_unknown_sender_of_a_bounce_is_listed_too() -> None:
    """A report that bounces says the same of its address."""
    world = World({"gone@b.example": [MISSING], SENDER: [MISSING]})
    world.submit("gone@b.example")
    world.run()
    assert set(world.suppression.items) == {"gone@b.example", SENDER}


def test_reasons_decide_who_is_filled_in_and_who_is_held_back() -> None:
    """As SES: an entry counts while its reason is the account's; without reasons nothing is asked."""
    world = World({"gone@b.example": [MISSING]})
    world.suppression.set_reasons((Reason.COMPLAINT,))
    _list(world, "bounced@b.example", Reason.BOUNCE)
    _list(world, "angry@b.example", Reason.COMPLAINT)
    receipt = world.submit("bounced@b.example", "angry@b.example", "gone@b.example")
    world.run()
    assert world.states(receipt.queue_id)["bounced@b.example"] == "delivered"
    assert world.states(receipt.queue_id)["angry@b.example"] == "failed"
    assert set(world.suppression.items) == {"bounced@b.example", "angry@b.example"}
    world.suppression.set_reasons(())
    before = world.saboteur.calls.count("deliver:suppression.find")
    receipt = world.submit("angry@b.example")
    world.run()
    assert world.states(receipt.queue_id) == {"angry@b.example": "delivered"}
    assert world.saboteur.calls.count("deliver:suppression.find") == before


def test_entry_that_expired_holds_nobody_back() -> None:
    """By the setting; the store removes it later."""
    world = World({"gone@b.example": [MISSING]})
    world.for_bounce = replace(world.for_bounce, to_suppress=replace(world.for_bounce.to_suppress, expiry_s=3600.0))
    world.submit("gone@b.example")
    world.run()
    assert world.suppression.items["gone@b.example"].expires_at == START + 3600
    world.now = START + 3600
    world.transport.script["gone@b.example"] = [OK]
    world.submit("gone@b.example")
    world.run()
    assert len(world.accepted_by("gone@b.example")) == 1


def test_batch_asks_once() -> None:
    """Ten jobs with two recipients each: one read."""
    world = World()
    for n in range(10):
        world.submit(f"a{n}@a.example", f"b{n}@b.example")
    asked: list[Sequence[str]] = []
    find = world.suppression.find

    def counting(addresses: Sequence[str], now: float) -> Any:
        asked.append(addresses)
        return find(addresses, now)

    world.suppression.find = counting  # type: ignore[method-assign]
    world.run()
    assert [len(addresses) for addresses in asked] == [20]
    assert len(world.transport.accepted) == 20


def test_list_away_for_an_hour_defers_and_then_holds_back() -> None:
    """Our own faults defer: nobody is sent to unasked, nobody is lost, and no attempt counts as the host's."""
    world = World()
    _list(world, "no@b.example")
    find = world.suppression.find

    def away(addresses: Sequence[str], now: float) -> Any:
        if world.now < START + 3600:
            raise LedgerUnavailable("throttled")
        return find(addresses, now)

    world.suppression.find = away  # type: ignore[method-assign]
    receipt = world.submit("no@b.example", "good@b.example")
    world.run(until=START + 3599)
    assert world.transport.accepted == []
    assert _events(world, "Fault")
    world.run()
    assert world.states(receipt.queue_id) == {"no@b.example": "failed", "good@b.example": "delivered"}
    assert world.now < START + 3600 + 2 * 900
    assert len(world.accepted_by(SENDER)) == 1


def test_half_an_answer_holds_back_those_that_it_lacks() -> None:
    """The jobs of a batch whose part of the list was read are sent, the others wait."""
    world = World()
    paths = [[f"j{job}u{n}@b.example" for n in range(60)] for job in range(2)]
    queue_ids = [world.submit(*some).queue_id for some in paths]
    find, broken = world.suppression.find, [True]

    def half(addresses: Sequence[str], now: float) -> Any:
        if broken[0] and len(addresses) < 100:
            broken[0] = False
            raise LedgerUnavailable("throttled")
        return find(addresses, now)

    world.suppression.find = half  # type: ignore[method-assign]
    world.invoke(QueueName.DELIVERY)
    assert sorted(len(world.states(queue_id)) for queue_id in queue_ids) == [0, 60]
    world.run()
    assert sorted(path for _, path, _, _ in world.transport.accepted) == sorted(path for some in paths for path in some)


def test_list_that_can_not_be_written_keeps_no_report_back() -> None:
    """The sender hears at once, the list as soon as it can."""
    world = World({"gone@b.example": [MISSING]})
    put = world.suppression.put

    def away(entry: Suppressed, *, unless_newer: bool = False) -> bool:
        if world.now < START + 3600:
            raise LedgerUnavailable("throttled")
        return put(entry, unless_newer=unless_newer)

    world.suppression.put = away  # type: ignore[method-assign]
    world.submit("gone@b.example")
    world.run(until=START + 3599)
    assert len(world.accepted_by(SENDER)) == 1
    assert world.suppression.items == {}
    world.run()
    assert list(world.suppression.items) == ["gone@b.example"]
    assert world.suppression.items["gone@b.example"].updated_at == START
    assert len(world.accepted_by(SENDER)) == 1
    assert world.queues.items[QueueName.PARKED] == []


def test_operators_word_outlives_an_older_bounce() -> None:
    """The bounce is told late; what was said since stays."""
    world = World({"gone@b.example": [MISSING]})
    world.submit("gone@b.example")
    world.invoke(QueueName.DELIVERY)
    newer = Suppressed("gone@b.example", Reason.COMPLAINT, START + 60, "operator")
    world.suppression.put(newer)
    world.run()
    assert world.suppression.items == {"gone@b.example": newer}
    assert not _events(world, "Suppressed")


def test_word_on_what_is_no_address_is_passed_by() -> None:
    """Nobody could look it up; the others of the notice are listed."""
    states = {
        n: RecipientState(path, MISSING, 5.0, 1) for n, path in enumerate(("no address", "gone@b.example"))
    }  # fmt: skip
    record = JobRecord(JobKey("q1"), START, State.DONE, recipients=states)
    world = World()
    suppress_bounced(record, Notice(NoticeKind.SUPPRESS, 1), world.for_bounce.to_suppress)
    assert list(world.suppression.items) == ["gone@b.example"]


def test_complaint_fills_the_list() -> None:
    """If the account suppresses for complaints."""
    world = World()
    suppress_complained("Angry@b.example", "q1", 5.0, world.for_bounce.to_suppress)
    (entry,) = world.suppression.items.values()
    assert (entry.address, entry.reason, entry.updated_at, entry.queue_id) == (
        "angry@b.example", Reason.COMPLAINT, 5.0, "q1",
    )  # fmt: skip
    world.suppression.set_reasons((Reason.BOUNCE,))
    suppress_complained("calm@b.example", "q1", 5.0, world.for_bounce.to_suppress)
    assert len(world.suppression.items) == 1
    with pytest.raises(ValueError, match="no @"):
        suppress_complained("nobody", "q1", 5.0, world.for_bounce.to_suppress)


# Operators


@pytest.fixture
def deps() -> Any:
    """As much of AdminDeps as is used."""
    return SimpleNamespace(
        settings=SimpleNamespace(suppression_reasons=tuple(Reason)),
        suppression=MemorySuppression(),
        event_log=MemoryEventLog(),
        clock=lambda: 100.0,
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda who, deps: suppression.add("a@x.example", "BOUNCE", who, deps),
        lambda who, deps: suppression.show("a@x.example", who, deps),
        lambda who, deps: suppression.remove("a@x.example", who, deps),
        lambda who, deps: suppression.page("", 10, who, deps),
        lambda who, deps: suppression.set_account_reasons([], who, deps),
    ],
    ids=["add", "show", "remove", "page", "reasons"],
)
def test_list_is_an_operators(ask: Any, deps: Any) -> None:
    """It holds everybody's recipients, and decides whose mail is sent."""
    with pytest.raises(Rejected) as refused:
        ask(Principal("AKIA"), deps)
    assert refused.value.status is ACCESS_DENIED
    assert deps.suppression.items == {}


def test_operator_lists_and_takes_off(deps: Any) -> None:
    """With a record of who did it."""
    suppression.add("A@X.example", "COMPLAINT", OPERATOR, deps)
    entry = suppression.show("a@x.EXAMPLE", OPERATOR, deps)
    assert suppression.view(entry) == {
        "address": "a@x.example", "reason": "COMPLAINT", "updated_at": 100.0, "source": "operator", "by": "AKIAOP",
    }  # fmt: skip
    assert suppression.page("", 10, OPERATOR, deps, reasons=["BOUNCE"]).entries == ()
    assert suppression.page("", 10, OPERATOR, deps).entries == (entry,)
    suppression.remove("a@X.example", OPERATOR, deps)
    assert [(event, fields["principal"]) for event, fields in deps.event_log.records] == [
        ("Suppressed", "AKIAOP"), ("Unsuppressed", "AKIAOP"),
    ]  # fmt: skip
    for ask in (suppression.show, suppression.remove):
        with pytest.raises(Rejected, match="does not exist on your suppression list") as refused:
            ask("a@x.example", OPERATOR, deps)
        assert refused.value.status is NOT_FOUND


def test_what_is_none_is_refused(deps: Any) -> None:
    """An address, a reason."""
    for ask in (
        lambda: suppression.add("nobody", "BOUNCE", OPERATOR, deps),
        lambda: suppression.add("a@x.example", "WHIM", OPERATOR, deps),
        lambda: suppression.page("", 10, OPERATOR, deps, reasons=["WHIM"]),
        lambda: suppression.set_account_reasons(["WHIM"], OPERATOR, deps),
    ):
        with pytest.raises(Rejected) as refused:
            ask()
        assert refused.value.status is BAD_REQUEST


def test_reasons_are_the_settings_until_somebody_sets_them(deps: Any) -> None:
    """An empty list is set, too."""
    assert suppression.account_reasons(deps) == (Reason.BOUNCE, Reason.COMPLAINT)
    suppression.set_account_reasons([], OPERATOR, deps)
    assert suppression.account_reasons(deps) == ()
    assert deps.event_log.records == [("SuppressionReasons", {"reasons": [], "principal": "AKIAOP"})]
