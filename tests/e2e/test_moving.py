"""Moving up and back: embedded → deployed (the template on moto) → another embedded, by `paravion export` and `import`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.local.embedded import EmbeddedEngine
from infra.local.engine import LocalEngine
from infra.local.options import read_options
from paravion.cli.client import Client
from paravion.cli.config import Config
from tests.e2e.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANOTHER = {"kind": "credential", "access_key": "AKIAMOVEDALONG000000", "secret_key": "moved", "enabled": True}
SETTINGS = ("hostname=mail.example.net", "tls=encrypt", "max_expansion_count=99999")


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedEngine | LocalEngine]]:
    """Two embedded ones, and in between the template."""
    started: list[EmbeddedEngine | LocalEngine] = []
    try:
        for number, engine in enumerate(("embedded", "moto", "embedded")):
            words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0", "engine": engine,
                     "data": str(tmp_path_factory.mktemp("data"))}  # fmt: skip
            options = read_options(ROOT / "template.yaml", words, SETTINGS if number == 0 else (), {})
            made = (EmbeddedEngine if engine == "embedded" else LocalEngine)(options, io.StringIO())
            made.start()
            started.append(made)
        yield started
    finally:
        for made in reversed(started):
            made.stop()


def _run(engine: EmbeddedEngine | LocalEngine, *words: str) -> str:
    """The command as its user runs it; gives what it said."""
    options = engine.options
    environ = {"PARAVION_API": engine.api_url, "PARAVION_ACCESS_KEY": options.access_key,
               "PARAVION_SECRET_KEY": options.secret_key, "PYTHONPATH": f"{ROOT}/layers/paravion/python:{ROOT}"}  # fmt: skip
    words = (sys.executable, "-m", "paravion.cli.main", *words)
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _records(file: Path) -> list[str]:
    """All that moves, in an order of its own: each engine has its own among addresses."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    tables: dict[str, list[str]] = {}
    rest = []
    for line in lines[1:-1]:
        if line["kind"] == "table":
            tables.setdefault(line["table"], []).extend(line["lines"])
        elif line["kind"] != "setting":
            rest.append(json.dumps(line, sort_keys=True))
    ordered = {kind: given if kind.startswith("include/") else sorted(given) for kind, given in tables.items()}
    return [*sorted(rest), json.dumps(ordered, sort_keys=True)]


def test_everything_moves_up_and_back(houses: list[EmbeddedEngine | LocalEngine], tmp_path: Path) -> None:
    """Equal files, and mail's rules hold at each place; a list over what a request holds goes as an upload."""
    first, middle, last = houses
    client = Client(Config(first.api_url, first.options.access_key, first.options.secret_key))
    client.put("/v1/identities/example.org")
    client.put("/v1/identities/me@example.net")
    client.put("/v1/routes/credentials/ses", {}, b'{"user": "u", "password": "p"}', "application/json")
    assert isinstance(first, EmbeddedEngine)
    first.data.secrets.put(
        f"credentials/{ANOTHER['access_key']}", json.dumps({"secret_key": "moved", "operator": True})
    )
    first.data.secrets.put("webhooks/hooks.example.org", '{"secrets": ["whsec_a"]}')
    domain = ".".join(letter * 58 for letter in "abc")
    members = "".join(f"member-{n:057}@{domain}\n" for n in range(18_000)).encode()
    client.put("/v1/tables/include", {"name": "big"}, members)
    client.put("/v1/tables/aliases", {}, b"team: :include:big\nroot: team, x@far.example\n")
    client.put("/v1/tables/mailertable", {}, b". smtp:[relay.example] auth=ses\n")
    client.put("/v1/hosts/mx.example/limit", {}, b'{"rate_per_minute": 7.5, "concurrency": 2}')
    client.put("/v1/suppression-reasons", {}, b'{"reasons": ["COMPLAINT"]}')
    for n in range(150):
        client.put(f"/v1/suppression/gone{n}@far.example", {}, b'{"reason": "COMPLAINT"}')

    files = [tmp_path / f"{n}.jsonl" for n in range(3)]
    _run(first, "export", str(files[0]), "--secrets")
    said = _run(middle, "import", str(files[0]))
    assert "suppressed: 150 made" in said
    assert "--set tls=encrypt    deployed: parameter Tls " in said
    _run(middle, "export", str(files[1]), "--secrets")
    _run(last, "import", str(files[1]))
    _run(last, "export", str(files[2]), "--secrets")
    assert _records(files[0]) == _records(files[1]) == _records(files[2])
    assert json.loads(files[0].read_bytes().splitlines()[1])["kind"] == "setting"
    for house in (middle, last):
        moved = Client(Config(house.api_url, str(ANOTHER["access_key"]), "moved"))
        assert moved.get("/v1/addresses/root@paravion.localhost")["address"]
        again = _run(house, "import", str(files[0]))
        assert "made" not in again
        assert "replaced" not in again
