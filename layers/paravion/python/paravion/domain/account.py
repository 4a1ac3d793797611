"""
An account's settings: those of one tenant, that all its mail goes by.

One record (`ports.Records`, kind `account`, name `settings`):

    SendingEnabled  false: no mail is taken
    Details         what PutAccountDetails was told
    Max24HourSend   an operator's: recipients in 24 hours, -1 for no limit; without it the settings' default
    MaxSendRate     an operator's: recipients a second, -1 for no limit; without it the settings' default
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.quota import RATE_MAX, SEND_MAX, UNLIMITED, Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "account"
NAME: Final = "settings"
MAX_24_HOUR_SEND: Final = "Max24HourSend"
MAX_SEND_RATE: Final = "MaxSendRate"


@dataclass(frozen=True, slots=True)
class Account:
    """
    One account.

    Attributes:
        max_24_hour_send, max_send_rate: None: the settings' default.
    """

    sending_enabled: bool = True
    max_24_hour_send: float | None = None
    max_send_rate: float | None = None

    def quota(self, default: Quota) -> Quota:
        """Give the limits that hold."""
        day, rate = self.max_24_hour_send, self.max_send_rate
        return Quota(default.max_24_hour_send if day is None else day, default.max_send_rate if rate is None else rate)


def decode(value: Mapping[str, Any]) -> Account:
    """
    Read a record's value.

    Raises:
        ValueError: It is none; says why.
    """
    try:
        day, rate = value.get(MAX_24_HOUR_SEND), value.get(MAX_SEND_RATE)
        return Account(
            bool(value.get("SendingEnabled", True)),
            None if day is None else day_limit(day),
            None if rate is None else rate_limit(rate),
        )
    except AttributeError as exc:
        raise ValueError(f"no account: {exc!r}") from exc


def day_limit(value: Any) -> float:
    """Read a limit of a day. Raises ValueError."""
    number = _number(value)
    if number != UNLIMITED and not (0 <= number <= SEND_MAX and number == int(number)):
        raise ValueError(f"must be a whole number from 0 to {SEND_MAX:.0f}, or -1 for no limit")
    return number


def rate_limit(value: Any) -> float:
    """Read a limit of a second. Raises ValueError."""
    number = _number(value)
    if number != UNLIMITED and not 0.001 <= number <= RATE_MAX:  # noqa: PLR2004 (86 a day)
        raise ValueError(f"must be a number from 0.001 to {RATE_MAX:.0f}, or -1 for no limit")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 (a value's fault)
    return float(value)
