"""SES v1 through an unmodified boto3 client, and its wire form by hand."""

from __future__ import annotations

import base64
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import botocore.exceptions
import pytest

from paravion.domain import status
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.status import Rejected
from paravion.errors import SpoolUnavailable

MESSAGE = {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}}
RAW = {"Data": b"From: a@example.org\r\nTo: b@example.org\r\n\r\n8-bit \xff\r\n"}
BASIC = "Basic " + base64.b64encode(f"AKIATEST:{smtp_password('test-secret', 'us-east-1')}".encode()).decode()
NAMESPACE = "{http://ses.amazonaws.com/doc/2010-12-01/}"


def sent(client, **given):
    """Send a small good message, changed by `given`."""
    return client.send_email(
        **{"Source": "a@example.org", "Destination": {"ToAddresses": ["b@example.org"]}, "Message": MESSAGE, **given}
    )


def paths(submission):
    """Give the forward-paths."""
    return [recipient.forward_path for recipient in submission.recipients]


def test_every_member_of_every_list_arrives(served):
    """member.1 … member.N, in order, above 9 too; Bcc stays out of the content."""
    to = [f"to{n}@example.org" for n in range(12)]
    answer = sent(
        served.client("ses"),
        Source="Jörg <a@example.org>",
        Destination={"ToAddresses": to, "CcAddresses": ["c1@example.org", "c2@example.org"], "BccAddresses": ["d@example.org"]},
        ReplyToAddresses=["r1@example.org", "r2@example.org"],
        ReturnPath="bounces@example.org",
        Tags=[{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
        Message={"Subject": {"Data": "Grüße & <so>", "Charset": "UTF-8"}, "Body": {"Text": {"Data": "x"}, "Html": {"Data": "y"}}},
    )  # fmt: skip
    [submission] = served.submissions
    assert (answer["MessageId"], answer["ResponseMetadata"]["RequestId"]) == ("q" * 26, "r-1")
    assert [*to, "c1@example.org", "c2@example.org", "d@example.org"] == paths(submission)
    assert (submission.reverse_path, submission.door, submission.restamp) == ("bounces@example.org", "ses-v1", True)
    assert submission.tags == (("a", "1"), ("b", "2"))
    assert b"r2@example.org" in submission.content
    assert b"d@example.org" not in submission.content


def test_raw_mail_goes_through_octet_for_octet(served):
    """Without Destinations the header names the recipients, without Source the sender."""
    served.client("ses").send_raw_email(RawMessage=RAW)
    [submission] = served.submissions
    assert (RAW["Data"], True, None) == (
        submission.content, submission.recipients_from_header, submission.reverse_path,
    )  # fmt: skip


def test_raw_mail_with_source_and_destinations(served):
    """They are the envelope; the header stays as it is."""
    served.client("ses").send_raw_email(
        Source="S <s@example.org>", Destinations=["x@example.org", "y@example.org"], RawMessage=RAW
    )
    [submission] = served.submissions
    assert paths(submission) == ["x@example.org", "y@example.org"]
    assert (submission.reverse_path, submission.recipients_from_header) == ("s@example.org", False)


def test_sdk_invocation_is_the_idempotency_key(served):
    """As in v2."""
    sent(served.client("ses"))
    assert served.submissions[0].idempotency_key.startswith("sdk:")


BAD = {
    "51 recipients": ({"Destination": {"BccAddresses": [f"u{n}@example.org" for n in range(51)]}}, "Recipient count exceeds 50"),
    "no recipients": ({"Destination": {"ToAddresses": []}}, "at least one address"),
    "bad address": ({"Destination": {"ToAddresses": ["nobody"]}}, "nobody"),
    "CRLF in the subject": ({"Message": {**MESSAGE, "Subject": {"Data": "a\r\nBcc: x@example.org"}}}, "Subject"),
    "CRLF in an address": ({"Destination": {"CcAddresses": ["a@example.org\r\nBcc: x@example.org"]}}, "CR, LF or NUL"),
    "bad return path": ({"ReturnPath": "nobody"}, "ReturnPath: nobody"),
    "no body": ({"Message": {"Subject": {"Data": "x"}, "Body": {}}}, "neither Text nor Html"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "text"), BAD.values(), ids=BAD)
def test_bad_input_is_an_invalid_parameter(served, given, text):
    """400 and a Sender fault; nothing is submitted. An empty member disappears on its way: ValidationError."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        sent(served.client("ses"), **given)
    error = caught.value.response
    assert error["Error"]["Code"] in {"InvalidParameterValue", "ValidationError"}
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Type"]) == (400, "Sender")
    if error["Error"]["Code"] == "InvalidParameterValue":
        assert text in error["Error"]["Message"]
    assert served.submissions == []


def test_configuration_set_does_not_exist(served):
    """By SES v1's own exception."""
    client = served.client("ses")
    served.refusal = Rejected(status.NO_SUCH_CONFIGURATION_SET, "Configuration set <main> does not exist.")
    with pytest.raises(client.exceptions.ConfigurationSetDoesNotExistException, match="<main> does not exist"):
        sent(client, ConfigurationSetName="main")
    with pytest.raises(client.exceptions.ConfigurationSetDoesNotExistException):
        client.send_raw_email(RawMessage=RAW, ConfigurationSetName="main")
    assert [submission.configuration_set for submission in served.submissions] == ["main", "main"]


def test_refusals_are_boto3_exceptions(served):
    """MessageRejected with our detail, whatever characters it holds."""
    served.refusal = Rejected(status.RELAY_DENIED, "not verified: <a> & b")
    client = served.client("ses")
    with pytest.raises(client.exceptions.MessageRejected) as caught:
        sent(client)
    assert caught.value.response["Error"]["Message"] == "not verified: <a> & b"


def test_unavailable_is_a_receivers_fault(served):
    """503, to be tried again."""
    served.refusal = SpoolUnavailable("s3")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        sent(served.client("ses"))
    error = caught.value.response
    assert (
        error["Error"]["Code"], error["Error"]["Type"], error["ResponseMetadata"]["HTTPStatusCode"],
    ) == ("ServiceUnavailable", "Receiver", 503)  # fmt: skip


AUTH = {
    "wrong secret": ({"secret": "wrong"}, 0, "SignatureDoesNotMatch", "The request signature we calculated"),
    "unknown key": ({"key": "AKIANOBODY"}, 0, "InvalidClientTokenId", "security token"),
    "our clock ahead": ({}, 301, "SignatureDoesNotMatch", "Signature expired"),
}


@pytest.mark.parametrize(("given", "shift_s", "code", "text"), AUTH.values(), ids=AUTH)
def test_who_is_not_known_is_refused(served, given, shift_s, code, text):
    """AWS's codes and words in v1's form."""
    served.clock_shift_s = shift_s
    with pytest.raises(botocore.exceptions.ClientError, match=text) as caught:
        sent(served.client("ses", **given))
    error = caught.value.response
    assert (code, 403) == (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"])
    assert served.submissions == []


def test_known_operations_that_are_not_offered_say_so(served):
    """A clear error, not a wrong answer."""
    with pytest.raises(botocore.exceptions.ClientError, match="ListReceiptFilters is not offered") as caught:
        served.client("ses").list_receipt_filters()
    assert caught.value.response["Error"]["Code"] == "InvalidAction"


def posted(world, form, **headers):
    """POST a form with Basic authentication, not base64-encoded by the gateway."""
    body = form if isinstance(form, str) else urlencode(form)
    event = {
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"authorization": BASIC, **headers},
        "requestContext": {"http": {"method": "POST", "sourceIp": "2001:db8::7"}, "requestId": "r-2"},
        "body": body,
        "isBase64Encoded": False,
    }
    answer = world.answer(event)
    return answer["statusCode"], ET.fromstring(answer["body"])


RAW_DATA = base64.b64encode(RAW["Data"]).decode()


def test_a_form_by_hand_is_taken(world):
    """Basic authentication, gaps in the numbers, an IPv6 client."""
    code, xml = posted(
        world,
        {
            "Action": "SendRawEmail",
            "RawMessage.Data": RAW_DATA,
            "Destinations.member.3": "c@example.org",
            "Destinations.member.1": "a@example.org",
        },
    )
    assert (200, f"{NAMESPACE}SendRawEmailResponse") == (code, xml.tag)
    assert paths(world.submissions[0]) == ["a@example.org", "c@example.org"]
    assert world.submissions[0].client == "[IPv6:2001:db8::7]"


FORMS = {
    "no action": ({}, "InvalidAction"),
    "unknown action": ({"Action": "SendFax"}, "InvalidAction"),
    "other version": ({"Action": "SendRawEmail", "Version": "1999-01-01", "RawMessage.Data": ""}, "InvalidAction"),
    "missing member": ({"Action": "SendRawEmail"}, "ValidationError"),
    "unknown member": ({"Action": "SendRawEmail", "RawMessage.Data": RAW_DATA, "Nonsense": "1"}, "ValidationError"),
    "text for a list": ({"Action": "SendRawEmail", "RawMessage.Data": RAW_DATA, "Destinations": "x"}, "ValidationError"),
    "no number": ({"Action": "SendRawEmail", "RawMessage.Data": RAW_DATA, "Destinations.member.x": "x"}, "ValidationError"),
    "no base64": ({"Action": "SendRawEmail", "RawMessage.Data": "*"}, "ValidationError"),
    "contradiction": ({"Action": "SendRawEmail", "RawMessage.Data": RAW_DATA, "RawMessage": "x"}, "ValidationError"),
    "deeper than a text": ({"Action": "SendRawEmail", "RawMessage.Data": RAW_DATA, "Source.x": "x"}, "ValidationError"),
    "twice": ("Action=SendRawEmail&Source=a&Source=b", "InvalidQueryParameter"),
    "not UTF-8": ("Action=SendRawEmail&Source=%ff", "MalformedQueryString"),
}  # fmt: skip


@pytest.mark.parametrize(("form", "code"), FORMS.values(), ids=FORMS)
def test_a_bad_form_is_refused_in_xml(world, form, code):
    """Never a 500, always v1's error form."""
    http, xml = posted(world, form)
    assert (400, code) == (http, xml.findtext(f"{NAMESPACE}Error/{NAMESPACE}Code"))
    assert xml.findtext(f"{NAMESPACE}RequestId") == "r-2"
    assert world.submissions == []


def test_no_authentication_at_all(world):
    """v1 has its own name for it."""
    http, xml = posted(world, {"Action": "SendRawEmail"}, authorization="")
    assert (http, xml.findtext(f"{NAMESPACE}Error/{NAMESPACE}Code")) == (403, "MissingAuthenticationToken")


def test_a_misspelt_signature_is_incomplete(world):
    """IncompleteSignature, as AWS has it."""
    http, xml = posted(world, {"Action": "SendRawEmail"}, authorization="AWS4-HMAC-SHA256 x")
    assert (http, xml.findtext(f"{NAMESPACE}Error/{NAMESPACE}Code")) == (403, "IncompleteSignature")
