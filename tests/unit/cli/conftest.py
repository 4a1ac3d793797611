"""What tests of the commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """An API that answers as told, and that the environment names to the commands."""
    with FakeApi() as fake:
        monkeypatch.setenv("PARAVION_API", fake.url)
        monkeypatch.setenv("PARAVION_ACCESS_KEY", "AKIA")
        monkeypatch.setenv("PARAVION_SECRET_KEY", "secret")
        yield fake
