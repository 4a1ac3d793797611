"""
Find the configuration set that a mail names.

Costs nothing where none is named; on the mail's road `records` answers from what it read within the last minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.configuration_set import KIND, ConfigurationSet, decode
from paravion.domain.tenant import record_kind
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from paravion.ports import Records


def find_set(records: Records, tenant: str, name: str) -> ConfigurationSet | None:
    """
    Give a tenant's configuration set; None when it has none of that name, or none is named ("").

    Raises:
        Misconfigured: What is stored is none.
        LedgerUnavailable
    """
    record = records.get(record_kind(tenant, KIND), name) if name else None
    if record is None:
        return None
    try:
        return decode(name, record.value)
    except ValueError as exc:
        raise Misconfigured([f"configuration set {name}: {exc}"]) from exc
