"""
Find what a mail goes by besides its own words: its configuration set, its sender's identity settings, the account.

Records that were never made cost one look-up a minute (ports.Records on the mail's road).

Next: services/validate.py goes by them when mail comes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from paravion.domain import account, configuration_set, identity
from paravion.domain.configuration_set import ConfigurationSet
from paravion.domain.identity import IdentitySettings, identities_of
from paravion.domain.status import NO_SUCH_CONFIGURATION_SET, SENDING_PAUSED, SET_PAUSED, Rejected
from paravion.domain.tenant import record_kind
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.domain.account import Account
    from paravion.ports import Records

T = TypeVar("T")


def find_set(records: Records, tenant: str, name: str) -> ConfigurationSet | None:
    """
    Give a tenant's configuration set; None when it has none of that name, or none is named ("").

    Raises:
        Misconfigured: What is stored is none.
        LedgerUnavailable
    """
    record = records.get(record_kind(tenant, configuration_set.KIND), name) if name else None
    if record is None:
        return None
    return _read(lambda value: configuration_set.decode(name, value), record.value, f"configuration set {name}")


def find_account(records: Records, tenant: str) -> Account:
    """Give a tenant's account; one without a record has no limits. Raises Misconfigured, LedgerUnavailable."""
    record = records.get(record_kind(tenant, account.KIND), account.NAME)
    return _read(account.decode, record.value if record else {}, "account")


def find_identity_settings(records: Records, tenant: str, address: str) -> tuple[str, IdentitySettings]:
    """
    Give the settings of the nearest identity of an address that has any, and that identity's name ("" for none).

    Raises:
        Misconfigured, LedgerUnavailable
    """
    names = identities_of(address)
    found = records.get_all(record_kind(tenant, identity.KIND), names) if names else {}
    name = next((name for name in names if name in found), "")
    if not name:
        return "", IdentitySettings()
    return name, _read(identity.decode, found[name].value, f"identity settings of {name}")


def settings_of_identity(records: Records, tenant: str, name: str) -> IdentitySettings:
    """Give one identity's settings; those of SES's defaults without any. Raises Misconfigured, LedgerUnavailable."""
    record = records.get(record_kind(tenant, identity.KIND), name)
    return _read(identity.decode, record.value if record else {}, f"identity settings of {name}")


def set_of_mail(records: Records, tenant: str, named: str, author: str) -> ConfigurationSet | None:
    """
    Give the configuration set that a mail is sent by: the one that it names, else its author's identity's.

    Args:
        named: By the request or the header, "" for none.
        author: The address of From.

    Raises:
        Rejected: sending_paused, no_such_configuration_set, configuration_set_paused.
        Misconfigured, LedgerUnavailable
    """
    if not find_account(records, tenant).sending_enabled:
        raise Rejected(SENDING_PAUSED, "Sending paused for this account: an operator turned it off.")
    name = named or find_identity_settings(records, tenant, author)[1].configuration_set
    found = find_set(records, tenant, name)
    if name and found is None:
        raise Rejected(NO_SUCH_CONFIGURATION_SET, f"Configuration set <{ascii(name)[1:-1][:64]}> does not exist.")
    if found is not None and not found.sending_enabled:
        raise Rejected(SET_PAUSED, f"Sending paused for configuration set <{name}>.")
    return found


def _read(decode: Callable[[Mapping[str, Any]], T], value: Mapping[str, Any], what: str) -> T:
    try:
        return decode(value)
    except ValueError as exc:
        raise Misconfigured([f"{what}: {exc}"]) from exc
