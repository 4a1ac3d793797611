"""
One tenant's credential can neither send as, read nor list another's things: tried with every operation that reads.

What the default tenant has is full of a word; nobody else may ever be answered with it. Operations that are added later
are tried too, for they are taken from what is registered.
"""

from __future__ import annotations

import json
import re

from botocore.exceptions import BotoCoreError, ClientError

from paravion.api import admin_doors, validate_doors  # noqa: F401 (register their operations)
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.ses_model import SES_V1, SES_V2
from paravion.domain.tenant import record_kind
from paravion.ports import Identity
from paravion.services.verification_templates import MEMBERS
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY
from tests.unit.api.test_native import asked

WORD = "xyzzy"
NAMES = {
    "ContactListName": WORD, "EmailAddress": f"{WORD}@example.com", "TemplateName": WORD, "ConfigurationSetName": WORD,
    "EmailIdentity": f"{WORD}.example", "Identity": f"{WORD}.example", "ResourceArn": None, "MessageId": "q" * 26,
}  # fmt: skip
READING = ("Get", "List", "Describe", "BatchGet", "TestRender")
OPERATIONS = [
    (service.path.partition("/")[0], name)
    for service in (SES_V2, SES_V1)
    for name in service.offered
    if name.startswith(READING)
]


def _seed(world):
    """The default tenant's things, as they are stored."""
    tags = [{"Key": "k", "Value": WORD}]
    topic = {"TopicName": WORD, "DisplayName": WORD, "DefaultSubscriptionStatus": "OPT_IN"}
    world.records.put("contact-list", WORD, {"ContactListName": WORD, "Topics": [topic], "Tags": tags})
    world.records.put(f"contact/{WORD}", f"{WORD}@example.com", {"EmailAddress": f"{WORD}@example.com"})
    world.records.put("configuration-set", WORD, {"Tags": tags})
    world.records.put("identity-settings", f"{WORD}.example", {"Tags": tags})
    world.records.put("custom-verification", WORD, {**dict.fromkeys(MEMBERS, WORD), "Tags": tags})
    parts = {"SubjectPart": WORD, "TextPart": WORD, "HtmlPart": WORD, "Subject": WORD, "Text": WORD, "Html": WORD}
    world.records.put("template", WORD, {"TemplateName": WORD, "TemplateContent": parts, **parts, "Tags": tags})
    world.identities.put(Identity(f"{WORD}.example", True, WORD, 0.0))


def _given(shape, kind):
    given = {}
    for name, member in (shape.members if shape else {}).items():
        if name == "ResourceArn":
            thing = f"{WORD}.example" if kind == "identity" else WORD
            given[name] = f"arn:aws:ses:us-east-1:123456789012:{kind}/{thing}"
        elif name in shape.required_members or name == "Identities":
            if name in NAMES:
                given[name] = NAMES[name]
            elif member.type_name == "list":
                given[name] = [f"{WORD}.example"] if "dentit" in name else ["default"]
            elif member.type_name == "string":
                given[name] = member.enum[0] if member.enum else "{}"
    return given


def _answer(client, name, given):
    try:
        found = client._make_api_call(name, given)
    except (ClientError, BotoCoreError) as exc:
        return f"error {type(exc).__name__}"
    for key in ("ResponseMetadata", *given):
        found.pop(key, None)
    return json.dumps(found, default=str)


KINDS = ("identity", "configuration-set", "contact-list", "template", "custom-verification-email-template")


def test_no_operation_that_reads_tells_another_tenants_things(served):
    """Strangers get errors, or their own; the owner gets what is his, so that the question was the right one."""
    _seed(served)
    asked = [
        (service, name, kind)
        for service, name in OPERATIONS
        for kind in (KINDS if name == "ListTagsForResource" else ("",))
    ]
    told = {}
    for tenant in ("", "acme"):
        text = {"secret_key": SECRET_KEY, "operator": not tenant, "tenant": tenant}
        served.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps(text))
        clients = {service: served.client(service) for service in ("ses", "sesv2")}
        for service, name, kind in asked:
            model = (SES_V2 if service == "sesv2" else SES_V1).named(name)
            told[tenant, service, name, kind] = _answer(clients[service], name, _given(model.input_shape, kind))
    leaks = [key for key, answer in told.items() if key[0] and WORD in answer]
    assert leaks == []
    owners = {
        f"{name} {kind}".strip() for (tenant, _, name, kind), answer in told.items() if not tenant and WORD in answer
    }
    assert owners >= {
        "GetContactList", "GetContact", "ListContacts", "ListContactLists", "GetConfigurationSet",
        "ListConfigurationSets", "GetCustomVerificationEmailTemplate", "ListCustomVerificationEmailTemplates",
        "ListEmailIdentities", *(f"ListTagsForResource {kind}" for kind in KINDS),
    }, told  # fmt: skip


NATIVE = {
    name: (path.replace("{name+}", "{name}"))
    for name, (method, path) in ADMIN_DOOR.operations.items()
    if method == "GET"
}
OPERATORS_OWN = frozenset({"native:ShowSuppressionReasons"})
"""Everybody may read these: they say how the installation is set up."""


def test_no_native_route_that_reads_tells_another_tenants_things(world):
    """Lists, too; one's own messages apart, whose owner is the credential (tests/unit/services/test_admin.py)."""
    _seed(world)
    told = {}
    for tenant in ("", "acme"):
        text = {"secret_key": SECRET_KEY, "operator": not tenant, "tenant": tenant}
        world.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps(text))
        for name, path in NATIVE.items():
            thing = f"{WORD}.example" if "identities" in path else WORD
            code, answer = asked(world, "GET", re.sub(r"\{.*?\}", thing, path.replace("{queue_id}", "q" * 26)))
            told[tenant, name] = (code, json.dumps(answer))
    leaks = [name for (tenant, name), (code, answer) in told.items() if tenant and code == 200 and WORD in answer]
    assert leaks == []
    opened = {name for (tenant, name), (code, _) in told.items() if tenant and code == 200}
    assert opened == {"native:ListIdentities", "native:ShowQueue", "native:ShowQuota", *OPERATORS_OWN}
    owners = {name for (tenant, name), (code, answer) in told.items() if not tenant and code == 200 and WORD in answer}
    assert owners >= {"native:ListIdentities", "native:GetIdentity", "native:ShowSet"}, told


def test_kinds_of_tenants_never_meet():
    """Whatever a tenant or a list is called."""
    tenants = ("", "contact", "template", "acme", "contact-list")
    kinds = ("contact", "template", "contact/x", "contact/contact-list", "contact-list", "acme/template")
    assert len({record_kind(tenant, kind) for tenant in tenants for kind in kinds}) == len(tenants) * len(kinds)
