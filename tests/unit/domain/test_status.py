"""The taxonomy's invariants, over every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paravion.domain.status import STATUSES, Status

ROWS = [pytest.param(row, id=key) for key, row in STATUSES.items()]
PACKAGE = Path(__file__).resolve().parents[3] / "layers/paravion/python/paravion"


@pytest.mark.parametrize("row", ROWS)
def test_enhanced_class_follows_the_code(row: Status) -> None:
    """RFC 3463 2: the class digit says the same as the reply code's first."""
    assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", row.enhanced)
    assert int(row.enhanced[0]) == row.smtp // 100


@pytest.mark.parametrize("row", ROWS)
def test_transient_rows_may_be_retried_in_every_form(row: Status) -> None:
    """4yz means HTTP 429 or 5xx, and an exit code that says it is not the caller's fault."""
    if row.is_transient:
        assert row.http == 429 or row.http >= 500
        assert row.exit in {70, 75, 78}


@pytest.mark.parametrize("row", ROWS)
def test_permanent_rows_are_the_callers_affair(row: Status) -> None:
    """5yz means HTTP 4xx other than 429."""
    if row.smtp // 100 == 5:
        assert 400 <= row.http < 500
        assert row.http != 429
        assert row.exit not in {0, 75}


def test_keys_are_unique() -> None:
    """One row, one name."""
    source = (PACKAGE / "domain/status.py").read_text()
    keys = re.findall(r'= _row\(\s*"([a-z_0-9]+)"', source)
    assert sorted(set(keys)) == sorted(keys) == sorted(STATUSES)
