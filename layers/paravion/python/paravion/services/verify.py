"""
Say what would happen to mail for an address: its way through the tables, who gets it and by which hosts.

Nothing is sent and nothing is kept. It shows who is on lists, so only an operator may ask.

Next: domain/expand.py and services/routes.py, which mail itself goes by. sendmail's -bv, SMTP's EXPN and VRFY.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import parse_path, shown, split_address
from paravion.domain.envelope import Recipient
from paravion.domain.expand import Expansion, Rules
from paravion.domain.next_hop import NextHop, route
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import (
    ACCESS_DENIED,
    MISCONFIGURED,
    NO_RECIPIENTS,
    QUEUED,
    RECIPIENT_SYNTAX,
    SUPPRESSED,
    Rejected,
)
from paravion.domain.suppression import looked_up_as, not_sent
from paravion.domain.tables import access_keys
from paravion.domain.target import WEBHOOK, scheme_of, webhook_host, webhook_secret_name
from paravion.services.access import RULES, Members, NextHosts, held_by_rule, quarantine_of, verdict
from paravion.services.authenticate import require_operator
from paravion.services.expand import lookups
from paravion.services.routes import Chain, MxRoute, routes_for
from paravion.services.suppression import account_reasons, view
from paravion.services.tables import allowed_targets

if TYPE_CHECKING:
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal
    from paravion.services.routes import Route

SHOWN_RECIPIENTS: Final = 100
SHOWN_STEPS: Final = 500
LOOKED_UP: Final = 10
"""Domains whose hosts are looked up: an answer must come within the API's time."""


def verify_address(address: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give the address's way: `verdict` ("deliverable", "refused", "deferred" or "discarded") with its status,
    text and sysexits code, `steps`, and `recipients` with their routes and their entries of the suppression list.

    Args:
        address: As a caller would name it; a bare name gets the first local domain.

    Raises:
        Rejected: access_denied.
        LedgerUnavailable
    """
    require_operator(principal, "expanding addresses is")
    answer: dict[str, Any] = {"address": address, "steps": [], "recipients": [], "recipient_count": 0}
    try:
        return {**answer, **_verified(address, answer, deps)}
    except Rejected as rejected:
        status = rejected.status
        word = "deferred" if status.is_transient else "refused"
        text = f"{status.text}: {rejected.detail}" if rejected.detail else status.text
        return {**answer, **_verdict(word, status.enhanced, text, status.exit)}


def _verified(address: str, answer: dict[str, Any], deps: AdminDeps) -> dict[str, Any]:
    settings = deps.settings
    local_domains = settings.local_domains or (settings.hostname,)
    try:
        bare = address.removeprefix("\\")
        path = parse_path(bare if "@" in bare else f"{bare}@{local_domains[0]}", smtputf8=True)
    except ValueError as exc:
        raise Rejected(RECIPIENT_SYNTAX, shown(str(exc), 200)) from exc
    loaded = deps.tables.loaded()
    word = _access_word(path, deps) if not RULES.isdisjoint(loaded) else ""
    if word == "DISCARD":
        return _verdict("discarded", QUEUED.enhanced, "the access table discards it", QUEUED.exit)
    if word:
        answer["steps"].append({"depth": 0, "address": path, "step": f"held: {word}"})

    def trace(depth: int, where: str, what: str) -> None:
        if len(answer["steps"]) < SHOWN_STEPS:
            answer["steps"].append({"depth": depth, "address": where, "step": what})

    expansion = Expansion(
        lookups(deps.tables), Rules(local_domains, frozenset(loaded), settings.max_expansion_count), trace
    )
    found: list[dict[str, Any]] = []
    count = 0
    # The null reverse-path stays one through lists; any other stands for the sender here.
    members = Members(deps.tables, frozenset({path}))
    unaliased = frozenset({path} if bare != address else ())
    held = {path: word} if word else {}
    for some in expansion.run((Recipient(path),), "sender@sender.invalid", held, unaliased):
        page = members.judged(some)
        count += len(page)
        for recipient, group in page[: SHOWN_RECIPIENTS - len(found)]:
            owner = "" if group.reverse_path == "sender@sender.invalid" else group.reverse_path
            found.append({
                "forward_path": recipient.forward_path, "owner": owner, "list": group.delivered_to,
                "refusal": recipient.refusal, "target": recipient.target, "held": group.quarantine,
                "route": None, "suppressed": None,
            })  # fmt: skip
    if expansion.count == members.lost:
        return _of_nobody(expansion, members)
    told: dict[str, Any] = {"recipients": found, "recipient_count": count}
    return {**told, **_routed(found, count, deps), **_suppressed(found, count, deps)}


def _suppressed(found: list[dict[str, Any]], count: int, deps: AdminDeps) -> dict[str, Any]:
    """Say of each who is on the suppression list; the verdict of one recipient is the list's."""
    by_host = [not (item["refusal"] or item["target"]) for item in found]
    addresses = [
        looked_up_as(item["forward_path"]) if asked else "" for item, asked in zip(found, by_host, strict=True)
    ]
    entries = deps.suppression.find([address for address in addresses if address], deps.clock())
    reasons = account_reasons(deps)
    for item, address in zip(found, addresses, strict=True):
        if address in entries:
            item["suppressed"] = {**view(entries[address]), "in_force": entries[address].reason in reasons}
    only = entries.get(addresses[0]) if count == 1 and addresses else None
    if only is None or only.reason not in reasons:
        return {}
    outcome = not_sent(only)
    return _verdict("refused", outcome.status, outcome.text, SUPPRESSED.exit)


def _access_word(path: str, deps: AdminDeps) -> str:
    """DISCARD, the reason of a quarantine, or "". Raises Rejected for REJECT and ERROR:."""
    key, value = verdict("to:", access_keys(path), deps.tables)
    if value == "REJECT" or value.startswith("ERROR:"):
        raise Rejected(ACCESS_DENIED, f"access table: {shown(key)} {shown(value, 200)}")
    if value == "DISCARD":
        return value
    return quarantine_of(value) or held_by_rule("to:", [path], deps.tables).get(path, "")


def _of_nobody(expansion: Expansion, members: Members) -> dict[str, Any]:
    """Nobody is left to get it: refused, or all discarded."""
    refusals = [*expansion.refusals, *members.refusals]
    if members.discarded and not refusals:
        return _verdict("discarded", QUEUED.enhanced, "the access table discards everybody", QUEUED.exit)
    text = refusals[0].text if refusals else "nobody is behind it"
    raise Rejected(NO_RECIPIENTS, shown(text, 300))


def _routed(found: list[dict[str, Any]], count: int, deps: AdminDeps) -> dict[str, Any]:
    """Look the next hops up; the verdict of one recipient is its route's."""
    for item in found:
        if item["target"]:
            item["route"] = _shown_target(item["target"], deps)
    by_host = [item for item in found if not item["refusal"] and not item["target"]]
    domains = list(dict.fromkeys(split_address(item["forward_path"])[1] for item in by_host))
    settings = deps.settings
    smarthost = route(settings.relay, settings.relay_tls, settings.relay_credential)
    routes = routes_for(domains, deps.tables)
    hops: dict[str, NextHop | Outcome] = {}
    for domain in domains[:LOOKED_UP]:
        hops[domain] = _next_hop(routes.get(domain), deps) or smarthost or deps.next_hop(domain)
    next_hosts = NextHosts(deps.tables)
    hops = {domain: _admitted(hop, next_hosts) for domain, hop in hops.items()}
    for item in by_host:
        hop = hops.get(split_address(item["forward_path"])[1])
        if hop is not None:
            item["route"] = _shown_hop(hop)
    if count == 1 and found and found[0]["target"] and found[0]["route"]["text"]:
        return _verdict("deferred", MISCONFIGURED.enhanced, found[0]["route"]["text"], 75)
    only = hops.get(domains[0]) if count == 1 and domains else None
    if isinstance(only, Outcome) and only.result is not Result.DELIVERED:
        word = "refused" if only.result is Result.FAILED else "deferred"
        return _verdict(word, only.status, only.text, 68 if word == "refused" else 75)
    return _verdict("deliverable", QUEUED.enhanced, "", QUEUED.exit)


def _next_hop(named: Route | None, deps: AdminDeps) -> NextHop | Outcome | None:
    if isinstance(named, Chain):
        return named.resolved([_next_hop(hop, deps) for hop in named.hops])  # type: ignore[misc]  # none is None
    if isinstance(named, MxRoute):
        return named.resolved(deps.next_hop(named.domain))
    return named


def _admitted(hop: NextHop | Outcome, next_hosts: NextHosts) -> NextHop | Outcome:
    """Leave out the hosts that the access table keeps us from; addresses that are not known yet are not asked for."""
    if isinstance(hop, Outcome):
        return hop
    said = [(host, next_hosts.judged(host.name, host.addresses)) for host in hop.hosts]
    hosts = tuple(host for host, word in said if not isinstance(word, Outcome))
    return replace(hop, hosts=hosts) if hosts else next(word for _, word in said if isinstance(word, Outcome))


def _shown_hop(hop: NextHop | Outcome) -> dict[str, Any]:
    if isinstance(hop, Outcome):
        return {"next_hop": "", "hosts": [], "status": hop.status, "text": hop.text}
    hosts = [f"{host.name}:{host.port}" for host in hop.hosts]
    shown: dict[str, Any] = {"next_hop": hop.name, "hosts": hosts, "status": "", "text": ""}
    if hop.tls or hop.credential:
        shown |= {"tls": hop.tls, "credential": hop.credential}
    if hop.behind:
        shown["behind"] = [_shown_hop(each) for each in hop.behind]
    return shown


def _shown_target(target: str, deps: AdminDeps) -> dict[str, Any]:
    """What would happen at a target, as far as the settings and the secret store know it: nothing is asked there."""
    problem = allowed_targets(deps.settings).problem(target)
    if (
        not problem
        and scheme_of(target) == WEBHOOK
        and deps.secrets.get(webhook_secret_name(webhook_host(target))) is None
    ):
        problem = f"the host has no secret to sign with: paravion webhook secret {webhook_host(target)}"
    return {"next_hop": "", "hosts": [], "status": MISCONFIGURED.enhanced if problem else "", "text": problem}


def _verdict(word: str, status: str, text: str, exit_code: int) -> dict[str, Any]:
    return {"verdict": word, "status": status, "text": text, "exit": exit_code}
