"""A credential's scope holds at every door, for every operation: deny by default."""

from __future__ import annotations

import base64
import json

import pytest
from botocore.exceptions import ClientError

from paravion.api import admin_doors, validate_doors  # noqa: F401 (register their operations)
from paravion.api.admin_doors import ADMIN_DOORS
from paravion.api.doors import answer
from paravion.api.http_event import HttpRequest
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.native_messages import VALIDATE_DOOR
from paravion.api.ses_model import SES_V1, SES_V2
from paravion.api.validate_doors import VALIDATE_DOORS
from paravion.domain import sigv4
from paravion.domain.credential import Scope
from paravion.domain.status import Rejected
from tests.support.world import World
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY

DENIED = "is not authorized to perform `{}' on resource `"


@pytest.fixture
def narrowed(world):
    """Give the credential a scope."""

    def narrow(**scope):
        text = json.dumps({"secret_key": SECRET_KEY, "operator": True, "scope": scope})
        world.secrets.put(f"credentials/{ACCESS_KEY}", text)

    return narrow


def call(world, method, path, body=b"", content_type="application/json"):
    """Ask both functions' doors, as the route would."""
    request = HttpRequest(method, path, "", {"host": "h", "content-type": content_type}, body)
    added = sigv4.sign(request, ACCESS_KEY, SECRET_KEY, "us-east-1", now=world.clock())
    headers = {**request.headers, **{name.lower(): value for name, value in added.items()}}
    request = HttpRequest(method, path, "", headers, body)
    submitting = path == "/" or path in {"/v1/messages", "/v1/uploads"} or "/outbound-" in path
    if submitting:
        return answer(request, world, VALIDATE_DOORS, world.submit)
    return answer(request, world.admin_deps, ADMIN_DOORS)


NATIVE = {**ADMIN_DOOR.operations, **VALIDATE_DOOR.operations}


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_native_operation_out_of_scope_is_denied(world, narrowed, name):
    """Every route that there is; own_credential and health are everybody's."""
    narrowed(operations=["ses:*"])
    method, path = NATIVE[name]
    given = call(world, method, path.replace("{", "").replace("}", "").replace("+", ""))
    assert given.status == 403, given.body
    assert json.loads(given.body)["error"]["key"] == "access_denied"


def test_native_send_by_its_door(world, narrowed):
    """A front door needs `smtp`, and nothing else; native clients `native:SubmitMessage`."""
    body = {"reverse_path": "a@b.example", "recipients": ["c@d.example"], "content": base64.b64encode(b"x").decode()}
    for operations, direct, smtp in (["smtp"], 403, 202), (["native:SubmitMessage"], 202, 403), ([], 403, 403):
        narrowed(operations=operations)
        assert call(world, "POST", "/v1/messages", json.dumps(body).encode()).status == direct
        assert call(world, "POST", "/v1/messages", json.dumps({**body, "door": "smtp"}).encode()).status == smtp
        assert call(world, "GET", "/v1/credentials/self").status == 200
        assert (call(world, "POST", "/v1/uploads", b'{"octets": 5}').status == 403) is (operations == [])


@pytest.mark.parametrize("name", SES_V2.offered)
def test_ses_v2_operation_out_of_scope_is_denied(served, narrowed, name):
    """By SES's name and in its words."""
    narrowed(operations=["native:*"])
    served.client("sesv2")
    operation = SES_V2.named(name)
    with pytest.raises(ClientError) as caught:
        served.client("sesv2")._make_api_call(name, _given(operation.input_shape))
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    wanted = f"User `arn:aws:iam::123456789012:user/{ACCESS_KEY}' " + DENIED.format(f"ses:{name}")
    assert caught.value.response["Error"]["Message"].startswith(wanted)
    assert not served.submissions


@pytest.mark.parametrize("name", SES_V1.offered)
def test_ses_v1_operation_out_of_scope_is_denied(served, narrowed, name):
    narrowed(operations=["native:*"])
    with pytest.raises(ClientError) as caught:
        served.client("ses")._make_api_call(name, _given(SES_V1.named(name).input_shape))
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert not served.submissions


def _given(shape, depth=0):
    """The least input that the model takes."""
    if shape is None:
        return {}
    kind = shape.type_name
    if kind == "structure":
        return {member: _given(shape.members[member], depth + 1) for member in shape.required_members}
    if kind == "list":
        return [_given(shape.member, depth + 1) for _ in range(max(1, shape.metadata.get("min", 0)))]
    if kind == "map":
        return {"x": _given(shape.value, depth + 1)}
    if kind == "string":
        return shape.enum[0] if shape.enum else "a@example.org"
    return {"blob": b"x", "boolean": True, "timestamp": 1_700_000_000}.get(kind, 1)


@pytest.mark.parametrize(
    ("operations", "content", "allowed"),
    [
        (["ses:SendRawEmail"], "Raw", True),
        (["ses:SendRawEmail"], "Simple", False),
        (["ses:SendEmail"], "Raw", True),
        (["ses:SendEmail"], "Simple", True),
        (["ses:SendBulk*"], "Simple", False),
    ],
)
def test_raw_content_is_known_by_its_own_name(served, narrowed, operations, content, allowed):
    """As IAM has it: an SDK that sends raw needs ses:SendRawEmail."""
    narrowed(operations=operations)
    contents = {
        "Raw": {"Data": b"From: a@example.org\r\nTo: b@example.org\r\n\r\nx\r\n"},
        "Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}},
    }
    given = {
        "FromEmailAddress": "a@example.org",
        "Destination": {"ToAddresses": ["b@example.org"]},
        "Content": {content: contents[content]},
    }
    client = served.client("sesv2")
    if allowed:
        client.send_email(**given)
    else:
        with pytest.raises(ClientError, match=r"not authorized to perform `ses:SendEmail'"):
            client.send_email(**given)
    assert bool(served.submissions) is allowed


def test_every_door_tells_validate_whom_the_credential_may_send_as(served, narrowed):
    """Call.send is the one way."""
    narrowed(identities=["example.org"])
    served.client("ses").send_raw_email(RawMessage={"Data": b"From: a@example.org\r\nTo: b@example.org\r\n\r\nx"})
    assert [submission.scope for submission in served.submissions] == [Scope(("example.org",))]


SENDERS = {
    "from": (b"From: x@other.example\r\n\r\nx", "me@example.org"),
    "one_of_two_authors": (b"From: a@example.org, x@other.example\r\nSender: a@example.org\r\n\r\nx", "me@example.org"),
    "sender": (b"From: a@example.org\r\nSender: x@other.example\r\n\r\nx", "me@example.org"),
    "reverse_path": (b"From: a@example.org\r\n\r\nx", "x@other.example"),
}


@pytest.mark.parametrize(("content", "sender"), SENDERS.values(), ids=SENDERS)
@pytest.mark.parametrize("identity_check", ["off", "created"])
def test_send_as_another_is_denied_in_ses_words(content, sender, identity_check):
    """Whether or not identities are checked: a scope is its own check. Nothing is kept."""
    world = World(identity_check=identity_check, account_id="123456789012", credential_region="eu-central-1")
    scope = Scope(("example.org", "boss@other.example"))
    with pytest.raises(Rejected) as caught:
        world.submit("you@example.com", content=content, sender=sender, scope=scope)
    assert (caught.value.status.key, caught.value.status.smtp, caught.value.status.enhanced) == (
        "access_denied", 554, "5.7.1",
    )  # fmt: skip
    assert caught.value.detail == (
        "User `arn:aws:iam::123456789012:user/AKIATEST' is not authorized to perform `ses:SendRawEmail' on resource "
        "`arn:aws:ses:eu-central-1:123456789012:identity/x@other.example'"
    )
    assert not world.spool.envelopes


def test_send_as_ones_own_passes():
    world = World()
    world.submit("you@example.com", sender="", scope=Scope(("example.org",)))  # a null reverse-path is nobody's
    world.submit(
        "you@example.com", content=b"From: x@other.example\r\n\r\nx", scope=Scope(("me@example.org", "x@other.example"))
    )
    assert len(world.spool.envelopes) == 2
