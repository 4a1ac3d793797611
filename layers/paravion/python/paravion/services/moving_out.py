"""
Export an installation, a page at a time: everything that an operator set up, nothing that is in flight.

Only an operator's credential may. Secrets are given on demand alone. Pages are read one after the other, so what
changes meanwhile may be in either state; a table that changes while it is read ends the export.

Next: domain/export_file.py has the records, cli/moving.py writes them, services/moving_in.py takes them elsewhere.
"""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import dkim_keys, unsubscribe
from paravion.domain.address import shown
from paravion.domain.credential import as_fields, read_credential
from paravion.domain.export_file import KINDS, encode
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.domain.suppression import Reason
from paravion.domain.table_pages import INCLUDE
from paravion.domain.table_text import lines_of
from paravion.domain.tenant import RECORD_KINDS, contacts_kind, record_kind
from paravion.errors import Misconfigured
from paravion.services import admin, route_credentials, unsubscribe_keys
from paravion.services.access import HOLDS
from paravion.services.authenticate import require_operator
from paravion.services.signing import secret_name
from paravion.services.suppression import EVER, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.domain.export_file import Record
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

PUBLIC_SECRET_KEYS: Final = frozenset({"paravion-local-secret-key-not-for-production"})
"""Local mode's own: everybody can read it, so it goes nowhere."""

SECRET_KINDS: Final = frozenset({"route_credential", "webhook_secret", "unsubscribe_keys", "credential"})

_ENTRIES: Final = 1000
_SECRETS_AT_ONCE: Final = 100
_RECORDS_AT_ONCE: Final = 100
_PAGE_OCTETS: Final = 1_000_000
_TABLE_PAGES: Final = 30
"""Of one answer: a megabyte, or with a list's longest lines some more; Lambda's limit is 6."""

Page = tuple[list["Record"], str]
"""Records, and where to go on in the kind; "" for the next kind."""


def export_page(after: str, principal: Principal, deps: AdminDeps, *, secrets: bool) -> Page:
    """
    Give a page of records.

    Args:
        after: "" for the first page, else what the one before gave.
        secrets: With private keys, passwords and what else must stay secret.

    Returns:
        Records, maybe none, and where to go on: "" at the end.

    Raises:
        Rejected: access_denied; bad_request: `after` is none; a table changed since the page before.
        Unavailable, Misconfigured
    """
    require_operator(principal, "exports are")
    kind, _, rest = (after or f"{KINDS[0]}:").partition(":")
    if kind not in KINDS:
        raise _no_place()
    if not after:
        deps.event_log.emit("Exported", {"secrets": secrets, "principal": principal.access_key})
    records: list[Record] = []
    if secrets or kind not in SECRET_KINDS:
        try:
            records, rest = _READERS[kind](rest, deps, secrets)
        except ValueError as exc:
            raise _no_place() from exc
    else:
        rest = ""
    if rest:
        return records, f"{kind}:{rest}"
    following = KINDS.index(kind) + 1
    return records, f"{KINDS[following]}:" if following < len(KINDS) else ""


def credential_fields(text: str) -> dict[str, Any]:
    """
    Read a stored credential, with what may be left out.

    Raises:
        ValueError: It is none.
    """
    return as_fields(read_credential(text))


def _settings(_after: str, deps: AdminDeps, _secrets: bool) -> Page:
    return [{"kind": "setting", "name": name, "value": value} for name, value in deps.settings_given.items()], ""


def _secret_records(under: str, after: str, deps: AdminDeps, record_of: Callable[[str, str], Record | None]) -> Page:
    names = sorted(name for name in deps.secrets.names(under) if name > after)
    records = []
    for name in names[:_SECRETS_AT_ONCE]:
        text = deps.secrets.get(name, fresh=True)
        try:
            record = record_of(name.removeprefix(f"{under}/"), text) if text is not None else None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Misconfigured([f"secret {name}: can't be read"]) from None
        if record is not None:
            records.append(record)
    return records, names[_SECRETS_AT_ONCE - 1] if len(names) > _SECRETS_AT_ONCE else ""


def _route_credentials(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    def record(name: str, text: str) -> Record:
        from paravion.domain import sasl

        made = sasl.parse_credential(text)
        secret = {made.kind: made.token or made.password}
        more = {"mechanism": made.mechanism} if made.mechanism else {}
        return {"kind": "route_credential", "name": name, "user": made.user, **secret, **more}

    return _secret_records(route_credentials.UNDER, after, deps, record)


def _webhook_secrets(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    def record(name: str, text: str) -> Record:
        from paravion.domain.webhook import decode_secrets

        return {"kind": "webhook_secret", "name": name, "secrets": list(decode_secrets(text))}

    return _secret_records("webhooks", after, deps, record)


def _unsubscribe_keys(_after: str, deps: AdminDeps, _secrets: bool) -> Page:
    ring = unsubscribe_keys.read(deps.secrets, fresh=True)
    return [{"kind": "unsubscribe_keys", "keys": json.loads(unsubscribe.write_keys(ring))}] if ring else [], ""


def _credentials(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    def record(name: str, text: str) -> Record | None:
        found = credential_fields(text)
        if found["secret_key"] in PUBLIC_SECRET_KEYS:
            return None
        return {"kind": "credential", "access_key": name, **found}

    return _secret_records("credentials", after, deps, record)


def _identities(after: str, deps: AdminDeps, secrets: bool) -> Page:
    page, go_on = admin.list_identities(_SECRETS_AT_ONCE, after, deps, tenant=None)
    records = []
    for identity in page:
        record: Record = {
            "kind": "identity",
            "name": identity.name,
            "verified": identity.verified,
            "token": identity.token,
            "created_at": identity.created_at,
            **({"tenant": identity.tenant} if identity.tenant else {}),
        }
        text = None if admin.is_address(identity.name) else deps.secrets.get(secret_name(identity.name), fresh=True)
        try:
            ring = dkim_keys.decode(text)
        except ValueError as exc:
            raise Misconfigured([f"secret {secret_name(identity.name)}: {exc}"]) from exc
        shown_keys = [dkim_keys.records(identity.name, generation) for generation in ring]
        if ring:
            record["dkim_records"] = [
                {"name": each.name, "value": each.value} for found in shown_keys for each in found.values()
            ]
        if ring and secrets:
            record["dkim_keys"] = json.loads(dkim_keys.encode(ring))["generations"]
        records.append(record)
    return records, go_on


def _records(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    """What users made, kind after kind; the kinds follow from the tenants that there are, and from their lists."""
    at, _, name = after.partition("|")
    kinds = [kind for kind in _record_kinds(deps) if kind >= at]
    records: list[Record] = []
    octets = 0
    for kind in kinds:
        name = name if kind == at else ""
        while page := deps.records.page(kind, _RECORDS_AT_ONCE, name):
            for record in page:
                made: Record = {"kind": "record", "of": kind, "name": record.name, "value": dict(record.value)}
                octets += len(encode(made))
                if records and octets > _PAGE_OCTETS:
                    return records, f"{kind}|{name}"
                records.append(made)
                name = record.name
            if len(page) < _RECORDS_AT_ONCE:
                break
    return records, ""


def _record_kinds(deps: AdminDeps) -> list[str]:
    tenants, after = {""}, ""
    while True:
        page, after = admin.list_identities(_ENTRIES, after, deps, tenant=None)
        tenants |= {identity.tenant for identity in page}
        if not after:
            break
    for secret in deps.secrets.names("credentials"):
        with suppress(ValueError, TypeError, AttributeError):
            tenants.add(str(json.loads(deps.secrets.get(secret, fresh=True) or "{}").get("tenant", "")))
    kinds = [record_kind(tenant, kind) for tenant in tenants for kind in RECORD_KINDS]
    for tenant in tenants:
        after = ""
        while page_of_lists := deps.records.page(record_kind(tenant, "contact-list"), _ENTRIES, after):
            kinds += [record_kind(tenant, contacts_kind(found.name)) for found in page_of_lists]
            after = page_of_lists[-1].name
    return sorted(kinds)


def _tables(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    loaded = deps.tables.loaded()
    # Lists first: whatever includes them needs them.
    # What operators hold is of the day, and of this place.
    kinds = sorted((kind for kind in loaded if kind != HOLDS), key=_table_order)
    kind, _, place = after.rpartition(":")
    first = 0
    if after:
        kind, _, generation = kind.rpartition(":")
        first = int(place)
        if first and (kind not in loaded or loaded[kind].generation != generation):
            raise Rejected(BAD_REQUEST, f"the table {shown(kind)} changed while it was read: export again")
        kinds = [each for each in kinds if _table_order(each) >= _table_order(kind)]
    if not kinds:
        return [], ""
    kind = kinds[0]
    pages = list(islice(deps.tables.pages(kind), first, first + _TABLE_PAGES + 1))
    records: list[Record] = [
        {"kind": "table", "table": kind, "lines": list(lines_of(kind, page))}
        for page in pages[:_TABLE_PAGES]
        if page or not first
    ]
    if len(pages) > _TABLE_PAGES:
        return records, f"{kind}:{loaded[kind].generation}:{first + _TABLE_PAGES}"
    return records, f"{kinds[1]}::0" if len(kinds) > 1 else ""


def _table_order(kind: str) -> tuple[bool, str]:
    return not kind.startswith(INCLUDE), kind


def _host_limits(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    found = deps.hosts.all(_ENTRIES + 1, after)
    records: list[Record] = [
        {"kind": "host_limit", "name": state.name, "rate_per_minute": state.max_rate, "concurrency": state.max_slots}
        for state in found[:_ENTRIES]
        if state.max_rate or state.max_slots
    ]
    return records, found[_ENTRIES - 1].name if len(found) > _ENTRIES else ""


def _suppression_reasons(_after: str, deps: AdminDeps, _secrets: bool) -> Page:
    reasons = deps.suppression.reasons()
    return [] if reasons is None else [{"kind": "suppression_reasons", "reasons": list(reasons)}], ""


def _suppressed(after: str, deps: AdminDeps, _secrets: bool) -> Page:
    page = deps.suppression.page(
        after, _ENTRIES, deps.clock(), reasons=frozenset(Reason), since=-EVER, until=EVER
    )  # fmt: skip
    return [{"kind": "suppressed", **view(entry)} for entry in page.entries], page.after


_READERS: Final[dict[str, Callable[[str, AdminDeps, bool], Page]]] = {
    "setting": _settings,
    "route_credential": _route_credentials,
    "webhook_secret": _webhook_secrets,
    "unsubscribe_keys": _unsubscribe_keys,
    "identity": _identities,
    "record": _records,
    "table": _tables,
    "host_limit": _host_limits,
    "suppression_reasons": _suppression_reasons,
    "suppressed": _suppressed,
    "credential": _credentials,
}


def _no_place() -> Rejected:
    return Rejected(BAD_REQUEST, "after is not what a page gave")
