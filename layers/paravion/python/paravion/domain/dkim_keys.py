"""
The key pairs of one signing domain, and their rotation.

A *generation* is one key pair of each algorithm, made together under selectors of its own, and moves on as one:

    state    signs  its records                            moves on
    -------  -----  -------------------------------------  -------------------------------------------------
    next     no     to be published                        to active, once both are seen in the DNS, or by force
    active   yes    published                              to retired, when another one becomes active
    retired  no     kept until `KEEP_S` after it ended:    out, at the first rotation after that
                    mail that it signed is on the road

At most one is next and at most one is active. A retired one keeps its names, not its private keys.

The ring of a domain is one secret, `dkim/<domain>`, written whole: no reader sees half a rotation. Its text stays
below the 4096 characters of SSM's standard parameters, with two generations of keys (a test counts).

Next: domain/dkim.py signs with the keys, services/signing.py finds them, services/identity_keys.py rotates them.
RFC: 6376 3.1 (selectors), 3.6.1 (records), 8301 3.2 (2048 bits), 8463 4.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.dkim import ALGORITHMS, ED25519, RSA, load_key, public_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paravion.domain.dkim import SigningKey

NEXT: Final = "next"
ACTIVE: Final = "active"
RETIRED: Final = "retired"

KEEP_S: Final = 14 * 86_400.0
"""Queues keep mail for days (queue_return_s, 5; the most that it can be is 14), and receivers verify on arrival."""

_SELECTOR_ENDS: Final = {RSA: "rsa", ED25519: "ed25519"}
_NAME: Final = re.compile(r"[a-z0-9]{1,40}")
_SELECTOR: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_STATES: Final = frozenset({NEXT, ACTIVE, RETIRED})


@dataclass(frozen=True, slots=True)
class Generation:
    """
    One key pair of each algorithm.

    Attributes:
        name: Begins its selectors.
        state: NEXT, ACTIVE or RETIRED.
        created_at, ended_at: Seconds since the epoch; ended_at is 0 until it is retired.
        private: Algorithm → private key as `dkim.load_key` takes it; empty once retired.
        own_selector: Of a pair that the domain's owner brought, which has an RSA key alone; "" for one of ours.
    """

    name: str
    state: str
    created_at: float
    private: Mapping[str, bytes]
    ended_at: float = 0.0
    own_selector: str = ""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What it has keys for, or had before it was retired."""
        return (RSA,) if self.own_selector else ALGORITHMS

    def selector(self, algorithm: str) -> str:
        """Give the selector of one of its keys."""
        if self.own_selector:
            return self.own_selector
        return f"{self.name}-{_SELECTOR_ENDS[algorithm]}"

    def __repr__(self) -> str:
        """Without the private keys: a log must not hold them."""
        return f"Generation({self.name!r}, {self.state!r})"


Ring = tuple[Generation, ...]
"""A domain's generations, oldest first."""


@dataclass(frozen=True, slots=True)
class Record:
    """A TXT record to be published."""

    name: str
    value: str


def in_state(ring: Ring, state: str) -> Generation | None:
    """Give the youngest generation in a state."""
    return next((generation for generation in reversed(ring) if generation.state == state), None)


def with_next(ring: Ring, private: Mapping[str, bytes], now: float) -> Ring:
    """
    Add a generation in the state next, named after its second; old retired ones go.

    Raises:
        ValueError: There is a next one already.
    """
    if in_state(ring, NEXT):
        raise ValueError("there is a next generation already")
    taken = {generation.name for generation in ring}
    at = now
    while (name := f"p{datetime.fromtimestamp(at, UTC):%Y%m%d%H%M%S}") in taken:
        at += 1
    kept = tuple(g for g in ring if g.state != RETIRED or now < g.ended_at + KEEP_S)
    return (*kept, Generation(name, NEXT, now, dict(private)))


def with_brought(ring: Ring, selector: str, private: bytes, now: float) -> Ring:
    """
    Make a key that the domain's owner brought the next generation, in place of one that waits.

    Args:
        private: PKCS#8 DER of an RSA key.
    """
    ring = with_next(tuple(g for g in ring if g.state != NEXT), {RSA: private}, now)
    return (*ring[:-1], replace(ring[-1], own_selector=selector))


def activated(ring: Ring, now: float) -> Ring:
    """
    Make the next generation the active one, and the active one a retired one.

    Raises:
        ValueError: There is no next one.
    """
    if in_state(ring, NEXT) is None:
        raise ValueError("there is no next generation")
    moved = {
        NEXT: lambda g: replace(g, state=ACTIVE),
        ACTIVE: lambda g: replace(g, state=RETIRED, private={}, ended_at=now),
    }
    return tuple(moved.get(generation.state, lambda g: g)(generation) for generation in ring)


def records(domain: str, generation: Generation) -> dict[str, Record]:
    """Give the TXT records of a generation's public keys by algorithm, {} for a retired one."""
    return {
        algorithm: Record(record_name(domain, generation, algorithm), public_record(algorithm, private))
        for algorithm, private in generation.private.items()
    }


def record_name(domain: str, generation: Generation, algorithm: str) -> str:
    """Give where the public half of a key lies."""
    return f"{generation.selector(algorithm)}._domainkey.{domain}"


def is_published(texts: Iterable[str], record: Record) -> bool:
    """Say whether one of the TXT strings at the record's name is it; white space and order of tags don't count."""
    expected = key_tags(record.value)
    return any(
        all(tags.get(name, default) == expected[name] for name, default in (("v", "DKIM1"), ("k", "rsa"), ("p", "")))
        for tags in map(key_tags, texts)
    )


def key_tags(text: str) -> dict[str, str]:
    """Read `tag=value;` pairs (RFC 6376 3.2), the white space within values dropped."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, equals, value in pairs if equals}


def signing_keys(domain: str, ring: Ring) -> tuple[SigningKey, ...]:
    """
    Load the active generation's keys, topmost signature first; () if none is active.

    Raises:
        ValueError: A key can't be read.
    """
    active = in_state(ring, ACTIVE)
    if active is None:
        return ()
    return tuple(
        load_key(domain, active.selector(algorithm), algorithm, active.private[algorithm])
        for algorithm in ALGORITHMS
        if algorithm in active.private
    )


def encode(ring: Ring) -> str:
    """Give the secret's text: JSON, private keys in base64."""
    generations: list[dict[str, Any]] = []
    for generation in ring:
        shown: dict[str, Any] = {
            "name": generation.name,
            "state": generation.state,
            "created_at": generation.created_at,
        }
        if generation.ended_at:
            shown["ended_at"] = generation.ended_at
        if generation.own_selector:
            shown["selector"] = generation.own_selector
        shown |= {name: base64.b64encode(octets).decode() for name, octets in generation.private.items()}
        generations.append(shown)
    return json.dumps({"generations": generations}, separators=(",", ":"))


def decode(text: str | None) -> Ring:
    """
    Read the secret's text; None is ().

    Raises:
        ValueError: It is no ring; says nothing of what is in it.
    """
    if text is None:
        return ()
    try:
        ring = tuple(_generation(fields) for fields in json.loads(text)["generations"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise ValueError("no DKIM keys in it") from None
    if sum(g.state == ACTIVE for g in ring) > 1 or sum(g.state == NEXT for g in ring) > 1:
        raise ValueError("two generations of DKIM keys are active or next")
    return ring


def _generation(fields: dict[str, Any]) -> Generation:
    name, state = fields["name"], fields["state"]
    if not _NAME.fullmatch(name) or state not in _STATES:
        raise ValueError
    private: dict[str, bytes] = {
        algorithm: base64.b64decode(fields[algorithm], validate=True) for algorithm in ALGORITHMS if algorithm in fields
    }
    if bool(private) == (state == RETIRED):
        raise ValueError
    selector = fields.get("selector", "")
    if not isinstance(selector, str) or (selector and not _SELECTOR.fullmatch(selector)):
        raise ValueError
    ended_at = float(fields.get("ended_at", 0.0))
    return Generation(name, state, float(fields["created_at"]), private, ended_at, selector)
