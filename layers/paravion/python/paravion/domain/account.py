"""
An account's settings: those of one tenant, that all its mail goes by.

One record (`ports.Records`, kind `account`, name `settings`):

    SendingEnabled      false: no mail is taken
    Max24HourSend       recipients in any 24 hours; absent: as many as come
    MaxSendRate         recipients a second; absent: as fast as they come
    Details             what PutAccountDetails was told
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "account"
NAME: Final = "settings"


@dataclass(frozen=True, slots=True)
class Account:
    """
    One account.

    Attributes:
        max_24_hour_send, max_send_rate: Recipients in 24 hours and in a second; None for no limit.
    """

    sending_enabled: bool = True
    max_24_hour_send: float | None = None
    max_send_rate: float | None = None


def decode(value: Mapping[str, Any]) -> Account:
    """
    Read a record's value.

    Raises:
        ValueError: It is none; says why.
    """
    try:
        limits = [None if value.get(name) is None else float(value[name]) for name in ("Max24HourSend", "MaxSendRate")]
        return Account(bool(value.get("SendingEnabled", True)), limits[0], limits[1])
    except (AttributeError, TypeError, ValueError) as exc:
        raise ValueError(f"no account: {exc!r}") from exc
