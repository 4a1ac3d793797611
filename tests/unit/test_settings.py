"""Settings: everything that is wrong is told at once, and nothing is guessed."""

from __future__ import annotations

import pytest

from paravion.errors import Misconfigured
from paravion.settings import SETTINGS, RetrySettings, ValidateSettings, from_env

REQUIRED = {
    f"PARAVION_{name}": "x" for name in ("SPOOL", "LEDGER", "DELIVERY_QUEUE", "RETRY_QUEUE", "BOUNCE_QUEUE", "SECRETS")
}


def test_every_default_is_a_value_of_its_setting() -> None:
    """A default goes through the same check as what an operator gives."""
    for setting in SETTINGS:
        if setting.default is not None:
            setting.parse(setting.default)


def test_every_bad_value_is_named_at_once() -> None:
    """One round of mending, not one for each mistake."""
    with pytest.raises(Misconfigured) as error:
        from_env(RetrySettings, {"PARAVION_QUEUE_WARN_S": "soon", "PARAVION_RETRY_INTERVALS_S": "9,3"})
    text = str(error.value)
    for part in ("PARAVION_SPOOL is not set", "PARAVION_QUEUE_WARN_S='soon'", "must not decrease"):
        assert part in text


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PARAVION_MAX_MESSAGE_OCTETS", "1"),
        ("PARAVION_MAX_MESSAGE_OCTETS", "10MB"),
        ("PARAVION_IDENTITY_CHECK", "maybe"),
        ("PARAVION_LOG_LEVEL", "loud"),
    ],
)
def test_value_out_of_range_is_refused(variable: str, text: str) -> None:
    """Range, type and choice."""
    with pytest.raises(Misconfigured, match=variable):
        from_env(ValidateSettings, {**REQUIRED, variable: text})
