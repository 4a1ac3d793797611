"""The suppression list over the native API, and what an address's way says of it."""

from __future__ import annotations

import pytest

from paravion.domain.suppression import Reason, Suppressed
from tests.unit.api.test_native import asked


@pytest.fixture
def operator(world):
    """The credential is an operator's."""
    world.put_credential(operator=True)
    return world


def _listed(world, address, reason=Reason.BOUNCE, at=1_767_323_045.0):
    world.suppression.put(Suppressed(address, reason, at, "bounce", "q1", "mx: 550 5.1.1 no such user"))


def test_address_is_listed_shown_and_removed(operator):
    """The whole life of one."""
    code, answer = asked(operator, "PUT", "/v1/suppression/Joe@X.example", {"reason": "COMPLAINT"})
    assert (code, answer["address"], answer["reason"], answer["source"]) == (
        200,
        "joe@x.example",
        "COMPLAINT",
        "operator",
    )
    assert (answer["by"], answer["updated_at"][-1]) == ("AKIATEST", "Z")
    assert asked(operator, "GET", "/v1/suppression/joe@X.example") == (200, answer)
    assert asked(operator, "GET", "/v1/suppression")[1] == {"addresses": [answer], "after": None}
    assert asked(operator, "DELETE", "/v1/suppression/joe@x.example")[0] == 204
    assert asked(operator, "DELETE", "/v1/suppression/joe@x.example")[0] == 404
    assert asked(operator, "GET", "/v1/suppression/joe@x.example")[0] == 404


def test_address_with_a_slash_is_removed_by_its_parameter(operator):
    """In a path it would be two segments."""
    _listed(operator, "a/b@x.example")
    assert asked(operator, "DELETE", "/v1/suppression", query="address=A%2Fb%40x.example")[0] == 204
    assert operator.suppression.items == {}
    assert asked(operator, "DELETE", "/v1/suppression")[0] == 400


def test_list_is_paged_and_filtered(operator):
    """By reason and time."""
    for n in range(5):
        _listed(operator, f"u{n}@x.example", Reason.COMPLAINT if n % 2 else Reason.BOUNCE, 86_400.0 * n)

    def listed(query):
        code, answer = asked(operator, "GET", "/v1/suppression", query=query)
        assert code == 200
        return [entry["address"][1] for entry in answer["addresses"]], answer["after"]

    first, after = listed("limit=3")
    rest, end = listed(f"limit=3&after={after}")
    assert (first + rest, end) == (list("01234"), None)
    assert listed("reason=COMPLAINT")[0] == ["1", "3"]
    assert listed("reason=COMPLAINT&reason=BOUNCE")[0] == list("01234")
    assert listed("since=1970-01-02T00:00:00Z&until=1970-01-03T00:00:00%2B00:00")[0] == ["1"]


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("PUT", "/v1/suppression/nobody", "", {"reason": "BOUNCE"}),
        ("PUT", "/v1/suppression/a@x.example", "", {"reason": "WHIM"}),
        ("PUT", "/v1/suppression/a@x.example", "", {"reason": ["BOUNCE"]}),
        ("PUT", "/v1/suppression/a@x.example", "", {}),
        ("PUT", "/v1/suppression/a@x.example", "", {"reason": "BOUNCE", "colour": "red"}),
        ("GET", "/v1/suppression", "after=x", b""),
        ("GET", "/v1/suppression", "after=a@x&after=b@x", b""),
        ("GET", "/v1/suppression", "limit=0", b""),
        ("GET", "/v1/suppression", "limit=1001", b""),
        ("GET", "/v1/suppression", "reason=WHIM", b""),
        ("GET", "/v1/suppression", "since=yesterday", b""),
        ("GET", "/v1/suppression", "until=2026-01-01T00:00:00", b""),
        ("GET", "/v1/suppression", "colour=red", b""),
        ("PUT", "/v1/suppression-reasons", "", {"reasons": ["WHIM"]}),
        ("PUT", "/v1/suppression-reasons", "", {"reasons": "BOUNCE"}),
        ("PUT", "/v1/suppression-reasons", "", {"reason": []}),
    ],
)
def test_bad_request(operator, method, path, query, body):
    """Refused with what is wrong; nothing is changed."""
    code, answer = asked(operator, method, path, body, query=query)
    assert (code, answer["error"]["key"]) == (400, "bad_request")
    assert operator.suppression.items == {}


def test_reasons_are_shown_and_set(operator):
    """Those of the setting, then ours."""
    assert asked(operator, "GET", "/v1/suppression-reasons") == (200, {"reasons": ["BOUNCE", "COMPLAINT"]})
    for reasons in (["COMPLAINT"], []):
        assert asked(operator, "PUT", "/v1/suppression-reasons", {"reasons": reasons}) == (200, {"reasons": reasons})
        assert asked(operator, "GET", "/v1/suppression-reasons") == (200, {"reasons": reasons})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/suppression"), ("GET", "/v1/suppression/a@x.example"), ("PUT", "/v1/suppression/a@x.example"),
        ("DELETE", "/v1/suppression/a@x.example"), ("PUT", "/v1/suppression-reasons"),
    ],
)  # fmt: skip
def test_only_an_operator_may(world, method, path):
    """The list holds everybody's recipients."""
    _listed(world, "a@x.example")
    code, answer = asked(world, method, path, {"reasons": []} if "reasons" in path else {"reason": "COMPLAINT"})
    assert (code, answer["error"]["key"]) == (403, "access_denied")
    assert world.suppression.items["a@x.example"].reason is Reason.BOUNCE


def test_suppressed_address_is_told_as_such(operator):
    """Since when and why, as a sender would hear it; nobody is asked for its hosts in vain."""
    _listed(operator, "Joe@x.example".lower())
    answer = asked(operator, "GET", "/v1/addresses/Joe@X.example")[1]
    assert (answer["verdict"], answer["status"], answer["exit"]) == ("refused", "5.1.1", 69)
    assert answer["text"] == "Not sent: the address is on the suppression list: BOUNCE, since 2026-01-02"
    (recipient,) = answer["recipients"]
    assert recipient["route"]["hosts"] == ["mx.x.example:25"]
    assert recipient["suppressed"] == {
        "address": "joe@x.example", "reason": "BOUNCE", "updated_at": "2026-01-02T03:04:05.000Z", "source": "bounce",
        "queue_id": "q1", "reply": "mx: 550 5.1.1 no such user", "in_force": True,
    }  # fmt: skip


def test_suppressed_member_is_told_among_the_others(operator):
    """The list is deliverable all the same."""
    _listed(operator, "b@x.example")
    body = b"team: a@x.example, b@x.example\n"
    asked(operator, "PUT", "/v1/tables/aliases", body, content_type="text/plain")
    answer = asked(operator, "GET", "/v1/addresses/team")[1]
    assert (answer["verdict"], answer["recipient_count"]) == ("deliverable", 2)
    assert [(r["forward_path"], bool(r["suppressed"])) for r in answer["recipients"]] == [
        ("a@x.example", False), ("b@x.example", True),
    ]  # fmt: skip


def test_listed_address_whose_reason_is_off_is_deliverable(operator):
    """And the entry is shown, with what it counts for."""
    _listed(operator, "a@x.example")
    operator.suppression.set_reasons((Reason.COMPLAINT,))
    answer = asked(operator, "GET", "/v1/addresses/a@x.example")[1]
    assert answer["verdict"] == "deliverable"
    assert answer["recipients"][0]["suppressed"]["in_force"] is False
