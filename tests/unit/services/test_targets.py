"""Aliases that name functions, topics, queues and webhooks: who gets what, once, and what the sender hears."""

from __future__ import annotations

from typing import Any

import pytest

from paravion.domain.envelope import Recipient, decode_qf, encode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import Rejected
from paravion.domain.target import idempotency_key
from paravion.domain.target_verdict import judge_webhook, misconfigured, no_answer, taken
from paravion.ports import QueueName
from tests.support.world import START, Crash, Saboteur, World

QUEUE = "sqs:arn:aws:sqs:eu-west-1:123456789012:inbox"
TOPIC = "sns:arn:aws:sns:eu-west-1:123456789012:news"
HOOK = "https://hooks.example.org/mail"
ALIASES = f"""tickets: lambda:tickets
both: {QUEUE}, {HOOK}, alice@a.example
again: tickets, {QUEUE}, both
list: :include:members, {TOPIC}
owner-list: boss@o.example
sink: {QUEUE}
owner-odd: lambda:tickets
odd: bob@b.example
"""
SETTINGS = {"local_domains": "local.example"}


def _world(targets: dict[str, list[Outcome]] | None = None, saboteur: Saboteur | None = None) -> World:
    world = World(targets=targets, saboteur=saboteur, **SETTINGS)
    world.load("include/members", f"m@m.example\n{HOOK}\nlambda:tickets\n")
    world.load("aliases", ALIASES)
    return world


def _envelopes(world: World, kind: str = "mail") -> list[Any]:
    return [e for e in (decode_qf(octets)[0] for octets in world.spool.envelopes.values()) if e.kind == kind]


def test_alias_hands_over_what_a_host_would_get() -> None:
    """The target has the whole message with the alias in Delivered-To; no host is asked."""
    world = _world()
    receipt = world.submit("tickets@local.example")
    world.run()
    ((target, key, recipient, content),) = world.targets.taken
    assert (target, recipient) == ("lambda:tickets", "tickets@local.example")
    assert key == idempotency_key(receipt.queue_id, target)
    assert b"Delivered-To: tickets@local.example\r\n" in content
    assert content.endswith(b"\r\n\r\nbody\r\n")
    assert world.transport.accepted == []
    assert world.states(receipt.queue_id) == {"tickets@local.example": "delivered"}


def test_targets_of_one_alias_are_recipients_of_their_own() -> None:
    """Two targets and an address: three positions, one of them by SMTP."""
    world = _world()
    world.submit("both@local.example")
    (envelope,) = _envelopes(world)
    assert [(r.forward_path, r.target) for r in envelope.recipients] == [
        ("both@local.example", QUEUE), ("both@local.example", HOOK), ("alice@a.example", ""),
    ]  # fmt: skip
    world.run()
    assert [target for target, *_ in world.targets.taken] == [QUEUE, HOOK]
    assert len(world.accepted_by("alice@a.example")) == 1


def test_each_target_once_however_many_aliases_lead_there() -> None:
    """As each address once."""
    world = _world()
    world.submit("again@local.example", "tickets@local.example", "sink@local.example")
    world.run()
    assert sorted(target for target, *_ in world.targets.taken) == sorted([QUEUE, HOOK, "lambda:tickets"])


def test_list_may_have_targets_and_its_owner_hears_of_them() -> None:
    """Members of an included list; the reverse-path is the owner's."""
    world = _world({HOOK: [judge_webhook(422, "no")]})
    world.submit("list@local.example")
    (envelope,) = _envelopes(world)
    assert envelope.reverse_path == "boss@o.example"
    assert {r.target for r in envelope.recipients} == {"", HOOK, "lambda:tickets", TOPIC}
    world.run()
    (report,) = world.accepted_by("boss@o.example")
    assert b"list@local.example" in report
    assert b"hooks.example.org" not in report


def test_owner_that_is_a_target_keeps_its_own_address() -> None:
    """A reverse-path is an address; its mail then goes to the target."""
    world = _world()
    world.submit("odd@local.example")
    (envelope,) = _envelopes(world)
    assert envelope.reverse_path == "owner-odd@local.example"


@pytest.mark.parametrize("path", ["lambda:tickets", QUEUE, TOPIC, HOOK, "lambda:tickets@local.example"])
def test_no_caller_can_name_a_target(path: str) -> None:
    """RCPT, To and the API take addresses."""
    world = _world()
    with pytest.raises(Rejected):
        world.submit(path)
    with pytest.raises(Rejected):
        world.submit(
            recipients_from_header=True, content=b"From: me@example.org\r\nTo: " + path.encode() + b"\r\n\r\nx\r\n"
        )
    assert world.spool.envelopes == {}


def test_address_that_looks_like_a_target_is_an_address() -> None:
    """Quoted, it is somebody's mailbox."""
    world = _world()
    world.submit('"lambda:tickets"@local.example', '"https://x/"@b.example')
    world.run()
    assert world.targets.taken == []
    assert len(world.transport.accepted) == 2


def test_without_aliasing_nothing_is_handed_over() -> None:
    """sendmail -n."""
    world = _world()
    world.submit("tickets@local.example", aliasing=False)
    world.run()
    assert world.targets.taken == []
    assert len(world.accepted_by("tickets@local.example")) == 1


def test_other_domains_have_no_targets() -> None:
    """Aliases are of local domains."""
    world = _world()
    world.submit("tickets@elsewhere.example")
    world.run()
    assert world.targets.taken == []


def test_deferred_target_is_tried_again_and_others_are_not() -> None:
    """By the schedule of every recipient; what is delivered stays delivered."""
    world = _world({HOOK: [no_answer(), no_answer(), taken("ok")]})
    receipt = world.submit("both@local.example")
    world.run()
    assert [target for target, *_ in world.targets.taken] == [QUEUE, HOOK]
    assert len(world.accepted_by("alice@a.example")) == 1
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.attempts == 3
    assert world.accepted_by("me@example.org") == []


def test_operators_mistake_is_visible_and_waits_until_it_is_mended() -> None:
    """A Fault that names the target; the sender hears of a delay, in words that don't."""
    world = _world({"lambda:tickets": [misconfigured("the target can't be used as it is set up (AccessDenied)")]})
    world.submit("tickets@local.example")
    world.run(until=START + 15_000)
    faults = [fields for event, fields in world.event_log.records if event == "Fault"]
    assert {fault["target"] for fault in faults} == {"lambda:tickets"}
    (warning,) = world.accepted_by("me@example.org")
    assert b"Action: delayed" in warning
    assert b"lambda:" not in warning
    world.targets.script["lambda:tickets"] = [taken("ok")]
    world.run()
    assert len(world.targets.taken) == 1


def test_fault_in_an_adapter_defers_this_target_alone() -> None:
    """Law 6: unknown trouble is transient, and the other recipients go on."""
    world = _world()
    saboteur_raises = type("Broken", (), {"hand_over": _raise})()
    world.for_deliver = _with_targets(world, saboteur_raises)
    receipt = world.submit("both@local.example")
    world.invoke(QueueName.DELIVERY)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert [state.outcome.status for _, state in sorted(record.recipients.items())] == ["4.3.0", "4.3.0", "2.0.0"]


async def _raise(self: object, handover: object, deadline: float) -> Outcome:
    raise RuntimeError("a bug")


def _with_targets(world: World, targets: Any) -> Any:
    from dataclasses import replace

    return replace(world.for_deliver, targets=targets)


def test_success_report_says_delivered() -> None:
    """RFC 3464 2.3.3: a target has the mail, a host passed it on; each in a report of its own."""
    world = _world()
    world.submit(*(Recipient(path, ("SUCCESS",)) for path in ("tickets@local.example", "x@a.example")))
    world.run()
    reports = world.accepted_by("me@example.org")
    actions = sorted(
        (report.count(b"\r\nAction: delivered"), report.count(b"\r\nAction: relayed")) for report in reports
    )
    assert actions == [(0, 1), (1, 0)]
    (delivered,) = [report for report in reports if b"Action: delivered" in report]
    assert b"Final-Recipient: rfc822; tickets@local.example" in delivered
    assert b"Remote-MTA" not in delivered
    assert b"arn:" not in delivered


def test_failure_report_has_the_alias() -> None:
    """And the webhook's words, for it has read the mail."""
    world = _world({HOOK: [judge_webhook(422, "no such ticket")]})
    world.submit("both@local.example")
    world.run()
    (report,) = world.accepted_by("me@example.org")
    assert b"Final-Recipient: rfc822; both@local.example" in report
    assert b"Status: 5.6.0" in report
    assert b"no such ticket" in report
    assert b"hooks.example.org" not in report


def test_each_outcome_is_logged_with_its_target() -> None:
    """The operator's log names what the sender's report does not."""
    world = _world()
    world.submit("both@local.example")
    world.run()
    logged = [
        (fields["recipient"], fields.get("target")) for event, fields in world.event_log.records if event == "Delivery"
    ]
    assert set(logged) == {("both@local.example", QUEUE), ("both@local.example", HOOK), ("alice@a.example", None)}


def test_envelope_without_targets_is_read_as_ever() -> None:
    """A qf that an earlier release wrote has no such key."""
    world = _world()
    receipt = world.submit("x@y.example")
    octets = world.spool.envelopes[receipt.queue_id]
    assert b'"target":""' in octets
    old = octets.replace(b',"target":""', b"")
    assert decode_qf(old) == decode_qf(octets)
    envelope, header = decode_qf(old)
    assert encode_qf(envelope, header) == octets


def test_more_targets_than_a_message_holds_are_all_handed_over() -> None:
    """Several messages whose recipients differ in nothing but the target."""
    world = World(**SETTINGS)
    urls = [f"https://hooks.example.org/{n}" for n in range(2100)]
    world.load("include/many", "\n".join(urls))
    world.load("aliases", "many: :include:many\n")
    receipt = world.submit("many@local.example")
    assert receipt.recipient_count == 2100
    assert len(world.spool.envelopes) == 3
    world.run()
    assert sorted(target for target, *_ in world.targets.taken) == sorted(urls)


# Crashes

TARGETS = {HOOK: [no_answer(), taken("ok")]}


def _journey(saboteur: Saboteur) -> World:
    world = _world(TARGETS, saboteur)
    receipt = world.submit_like_a_door("both@local.example")
    world.run()
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert {state.outcome.result for state in record.recipients.values()} == {Result.DELIVERED}
    return world


CALLS = _journey(Saboteur()).saboteur.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)))
def test_crash_at_any_step_loses_nothing_and_a_second_copy_has_the_same_key(at: int, after: bool) -> None:
    """At least once; a duplicate only where it was taken and not recorded, and recognisable."""
    saboteur = Saboteur(at=at, after=after)
    world = _journey(saboteur)
    assert world.crashes == 1
    taken_by = [target for target, *_ in world.targets.taken]
    assert set(taken_by) == {QUEUE, HOOK}
    keys = {(target, key) for target, key, *_ in world.targets.taken}
    assert len(keys) == 2
    doubled = len(taken_by) - 2
    call = saboteur.calls[at].split(":")[1]
    if doubled:
        assert call in {"targets.hand_over", "transport.send", "ledger.save"}
        assert doubled <= 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_handed_over_and_dead_before_the_record_is_one_duplicate(after: bool) -> None:
    """RFC 1047's instant at a target."""
    plain = _world()
    plain.submit_like_a_door("sink@local.example")
    plain.run()
    at = plain.saboteur.calls.index("deliver:targets.hand_over")
    world = _world(saboteur=Saboteur(at=at, after=after, error=Crash))
    world.submit_like_a_door("sink@local.example")
    world.run()
    copies = [key for _, key, *_ in world.targets.taken]
    assert len(copies) == (2 if after else 1)
    assert len(set(copies)) == 1


def test_only_an_operator_is_shown_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """GET /v1/messages/…: a sender sees the alias."""
    from types import SimpleNamespace

    from paravion.services import admin
    from paravion.services.authenticate import Principal

    world = _world()
    receipt = world.submit("both@local.example")
    deps: Any = SimpleNamespace(spool=world.spool, ledger=world.ledger)
    for is_operator in (True, False):
        principal = Principal("AKIATEST", is_operator=is_operator)
        told = admin.show_message(receipt.queue_id, principal, deps)["recipients"]
        assert [item.get("target") for item in told] == ([QUEUE, HOOK, None] if is_operator else [None] * 3)


def test_nothing_of_targets_is_imported_before_the_first(tmp_path: Any) -> None:
    """Cold starts pay for what aliases name only where they do."""
    import subprocess
    import sys

    code = (
        "import os, sys; os.environ.update({f'PARAVION_{name}': 'x' for name in"
        " ('SPOOL', 'LEDGER', 'SECRETS', 'DELIVERY_QUEUE', 'BOUNCE_QUEUE')}, AWS_DEFAULT_REGION='eu-west-1');"
        "from paravion import bootstrap; bootstrap.deliver();"
        "print([name for name in sys.modules if name.endswith(('_targets', '.targets', '.target', '.http1', '.target_event'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout == "[]\n"
