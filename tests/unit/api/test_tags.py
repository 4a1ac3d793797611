"""SES v2's tags, of each kind of thing that has some; custom verification templates in both versions."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from paravion.api.admin_doors import ADMIN_DOORS
from paravion.api.doors import answer
from paravion.api.http_event import HttpRequest
from paravion.api.ses_coverage import FLEET, LATER, refusal
from paravion.api.ses_model import SES_V1, SES_V2
from paravion.domain.envelope import decode_qf
from paravion.ports import Identity
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY

ARN = "arn:aws:ses:us-east-1:123456789012:"
THINGS = {
    "configuration-set": ("configuration-set", "main"),
    "contact-list": ("contact-list", "main"),
    "template": ("template", "main"),
    "custom-verification-email-template": ("custom-verification", "main"),
}


def fails(code, call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["Error"]["Code"] == code, caught.value


@pytest.fixture
def ses(served):
    """An operator's client, a thing of each kind, and an identity without a record."""
    served.put_credential(operator=True)
    for kind, name in THINGS.values():
        served.records.put(kind, name, {"x": 1})
    served.identities.put(Identity("example.org", True, "t", 0.0))
    return served.client("sesv2")


def test_tags_of_each_thing(ses, served):
    for path, (kind, name) in {**THINGS, "identity": ("identity-settings", "example.org")}.items():
        arn = f"{ARN}{path}/{name}"
        ses.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        ses.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
        ses.untag_resource(ResourceArn=arn, TagKeys=["b", "never there"])
        assert ses.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
        assert served.records.get(kind, name).value["Tags"] == [{"Key": "a", "Value": "3"}]


def test_tags_errors(ses, served):
    list_ = ses.list_tags_for_resource
    for path in (*THINGS, "identity"):
        fails("NotFoundException", list_, ResourceArn=f"{ARN}{path}/nobody")
    for arn in ("x", f"{ARN}dedicated-ip-pool/x", "arn:aws:sns:us-east-1:123456789012:contact-list/main"):
        fails("BadRequestException", list_, ResourceArn=arn)
    arn = f"{ARN}contact-list/main"
    tag = ses.tag_resource
    fails("BadRequestException", tag, ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}] * 2)
    fails("BadRequestException", tag, ResourceArn=arn, Tags=[{"Key": "", "Value": "1"}])
    tag(ResourceArn=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    fails("BadRequestException", tag, ResourceArn=arn, Tags=[{"Key": "one more", "Value": ""}])
    served.put_credential(operator=False)
    fails("AccessDeniedException", list_, ResourceArn=f"{ARN}configuration-set/main")
    served.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps({"secret_key": SECRET_KEY, "tenant": "acme"}))
    for path, (_, name) in {**THINGS, "identity": ("", "example.org")}.items():
        fails("NotFoundException", list_, ResourceArn=f"{ARN}{path}/{name}")


TEMPLATE = {
    "TemplateName": "hello",
    "FromEmailAddress": "Us <us@example.org>",
    "TemplateSubject": "Hello",
    "TemplateContent": "<p>Hello</p>",
    "SuccessRedirectionURL": "https://example.org/yes",
    "FailureRedirectionURL": "https://example.org/no",
}


@pytest.mark.parametrize("service", ["sesv2", "ses"])
def test_custom_verification_templates(ses, served, service):
    client = served.client(service)
    client.create_custom_verification_email_template(**TEMPLATE)
    client.update_custom_verification_email_template(**{**TEMPLATE, "TemplateSubject": "Hi"})
    shown = client.get_custom_verification_email_template(TemplateName="hello")
    assert {**TEMPLATE, "TemplateSubject": "Hi"}.items() <= shown.items()
    served.records.delete("custom-verification", "main")
    client.create_custom_verification_email_template(**{**TEMPLATE, "TemplateName": "a"})
    size = "PageSize" if service == "sesv2" else "MaxResults"
    first = client.list_custom_verification_email_templates(**{size: 1})
    assert [item["TemplateName"] for item in first["CustomVerificationEmailTemplates"]] == ["a"]
    rest = client.list_custom_verification_email_templates(**{size: 1}, NextToken=first["NextToken"])
    assert [item["TemplateName"] for item in rest["CustomVerificationEmailTemplates"]] == ["hello"]
    client.delete_custom_verification_email_template(TemplateName="a")
    v1 = service == "ses"
    gone = "CustomVerificationEmailTemplateDoesNotExist" if v1 else "NotFoundException"
    fails(gone, client.get_custom_verification_email_template, TemplateName="a")
    fails(gone, client.update_custom_verification_email_template, **{**TEMPLATE, "TemplateName": "a"})
    create = client.create_custom_verification_email_template
    fails("CustomVerificationEmailTemplateAlreadyExists" if v1 else "AlreadyExistsException", create, **TEMPLATE)
    fails("FromEmailAddressNotVerified" if v1 else "BadRequestException", create,
          **{**TEMPLATE, "TemplateName": "b", "FromEmailAddress": "x@other.example"})  # fmt: skip
    fails("CustomVerificationEmailInvalidContent" if v1 else "BadRequestException", create,
          **{**TEMPLATE, "TemplateName": "b", "TemplateContent": " "})  # fmt: skip
    fails("InvalidParameterValue" if v1 else "BadRequestException", create,
          **{**TEMPLATE, "TemplateName": "b", "SuccessRedirectionURL": "javascript:x"})  # fmt: skip


def test_every_operation_that_is_not_offered_says_why(served):
    """Whichever the version: a clear error with the reason and the page, never a wrong answer."""
    for name in {**FLEET, **LATER}:
        for service in (SES_V2, SES_V1):
            if service.named(name):
                assert service.function(name) is None
    assert refusal("CreateTenant").startswith(
        "Operation CreateTenant is not offered by paravion: not here (SES's tenants"
    )
    assert refusal("CreateImportJob").endswith("See docs/ses.md.")
    fails("UnknownOperationException", served.client("sesv2").list_dedicated_ip_pools)


@pytest.mark.parametrize("service", ["sesv2", "ses"])
def test_custom_verification_mail_asks_and_leads_on(ses, served, service):
    """In the template's words, to a page with a button; pressing it makes the identity good, and goes on from there."""
    client = served.client(service)
    client.create_custom_verification_email_template(**TEMPLATE)
    send = client.send_custom_verification_email
    sent = send(EmailAddress="New@customer.example", TemplateName="hello")["MessageId"]
    envelope, header = decode_qf(served.spool.get_envelope(sent))
    assert [recipient.forward_path for recipient in envelope.recipients] == ["new@customer.example"]
    assert b"Subject: Hello\r\n" in header
    assert b"From: Us <us@example.org>" in header
    assert served.identities.get("new@customer.example").verified is False
    body = served.spool.bodies[sent].replace(b"=\r\n", b"").replace(b"=3D", b"=").decode()
    url = html.unescape(body.partition('href="')[2].partition('"')[0])
    query = url.partition("?")[2]
    shown = page_of(served, "GET", query=query)
    assert (shown.status, shown.headers.get("refresh")) == (200, None)
    assert served.identities.get("new@customer.example").verified is False
    done = page_of(served, "POST", body=query)
    assert (done.status, done.headers["refresh"]) == (200, "0; url=https://example.org/yes")
    assert served.identities.get("new@customer.example").verified is True
    bad = page_of(served, "POST", body=query.replace("token=", "token=x"))
    assert (bad.status, bad.headers.get("refresh")) == (404, None)
    assert done.headers["x-content-type-options"] == "nosniff"
    v1 = service == "ses"
    fails("CustomVerificationEmailTemplateDoesNotExist" if v1 else "NotFoundException", send,
          EmailAddress="a@b.example", TemplateName="nobody")  # fmt: skip
    fails("ConfigurationSetDoesNotExist" if v1 else "NotFoundException", send,
          EmailAddress="a@b.example", TemplateName="hello", ConfigurationSetName="nobody")  # fmt: skip
    fails(
        "InvalidParameterValue" if v1 else "BadRequestException", send, EmailAddress="b.example", TemplateName="hello"
    )
    served.put_credential(operator=False)
    fails("AccessDenied" if v1 else "AccessDeniedException", send, EmailAddress="a@b.example", TemplateName="hello")


def page_of(world, method, *, query="", body=""):
    request = HttpRequest(method, "/v1/confirmations", query, {"host": "h"}, body.encode())
    return answer(request, world.admin_deps, ADMIN_DOORS)


def test_too_old_a_link_leads_on_and_a_made_up_one_does_not(ses, served):
    """What the page does for a stranger must not tell him which addresses are somebody's."""
    client = served.client("sesv2")
    client.create_custom_verification_email_template(**TEMPLATE)
    client.send_custom_verification_email(EmailAddress="new@customer.example", TemplateName="hello")
    served.clock_shift_s += 86_401
    for token, goes_on in ("t0ken", "0; url=https://example.org/no"), ("t1ken", None), ("\udcff", None), ("", None):
        query = f"identity=new%40customer.example&template=hello&token={quote(token, errors='surrogateescape')}"
        for method, given in ("GET", {"query": query}), ("POST", {"body": query}):
            shown = page_of(served, method, **given)
            assert (shown.status, shown.headers.get("refresh")) in {(404, goes_on), (400, None)}, (method, token)
    assert page_of(served, "POST", body="&".join(["a=b"] * 200)).status == 400
    assert page_of(served, "POST", body="a" * 200_000).status == 400


@pytest.mark.parametrize("service", ["sesv2", "ses"])
def test_custom_verification_mail_goes_by_its_set(ses, served, service):
    """The one that is named, or the sender's own; what is paused sends nothing, and nothing is left of the try."""
    client = served.client(service)
    client.create_custom_verification_email_template(**TEMPLATE)

    def ask(**given):
        sent = client.send_custom_verification_email(EmailAddress="new@customer.example", TemplateName="hello", **given)
        return decode_qf(served.spool.get_envelope(sent["MessageId"]))[0]

    plain = ask()
    assert (plain.configuration_set, plain.tls_required, plain.telling) == ("", False, None)
    v2 = served.client("sesv2")
    v2.create_configuration_set(
        ConfigurationSetName="strict", DeliveryOptions={"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 600}
    )
    served.clock_shift_s += 1
    strict = ask(ConfigurationSetName="strict")
    assert (strict.configuration_set, strict.tls_required, strict.max_delivery_s) == ("strict", True, 600.0)
    assert (strict.submitter, strict.queue_id == plain.queue_id) == (ACCESS_KEY, False)
    served.records.put("identity-settings", "example.org", {"ConfigurationSetName": "strict"})
    served.clock_shift_s += 1
    assert ask().configuration_set == "strict"
    v2.put_configuration_set_sending_options(ConfigurationSetName="strict", SendingEnabled=False)
    served.identities.delete("new@customer.example")
    v1 = service == "ses"
    fails("ConfigurationSetSendingPausedException" if v1 else "SendingPausedException", ask)
    v2.put_account_sending_attributes(SendingEnabled=False)
    fails("AccountSendingPausedException" if v1 else "SendingPausedException", ask)
    assert served.identities.get("new@customer.example") is None


def test_custom_verification_is_no_way_to_be_another_tenant(served):
    """Neither as its identity, whether or not identities are checked, nor of an address that it has proved."""
    served.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps({"secret_key": SECRET_KEY, "tenant": "acme"}))
    served.identities.put(Identity("example.org", True, "t", 0.0, "rival"))
    served.identities.put(Identity("proved@customer.example", True, "t", 0.0, "rival"))
    served.identities.put(Identity("squatted@customer.example", False, "t", 0.0, "rival"))
    client = served.client("sesv2")
    for check in "verified", "off":
        served.settings.identity_check = check
        fails("BadRequestException", client.create_custom_verification_email_template, **TEMPLATE)
    served.settings.identity_check = "verified"
    served.identities.put(Identity("acme.example", True, "t", 0.0, "acme"))
    client.create_custom_verification_email_template(**{**TEMPLATE, "FromEmailAddress": "us@acme.example"})
    send = client.send_custom_verification_email
    fails("AlreadyExistsException", send, EmailAddress="proved@customer.example", TemplateName="hello")
    send(EmailAddress="squatted@customer.example", TemplateName="hello")
    assert served.identities.get("squatted@customer.example").tenant == "acme"
