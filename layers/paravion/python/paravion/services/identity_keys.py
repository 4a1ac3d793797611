"""
The DKIM keys of an identity: made with it, rotated on demand, gone with it.

Keys sign once their records are there: a new generation is `next` until both records are seen in the DNS, which is
looked at whenever somebody asks for the identity; where no proof of identities is asked for (`identity_check` is not
`verified`) the first generation is active at once. domain/dkim_keys.py has the states.

Two rotations at the same instant: the later write holds, and whoever asks for the identity sees which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paravion.domain import dkim_keys
from paravion.domain.dkim import ALGORITHMS
from paravion.domain.dkim_keys import ACTIVE, KEEP_S, NEXT, RETIRED
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.errors import Misconfigured
from paravion.services.signing import secret_name

if TYPE_CHECKING:
    from paravion.domain.dkim_keys import Generation, Ring
    from paravion.services.admin import AdminDeps


@dataclass(frozen=True, slots=True)
class Keys:
    """
    An identity's keys as they stand.

    Attributes:
        published: Names of generations whose records were both seen in the DNS just now.
    """

    domain: str
    ring: Ring
    published: frozenset[str] = frozenset()

    @property
    def status(self) -> str:
        """`active` (mail is signed), `pending` (made, but their records were not seen yet) or `none`."""
        if dkim_keys.in_state(self.ring, ACTIVE):
            return "active"
        return "pending" if self.ring else "none"


def make(domain: str, deps: AdminDeps) -> Keys:
    """
    Give a domain keys, if it has none.

    Raises:
        SecretsUnavailable, Misconfigured
    """
    ring = _read(domain, deps)
    if dkim_keys.in_state(ring, ACTIVE) or dkim_keys.in_state(ring, NEXT):
        return Keys(domain, ring)
    ring = dkim_keys.with_next(ring, _new_pairs(deps), deps.clock())
    if deps.settings.identity_check != "verified":
        ring = dkim_keys.activated(ring, deps.clock())
    if not deps.secrets.put(secret_name(domain), dkim_keys.encode(ring), new=True):
        # Somebody was faster; or only retired ones are left, which can't happen by our own doing.
        return Keys(domain, _read(domain, deps))
    deps.event_log.emit("DkimKeysMade", {"identity": domain})
    return Keys(domain, ring)


def look(domain: str, deps: AdminDeps, *, in_dns: bool = True) -> Keys:
    """
    Tell a domain's keys, and activate the next generation if its records are there.

    Args:
        in_dns: Look the records up: up to four look-ups.

    Raises:
        SecretsUnavailable, Misconfigured
    """
    ring = _read(domain, deps)
    if not in_dns:
        return Keys(domain, ring)
    published = frozenset(g.name for g in ring if g.state != RETIRED and _is_published(domain, g, deps))
    following = dkim_keys.in_state(ring, NEXT)
    if following and following.name in published:
        ring = _activate(domain, ring, deps)
    return Keys(domain, ring, published)


def rotate(domain: str, deps: AdminDeps, *, force: bool = False) -> Keys:
    """
    Take the next step of a rotation.

    Without a next generation: make one. With one: activate it if its records are seen; with `force`, in any case.

    Raises:
        Rejected: bad_request: `force` without a next generation.
        SecretsUnavailable, Misconfigured
    """
    ring = _read(domain, deps)
    if dkim_keys.in_state(ring, NEXT):
        if force:
            ring = _activate(domain, ring, deps)
        return look(domain, deps)
    if force:
        raise Rejected(BAD_REQUEST, f"{domain} has no next keys to activate: rotate without force makes them")
    ring = dkim_keys.with_next(ring, _new_pairs(deps), deps.clock())
    deps.secrets.put(secret_name(domain), dkim_keys.encode(ring))
    deps.event_log.emit("DkimKeysMade", {"identity": domain})
    return Keys(domain, ring)


def bring(domain: str, selector: str, private: bytes, deps: AdminDeps) -> Keys:
    """
    Take a key that the domain's owner brought (PKCS#8 DER, RSA); it signs once its record is seen.

    Raises:
        SecretsUnavailable, Misconfigured
    """
    ring = dkim_keys.with_brought(_read(domain, deps), selector, private, deps.clock())
    deps.secrets.put(secret_name(domain), dkim_keys.encode(ring))
    deps.event_log.emit("DkimKeysMade", {"identity": domain})
    if deps.settings.identity_check != "verified":
        ring = _activate(domain, ring, deps)
        return Keys(domain, ring)
    return look(domain, deps)


def bring_back(domain: str, deps: AdminDeps) -> Keys:
    """
    Go back to keys of our own: a new generation, unless ours sign or wait already.

    Raises:
        SecretsUnavailable, Misconfigured
    """
    ring = _read(domain, deps)
    ours = [g for g in ring if g.state != RETIRED and not g.own_selector]
    if not ours:
        ring = tuple(g for g in ring if g.state != NEXT)
        ring = dkim_keys.with_next(ring, _new_pairs(deps), deps.clock())
        deps.secrets.put(secret_name(domain), dkim_keys.encode(ring))
        deps.event_log.emit("DkimKeysMade", {"identity": domain})
    return look(domain, deps)


def delete(domain: str, deps: AdminDeps) -> None:
    """Remove a domain's keys. Raises SecretsUnavailable."""
    deps.secrets.delete(secret_name(domain))


def view(keys: Keys) -> dict[str, Any]:
    """Give what the native API tells: never a private key."""
    return {
        "status": keys.status,
        "keys": [
            _key_view(keys, generation, algorithm, dkim_keys.records(keys.domain, generation))
            for generation in keys.ring
            for algorithm in generation.algorithms
        ],
    }


def _key_view(
    keys: Keys, generation: Generation, algorithm: str, records: dict[str, dkim_keys.Record]
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "selector": generation.selector(algorithm),
        "algorithm": algorithm,
        "state": generation.state,
        "created_at": generation.created_at,
    }
    if generation.state == RETIRED:
        # Its record may go then.
        shown["expires_at"] = generation.ended_at + KEEP_S
        shown["record"] = {"type": "TXT", "name": dkim_keys.record_name(keys.domain, generation, algorithm)}
    elif algorithm in records:
        record = records[algorithm]
        shown["record"] = {"type": "TXT", "name": record.name, "value": record.value}
        shown["published"] = generation.name in keys.published
    return shown


def _is_published(domain: str, generation: Generation, deps: AdminDeps) -> bool:
    return all(
        dkim_keys.is_published(deps.resolver_txt(record.name), record)
        for record in dkim_keys.records(domain, generation).values()
    )


def _activate(domain: str, ring: Ring, deps: AdminDeps) -> Ring:
    ring = dkim_keys.activated(ring, deps.clock())
    deps.secrets.put(secret_name(domain), dkim_keys.encode(ring))
    deps.event_log.emit("DkimKeysActivated", {"identity": domain})
    return ring


def _new_pairs(deps: AdminDeps) -> dict[str, bytes]:
    return {algorithm: deps.new_private_key(algorithm) for algorithm in ALGORITHMS}


def _read(domain: str, deps: AdminDeps) -> Ring:
    try:
        return dkim_keys.decode(deps.secrets.get(secret_name(domain), fresh=True))
    except ValueError as exc:
        raise Misconfigured([f"secret {secret_name(domain)}: {exc}"]) from exc
