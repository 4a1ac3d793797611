"""What a sender says of TLS (RFC 8689) on the mail's road: kept, told to the transport, and in what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paravion.domain.envelope import Envelope, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import IDEMPOTENCY_CONFLICT, REQUIRETLS_NOT_OFFERED, Rejected
from paravion.domain.verdict import our_outcome
from tests.support.world import World

YOU, SENDER = "you@b.example", "author@a.example"
REFUSED = our_outcome(REQUIRETLS_NOT_OFFERED, "", "LOCAL")
INSISTED: dict[str, Any] = {"tls_required": True, "requiretls": True}


def content(*values: str) -> bytes:
    """A message with these TLS-Required fields."""
    fields = "".join(f"TLS-Required: {value}\r\n" for value in values)
    return f"From: {SENDER}\r\nSubject: figures\r\n{fields}\r\nbody\r\n".encode()


def kept(world: World, queue_id: str) -> Envelope:
    """Give the envelope that lies there."""
    return decode_qf(world.spool.get_envelope(queue_id))[0]


def wishes(envelope: Any) -> tuple[bool, bool, bool]:
    """Give what it says of TLS; an envelope or a transaction."""
    return envelope.tls_required, envelope.requiretls, envelope.tls_optional


def watched(world: World) -> list[Any]:
    """Give the transactions that the transport is going to be asked for."""
    seen: list[Any] = []
    send = world.transport.send

    async def watching(hop: Any, transaction: Any, deadline: float) -> dict[int, Outcome]:
        seen.append(transaction)
        return await send(hop, transaction, deadline)

    world.transport.send = watching  # type: ignore[method-assign]
    return seen


ASKED = {
    "nothing": ({}, content(), (False, False, False)),
    "require": ({"tls_required": True}, content(), (True, False, False)),
    "requiretls": (INSISTED, content(), (True, True, False)),
    "no": ({}, content("No"), (False, False, True)),
    "no in another case": ({}, content(" NO "), (False, False, True)),
    "no, twice": ({}, content("No", "No"), (False, False, True)),
    "not a word of it": ({}, content("Yes"), (False, False, False)),
    "more than the word": ({}, content("No way"), (False, False, False)),
    "the request goes before": ({"tls_required": True}, content("No"), (True, False, False)),
    "the extension goes before": (INSISTED, content("No"), (True, True, False)),
}


@pytest.mark.parametrize(("fields", "message", "expected"), ASKED.values(), ids=ASKED)
def test_what_is_asked_for_is_kept_and_told(fields: Any, message: bytes, expected: Any) -> None:
    """RFC 8689 4.1: the extension goes before the field, and so does what the service was asked for."""
    world = World()
    seen = watched(world)
    receipt = world.submit(YOU, sender=SENDER, content=message, **fields)
    assert wishes(kept(world, receipt.queue_id)) == expected
    world.run()
    assert [wishes(transaction) for transaction in seen] == [expected]
    assert [transaction.insists for transaction in seen] == [expected[1]]
    ((*_, sent),) = world.transport.accepted
    # RFC 8689 4.1: the field may go on, and does.
    assert sent.endswith(message)


def test_a_configuration_set_goes_before_the_field() -> None:
    """TlsPolicy is an operator's word."""
    world = World()
    world.records.put("configuration-set", "strict", {"DeliveryOptions": {"TlsPolicy": "REQUIRE"}})
    receipt = world.submit(YOU, sender=SENDER, content=content("No"), configuration_set="strict")
    assert wishes(kept(world, receipt.queue_id)) == (True, False, False)


def test_every_recipient_behind_an_alias_gets_it_alike() -> None:
    """RFC 8689 4.1: all instances are tagged in the same manner, a list's as well."""
    world = World(local_domains="local.example")
    lists = "list: d@d.example, e@e.example\nowner-list: o@o.example\n"
    world.load("aliases", f"two: b@b.example, c@c.example\n{lists}")
    seen = watched(world)
    world.submit("two@local.example", "list@local.example", sender=SENDER, **INSISTED)
    world.run()
    assert {path for transaction in seen for path, *_ in transaction.recipients.values()} == {
        "b@b.example", "c@c.example", "d@d.example", "e@e.example"
    }  # fmt: skip
    assert {wishes(transaction) for transaction in seen} == {(True, True, False)}


def test_null_reverse_path_does_not_insist() -> None:
    """RFC 8689 5: nobody would hear that it was not sent."""
    world = World()
    seen = watched(world)
    world.submit(YOU, sender="", **INSISTED)
    world.run()
    assert [(transaction.requiretls, transaction.insists) for transaction in seen] == [(True, False)]


def test_another_wish_is_another_message() -> None:
    """Under one idempotency key."""
    world = World()
    world.submit(YOU, tls_required=True, idempotency_key="k")
    for fields in (INSISTED, {}):
        with pytest.raises(Rejected) as caught:
            world.submit(YOU, idempotency_key="k", **fields)
        assert caught.value.status is IDEMPOTENCY_CONFLICT


def test_it_comes_back_redacted_and_over_any_connection() -> None:
    """RFC 8689 5: without subject and content, so that the report need not insist."""
    world = World({YOU: [REFUSED]})
    seen = watched(world)
    receipt = world.submit(YOU, sender=SENDER, content=content(), **INSISTED)
    world.run()
    assert set(world.states(receipt.queue_id).values()) == {Result.FAILED}
    (report,) = world.accepted_by(SENDER)
    assert b"Status: 5.7.30" in report
    assert b"figures" not in report
    assert b"does not promise to pass your mail on over secure" in b" ".join(report.split())
    assert wishes(seen[-1]) == (False, False, False)
    assert seen[-1].reverse_path == ""


def test_the_report_does_without_tls_as_the_mail_did() -> None:
    """What is sent to tell of broken TLS is answered past it."""
    world = World({YOU: [Outcome(Result.FAILED, "5.1.1", 550, "no", "RCPT", "mx")]})
    seen = watched(world)
    world.submit(YOU, sender=SENDER, content=content("No"))
    world.run()
    (report,) = world.accepted_by(SENDER)
    assert b"\r\nTLS-Required: No\r\n" in report.partition(b"\r\n\r\n")[0]
    assert wishes(seen[-1]) == (False, False, True)


def test_qf_of_before_says_nothing() -> None:
    """An envelope that was written before there were these fields."""
    world = World()
    receipt = world.submit(YOU)
    line, _, header = world.spool.get_envelope(receipt.queue_id).partition(b"\n")
    fields = json.loads(line)
    for name in ("requiretls", "tls_optional"):
        fields.pop(name, None)
    envelope, _ = decode_qf(json.dumps(fields).encode() + b"\n" + header)
    assert wishes(envelope) == (False, False, False)
