"""
The PROXY protocol's header, in both versions: whom a load balancer speaks for. Pure; connection.py reads for it.

Its octets are read one header and no further, since TLS may begin right behind it.

Specification: haproxy.org/download/3.0/doc/proxy-protocol.txt, 2.1 (text) and 2.2 (binary).
"""

from __future__ import annotations

import ipaddress
from typing import Final

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
"""Octets of a binary header before its addresses; no text header is shorter than 15."""

_SHORTEST_TEXT: Final = len(b"PROXY UNKNOWN\r\n")
_LONGEST_TEXT: Final = 107
_LONGEST_BINARY: Final = 4096
"""Of addresses and type-length-values; load balancers send some hundred octets."""

_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_OCTETS: Final = {1: (4, 12), 2: (16, 36)}
"""Of a family: an address, and both with their ports."""


class BadHeader(Exception):
    """Not a header of this protocol."""


def may_begin(octets: bytes) -> bool:
    """Say whether a stream that begins with these octets may begin with a header; sure once there are 12."""
    return any(octets[: len(begin)] == begin[: len(octets)] for begin in (_SIGNATURE, b"PROXY "))


class ProxyHeader:
    """
    One header as it comes in.

    Attributes:
        wants: How many octets to read next, at most.
        address: Once `feed` has said True: the client's, or None: it is the peer itself who speaks.
    """

    def __init__(self) -> None:
        self.wants = _SHORTEST_TEXT
        self.address: str | None = None
        self._octets = b""

    @property
    def has_begun(self) -> bool:
        """Some of it was fed."""
        return self._octets != b""

    def feed(self, octets: bytes) -> bool:
        """
        Take at most `wants` octets; True once the header is complete.

        Raises:
            BadHeader
        """
        self._octets += octets
        if not may_begin(self._octets):
            raise BadHeader("neither a text nor a binary header")
        return self._feed_binary() if self._octets[:1] == _SIGNATURE[:1] else self._feed_text()

    def _feed_text(self) -> bool:
        if not self._octets.endswith(b"\r\n"):
            if b"\n" in self._octets or len(self._octets) >= _LONGEST_TEXT:
                raise BadHeader("text header without its end")
            self.wants = max(1, _SHORTEST_TEXT - len(self._octets))
            return False
        words = self._octets[:-2].split(b" ")
        if words[1] == b"UNKNOWN":
            return True
        if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"}:  # noqa: PLR2004 (2.1: two addresses, two ports)
            raise BadHeader("text header of another form")
        try:
            address = ipaddress.ip_address(words[2].decode("ascii"))
        except ValueError as exc:
            raise BadHeader("text header without an address") from exc
        if address.version != int(words[1][3:]):
            raise BadHeader("address of another family")
        self.address = str(address)
        return True

    def _feed_binary(self) -> bool:
        if len(self._octets) < _FIXED:
            self.wants = _FIXED - len(self._octets)
            return False
        command, family = self._octets[12], self._octets[13] >> 4
        length = int.from_bytes(self._octets[14:16], "big")
        if command not in {_LOCAL, _PROXY} or length > _LONGEST_BINARY:
            raise BadHeader("binary header of another version, or too long")
        self.wants = _FIXED + length - len(self._octets)
        if self.wants:
            return False
        if command == _PROXY and family in _ADDRESS_OCTETS:
            octets, least = _ADDRESS_OCTETS[family]
            if length < least:
                raise BadHeader("binary header without its addresses")
            self.address = str(ipaddress.ip_address(self._octets[_FIXED : _FIXED + octets]))
        return True


def plain_address(text: str) -> str:
    """Give an address without scope, and an IPv4 client of a dual-stack socket as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
