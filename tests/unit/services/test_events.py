"""What the doors tell themselves: mail that was never made, and subscriptions that changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.ses_event import Mail
from paravion.domain.submission import Submission
from paravion.ports import QueueName
from paravion.services import events
from tests.support.world import START, World
from tests.unit.services.test_publish import _told, _with_set

MAIL = Mail("m" * 26, START, "me@example.org", ("a@b.example",), configuration_set="news", caller="AKIATEST")
STATUS = {"unsubscribeAll": False, "topicSubscriptionStatus": []}


@pytest.mark.parametrize("kind", ["Rendering Failure", "Reject", "Subscription"])
def test_what_no_job_tells_is_told(kind: str) -> None:
    """By the event queue, with the same care as all others; nobody told costs nothing."""
    for world in (_with_set(World()), World()):
        deps = world.for_validate
        if kind == "Reject":
            events.rejected(MAIL, tenant="", deps=deps)
        elif kind == "Subscription":
            events.subscription_changed(
                MAIL, contact_list="readers", source="UnsubscribeHeader", old=STATUS, new=STATUS, tenant="", deps=deps
            )
        else:
            events.rendering_failed(MAIL, "Welcome", "no name", tenant="", deps=deps)
        is_told = bool(world.records.get("configuration-set", "news"))
        assert len(world.queues.items[QueueName.EVENT]) == is_told
        world.run()
        assert [name for name, _ in _told(world)] == ([kind] if is_told else [])


def test_tenants_are_told_of_their_own_mail() -> None:
    """Another tenant's set of the same name is another set."""
    world = _with_set(World())
    events.rejected(MAIL, tenant="other", deps=world.for_validate)
    world.submit("a@b.example", configuration_set="", tenant="other")
    world.run()
    assert world.destinations.taken == []


@pytest.mark.parametrize(
    ("client", "address"),
    [("[192.0.2.7]", "192.0.2.7"), ("[IPv6:2001:db8::1]", "2001:db8::1"), ("192.0.2.7", "192.0.2.7"), ("", "")],
)
def test_source_ip_is_the_submitters(client: str, address: str) -> None:
    """As it stands in the Received field."""
    world = _with_set(World())
    found = events.telling(world.records, tenant="", configuration_set="news", author="me@example.org", client=client)
    assert found is not None
    assert (found.source_ip, found.identity) == (address, "example.org")


def test_mail_that_never_was_is_told_as_it_was_meant() -> None:
    """The caller, the sender and the recipients of the submission."""
    world = _with_set(World())
    given = Submission(
        "AKIATEST", "ses-v2", None, (Recipient("a@b.example"),), b"", tags=(("k", "v"),), client="[192.0.2.7]"
    )
    mail = events.unsent_mail(given, "m" * 26, "news", "me@example.org", world.for_validate)
    events.rendering_failed(mail, "Welcome", "no name", tenant="", deps=world.for_validate)
    world.run()
    ((_, event),) = world.destinations.taken
    assert event["mail"]["source"] == "me@example.org"
    assert event["mail"]["destination"] == ["a@b.example"]
    assert event["mail"]["tags"] == {
        "ses:configuration-set": ["news"], "ses:source-ip": ["192.0.2.7"], "ses:from-domain": ["example.org"],
        "ses:caller-identity": ["AKIATEST"], "k": ["v"],
    }  # fmt: skip
    assert event["failure"] == {"errorMessage": "no name", "templateName": "Welcome"}


def test_many_events_are_cut_into_items() -> None:
    """Ten in one."""
    world = _with_set(World())
    events.rejected(replace(MAIL, identity="example.org"), tenant="", deps=world.for_validate)
    assert len(world.queues.items[QueueName.EVENT]) == 1
