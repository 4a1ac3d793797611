"""Mail of a contact list: the suppression of who left, the link, the placeholder, new contacts."""

from __future__ import annotations

import base64
import email
from email import policy

import pytest

from paravion.domain import contacts, dkim_keys, unsubscribe
from paravion.domain.status import BAD_MESSAGE, BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.tenant import contacts_kind
from paravion.domain.unsubscribe import Key, Link
from paravion.errors import LedgerUnavailable
from paravion.services.list_management import PLACEHOLDER
from tests.support.dkim_keys import active_ring
from tests.support.world import World

KEYS = (Key("k1", b"x" * 32),)
LIST = {
    "ContactListName": "news",
    "Topics": [
        {"TopicName": "sport", "DisplayName": "Sport", "DefaultSubscriptionStatus": "OPT_IN"},
        {"TopicName": "offers", "DisplayName": "Offers", "DefaultSubscriptionStatus": "OPT_OUT"},
    ],
}
TEXT = f"From: me@example.org\r\nSubject: news\r\n\r\nLeave: {PLACEHOLDER}\r\n".encode()


@pytest.fixture
def world():
    """A list with a key; the API is at api.example.org."""
    made = World(public_url="https://api.example.org")
    made.secrets.put(unsubscribe.SECRET, unsubscribe.write_keys(KEYS))
    made.records.put(contacts.LISTS_KIND, "news", LIST)
    return made


def contact(world, address, **fields):
    """Keep a contact of the list."""
    record = {"EmailAddress": address, "TopicPreferences": [], "UnsubscribeAll": False, **fields}
    world.records.put(contacts_kind("news"), address, record)


def test_single_recipient_gets_the_link(world):
    receipt = world.submit("Ann@example.com", content=TEXT, contact_list="news", topic="sport")
    world.run()
    (mail,) = world.accepted_by("Ann@example.com")
    message = email.message_from_bytes(mail, policy=policy.default)
    url = message["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://api.example.org/unsubscribe/k1.")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content().strip() == f"Leave: {url}"
    token = url.rpartition("/")[2]
    assert unsubscribe.read_token(token, KEYS) == Link("", "news", "sport", "Ann@example.com", receipt.queue_id)
    # Who was no contact has become one.
    kept = world.records.get(contacts_kind("news"), "ann@example.com")
    assert (kept.value["EmailAddress"], kept.value["UnsubscribeAll"]) == ("Ann@example.com", False)


def test_several_recipients_get_no_link(world):
    world.submit("a@example.com", "b@example.com", content=TEXT, contact_list="news")
    world.run()
    (mail,) = world.accepted_by("a@example.com")
    assert b"List-Unsubscribe" not in mail
    assert PLACEHOLDER.encode() in mail


def test_own_unsubscribe_fields_are_replaced(world):
    content = b"List-Unsubscribe: <mailto:x@example.org>\r\nLIST-UNSUBSCRIBE-POST: x\r\n" + TEXT
    world.submit("a@example.com", content=content, contact_list="news")
    world.run()
    message = email.message_from_bytes(world.accepted_by("a@example.com")[0])
    assert [value[:9] for value in message.get_all("List-Unsubscribe")] == ["<https://"]
    assert len(message.get_all("List-Unsubscribe-Post")) == 1


@pytest.mark.parametrize(
    ("fields", "topic", "sent"),
    [
        pytest.param({}, "", True, id="says_nothing"),
        pytest.param({}, "sport", True, id="default_in"),
        pytest.param({}, "offers", False, id="default_out"),
        pytest.param({"UnsubscribeAll": True}, "", False, id="left_all"),
        pytest.param({"UnsubscribeAll": True, "TopicPreferences": [{"TopicName": "sport", "SubscriptionStatus": "OPT_IN"}]},
                     "sport", False, id="left_all_beats_topic"),
        pytest.param({"TopicPreferences": [{"TopicName": "sport", "SubscriptionStatus": "OPT_OUT"}]}, "sport", False, id="left_topic"),
        pytest.param({"TopicPreferences": [{"TopicName": "sport", "SubscriptionStatus": "OPT_OUT"}]}, "", True, id="left_another"),
        pytest.param({"TopicPreferences": [{"TopicName": "offers", "SubscriptionStatus": "OPT_IN"}]}, "offers", True, id="opted_in"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tables", [False, True])
def test_who_has_unsubscribed_is_not_sent_to(world, fields, topic, sent, tables):
    """As SES does: the submission is taken, and the mail bounces; with aliases loaded as without."""
    if tables:
        world.load("aliases", "staff: x@example.net")
    contact(world, "a@example.com", **fields)
    receipt = world.submit("A@example.com", content=TEXT, contact_list="news", topic=topic)
    assert receipt.recipient_count == 1
    world.run()
    assert bool(world.accepted_by("A@example.com")) is sent
    (bounce,) = world.accepted_by("me@example.org") or [b""]
    assert (
        b"the contact has unsubscribed: list news" in bounce.replace(b"\r\n", b"").replace(b"    ", b" ")
    ) is not sent


def test_header_field_names_the_list_at_every_door(world):
    content = b"X-SES-LIST-MANAGEMENT-OPTIONS: news; topic=offers\r\n" + TEXT
    contact(world, "b@example.com", UnsubscribeAll=True)
    world.submit("a@example.com", "b@example.com", content=content, door="smtp")
    world.run()
    assert not world.accepted_by("a@example.com")  # its default is OPT_OUT
    assert not world.accepted_by("b@example.com")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"contact_list": "nobody"}, NOT_FOUND, id="no_list"),
        pytest.param({"contact_list": "news", "topic": "war"}, NOT_FOUND, id="no_topic"),
        pytest.param({"contact_list": "news", "tenant": "acme"}, NOT_FOUND, id="another_tenants_list"),
        pytest.param({"contact_list": "news", "content": b"DKIM-Signature: v=1\r\n" + TEXT}, BAD_MESSAGE, id="signed"),
        pytest.param({"content": b"X-SES-LIST-MANAGEMENT-OPTIONS: a b\r\n" + TEXT}, BAD_MESSAGE, id="bad_field"),
        pytest.param({"contact_list": "news", "content": b"X-SES-LIST-MANAGEMENT-OPTIONS: old\r\n" + TEXT},
                     BAD_REQUEST, id="contradiction"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(world, fields, status):
    with pytest.raises(Rejected) as caught:
        world.submit("a@example.com", **{"content": TEXT, **fields})
    assert caught.value.status is status
    assert not world.spool.envelopes


def test_repeat_is_the_same_message(world):
    """Also when the recipient left in between: the first answer stands."""
    first = world.submit("a@example.com", content=TEXT, contact_list="news", idempotency_key="k")
    contact(world, "a@example.com", UnsubscribeAll=True)
    again = world.submit("a@example.com", content=TEXT, contact_list="news", idempotency_key="k")
    assert (first.queue_id, again.repeated) == (again.queue_id, True)


def test_failing_store_loses_no_mail(world, monkeypatch):
    """Read before anything is kept: the caller repeats. Written after: the mail goes, and the log tells."""
    monkeypatch.setattr(world.records, "put", lambda *_, **__: (_ for _ in ()).throw(LedgerUnavailable("x")))
    world.submit("a@example.com", content=TEXT, contact_list="news")
    monkeypatch.setattr(world.records, "get", lambda *_: (_ for _ in ()).throw(LedgerUnavailable("x")))
    with pytest.raises(LedgerUnavailable):
        world.submit("b@example.com", content=TEXT, contact_list="news")
    world.run()
    assert [path for _, path, _, _ in world.transport.accepted] == ["a@example.com"]
    assert ("Fault", {"stage": "contacts", "error": "LedgerUnavailable"}) in world.event_log.records


def _mime(*parts: str) -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts)
    return f'From: me@example.org\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n{body}--b--\r\n'.encode()


P = PLACEHOLDER
B64 = base64.b64encode(f"<a href='{P}'>ü</a>".encode()).decode()


@pytest.mark.parametrize(
    ("content", "times"),
    [
        pytest.param(f"From: me@example.org\r\n\r\n{P} {P} {P}\r\n".encode(), 2, id="the_first_two"),
        pytest.param(f"From: me@example.org\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{P[:9]}=\r\n{P[9:]} =3D\r\n".encode(),
                     1, id="split_in_quoted_printable"),
        pytest.param(f"From: me@example.org\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{B64}\r\n".encode(),
                     1, id="base64"),
        pytest.param(_mime(f"\r\n{P}", f"Content-Type: text/html\r\n\r\n<p>{P}"), 2, id="each_text_part"),
        pytest.param(_mime(f"Content-Disposition: attachment\r\n\r\n{P}"), 0, id="attached_text"),
        pytest.param(_mime(f"Content-Type: application/json\r\n\r\n{P}"), 0, id="other_type"),
        pytest.param(f"From: me@example.org\r\n\r\n{'x' * 990}{P}\r\n".encode(), 1, id="line_gets_too_long"),
        pytest.param(b"From: me@example.org\r\nContent-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                     + base64.b64encode(P.encode("utf-16le")) + b"\r\n", 1, id="utf_16"),
        pytest.param(b"From: me@example.org\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n", 0, id="broken_base64"),
        pytest.param(b"From: me@example.org\r\n\r\nnothing\r\n", 0, id="none"),
    ],
)  # fmt: skip
def test_placeholder_in_every_encoding(world, content, times):
    world.submit("a@example.com", content=content, contact_list="news")
    world.run()
    (mail,) = world.accepted_by("a@example.com")
    message = email.message_from_bytes(mail)
    texts = [
        part.get_payload(decode=True).decode(part.get_content_charset("utf-8"), "replace")
        for part in message.walk()
        if not part.is_multipart()
    ]
    url = message["List-Unsubscribe"].strip("<>\r\n ")
    assert sum(text.count(url) for text in texts) == times
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    if not times:
        assert mail.endswith(content.partition(b"\r\n\r\n")[2])


def test_link_is_signed_by_dkim(world):
    """RFC 8058 4: both fields are covered, and oversigned; the body is hashed with the link in it."""
    world.secrets.put("dkim/example.org", dkim_keys.encode(active_ring()))
    world.submit("a@example.com", content=TEXT, contact_list="news")
    world.run()
    signature = email.message_from_bytes(world.accepted_by("a@example.com")[0])["DKIM-Signature"]
    covered = "".join(signature.partition("h=")[2].partition(";")[0].split()).lower().split(":")
    assert covered.count("list-unsubscribe") == covered.count("list-unsubscribe-post") == 2


@pytest.mark.parametrize(
    "token",
    ["", "k1", "k1..", "k2.e30.AAAA", "k1.e30.AAAAAAAAAAAAAAAAAAAAAA", "ü" * 50, "k1." + "A" * 5000],
    ids=range(7),
)
def test_token_that_is_not_ours_is_none(token):
    assert unsubscribe.read_token(token, KEYS) is None


def test_rotated_key_still_reads():
    token = unsubscribe.make_token(Link("t", "l", "", "ü@example.org", "q"), KEYS)
    ring = unsubscribe.with_new_key(KEYS, "k2", b"y" * 32)
    assert unsubscribe.read_keys(unsubscribe.write_keys(ring)) == ring
    assert unsubscribe.read_token(token, ring).address == "ü@example.org"
    assert unsubscribe.make_token(Link("", "", "", "", ""), ring).startswith("k2.")
    for number in range(20):
        ring = unsubscribe.with_new_key(ring, f"n{number}", b"z" * 32)
    assert len(ring) == unsubscribe.KEYS_MAX
    assert unsubscribe.read_token(token, ring) is None
