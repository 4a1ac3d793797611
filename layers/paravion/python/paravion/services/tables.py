"""
Load sendmail's tables and show them: checked as a whole, then swapped in at one instant.

A list that an alias includes must be loaded before the aliases are, or with them, so that nothing ever names what is
not there.
Only an operator's credential may do this: tables decide where everybody's mail goes.

Next: domain/tables.py reads the files, services/expand.py and services/deliver.py use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.table_pages import INCLUDE
from paravion.domain.tables import KINDS, BadTable, include_name, includes_of, parse_table
from paravion.domain.target import AllowedTargets
from paravion.services import route_credentials
from paravion.services.access import HOLDS
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from paravion.domain.table_pages import Entries
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal
    from paravion.settings import AdminSettings

SHOWN_ENTRIES: Final = 1000
"""Entries of one answer."""


def load_table(kind: str, files: Sequence[tuple[str, bytes]], principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Load the files of one table in place of what was loaded.

    Args:
        kind: As domain/tables.py has it; `include/NAME` for a list.
        files: Name and octets of each.

    Raises:
        Rejected: access_denied; bad_request: no such kind, or every problem with its file and line.
        LedgerUnavailable, SecretsUnavailable: Loading again is safe.
    """
    return load_tables({kind: files}, principal, deps)[0]


def load_tables(
    given: Mapping[str, Sequence[tuple[str, bytes]]], principal: Principal, deps: AdminDeps
) -> list[dict[str, Any]]:
    """
    Load several tables at one instant; what one of them lacks refuses all.

    Args:
        given: The files of each kind, see `load_table`; at most AT_ONCE.

    Raises:
        Rejected, LedgerUnavailable: As `load_table`.
    """
    for kind in given:
        _check(kind, principal)
    return swap_in(read_tables(given, deps), principal, deps)


def read_tables(
    given: Mapping[str, Sequence[tuple[str, bytes]]],
    deps: AdminDeps,
    *,
    lists: Collection[str] = (),
    credentials: Collection[str] = (),
) -> dict[str, Entries]:
    """
    Read and check the files of several tables.

    Args:
        lists: Full kinds of lists that will be loaded before these tables are.
        credentials: Names of credentials of routes that will be there by then.

    Raises:
        Rejected: bad_request: every problem with its file and line.
        LedgerUnavailable, SecretsUnavailable
    """
    settings = deps.settings
    local_domains = settings.local_domains or (settings.hostname,)
    try:
        tables = {
            kind: parse_table(
                kind,
                files,
                local_domains,
                settings.max_expansion_count,
                allowed_targets(settings),
                lambda name: name in credentials or route_credentials.exists(name, deps),
            )
            for kind, files in given.items()
        }
    except BadTable as exc:
        raise Rejected(BAD_REQUEST, f"nothing was loaded: {exc}") from exc
    there = {*deps.tables.loaded(), *tables, *lists}
    missing = [
        f"':include:{name}' of {key} is not loaded"
        for entries in tables.values()
        for name, key in includes_of(entries).items()
        if INCLUDE + name not in there
    ]
    if missing:
        raise Rejected(BAD_REQUEST, f"nothing was loaded: {shown('; '.join(missing), 1000)}: load that list first")
    return tables


def swap_in(tables: Mapping[str, Mapping[str, str]], principal: Principal, deps: AdminDeps) -> list[dict[str, Any]]:
    """Load tables that `read_tables` gave, at one instant. Raises LedgerUnavailable."""
    told = []
    for kind, info in deps.tables.replace_all(tables, deps.clock()).items():
        deps.event_log.emit("TableLoaded", {"kind": kind, "entries": info.entries, "principal": principal.access_key})
        fields = {"kind": kind, "entries": info.entries, "generation": info.generation}
        told.append({**fields, "loaded_at": info.loaded_at})
    return told


def remove_table(kind: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Unload a table.

    Raises:
        Rejected: access_denied, not_found; bad_request: the aliases include the list.
        LedgerUnavailable
    """
    _check(kind, principal)
    if kind.startswith(INCLUDE):
        name = kind.removeprefix(INCLUDE)
        for other in deps.tables.loaded():
            if other != kind and (other == "aliases" or other.startswith(INCLUDE)):
                for page in deps.tables.pages(other):
                    if name in includes_of(page):
                        raise Rejected(BAD_REQUEST, f"{shown(other)} includes {shown(name)}")
    if not deps.tables.remove(kind):
        raise Rejected(NOT_FOUND, f"no table {shown(kind)} is loaded")
    deps.event_log.emit("TableRemoved", {"kind": kind, "principal": principal.access_key})


def list_tables(principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """Say what is loaded. Raises Rejected, LedgerUnavailable."""
    _check("aliases", principal)
    loaded = deps.tables.loaded()
    return {
        "tables": [
            {"kind": kind, "entries": info.entries, "generation": info.generation, "loaded_at": info.loaded_at}
            for kind, info in sorted(loaded.items())
            if kind != HOLDS
        ]
    }


def show_table(kind: str, key: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Show one entry, or with key "" the first SHOWN_ENTRIES by key.

    Raises:
        Rejected: access_denied, not_found, bad_request.
        LedgerUnavailable
    """
    _check(kind, principal)
    info = deps.tables.loaded().get(kind)
    if info is None:
        raise Rejected(NOT_FOUND, f"no table {shown(kind)} is loaded")
    if key:
        entries = deps.tables.lookup(kind, [key.lower()])
        if not entries:
            raise Rejected(NOT_FOUND, f"{shown(kind)} has no {shown(key)}")
    else:
        entries = {}
        for page in deps.tables.pages(kind):
            entries |= page
            if kind.startswith(INCLUDE) and len(entries) >= SHOWN_ENTRIES:
                break
    told = [{"key": name, "value": entries[name].split("\n")} for name in sorted(entries)[:SHOWN_ENTRIES]]
    return {
        "kind": kind,
        "generation": info.generation,
        "count": info.entries,
        "loaded_at": info.loaded_at,
        "entries": told,
    }


def allowed_targets(settings: AdminSettings) -> AllowedTargets:
    """Give what the operator lets aliases name."""
    return AllowedTargets(settings.alias_target_arns, settings.webhook_hosts, settings.webhook_private_hosts)


def kind_of(kind: str, name: str) -> str:
    """
    Give a table's full kind from what a request names.

    Raises:
        Rejected: bad_request.
    """
    if kind != "include":
        if name:
            raise Rejected(BAD_REQUEST, "only an include has a name")
        return kind
    try:
        return INCLUDE + include_name(name)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, shown(str(exc), 300)) from exc


def full_kind(kind: str) -> str:
    """
    Check a table's full kind.

    Raises:
        Rejected: bad_request: there is none, or no list can have the name.
    """
    if kind.startswith(INCLUDE):
        if kind_of("include", kind.removeprefix(INCLUDE)) != kind:
            raise Rejected(BAD_REQUEST, f"no name of a list: {shown(kind)}")
    elif kind not in KINDS:
        raise _no_kind(kind)
    return kind


def _check(kind: str, principal: Principal) -> None:
    require_operator(principal, "tables are")
    if kind not in KINDS and not kind.startswith(INCLUDE):
        raise _no_kind(kind)


def _no_kind(kind: str) -> Rejected:
    return Rejected(BAD_REQUEST, f"no kind of table {shown(kind)}; there are {', '.join(KINDS)} and include")
