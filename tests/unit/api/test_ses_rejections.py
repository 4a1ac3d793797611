"""What SES's doors accept and do not send: it is told of, and refused like all mail where all mail would be."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from paravion.api.ses_shapes import ShapeError, from_text
from paravion.domain import event_item
from paravion.domain.simulator import has_test_virus
from paravion.ports import Identity, QueueName
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
MAIL = {"FromEmailAddress": "Shop <a@example.org>", "Destination": {"ToAddresses": ["b@example.org"]}}
BODY = {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "x"}}}
LACKING = {"TemplateName": "hello", "TemplateData": "{}"}


@pytest.fixture
def told(served):
    """Doors with a template, and a set that wants every event; gives what is in the event queue."""
    client = served.client("sesv2")
    client.create_email_template(TemplateName="hello", TemplateContent={"Subject": "Hi {{name}}", "Text": "x"})
    served.identities.put(Identity("example.org", verified=True, token="", created_at=0.0))
    destination = {
        "Name": "hook",
        "Enabled": True,
        "MatchingEventTypes": ["RENDERING_FAILURE", "REJECT"],
        "Webhook": {"Url": "https://hooks.example.org/"},
    }
    served.records.put("configuration-set", "news", {"EventDestinations": [destination]})

    def events():
        items = [event_item.decode(item.body) for item in served.queues.receive(QueueName.EVENT)]
        return [event for item in items for event in item.events]

    return client, events


def test_rendering_failure_goes_by_the_set_and_tags_of_the_header(told):
    """The fields X-SES-… of a template are obeyed as those of mail that is sent."""
    client, events = told
    headers = [
        {"Name": "X-SES-CONFIGURATION-SET", "Value": "news"},
        {"Name": "X-SES-MESSAGE-TAGS", "Value": "campaign=may"},
    ]
    answer = client.send_email(**MAIL, Content={"Template": {**LACKING, "Headers": headers}})
    (event,) = events()
    assert (event.type, event.mail["messageId"]) == ("RENDERING_FAILURE", answer["MessageId"])
    assert event.mail["tags"]["campaign"] == ["may"]
    assert event.mail["tags"]["ses:configuration-set"] == ["news"]
    assert "headers" not in event.mail


@pytest.mark.parametrize("content", [{"Template": LACKING}, {"Raw": {"Data": b"From: a@example.org\r\n\r\n" + EICAR}}])
def test_what_is_not_sent_is_held_to_the_scope_of_its_credential(served, told, content):
    """Nobody makes events in another's name by mail that can't be sent."""
    client, events = told
    scope = {"identities": ["example.com"]}
    served.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps({"secret_key": SECRET_KEY, "scope": scope}))
    with pytest.raises(ClientError) as caught:
        client.send_email(**MAIL, Content=content, ConfigurationSetName="news")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert events() == []


@pytest.mark.parametrize("where", ["attached", "raw"])
def test_mail_with_the_test_virus_is_accepted_and_rejected(served, told, where):
    """As SES has it: a message id, the event Reject with the mail's header, and nothing sent."""
    client, events = told
    content = {"Simple": {**BODY, "Attachments": [{"FileName": "sample.txt", "RawContent": EICAR}]}}
    if where == "raw":
        content = {"Raw": {"Data": b"From: a@example.org\r\nBcc: c@example.org\r\nSubject: s\r\n\r\n" + EICAR}}
    answer = client.send_email(**MAIL, Content=content, ConfigurationSetName="news")
    (event,) = events()
    assert (event.type, event.detail) == ("REJECT", {"reason": "Bad content"})
    assert event.mail["commonHeaders"]["subject"] == "s"
    assert event.mail["commonHeaders"]["messageId"] == answer["MessageId"] == event.mail["messageId"]
    assert "Bcc" not in {item["name"] for item in event.mail["headers"]}
    assert served.submissions == []


def test_who_only_speaks_of_the_test_virus_is_sent():
    """The file itself is meant."""
    assert not has_test_virus(b"Have you tried the EICAR-STANDARD-ANTIVIRUS-TEST-FILE?")
    assert has_test_virus(b"x" + EICAR)


@pytest.mark.parametrize(
    "value",
    [-1e12, 1e18, 1e308, 10**400, float("nan"), True, "x", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_trap_instant_that_no_calendar_has_is_refused(value):
    """Of whatever kind: what can't be written later must not come in."""
    with pytest.raises(ShapeError, match="no timestamp"):
        from_text(value, SimpleNamespace(type_name="timestamp"), "when")


@pytest.mark.parametrize("name", ["a.exe", "A.Scr. ", "=?utf-8?q?a=2Evbs?="])
def test_raw_mail_with_a_file_that_ses_does_not_send_is_refused(served, told, name):
    """By both versions, as an attachment of the simple form is; nothing is kept."""
    raw = b"From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment;\n"
    raw += f'\tfilename="{name}"\n\nx\n--b--\n'.encode()
    for send in (
        lambda: told[0].send_email(**MAIL, Content={"Raw": {"Data": raw}}),
        lambda: served.client("ses").send_raw_email(Destinations=["b@example.org"], RawMessage={"Data": raw}),
    ):
        with pytest.raises(ClientError, match="are not sent") as caught:
            send()
        assert caught.value.response["Error"]["Code"] in {"MessageRejected", "BadRequestException"}
    assert served.spool.envelopes == {}
