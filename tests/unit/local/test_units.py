"""The systemd unit and the container image of the embedded engine say what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.options import Options, parse_address, read_options
from paravion.cli import up

ROOT = Path(__file__).resolve().parents[3]
UNIT = ROOT / "infra/local/paravion.service"
IMAGE = ROOT / "infra/local/Dockerfile"


def _unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def _image() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", IMAGE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def _environ() -> dict[str, str]:
    (env,) = [value for word, value in _image() if word == "ENV"]
    return dict(part.split("=", 1) for part in env.split())


def _options(words: list[str], environ: dict[str, str]) -> Options:
    given = vars(up.parser().parse_args(words))
    return read_options(ROOT / "template.yaml", given, given["assignments"], environ)


CREDENTIAL = {"PARAVION_ACCESS_KEY": "AKIAOWNOWNOWNOWN0000", "PARAVION_SECRET_KEY": "own"}


def test_unit_starts_the_command_on_its_state_directory() -> None:
    """Not as root, on the only folder that it may write to, with words that the command takes."""
    unit = _unit()
    assert unit["User"] == ["paravion"]
    (start,) = unit["ExecStart"]
    binary, command, *words = start.split()
    assert (Path(binary).name, command) == ("paravion", "up")
    assert binary.startswith(f"{unit['WorkingDirectory'][0]}/")
    options = _options(words, CREDENTIAL)
    assert (options.engine, options.data) == ("embedded", f"/var/lib/{unit['StateDirectory'][0]}")
    assert all(address[1] >= 1024 for address in (options.api, options.smtp, options.smtps))


def test_unit_is_hardened() -> None:
    """Nothing is gained, and no capability unless an operator asks."""
    unit = _unit()
    for name, value in {"ProtectSystem": "strict", "NoNewPrivileges": "yes", "AmbientCapabilities": "",
                        "CapabilityBoundingSet": "", "StateDirectoryMode": "0700", "UMask": "0077"}.items():  # fmt: skip
        assert unit[name] == [value]
    assert int(unit["LimitNOFILE"][0]) >= 65536
    assert int(unit["TimeoutStopSec"][0]) > 10
    assert unit["KillSignal"] == ["SIGTERM"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_unit_is_taken_by_systemd(tmp_path: Path) -> None:
    """No unknown name and no bad value; only the binary and the user are not on this machine."""
    copy = tmp_path / "paravion.service"
    start = f"ExecStart={sys.executable} up --engine embedded --data /var/lib/paravion"
    copy.write_text(re.sub(r"^ExecStart=.*$", start, UNIT.read_text(), flags=re.MULTILINE))
    words = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    ours = [
        line for line in (done.stdout + done.stderr).splitlines() if str(copy) in line or "paravion.service" in line
    ]
    assert ours == []


def test_image_runs_as_nobody_on_its_volume() -> None:
    """A user by number, so that an orchestrator can see that it is not root."""
    image = dict(_image())
    assert image["FROM"] == "python:3.13-slim"
    assert int(image["USER"]) > 0
    environ = _environ()
    assert environ["PARAVION_DATA"] == image["VOLUME"]
    words = json.loads(image["ENTRYPOINT"])
    assert words[:2] == ["paravion", "up"]
    options = _options(words[2:], environ | CREDENTIAL)
    assert (options.engine, options.data, options.relay) == ("embedded", image["VOLUME"], "mx")
    ports = [str(parse_address(environ[f"PARAVION_{name}"])[1]) for name in ("API", "SMTP", "SMTPS")]
    assert image["EXPOSE"].split() == ports
    assert min(map(int, ports)) >= 1024
    assert f"127.0.0.1:{ports[0]}/v1/health" in image["HEALTHCHECK"]
    compile(json.loads(image["HEALTHCHECK"].partition("CMD ")[2])[2], "HEALTHCHECK", "exec")


def test_image_copies_what_is_there_and_what_the_engine_imports() -> None:
    """Every source exists, and the embedded engine needs nothing of the moto engine's packages."""
    for word, value in _image():
        if word == "COPY":
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['moto', 'yaml', 'samtranslator'])); "
        "import infra.local.embedded, infra.local.options, paravion.cli.up"
    )
    path = f"{ROOT}/layers/paravion/python:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_published_credential_is_refused_where_others_can_reach_it() -> None:
    """The container's doors are open to all: its first credential must be one's own."""
    from infra.local.options import BadOptions

    with pytest.raises(BadOptions, match="secret-key"):
        _options([], _environ())
    _options([], {})
