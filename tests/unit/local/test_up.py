"""`paravion up` up to the point where an engine starts."""

from pathlib import Path

import pytest

from paravion.cli import up

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("argv", "environ", "status", "said"),
    [
        (["--nonsense"], {}, 64, ["--nonsense"]),
        (["--set", "nosuch=1", "--api", "x"], {"PARAVION_QUEUE_WARN_S": "-1"}, 64, ["nosuch", "--api", "QUEUE_WARN_S"]),
        ([], {"PARAVION_QUEUE_WARN_S": "-1", "PARAVION_RELAY": "up"}, 78, ["QUEUE_WARN_S", "PARAVION_RELAY"]),
        (["--engine", "embedded", "--data", "/dev/null/x"], {}, 69, ["/dev/null/x"]),
        (["--engine", "moto", "--data", "var"], {}, 64, ["keeps nothing"]),
        (["--log", "/nonexistent/x"], {}, 69, ["/nonexistent/x"]),
    ],
    ids=["word", "settings", "variables", "embedded", "data", "log"],
)
def test_refusals(argv, environ, status, said, capsys, monkeypatch) -> None:
    """Everything wrong is named at once, with sysexits' status, before anything starts."""
    monkeypatch.chdir(ROOT)
    assert status == up.main(argv, environ)
    text = capsys.readouterr().err
    for part in said:
        assert part in text


def test_help_is_no_error(capsys) -> None:
    """--help prints and succeeds."""
    assert up.main(["--help"]) == 0
    assert "--relay" in capsys.readouterr().out


def test_checkout_is_found(tmp_path) -> None:
    """The working directory's checkout comes first, then the package's; elsewhere there is none."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    assert up.find_checkout(here, tmp_path) is None
    (tmp_path / "a" / "infra" / "local").mkdir(parents=True)
    (tmp_path / "a" / "template.yaml").touch()
    assert tmp_path / "a" == up.find_checkout(here, ROOT / "x")
    assert ROOT == up.find_checkout(tmp_path, ROOT / "layers" / "x")


def test_outside_a_checkout(tmp_path, capsys, monkeypatch) -> None:
    """Without a checkout the error says what is looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(up, "__file__", str(tmp_path / "up.py"))
    assert up.main([], {}) == 69
    assert "template.yaml" in capsys.readouterr().err
