"""`paravion routes credential`: the secret comes in unseen and never comes out."""

from __future__ import annotations

import io
import json

import pytest

from paravion.cli.main import main
from tests.unit.cli.fake_api import FakeApi, error

SHOWN = {"name": "ses", "user": "AKIA", "kind": "password", "mechanism": ""}


@pytest.fixture
def api(monkeypatch):
    with FakeApi() as api:
        for name, value in {"API": api.url, "ACCESS_KEY": "A" * 16, "SECRET_KEY": "s"}.items():
            monkeypatch.setenv(f"PARAVION_{name}", value)
        yield api


def test_secret_is_one_line_of_standard_input(api, monkeypatch, capsys):
    """Nothing of it is printed, and it may hold spaces."""
    api.script.append((201, SHOWN))
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2 \r\nnext line\n"))
    assert main(["routes", "credential", "add", "ses", "--user", "AKIA"]) == 0
    (request,) = api.requests
    assert (request.method, request.path) == ("PUT", "/v1/routes/credentials/ses")
    assert json.loads(request.body) == {"user": "AKIA", "password": "hunter2 ", "mechanism": ""}
    out = capsys.readouterr()
    assert out.out == "ses: AKIA, by password, the strongest offered\n"
    assert "hunter2" not in out.out + out.err


def test_secret_is_asked_for_at_a_terminal(api, monkeypatch):
    """Unseen; and a token when that is wanted."""
    asked = []

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "tok")
    api.script.append((201, {**SHOWN, "kind": "token", "mechanism": "XOAUTH2"}))
    assert main(["routes", "credential", "add", "g", "--user", "u", "--token", "--mechanism", "XOAUTH2"]) == 0
    assert (asked, json.loads(api.requests[0].body)) == (
        ["token: "], {"user": "u", "token": "tok", "mechanism": "XOAUTH2"},
    )  # fmt: skip


def test_no_secret_no_call(api, monkeypatch, capsys):
    """An empty line is no password."""
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["routes", "credential", "add", "ses", "--user", "AKIA"]) == 65
    assert not api.requests
    assert "no password" in capsys.readouterr().err


def test_list_show_remove(api, capsys):
    """And what the API refuses."""
    api.script.extend([
        (200, {"credentials": ["a", "b"]}), (200, SHOWN), (204, b""),
        error(400, "bad_request", 501, "5.5.4", "Request is malformed", "the mailertable names ses"),
    ])  # fmt: skip
    assert main(["routes", "credential", "list"]) == 0
    assert main(["routes", "credential", "show", "ses"]) == 0
    assert main(["routes", "credential", "remove", "ses"]) == 0
    assert main(["routes", "credential", "remove", "ses"]) == 65
    out = capsys.readouterr()
    assert out.out == "a\nb\nses: AKIA, by password, the strongest offered\n"
    assert "names ses" in out.err


def test_secret_on_the_command_line_is_refused(api, capsys):
    """Every user of the machine may read it there."""
    assert main(["routes", "credential", "add", "ses", "--user", "AKIA", "hunter2"]) == 64
    assert main(["routes", "credential", "add", "ses", "--user", "AKIA", "--password", "hunter2"]) == 64
    assert not api.requests
