"""`make demo` is the first thing that a newcomer sees: it must come out right, and say so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("engine", ["embedded", "moto"])
def test_demo_ends_well_and_shows_the_three_ends(engine: str) -> None:
    """Exit 0; delivered, deferred and then delivered, returned with the report as its reader sees it."""
    command = [sys.executable, "-m", "infra.local.demo", "--engine", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "ann@example.net  delivered",
        "451 4.3.0 Busy",
        "busy-once@example.net  delivered",
        "missing@example.net  failed",
        "this address does not exist",
        "AWS calls: " if engine == "moto" else "Written to the disk ",
        "All came out right",
    ):
        assert words in done.stdout
    assert "FAIL" not in done.stdout
