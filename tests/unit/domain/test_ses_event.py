"""SES's events field for field: golden files of each in both forms, and the rules that they follow."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paravion.domain import event_item, simulator
from paravion.domain.configuration_set import EventDestination
from paravion.domain.envelope import Envelope, Recipient, Telling, decode_qf, encode_qf
from paravion.domain.event_item import EventItem
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, LogEntry, RecipientState, State
from paravion.domain.ses_event import (
    HEADER_OCTETS,
    Mail,
    Origin,
    SesEvent,
    as_event,
    as_notification,
    complaint_event,
    events_of,
    hidden_behind,
    mail_of,
    reject_event,
    rendering_failure_event,
    send_event,
    subscription_event,
)
from paravion.domain.suppression import STAGE, Reason, Suppressed, not_sent, withheld_for
from paravion.domain.told import NOTIFIED, Told
from paravion.domain.webhook_event import body_of

GOLDEN = Path(__file__).parents[1] / "golden" / "ses_events"
START = 1_800_000_000.25
ORIGIN = Origin("mail.example.net", "us-east-1", "123456789012", "192.0.2.99")
QUEUE_ID = "a" * 26
HEADER = (
    b"DKIM-Signature: v=1; d=example.org\r\n"
    b"Received: from [192.0.2.1] by mail.example.net; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"From: =?utf-8?q?J=C3=B6rg?= <me@example.org>\r\n"
    b'To: "Doe, Jane" <jane@example.com>,\r\n mary@example.com\r\n'
    b"Reply-To: help@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"Message-ID: <" + QUEUE_ID.encode() + b"@mail.example.net>\r\n"
    b"MIME-Version: 1.0\r\n"
)
ENVELOPE = Envelope(
    QUEUE_ID, "me@example.org", (Recipient("jane@example.com"), Recipient("mary@example.com")), START, 10,
    submitter="AKIATEST", door="ses-v2", configuration_set="ConfigSet", tags=(("campaign", "may"), ("kind", "news")),
    telling=Telling(("SEND",), "example.org", "192.0.2.1"),
)  # fmt: skip
MAIL = mail_of(ENVELOPE, HEADER, 0, {})

OK = Outcome(Result.DELIVERED, "2.6.0", 250, "Message received", "DOT", "mx.example.com", "192.0.2.7")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "user unknown", "RCPT", "mx.example.com", "192.0.2.7")
BUSY = Outcome(Result.DEFERRED, "4.2.2", 452, "mailbox full", "RCPT", "mx.example.com", "192.0.2.7")
LISTED = not_sent(Suppressed("jane@example.com", Reason.BOUNCE, START - 86_400, "bounce"))
COMPLAINED = not_sent(Suppressed("jane@example.com", Reason.COMPLAINT, START - 86_400, "complaint"))
SILENT = Outcome(Result.DEFERRED, "4.4.1", text="Host does not answer", command="CONNECT", mx_host="mx.example.com")


def _record(*outcomes: Outcome, attempt: int = 1, paths: tuple[str, ...] = ()) -> JobRecord:
    names = paths or tuple(recipient.forward_path for recipient in ENVELOPE.recipients)
    states = {
        n: RecipientState(path, outcome, START + 2.5, attempt)
        for n, (path, outcome) in enumerate(zip(names, outcomes, strict=False))
    }
    return JobRecord(JobKey(QUEUE_ID), START, State.TRIED, attempts=attempt, recipients=states)


def _events(*outcomes: Outcome, **changes: Any) -> list[SesEvent]:
    return events_of(
        _record(*outcomes, **changes), [1], is_sent=False, mail=MAIL, origin=ORIGIN, ends_at=START + 432_000, hidden={}
    )


_STATUS = {"unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptIn"}]}
_UNMADE = replace(MAIL, header=None)
CASES = {
    "send": send_event(MAIL, ORIGIN),
    "delivery": _events(OK)[0],
    "bounce": _events(MISSING, MISSING)[0],
    "bounce_suppressed": _events(LISTED)[0],
    "delivery_delay": _events(BUSY)[0],
    "complaint": complaint_event(MAIL, ORIGIN, START + 9, ["jane@example.com"], kind="abuse", user_agent="AnyLoop/1"),
    "complaint_suppressed": _events(COMPLAINED, COMPLAINED)[0],
    "complaint_without_report": complaint_event(MAIL, ORIGIN, START + 9, ["jane@example.com"]),
    "reject": reject_event(MAIL, ORIGIN, START + 1),
    "rendering_failure": rendering_failure_event(
        _UNMADE, ORIGIN, START, "Welcome", "Attribute 'name' is not present in the rendering data."
    ),
    "subscription": subscription_event(
        MAIL, ORIGIN, START + 60, contact_list="readers", source="UnsubscribeHeader", old=_STATUS,
        new={**_STATUS, "unsubscribeAll": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_event_is_as_the_golden_file_has_it(name: str) -> None:
    """The form of configuration sets."""
    assert json.loads((GOLDEN / f"{name}.json").read_text()) == as_event(CASES[name])


@pytest.mark.parametrize("name", [name for name, event in CASES.items() if event.type in NOTIFIED])
def test_notification_is_as_the_golden_file_has_it(name: str) -> None:
    """The older form, with the header."""
    expected = json.loads((GOLDEN / f"notification_{name}.json").read_text())
    assert expected == as_notification(CASES[name], with_headers=True)
    bare = as_notification(CASES[name], with_headers=False)["mail"]
    assert expected["mail"].keys() - bare.keys() == {"headersTruncated", "headers", "commonHeaders"}


def test_recipients_of_one_fate_share_an_event() -> None:
    """By host and answer, type and subtype; at most fifty."""
    paths = tuple(f"r{n}@example.com" for n in range(60))
    kinds = [(event.type, len(event.detail["bouncedRecipients"])) for event in _events(*[MISSING] * 60, paths=paths)]
    assert kinds == [("BOUNCE", 50), ("BOUNCE", 10)]
    mixed = _events(MISSING, OK, BUSY, MISSING, paths=paths)
    assert [event.type for event in mixed] == ["BOUNCE", "DELIVERY", "DELIVERY_DELAY"]
    ids = {event.detail["feedbackId"] for event in _events(*[MISSING] * 60, paths=paths)}
    assert len(ids) == 2


def test_suppressed_for_a_complaint_is_told_as_one() -> None:
    """SES's complaintSubType; one for a bounce beside it is a bounce, and what an older text says of neither is too."""
    complaint, bounce = _events(COMPLAINED, LISTED)
    assert (complaint.type, complaint.detail["complaintSubType"]) == ("COMPLAINT", "OnAccountSuppressionList")
    assert complaint.detail["complainedRecipients"] == [{"emailAddress": "jane@example.com"}]
    assert [item["emailAddress"] for item in bounce.detail["bouncedRecipients"]] == ["mary@example.com"]
    assert complaint.detail["feedbackId"] != bounce.detail["feedbackId"]
    for text in ("", "Not sent: the address is on the suppression list", "x: COMPLAINT, since", COMPLAINED.text[:-30]):
        outcome = replace(COMPLAINED, text=text)
        assert withheld_for(outcome) is None
        assert _events(outcome)[0].type == "BOUNCE"
    said = replace(MISSING, text=COMPLAINED.text)
    assert (withheld_for(said), LISTED.command) == (None, STAGE)


def test_diagnostic_code_has_a_type_if_a_host_said_it() -> None:
    """As SES's: "smtp; 550 5.1.1 user unknown", and "Amazon SES did not send the message to this address because..."."""
    silent = replace(SILENT, result=Result.FAILED, status="5.4.7", command="EXPIRED")
    busy = replace(BUSY, result=Result.FAILED, status="5.4.7", text="4.2.2 mailbox full", command="EXPIRED")
    for outcome, diagnostic in (
        (MISSING, "smtp; 550 5.1.1 user unknown"),
        (BUSY, "smtp; 452 4.2.2 mailbox full"),
        (busy, "smtp; 452 4.2.2 mailbox full"),
        (SILENT, "Host does not answer"),
        (silent, "Host does not answer"),
        (LISTED, "Not sent: the address is on the suppression list: BOUNCE, since 2027-01-14"),
    ):
        (event,) = _events(outcome)
        (item,) = event.detail.get("bouncedRecipients") or event.detail["delayedRecipients"]
        assert item["diagnosticCode"] == diagnostic


def test_other_attempts_are_not_told_again() -> None:
    """What an earlier attempt decided was told then."""
    record = _record(OK)
    assert events_of(record, [2], is_sent=False, mail=MAIL, origin=ORIGIN, ends_at=0, hidden={}) == []


DELAYS = [
    ("mx RCPT: 451 4.7.1 greylisted", "General", "smtp; 451 4.7.1 greylisted"),
    ("mx CONNECT: 4.4.1 Host does not answer", "TransientCommunicationFailure", "Host does not answer"),
    ("4.3.0 The attempt broke off on our side", "InternalFailure", "The attempt broke off on our side"),
]


@pytest.mark.parametrize(("text", "kind", "diagnostic"), DELAYS, ids=[kind for _, kind, _ in DELAYS])
def test_delay_that_was_overtaken_is_told_from_the_history(text: str, kind: str, diagnostic: str) -> None:
    """The state is of the later attempt; the history keeps the earlier reply."""
    record = replace(_record(OK, attempt=2), log=(LogEntry(START + 1, "deferred", 1, (0,), text),))
    (event,) = events_of(record, [1], is_sent=False, mail=MAIL, origin=ORIGIN, ends_at=START, hidden={})
    assert event.at == START + 1
    assert event.detail["delayType"] == kind
    assert event.detail["delayedRecipients"][0]["diagnosticCode"] == diagnostic


def test_delay_is_told_in_the_same_octets_live_and_from_the_history() -> None:
    """A webhook's Idempotency-Key follows from them."""
    live = _record(replace(BUSY, mx_host=""))
    log = (LogEntry(START + 2.5, "deferred", 1, (0,), "mx.example.com RCPT: 452 4.2.2 mailbox full"),)
    later = replace(_record(OK, attempt=2), log=log)
    given = {"is_sent": False, "mail": MAIL, "origin": ORIGIN, "ends_at": START, "hidden": {}}
    assert events_of(live, [1], **given) == events_of(later, [1], **given)


def test_members_behind_an_alias_are_hidden_from_its_tenant() -> None:
    """Named as they were written, once, without the hosts' words; the operator's own tenant is told all."""
    members = tuple(Recipient(f"m{n}@secret.example", origin="all@example.org") for n in range(2))
    envelope = replace(ENVELOPE, recipients=(*members, Recipient("jane@example.com")), tenant="acme")
    assert hidden_behind(replace(envelope, tenant="")) == {}
    hidden = hidden_behind(envelope)
    mail = mail_of(envelope, HEADER, 0, hidden)
    assert mail.destination == ("all@example.org", "jane@example.com")
    paths = tuple(recipient.forward_path for recipient in envelope.recipients)
    for outcome in (OK, MISSING, BUSY):
        log = (
            LogEntry(START + 1, "deferred", 1, (0, 1), "mx RCPT: 451 4.7.1 no m0@secret.example"),
            LogEntry(START + 1, "deferred", 1, (2,), "mx RCPT: 451 4.7.1 no"),
        )
        record = replace(_record(*[outcome] * 3, paths=paths, attempt=2), log=log)
        events = events_of(record, [1, 2], is_sent=True, mail=mail, origin=ORIGIN, ends_at=START, hidden=hidden)
        assert [event.type for event in events][:2] == ["SEND", "DELIVERY_DELAY"]
        for form in (json.dumps(as_event(event) | {"ip": event.remote_ip}) for event in events):
            assert "secret.example" not in form
            assert "192.0.2.7" not in form or "jane@example.com" in form
        assert sum(str(event.detail).count("all@example.org") for event in events) == 2
        assert sum(str(event.detail).count("jane@example.com") for event in events) == 2


def test_long_header_is_cut_and_says_so() -> None:
    """10 KB, as SES does it."""
    long = replace(MAIL, header=HEADER + b"".join(b"X-%d: " % n + b"x" * 900 + b"\r\n" for n in range(20)))
    told = as_event(send_event(long, ORIGIN))["mail"]
    assert told["headersTruncated"]
    assert sum(len(h["name"]) + len(h["value"]) for h in told["headers"]) <= HEADER_OCTETS
    assert not CASES["send"].mail["headersTruncated"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"From: me@example.org\r\nSubject: =?utf-8?q?=FF?= x\r\n", {"from": ["me@example.org"]}),
        (b"From: (((\r\n", {"from": ["((("]}),
        (b"no header\r\n", {}),
        (b"Message-ID: <x@other>\r\n", {"messageId": "<x@other>"}),
    ],
    ids=["subject of no charset", "no address", "no header", "caller's message-id"],
)
def test_header_that_is_odd_does_not_keep_the_event_back(header: bytes, expected: dict[str, Any]) -> None:
    """The door took it; the event tells what can be told."""
    told = as_event(send_event(replace(MAIL, header=header), ORIGIN))["mail"]["commonHeaders"]
    assert expected.items() <= told.items()


def test_null_reverse_path_tells_the_author() -> None:
    """`source` is never empty while there is a From."""
    mail = mail_of(replace(ENVELOPE, reverse_path=""), HEADER, 0, {})
    assert mail.source == "me@example.org"
    bare = as_event(send_event(Mail("m", START, "", ()), Origin("h", "r", "1" * 12)))["mail"]
    assert bare == {"timestamp": "2027-01-15T08:00:00.250Z", "sendingAccountId": "1" * 12, "messageId": "m",
                    "destination": [], "headersTruncated": False, "tags": {}}  # fmt: skip


def test_part_of_a_list_is_told_under_the_id_that_the_caller_knows() -> None:
    """Several messages of one submission have one message id."""
    mail = mail_of(replace(ENVELOPE, queue_id="b" * 26, body_id=QUEUE_ID), HEADER, 0, {})
    assert mail.message_id == QUEUE_ID


def test_telling_survives_the_spool() -> None:
    """And an envelope without it costs a word."""
    assert decode_qf(encode_qf(ENVELOPE, b""))[0] == ENVELOPE
    assert decode_qf(encode_qf(replace(ENVELOPE, telling=None), b""))[0].tells == ()


def test_items_carry_events_through_a_queue() -> None:
    """Back as they were; many are cut into items that a queue takes."""
    item = EventItem((CASES["bounce"],), "tenant", "ConfigSet", "example.org", "set/ConfigSet/x", START, 3, "503")
    again = event_item.decode(event_item.encode(item))
    assert again is not None
    assert as_event(again.events[0]) == as_event(item.events[0])
    assert replace(again, events=()) == replace(item, events=())
    assert event_item.decode("{}") is event_item.decode("x") is event_item.decode('{"v":1,"events":[{}]}') is None
    parts = list(event_item.cut(EventItem(tuple([CASES["bounce"]] * 25))))
    assert [len(part.events) for part in parts] == [10, 10, 5]


SIMULATED = [
    ("success@", 1, "DELIVERY", ()),
    ("SUCCESS+label@", 1, "DELIVERY", ()),
    ("bounce@", 1, "BOUNCE", ("Permanent", "General")),
    ("suppressionlist@", 1, "BOUNCE", ("Permanent", "Suppressed")),
    ("mailbox-full@", 1, "BOUNCE", ("Transient", "MailboxFull")),
    ("null-mx@", 1, "BOUNCE", ("Permanent", "General")),
    ("nobody-knows@", 1, "BOUNCE", ("Permanent", "General")),
    ("greylist@", 1, "DELIVERY_DELAY", ()),
    ("greylist@", 2, "DELIVERY", ()),
    ("tempfail-3@", 3, "DELIVERY_DELAY", ()),
    ("tempfail-3@", 4, "DELIVERY", ()),
    ("ooto@", 1, "DELIVERY", ()),
]


@pytest.mark.parametrize(("name", "attempt", "kind", "bounce"), SIMULATED, ids=[f"{c[0]}{c[1]}" for c in SIMULATED])
def test_simulator_does_as_the_name_says(name: str, attempt: int, kind: str, bounce: tuple[str, ...]) -> None:
    """And its events are SES's."""
    path = name + simulator.DOMAIN
    assert simulator.is_simulated(path)
    (event,) = _events(simulator.answered(path, attempt), paths=(path,))
    assert event.type == kind
    assert (event.detail.get("bounceType"), event.detail.get("bounceSubType")) == (bounce or (None, None))


def test_simulator_has_a_domain_of_its_own() -> None:
    """Named by a setting; no other is simulated."""
    assert simulator.is_simulated("x@sim.example.org", "sim.example.org")
    assert not simulator.is_simulated("x@sim.example.org")
    assert not simulator.is_simulated("x@simulator.amazonses.com.example.org", "")


def test_complaint_follows_on_a_simulated_delivery() -> None:
    """Delivery first, then the complaint."""
    path = f"complaint+1@{simulator.DOMAIN}"
    delivery, complaint = _events(simulator.answered(path, 1), paths=(path,))
    assert (delivery.type, complaint.type) == ("DELIVERY", "COMPLAINT")
    assert complaint.detail["complainedRecipients"] == [{"emailAddress": path}]


def test_webhook_gets_the_event_or_what_a_topic_would_post() -> None:
    """Two forms; the same key each time the event comes."""
    plain = Told("set/ConfigSet/x", "", EventDestination("x", True, frozenset(), "Webhook", {"Url": "https://h/"}))
    body, fields = body_of(plain, CASES["bounce"], ORIGIN)
    assert json.loads(body) == as_event(CASES["bounce"])
    assert fields["Content-Type"] == "application/json"
    assert body_of(plain, CASES["bounce"], ORIGIN) == (body, fields)
    form = EventDestination("x", True, frozenset(), "Webhook", {"Url": "https://h/", "Form": "sns"})
    body, fields = body_of(replace(plain, destination=form), CASES["bounce"], ORIGIN)
    notification = json.loads(body)
    assert json.loads(notification["Message"]) == as_event(CASES["bounce"])
    assert notification["Type"] == fields["x-amz-sns-message-type"] == "Notification"
    assert notification["MessageId"] == fields["x-amz-sns-message-id"]


@pytest.mark.parametrize("form", ["event", "sns"])
def test_each_destination_has_a_key_of_its_own_for_an_event(form: str) -> None:
    """Two webhooks at one host may share a store of keys: the same event is another request for each of them."""
    hook = EventDestination("x", True, frozenset(), "Webhook", {"Url": "https://h/", "Form": form})
    told = Told("set/ConfigSet/x", "", hook)
    cases = [
        (told, CASES["bounce"]),
        (replace(told, key="set/ConfigSet/y"), CASES["bounce"]),
        (replace(told, tenant="acme"), CASES["bounce"]),
        (told, CASES["delivery"]),
        (told, replace(CASES["bounce"], detail={**CASES["bounce"].detail, "feedbackId": "another"})),
    ]
    keys = [body_of(to, event, ORIGIN)[1]["Idempotency-Key"] for to, event in cases]
    assert len(set(keys)) == len(cases)
    assert all(re.fullmatch('"[0-9a-f]{64}"', key) for key in keys)
    if form == "sns":
        ids = {body_of(to, event, ORIGIN)[1]["x-amz-sns-message-id"] for to, event in cases}
        assert len(ids) == len(cases)
