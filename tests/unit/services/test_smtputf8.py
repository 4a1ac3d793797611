"""Internationalised mail through the whole world: taken, carried, delivered as it is, or returned as RFC 6533 says."""

from __future__ import annotations

import base64
import email
import email.policy

import pytest

from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.outcome import Outcome
from paravion.domain.seven_bit import to_seven_bit
from paravion.domain.smtp_dialogue import Extensions, Request, Session, transact
from paravion.domain.verdict import Peer
from tests.support.world import World

WHERE = "jörg@bücher.example"
PATH = "jörg@xn--bcher-kva.example"
CONTENT = f"From: Zoë <zoë@example.org>\r\nTo: {WHERE}\r\nSubject: Grüße\r\n\r\nhällo\r\n".encode()


def _refused() -> Outcome:
    """What the dialogue says of a host without SMTPUTF8."""
    request = Request("zoë@example.org", {0: (PATH, (), "")}, CONTENT, 1, smtputf8=True)
    try:
        next(transact(Session(Peer("mx.example", "192.0.2.1"), Extensions()), request))
    except StopIteration as stop:
        return stop.value.verdicts[0].outcome
    raise AssertionError("something was said to a host that can't take it")


def test_international_mail_arrives_octet_for_octet() -> None:
    """UTF-8 local parts and header stay; the envelope's domain is in A-labels, the header's is the author's."""
    world = World()
    receipt = world.submit(WHERE, sender="zoë@example.org", content=CONTENT)
    envelope, _ = decode_qf(world.spool.get_envelope(receipt.queue_id))
    assert (envelope.smtputf8, envelope.body_type) == (True, "8BITMIME")
    assert [recipient.forward_path for recipient in envelope.recipients] == [PATH]
    world.run()
    ((_, path, reverse_path, content),) = world.transport.accepted
    assert (path, reverse_path) == (PATH, "zoë@example.org")
    assert content.endswith(CONTENT)
    assert f"for <{PATH}>".encode() in content


@pytest.mark.parametrize(
    ("sender", "recipient", "header", "needed"),
    [
        ("me@example.org", "you@bücher.example", b"From: me@example.org", False),
        ("me@bücher.example", "you@example.com", b"From: me@example.org", False),
        ("me@example.org", "jörg@example.com", b"From: me@example.org", True),
        ("zoë@example.org", "you@example.com", b"From: me@example.org", True),
        ("me@example.org", "you@example.com", "From: Zoë <me@example.org>".encode(), True),
    ],
    ids=["domain", "reverse_domain", "local", "reverse_local", "header"],
)
def test_smtputf8_is_asked_for_only_where_it_is_needed(
    sender: str, recipient: str, header: bytes, needed: bool
) -> None:
    """RFC 6531 3.2: an IDN domain alone goes to any host, in A-labels; octets beyond ASCII need the extension."""
    world = World()
    receipt = world.submit(recipient, sender=sender, content=header + b"\r\n\r\nx\r\n")
    envelope, _ = decode_qf(world.spool.get_envelope(receipt.queue_id))
    assert envelope.smtputf8 is needed
    assert envelope.reverse_path.rpartition("@")[2].isascii()


def test_mail_that_a_host_cannot_take_is_returned_as_5_6_7() -> None:
    """RFC 6531 3.4 and 6533: no downgrade; the report names the UTF-8 address and returns message/global."""
    world = World({PATH: [_refused()]})
    receipt = world.submit(
        Recipient(WHERE, orcpt="utf-8;j\\x{F6}rg@b\\x{FC}cher.example"), sender="zoë@example.org", content=CONTENT
    )
    world.run()
    assert world.states(receipt.queue_id) == {PATH: "failed"}
    (content,) = world.accepted_by("zoë@example.org")
    report = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
    assert "\r\nTo: zoë@example.org\r\n".encode() in content
    assert report.get_content_type() == "multipart/report"
    words, status, original = report.get_payload()
    assert "accents" in words.get_payload(0).get_content()
    fields = status.as_bytes()
    assert status.get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; jörg@xn--bcher-kva.example".encode() in fields
    assert "Original-Recipient: utf-8; jörg@bücher.example".encode() in fields
    assert b"Status: 5.6.7" in fields
    assert original.get_content_type() == "message/global"
    assert "Subject: Grüße".encode() in content
    (kept,) = [envelope for envelope, _ in map(decode_qf, world.spool.envelopes.values()) if envelope.kind == "dsn"]
    assert kept.smtputf8
    assert kept.reverse_path == ""


def test_ascii_sender_gets_a_report_that_any_host_takes() -> None:
    """
    Only the recipient is international: the report goes to hosts without SMTPUTF8, and in 7 bits if need be.

    The returned original has a Received field for the UTF-8 address: it is message/global, which may be encoded.
    """
    world = World({PATH: [_refused()]})
    world.submit(WHERE, sender="me@example.org", content=b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n")
    world.run()
    (content,) = world.accepted_by("me@example.org")
    kinds = {envelope.kind: envelope for envelope, _ in map(decode_qf, world.spool.envelopes.values())}
    assert not kinds["dsn"].smtputf8
    assert kinds["dsn"].body_type == "8BITMIME"
    header, _, body = content.partition(b"\r\n\r\n")
    header, body = to_seven_bit(header + b"\r\n", body)
    assert header.isascii()
    assert body.isascii()
    original = email.message_from_bytes(header + b"\r\n" + body).get_payload()[2]
    assert original.get_content_type() == "message/global"
    assert original["Content-Transfer-Encoding"] == "base64"
    payload = original.get_payload()
    text = payload[0].get_payload() if isinstance(payload, list) else payload
    assert f"for <{PATH}>".encode() in base64.b64decode(text)
