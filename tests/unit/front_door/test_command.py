"""infra/front_door/command.py: options and variables become settings, or are refused by name."""

from __future__ import annotations

import argparse
import ipaddress
import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from infra.front_door import command
from paravion.cli.client import EX_CONFIG, EX_OK, EX_UNAVAILABLE

if TYPE_CHECKING:
    from pathlib import Path

    from infra.front_door.settings import FrontDoorSettings


def _settings(*words: str) -> FrontDoorSettings:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command._settings(parser.parse_args(["--api", "https://api.example", *words]), os.environ)


def test_options_beat_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option has its variable."""
    monkeypatch.setenv("PARAVION_HEALTH", "127.0.0.1:8080")
    monkeypatch.setenv("PARAVION_SMTP_BARE_LF", "normalise")
    monkeypatch.setenv("PARAVION_MAX_TRANSACTIONS_COUNT", "7")
    monkeypatch.setenv("PARAVION_PROXY_NETWORKS", "10.0.0.0/24, 2001:db8::/64")
    settings = _settings("--max-connections", "5", "--max-transactions", "6")
    assert (settings.health, settings.bare_lf) == (("127.0.0.1", 8080), "normalise")
    assert (settings.max_connections_count, settings.max_transactions_count) == (5, 6)
    assert settings.proxy_networks == (ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("2001:db8::/64"))


APIS = {
    "https://api.example/base": "https://api.example/base",
    "http://api.example": "http://api.example",
    "127.0.0.1:8025": "http://127.0.0.1:8025",
    "[::1]:8025": "http://[::1]:8025",
    "localhost:8025": "http://localhost:8025",
}


@pytest.mark.parametrize(("given", "url"), APIS.items(), ids=APIS)
def test_api_without_a_scheme_is_on_this_machine(given: str, url: str) -> None:
    """Elsewhere passwords go by TLS, or by http where that is written out."""
    assert _settings("--api", given).api_url == url


BAD = {
    "an API elsewhere without a scheme": (["--api", "api.example:8025"], {}),
    "an API by its address without a scheme": (["--api", "192.0.2.7"], {}),
    "an API that seems to be here": (["--api", "localhost.example:8025"], {}),
    "an API of no kind": (["--api", "ftp://api.example"], {}),
    "too many recipients": (["--max-recipients", "1001"], {}),
    "too large a message": (["--max-message-octets", "99999999999"], {}),
    "health": (["--health", "8080"], {}),
    "networks": (["--proxy-networks", "10.0.0.1/24"], {}),
    "a limit of nothing": (["--max-recipients", "0"], {}),
    "bare LF by variable": ([], {"PARAVION_SMTP_BARE_LF": "keep"}),
    "trust without a credential": (["--trusted-networks", "10.0.0.0/24"], {}),
}


@pytest.mark.parametrize(("words", "environ"), BAD.values(), ids=BAD)
def test_bad_configuration_ends_with_78(
    words: list[str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what is wrong."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert command.main(["--api", "https://api.example", *words]) == EX_CONFIG
    assert capsys.readouterr().err.startswith("smtpd: ")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://api.example", "smtpd: passwords go in clear to http://api.example\n"),
        ("http://127.0.0.1:9", ""),
        ("https://api.example", ""),
    ],
)
def test_passwords_in_clear_are_told_of(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who wrote http:// gets it, but not without a word."""
    monkeypatch.setattr(command.asyncio, "run", lambda work: work.close())
    assert command.main(["--api", url]) == EX_OK
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--cert", "{folder}"], "{folder}: Is a directory"),
        (["--cert", "{folder}/none.pem"], "{folder}/none.pem: No such file"),
        (["--cert", "{folder}/text.pem"], "{folder}/text.pem: no certificate with its key in PEM"),
        (["--listen", "127.0.0.1:{port}"], "127.0.0.1:{port}: "),
    ],
    ids=["a directory", "nothing", "no PEM", "a port in use"],
)
def test_what_can_not_be_opened_is_named(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 69."""
    (tmp_path / "text.pem").write_text("hello")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        filled = {"folder": str(tmp_path), "port": taken.getsockname()[1]}
        given = ["--api", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", *(word.format(**filled) for word in words)]
        assert command.main(given) == EX_UNAVAILABLE
    assert capsys.readouterr().err.startswith(f"smtpd: {named.format(**filled)}")


def test_variable_that_is_no_number_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the option would be."""
    monkeypatch.setenv("PARAVION_MAX_CONNECTIONS_COUNT", "many")
    with pytest.raises(SystemExit):
        command.main(["--api", "https://api.example"])
    assert "--max-connections: invalid int value: 'many'" in capsys.readouterr().err


FILES = {
    "a shell's": ((1024, 4096), (1128, 4096), None),
    "enough": ((20_000, 20_000), None, None),
    "too few": ((256, 512), (512, 512), 512),
    "no limit": ((1024, resource.RLIM_INFINITY), (1128, resource.RLIM_INFINITY), None),
}


@pytest.mark.parametrize(("limits", "made", "told"), FILES.values(), ids=FILES)
def test_files_for_all_connections_may_be_open(
    limits: tuple[int, int], made: tuple[int, int] | None, told: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 clients, 64 connections to the API, and some more."""
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, given: asked.append(given))
    assert command._allow_files(_settings()) == told
    assert asked == ([made] if made else [])
