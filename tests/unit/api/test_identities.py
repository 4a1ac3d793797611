"""Identities, their settings and policies through unmodified boto3 clients, v2 and v1; and how addresses are proved."""

from __future__ import annotations

import base64
import http.client
import json
import re
from itertools import count
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from paravion.domain import dkim_keys
from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.ports import Identity
from paravion.services.signing import Signer

POLICY = json.dumps({
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "blue"}, "Action": "ses:*", "Resource": "*"},
})  # fmt: skip
DOMAIN = {"EmailIdentity": "example.org"}
IDENTITY = {"Identity": "example.org"}


@pytest.fixture(scope="module")
def brought():
    """A key as PEM holds it between its lines, and its public record."""
    key = generate_private_key(65537, 1024)
    pkcs1 = base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())).decode()
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return pkcs1, dkim_keys.public_record("rsa-sha256", pkcs8)


@pytest.fixture
def v2(served):
    """A client with an operator's credential; tokens differ."""
    served.put_credential(operator=True)
    serial = count(1)
    served.new_token = lambda: f"t0ken{next(serial)}"
    return served.client("sesv2")


@pytest.fixture
def v1(v2, served):
    """The same, of the older API."""
    return served.client("ses")


def refused(call, **given):
    """Give the error's code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def mail(served):
    """Give the last mail of our own that was kept: envelope, and text."""
    queue_id = list(served.spool.envelopes)[-1]
    envelope, header = decode_qf(served.spool.get_envelope(queue_id))
    return envelope, (header + b"\r\n" + served.spool.get_body(queue_id)).decode()


def browse(served, target, method="GET", body=None):
    """Open a page as a browser without any credential does."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
    connection.request(method, target, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def link_of(served):
    """Give the link's target out of the last mail."""
    return re.search(r"https://api\.example(/\S+)", mail(served)[1])[1]


def test_address_is_confirmed_by_its_owner(v2, served):
    """A mail with a link, whose page asks; only the button confirms."""
    made = v2.create_email_identity(EmailIdentity="Joe+x@Example.ORG")
    assert (made["IdentityType"], made["VerifiedForSendingStatus"]) == ("EMAIL_ADDRESS", False)
    envelope, text = mail(served)
    assert [r.forward_path for r in envelope.recipients] == ["joe+x@example.org"]
    assert (envelope.reverse_path, envelope.recipients[0].notify) == ("", ("NEVER",))
    assert "Auto-Submitted: auto-generated" in text
    assert "To: joe+x@example.org" in text
    target = link_of(served)
    status, page = browse(served, target)
    assert (status, "<form" in page, "joe+x@example.org" in page) == (200, True, True)
    assert v2.get_email_identity(EmailIdentity="joe+x@example.org")["VerificationStatus"] == "PENDING"
    query = target.partition("?")[2]
    assert browse(served, "/v1/confirmations", "POST", query)[0] == 200
    shown = v2.get_email_identity(EmailIdentity="joe+x@example.org")
    assert (shown["VerificationStatus"], shown["VerifiedForSendingStatus"]) == ("SUCCESS", True)
    assert "<form" not in browse(served, target)[1]


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1] + "x", lambda t: t.replace("joe", "moe"), lambda t: t.partition("?")[0], lambda t: t + "0"],
)
def test_forged_link_confirms_nothing(v2, served, change):
    """Another token, another identity, none."""
    v2.create_email_identity(EmailIdentity="joe@example.org")
    target = change(link_of(served))
    assert browse(served, target)[0] == 404
    assert browse(served, "/v1/confirmations", "POST", target.partition("?")[2])[0] == 404
    assert not served.identities.get("joe@example.org").verified


def test_token_of_a_domain_is_no_link(v2, served):
    """A domain is proved by DNS alone, and its token is public there."""
    v2.create_email_identity(**DOMAIN)
    token = served.identities.get("example.org").token
    assert browse(served, "/v1/confirmations", "POST", f"identity=example.org&token={token}")[0] == 404


def test_link_holds_for_a_day_and_another_can_be_had(v1, v2, served):
    """VerifyEmailIdentity once more sends another; the older link is over then."""
    v1.verify_email_identity(EmailAddress="joe@example.org")
    old = link_of(served)
    served.clock_shift_s = 86_401
    # The signature's clock has moved as well.
    served.identities.put(served.identities.get("joe@example.org"))
    assert browse(served, old)[0] == 404
    served.clock_shift_s = 0.0
    v1.verify_email_address(EmailAddress="joe@example.org")
    assert browse(served, old)[0] == 404
    new = link_of(served).partition("?")[2]
    assert browse(served, "/v1/confirmations", "POST", new)[0] == 200
    before = len(served.spool.envelopes)
    v1.verify_email_identity(EmailAddress="joe@example.org")
    assert len(served.spool.envelopes) == before


def test_nobody_is_asked_where_no_proof_is_asked_for(v2, served):
    """Local mode's default: an address counts at once."""
    served.settings.identity_check = "created"
    assert v2.create_email_identity(EmailIdentity="joe@example.org")["VerifiedForSendingStatus"]
    assert served.spool.envelopes == {}


def test_settings_are_kept_and_told(v2, served):
    """Default set, forwarding, signing, tags; defaults are SES's."""
    v2.create_configuration_set(ConfigurationSetName="news")
    tags = [{"Key": "team", "Value": "red"}]
    v2.create_email_identity(**DOMAIN, ConfigurationSetName="news", Tags=tags)
    shown = v2.get_email_identity(**DOMAIN)
    assert (shown["ConfigurationSetName"], shown["Tags"]) == ("news", tags)
    assert (shown["FeedbackForwardingStatus"], shown["Policies"]) == (True, {})
    v2.put_email_identity_configuration_set_attributes(**DOMAIN)
    v2.put_email_identity_feedback_attributes(**DOMAIN, EmailForwardingEnabled=False)
    served.settings.identity_check = "created"
    v2.put_email_identity_dkim_attributes(**DOMAIN, SigningEnabled=False)
    shown = v2.get_email_identity(**DOMAIN)
    assert "ConfigurationSetName" not in shown
    assert shown["FeedbackForwardingStatus"] is False
    assert shown["DkimAttributes"]["SigningEnabled"] is False
    v2.delete_email_identity(**DOMAIN)
    assert not [key for key in served.records.items if key[0] == "identity-settings"]


def test_mail_from_domain_is_proved_by_mx_and_spf(v2, v1, served):
    """Below the identity's domain; looked at again whenever somebody asks."""
    v2.create_email_identity(**DOMAIN)
    v2.put_email_identity_mail_from_attributes(**DOMAIN, MailFromDomain="bounce.example.org")
    expected = {"MailFromDomain": "bounce.example.org", "BehaviorOnMxFailure": "USE_DEFAULT_VALUE"}

    def told():
        return v2.get_email_identity(**DOMAIN)["MailFromAttributes"]

    assert told() == {**expected, "MailFromDomainStatus": "PENDING"}
    served.txt["bounce.example.org"] = ["v=spf1 include:x.example -all"]
    assert told() == {**expected, "MailFromDomainStatus": "SUCCESS"}
    served.next_hop = lambda domain: Outcome(Result.DEFERRED, "4.4.3")
    assert told()["MailFromDomainStatus"] == "TEMPORARY_FAILURE"
    served.next_hop = lambda domain: Outcome(Result.FAILED, "5.1.2")
    assert told()["MailFromDomainStatus"] == "PENDING"
    v1.set_identity_mail_from_domain(**IDENTITY, MailFromDomain="b.example.org", BehaviorOnMXFailure="RejectMessage")
    attributes = v1.get_identity_mail_from_domain_attributes(Identities=["example.org", "none.example"])
    assert attributes["MailFromDomainAttributes"] == {
        "example.org": {"MailFromDomain": "b.example.org", "MailFromDomainStatus": "Pending",
                        "BehaviorOnMXFailure": "RejectMessage"}
    }  # fmt: skip
    v2.put_email_identity_mail_from_attributes(**DOMAIN)
    assert "MailFromAttributes" not in v2.get_email_identity(**DOMAIN)
    for bad in ("example.org", "other.example", "a@b.example.org", "x y"):
        call = v2.put_email_identity_mail_from_attributes
        assert refused(call, **DOMAIN, MailFromDomain=bad) == ("BadRequestException", 400)


def test_brought_key_signs_once_its_record_is_there(v2, served, brought):
    """Under its own selector, RSA alone; and back to ours."""
    text, record = brought
    attributes = {"DomainSigningSelector": "mine", "DomainSigningPrivateKey": text}
    made = v2.create_email_identity(**DOMAIN, DkimSigningAttributes=attributes)["DkimAttributes"]
    assert (made["Status"], made["Tokens"]) == ("PENDING", ["mine"])
    signer = Signer(served.secrets, served.clock)
    assert signer.keys_for("example.org") == ()
    served.txt["mine._domainkey.example.org"] = [record]
    shown = v2.get_email_identity(**DOMAIN)["DkimAttributes"]
    assert (shown["Status"], shown["SigningEnabled"], shown["Tokens"]) == ("SUCCESS", True, ["mine"])
    [key] = Signer(served.secrets, served.clock).keys_for("example.org")
    assert (key.domain, key.selector, key.algorithm) == ("example.org", "mine", "rsa-sha256")
    back = v2.put_email_identity_dkim_signing_attributes(**DOMAIN, SigningAttributesOrigin="AWS_SES")
    assert back["DkimTokens"] == ["mine"]  # ours wait for their records
    kept = dkim_keys.decode(served.secrets.get("dkim/example.org"))
    assert [(g.state, g.own_selector) for g in kept] == [("active", "mine"), ("next", "")]
    again = v2.put_email_identity_dkim_signing_attributes(
        **DOMAIN, SigningAttributesOrigin="EXTERNAL", SigningAttributes={**attributes, "DomainSigningSelector": "m2"}
    )
    assert again["DkimStatus"] == "PENDING"
    assert "m2" in served.secrets.get("dkim/example.org")
    assert text not in json.dumps(v2.get_email_identity(**DOMAIN), default=str)


def test_key_that_is_none_is_refused(v2, brought):
    """And what is not offered of signing."""
    v2.create_email_identity(**DOMAIN)
    key = {"DomainSigningSelector": "mine", "DomainSigningPrivateKey": brought[0]}
    small = generate_private_key(65537, 2304).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for origin, attributes in (
        ("EXTERNAL", {}),
        ("EXTERNAL", {"DomainSigningSelector": "mine"}),
        ("EXTERNAL", {**key, "DomainSigningPrivateKey": "AAAA"}),
        ("EXTERNAL", {**key, "DomainSigningPrivateKey": base64.b64encode(small).decode()}),
        ("AWS_SES", key),
        ("AWS_SES", {"NextSigningKeyLength": "RSA_1024_BIT"}),
        ("AWS_SES_EU_WEST_1", {}),
    ):
        call = v2.put_email_identity_dkim_signing_attributes
        given = {"SigningAttributesOrigin": origin, "SigningAttributes": attributes}
        assert refused(call, **DOMAIN, **given) == ("BadRequestException", 400)
    address = {"EmailIdentity": "joe@example.org"}
    assert refused(v2.create_email_identity, **address, DkimSigningAttributes=key) == ("BadRequestException", 400)


def test_policies_are_kept_in_both_versions(v2, v1):
    """Made, changed, shown, removed; what can't be obeyed is refused."""
    v2.create_email_identity(**DOMAIN)
    one = {**DOMAIN, "PolicyName": "p"}
    v2.create_email_identity_policy(**one, Policy=POLICY)
    assert v2.get_email_identity_policies(**DOMAIN)["Policies"] == {"p": POLICY}
    assert refused(v2.create_email_identity_policy, **one, Policy=POLICY) == ("AlreadyExistsException", 400)
    v2.update_email_identity_policy(**one, Policy=POLICY + " ")
    assert v2.get_email_identity(**DOMAIN)["Policies"] == {"p": POLICY + " "}
    none = {**DOMAIN, "PolicyName": "q", "Policy": POLICY}
    assert refused(v2.update_email_identity_policy, **none) == ("NotFoundException", 404)
    assert refused(v2.create_email_identity_policy, **{**none, "Policy": "{}"}) == ("BadRequestException", 400)
    v1.put_identity_policy(**IDENTITY, PolicyName="v1", Policy=POLICY)
    v1.put_identity_policy(**IDENTITY, PolicyName="v1", Policy=POLICY)
    with pytest.raises(v1.exceptions.InvalidPolicyException):
        v1.put_identity_policy(**IDENTITY, PolicyName="v1", Policy=POLICY.replace("ses:", "s3:"))
    assert v1.list_identity_policies(**IDENTITY)["PolicyNames"] == ["p", "v1"]
    assert v1.get_identity_policies(**IDENTITY, PolicyNames=["v1", "x"])["Policies"] == {"v1": POLICY}
    v1.delete_identity_policy(**IDENTITY, PolicyName="v1")
    v2.delete_email_identity_policy(**one)
    v2.delete_email_identity_policy(**one)
    for n in range(20):
        v1.put_identity_policy(**IDENTITY, PolicyName=f"p{n}", Policy=POLICY)
    assert refused(v2.create_email_identity_policy, **none) == ("LimitExceededException", 400)


def test_older_api_verifies_and_lists(v2, v1, served):
    """The waiter too; domains by TXT, kinds apart, page by page."""
    token = v1.verify_domain_identity(Domain="example.org")["VerificationToken"]
    assert v1.verify_domain_identity(Domain="example.org")["VerificationToken"] == token
    assert len(v1.verify_domain_dkim(Domain="example.org")["DkimTokens"]) == 2
    v1.verify_email_identity(EmailAddress="a@example.com")
    found = v1.get_identity_verification_attributes(Identities=["example.org", "a@example.com", "x.example"])
    assert found["VerificationAttributes"] == {
        "example.org": {"VerificationStatus": "Pending", "VerificationToken": token},
        "a@example.com": {"VerificationStatus": "Pending"},
    }
    served.txt["_paravion.example.org"] = [token]
    v1.get_waiter("identity_exists").wait(Identities=["example.org"], WaiterConfig={"Delay": 0, "MaxAttempts": 2})
    assert v1.list_identities()["Identities"] == ["a@example.com", "example.org"]
    assert v1.list_identities(IdentityType="Domain")["Identities"] == ["example.org"]
    first = v1.list_identities(MaxItems=1)
    assert v1.list_identities(NextToken=first["NextToken"])["Identities"] == ["example.org"]
    assert v1.list_verified_email_addresses()["VerifiedEmailAddresses"] == []
    dkim = v1.get_identity_dkim_attributes(Identities=["example.org"])["DkimAttributes"]["example.org"]
    assert (dkim["DkimEnabled"], dkim["DkimVerificationStatus"]) == (False, "Pending")
    v1.delete_verified_email_address(EmailAddress="a@example.com")
    for _ in range(2):
        v1.delete_identity(**IDENTITY)
    assert v1.list_identities()["Identities"] == []
    for call, given in (
        (v1.verify_email_identity, {"EmailAddress": "example.org"}),
        (v1.verify_domain_identity, {"Domain": "a@example.org"}),
        (v1.verify_domain_identity, {"Domain": "x y"}),
        (v1.get_identity_dkim_attributes, {"Identities": [f"d{n}.example" for n in range(101)]}),
        (v1.get_identity_policies, {**IDENTITY, "PolicyNames": [f"p{n}" for n in range(21)]}),
        (v1.list_identity_policies, IDENTITY),
        (v1.set_identity_dkim_enabled, {**IDENTITY, "DkimEnabled": True}),
    ):
        assert refused(call, **given)[0] == "InvalidParameterValue"


def test_notifications_are_kept(v1):
    """Topics by kind, their headers, forwarding."""
    v1.verify_domain_identity(Domain="example.org")
    topic = "arn:aws:sns:eu-west-1:123456789012:bounces"
    v1.set_identity_notification_topic(**IDENTITY, NotificationType="Bounce", SnsTopic=topic)
    v1.set_identity_headers_in_notifications_enabled(**IDENTITY, NotificationType="Bounce", Enabled=True)
    v1.set_identity_feedback_forwarding_enabled(**IDENTITY, ForwardingEnabled=False)
    v1.set_identity_dkim_enabled(**IDENTITY, DkimEnabled=False)

    def told():
        return v1.get_identity_notification_attributes(Identities=["example.org"])["NotificationAttributes"][
            "example.org"
        ]

    assert told() == {
        "BounceTopic": topic, "ComplaintTopic": "", "DeliveryTopic": "", "ForwardingEnabled": False,
        "HeadersInBounceNotificationsEnabled": True, "HeadersInComplaintNotificationsEnabled": False,
        "HeadersInDeliveryNotificationsEnabled": False,
    }  # fmt: skip
    v1.set_identity_notification_topic(**IDENTITY, NotificationType="Bounce")
    assert told()["BounceTopic"] == ""
    call = v1.set_identity_notification_topic
    assert refused(call, **IDENTITY, NotificationType="Bounce", SnsTopic="x")[0] == "InvalidParameterValue"


def test_a_topic_that_events_may_not_go_to_is_refused(v1, served):
    """Taken, it would hear nothing; and with forwarding off its sender would hear of no failure at all."""
    v1.verify_domain_identity(Domain="example.org")
    asked = []
    served.destination_problem = lambda destination: asked.append(destination) or "not in event_destination_arns"
    topic = "arn:aws:sns:eu-west-1:123456789012:bounces"
    call = v1.set_identity_notification_topic
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*not in event_destination_arns"):
        call(**IDENTITY, NotificationType="Bounce", SnsTopic=topic)
    assert asked[0].target == {"TopicArn": topic}
    call(**IDENTITY, NotificationType="Bounce")
    assert (
        v1.get_identity_notification_attributes(Identities=["example.org"])["NotificationAttributes"]["example.org"][
            "BounceTopic"
        ]
        == ""
    )


def test_no_link_leads_to_the_host_that_the_caller_named(v2, served):
    """Its token would be the caller's, and with it somebody else's address."""
    served.settings.public_url = ""
    code = refused(v2.create_email_identity, EmailIdentity="me@bank.example")[0]
    assert code == "BadRequestException"
    assert not served.spool.envelopes


def test_unknown_identity_is_not_found(v2):
    """By every operation of v2 on one."""
    for call, given in (
        (v2.get_email_identity, {}),
        (v2.delete_email_identity, {}),
        (v2.put_email_identity_configuration_set_attributes, {}),
        (v2.put_email_identity_dkim_attributes, {}),
        (v2.put_email_identity_dkim_signing_attributes, {"SigningAttributesOrigin": "AWS_SES"}),
        (v2.put_email_identity_feedback_attributes, {}),
        (v2.put_email_identity_mail_from_attributes, {"MailFromDomain": "b.example.org"}),
        (v2.create_email_identity_policy, {"PolicyName": "p", "Policy": POLICY}),
        (v2.update_email_identity_policy, {"PolicyName": "p", "Policy": POLICY}),
        (v2.get_email_identity_policies, {}),
        (v2.delete_email_identity_policy, {"PolicyName": "p"}),
    ):
        assert refused(call, **DOMAIN, **given) == ("NotFoundException", 404)
    v2.create_email_identity(**DOMAIN)
    call = v2.put_email_identity_configuration_set_attributes
    assert refused(call, **DOMAIN, ConfigurationSetName="none") == ("NotFoundException", 404)
    other = {"EmailIdentity": "other.example", "ConfigurationSetName": "none"}
    assert refused(v2.create_email_identity, **other) == ("NotFoundException", 404)


def test_tenants_have_identities_of_their_own(v2, served):
    """Neither seen, nor changed, nor removed by another; a name that nobody proved is free."""
    for key, tenant in (("AKIARED", "red"), ("AKIABLUE", "blue")):
        served.secrets.put(f"credentials/{key}", json.dumps({"secret_key": "s3cret", "tenant": tenant}))
    red, blue = (served.client("sesv2", key=key, secret="s3cret") for key in ("AKIARED", "AKIABLUE"))
    blue.create_email_identity(**DOMAIN)
    red.create_email_identity(**DOMAIN)
    served.txt["_paravion.example.org"] = [served.identities.get("example.org").token]
    assert red.get_email_identity(**DOMAIN)["VerifiedForSendingStatus"]
    for client in (blue, v2):
        assert client.list_email_identities()["EmailIdentities"] == []
        assert refused(client.get_email_identity, **DOMAIN) == ("NotFoundException", 404)
        assert refused(client.delete_email_identity, **DOMAIN) == ("NotFoundException", 404)
        assert refused(client.get_email_identity_policies, **DOMAIN) == ("NotFoundException", 404)
        assert refused(client.create_email_identity, **DOMAIN) == ("AlreadyExistsException", 400)
    assert served.identities.get("example.org").tenant == "red"


def test_mail_from_domain_is_not_another_tenants(v2, served):
    """Who has proved an address only does not get a reverse-path in its domain, if that is somebody else's."""
    served.identities.put(Identity("ann@shop.example", True, "t", 0.0))
    served.identities.put(Identity("shop.example", False, "t", 0.0, "rival"))
    put = v2.put_email_identity_mail_from_attributes
    put(EmailIdentity="ann@shop.example", MailFromDomain="b.shop.example")
    served.identities.put(Identity("shop.example", True, "t", 0.0, "rival"))
    assert refused(put, EmailIdentity="ann@shop.example", MailFromDomain="b.shop.example")[0] == "BadRequestException"
    served.identities.put(Identity("b.shop.example", True, "t", 0.0))
    put(EmailIdentity="ann@shop.example", MailFromDomain="b.shop.example")
