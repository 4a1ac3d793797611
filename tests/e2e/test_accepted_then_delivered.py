"""What every door accepts arrives, once, octet for octet."""

from __future__ import annotations

import email
import email.policy
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = ("max_message_octets=12000000",)

BODIES = {
    "plain": b"hello\r\n",
    "empty": b"",
    "no-final-line-end": b"hello",
    "8-bit": bytes(range(128, 256)) + b"\r\n",
    "dots": b".\r\n..\r\n.x\r\n\r\n.\r\n",
    "dot-only": b".\r\n",
    "blank-lines": b"\r\n\r\n\r\n",
    "long-line": b"x" * 998 + b"\r\n",
}
HEADER = b"From: me@example.org\r\nTo: %s\r\nSubject: =?utf-8?q?h=C3=A9?=\r\n folded\r\nX-Odd:value \r\n"


def _body(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", BODIES)
def test_body_arrives_octet_for_octet(house: House, name: str) -> None:
    """8-bit, dots, nothing at all: what was sent is what comes (RFC 5321 4.5.2, RFC 6152)."""
    recipient = f"{name}@example.com"
    house.ended(house.submit(HEADER % recipient.encode() + b"\r\n" + BODIES[name], recipient))
    (content,) = house.mail_to(recipient)
    expected = BODIES[name] if BODIES[name].endswith(b"\r\n") or not BODIES[name] else BODIES[name] + b"\r\n"
    assert expected == _body(content)
    # Our fields stand on top; the caller's keep their order, folding and octets.
    assert content.partition(b"\r\n\r\n")[0].endswith((HEADER % recipient.encode()).rstrip(b"\r\n"))


def test_ten_megabytes_arrive_octet_for_octet(house: House) -> None:
    """Past Lambda's payload limit a message goes by presigned upload, and is streamed on its way out."""
    lines = os.urandom(5_000_000).hex().encode()
    body = b"\r\n".join(lines[n : n + 510] for n in range(0, len(lines), 510)) + b"\r\n"
    assert len(body) > 10_000_000
    house.ended(house.submit(HEADER % b"large@example.com" + b"\r\n" + body, "large@example.com"))
    (content,) = house.mail_to("large@example.com")
    assert _body(content) == body


def test_ten_megabytes_by_smtp(house: House) -> None:
    """In parts where the door speaks to the API, in one piece where it calls the services."""
    body = (b"." + b"x" * 97 + b"\r\n") * 100_000
    content = HEADER % b"large-smtp@example.com" + b"\r\n" + body
    with house.smtp() as session:
        session.mail("me@example.org")
        session.rcpt("large-smtp@example.com")
        code, text = session.data(content)
    assert code == 250, text
    house.ended(text.decode().rpartition(" ")[2])
    (found,) = house.mail_to("large-smtp@example.com")
    assert _body(found) == body


def test_sent_later(house: House) -> None:
    """By `send_at` and by HOLDFOR (RFC 4865): not before, and soon after; what is for another day waits to be seen."""
    content = HEADER % b"later@example.com" + b"\r\nlater\r\n"
    began = time.time()
    at, tomorrow = (datetime.fromtimestamp(began + wait_s, UTC).isoformat() for wait_s in (3, 86_400))
    ids = [house.submit(content, "later@example.com", send_at=at)]
    waiting = house.submit(content, "tomorrow@example.com", send_at=tomorrow)
    with house.smtp() as session:
        session.ehlo()
        assert session.mail("me@example.org", ["HOLDFOR=3"])[0] == 250
        session.rcpt("later@example.com")
        ids.append(session.data(content)[1].decode().rpartition(" ")[2])
    early = [house.message(queue_id)["state"] for queue_id in ids]
    assert early == ["queued"] * 2 or time.time() > began + 2
    for queue_id in ids:
        house.ended(queue_id)
    assert time.time() >= began + 3
    assert len(house.mail_to("later@example.com", 2)) == 2
    while (message := house.message(waiting))["state"] == "queued" and time.time() < began + 60:
        time.sleep(0.2)
    assert message["state"] == "deferred"
    assert datetime.fromisoformat(message["due_at"]).timestamp() == pytest.approx(began + 86_400, abs=1)


def test_ses_v2_simple(house: House) -> None:
    """boto3's sesv2 with only its endpoint changed; its MessageId is our queue id."""
    answer = house.aws("sesv2").send_email(
        FromEmailAddress="Ünal <me@example.org>",
        Destination={"ToAddresses": ["v2@example.com"], "BccAddresses": ["hidden@example.com"]},
        Content={
            "Simple": {
                "Subject": {"Data": "Grüße", "Charset": "UTF-8"},
                "Body": {"Text": {"Data": "hällo\n"}, "Html": {"Data": "<p>hällo</p>"}},
            }
        },
    )
    message = house.ended(answer["MessageId"])
    assert {r["forward_path"]: r["state"] for r in message["recipients"]} == {
        "v2@example.com": "delivered",
        "hidden@example.com": "delivered",
    }
    (content,) = house.mail_to("v2@example.com")
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert mail["Subject"] == "Grüße"
    assert mail["From"].addresses[0].display_name == "Ünal"
    assert mail["Bcc"] is None
    assert b"hidden" not in content
    assert mail.get_body(("plain",)).get_content().splitlines() == ["hällo"]  # type: ignore[union-attr]
    assert answer["MessageId"] in mail["Message-ID"]


@pytest.mark.parametrize("service", ["ses", "sesv2"])
def test_ses_raw(house: House, service: str) -> None:
    """Raw mail by v1 and v2; Message-ID and Date are replaced, as SES does."""
    recipient = f"raw-{service}@example.com"
    content = b"From: me@example.org\r\nTo: %s\r\nMessage-ID: <mine@x>\r\n\r\nraw \xe4\r\n" % recipient.encode()
    if service == "ses":
        queue_id = house.aws("ses").send_raw_email(RawMessage={"Data": content})["MessageId"]
    else:
        queue_id = house.aws("sesv2").send_email(Content={"Raw": {"Data": content}})["MessageId"]
    house.ended(queue_id)
    (arrived,) = house.mail_to(recipient)
    assert _body(arrived) == b"raw \xe4\r\n"
    assert b"<mine@x>" not in arrived
    assert queue_id.encode() in arrived


def test_ses_v1_simple_takes_every_member(house: House) -> None:
    """member.1 to member.N of each kind (an emulator drops all but the first)."""
    recipients = [f"m{n}@example.com" for n in range(1, 6)]
    answer = house.aws("ses").send_email(
        Source="me@example.org",
        Destination={"ToAddresses": recipients[:2], "CcAddresses": recipients[2:4], "BccAddresses": recipients[4:]},
        Message={"Subject": {"Data": "hi"}, "Body": {"Text": {"Data": "text"}}},
    )
    house.ended(answer["MessageId"])
    assert [len(house.mail_to(recipient)) for recipient in recipients] == [1] * 5


def test_smtp(house: House) -> None:
    """STARTTLS, AUTH, several recipients; the 250 carries the queue id."""
    with house.smtp() as session:
        session.mail("me@example.org")
        for recipient in ("s1@example.com", "s2@example.com"):
            session.rcpt(recipient)
        code, reply = session.data(b"From: me@example.org\r\nSubject: smtp\r\n\r\n..dots\r\n.\r\n")
    assert code == 250
    message = house.ended(reply.decode().split()[-1])
    assert message["door"] == "smtp"
    (content,) = house.mail_to("s2@example.com")
    assert _body(content) == b"..dots\r\n.\r\n"


def test_international_mail(house: House) -> None:
    """SMTPUTF8 by SMTP and by the native API: local parts and header in UTF-8 arrive, domains in A-labels."""
    header = "From: Zoë <zoë@example.org>\r\nSubject: Grüße\r\n".encode()
    with house.smtp() as session:
        session.ehlo()
        session.mail("zoë@example.org", ["SMTPUTF8", "BODY=8BITMIME"])
        session.command_encoding = "utf-8"
        session.rcpt("jörg@bücher.example")
        code, reply = session.data(header + "\r\nhällo\r\n".encode())
    assert code == 250, reply
    house.ended(reply.decode().split()[-1])
    (content,) = house.mail_to("jörg@xn--bcher-kva.example")
    assert content.endswith(header + "\r\nhällo\r\n".encode())
    house.ended(house.submit(header + b"\r\napi\r\n", "jürgen@bücher.example"))
    (content,) = house.mail_to("jürgen@xn--bcher-kva.example")
    assert content.endswith(header + b"\r\napi\r\n")


def test_sendmail(house: House) -> None:
    """`sendmail -t -i`: recipients from the header, Bcc gone, exit 0."""
    environ = {
        **os.environ,
        "PARAVION_API": house.engine.api_url,
        "PARAVION_ACCESS_KEY": house.options.access_key,
        "PARAVION_SECRET_KEY": house.options.secret_key,
        "PARAVION_QUEUE": "off",
    }
    content = b"From: cron@example.org\nTo: sm1@example.com\nBcc: sm2@example.com\nSubject: x\n\nbody\n.\nmore\n"
    command = [sys.executable, "-m", "paravion.cli.sendmail", "-t", "-i", "-f", "cron@example.org"]
    done = subprocess.run(command, input=content, env=environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    (first,), (second,) = house.mail_to("sm1@example.com"), house.mail_to("sm2@example.com")
    assert _body(first) == _body(second) == b"body\r\n.\r\nmore\r\n"
    assert b"sm2@example.com" not in first


def test_nothing_is_left_behind(house: House) -> None:
    """After all that the queues are empty, the parked one too."""
    house.quiet()
