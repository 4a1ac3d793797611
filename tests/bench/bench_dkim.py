"""
What signing costs, beside dkimpy doing the same: two signatures, relaxed/relaxed, the same fields.

Run: `PYTHONPATH=layers/paravion/python:. python tests/bench/bench_dkim.py`. Prints medians and ratios; ratios hold on
any machine, times do not. Ours splits the header, hashes the body once and signs with loaded keys, as `validate`
does; dkimpy gets the whole message and the key's text at each call, for that is its interface.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from paravion.domain import dkim
from paravion.domain.headers import split_header
from tests.bench.bench_message import HEADER, LINE, NOW, median_us
from tests.support.signing import KEYS, dkimpy_signatures

if TYPE_CHECKING:
    from collections.abc import Sequence


def ours(header: bytes, body: bytes, keys: Sequence[dkim.SigningKey]) -> bytes:
    """Give the signatures."""
    return dkim.sign(split_header(header), dkim.body_hash(body), keys, now=NOW)


def main() -> None:
    """Print the table."""
    print(f"{'content':>9} {'ours µs':>10} {'body hash µs':>13} {'dkimpy µs':>12} {'dkimpy/ours':>12}")
    for label, octets in (("1 KB", 1 << 10), ("10 KB", 10 << 10), ("1 MB", 1 << 20), ("10 MB", 10 << 20)):
        body = LINE * (octets // len(LINE))
        mine = median_us(partial(ours, HEADER, body, KEYS))
        hashing = median_us(partial(dkim.body_hash, body))
        theirs = median_us(partial(dkimpy_signatures, HEADER + b"\r\n" + body))
        print(f"{label:>9} {mine:>10.1f} {hashing:>13.1f} {theirs:>12.1f} {theirs / mine:>12.1f}")


if __name__ == "__main__":
    main()
