"""Priorities, deadlines and a host's own wait, with the clock shortened: what the schedule makes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = (
    "retry_intervals_s=1,2",
    "retry_intervals_by_priority=bulk=4x",
    "queue_warn_s=30",
    "queue_warn_by_priority=urgent=2s,bulk=never",
    "queue_return_s=9",
)
MAIL = b"From: me@example.org\r\nSubject: hello\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def sent(house: House) -> dict[str, str]:
    """All mail of this file, side by side; gives the queue ids of what the API took."""
    queue_ids = {
        name: house.submit(field + MAIL, f"{recipient}@example.com", sender=f"{name}@example.org")
        for name, field, recipient in (
            ("urgent", b"Priority: urgent\r\n", "busy+u"),
            ("bulk", b"Precedence: bulk\r\n", "busy+b"),
            ("grey", b"", "greylist"),
        )
    }
    with house.smtp() as session:
        assert session.has_extn("deliverby")
        for mode, sender in (("R", "returned@example.org"), ("N", "told@example.org")):
            to = ["busy@example.com", f"good+{mode}@example.com"]
            session.sendmail(sender, to, MAIL, mail_options=[f"BY=3;{mode}"])
    return queue_ids


def test_urgent_and_bulk_side_by_side(house: House, sent: dict[str, str]) -> None:
    """To one busy host, by their header: the urgent one is tried more often and warned of, the bulk one neither."""
    events = [[entry["event"] for entry in house.ended(sent[name])["timeline"]] for name in ("urgent", "bulk")]
    assert events[0].count("deferred") > events[1].count("deferred") >= 1
    reports = house.mail_to("urgent@example.org", copies=2)
    assert [b"Action: delayed" in report for report in reports] == [True, False]
    (returned,) = house.mail_to("bulk@example.org")
    assert b"Action: failed" in returned


@pytest.mark.usefixtures("sent")
def test_deadlines_of_the_smtp_door(house: House) -> None:
    """BY with R is returned when its time is over, with N told of then; a host that takes deadlines gets both."""
    (returned,) = house.mail_to("returned@example.org")
    assert b"Action: failed" in returned
    assert b"Status: 5.4.7" in returned
    assert b"Deliver-By-Date: " in returned
    told = house.mail_to("told@example.org", copies=2)
    assert [b"Action: delayed" in report for report in told] == [True, False]
    assert [len(house.mail_to(f"good+{mode}@example.com")) for mode in "RN"] == [1, 1]
    # The one came back while the other was still tried.
    mails = [m for m in house.inbox.messages() if {"returned@example.org", "told@example.org"} & set(m.rcpt_tos)]
    assert [m.rcpt_tos[0] for m in mails][-1] == "told@example.org"


def test_greylisted_with_a_named_wait_is_tried_when_it_works(house: House, sent: dict[str, str]) -> None:
    """The host says four seconds where the schedule has one: two attempts, and the second is taken."""
    (recipient,) = house.ended(sent["grey"])["recipients"]
    assert (recipient["state"], recipient["attempts"]) == ("delivered", 2)
