"""`paravion identity`: what it asks and what it prints."""

from __future__ import annotations

import pytest

from paravion.cli import identity, main
from tests.unit.cli.fake_api import error

KEY = {"selector": "p1-rsa", "algorithm": "rsa-sha256", "state": "next", "published": False,
       "record": {"type": "TXT", "name": "p1-rsa._domainkey.x.example", "value": "v=DKIM1; p=" + "A" * 300}}  # fmt: skip
SHOWN = {
    "name": "x.example", "verified": False, "may_send": False,
    "record": {"type": "TXT", "name": "_paravion.x.example", "value": "t0ken"},
    "dkim": {"status": "pending", "keys": [
        {"selector": "p0-rsa", "state": "retired", "expires_at": "2026-01-01T00:00:00.000Z"},
        {**KEY, "selector": "p2-rsa", "state": "active", "published": True}, KEY,
    ]},
}  # fmt: skip


def asked(api):
    return [(request.method, request.path) for request in api.requests]


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (["add", "x.example"], "PUT", "/v1/identities/x.example", b""),
        (["show", "a@x.example"], "GET", "/v1/identities/a%40x.example", b""),
        (["rotate", "x.example"], "POST", "/v1/identities/x.example/rotation", b"{}"),
        (["rotate", "x.example", "--force"], "POST", "/v1/identities/x.example/rotation", b'{"force":true}'),
    ],
)
def test_what_is_asked(api, capsys, words, method, path, body):
    """One call, and the identity with what to publish is printed."""
    api.script.append((200, SHOWN))
    assert main.main(["identity", *words]) == 0
    assert asked(api) == [(method, path)]
    assert api.requests[0].body == body
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "x.example: not verified"
    assert '  _paravion.x.example. TXT "t0ken"' in out
    assert "its record may go after 2026-01-01" in out
    assert f'"v=DKIM1; p={"A" * 244}" "{"A" * 56}"' in out
    assert out.count("_domainkey") == 1


def test_list_follows_pages(api, capsys):
    """All of them, with their standing."""
    page = [{"name": "a.example", "verified": True}, {"name": "b.example", "verified": False, "may_send": True}]
    api.script.append((200, {"identities": page, "after": "b.example"}))
    api.script.append((200, {"identities": [{"name": "c.example"}], "after": None}))
    assert main.main(["identity", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["verified", "may send, not verified", "not verified"]
    assert asked(api)[1] == ("GET", "/v1/identities?after=b.example&limit=1000")


def test_delete_has_no_answer(api, capsys):
    """204, and a word."""
    api.script.append((204, b""))
    assert main.main(["identity", "delete", "x.example"]) == 0
    assert asked(api) == [("DELETE", "/v1/identities/x.example")]
    assert "x.example is removed" in capsys.readouterr().out


def test_refusal_is_told(api, capsys):
    """The API's words, its exit code."""
    api.script.append(error(404, "not_found", 550, "5.5.1", "No such thing", "identity x.example does not exist"))
    assert main.main(["identity", "show", "x.example"]) == 65
    assert "identity x.example does not exist" in capsys.readouterr().err


def test_address_has_no_keys_to_show():
    """Nor a record."""
    assert list(identity.render({"name": "a@x.example", "verified": True})) == ["a@x.example: verified"]


@pytest.mark.parametrize("words", [["x..y"], ["x.example", "--address", "here"], ["x.example", "--nameserver", "dns"],
                                   ["x.example", "--nameserver", "127.0.0.1:0"], ["x.example", "--nameserver", "a:53"]])  # fmt: skip
def test_doctor_refuses_what_it_cant_ask(words, capsys):
    """64, before any look-up."""
    assert main.main(["doctor", *words]) == 64
    assert capsys.readouterr().err.startswith("paravion: ")
