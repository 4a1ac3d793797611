"""Who may send as whom, and what the sender's identity asks for: tenants, policies, MAIL FROM, signing, reports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paravion.domain.credential import make_scope
from paravion.domain.dkim_keys import encode
from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import MAIL_FROM_NOT_VERIFIED, RELAY_DENIED, Rejected
from paravion.ports import Identity
from tests.support.dkim_keys import active_ring
from tests.support.world import START, World

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
RED = Identity("example.org", verified=True, token="t", created_at=START, tenant="red")


def with_settings(script: Any = None, *, check: str = "verified", **settings: Any) -> World:
    """A world with red's identity and its settings."""
    world = World(script, identity_check=check)
    world.identities.put(RED)
    world.records.put("@red/identity-settings", "example.org", settings)
    return world


def sent(world: World, tenant: str = "red", **fields: Any) -> Any:
    """Give the envelope and header that are kept."""
    receipt = world.submit("you@a.example", tenant=tenant, **fields)
    return decode_qf(world.spool.get_envelope(receipt.queue_id))


@pytest.mark.parametrize("check", ["off", "created", "verified"])
@pytest.mark.parametrize("tenant", ["blue", ""])
def test_identity_of_another_tenant_can_not_be_used(check: str, tenant: str) -> None:
    """Whatever is asked of identities; neither in the header nor as reverse-path."""
    world = with_settings(check=check)
    with pytest.raises(Rejected) as caught:
        sent(world, tenant)
    assert caught.value.status is RELAY_DENIED
    content = b"From: x@blue.example\r\n\r\n"
    world.identities.put(Identity("blue.example", True, "t", START, tenant))
    with pytest.raises(Rejected) as caught:
        sent(world, tenant, content=content)
    assert "me@example.org" in caught.value.detail
    assert "x@blue.example" not in caught.value.detail
    assert sent(world)


@pytest.mark.parametrize("check", ["off", "created", "verified"])
def test_sender_field_of_another_tenant_can_not_be_used(check: str) -> None:
    """Who is named as the one who sent it answers for it like an author; what can't be read is nobody's, if unasked."""
    world = World(identity_check=check)
    world.identities.put(Identity("red.example", True, "t", 0.0, "red"))
    world.identities.put(Identity("blue.example", True, "t", 0.0, "blue"))
    mail = b"From: me@red.example\r\nSender: %b\r\nTo: you@x.example\r\n\r\nx\r\n"

    def send(sender: bytes) -> Any:
        return world.submit("you@x.example", content=mail % sender, sender="me@red.example", tenant="red")

    assert send(b"other@red.example").recipient_count == 1
    with pytest.raises(Rejected, match=r"boss@blue\.example"):
        send(b"boss@blue.example")
    if check == "off":
        assert send(b"a@@b").recipient_count == 1
    else:
        with pytest.raises(Rejected):
            send(b"a@@b")


def policy(**change: Any) -> dict[str, str]:
    """Blue may send as red's identity."""
    statement = {"Effect": "Allow", "Principal": {"AWS": "blue"}, "Action": "ses:Send*", "Resource": "*", **change}
    return {"p": json.dumps({"Statement": statement})}


def test_policy_lets_another_tenant_send() -> None:
    """Him alone, and no longer than it stands; its own tenant needs none."""
    world = with_settings(Policies=policy())
    assert sent(world, "blue")
    with pytest.raises(Rejected):
        sent(world, "green")
    world.identities.put(Identity("example.org", verified=False, token="t", created_at=START, tenant="red"))
    with pytest.raises(Rejected):
        sent(world, "blue")


def test_policy_may_bind_recipients_and_sender() -> None:
    """Conditions see what is sent."""
    world = with_settings(Policies=policy(Condition={"ForAllValues:StringLike": {"ses:Recipients": "*@a.example"}}))
    assert sent(world, "blue")
    with pytest.raises(Rejected):
        world.submit("you@a.example", "x@b.example", tenant="blue")
    assert with_settings(Policies=policy(Effect="Deny"))


def test_deny_holds_for_the_owner_too() -> None:
    """A resource's policy goes before what its account allows."""
    world = with_settings(Policies=policy(Effect="Deny", Principal="*"))
    with pytest.raises(Rejected):
        sent(world)


@pytest.mark.parametrize("local", ["bob", '"bob"', r'"B\ob"'])
def test_mailbox_is_its_identitys_in_every_spelling(local: str) -> None:
    """What its identity's policy denies, no quotes get round; nor what a condition denies."""
    world = World(identity_check="verified")
    for name in ("example.org", "bob@example.org"):
        world.identities.put(Identity(name, verified=True, token="t", created_at=START, tenant="red"))

    def send() -> Any:
        return sent(world, sender="me@example.org", content=f"From: {local}@example.org\r\n\r\nx\r\n".encode())

    assert send()
    denied = {"Policies": policy(Effect="Deny", Principal="*")}
    world.records.put("@red/identity-settings", "bob@example.org", denied)
    with pytest.raises(Rejected):
        send()
    condition = {"StringLike": {"ses:FromAddress": "bob@*"}}
    world.records.put(
        "@red/identity-settings",
        "bob@example.org",
        {"Policies": policy(Effect="Deny", Principal="*", Condition=condition)},
    )
    with pytest.raises(Rejected):
        send()
    scope = make_scope(["bob@example.org"], None)
    assert scope.may_use(f"{local}@example.org")


def test_custom_mail_from_is_what_hosts_are_told() -> None:
    """The local part stays; reports go to the sender's own address."""
    attributes = {"MailFromDomain": "bounce.example.org", "MailFromDomainStatus": "SUCCESS"}
    world = with_settings({"you@a.example": [MISSING]}, MailFromAttributes=attributes)
    envelope, _ = sent(world)
    assert (envelope.reverse_path, envelope.mail_from) == ("me@example.org", "me@bounce.example.org")
    world.submit("her@a.example", tenant="red")
    world.run()
    told = {path: reverse_path for _, path, reverse_path, _ in world.transport.accepted}
    assert told == {"her@a.example": "me@bounce.example.org", "me@example.org": ""}


@pytest.mark.parametrize("status", ["PENDING", "FAILED", "TEMPORARY_FAILURE"])
def test_unverified_mail_from_is_not_used_or_refused(status: str) -> None:
    """BehaviorOnMxFailure decides."""
    attributes = {"MailFromDomain": "bounce.example.org", "MailFromDomainStatus": status}
    assert sent(with_settings(MailFromAttributes=attributes))[0].mail_from == ""
    refusing = with_settings(MailFromAttributes={**attributes, "BehaviorOnMxFailure": "REJECT_MESSAGE"})
    with pytest.raises(Rejected) as caught:
        sent(refusing)
    assert caught.value.status is MAIL_FROM_NOT_VERIFIED


def test_signing_can_be_switched_off() -> None:
    """Of an identity with keys."""
    for settings, signed in (({}, True), ({"DkimSigningEnabled": False}, False)):
        world = with_settings(**settings)
        world.secrets.put("dkim/example.org", encode(active_ring()))
        assert (b"DKIM-Signature" in sent(world)[1]) is signed


@pytest.mark.parametrize(
    ("settings", "of_set", "reported"),
    [
        ({}, None, 1),
        ({"FeedbackForwardingStatus": False}, None, 1),
        ({"FeedbackForwardingStatus": False, "NotificationTopics": {"Bounce": "arn"}}, None, 0),
        ({"FeedbackForwardingStatus": False, "NotificationTopics": {"Delivery": "arn"}}, None, 1),
        ({"FeedbackForwardingStatus": False, "ConfigurationSetName": "news"}, ["BOUNCE"], 0),
        ({"FeedbackForwardingStatus": False, "ConfigurationSetName": "news"}, ["SEND"], 1),
        ({"NotificationTopics": {"Bounce": "arn"}}, None, 1),
    ],
)
def test_reports_stop_only_where_bounces_are_told_otherwise(
    settings: dict[str, Any], of_set: list[str] | None, reported: int
) -> None:
    """Without a topic or destination mail tells of them, whatever was asked for; nobody is left in the dark."""
    world = with_settings({"you@a.example": [MISSING]}, **settings)
    if of_set is not None:
        item = {"Name": "d", "Enabled": True, "MatchingEventTypes": of_set, "SnsDestination": {"TopicArn": "arn"}}
        world.records.put("@red/configuration-set", "news", {"EventDestinations": [item]})
    world.submit("you@a.example", tenant="red")
    world.run()
    assert len(world.accepted_by("me@example.org")) == reported
