"""The handler files with fakes: parse, call, answer."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest

from functions import admin as admin_function
from functions import validate as validate_function
from paravion.adapters.memory import MemoryQueues
from paravion.domain.ses_smtp_password import smtp_password
from paravion.services.commit import CommitDeps
from paravion.services.signing import Signer
from paravion.services.validate import ValidateDeps

BASIC = "Basic " + base64.b64encode(f"AKIATEST:{smtp_password('test-secret', 'us-east-1')}".encode()).decode()


def event(method, path, body="", query="", content_type="application/json"):
    """Give an event with Basic authentication."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"authorization": BASIC, "content-type": content_type},
        "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.7"}, "requestId": "r"},
        "body": body,
        "isBase64Encoded": False,
    }


def test_submitted_by_one_function_and_seen_by_the_other(world):
    """What validate promised admin can tell, under the same queue id."""
    world.settings.identity_check = "off"
    world.settings.hostname = "mail.example.org"
    validate_deps = ValidateDeps(
        settings=SimpleNamespace(**vars(world.settings)),
        to_commit=CommitDeps(world.spool, MemoryQueues(clock=world.clock), lambda calls: [call() for call in calls]),
        secrets=world.secrets, identities=world.identities, tables=world.tables, uploads=world.uploads,
        event_log=world.event_log, clock=world.clock, entropy=world.entropy, records=world.records,
        counters=world.counters,
        signer=Signer(world.secrets, world.clock),
    )  # fmt: skip
    validate = validate_function.make_handler(lambda: validate_deps)
    admin = admin_function.make_handler(lambda: world.admin_deps)
    content = "From: a@example.org\r\nTo: b@example.org\r\n\r\nHello\r\n"
    answer = validate(event("POST", "/v1/messages", content, content_type="message/rfc822"), None)
    assert answer["statusCode"] == 202
    queue_id = json.loads(answer["body"])["queue_id"]
    shown = json.loads(admin(event("GET", f"/v1/messages/{queue_id}"), None)["body"])
    assert (shown["state"], shown["reverse_path"], shown["door"]) == ("queued", "a@example.org", "http")
    assert [item["forward_path"] for item in shown["recipients"]] == ["b@example.org"]
    said = json.loads(admin(event("GET", f"/v1/messages/{queue_id}/transcript"), None)["body"])
    assert said == {"queue_id": queue_id, "attempts": [], "missing": [], "is_whole": True}
    refused = validate(event("POST", "/v1/messages", "no header", content_type="message/rfc822"), None)
    assert refused["statusCode"] >= 400
    assert [name for name, _ in world.event_log.records] == ["Reception", "Rejection"]


@pytest.mark.parametrize("function", [validate_function, admin_function])
def test_dependencies_wait_for_the_first_call_outside_lambda(function, monkeypatch):
    """Importing a handler builds nothing; Lambda's init phase does."""
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    built = []
    function.make_handler(lambda: built.append(1))
    assert built == []
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    function.make_handler(lambda: built.append(1))
    assert built == [1]
