"""
Whether two domains are one owner's, as DMARC's relaxed alignment asks.

DMARC compares organisational domains, found by a public suffix list (RFC 7489) or by a walk through the DNS
(RFC 9989). Here a simpler rule that needs neither: the same domain, or one above the other, and never a top-level
domain. It errs on one side: siblings (`a.example.org`, `b.example.org`), which receivers find aligned, are not,
unless mail is signed by the domain above them.
"""

from __future__ import annotations


def is_aligned(domain: str, other: str) -> bool:
    """Say whether the domains (lower case, A-labels) are the same, or one lies below the other."""
    upper = min(domain, other, key=len)
    return "." in upper and (domain == other or domain.endswith(f".{upper}") or other.endswith(f".{upper}"))


def self_and_above(domain: str) -> list[str]:
    """Give the domain and those above it, nearest first, without the top-level one; [] for an address literal."""
    if domain.startswith("["):
        return []
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(max(1, len(labels) - 1))]
