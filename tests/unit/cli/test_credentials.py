"""paravion credentials: on a stack's store, and on a data directory."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from paravion.adapters.memory import MemorySecrets
from paravion.cli import credentials, main


@pytest.fixture
def store(monkeypatch):
    made = MemorySecrets()
    monkeypatch.setattr(credentials, "ssm_store", lambda _: made)
    return made


def run(capsys, *words):
    """Give status and standard output of a command on the stack."""
    status = main.main(["credentials", *words, "--stack", "mail"])
    return status, capsys.readouterr().out


def create(capsys, *words):
    status, out = run(capsys, "create", *words)
    assert status == 0
    return out.split()[2]


def kept(store, key):
    return json.loads(store.get(f"credentials/{key}"))


def test_a_credentials_life(store, capsys):
    """Its secret is shown once, by create, and never again."""
    key = create(
        capsys, "--tenant", "acme", "--identity", "Acme.example", "--operation", "ses:Send*", "--operation", "smtp"
    )
    secret = kept(store, key)["secret_key"]
    shown = [run(capsys, "list")]
    shown += [run(capsys, action, key) for action in ("disable", "enable", "scope")]
    assert {status for status, _ in shown} == {0}
    assert not any(secret in out for _, out in shown)
    line = shown[0][1]
    assert line.startswith(f"{key}  enabled  made=")
    assert line.endswith("tenant=acme  identities=acme.example  operations=ses:Send*,smtp\n")
    assert "disabled" in shown[1][1]
    assert kept(store, key)["enabled"] is True
    assert run(capsys, "delete", key)[0] == 0
    assert run(capsys, "list") == (0, "")
    assert run(capsys, "delete", key)[0] == run(capsys, "disable", key)[0] == 65


def test_scope_is_changed_by_what_is_named(store, capsys):
    """A limit never goes by being forgotten."""
    key = create(capsys)
    assert "scope" not in kept(store, key)
    assert run(capsys, "scope", key, "--operation", "NONE")[1].endswith("operations=NONE\n")
    assert kept(store, key)["scope"] == {"operations": []}
    run(capsys, "scope", key, "--identity", "a@b.example")
    assert kept(store, key)["scope"] == {"identities": ["a@b.example"], "operations": []}
    run(capsys, "scope", key, "--operation", "smtp", "--operation", "ses:Send*")
    assert kept(store, key)["scope"] == {"identities": ["a@b.example"], "operations": ["smtp", "ses:Send*"]}
    run(capsys, "scope", key, "--identity", "ANY")
    assert kept(store, key)["scope"] == {"operations": ["smtp", "ses:Send*"]}
    before = kept(store, key)
    assert run(capsys, "scope", key)[0] == 0
    assert kept(store, key) == before
    run(capsys, "scope", key, "--none")
    assert "scope" not in kept(store, key)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--operation", "ses:SendEmial"),
        ("create", "--operation", "sendmail"),
        ("create", "--identity", "a b"),
        ("create", "--tenant", "a/b"),
        ("create", "--tenant", "acme", "--operator"),
        ("scope", "AKIA", "--none", "--operation", "smtp"),
        ("scope", "AKIA", "--operation", "ANY", "--operation", "smtp"),
        ("create", "--identity", "a.example", "--identity", "NONE"),
        ("explode",),
    ],
)
def test_what_would_allow_nothing_or_too_much_is_refused(store, capsys, words):
    """64, and nothing is kept."""
    store.put("credentials/AKIA", '{"secret_key": "s"}')
    assert run(capsys, *words)[0] == 64
    assert store.names("credentials") == ["credentials/AKIA"]


def test_a_credential_that_cannot_be_read_can_be_deleted(store, capsys):
    store.put("credentials/AKIA", "{")
    assert "unreadable" in run(capsys, "list")[1]
    assert run(capsys, "enable", "AKIA")[0] == 65
    assert run(capsys, "delete", "AKIA")[0] == 0


def test_on_a_data_directory(tmp_path, capsys):
    """A running paravion reads its files."""
    assert main.main(["credentials", "list", "--data", str(tmp_path)]) == 69
    (tmp_path / "secrets").mkdir()
    assert main.main(["credentials", "create", "--data", str(tmp_path)]) == 0
    key = capsys.readouterr().out.split()[2]
    assert main.main(["credentials", "list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{key}  enabled")
    (file,) = (tmp_path / "secrets").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_examples_of_the_page_run(store, tmp_path, capsys):
    """docs/credentials.md, line by line, on its stack and its data directory."""
    page = (Path(__file__).parents[3] / "docs" / "credentials.md").read_text()
    (tmp_path / "secrets").mkdir()
    key = create(capsys)
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line.replace("AKIA…", key).replace("~/.local/state/paravion", str(tmp_path)), comments=True)
        assert main.main(words[1:]) == 0, line
    assert kept(store, key)["enabled"] is False
    assert kept(store, key)["scope"] == {"identities": ["shop.example", "me@other.example"]}
    assert len(store.names("credentials")) == 2
    assert len(list((tmp_path / "secrets").iterdir())) == 1
