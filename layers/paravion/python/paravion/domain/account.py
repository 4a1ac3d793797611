"""
An account's settings: those of one tenant, that all its mail goes by.

One record (`ports.Records`, kind `account`, name `settings`):

    SendingEnabled  false: no mail is taken
    Details         what PutAccountDetails was told
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
    """One account."""

    sending_enabled: bool = True


def decode(value: Mapping[str, Any]) -> Account:
    """
    Read a record's value.

    Raises:
        ValueError: It is none; says why.
    """
    try:
        return Account(bool(value.get("SendingEnabled", True)))
    except AttributeError as exc:
        raise ValueError(f"no account: {exc!r}") from exc
