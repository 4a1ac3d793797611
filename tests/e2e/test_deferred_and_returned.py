"""Busy, broken off, refused for good, for ever busy: what comes after the attempt."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
import smtplib
from typing import TYPE_CHECKING

import pytest

from paravion.cli.client import ApiError

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = ("queue_warn_s=2", "queue_return_s=9")
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


def _told(house: House, sender: str, count: int) -> list[tuple[str, str]]:
    """Each recipient that the reports to a sender name, with its action."""
    found = []
    for content in house.mail_to(sender, copies=count):
        fields = email.message_from_bytes(content).get_payload(1)
        members = fields.get_payload()[1:]
        found += [(m["Final-Recipient"].partition("; ")[2].partition("+")[0], m["Action"]) for m in members]
    return sorted(found)


def test_everybody_is_told_what_he_asked_for(house: House) -> None:
    """
    Ten recipients of one mail: three fail, two are busy to the end, five have it; and NOTIFY in every combination.

    All wait at the same time. The inbox takes over the duty to report successes (RFC 3461 6.2.7), so that we tell none.
    """
    ten = [
        f"{kind}+ten{n}@example.com" for kind, times in (("good", 5), ("missing", 3), ("busy", 2)) for n in range(times)
    ]
    mixed = house.submit(MAIL, *ten, sender="ten@example.org")
    asked = ["", "NEVER"] + [
        ",".join(words) for size in (1, 2, 3) for words in itertools.combinations(("SUCCESS", "FAILURE", "DELAY"), size)
    ]
    queued: list[str] = []
    with house.smtp() as session:
        for n, words in enumerate(asked):
            options = [f"NOTIFY={words}"] if words else []
            session.mail(f"notify{n}@example.org")
            for kind in ("good", "missing", "busy"):
                session.rcpt(f"{kind}+notify{n}@example.com", options)
            queued.append(re.search(rb"[a-z2-7]{26}", session.data(MAIL)[1])[0].decode())
    states = _states(house.ended(mixed))
    assert [states[path] for path in ten] == ["delivered"] * 5 + ["failed"] * 5
    assert all(len(house.mail_to(path)) == 1 for path in ten[:5])
    expected = [("busy", "delayed")] * 2 + [("busy", "failed")] * 2 + [("missing", "failed")] * 3
    assert _told(house, "ten@example.org", 3) == expected
    # For ever busy: warned after queue_warn_s, returned after queue_return_s.
    warning, returned = (report for report in house.mail_to("ten@example.org") if b"; busy+ten0@" in report)
    assert b"Action: delayed" in warning
    assert b"Status: 5.4.7" in returned
    assert b"451 4.3.0" in returned
    for queue_id in queued:
        house.ended(queue_id)
    house.quiet()
    for n, words in enumerate(asked):
        expected = [("busy", "delayed")] * (words == "" or "DELAY" in words)
        expected += [("busy", "failed"), ("missing", "failed")] * (words == "" or "FAILURE" in words)
        count = sum(f"notify{n}@example.org" in mail.rcpt_tos for mail in house.inbox.messages())
        assert (words, expected) == (words, _told(house, f"notify{n}@example.org", count))


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
