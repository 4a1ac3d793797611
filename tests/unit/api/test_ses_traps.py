"""Sending through boto3 and the real services/validate.py: the traps that SES emulators fall into, and SendBounce."""

from __future__ import annotations

import email
import email.policy
import threading
from dataclasses import replace
from datetime import UTC, datetime

import botocore.exceptions
import pytest

from paravion.adapters.in_parallel import InParallel
from paravion.adapters.memory import MemorySpool
from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.submission import Submission
from paravion.errors import SpoolUnavailable
from paravion.ports import Identity
from paravion.services.validate import submit
from tests.support import world

RAW = b"From: a@example.org\r\nTo: t@example.org\r\nCc: c@example.org\r\nBcc: s@example.org\r\nSubject: x\r\n\r\n"
ARN = "arn:aws:ses:eu-west-1:123456789012:identity/"


class Kept:
    """The doors before the real service; what it keeps, by queue id."""

    def __init__(self, served, **settings):
        self.world = world.World(**settings)
        self.served = served
        served.records = self.world.records
        self.use(self.world.for_validate)

    def use(self, deps):
        """Submit through these dependencies."""
        self.served.submit = lambda submission: submit(submission, deps)
        self.served.to_commit, self.served.side_by_side = deps.to_commit, deps.side_by_side

    def envelope(self, message_id):
        """Give what is kept under an id."""
        return decode_qf(self.world.spool.envelopes[message_id])[0]

    def header(self, message_id):
        """Give the header that is sent."""
        return email.message_from_bytes(
            decode_qf(self.world.spool.envelopes[message_id])[1], policy=email.policy.default
        )

    def recipients(self, message_id):
        """Give the forward-paths."""
        return [recipient.forward_path for recipient in self.envelope(message_id).recipients]


@pytest.fixture
def kept(served):
    """Doors with the real service behind them."""
    return Kept(served)


def v2(client, **given):
    """Send a simple mail by v2."""
    simple = {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}, **given.pop("simple", {})}
    destination = {"ToAddresses": ["b@example.org"]}
    return client.send_email(
        **{"FromEmailAddress": "a@example.org", "Destination": destination, "Content": {"Simple": simple}, **given}
    )["MessageId"]


def v1(client, **given):
    """Send a simple mail by v1."""
    message = {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}, **given.pop("simple", {})}
    destination = {"ToAddresses": ["b@example.org"]}
    return client.send_email(**{"Source": "a@example.org", "Destination": destination, "Message": message, **given})[
        "MessageId"
    ]


def refused(call, *args, **given):
    """Give the code of a call that must fail."""
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.ParamValidationError)) as caught:
        call(*args, **given)
    response = getattr(caught.value, "response", None)
    return response["Error"]["Code"] if response else "by the client"


def test_trap_v1_members_after_the_first(kept):
    """`member.2` to `member.N` of To, Cc and Bcc are recipients, as is every one of SendRawEmail's Destinations."""
    client = kept.served.client("ses")
    lists = {
        kind: [f"{kind[0].lower()}{n}@example.org" for n in range(12)]
        for kind in ("ToAddresses", "CcAddresses", "BccAddresses")
    }
    everybody = [address for kind in lists.values() for address in kind]
    assert kept.recipients(v1(client, Destination=lists)) == everybody
    sent = client.send_raw_email(RawMessage={"Data": RAW + b"x"}, Destinations=everybody)
    assert kept.recipients(sent["MessageId"]) == everybody


def test_trap_empty_to(kept):
    """Nobody to send to is refused, in every shape that it comes in."""
    for destination in ({}, {"ToAddresses": []}, {"ToAddresses": [], "CcAddresses": [], "BccAddresses": []}):
        assert refused(v2, kept.served.client("sesv2"), Destination=destination) == "BadRequestException"
        assert refused(v1, kept.served.client("ses"), Destination=destination) in {
            "InvalidParameterValue",
            "ValidationError",
        }
    assert refused(v2, kept.served.client("sesv2"), Destination={"ToAddresses": [""]}) == "BadRequestException"
    assert not kept.world.spool.envelopes


def test_trap_only_bcc(kept):
    """A mail to hidden recipients alone goes out, and shows nobody."""
    for sent in (v2(kept.served.client("sesv2"), Destination={"BccAddresses": ["s@example.org"]}),
                 v1(kept.served.client("ses"), Destination={"BccAddresses": ["s@example.org"]})):  # fmt: skip
        assert kept.recipients(sent) == ["s@example.org"]
        header = kept.header(sent)
        assert (header["To"], header["Cc"], header["Bcc"]) == (None, None, None)


def test_trap_51_recipients(kept):
    """Fifty in all, whichever lists they stand in."""
    fifty = [f"n{number}@example.org" for number in range(50)]
    split = {"ToAddresses": fifty[:20], "CcAddresses": fifty[20:40], "BccAddresses": [*fifty[40:], "one@example.org"]}
    client = kept.served.client("sesv2")
    assert len(kept.recipients(v2(client, Destination={"ToAddresses": fifty}))) == 50
    assert refused(v2, client, Destination=split) == "BadRequestException"
    assert refused(v1, kept.served.client("ses"), Destination=split) == "InvalidParameterValue"


def test_trap_raw_with_octets_that_are_no_utf8(kept):
    """A body in any octets is kept as it is."""
    body = bytes(octet for octet in range(1, 256) if octet not in b"\r\n") + b"\r\n"
    content = {"Raw": {"Data": RAW + body}}
    sent = kept.served.client("sesv2").send_email(Content=content)["MessageId"]
    assert kept.world.spool.bodies[sent] == body
    sent = kept.served.client("ses").send_raw_email(RawMessage={"Data": RAW + body})["MessageId"]
    assert kept.world.spool.bodies[sent] == body
    assert kept.envelope(sent).body_type == "8BITMIME"


def test_trap_raw_without_destination(kept):
    """To, Cc and Bcc of the header are the recipients, and Bcc does not go out."""
    sent = kept.served.client("sesv2").send_email(Content={"Raw": {"Data": RAW + b"x"}})["MessageId"]
    assert kept.recipients(sent) == ["t@example.org", "c@example.org", "s@example.org"]
    assert kept.header(sent)["Bcc"] is None
    assert kept.envelope(sent).reverse_path == "a@example.org"
    nobody = b"From: a@example.org\r\n\r\nx"
    assert refused(kept.served.client("sesv2").send_email, Content={"Raw": {"Data": nobody}}) == "BadRequestException"


EVIL = "x\r\nBcc: evil@example.com"


@pytest.mark.parametrize(
    "given",
    [{"simple": {"Subject": {"Data": EVIL}}}, {"FromEmailAddress": f'"{EVIL}" <a@example.org>'},
     {"Destination": {"ToAddresses": [f'"{EVIL}" <b@example.org>']}}, {"ReplyToAddresses": [f'"{EVIL}" <b@example.org>']},
     {"simple": {"Headers": [{"Name": "X-A", "Value": EVIL}]}}, {"simple": {"Headers": [{"Name": "X-A\r\nBcc", "Value": "e"}]}},
     {"EmailTags": [{"Name": "a", "Value": EVIL}]}, {"EmailTags": [{"Name": EVIL, "Value": "a"}]},
     {"FeedbackForwardingEmailAddress": "b@example.org\r\nRCPT TO:<e@example.com>"}, {"ConfigurationSetName": EVIL},
     {"simple": {"Attachments": [{"FileName": f"{EVIL}.txt", "RawContent": b""}]}},
     {"simple": {"Attachments": [{"FileName": "a", "RawContent": b"", "ContentType": f"text/plain; a={EVIL}"}]}},
     {"simple": {"Attachments": [{"FileName": "a", "RawContent": b"", "ContentDescription": EVIL}]}}],
)  # fmt: skip
def test_trap_cr_and_lf_never_reach_a_header(kept, given):
    """Subject, display names, headers, tags, file names: refused, none of it kept."""
    assert refused(v2, kept.served.client("sesv2"), **given) in {"BadRequestException", "NotFoundException"}
    assert not kept.world.spool.envelopes


def test_trap_cr_and_lf_in_v1(kept):
    """The same of the query protocol, whose values come percent-encoded."""
    client = kept.served.client("ses")
    for given in ({"simple": {"Subject": {"Data": EVIL}}}, {"Source": f'"{EVIL}" <a@example.org>'},
                  {"ReturnPath": f"a@example.org{EVIL}"}, {"Tags": [{"Name": "a", "Value": EVIL}]}):  # fmt: skip
        assert refused(v1, client, **given) == "InvalidParameterValue"
    assert not kept.world.spool.envelopes


def test_trap_16_headers(kept):
    """Fifteen are SES's limit, by its own model."""
    client = kept.served.client("sesv2")
    headers = [{"Name": f"X-H{number}", "Value": "v"} for number in range(16)]
    assert kept.header(v2(client, simple={"Headers": headers[:15]}))["X-H14"] == "v"
    assert refused(v2, client, simple={"Headers": headers}) == "BadRequestException"


def test_trap_header_name_of_127_characters(kept):
    """126 go, 127 are refused."""
    client = kept.served.client("sesv2")
    name = "X-" + "n" * 124
    assert kept.header(v2(client, simple={"Headers": [{"Name": name, "Value": "v"}]}))[name] == "v"
    assert refused(v2, client, simple={"Headers": [{"Name": f"{name}n", "Value": "v"}]}) == "BadRequestException"


def test_trap_domains_in_mixed_case_and_with_a_trailing_dot(served):
    """They are the domain: for the identity, for the envelope, and for who gets the mail once."""
    kept = Kept(served, identity_check="verified")
    kept.world.identities.put(Identity("example.org", token="", verified=True, created_at=0.0))
    sent = v2(
        served.client("sesv2"),
        FromEmailAddress="A@Example.ORG",
        Destination={"ToAddresses": ["b@EXAMPLE.net", "b@example.net.", "B@example.net"]},
        FeedbackForwardingEmailAddress="Bounces@example.org.",
    )
    envelope = kept.envelope(sent)
    assert envelope.reverse_path == "Bounces@example.org"
    assert kept.recipients(sent) == ["b@example.net", "B@example.net"]
    assert refused(v2, served.client("sesv2"), FromEmailAddress="a@example.org.evil.com") == "MessageRejected"


# ARNs and control fields


@pytest.mark.parametrize(
    ("given", "code"),
    [({"FromEmailAddressIdentityArn": f"{ARN}example.org"}, ""), ({"FromEmailAddressIdentityArn": f"{ARN}A@Example.org"}, ""),
     ({"FromEmailAddressIdentityArn": f"{ARN}example.com"}, "MessageRejected"),
     ({"FromEmailAddressIdentityArn": "example.org"}, "BadRequestException"),
     ({"FromEmailAddressIdentityArn": "arn:aws:ses:eu-west-1:123456789012:template/t"}, "BadRequestException"),
     ({"FeedbackForwardingEmailAddress": "x@example.com", "FeedbackForwardingEmailAddressIdentityArn": f"{ARN}example.com"}, ""),
     ({"FeedbackForwardingEmailAddressIdentityArn": f"{ARN}example.com"}, "MessageRejected")],
)  # fmt: skip
def test_identity_arns_must_be_those_of_the_address(kept, given, code):
    """An ARN is a claim, and a false one is refused."""
    if code:
        assert refused(v2, kept.served.client("sesv2"), **given) == code
    else:
        v2(kept.served.client("sesv2"), **given)


def test_identity_of_an_arn_must_be_able_to_send(served):
    """With identity_check, the one that the ARN names must be verified: another that is does not do."""
    kept = Kept(served, identity_check="verified")
    kept.world.identities.put(Identity("example.org", token="", verified=True, created_at=0.0))
    kept.world.identities.put(Identity("a@example.org", token="", verified=False, created_at=0.0))
    client = served.client("ses")
    v1(client, SourceArn=f"{ARN}example.org", ReturnPathArn=f"{ARN}example.org")
    assert refused(v1, client, SourceArn=f"{ARN}a@example.org") == "MessageRejected"
    assert refused(v1, client, ReturnPathArn=f"{ARN}a@example.org") == "MessageRejected"


def test_control_fields_of_raw_mail_are_obeyed_and_taken_out(kept):
    """X-SES-…: set, tags and ARNs, at the SES doors and at the others."""
    kept.world.records.put("configuration-set", "news", {"DeliveryOptions": {"TlsPolicy": "REQUIRE"}})
    fields = (f"X-SES-CONFIGURATION-SET: news\r\nX-SES-MESSAGE-TAGS: a=1, b=2\r\nX-SES-SOURCE-ARN: {ARN}example.org\r\n"
              f"X-SES-FROM-ARN: {ARN}example.org\r\nX-SES-RETURN-PATH-ARN: {ARN}a@example.org\r\n").encode()  # fmt: skip
    by_ses = kept.served.client("sesv2").send_email(Content={"Raw": {"Data": fields + RAW + b"x"}})["MessageId"]
    by_smtp = submit(
        Submission("AKIATEST", "smtp", "a@example.org", (Recipient("b@example.org"),), fields + RAW + b"x"),
        kept.world.for_validate,
    ).queue_id
    for sent in (by_ses, by_smtp):
        envelope = kept.envelope(sent)
        assert (envelope.configuration_set, envelope.tags, envelope.tls_required) == (
            "news",
            (("a", "1"), ("b", "2")),
            True,
        )
        assert not [name for name in kept.header(sent) if name.lower().startswith("x-ses")]
    wrong = RAW.replace(b"Subject", f"X-SES-FROM-ARN: {ARN}example.com\r\nSubject".encode())
    assert refused(kept.served.client("ses").send_raw_email, RawMessage={"Data": wrong + b"x"}) == "MessageRejected"


def test_the_request_comes_before_the_header(kept):
    """As SES has it: the request's set, and the request's tags alone."""
    kept.world.records.put("configuration-set", "mine", {})
    fields = b"X-SES-CONFIGURATION-SET: news\r\nX-SES-MESSAGE-TAGS: a=1, b=2\r\n"
    sent = kept.served.client("sesv2").send_email(
        Content={"Raw": {"Data": fields + RAW + b"x"}},
        ConfigurationSetName="mine",
        EmailTags=[{"Name": "a", "Value": "9"}],
    )["MessageId"]
    assert (kept.envelope(sent).configuration_set, kept.envelope(sent).tags) == ("mine", (("a", "9"),))


def test_message_id_and_date_are_ses_own_unless_the_set_keeps_them(kept):
    """The MessageId that the caller is told is the one in the field; a set may keep the caller's."""
    kept.world.records.put("configuration-set", "keeping", {"KeepMessageId": True})
    raw = b"Message-ID: <mine@example.org>\r\nDate: Thu, 1 Jan 1998 00:00:00 +0000\r\n" + RAW + b"x"
    client = kept.served.client("sesv2")
    sent = client.send_email(Content={"Raw": {"Data": raw}})["MessageId"]
    assert kept.header(sent)["Message-ID"] == f"<{sent}@{world.HOSTNAME}>"
    sent = client.send_email(Content={"Raw": {"Data": raw}}, ConfigurationSetName="keeping")["MessageId"]
    assert (kept.header(sent)["Message-ID"], kept.header(sent)["Date"][:16]) == (
        "<mine@example.org>",
        "Thu, 01 Jan 1998",
    )


# Bulk


def bulk(client, count):
    """Send one mail each to many."""
    return client.send_bulk_email(
        FromEmailAddress="a@example.org",
        DefaultContent={"Template": {"TemplateContent": {"Subject": "Hi {{n}}", "Text": "x"}, "TemplateData": '{"n": 1}'}},
        BulkEmailEntries=[{"Destination": {"ToAddresses": [f"{number}@example.org"]}} for number in range(count)],
    )["BulkEmailEntryResults"]  # fmt: skip


def test_bulk_entries_are_kept_side_by_side(kept):
    """Four at once here: a spool that waits until four came is not waited for in vain."""
    together, pool, inner = threading.Barrier(4, timeout=30), InParallel(4), InParallel(4)

    class SlowSpool(MemorySpool):
        def put_envelope(self, queue_id, octets):
            together.wait()
            return super().put_envelope(queue_id, octets)

    deps = kept.world.for_validate
    spool = SlowSpool()
    kept.use(replace(deps, to_commit=replace(deps.to_commit, spool=spool, in_parallel=inner), side_by_side=pool))
    results = bulk(kept.served.client("sesv2"), 8)
    pool.close(), inner.close()
    assert [result["Status"] for result in results] == ["SUCCESS"] * 8
    kept_for = [decode_qf(spool.envelopes[result["MessageId"]])[0].recipients[0].forward_path for result in results]
    assert kept_for == [f"{number}@example.org" for number in range(8)]


def test_bulk_repeated_after_a_fault_doubles_nothing(kept):
    """The spool breaks at the fifth message: it alone fails; the SDK's repeat keeps what was kept under the same ids."""
    deps, answers, events = kept.world.for_validate, [], []
    answer = kept.served.answer

    def recorded(event):
        events.append(event)
        return answer(event)

    kept.served.answer = recorded

    class Broken(MemorySpool):
        calls = 0

        def put_envelope(self, queue_id, octets):
            self.calls += 1
            if self.calls == 5:
                raise SpoolUnavailable("slow down")
            return super().put_envelope(queue_id, octets)

    spool = Broken()
    kept.use(replace(deps, to_commit=replace(deps.to_commit, spool=spool)))
    answers.append(bulk(kept.served.client("sesv2"), 8))
    assert [result["Status"] for result in answers[0]].count("TRANSIENT_FAILURE") == 1
    first = set(spool.envelopes)
    again = answer(events[-1])
    assert again["statusCode"] == 200
    assert len(spool.envelopes) == 8
    assert first < set(spool.envelopes)


# SendBounce


def bounced(kept, queue_id, **given):
    """Ask for a bounce."""
    return kept.served.client("ses").send_bounce(
        **{
            "OriginalMessageId": queue_id,
            "BounceSender": "support@example.org",
            "BouncedRecipientInfoList": [{"Recipient": "tickets@example.org", "BounceType": "DoesNotExist"}],
            **given,
        }
    )["MessageId"]


@pytest.fixture
def original(kept):
    """A message that somebody sent us."""
    raw = (
        b"Message-ID: <mine@example.com>\r\nFrom: you@example.com\r\nTo: tickets@example.org\r\nSubject: x\r\n\r\nx\r\n"
    )
    given = Submission("AKIAOTHER", "smtp", "you@example.com", (Recipient("tickets@example.org"),), raw)
    return submit(given, kept.world.for_validate).queue_id


def test_bounce_goes_to_the_sender_of_the_message(kept, original):
    """RFC 3464, with a null reverse-path, from BounceSender, about the message."""
    sent = bounced(kept, original, Explanation="No such ticket desk.")
    envelope, header = kept.envelope(sent), kept.header(sent)
    assert (envelope.reverse_path, kept.recipients(sent)) == ("", ["you@example.com"])
    assert (header["From"], header["To"], header["In-Reply-To"]) == (
        "support@example.org",
        "you@example.com",
        "<mine@example.com>",
    )
    assert header["Auto-Submitted"] == "auto-replied"
    octets = kept.world.spool.envelopes[sent].partition(b"\n")[2] + b"\r\n" + kept.world.spool.bodies[sent]
    words, report, returned = email.message_from_bytes(octets, policy=email.policy.default).iter_parts()
    assert words.get_content().strip() == "No such ticket desk."
    about, recipient = report.get_payload()
    assert about["Reporting-MTA"] == f"dns; {kept.served.settings.hostname}"
    assert (recipient["Final-Recipient"], recipient["Action"], recipient["Status"]) == (
        "rfc822; tickets@example.org", "failed", "5.1.1")  # fmt: skip
    assert "Message-ID: <mine@example.com>" in returned.get_content()


def test_bounce_says_what_its_caller_says(kept, original):
    """Every field of RFC 3464 that the request has."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    extension = [{"Name": "X-Reason", "Value": "closed"}]
    fields = {"Action": "delayed", "Status": "4.2.1", "FinalRecipient": "desk@example.org", "RemoteMta": "dns; mx.example.org",
              "DiagnosticCode": "smtp; 450 closed", "LastAttemptDate": at, "ExtensionFields": extension}  # fmt: skip
    sent = bounced(
        kept, original, MessageDsn={"ReportingMta": "dns; desk.example.org", "ArrivalDate": at, "ExtensionFields": extension},
        BouncedRecipientInfoList=[{"Recipient": "TICKETS@example.org", "RecipientDsnFields": fields, "RecipientArn": f"{ARN}example.org"}],
        BounceSenderArn=f"{ARN}example.org",
    )  # fmt: skip
    body = kept.world.spool.bodies[sent].decode()
    for line in ("Reporting-MTA: dns; desk.example.org", "Arrival-Date: Fri, 02 Jan 2026 03:04:05 +0000", "X-Reason: closed",
                 "Final-Recipient: rfc822; desk@example.org", "Action: delayed", "Status: 4.2.1", "Remote-MTA: dns; mx.example.org",
                 "Diagnostic-Code: smtp; 450 closed", "Last-Attempt-Date: Fri, 02 Jan 2026 03:04:05 +0000"):  # fmt: skip
        assert f"{line}\r\n" in body


RECIPIENT = {"Recipient": "tickets@example.org"}


@pytest.mark.parametrize(
    ("given", "code"),
    [({"OriginalMessageId": "x"}, "MessageRejected"), ({"OriginalMessageId": "a" * 26}, "MessageRejected"),
     ({"BouncedRecipientInfoList": [{"Recipient": "stranger@example.com"}]}, "MessageRejected"),
     ({"BouncedRecipientInfoList": []}, "InvalidParameterValue"), ({"BounceSender": "nobody"}, "InvalidParameterValue"),
     ({"BounceSenderArn": f"{ARN}example.com"}, "MessageRejected"),
     ({"MessageDsn": {"ReportingMta": "desk"}}, "InvalidParameterValue"),
     ({"MessageDsn": {"ReportingMta": "dns; a\r\nX: y"}}, "InvalidParameterValue"),
     ({"MessageDsn": {"ReportingMta": "dns; a", "ExtensionFields": [{"Name": "Action", "Value": "x"}]}}, "InvalidParameterValue"),
     ({"MessageDsn": {"ReportingMta": "dns; a", "ExtensionFields": [{"Name": "X", "Value": "a\r\nb"}]}}, "InvalidParameterValue"),
     ({"BouncedRecipientInfoList": [{**RECIPIENT, "RecipientArn": "x"}]}, "InvalidParameterValue"),
     ({"BouncedRecipientInfoList": [{**RECIPIENT, "RecipientDsnFields": {"Action": "failed", "Status": "9"}}]}, "InvalidParameterValue")],
)  # fmt: skip
def test_bounce_that_can_not_be_sent_is_refused(kept, original, given, code):
    """A message that is not there, a stranger, fields that are none."""
    before = len(kept.world.spool.envelopes)
    assert (
        refused(
            bounced,
            kept,
            **{"queue_id": original}
            | ({"queue_id": given.pop("OriginalMessageId")} if "OriginalMessageId" in given else {}),
            **given,
        )
        == code
    )
    assert len(kept.world.spool.envelopes) == before


def test_no_bounce_of_a_bounce_nor_of_another_tenants_mail(kept, original):
    """Nobody answers a null reverse-path; another tenant's message is not there."""
    raw = b"From: you@example.com\r\n\r\nx\r\n"
    to = (Recipient("tickets@example.org"),)
    null = submit(Submission("AKIAOTHER", "smtp", "", to, raw), kept.world.for_validate).queue_id
    assert refused(bounced, kept, null) == "MessageRejected"
    theirs = submit(
        Submission("AKIAOTHER", "smtp", "you@example.com", to, raw, tenant="shop"), kept.world.for_validate
    ).queue_id
    assert refused(bounced, kept, theirs) == "MessageRejected"
