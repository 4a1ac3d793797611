"""Change a record that others may change at the same time: read, edit, write if it is still as it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.status import CHANGED_MEANWHILE, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.ports import Records

_TRIES: Final = 2
"""Once more when somebody was faster; who is faster twice has the word."""


def change(
    records: Records,
    kind: str,
    name: str,
    edit: Callable[[Mapping[str, Any] | None], Mapping[str, Any]],
) -> Mapping[str, Any]:
    """
    Edit a record, atomically.

    Args:
        edit: Value → value; None for no record. May be called twice, and raises what it has against the edit.

    Returns:
        What is stored now.

    Raises:
        Rejected: changed_meanwhile; and whatever `edit` raises.
        LedgerUnavailable, RecordTooLarge
    """
    for _ in range(_TRIES):
        record = records.get(kind, name)
        value = edit(record.value if record else None)
        stored = records.put(kind, name, value, version=record.version if record else 0)
        if stored is not None:
            return stored.value
    raise Rejected(CHANGED_MEANWHILE, f"{name} was changed by somebody else at the same time; try again.")
