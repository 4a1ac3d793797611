"""Templates kept by one SES version, sent by the other, one and many, and a bounce asked for: read at the inbox."""

from __future__ import annotations

import email
import email.policy
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import House

CONTENT = {
    "Subject": "Order {{order.id}}",
    "Text": "Dear {{name}},\n{{#each order.items}}\n  {{this}}\n{{/each}}\nBye\n",
    "Html": '{{#*inline "b"}}<b>{{name}}</b>{{/inline}}<p>{{> b}} & Co',
}


def _read(house: House, recipient: str) -> tuple[str, str, str]:
    """Give subject, text and HTML of the one mail to a recipient."""
    (content,) = house.mail_to(recipient)
    message = email.message_from_bytes(content, policy=email.policy.default)
    parts = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in message.iter_parts()}
    return str(message["Subject"]), parts["text/plain"].rstrip("\n"), parts["text/html"].rstrip("\n")


def test_templates_are_kept_and_sent(house: House) -> None:
    """Made by v2; one mail by v1, three by v2's bulk call, each with its own data."""
    v1, v2 = house.aws("ses"), house.aws("sesv2")
    v2.create_email_template(TemplateName="order", TemplateContent=CONTENT)
    assert v1.get_template(TemplateName="order")["Template"]["SubjectPart"] == CONTENT["Subject"]
    data = {"name": "Ann", "order": {"id": 7, "items": ["cup", "pot"]}}
    sent = v1.send_templated_email(
        Source="shop@example.org",
        Destination={"ToAddresses": ["one@example.com"]},
        Template="order",
        TemplateData=json.dumps(data),
    )
    house.ended(sent["MessageId"])
    assert _read(house, "one@example.com") == ("Order 7", "Dear Ann,\n  cup\n  pot\nBye", "<p><b>Ann</b> & Co")
    results = v2.send_bulk_email(
        FromEmailAddress="shop@example.org",
        DefaultContent={"Template": {"TemplateName": "order", "TemplateData": json.dumps(data)}},
        BulkEmailEntries=[
            {
                "Destination": {"ToAddresses": [f"bulk{number}@example.com"]},
                "ReplacementEmailContent": {
                    "ReplacementTemplate": {"ReplacementTemplateData": json.dumps({"order": {"id": number}})}
                },
            }
            for number in range(3)
        ],
    )["BulkEmailEntryResults"]
    assert [result["Status"] for result in results] == ["SUCCESS"] * 3
    for number, result in enumerate(results):
        house.ended(result["MessageId"])
        assert _read(house, f"bulk{number}@example.com")[:2] == (f"Order {number}", "Dear Ann,\n  cup\n  pot\nBye")
    bounce = v1.send_bounce(
        OriginalMessageId=sent["MessageId"],
        BounceSender="desk@example.com",
        BouncedRecipientInfoList=[{"Recipient": "one@example.com", "BounceType": "ContentRejected"}],
    )
    house.ended(bounce["MessageId"])
    (report,) = house.mail_to("shop@example.org")
    assert b"Status: 5.6.1" in report
