"""Busy, broken off, refused for good, for ever busy: what comes after the attempt."""

from __future__ import annotations

import email
import email.policy
import re
import smtplib
from typing import TYPE_CHECKING

import pytest

from paravion.cli.client import ApiError

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = ("queue_warn_s=2", "queue_return_s=5")
MAIL = b"From: me@example.org\r\nSubject: hello\r\n\r\nbody\r\n"


def _states(message: dict[str, object]) -> dict[str, str]:
    return {r["forward_path"]: r["state"] for r in message["recipients"]}  # type: ignore[attr-defined]


def test_greylisted_then_delivered(house: House) -> None:
    """451 to the first RCPT, taken the second time; everybody else got it at once and only once."""
    paths = ("busy-once+a@example.com", "quick@example.com")
    message = house.ended(house.submit(MAIL, *paths))
    assert _states(message) == dict.fromkeys(paths, "delivered")
    assert [len(house.mail_to(path)) for path in paths] == [1, 1]
    assert [r["attempts"] for r in message["recipients"]] == [2, 1]


def test_missing_is_returned_to_its_sender(house: House) -> None:
    """550: a DSN with a null reverse-path, for the recipients that failed and for them alone."""
    sender = "author@example.org"
    paths = ("missing+b@example.com", "good+b@example.com")
    message = house.ended(house.submit(MAIL, *paths, sender=sender))
    assert _states(message) == {paths[0]: "failed", paths[1]: "delivered"}
    (report,) = house.mail_to(sender)
    assert b"Final-Recipient: rfc822; missing+b@example.com" in report
    assert b"Status: 5.1.1" in report
    assert b"good+b@example.com" not in report
    assert [m.mail_from for m in house.inbox.messages() if sender in m.rcpt_tos] == [""]


def test_sender_reads_the_report_in_his_language(house: House) -> None:
    """Accept-Language of the mail that failed: words and HTML in it, fields for programs as ever."""
    sender = "autor@example.org"
    house.ended(house.submit(b"Accept-Language: de-CH, en;q=0.5\r\n" + MAIL, "missing+de@example.com", sender=sender))
    (content,) = house.mail_to(sender)
    report = email.message_from_bytes(content, policy=email.policy.default)
    assert report["Subject"] == "Nicht zugestellt: Ihre E-Mail an missing+de@example.com"
    words, fields, original = report.iter_parts()
    plain, html = words.iter_parts()
    assert "Diese Adresse gibt es nicht." in plain.get_content()
    assert '<html lang="de">' in html.get_content()
    assert b"Action: failed" in fields.as_bytes()
    assert original.get_content_type() == "message/rfc822"


def test_jobs_that_fail_together_are_returned_together(house: House) -> None:
    """Two jobs of one message, on the real queues: each recipient is told of once, in as few reports as may be."""
    sender = "many@example.org"
    paths = [f"missing+{n}@example.com" for n in range(101)]
    house.ended(house.submit(MAIL, *paths, sender=sender))
    told = re.findall(rb"Final-Recipient: rfc822; ([^\r]*)", b"".join(house.mail_to(sender)))
    assert sorted(told) == sorted(path.encode() for path in paths)


def test_disconnect_in_data_defers(house: House) -> None:
    """A host that breaks off while the message is transferred has promised nothing; the mail comes back."""
    queue_id = house.submit(MAIL, "drop@example.com", sender="dropped@example.org")
    message = house.ended(queue_id)
    assert _states(message) == {"drop@example.com": "failed"}
    assert [e["event"] for e in message["timeline"]].count("deferred") >= 2
    assert message["recipients"][0]["status"] == "5.4.7"


def test_for_ever_busy_is_warned_and_returned(house: House) -> None:
    """queue_warn_s and queue_return_s, with the clock shortened: one delay report, one failure."""
    sender = "patient@example.org"
    house.ended(house.submit(MAIL, "busy@example.com", sender=sender))
    reports = house.mail_to(sender, copies=2)
    assert [b"Action: delayed" in r for r in reports] == [True, False]
    assert b"Action: failed" in reports[1]
    assert b"Status: 5.4.7" in reports[1]
    assert b"451 4.3.0" in reports[1]


def test_bounce_of_a_bounce_is_dropped(house: House) -> None:
    """The sender does not exist either, and no postmaster is set: a record in the log, and the end."""
    house.ended(house.submit(MAIL, "missing+c@example.com", sender="missing+sender@example.com"))
    house.quiet()
    house.logged("DoubleBounceDropped")


def test_repeated_submission_is_one_message(house: House) -> None:
    """The same Idempotency-Key: the first answer again."""
    first = house.submit(MAIL, "twice@example.com", idempotency_key="order-1")
    house.ended(first)
    assert house.submit(MAIL, "twice@example.com", idempotency_key="order-1") == first
    house.quiet()
    assert len(house.mail_to("twice@example.com")) == 1
    with pytest.raises(ApiError) as error:
        house.submit(MAIL, "other@example.com", idempotency_key="order-1")
    assert error.value.http == 409


def test_mailq_shows_what_waits(house: House) -> None:
    """A deferred job is seen while it waits."""
    queue_id = house.submit(MAIL, "busy+q@example.com", sender="queued@example.org")
    seen = []
    for _ in range(300):
        seen = [job for job in house.client.get("/v1/queue")["jobs"] if job["queue_id"] == queue_id]
        if seen:
            break
    assert seen[0]["recipients"][0]["forward_path"] == "busy+q@example.com"
    house.ended(queue_id)


def test_refused_at_the_smtp_door_is_told_there(house: House) -> None:
    """A bad message gets a 5yz with its reason before anything is kept."""
    with house.smtp() as session, pytest.raises(smtplib.SMTPResponseException) as error:
        session.sendmail("me@example.org", ["x@example.com"], b"From: a@b.example\r\nFrom: c@d.example\r\n\r\nx\r\n")
    assert error.value.smtp_code == 554
    assert b"From" in error.value.smtp_error  # type: ignore[operator]
