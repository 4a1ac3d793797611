"""What a mail's configuration set decides, from the door to the last attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import (
    NO_SUCH_CONFIGURATION_SET,
    SENDING_PAUSED,
    SET_PAUSED,
    Rejected,
    Status,
)
from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.tenant import record_kind
from tests.support.world import START, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
HEADER = b"From: me@example.org\r\nX-SES-CONFIGURATION-SET: news\r\nMessage-ID: <mine@example.org>\r\n\r\nbody\r\n"
PLAIN = b"From: me@example.org\r\n\r\nbody\r\n"


def with_set(script: Any = None, *, tenant: str = "", **options: Any) -> World:
    """A world with the set `news`."""
    world = World(script)
    world.records.put(record_kind(tenant, "configuration-set"), "news", options)
    return world


def sent(world: World, **fields: Any) -> Any:
    """Submit by the header's set; give the envelope and header that were kept."""
    receipt = world.submit("you@a.example", **{"content": HEADER, **fields})
    return decode_qf(world.spool.get_envelope(receipt.queue_id))


def refusal(world: World, **fields: Any) -> Status:
    """Give why a submission is refused; nothing of it is kept then."""
    with pytest.raises(Rejected) as caught:
        sent(world, **fields)
    assert world.spool.envelopes == {}
    return caught.value.status


def test_options_of_the_set_are_in_the_envelope() -> None:
    """The header names it, or the request, or the author's identity."""
    options = {
        "DeliveryOptions": {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 300},
        "SuppressionOptions": {"SuppressedReasons": ["COMPLAINT"]},
    }
    world = with_set(**options)
    world.records.put("identity-settings", "example.org", {"ConfigurationSetName": "news"})
    for fields in ({}, {"content": PLAIN}, {"content": PLAIN, "configuration_set": "news"}):
        envelope, _ = sent(world, **fields)
        assert (envelope.configuration_set, envelope.tls_required, envelope.max_delivery_s) == ("news", True, 300.0)
        assert envelope.suppressed_reasons == ("COMPLAINT",)


def test_mail_without_a_set_has_no_options() -> None:
    """The defaults: as it always was."""
    envelope, _ = sent(with_set(), content=PLAIN)
    assert (envelope.configuration_set, envelope.tls_required, envelope.max_delivery_s) == ("", False, 0.0)
    assert envelope.suppressed_reasons is None


def test_request_goes_before_header_and_address_before_domain() -> None:
    """What is named nearest to the mail counts."""
    world = with_set()
    world.records.put("configuration-set", "other", {})
    assert sent(world, configuration_set="other")[0].configuration_set == "other"
    world.records.put("identity-settings", "example.org", {"ConfigurationSetName": "news"})
    world.records.put("identity-settings", "me@example.org", {"ConfigurationSetName": "other"})
    assert sent(world, content=PLAIN)[0].configuration_set == "other"


def test_unknown_set_is_refused() -> None:
    """In the header, in the request, as an identity's default that was deleted; and another tenant's is unknown."""
    world = World()
    assert refusal(world) is NO_SUCH_CONFIGURATION_SET
    assert refusal(world, content=PLAIN, configuration_set="news") is NO_SUCH_CONFIGURATION_SET
    world.records.put("identity-settings", "example.org", {"ConfigurationSetName": "gone"})
    assert refusal(world, content=PLAIN) is NO_SUCH_CONFIGURATION_SET
    assert refusal(with_set(tenant="shop")) is NO_SUCH_CONFIGURATION_SET
    assert sent(with_set(tenant="shop"), tenant="shop")[0].configuration_set == "news"


def test_paused_set_and_paused_account_are_refused() -> None:
    """Each by its own name; mail by other sets goes on."""
    world = with_set(SendingOptions={"SendingEnabled": False})
    assert refusal(world) is SET_PAUSED
    assert sent(world, content=PLAIN)
    world = with_set()
    world.records.put("account", "settings", {"SendingEnabled": False})
    assert refusal(world) is SENDING_PAUSED
    assert refusal(world, content=PLAIN) is SENDING_PAUSED
    assert sent(world, content=PLAIN, tenant="shop")


def test_repeat_of_what_was_taken_is_no_refusal() -> None:
    """It is on its way, whatever became of the set since; another message under the key stays another."""
    world = with_set()
    first = world.submit("you@a.example", content=HEADER, idempotency_key="k")
    world.records.put("configuration-set", "news", {"SendingOptions": {"SendingEnabled": False}})
    assert world.submit("you@a.example", content=HEADER, idempotency_key="k") == replace(first, repeated=True)


def test_set_keeps_the_callers_message_id() -> None:
    """SES's doors restamp, unless the set says otherwise."""
    assert b"Message-ID: <mine@example.org>" not in sent(with_set(), restamp=True)[1]
    assert b"Message-ID: <mine@example.org>" in sent(with_set(KeepMessageId=True), restamp=True)[1]


def test_mail_is_returned_when_its_set_says_so() -> None:
    """Not a second attempt after MaxDeliverySeconds, and the report quotes the host's last word."""
    world = with_set({"you@a.example": [BUSY] * 9}, DeliveryOptions={"MaxDeliverySeconds": 1000})
    receipt = world.submit("you@a.example", content=HEADER)
    world.run()
    (record,) = world.ledger.load_message(receipt.queue_id)
    # At 0, after 300 s and after 600 more; not at 1000.
    assert record.recipients[0].outcome.command == "EXPIRED"
    assert START + 1000 <= record.recipients[0].at < START + 2000
    (report,) = world.accepted_by("me@example.org")
    assert b"busy, come back" in report
    assert b"5.4.7" in report


def test_attempt_that_comes_too_late_is_not_made() -> None:
    """A queue that stood still: nothing is sent, the sender hears."""
    world = with_set(DeliveryOptions={"MaxDeliverySeconds": 300})
    receipt = world.submit("you@a.example", content=HEADER)
    world.now += 300
    world.run()
    assert world.states(receipt.queue_id) == {"you@a.example": "failed"}
    assert world.accepted_by("you@a.example") == []
    assert len(world.accepted_by("me@example.org")) == 1
    assert [fields["recipient"] for event, fields in world.event_log.records if event == "Expiration"] == [
        "you@a.example"
    ]


@pytest.mark.parametrize("later_s", [600, 7200])
def test_lifetime_of_mail_that_is_sent_later_begins_then(later_s: float) -> None:
    """Whether the queue keeps it back or the ledger."""
    world = with_set(DeliveryOptions={"MaxDeliverySeconds": 300})
    receipt = world.submit("you@a.example", content=HEADER, release_at=START + later_s)
    world.run()
    assert world.states(receipt.queue_id) == {"you@a.example": "delivered"}


@pytest.mark.parametrize("after", [False, True])
def test_expiry_before_an_attempt_survives_every_crash(after: bool) -> None:
    """The sender hears, and the mail is not sent."""
    for at in range(60):
        world = with_set(DeliveryOptions={"MaxDeliverySeconds": 300})
        world.submit("you@a.example", content=HEADER)
        world.saboteur.at, world.saboteur.after = len(world.saboteur.calls) + at, after
        world.now += 300
        world.run()
        assert world.accepted_by("you@a.example") == []
        # A crash in the report's own last instant repeats it, as it would any mail (RFC 1047).
        assert len(set(world.accepted_by("me@example.org"))) == 1
        if not world.crashes:
            return
    raise AssertionError("more calls than expected")


@pytest.mark.parametrize(("account", "of_set"), [([], ["BOUNCE"]), (["BOUNCE"], []), (["BOUNCE"], ["COMPLAINT"])])
def test_bounce_fills_the_list_as_the_set_says(account: list[str], of_set: list[str]) -> None:
    """The account's reasons are those of mail whose set has none."""
    world = with_set({"you@a.example": [MISSING]}, SuppressionOptions={"SuppressedReasons": of_set})
    world.suppression.set_reasons([Reason(word) for word in account])
    world.submit("you@a.example", content=HEADER)
    world.run()
    assert ("you@a.example" in world.suppression.items) is ("BOUNCE" in of_set)


@pytest.mark.parametrize(
    ("account", "of_set", "reason", "expected"),
    [
        ("BOUNCE COMPLAINT", None, Reason.BOUNCE, "failed"),
        ("BOUNCE COMPLAINT", [], Reason.BOUNCE, "delivered"),
        ("BOUNCE COMPLAINT", ["COMPLAINT"], Reason.BOUNCE, "delivered"),
        ("BOUNCE COMPLAINT", ["COMPLAINT"], Reason.COMPLAINT, "failed"),
        ("", ["BOUNCE"], Reason.BOUNCE, "failed"),
        ("", ["BOUNCE"], Reason.COMPLAINT, "delivered"),
        ("", None, Reason.BOUNCE, "delivered"),
    ],
)
def test_suppression_of_the_set_goes_before_the_accounts(
    account: str, of_set: list[str] | None, reason: Reason, expected: str
) -> None:
    """Stricter or looser; mail without reasons of its own, in the same batch, goes by the account's."""
    world = with_set(**({} if of_set is None else {"SuppressionOptions": {"SuppressedReasons": of_set}}))
    world.suppression.set_reasons([Reason(word) for word in account.split()])
    world.suppression.put(Suppressed("you@a.example", reason, START, "operator"))
    by_set = world.submit("you@a.example", content=HEADER)
    plain = world.submit("you@a.example", content=PLAIN)
    world.run()
    assert world.states(by_set.queue_id) == {"you@a.example": expected}
    by_account = "failed" if reason in account.split() else "delivered"
    assert world.states(plain.queue_id) == {"you@a.example": by_account}
