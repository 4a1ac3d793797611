"""Every route of `admin`: what a credential that is no operator's may ask is listed here, the rest is refused."""

from __future__ import annotations

import pytest

from paravion.api import native_admin
from paravion.domain.status import ACCESS_DENIED
from tests.unit.api.test_native import asked

FOR_EVERYBODY = {
    ("GET", "/v1/health"), ("GET", "/v1/credentials/self"), ("GET", "/v1/queue"), ("GET", "/v1/identities"),
    ("GET", "/unsubscribe/{token}"), ("POST", "/unsubscribe/{token}"),
    ("GET", "/v1/messages/{queue_id}"), ("GET", "/v1/messages/{queue_id}/transcript"),
    ("GET", "/v1/identities/{name}"), ("GET", "/v1/suppression-reasons"), ("POST", "/v1/messages/{queue_id}/events"),
    ("GET", "/v1/confirmations"), ("POST", "/v1/confirmations"), ("GET", "/v1/quota"),
    ("POST", "/v1/messages/{queue_id}/cancel"),
}  # fmt: skip
"""Of messages, the queue and quotas, one's own alone; a confirmation is whose link it is."""

BODIES = {
    "/hold": {"reason": "r"},
    "queue/": {"all": True},
    "redrive": {"all": True},
    "limit": {"concurrency": 1},
    "rotation": None,
    "suppression-reasons": {"reasons": []},
    "suppression": {"reason": "BOUNCE"},
    "credentials": {"user": "u", "password": "p"},
    "webhooks": {"name": "a", "url": "https://hooks.example.org/"},
    "replay": {"since": "2027-01-15T08:00:00Z"},
    "complaint": {"address": "a@x.example"},
    "quota": {"max_send_rate": 1},
    "configuration-sets": {"keep_message_id": True},
}
TABLE = {"files": [{"name": "a", "content": ""}]}
ROUTES = sorted(
    (method, "/" + "/".join(template))
    for method, template, *_ in native_admin.ADMIN_DOOR._routes
    if (method, "/" + "/".join(template)) not in FOR_EVERYBODY
)


def test_the_list_names_routes_that_there_are() -> None:
    """And the others are many."""
    known = {(method, "/" + "/".join(template)) for method, template, *_ in native_admin.ADMIN_DOOR._routes}
    assert known > FOR_EVERYBODY
    assert len(ROUTES) > 20


QUERIES = {("DELETE", "/v1/suppression"): "address=a@x.example", ("DELETE", "/v1/parked"): "queue_id=q"}


@pytest.mark.parametrize(("method", "template"), ROUTES)
def test_other_routes_are_an_operators(world, method: str, template: str) -> None:
    """Whoever adds a route decides whose it is."""
    path = template.replace("{queue_id}", "q" * 26).replace("{address+}", "a@x.example").replace("{kind}", "aliases")
    path = (
        path.replace("{item_id}", "i1")
        .replace("{name}", "x.example")
        .replace("{host}", "x.example")
        .replace("{address}", "a@x.example")
    )
    body = next((body for word, body in BODIES.items() if word in template), None)
    if "tables" in template and method == "PUT":
        body = TABLE if "{kind}" in template else {"tables": [{"kind": "aliases", **TABLE}]}
    query = QUERIES.get((method, template), "")
    code, answer = asked(world, method, path, b"" if body is None else body, query=query)
    assert (code, answer["error"]["key"]) == (403, ACCESS_DENIED.key), answer
