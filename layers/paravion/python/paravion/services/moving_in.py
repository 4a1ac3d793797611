"""
Import an export, a page at a time: each page is checked as a whole, and then written or, to check only, not.

    what is here already     without `replace`                with it
    -----------------------  -------------------------------  ------------------------------------------
    nothing of that name     made                             made
    the same                 left alone                       left alone
    something else           the page is refused, by name     replaced; but never the importer's own credential

Whoever imports checks all pages before he writes the first one (cli/moving.py), so that what can be known to be
wrong stops everything. What a crash then leaves half-done is done by importing again. Only an operator's credential
may. Settings can't be set from here: those that differ are told.

Next: domain/export_file.py has the records; services/moving_out.py made them.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import account, configuration_set, dkim_keys, sasl, unsubscribe
from paravion.domain import identity as identity_settings
from paravion.domain.address import shown
from paravion.domain.contacts import LISTS_KIND
from paravion.domain.credential import as_fields, read_credential
from paravion.domain.dkim import load_key
from paravion.domain.export_file import KINDS
from paravion.domain.next_hop import credential_name
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.domain.suppression import Suppressed, normal_form, read_reasons
from paravion.domain.webhook import MAX_SECRETS, encode_secrets
from paravion.errors import ClaimLost, Misconfigured, RecordTooLarge
from paravion.ports import Identity
from paravion.services import admin, hosts, identity_keys, route_credentials, tables, unsubscribe_keys
from paravion.services.authenticate import require_operator
from paravion.services.moving_out import PUBLIC_SECRET_KEYS, credential_fields
from paravion.services.signing import secret_name
from paravion.settings import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from paravion.domain.export_file import Record
    from paravion.domain.suppression import Reason
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

MADE: Final = "made"
REPLACED: Final = "replaced"
UNCHANGED: Final = "unchanged"

_PROBLEMS: Final = 20
_TEXT: Final = 2000
_MOST: Final = 1_000_000
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{1,128}")
_ACCESS_KEY: Final = re.compile(r"[A-Za-z0-9_-]{4,128}")
_WEBHOOK: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_RECORD_NAME: Final = 512
_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{0,64}", re.ASCII)
_UNSUBSCRIBE_KEYS: Final = 40
"""What fits a standard SSM parameter."""

_SOURCES: Final = frozenset({"bounce", "complaint", "operator"})


@dataclass(frozen=True, slots=True)
class Page:
    """
    What is to be imported.

    Attributes:
        records: Each with its line in the file; all records of a table together.
        lists: Names of tables that come with other pages, before this one is written.
        route_credentials: Names that come, likewise.
    """

    records: Sequence[tuple[int, Record]]
    lists: Collection[str] = ()
    route_credentials: Collection[str] = ()


@dataclass(slots=True)
class _Plan:
    """What the page comes to."""

    deps: AdminDeps
    principal: Principal
    page: Page
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    writes: list[Callable[[], None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    settings: list[dict[str, str]] = field(default_factory=list)
    new_keys: list[str] = field(default_factory=list)

    def refuse(self, line: int, kind: str, why: Exception) -> None:
        """Note that a record can't be taken."""
        text = why.detail if isinstance(why, Rejected) else str(why)
        self.problems.append(f"line {line}: {kind}: {shown(text, 300)}")

    def add(self, line: int, kind: str, name: str, here: object, wanted: object, write: Callable[[], None]) -> None:
        """Note what becomes of one record; `here` is None where there is nothing."""
        state = MADE if here is None else UNCHANGED if here == wanted else REPLACED
        self.counts.setdefault(kind, Counter())[state] += 1
        if state == REPLACED:
            self.conflicts.append(f"line {line}: {kind} {shown(name, 200)} is here already and differs")
        if state != UNCHANGED:
            self.writes.append(write)


def import_page(page: Page, principal: Principal, deps: AdminDeps, *, check: bool, replace: bool) -> dict[str, Any]:
    """
    Import records, or with `check` only say what would become of them.

    Returns:
        `counts`: of each kind how many are made, replaced, unchanged; `settings`: those that differ here;
        `new_keys`: domains whose keys are made anew, so that other records must be published.

    Raises:
        Rejected: access_denied; bad_request: naming each line that is wrong or, without `replace`, in conflict.
        Unavailable: Some or all may have been written; importing again is safe.
    """
    require_operator(principal, "imports are")
    plan = _planned(page, principal, deps)
    problems = plan.problems or ([] if replace else plan.conflicts)
    if problems:
        more = f"; and {len(problems) - _PROBLEMS} more" if len(problems) > _PROBLEMS else ""
        raise Rejected(BAD_REQUEST, "; ".join(problems[:_PROBLEMS]) + more)
    if not check:
        for write in plan.writes:
            write()
        if plan.writes:
            counts = {kind: dict(counts) for kind, counts in plan.counts.items()}
            deps.event_log.emit("Imported", {"counts": counts, "principal": principal.access_key})
    return {
        "counts": {kind: dict(counts) for kind, counts in plan.counts.items()},
        "settings": plan.settings,
        "new_keys": plan.new_keys,
    }


def _planned(page: Page, principal: Principal, deps: AdminDeps) -> _Plan:
    """Check every record, against the others and what is here."""
    plan = _Plan(deps, principal, page)
    by_kind: dict[str, list[tuple[int, Record]]] = {}
    for line, record in page.records:
        by_kind.setdefault(str(record.get("kind")), []).append((line, record))
    for kind, records in by_kind.items():
        if kind not in KINDS:
            plan.problems.append(f"line {records[0][0]}: no kind of record: {shown(kind)}")
        elif kind in _TOGETHER:
            _TOGETHER[kind](plan, records)
        else:
            for line, record in records:
                try:
                    _PLANNERS[kind](plan, line, _fields(record))
                except (ValueError, TypeError, Rejected) as exc:
                    plan.refuse(line, kind, exc)
    return plan


def _fields(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "kind"}


def _known(fields: Mapping[str, Any], needed: Iterable[str], optional: Iterable[str] = ()) -> None:
    needed = set(needed)
    missing, unknown = needed - set(fields), set(fields) - needed - set(optional)
    if missing or unknown:
        raise ValueError("; ".join([
            *(f"{name} is missing" for name in sorted(missing)),
            *(f"{shown(name)} is not known" for name in sorted(unknown)),
        ]))  # fmt: skip


def _text(fields: Mapping[str, Any], name: str, default: str = "") -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > _TEXT:
        raise ValueError(f"{name} must be text of at most {_TEXT} characters")
    return value


def _number(fields: Mapping[str, Any], name: str, most: float = math.inf) -> float:
    value = fields.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or math.isinf(value):
        raise ValueError(f"{name} must be a number of 0 or more")
    return float(value)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")  # noqa: TRY004 (one kind of error)
    return value


def _setting(plan: _Plan, line: int, fields: Record) -> None:  # noqa: ARG001 (a planner)
    _known(fields, ("name", "value"))
    name, value = _text(fields, "name"), _text(fields, "value")
    if name not in BY_NAME:
        raise ValueError(f"no setting {shown(name)}")
    setting = BY_NAME[name]
    try:
        wanted = setting.parse(value)
    except ValueError as exc:
        raise ValueError(f"{name}: {exc}") from exc
    here = plan.deps.settings_given.get(name, setting.default or "")
    if setting.parse(here) != wanted:
        plan.settings.append({"name": name, "value": value, "here": here})


def _route_credential(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("name", "user"), ("password", "token", "mechanism"))
    name = credential_name(_text(fields, "name"))
    words = {word: fields.get(word, "") for word in ("user", "password", "token", "mechanism")}
    made = sasl.credential(**words)
    deps, key = plan.deps, f"{route_credentials.UNDER}/{name}"
    plan.add(
        line, "route_credential", name, _read(deps, key, sasl.parse_credential), made,
        lambda: void(deps.secrets.put(key, made.encode())),
    )  # fmt: skip


def _webhook_secret(plan: _Plan, line: int, fields: Record) -> None:
    from paravion.domain.webhook import decode_secrets

    _known(fields, ("name", "secrets"))
    name, secrets = _text(fields, "name"), fields["secrets"]
    if not _WEBHOOK.fullmatch(name):
        raise ValueError("name is no host")
    if not isinstance(secrets, list) or not 0 < len(secrets) <= MAX_SECRETS:
        raise ValueError(f"secrets must be a list of 1 to {MAX_SECRETS}")
    wanted = decode_secrets(encode_secrets(secrets))
    deps, key = plan.deps, f"webhooks/{name}"
    plan.add(
        line, "webhook_secret", name, _read(deps, key, decode_secrets), wanted,
        lambda: void(deps.secrets.put(key, encode_secrets(wanted))),
    )  # fmt: skip


def _unsubscribe_keys(plan: _Plan, line: int, fields: Record) -> None:
    """Add the keys to those that are here: links of either installation go on working, and nothing is replaced."""
    _known(fields, ("keys",))
    given = unsubscribe.read_keys(json.dumps(fields["keys"]))
    deps = plan.deps
    here = unsubscribe_keys.read(deps.secrets, fresh=True)
    by_name = {key.name: key for key in here}
    for key in given:
        if by_name.setdefault(key.name, key) != key:
            raise ValueError(f"key {shown(key.name)} is here already and differs")
    ring = tuple(by_name.values())
    if len(ring) > _UNSUBSCRIBE_KEYS:
        raise ValueError(f"there would be {len(ring)} keys; at most {_UNSUBSCRIBE_KEYS} are kept")
    plan.add(
        line, "unsubscribe_keys", f"{len(given)} keys", ring if ring == here else None, ring,
        lambda: void(deps.secrets.put(unsubscribe.SECRET, unsubscribe.write_keys(ring))),
    )  # fmt: skip


def _credential(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("access_key", "secret_key", "enabled", "operator"), ("tenant", "scope", "created_at"))
    name, secret_key = _text(fields, "access_key"), _text(fields, "secret_key")
    if not _ACCESS_KEY.fullmatch(name) or not secret_key:
        raise ValueError("no access key or secret key")
    if secret_key in PUBLIC_SECRET_KEYS:
        raise ValueError(f"{name} has local mode's own secret key, which everybody knows")
    wanted = as_fields(read_credential(json.dumps({n: value for n, value in fields.items() if n != "access_key"})))
    deps, key = plan.deps, f"credentials/{name}"
    here = _read(deps, key, credential_fields)
    if name == plan.principal.access_key and here != wanted:
        raise ValueError(f"{name} is the credential that this import is done with, and differs here")
    plan.add(
        line, "credential", name, here, wanted, lambda: void(deps.secrets.put(key, json.dumps(wanted)))
    )  # fmt: skip


def _read(deps: AdminDeps, key: str, parse: Callable[[str], Any]) -> Any:
    """Give what the store has: None for nothing, "" for what can't be read (it is replaced then, or refused)."""
    text = deps.secrets.get(key, fresh=True)
    try:
        return None if text is None else parse(text)
    except ValueError:
        return ""


def _identity(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("name", "verified", "token", "created_at"), ("dkim_records", "dkim_keys", "tenant"))
    name, token = _text(fields, "name"), _text(fields, "token")
    if admin.identity_name(name) != name:
        raise ValueError(f"{shown(name)} is not in normal form")
    if not _TOKEN.fullmatch(token):
        raise ValueError("token has 1 to 128 letters and digits")
    tenant = _tenant(fields)
    wanted = Identity(name, _flag(fields, "verified"), token, _number(fields, "created_at"), tenant)
    deps = plan.deps
    is_domain = not admin.is_address(name)
    if "dkim_keys" in fields and not is_domain:
        raise ValueError(f"{name} is an address: its domain has the keys")
    given = _ring(name, fields["dkim_keys"]) if "dkim_keys" in fields else ()
    try:
        kept = dkim_keys.decode(deps.secrets.get(secret_name(name), fresh=True)) if is_domain else ()
    except ValueError as exc:
        raise Misconfigured([f"secret {secret_name(name)}: {exc}"]) from exc
    here = deps.identities.get(name)
    if here is not None and here.token == token and here.verified:
        # Proved since, which an older export does not undo.
        wanted = Identity(name, True, token, wanted.created_at, tenant)
    if is_domain and not given and not kept:
        plan.new_keys.append(name)

    def write() -> None:
        # Keys first, as when one is made by hand: what a crash leaves is found by the repetition.
        if given:
            deps.secrets.put(secret_name(name), dkim_keys.encode(given))
        elif is_domain:
            identity_keys.make(name, deps)
        deps.identities.put(wanted)

    # Keys without their identity are no conflict: a crash left them, or they were never used.
    there = None if here is None else (here, kept if given else ())
    plan.add(line, "identity", name, there, (wanted, given), write)


def _tenant(fields: Mapping[str, Any]) -> str:
    tenant = _text(fields, "tenant")
    if not _TENANT.fullmatch(tenant):
        raise ValueError("tenant must be up to 64 letters, digits, '-' and '_'")
    return tenant


def _ring(domain: str, generations: object) -> dkim_keys.Ring:
    ring = dkim_keys.decode(json.dumps({"generations": generations}))
    for generation in ring:
        for algorithm, private in generation.private.items():
            try:
                load_key(domain, generation.selector(algorithm), algorithm, private)
            except ValueError:
                raise ValueError(f"no {algorithm} key in {generation.name}") from None
    return ring


_OF_RECORD: Final = re.compile(r"(@[A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64})?")
_DECODERS: Final[dict[str, Callable[[str, Record], object]]] = {
    "configuration-set": configuration_set.decode,
    "identity-settings": lambda _, value: identity_settings.decode(value),
    "account": lambda _, value: account.decode(value),
}


def _record(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("of", "name", "value"))
    kind, name, value = _text(fields, "of"), _text(fields, "name"), fields["value"]
    if not _OF_RECORD.fullmatch(kind) or not 1 <= len(name) <= _RECORD_NAME or not isinstance(value, dict):
        raise ValueError("no record")
    decode = _DECODERS.get(kind.rpartition("/")[2])
    if decode is not None:
        decode(name, value)
    deps = plan.deps
    here = deps.records.get(kind, name)

    def write() -> None:
        if kind.rpartition("/")[2] == LISTS_KIND:
            # As with a list that is made by hand; no others came, or these are there by now.
            unsubscribe_keys.ensure(deps.secrets, deps.new_token)
        try:
            deps.records.put(kind, name, value)
        except RecordTooLarge as exc:
            raise Rejected(BAD_REQUEST, f"line {line}: {kind} {shown(name, 200)} is too large") from exc

    plan.add(line, "record", f"{kind} {name}", here.value if here else None, value, write)


def _host_limit(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("name", "rate_per_minute", "concurrency"))
    name = hosts.host_name(_text(fields, "name"))
    rate, slots = _number(fields, "rate_per_minute", _MOST), _number(fields, "concurrency", _MOST)
    if slots != int(slots) or not (rate or slots):
        raise ValueError("rate_per_minute or concurrency must be above 0, and concurrency whole")
    state = plan.deps.hosts.get(name)
    here = (state.max_rate, state.max_slots) if state and (state.max_rate or state.max_slots) else None

    def write() -> None:
        try:
            hosts.limit_host(name, rate, int(slots), plan.principal, plan.deps)
        except ClaimLost as exc:
            raise Rejected(BAD_REQUEST, f"line {line}: {name} changes too fast: import again") from exc

    plan.add(line, "host_limit", name, here, (rate, int(slots)), write)


def _suppression_reasons(plan: _Plan, line: int, fields: Record) -> None:
    _known(fields, ("reasons",))
    reasons = fields["reasons"]
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ValueError("reasons must be a list of texts")
    wanted: tuple[Reason, ...] = read_reasons(reasons)
    here = plan.deps.suppression.reasons()
    plan.add(
        line, "suppression_reasons", ", ".join(wanted), here, wanted,
        lambda: plan.deps.suppression.set_reasons(wanted),
    )  # fmt: skip


def _plan_suppressed(plan: _Plan, records: Sequence[tuple[int, Record]]) -> None:
    """All of a page at once: a read for each hundred, and a write for each batch."""
    from paravion.services.suppression import reason_of

    found: dict[str, tuple[int, Suppressed]] = {}
    for line, record in records:
        fields = _fields(record)
        try:
            _known(fields, ("address", "reason", "updated_at", "source"), ("queue_id", "reply", "by", "expires_at"))
            address = _text(fields, "address")
            if normal_form(address) != address:
                raise ValueError(f"{shown(address)} is not in normal form")  # noqa: TRY301 (one place that tells)
            if _text(fields, "source") not in _SOURCES:
                raise ValueError("source must be bounce, complaint or operator")  # noqa: TRY301
            entry = Suppressed(
                address, reason_of(_text(fields, "reason")), _number(fields, "updated_at"), fields["source"],
                _text(fields, "queue_id"), _text(fields, "reply"), _text(fields, "by"),
                float(int(_number(fields, "expires_at"))),
            )  # fmt: skip
            if address in found:
                raise ValueError(f"{shown(address)} is on line {found[address][0]} already")  # noqa: TRY301
        except (ValueError, TypeError, Rejected) as exc:
            plan.refuse(line, "suppressed", exc)
        else:
            found[address] = (line, entry)
    now = plan.deps.clock()
    here = plan.deps.suppression.find(list(found), now)
    wanted: list[Suppressed] = []
    for address, (line, entry) in found.items():
        # What expired on the way is as good as there.
        there = entry if entry.is_expired(now) else here.get(address)
        if there is not None:
            # A deployed list keeps no fractions of these.
            there = replace(there, expires_at=float(int(there.expires_at)))
        plan.add(line, "suppressed", address, there, entry, partial(wanted.append, entry))
    plan.writes.append(lambda: plan.deps.suppression.put_all(wanted))


def _plan_tables(plan: _Plan, records: Sequence[tuple[int, Record]]) -> None:
    files: dict[str, list[tuple[str, bytes]]] = {}
    lines: dict[str, int] = {}
    for line, record in records:
        fields = _fields(record)
        try:
            _known(fields, ("table", "lines"))
            kind, texts = tables.full_kind(_text(fields, "table")), fields["lines"]
            if not isinstance(texts, list) or not all(isinstance(text, str) and "\n" not in text for text in texts):
                raise ValueError("lines must be a list of texts without line ends")  # noqa: TRY301
            octets = "\n".join(texts).encode()
        except (ValueError, TypeError, Rejected) as exc:
            plan.refuse(line, "table", exc)
            return
        lines.setdefault(kind, line)
        files.setdefault(kind, []).append((f"line {line}", octets))
    page, deps = plan.page, plan.deps
    try:
        read = tables.read_tables(files, deps, lists=page.lists, credentials=page.route_credentials)
    except Rejected as exc:
        plan.problems.append(exc.detail)
        return
    loaded = deps.tables.loaded()
    changed: dict[str, Mapping[str, str]] = {}
    for kind, entries in read.items():
        here = None
        if kind in loaded:
            same = loaded[kind].entries == len(entries) and _is_loaded(entries, deps.tables.pages(kind))
            here = entries if same else ()
        plan.add(
            lines[kind],
            "table",
            kind,
            here,
            entries,
            partial(changed.update, {kind: entries}),
        )
    plan.writes.append(lambda: void(changed and tables.swap_in(changed, plan.principal, deps)))


def _is_loaded(entries: Mapping[str, str], pages: Iterator[Mapping[str, str]]) -> bool:
    return all(entries.get(key) == value for page in pages for key, value in page.items())


def void(_: object) -> None:
    """Drop what a write gives."""


_PLANNERS: Final[dict[str, Callable[[_Plan, int, Record], None]]] = {
    "setting": _setting,
    "route_credential": _route_credential,
    "webhook_secret": _webhook_secret,
    "unsubscribe_keys": _unsubscribe_keys,
    "identity": _identity,
    "record": _record,
    "host_limit": _host_limit,
    "suppression_reasons": _suppression_reasons,
    "credential": _credential,
}
_TOGETHER: Final[dict[str, Callable[[_Plan, Sequence[tuple[int, Record]]], None]]] = {
    "table": _plan_tables,
    "suppressed": _plan_suppressed,
}
