"""One key pair of each algorithm for all tests, and the DNS that publishes it: making RSA keys is slow."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import dkim as dkimpy

from paravion.adapters.dkim_keygen import new_private_key
from paravion.domain import dkim_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.domain.dkim_keys import Ring

fixed_private_key = cache(new_private_key)


def active_ring(now: float = 1_600_000_000.0) -> Ring:
    """A ring with an active generation."""
    pairs = {algorithm: fixed_private_key(algorithm) for algorithm in ("rsa-sha256", "ed25519-sha256")}
    return dkim_keys.activated(dkim_keys.with_next((), pairs, now), now)


def txt_of(domain: str, ring: Ring) -> dict[str, str]:
    """Give the TXT records that the ring wants published, by name."""
    return {r.name: r.value for generation in ring for r in dkim_keys.records(domain, generation).values()}


def answering(records: dict[str, str]) -> Callable[..., bytes | None]:
    """Give a dnsfunc for dkimpy."""
    return lambda name, timeout=5: (records.get(name.decode().rstrip(".")) or "").encode() or None


def verified(content: bytes, records: dict[str, str]) -> list[bool]:
    """Let dkimpy verify each signature of a message; its domain and selector must be in the records."""
    count = sum(line.lower().startswith(b"dkim-signature:") for line in content.split(b"\r\n\r\n", 1)[0].split(b"\r\n"))
    return [dkimpy.DKIM(content).verify(n, dnsfunc=answering(records)) for n in range(count)]
