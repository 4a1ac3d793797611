"""SDKs of two years ago and of today: paths and places that SES v2 changed. Signed by hand, for boto3 knows one year."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from paravion.api.ses_model import MOVED, SES_V2
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY


def ask(served, method, path, body=None):
    """Give status and answer of a request as an SDK makes it."""
    data = b"" if body is None else json.dumps(body).encode()
    request = AWSRequest(method, served.url + path, headers={"content-type": "application/json"}, data=data)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "ses", "eu-west-1").add_auth(request)
    made = urllib.request.Request(served.url + path, data or None, dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(made) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


@pytest.mark.parametrize(
    ("name", "method", "uri"), [(name, *route) for name, routes in MOVED.items() for route in routes]
)
def test_every_path_that_an_operation_has_had_leads_to_it(name, method, uri):
    """With its labels."""
    model, labels = SES_V2.routed(method, uri.replace("{", "<").replace("}", ">"))
    assert (model.name, list(labels.values())) == (name, [f"<{label}>" for label in labels])


@pytest.mark.parametrize("year", [2024, 2026])
def test_lists_take_their_page_from_the_query_or_from_the_body(served, year):
    """GET with a query string, and POST with a body."""
    for name in ("a.example", "b.example", "c.example"):
        served.put_credential(operator=True)
        served.client("sesv2").create_email_identity(EmailIdentity=name)

    def page(**members):
        if year == 2024:
            query = "&".join(f"{key}={value}" for key, value in members.items())
            return ask(served, "GET", f"/v2/email/identities?{query}")
        return ask(served, "POST", "/v2/email/list-identities", members)

    status, first = page(PageSize=2)
    assert (status, [item["IdentityName"] for item in first["EmailIdentities"]]) == (200, ["a.example", "b.example"])
    status, second = page(NextToken=first["NextToken"].replace("=", "%3D") if year == 2024 else first["NextToken"])
    assert [item["IdentityName"] for item in second["EmailIdentities"]] == ["c.example"]
    assert page(PageSize="x")[0] == 400


def test_page_members_of_other_operations_have_their_one_place(served):
    """Nothing is read from a place where nobody says it."""
    assert ask(served, "GET", "/v2/email/templates?PageSize=1")[0] == 200
    assert ask(served, "GET", "/v2/email/templates?Nonsense=1")[0] == 400
    assert ask(served, "PUT", "/v1/email/nonsense")[0] == 404
