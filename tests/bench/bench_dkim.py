"""
What signing costs, beside dkimpy doing the same: two signatures, relaxed/relaxed, the same fields.

Run: `PYTHONPATH=layers/paravion/python:. python tests/bench/bench_dkim.py`. Prints medians and ratios; ratios hold on
any machine, times do not. Ours splits the header, hashes the body once and signs with loaded keys, as `validate`
does; dkimpy gets the whole message and the key's text at each call, for that is its interface.
"""

from __future__ import annotations

import base64
from functools import partial

import dkim as dkimpy
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from paravion.adapters.dkim_keygen import new_private_key
from paravion.domain import dkim
from paravion.domain.headers import split_header
from tests.bench.bench_message import HEADER, LINE, NOW, median_us

PRIVATE = {algorithm: new_private_key(algorithm) for algorithm in dkim.ALGORITHMS}
KEYS = [dkim.load_key("example.org", f"s{n}", a, PRIVATE[a]) for n, a in enumerate(dkim.ALGORITHMS)]
PEM = dkim.load_private(dkim.RSA, PRIVATE[dkim.RSA]).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)
SEED = base64.b64encode(PRIVATE[dkim.ED25519])


def ours(header: bytes, body: bytes, keys: list[dkim.SigningKey]) -> bytes:
    """Give the signatures."""
    return dkim.sign(split_header(header), dkim.body_hash(body), keys, now=NOW)


def floor(content: bytes) -> bytes:
    """Give dkimpy's."""
    rsa = dkimpy.sign(content, b"s0", b"example.org", PEM, canonicalize=(b"relaxed", b"relaxed"))
    ed25519 = dkimpy.sign(
        content,
        b"s1",
        b"example.org",
        SEED,
        canonicalize=(b"relaxed", b"relaxed"),
        signature_algorithm=b"ed25519-sha256",
    )
    return rsa + ed25519  # type: ignore[no-any-return]


def main() -> None:
    """Print the table."""
    print(f"{'content':>9} {'ours µs':>10} {'body hash µs':>13} {'dkimpy µs':>12} {'dkimpy/ours':>12}")
    for label, octets in (("1 KB", 1 << 10), ("10 KB", 10 << 10), ("1 MB", 1 << 20), ("10 MB", 10 << 20)):
        body = LINE * (octets // len(LINE))
        mine = median_us(partial(ours, HEADER, body, KEYS))
        hashing = median_us(partial(dkim.body_hash, body))
        theirs = median_us(partial(floor, HEADER + b"\r\n" + body))
        print(f"{label:>9} {mine:>10.1f} {hashing:>13.1f} {theirs:>12.1f} {theirs / mine:>12.1f}")


if __name__ == "__main__":
    main()
