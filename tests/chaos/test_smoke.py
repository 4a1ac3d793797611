"""A short chaos campaign; the long one is `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import Plan, run


@pytest.mark.timeout(180)
def test_killed_and_full_nothing_is_lost(tmp_path: Path) -> None:
    """Every mail that got 2xx or 250 has one outcome for each recipient, and only a kill makes two."""
    plan = Plan(mails=300, kills=4, seed=7, life_s=(0.1, 1.0), full_s=1.0, patience_s=90.0)
    verdict = run(plan, tmp_path / "chaos")
    print(verdict)
    assert verdict.faults == []
