"""Templates, kept and looked at, by unmodified boto3 clients of both versions."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import botocore.exceptions
import pytest

from paravion.ports import Record

CONTENT = {"Subject": "Hello {{name}}", "Text": "Dear {{name}},\n", "Html": "<p>Dear {{name}}</p>"}
PARTS = {"SubjectPart": CONTENT["Subject"], "TextPart": CONTENT["Text"], "HtmlPart": CONTENT["Html"]}


def made(client, name="hello", **content):
    """Make a template by v2."""
    client.create_email_template(TemplateName=name, TemplateContent={**CONTENT, **content})


def code_of(call, **given):
    """Give the wire's error code of a call that must fail, and its text."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_v2_template_is_made_shown_changed_and_removed(served):
    """With its tags, which a change keeps; parts that the new content lacks are gone."""
    client = served.client("sesv2")
    client.create_email_template(TemplateName="hello", TemplateContent=CONTENT, Tags=[{"Key": "team", "Value": "a"}])
    shown = client.get_email_template(TemplateName="hello")
    assert (shown["TemplateName"], shown["TemplateContent"]) == ("hello", CONTENT)
    client.update_email_template(TemplateName="hello", TemplateContent={"Subject": "S", "Text": "T"})
    shown = client.get_email_template(TemplateName="hello")
    assert (shown["TemplateContent"], shown["Tags"]) == ({"Subject": "S", "Text": "T"}, [{"Key": "team", "Value": "a"}])
    client.delete_email_template(TemplateName="hello")
    assert code_of(client.get_email_template, TemplateName="hello")[0] == "NotFoundException"


def test_v1_template_is_the_same_thing(served):
    """Made by one version, shown by the other."""
    v1, v2 = served.client("ses"), served.client("sesv2")
    v1.create_template(Template={"TemplateName": "hello", **PARTS})
    assert v2.get_email_template(TemplateName="hello")["TemplateContent"] == CONTENT
    assert v1.get_template(TemplateName="hello")["Template"] == {"TemplateName": "hello", **PARTS}
    v1.update_template(Template={"TemplateName": "hello", "SubjectPart": "S", "HtmlPart": "H"})
    assert v2.get_email_template(TemplateName="hello")["TemplateContent"] == {"Subject": "S", "Html": "H"}
    v1.delete_template(TemplateName="hello")
    v1.delete_template(TemplateName="hello")  # no error, as at SES
    with pytest.raises(v1.exceptions.TemplateDoesNotExistException):
        v1.get_template(TemplateName="hello")


BAD = {
    "a name": ({"TemplateName": "a/b"}, {}, "BadRequestException", "InvalidTemplate"),
    "a long name": ({"TemplateName": "a" * 65}, {}, "BadRequestException", "InvalidTemplate"),
    "no subject": ({}, {"Subject": ""}, "BadRequestException", "InvalidTemplate"),
    "no part": ({}, {"Text": "", "Html": ""}, "BadRequestException", "InvalidTemplate"),
    "an open block": ({}, {"Html": "{{#if a}}"}, "BadRequestException", "InvalidTemplate"),
    "an unknown helper": ({}, {"Text": "{{upper a}}"}, "BadRequestException", "InvalidTemplate"),
    "too large": ({}, {"Text": "x" * 300_000, "Html": "y" * 300_000}, "LimitExceededException", "LimitExceeded"),
    "there already": ({"TemplateName": "there"}, {}, "AlreadyExistsException", "AlreadyExists"),
}


@pytest.mark.parametrize("key", BAD)
def test_template_that_can_not_be_kept_is_refused(served, key):
    """By the name that each version's model has for it."""
    changes, content, v2_code, v1_code = BAD[key]
    v1, v2 = served.client("ses"), served.client("sesv2")
    made(v2, "there")
    name, parts = changes.get("TemplateName", "hello"), {**CONTENT, **content}
    assert code_of(v2.create_email_template, TemplateName=name, TemplateContent=parts)[0] == v2_code
    by_v1 = {"TemplateName": name, **{f"{part}Part": text for part, text in parts.items()}}
    assert code_of(v1.create_template, Template=by_v1)[0] == v1_code


def test_template_that_is_not_there_is_named(served):
    """By every operation that names one."""
    v1, v2 = served.client("ses"), served.client("sesv2")
    parts = {"TemplateName": "gone", **PARTS}
    assert {
        code_of(v2.update_email_template, TemplateName="gone", TemplateContent=CONTENT)[0],
        code_of(v2.delete_email_template, TemplateName="gone")[0],
        code_of(v2.test_render_email_template, TemplateName="gone", TemplateData="{}")[0],
    } == {"NotFoundException"}
    assert {
        code_of(v1.update_template, Template=parts)[0],
        code_of(v1.test_render_template, TemplateName="gone", TemplateData="{}")[0],
    } == {"TemplateDoesNotExist"}


def test_template_that_others_change_meanwhile_is_not_overwritten(served, monkeypatch):
    """One more try, then SES's ConcurrentModificationException."""
    client = served.client("sesv2")
    made(client)
    lost = []
    monkeypatch.setattr(served.records, "put", lambda *args, **kwargs: lost.append(args) or None)
    code, text = code_of(client.update_email_template, TemplateName="hello", TemplateContent=CONTENT)
    assert (code, len(lost)) == ("ConcurrentModificationException", 2)
    assert "at the same time" in text
    once = [None, Record("template", "hello", {}, 3)]
    monkeypatch.setattr(served.records, "put", lambda *args, **kwargs: once.pop(0))
    client.update_email_template(TemplateName="hello", TemplateContent=CONTENT)


def test_templates_are_listed_by_pages(served):
    """By name, each with its time; the last page has no token."""
    v1, v2 = served.client("ses"), served.client("sesv2")
    for number in range(5):
        made(v2, f"t{number}")
    names, token, pages = [], None, 0
    while token or not pages:
        page = v2.list_email_templates(PageSize=2, **({"NextToken": token} if token else {}))
        names += [item["TemplateName"] for item in page["TemplatesMetadata"]]
        assert all(item["CreatedTimestamp"] <= datetime.now(UTC) for item in page["TemplatesMetadata"])
        token, pages = page.get("NextToken"), pages + 1
    assert (names, pages) == ([f"t{number}" for number in range(5)], 3)
    page = v1.list_templates(MaxItems=4)
    assert [item["Name"] for item in page["TemplatesMetadata"]] == names[:4]
    assert [item["Name"] for item in v1.list_templates(NextToken=page["NextToken"])["TemplatesMetadata"]] == names[4:]
    assert "NextToken" not in v2.list_email_templates()
    assert code_of(v2.list_email_templates, NextToken="not one")[0] == "InvalidNextTokenException"
    assert code_of(v2.list_email_templates, PageSize=101)[0] == "BadRequestException"
    assert code_of(v1.list_templates, MaxItems=0)[0] == "InvalidParameterValue"


def test_test_render_gives_the_message(served):
    """A MIME message with subject and both parts, dated, to nobody."""
    v1, v2 = served.client("ses"), served.client("sesv2")
    made(v2)
    data = '{"name": "Jörg & <b>"}'
    text = v2.test_render_email_template(TemplateName="hello", TemplateData=data)["RenderedTemplate"]
    by_v1 = v1.test_render_template(TemplateName="hello", TemplateData=data)["RenderedTemplate"]
    assert text.partition("Subject")[2] == by_v1.partition("Subject")[2]  # but for the Date before it
    message = email.message_from_string(text, policy=email.policy.default)
    plain, html = (part.get_content() for part in message.iter_parts())
    assert (message["Subject"], message["To"]) == ("Hello Jörg & <b>", None)
    assert message["Date"]
    assert (plain.strip(), html.strip()) == ("Dear Jörg & <b>,", "<p>Dear Jörg & <b></p>")


@pytest.mark.parametrize(
    ("data", "v1_code", "text"),
    [("{}", "MissingRenderingAttribute", "Attribute 'name' is not present in the rendering data."),
     ("[]", "InvalidRenderingParameter", "JSON object"), ('{"a": NaN}', "InvalidRenderingParameter", "JSON"),
     ("{", "InvalidRenderingParameter", "JSON"), ('{"name":' + "[" * 100 + "]" * 100 + "}", "InvalidRenderingParameter", "deep"),
     ("[" * 100_000, "InvalidRenderingParameter", "JSON")],
)  # fmt: skip
def test_test_render_says_what_is_wrong_with_the_data(served, data, v1_code, text):
    """What a send would accept, and tell of by an event, is an error here."""
    v1, v2 = served.client("ses"), served.client("sesv2")
    made(v2)
    code, message = code_of(v1.test_render_template, TemplateName="hello", TemplateData=data)
    assert code == v1_code
    assert text in message
    code, message = code_of(v2.test_render_email_template, TemplateName="hello", TemplateData=data)
    assert code == "BadRequestException"
    assert text in message


def test_template_data_has_a_length(served):
    """262,144 characters by the model."""
    client = served.client("sesv2")
    made(client)
    given = {"TemplateName": "hello", "TemplateData": '{"name": "' + "x" * 262_144 + '"}'}
    assert code_of(client.test_render_email_template, **given)[0] == "BadRequestException"


def test_tenants_do_not_see_each_others_templates(served):
    """A name is one tenant's: another has its own, and neither reads nor lists the other's."""
    client = served.client("sesv2")
    made(client)
    served.secrets.put("credentials/AKIASHOP", '{"secret_key": "s", "tenant": "shop"}')
    other = served.client("sesv2", key="AKIASHOP", secret="s")
    assert code_of(other.get_email_template, TemplateName="hello")[0] == "NotFoundException"
    assert other.list_email_templates()["TemplatesMetadata"] == []
    made(other, Subject="Shop")
    assert client.get_email_template(TemplateName="hello")["TemplateContent"]["Subject"] == "Hello {{name}}"
    assert code_of(other.send_email, FromEmailAddress="a@example.org", Destination={"ToAddresses": ["b@example.org"]},
                   Content={"Template": {"TemplateName": "mine", "TemplateData": "{}"}})[0] == "NotFoundException"  # fmt: skip
