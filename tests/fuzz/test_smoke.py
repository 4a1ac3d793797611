"""A few seconds of every fuzz target; the hour is `make fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, run


@pytest.mark.parametrize("name", TARGETS)
def test_target_holds(name: str) -> None:
    """Always the same inputs here, so that a failure is the change's."""
    run(name, 150, 1)
