"""Credentials of routes over the native API: kept, listed, never shown, and not taken away from under a route."""

from __future__ import annotations

import json

import pytest

from tests.unit.api.test_native import asked

SECRET = "pa55-wörd"


@pytest.fixture
def operator(world):
    """The credential is an operator's."""
    world.put_credential(operator=True)
    return world


def _put(world, name, **fields):
    return asked(world, "PUT", f"/v1/routes/credentials/{name}", json.dumps(fields).encode())


def test_credential_is_kept_shown_and_removed(operator):
    """The whole life of one; no answer and no record holds its secret."""
    told = [_put(operator, "ses", user="AKIA", password=SECRET)]
    assert told[0] == (201, {"name": "ses", "user": "AKIA", "kind": "password", "mechanism": ""})
    told.append(_put(operator, "ses", user="BKIA", token="t0ken-secret", mechanism="xoauth2"))
    assert told[1] == (200, {"name": "ses", "user": "BKIA", "kind": "token", "mechanism": "XOAUTH2"})
    told.append(asked(operator, "GET", "/v1/routes/credentials/ses"))
    assert told[2] == (200, told[1][1])
    told.append(asked(operator, "GET", "/v1/routes/credentials"))
    assert told[3] == (200, {"credentials": ["ses"]})
    assert "t0ken-secret" in operator.secrets.values["routes/ses"]
    assert asked(operator, "DELETE", "/v1/routes/credentials/ses")[0] == 204
    assert asked(operator, "DELETE", "/v1/routes/credentials/ses")[0] == 404
    assert asked(operator, "GET", "/v1/routes/credentials/ses")[0] == 404
    assert asked(operator, "GET", "/v1/routes/credentials")[1] == {"credentials": []}
    assert not any(secret in f"{told}{operator.event_log.records}" for secret in (SECRET, "t0ken-secret"))


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u"},
        {"password": SECRET},
        {"user": "u", "password": SECRET, "token": "t"},
        {"user": "u", "password": SECRET, "mechanism": "NTLM"},
        {"user": "u", "password": [SECRET]},
        {"user": "u", "password": SECRET, "host": "x"},
    ],
)
def test_what_is_no_credential_is_refused(operator, fields):
    """400, without the secret in the answer, and nothing is kept."""
    code, answer = _put(operator, "x", **fields)
    assert (code, SECRET in str(answer)) == (400, False)
    assert "routes/x" not in operator.secrets.values


def test_only_operators_may(world):
    """Reading names as well."""
    for method, path in (("PUT", "/x"), ("GET", "/x"), ("DELETE", "/x"), ("GET", "")):
        code, answer = asked(world, method, f"/v1/routes/credentials{path}", b"{}" if method == "PUT" else b"")
        assert (code, answer["error"]["key"]) == (403, "access_denied")


def test_bad_names_are_refused(operator):
    """They are a path of the store."""
    for name in (".x", "a%2Fb", "x" * 65):
        assert _put(operator, name, user="u", password="p")[0] in {400, 404}


def test_route_names_only_what_is_there(operator):
    """Refused at loading with file and line; and what is named can't be removed."""

    def load(text):
        return asked(operator, "PUT", "/v1/tables/mailertable", text, query="file=mt", content_type="text/plain")

    route = b"a.example smtp:[b.example] auth=ses\n"
    code, answer = load(b"# ours\n" + route)
    assert code == 400
    assert "mt:2: auth=ses: there is no such credential" in answer["error"]["detail"]
    _put(operator, "ses", user="u", password="p")
    _put(operator, "other", user="u", password="p")
    assert load(route)[0] == 200
    code, answer = asked(operator, "DELETE", "/v1/routes/credentials/ses")
    assert (code, answer["error"]["detail"]) == (400, "the mailertable names ses, for a.example")
    operator.settings.relay_credential = "other"
    assert asked(operator, "DELETE", "/v1/routes/credentials/other")[0] == 400
    operator.settings.relay_credential = ""
    assert asked(operator, "DELETE", "/v1/routes/credentials/other")[0] == 204
    load(b"a.example smtp:[b.example]\n")
    assert asked(operator, "DELETE", "/v1/routes/credentials/ses")[0] == 204


def test_malformed_one_in_the_store_is_told_and_replaced(operator):
    """Whoever wrote it there by hand."""
    operator.secrets.put("routes/x", SECRET)
    assert asked(operator, "GET", "/v1/routes/credentials/x") == (
        200, {"name": "x", "user": "", "kind": "malformed", "mechanism": ""},
    )  # fmt: skip
    assert _put(operator, "x", user="u", password="p")[0] == 200


def test_address_is_shown_with_the_whole_route(operator):
    """`sendmail -bv` says by which hosts, under which TLS and credential, and what is behind them."""
    _put(operator, "ses", user="u", password="p")
    text = b"a.example smtp:[b.example]:587 auth=ses, c.example\n"
    asked(operator, "PUT", "/v1/tables/mailertable", text, content_type="text/plain")
    (found,) = asked(operator, "GET", "/v1/addresses/x@a.example")[1]["recipients"]
    assert found["route"] == {
        "next_hop": "b.example:587", "hosts": ["b.example:587"], "status": "", "text": "",
        "tls": "verify", "credential": "ses",
        "behind": [{"next_hop": "c.example", "hosts": ["mx.c.example:25"], "status": "", "text": ""}],
    }  # fmt: skip
