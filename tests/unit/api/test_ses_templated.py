"""Mail of templates, one or many, by unmodified boto3 clients of both versions."""

from __future__ import annotations

import email
import email.policy
import json

import botocore.exceptions
import pytest

from paravion.domain import status
from paravion.domain.status import Rejected
from paravion.domain.submission import Receipt
from paravion.errors import QueueUnavailable
from paravion.ports import Identity

FROM = {"FromEmailAddress": "Shop <a@example.org>"}
TO = {"ToAddresses": ["b@example.org"]}
TEMPLATE = {
    "Subject": "Hello {{name}}",
    "Text": "Dear {{name}}, {{#each items}}{{this}};{{/each}}",
    "Html": "<p>{{name}}",
}
DATA = {"name": "Ann & Co", "items": ["a", "b"]}


@pytest.fixture
def with_template(served):
    """Doors behind which the template hello is kept."""
    served.client("sesv2").create_email_template(TemplateName="hello", TemplateContent=TEMPLATE)
    served.identities.put(Identity("example.org", verified=True, token="", created_at=0.0))
    return served


def message_of(submission):
    """Parse what was submitted."""
    return email.message_from_bytes(submission.content, policy=email.policy.default)


def texts(submission):
    """Give the subject and the text part."""
    message = message_of(submission)
    return message["Subject"], message.get_body(("plain",)).get_content().strip()


def refused(call, **given):
    """Give code and text of a call that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def stored(data=DATA, **more):
    """Give v2 content by the stored template."""
    return {"Template": {"TemplateName": "hello", "TemplateData": json.dumps(data), **more}}


def test_v2_sends_by_a_stored_template(with_template):
    """Unescaped, with its own headers and attachments, tags and configuration set; by name and by ARN."""
    client = with_template.client("sesv2")
    client.send_email(
        **FROM,
        Destination={**TO, "BccAddresses": ["c@example.org"]},
        ReplyToAddresses=["r@example.org"],
        FeedbackForwardingEmailAddress="bounces@example.org",
        ConfigurationSetName="news",
        EmailTags=[{"Name": "campaign", "Value": "one"}],
        Content=stored(
            Headers=[{"Name": "X-Kind", "Value": "test"}],
            Attachments=[{"FileName": "a.pdf", "RawContent": b"%PDF"}],
        ),
    )
    [submission] = with_template.submissions
    message = message_of(submission)
    assert texts(submission) == ("Hello Ann & Co", "Dear Ann & Co, a;b;")
    assert message.get_body(("html",)).get_content().strip() == "<p>Ann & Co"
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.pdf"]
    assert (message["From"], message["To"], message["Reply-To"], message["X-Kind"]) == (
        "Shop <a@example.org>", "b@example.org", "r@example.org", "test")  # fmt: skip
    assert (submission.reverse_path, submission.configuration_set, submission.tags) == (
        "bounces@example.org", "news", (("campaign", "one"),))  # fmt: skip
    assert [recipient.forward_path for recipient in submission.recipients] == ["b@example.org", "c@example.org"]
    arn = "arn:aws:ses:eu-west-1:123456789012:template/hello"
    client.send_email(
        **FROM, Destination=TO, Content={"Template": {"TemplateArn": arn, "TemplateData": json.dumps(DATA)}}
    )
    assert texts(with_template.submissions[-1])[0] == "Hello Ann & Co"


def test_v2_sends_an_inline_template(served):
    """Substitution alone, in subject, text and HTML."""
    content = {"Subject": "For {{a.b}}", "Text": "Hi {{a.b}}", "Html": "<b>{{{a.b}}}"}
    template = {"TemplateContent": content, "TemplateData": '{"a": {"b": "you"}}'}
    served.client("sesv2").send_email(**FROM, Destination=TO, Content={"Template": template})
    assert texts(served.submissions[0]) == ("For you", "Hi you")


@pytest.mark.parametrize(
    "text", ["{{#if a}}x{{/if}}", "{{#each a}}{{/each}}", "{{lookup a 0}}", "{{> p}}", "{{@root}}"]
)
def test_trap_inline_template_with_operations_is_refused(served, text):
    """As SES has it: `{{#if}}` inline is no substitution."""
    template = {"TemplateContent": {"Subject": "s", "Text": text}, "TemplateData": "{}"}
    given = {**FROM, "Destination": TO, "Content": {"Template": template}}
    assert refused(served.client("sesv2").send_email, **given) == (
        "BadRequestException", "Template contains unsupported operations.")  # fmt: skip


BAD = {
    "no template": ({"Content": {"Template": {"TemplateData": "{}"}}}, "BadRequestException", "exactly one of TemplateName"),
    "two templates": ({"Content": stored(TemplateContent=TEMPLATE)}, "BadRequestException", "exactly one of TemplateName"),
    "an unknown template": ({"Content": {"Template": {"TemplateName": "no"}}}, "NotFoundException", "Template no does not exist"),
    "no ARN": ({"Content": {"Template": {"TemplateArn": "hello"}}}, "BadRequestException", "TemplateArn"),
    "another ARN": ({"Content": stored(TemplateArn="arn:aws:ses:eu-west-1:123456789012:template/other")},
                    "BadRequestException", "another template"),
    "no JSON": ({"Content": {"Template": {"TemplateName": "hello", "TemplateData": "{"}}}, "BadRequestException", "JSON"),
    "no object": ({"Content": {"Template": {"TemplateName": "hello", "TemplateData": "1"}}}, "BadRequestException", "JSON object"),
    "no sender": ({"FromEmailAddress": ""}, "BadRequestException", "FromEmailAddress is required with Template"),
    "no recipient": ({"Destination": {}}, "BadRequestException", "at least one address"),
    "no recipient and no data": ({"Destination": {}, "Content": stored({})}, "BadRequestException", "at least one address"),
    "CRLF by the data": ({"Content": stored({"name": "a\r\nBcc: x@example.org", "items": []})}, "BadRequestException", "Subject"),
    "a file type": ({"Content": stored(Attachments=[{"FileName": "a.EXE", "RawContent": b"x"}])}, "MessageRejected", ".exe"),
}  # fmt: skip


@pytest.mark.parametrize("key", BAD)
def test_v2_template_that_can_not_be_sent_is_refused(with_template, key):
    """By name, and nothing is submitted."""
    changes, code, text = BAD[key]
    given = {**FROM, "Destination": TO, "Content": stored(), **changes}
    answer = refused(with_template.client("sesv2").send_email, **given)
    assert answer[0] == code
    assert text in answer[1]
    assert not with_template.submissions


def test_missing_attribute_is_accepted_and_told_as_rendering_failure(with_template):
    """SES takes the call and gives a message id; the event names what is missing, and nothing is sent."""
    v1, v2 = with_template.client("ses"), with_template.client("sesv2")
    first = v2.send_email(**FROM, Destination=TO, Content=stored({"items": []}))["MessageId"]
    second = v1.send_templated_email(
        Source="a@example.org", Destination=TO, Template="hello", TemplateData="{}", ConfigurationSetName=""
    )["MessageId"]
    assert not with_template.submissions
    told = [fields for event, fields in with_template.event_log.records if event == "RenderingFailure"]
    assert [fields["queue_id"] for fields in told] == [first, second]
    assert told[0]["template"] == "hello"
    assert told[0]["detail"] == "Attribute 'name' is not present in the rendering data."


def test_rendering_failure_of_what_would_be_refused_is_an_error_of_the_call(with_template):
    """What refuses every mail of the kind refuses this one."""
    client = with_template.client("sesv2")
    given = {**FROM, "Destination": TO, "Content": stored({})}
    assert refused(client.send_email, **given, ConfigurationSetName="no")[0] == "NotFoundException"
    stranger = {**given, "FromEmailAddress": "a@example.com"}
    assert refused(client.send_email, **stranger)[0] == "MessageRejected"


def test_unsubscribe_placeholder_is_left_for_the_contact_list(with_template):
    """services/list_management.py fills it in; without a list it is data that is missing."""
    client = with_template.client("sesv2")
    content = {"TemplateContent": {"Subject": "s", "Text": "Leave: {{amazonSESUnsubscribeUrl}}"}, "TemplateData": "{}"}
    given = {**FROM, "Destination": TO, "Content": {"Template": content}}
    client.send_email(**given, ListManagementOptions={"ContactListName": "news", "TopicName": "sport"})
    [submission] = with_template.submissions
    assert texts(submission)[1] == "Leave: {{amazonSESUnsubscribeUrl}}"
    assert (submission.contact_list, submission.topic) == ("news", "sport")
    client.send_email(**given)
    assert len(with_template.submissions) == 1


def bulk(*entries, data=DATA, **more):
    """Give a bulk call of v2."""
    return {
        **FROM,
        "DefaultContent": stored(data),
        "BulkEmailEntries": [{"Destination": {"ToAddresses": [f"{n}@example.org"]}, **entry} for n, entry in enumerate(entries)],
        **more,
    }  # fmt: skip


def own(data):
    """Give an entry's own data."""
    return {"ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": json.dumps(data)}}}


def statuses(answer):
    """Give the entries' statuses."""
    return [item["Status"] for item in answer["BulkEmailEntryResults"]]


def numbered(served):
    """Answer each submission with an id of its own: it tells which entry is which."""

    def submit(submission):
        served.submissions.append(submission)
        return Receipt(f"id-{submission.recipients[0].forward_path}", 1)

    served.submit = submit
    return served.client("sesv2")


def test_trap_bulk_data_is_merged_per_key(with_template):
    """Objects member by member, however deep; lists and scalars whole."""
    client = numbered(with_template)
    client.create_email_template(
        TemplateName="deep",
        TemplateContent={"Subject": "{{a.b.c}}{{a.b.d}}{{a.e}}", "Text": "{{#each l}}{{this}}{{/each}}{{s}}"},
    )
    default = {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "l": [1, 2, 3], "s": {"x": 1}}
    call = bulk({}, own({"a": {"b": {"d": 9}}}), own({"l": [4], "s": "scalar", "a": {"e": None}}))
    call["DefaultContent"] = {"Template": {"TemplateName": "deep", "TemplateData": json.dumps(default)}}
    answer = client.send_bulk_email(**call)
    assert statuses(answer) == ["SUCCESS"] * 3
    assert sorted(map(texts, with_template.submissions)) == [
        ("12", "4scalar"),
        ("123", "123[object Object]"),
        ("193", "123[object Object]"),
    ]


def test_bulk_headers_and_tags_of_an_entry_replace_those_of_the_call(with_template):
    """By name, headers whatever their case; the others stay."""
    client = numbered(with_template)
    call = bulk(
        {"ReplacementHeaders": [{"Name": "x-kind", "Value": "own"}, {"Name": "X-New", "Value": "n"}],
         "ReplacementTags": [{"Name": "a", "Value": "own"}]},
        {},
        DefaultEmailTags=[{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
    )  # fmt: skip
    call["DefaultContent"] = stored(Headers=[{"Name": "X-Kind", "Value": "all"}, {"Name": "X-Rest", "Value": "r"}])
    client.send_bulk_email(**call)
    one, other = sorted(with_template.submissions, key=lambda submission: submission.recipients[0].forward_path)
    fields = [(message["X-Kind"], message["X-Rest"], message["X-New"]) for message in map(message_of, (one, other))]
    assert fields == [("own", "r", "n"), ("all", "r", None)]
    assert [dict(one.tags), dict(other.tags)] == [{"a": "own", "b": "2"}, {"a": "1", "b": "2"}]


REFUSALS = {
    "MESSAGE_REJECTED": Rejected(status.RELAY_DENIED, "not verified"),
    "CONFIGURATION_SET_NOT_FOUND": Rejected(status.NO_SUCH_CONFIGURATION_SET, "no set"),
    "CONFIGURATION_SET_SENDING_PAUSED": Rejected(status.SET_PAUSED, "paused"),
    "ACCOUNT_SENDING_PAUSED": Rejected(status.SENDING_PAUSED, "paused"),
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": Rejected(status.MAIL_FROM_NOT_VERIFIED, "not yet"),
    "ACCOUNT_THROTTLED": Rejected(status.RATE_LIMITED, "rate"),
    "INVALID_PARAMETER": Rejected(status.RECIPIENT_SYNTAX, "syntax"),
    "TRANSIENT_FAILURE": QueueUnavailable("busy"),
    "FAILED": Rejected(status.ACCESS_DENIED, "denied"),
}


@pytest.mark.parametrize("word", REFUSALS)
def test_each_bulk_entry_has_its_own_answer(with_template, word):
    """One that fails takes no other with it, whatever the failure; v1 has the same words in another case."""

    def submit(submission):
        if submission.recipients[0].forward_path == "1@example.org":
            raise REFUSALS[word]
        return Receipt("q1", 1)

    with_template.submit = submit
    answer = with_template.client("sesv2").send_bulk_email(**bulk({}, {}, {}))
    assert statuses(answer) == ["SUCCESS", word, "SUCCESS"]
    assert [bool(item.get("MessageId")) for item in answer["BulkEmailEntryResults"]] == [True, False, True]
    assert answer["BulkEmailEntryResults"][1]["Error"]
    v1 = with_template.client("ses").send_bulk_templated_email(
        Source="a@example.org", Template="hello", DefaultTemplateData=json.dumps(DATA),
        Destinations=[{"Destination": {"ToAddresses": [f"{n}@example.org"]}} for n in range(2)],
    )  # fmt: skip
    expected = {
        "INVALID_PARAMETER": "InvalidParameterValue",
        "CONFIGURATION_SET_NOT_FOUND": "ConfigurationSetDoesNotExist",
    }
    assert [item["Status"] for item in v1["Status"]] == [
        "Success", expected.get(word, word.title().replace("_", ""))]  # fmt: skip


def test_bad_bulk_entries_are_named_one_by_one(with_template):
    """An address, data, a tag and 51 recipients; the good one goes."""
    client = numbered(with_template)
    answer = client.send_bulk_email(
        **bulk(
            {"Destination": {"ToAddresses": ["nobody"]}},
            {"ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": "["}}},
            {"ReplacementTags": [{"Name": "a b", "Value": "c"}]},
            {"Destination": {"ToAddresses": [f"{n}@example.org" for n in range(51)]}},
            {"Destination": {}},
            {},
        )
    )
    assert statuses(answer) == ["INVALID_PARAMETER"] * 5 + ["SUCCESS"]
    assert len(with_template.submissions) == 1


BAD_CALLS = {
    "too many": (bulk(*[{}] * 51), "BadRequestException"),
    "none": (bulk(), "BadRequestException"),
    "no template": ({**bulk({}), "DefaultContent": {}}, "BadRequestException"),
    "an unknown template": ({**bulk({}), "DefaultContent": {"Template": {"TemplateName": "no"}}}, "NotFoundException"),
    "bad data": ({**bulk({}), "DefaultContent": {"Template": {"TemplateName": "hello", "TemplateData": "["}}}, "BadRequestException"),
    "a bad tag": (bulk({}, DefaultEmailTags=[{"Name": "a\r\nb", "Value": "c"}]), "BadRequestException"),
    "no sender": ({**bulk({}), "FromEmailAddress": ""}, "BadRequestException"),
}  # fmt: skip


@pytest.mark.parametrize("key", BAD_CALLS)
def test_bulk_call_that_is_bad_for_all_is_refused_whole(with_template, key):
    """What every entry shares is an error of the call."""
    given, code = BAD_CALLS[key]
    assert refused(with_template.client("sesv2").send_bulk_email, **given)[0] == code
    assert not with_template.submissions


def test_bulk_entries_are_idempotent_one_by_one(with_template):
    """An SDK's repeat of the call names each entry as the first time, with the same octets; no two share a name."""
    failed = []

    def submit(submission):
        with_template.submissions.append(submission)
        return Receipt("q1", 1)

    with_template.submit = submit
    answer = with_template.answer

    def lost(event):
        result = answer(event)
        if not failed:
            failed.append(event)
            return {"statusCode": 500, "headers": {}, "body": "{}"}
        return result

    with_template.answer = lost
    with_template.client("sesv2", attempts=2).send_bulk_email(**bulk({}, own({"name": "Bo"})))
    first, repeat = with_template.submissions[:2], with_template.submissions[2:]
    assert [(one.idempotency_key, one.content) for one in first] == [
        (one.idempotency_key, one.content) for one in repeat
    ]
    assert len({submission.idempotency_key for submission in first}) == 2
    assert all(submission.idempotency_key.startswith("sdk:") for submission in first)


def test_v1_templated_and_bulk_are_sent(with_template):
    """With return path, tags and set; replacement data merges as in v2."""
    client = with_template.client("ses")
    common = {
        "Source": "Shop <a@example.org>",
        "ReturnPath": "bounces@example.org",
        "ConfigurationSetName": "news",
        "Template": "hello",
    }
    answer = client.send_templated_email(
        **common,
        Destination=TO,
        TemplateData=json.dumps(DATA),
        Tags=[{"Name": "a", "Value": "1"}],
        ReplyToAddresses=["r@example.org"],
    )
    assert answer["MessageId"]
    client.send_bulk_templated_email(
        **common, DefaultTemplateData=json.dumps(DATA), DefaultTags=[{"Name": "a", "Value": "1"}],
        Destinations=[{"Destination": TO, "ReplacementTemplateData": '{"name": "Bo"}', "ReplacementTags": [{"Name": "a", "Value": "2"}]}],
    )  # fmt: skip
    one, other = with_template.submissions
    assert [texts(one), texts(other)] == [("Hello Ann & Co", "Dear Ann & Co, a;b;"), ("Hello Bo", "Dear Bo, a;b;")]
    assert [one.tags, other.tags] == [(("a", "1"),), (("a", "2"),)]
    assert {submission.reverse_path for submission in (one, other)} == {"bounces@example.org"}
    assert {submission.configuration_set for submission in (one, other)} == {"news"}


def test_v1_refuses_unknown_templates_by_its_own_name(with_template):
    """TemplateDoesNotExist, for one mail and for many; bad data is an invalid parameter."""
    client = with_template.client("ses")
    with pytest.raises(client.exceptions.TemplateDoesNotExistException):
        client.send_templated_email(Source="a@example.org", Destination=TO, Template="no", TemplateData="{}")
    with pytest.raises(client.exceptions.TemplateDoesNotExistException):
        client.send_bulk_templated_email(
            Source="a@example.org", Template="no", DefaultTemplateData="{}", Destinations=[{"Destination": TO}]
        )
    given = {"Source": "a@example.org", "Destination": TO, "Template": "hello", "TemplateData": "["}
    assert refused(client.send_templated_email, **given)[0] == "InvalidRenderingParameter"
