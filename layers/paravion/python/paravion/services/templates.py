"""
Keep a tenant's e-mail templates, and find one to send by.

Changes are made by `admin`, which reads past every cache; mail may go by a template as it was a minute ago.

Next: api/ses_sending.py makes messages of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from paravion.domain.address import shown
from paravion.domain.email_template import KIND, EmailTemplate, check_new
from paravion.domain.status import (
    ALREADY_EXISTS,
    CHANGED_MEANWHILE,
    LIMIT_EXCEEDED,
    NO_SUCH_TEMPLATE,
    Rejected,
)
from paravion.errors import RecordTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.ports import Record, Records
    from paravion.services.authenticate import Principal

_TRIES: Final = 2
"""Once more when somebody was faster; who is faster twice has the word."""


class TemplateDeps(Protocol):
    """What this needs: AdminDeps has it."""

    @property
    def records(self) -> Records: ...  # noqa: D102 (an attribute)
    @property
    def clock(self) -> Callable[[], float]: ...  # noqa: D102


def find(name: str, principal: Principal, records: Records) -> EmailTemplate:
    """Give a template. Raises Rejected (no_such_template), LedgerUnavailable."""
    return _template(_record(name, principal, records))


def show(name: str, principal: Principal, deps: TemplateDeps) -> tuple[EmailTemplate, Mapping[str, Any]]:
    """Give a template and its whole record. Raises as `find`."""
    record = _record(name, principal, deps.records)
    return _template(record), record.value


def create(
    template: EmailTemplate, principal: Principal, deps: TemplateDeps, *, tags: Sequence[Mapping[str, str]] = ()
) -> None:
    """
    Keep a new template.

    Raises:
        Rejected: already_exists; as domain/email_template.py's check_new.
        LedgerUnavailable
    """
    check_new(template)
    now = deps.clock()
    value = {**_value(template), "Tags": list(tags), "created_at": now, "updated_at": now}
    if _put(principal, template.name, value, 0, deps) is None:
        raise Rejected(ALREADY_EXISTS, f"Template {shown(template.name)} already exists.")


def update(template: EmailTemplate, principal: Principal, deps: TemplateDeps) -> None:
    """
    Change a template; what the new one does not have is gone.

    Raises:
        Rejected: no_such_template, changed_meanwhile; as check_new.
        LedgerUnavailable
    """
    check_new(template)
    for _ in range(_TRIES):
        record = _record(template.name, principal, deps.records)
        value = {**record.value, **_value(template), "updated_at": deps.clock()}
        if _put(principal, template.name, value, record.version, deps) is not None:
            return
    text = f"Template {shown(template.name)} was changed by somebody else at the same time; try again."
    raise Rejected(CHANGED_MEANWHILE, text)


def delete(name: str, principal: Principal, deps: TemplateDeps) -> bool:
    """Remove a template; False when there was none. Raises LedgerUnavailable."""
    return deps.records.delete(principal.kind(KIND), name)


def page(after: str, limit: int, principal: Principal, deps: TemplateDeps) -> tuple[list[tuple[str, datetime]], str]:
    """
    List templates by name.

    Returns:
        Name and time of making of each, and the name to go on behind, "" at the end.

    Raises:
        LedgerUnavailable
    """
    records = deps.records.page(principal.kind(KIND), limit + 1, after)
    shown_ = [(record.name, datetime.fromtimestamp(record.value["created_at"], UTC)) for record in records[:limit]]
    return shown_, records[limit - 1].name if len(records) > limit else ""


def _record(name: str, principal: Principal, records: Records) -> Record:
    record = records.get(principal.kind(KIND), name)
    if record is None:
        raise Rejected(NO_SUCH_TEMPLATE, f"Template {shown(name)} does not exist.")
    return record


def _template(record: Record) -> EmailTemplate:
    value = record.value
    return EmailTemplate(record.name, value.get("Subject", ""), value.get("Text", ""), value.get("Html", ""))


def _value(template: EmailTemplate) -> dict[str, Any]:
    return {"Subject": template.subject, "Text": template.text, "Html": template.html}


def _put(principal: Principal, name: str, value: Mapping[str, Any], version: int, deps: TemplateDeps) -> Record | None:
    try:
        return deps.records.put(principal.kind(KIND), name, value, version=version)
    except RecordTooLarge as exc:
        raise Rejected(LIMIT_EXCEEDED, "The template is larger than can be kept.") from exc
