"""SES v2 through an unmodified boto3 client."""

from __future__ import annotations

import botocore.exceptions
import pytest

from paravion.domain import status
from paravion.domain.status import Rejected
from paravion.errors import QueueUnavailable
from paravion.services import identity_keys

SIMPLE = {"Simple": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}}}
RAW = {"Raw": {"Data": b"From: a@example.org\r\nTo: b@example.org\r\n\r\n8-bit \xff\r\n"}}
TO = {"ToAddresses": ["b@example.org"]}


def sent(client, **given):
    """Send a small good message, changed by `given`."""
    return client.send_email(**{"FromEmailAddress": "a@example.org", "Destination": TO, "Content": SIMPLE, **given})


def paths(submission):
    """Give the forward-paths."""
    return [recipient.forward_path for recipient in submission.recipients]


def test_simple_mail_is_submitted(served):
    """Pieces become content; recipients come in the order To, Cc, Bcc; Bcc stays out of the content."""
    answer = sent(
        served.client("sesv2"),
        FromEmailAddress="Jörg <a@example.org>",
        Destination={"ToAddresses": ["Bee <b@example.org>"], "CcAddresses": ["c@example.org"], "BccAddresses": ["d@example.org"]},
        ReplyToAddresses=["r@example.org"],
        EmailTags=[{"Name": "campaign", "Value": "one"}],
        Content={
            "Simple": {
                "Subject": {"Data": "Grüße", "Charset": "UTF-8"},
                "Body": {"Text": {"Data": "Hello"}, "Html": {"Data": "<p>Hello"}},
                "Headers": [{"Name": "X-Kind", "Value": "test"}],
                "Attachments": [{"FileName": "a.bin", "RawContent": b"\x00\xff", "ContentType": "application/octet-stream"}],
            }
        },
    )  # fmt: skip
    [submission] = served.submissions
    assert answer["MessageId"] == "q" * 26
    assert answer["ResponseMetadata"]["RequestId"] == "r-1"
    assert paths(submission) == ["b@example.org", "c@example.org", "d@example.org"]
    assert submission.reverse_path == "a@example.org"
    assert submission.tags == (("campaign", "one"),)
    assert (
        submission.door, submission.principal, submission.restamp, submission.client,
    ) == ("ses-v2", "AKIATEST", True, "[192.0.2.7]")  # fmt: skip
    assert not submission.recipients_from_header
    for text in (b"Reply-To: r@example.org", b"X-Kind: test", b"Cc: c@example.org", b"AP8="):
        assert text in submission.content
    assert b"d@example.org" not in submission.content


def test_raw_mail_goes_through_octet_for_octet(served):
    """Raw content is not touched; without a Destination its header names the recipients."""
    served.client("sesv2").send_email(Content=RAW)
    [submission] = served.submissions
    assert RAW["Raw"]["Data"] == submission.content
    assert submission.recipients_from_header
    assert submission.reverse_path is None


def test_feedback_address_is_the_reverse_path(served):
    """FeedbackForwardingEmailAddress gets the bounces."""
    sent(served.client("sesv2"), FeedbackForwardingEmailAddress="bounces@example.org")
    assert served.submissions[0].reverse_path == "bounces@example.org"


def test_only_bcc_is_enough(served):
    """A message needs a recipient, not a To field."""
    sent(served.client("sesv2"), Destination={"BccAddresses": ["d@example.org"]})
    assert paths(served.submissions[0]) == ["d@example.org"]


def test_fifty_recipients_are_taken(served):
    """SES's limit is 50, all three lists together."""
    sent(served.client("sesv2"), Destination={"ToAddresses": [f"u{n}@example.org" for n in range(50)]})
    assert len(served.submissions[0].recipients) == 50


def test_sdk_repeats_are_one_message(served):
    """An SDK's own retry of one call carries one invocation id: one idempotency key, the same content."""
    served.refusal = QueueUnavailable("throttled")
    client = served.client("sesv2", attempts=3)
    content = {"Simple": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "a"}, "Html": {"Data": "b"}}}}
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        sent(client, Content=content)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "5"
    assert len(served.submissions) == 3
    assert len({(s.idempotency_key, s.content) for s in served.submissions}) == 1
    assert served.submissions[0].idempotency_key.startswith("sdk:")
    served.refusal = None
    sent(client)
    assert served.submissions[-1].idempotency_key != served.submissions[0].idempotency_key


BAD = {
    "51 recipients": ({"Destination": {"ToAddresses": [f"u{n}@example.org" for n in range(51)]}}, "Recipient count exceeds 50"),
    "no recipients": ({"Destination": {"ToAddresses": []}}, "at least one address"),
    "no destination": ({"Destination": {}}, "at least one address"),
    "bad address": ({"Destination": {"ToAddresses": ["nobody"]}}, "Destination: nobody"),
    "two addresses in one": ({"Destination": {"ToAddresses": ["a@example.org, b@example.org"]}}, "must be one address"),
    "CRLF in an address": ({"Destination": {"ToAddresses": ["a@example.org\r\nBcc: x@example.org"]}}, "CR, LF or NUL"),
    "CRLF in the sender": ({"FromEmailAddress": "a@example.org\r\nBcc: x@example.org"}, "From"),
    "CRLF in the subject": ({"Content": {"Simple": {"Subject": {"Data": "a\r\nBcc: x@example.org"}, "Body": {"Text": {"Data": "x"}}}}}, "Subject"),
    "CRLF in Reply-To": ({"ReplyToAddresses": ["a@example.org\r\nBcc: x@example.org"]}, "CR, LF or NUL"),
    "bad sender": ({"FromEmailAddress": "nobody"}, "nobody"),
    "empty sender": ({"FromEmailAddress": ""}, "FromEmailAddress"),
    "no content": ({"Content": {}}, "exactly one"),
    "two contents": ({"Content": {**SIMPLE, **RAW}}, "exactly one"),
    "tenant": ({"TenantName": "t"}, "TenantName is not supported"),
    "tracking": ({"ConfigurationOverrides": {"Tracking": {}}}, "ConfigurationOverrides is not supported"),
    "bad tag": ({"EmailTags": [{"Name": "a b", "Value": "x"}]}, "Invalid tag"),
    "reply-to of raw": ({"Content": RAW, "ReplyToAddresses": ["r@example.org"]}, "ReplyToAddresses is not supported with Raw"),
    "header name": ({"Content": {"Simple": {**SIMPLE["Simple"], "Headers": [{"Name": "a:b", "Value": "x"}]}}}, "regular expression pattern"),
    "header value": ({"Content": {"Simple": {**SIMPLE["Simple"], "Headers": [{"Name": "a", "Value": "x\r\ny"}]}}}, "regular expression pattern"),
    "enum": ({"Content": {"Simple": {**SIMPLE["Simple"], "Attachments": [{"FileName": "a", "RawContent": b"", "ContentDisposition": "NONE"}]}}}, "enum value set"),
    "charset": ({"Content": {"Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x", "Charset": "nonsense"}}}}}, "Charset"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "text"), BAD.values(), ids=BAD)
def test_bad_input_is_a_bad_request(served, given, text):
    """BadRequestException names what is wrong; nothing is submitted."""
    client = served.client("sesv2")
    with pytest.raises(client.exceptions.BadRequestException) as caught:
        sent(client, **given)
    assert text in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert served.submissions == []


def test_configuration_set_does_not_exist(served):
    """NotFoundException, as at SES."""
    client = served.client("sesv2")
    served.refusal = Rejected(status.NO_SUCH_CONFIGURATION_SET, "Configuration set <main> does not exist.")
    with pytest.raises(client.exceptions.NotFoundException, match="Configuration set <main> does not exist"):
        sent(client, ConfigurationSetName="main")
    assert served.submissions[-1].configuration_set == "main"


REFUSALS = {
    "relay denied": (Rejected(status.RELAY_DENIED, "Email address is not verified."), "MessageRejected", 400),
    "bad message": (Rejected(status.BAD_MESSAGE, "no header"), "MessageRejected", 400),
    "too big": (Rejected(status.MESSAGE_TOO_BIG), "MessageRejected", 400),
    "recipient": (Rejected(status.RECIPIENT_SYNTAX, "x"), "BadRequestException", 400),
    "throttled": (Rejected(status.RATE_LIMITED), "TooManyRequestsException", 429),
}


@pytest.mark.parametrize(("refusal", "name", "http"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_are_boto3_exceptions(served, refusal, name, http):
    """A refused submission has the exception class of SES's model and its HTTP status."""
    served.refusal = refusal
    client = served.client("sesv2")
    with pytest.raises(getattr(client.exceptions, name)) as caught:
        sent(client)
    assert http == caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (refusal.detail or refusal.status.text) == caught.value.response["Error"]["Message"]


AUTH = {
    "wrong secret": ({"secret": "wrong"}, 0, "SignatureDoesNotMatch", "The request signature we calculated"),
    "unknown key": ({"key": "AKIANOBODY"}, 0, "UnrecognizedClientException", "security token"),
    "path as key": ({"key": "..%2f"}, 0, "UnrecognizedClientException", "security token"),
    "session token": ({"token": "t0ken"}, 0, "UnrecognizedClientException", "Session tokens"),
    "our clock ahead": ({}, 301, "SignatureDoesNotMatch", "Signature expired"),
    "our clock behind": ({}, -302, "SignatureDoesNotMatch", "Signature not yet current"),
}


@pytest.mark.parametrize(("given", "shift_s", "code", "text"), AUTH.values(), ids=AUTH)
def test_who_is_not_known_is_refused(served, given, shift_s, code, text):
    """AWS's codes and words; 403; nothing is submitted, and the log has a Rejection."""
    served.clock_shift_s = shift_s
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        sent(served.client("sesv2", **given))
    error = caught.value.response
    assert (code, 403) == (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"])
    assert text in error["Error"]["Message"]
    assert served.submissions == []


def test_known_operations_that_are_not_offered_say_so(served):
    """A clear error, not a wrong answer."""
    with pytest.raises(botocore.exceptions.ClientError, match="ListImportJobs is not offered") as caught:
        served.client("sesv2").list_import_jobs()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_our_own_faults_tell_nothing(served):
    """500 with a generic text; the log has the type and the place, never the text."""
    served.refusal = ZeroDivisionError("secret content")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        sent(served.client("sesv2"))
    assert caught.value.response["Error"]["Message"] == "Internal error"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "secret content" not in str(vars(served.event_log))
    assert "ZeroDivisionError" in str(vars(served.event_log))


def test_identities_by_dns(served):
    """Created pending; verified once the TXT record shows the token; listed in pages; deleted."""
    served.put_credential(operator=True)
    client = served.client("sesv2")
    created = client.create_email_identity(EmailIdentity="Example.ORG")
    assert (created["IdentityType"], created["VerifiedForSendingStatus"]) == ("DOMAIN", False)
    with pytest.raises(client.exceptions.AlreadyExistsException):
        client.create_email_identity(EmailIdentity="example.org")
    assert client.get_email_identity(EmailIdentity="example.org")["VerificationStatus"] == "PENDING"
    served.txt["_paravion.example.org"] = ["other", "t0ken"]
    assert client.get_email_identity(EmailIdentity="example.org")["VerifiedForSendingStatus"]
    served.txt.clear()
    assert client.get_email_identity(EmailIdentity="example.org")["VerificationStatus"] == "SUCCESS"
    client.create_email_identity(EmailIdentity="example.com")
    first = client.list_email_identities(PageSize=1)
    second = client.list_email_identities(PageSize=1, NextToken=first["NextToken"])
    names = [item["IdentityName"] for page in (first, second) for item in page["EmailIdentities"]]
    assert names == ["example.com", "example.org"]
    assert "NextToken" not in second
    client.delete_email_identity(EmailIdentity="example.org")
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_email_identity(EmailIdentity="example.org")
    with pytest.raises(client.exceptions.NotFoundException):
        client.delete_email_identity(EmailIdentity="example.org")


def test_address_counts_at_once_where_no_proof_is_asked_for(served):
    """The path label survives encoding."""
    served.put_credential(operator=True)
    client = served.client("sesv2")
    served.settings.identity_check = "created"
    created = client.create_email_identity(EmailIdentity="A+b@example.org")
    assert (created["IdentityType"], created["VerifiedForSendingStatus"]) == ("EMAIL_ADDRESS", True)
    assert client.get_email_identity(EmailIdentity="a+b@example.org")["VerificationStatus"] == "SUCCESS"


def test_bad_next_token(served):
    """SES has an exception of its own for it."""
    client = served.client("sesv2")
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.list_email_identities(NextToken="é")
    assert caught.value.response["Error"]["Code"] == "InvalidNextTokenException"


def test_dkim_attributes(served):
    """In SES's words for keys that the user publishes: tokens are selectors."""
    served.put_credential(operator=True)
    client = served.client("sesv2")
    made = client.create_email_identity(EmailIdentity="example.org")["DkimAttributes"]
    assert (made["SigningEnabled"], made["Status"], made["SigningAttributesOrigin"]) == (False, "PENDING", "EXTERNAL")
    native = served.admin_deps
    keys = identity_keys.view(identity_keys.look("example.org", native))["keys"]
    assert made["Tokens"] == [key["selector"] for key in keys]
    for key in keys:
        served.txt[key["record"]["name"]] = [key["record"]["value"]]
    shown = client.get_email_identity(EmailIdentity="example.org")["DkimAttributes"]
    assert (shown["SigningEnabled"], shown["Status"], shown["CurrentSigningKeyLength"]) == (
        True,
        "SUCCESS",
        "RSA_2048_BIT",
    )
    served.txt.clear()
    shown = client.get_email_identity(EmailIdentity="example.org")["DkimAttributes"]
    assert (shown["SigningEnabled"], shown["Status"]) == (True, "PENDING")
    served.settings.identity_check = "created"
    client.create_email_identity(EmailIdentity="a@other.example")
    shown = client.get_email_identity(EmailIdentity="a@other.example")["DkimAttributes"]
    assert (shown["SigningEnabled"], shown["Status"]) == (False, "NOT_STARTED")


def test_identities_are_an_operators(served):
    """One application's credential can neither add nor take away who may send; it may look."""
    client = served.client("sesv2")
    for call in (client.create_email_identity, client.delete_email_identity):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            call(EmailIdentity="example.org")
        assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert client.list_email_identities()["EmailIdentities"] == []
