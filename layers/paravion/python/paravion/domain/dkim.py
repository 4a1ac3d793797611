"""
Sign messages by DKIM: canonicalise, hash and sign octets exactly as they will be sent.

The body goes through `BodyHash` in pieces of any size and is hashed once, however many keys sign; `sign` gives one
DKIM-Signature field for each key. They stand at the top of the header, above our Received: none of them covers
trace fields, and the next hop puts its own Received above them. Does not decide which keys sign
(services/signing.py) nor where they live (domain/dkim_keys.py). ARC (RFC 8617) would use the same parts.

What is signed:

    fields                                          how often each name stands in h=
    ----------------------------------------------  ------------------------------------------------------
    From, To, Subject ... (`OVERSIGNED`)            once more than in the message: nobody can add another
    List-Unsubscribe, List-Unsubscribe-Post         the same, if there: RFC 8058 4 wants them covered
    the rest of `SIGNED`                            as often as in the message
    Received, Return-Path and fields of others      never

Sender and the other List- fields are not oversigned: a mailing list adds its own, and From's signature should live
through a list that leaves the rest alone.

The one module of the domain that needs more than the standard library: `cryptography` does the arithmetic and is
imported when the first key is loaded, so that whoever has no keys does not pay for it.

RFC: 6376 (DKIM), 8301 (rsa-sha256, 2048 bits), 8463 (ed25519-sha256), 8058 4.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paravion.domain.headers import Field

RSA: Final = "rsa-sha256"
ED25519: Final = "ed25519-sha256"
ALGORITHMS: Final = (RSA, ED25519)
"""In the order of the fields, topmost first: a verifier that stops at the first one it reads should know it."""

OVERSIGNED: Final = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
_OVERSIGNED_IF_THERE: Final = (b"list-unsubscribe", b"list-unsubscribe-post")
SIGNED: Final = (
    *OVERSIGNED,
    *_OVERSIGNED_IF_THERE,
    *(b"sender", b"in-reply-to", b"references", b"auto-submitted"),
    *(b"content-id", b"content-description", b"content-disposition", b"content-language"),
    *(b"list-id", b"list-help", b"list-post", b"list-owner", b"list-subscribe", b"list-archive", b"feedback-id"),
)
"""Names in the order of h=; RFC 6376 5.4.1 with what has come into use since."""

_COLUMNS: Final = 76
"""Columns that a line keeps below RFC 5322's 78."""

_PIECE: Final = 1 << 18  # octets canonicalised at a time: the copies stay in the cache
_EMPTY_LINES: Final = b"\r\n" * 4096


class BodyHash:
    """
    SHA-256 over a body in relaxed canonical form, fed in pieces of any size.

    RFC: 6376 3.4.4. A last line without CRLF counts as if it had one, for DATA will add it (RFC 5321 4.1.1.4).
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        # What the next piece may still change: white space or CR at the end, and CRLFs that end the body if
        # nothing follows them.
        self._carried = b""
        self._ends = 0
        self._in_line = False

    def feed(self, octets: bytes) -> None:
        """Take the next octets."""
        for start in range(0, len(octets), _PIECE):
            self._take(octets[start : start + _PIECE])

    def _take(self, piece: bytes) -> None:
        piece = self._carried + piece
        cut = piece.removesuffix(b"\r")
        kept = cut.rstrip(b" \t")
        self._carried = (b" " if len(kept) < len(cut) else b"") + piece[len(cut) :]
        lines = _relax(kept)
        text = lines.rstrip(b"\r\n")
        end = len(lines)
        pairs = (end - len(text)) // 2
        if lines.endswith(b"\r\n" * pairs):
            end -= 2 * pairs
        # Bare CR and LF are text; no message of ours has them.
        while end - 2 >= len(text) and lines.endswith(b"\r\n", 0, end):
            end -= 2
        if end:
            self._end_lines()
            self._hash.update(lines if end == len(lines) else memoryview(lines)[:end])
            self._in_line = True
        self._ends += (len(lines) - end) // 2

    def _end_lines(self) -> None:
        while self._ends:
            count = min(self._ends, len(_EMPTY_LINES) // 2)
            self._hash.update(_EMPTY_LINES[: 2 * count])
            self._ends -= count
            self._in_line = True

    def digest(self) -> bytes:
        """Give the hash of what was fed, 32 octets; the last call."""
        if self._carried.endswith(b"\r"):
            self._end_lines()
            self._hash.update(self._carried)
            self._in_line = True
        if self._in_line:
            self._hash.update(b"\r\n")
        return self._hash.digest()


def _relax(octets: bytes) -> bytes:
    """Reduce white space: runs to one space, none before a CRLF. Each step is one pass of memchr's speed."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets.replace(b" \r\n", b"\r\n")


def body_hash(body: bytes) -> bytes:
    """Give the hash of a whole body, 32 octets."""
    hashed = BodyHash()
    hashed.feed(body)
    return hashed.digest()


def relaxed_field(raw: bytes) -> bytes:
    """
    Give a field in relaxed canonical form, without CRLF at its end.

    RFC: 6376 3.4.2.
    """
    name, _, value = raw.partition(b":")
    return name.strip(b" \t").lower() + b":" + _SPACES.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


_SPACES: Final = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    A loaded private key.

    Attributes:
        selector: Where its public half lies: `<selector>._domainkey.<domain>`.
        algorithm: One of ALGORITHMS.
        sign: Octets to be signed → signature.
    """

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def load_key(domain: str, selector: str, algorithm: str, private: bytes) -> SigningKey:
    """
    Load a private key; some 20 µs once `cryptography` is there (20 ms the first time).

    Args:
        private: PKCS#8 DER for rsa-sha256; the 32 octets of RFC 8032 5.1.5 for ed25519-sha256.

    Raises:
        ValueError: No such algorithm, or no key of that kind.
    """
    key = load_private(algorithm, private)
    if algorithm == ED25519:
        # RFC 8463 3: the signature is over the SHA-256 of what RSA would sign.
        return SigningKey(domain, selector, algorithm, lambda octets: key.sign(hashlib.sha256(octets).digest()))
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    padding, digest = PKCS1v15(), SHA256()
    return SigningKey(domain, selector, algorithm, lambda octets: key.sign(octets, padding, digest))


def load_private(algorithm: str, private: bytes) -> Any:
    """Load a private key as `cryptography` has it; as `load_key`."""
    if algorithm == ED25519:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(private)
    if algorithm != RSA:
        raise ValueError(f"no algorithm {algorithm!r}")
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    # Checking that the primes are prime takes 50 ms, and the key is one that we made.
    key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 (the octets are wrong, not their type)
    return key


def brought_key(text: str) -> bytes:
    """
    Read an RSA private key that somebody brings: base64 of DER, PKCS#1 or PKCS#8, as stands between PEM's lines.

    Returns:
        PKCS#8 DER, as `load_key` takes it.

    Raises:
        ValueError: It is none, or has not 1024 to 2048 bits, which are those that SES takes (RFC 8301 3.2).
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    key = load_der_private_key(base64.b64decode(text, validate=True), None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 (the octets are wrong, not their type)
    if not 1024 <= key.key_size <= 2048:  # noqa: PLR2004
        raise ValueError("an RSA key of 1024 to 2048 bits is needed")
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_record(algorithm: str, private: bytes) -> str:
    """
    Give the TXT record of a private key's public half.

    Raises:
        ValueError: As `load_key`.

    RFC: 6376 3.6.1, 8463 4.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = load_private(algorithm, private).public_key()
    if algorithm == ED25519:
        kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode()}"


def sign(fields: Iterable[Field], hashed_body: bytes, keys: Sequence[SigningKey], *, now: float) -> bytes:
    """
    Give a DKIM-Signature field for each key, in their order, each with CRLF at its end.

    Args:
        fields: The header section as it will be sent (domain/headers.py `split_header`); has a From.
        hashed_body: Of `BodyHash`.
        now: Seconds since the epoch, for t=.

    RFC: 6376 3.5 (tags), 3.7 (what is hashed), 5.4.2 (the last of several fields first), 8.15 (oversigning).
    """
    if not keys:
        return b""
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for item in fields:
        found[item.key].append(item.raw)
    names: list[bytes] = []
    told: list[bytes] = []
    for name in SIGNED:
        raws = found.get(name, [])
        told += [relaxed_field(raw) + b"\r\n" for raw in reversed(raws)]
        over = name in OVERSIGNED or (name in _OVERSIGNED_IF_THERE and raws)
        names += [name] * (len(raws) + bool(over))
    text = b"".join(told)
    return b"".join(_signature(key, names, text, hashed_body, int(now)) for key in keys)


def _signature(key: SigningKey, names: list[bytes], told: bytes, hashed_body: bytes, at: int) -> bytes:
    hashed = base64.b64encode(hashed_body).decode()
    tags = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;",
        *_on_lines((f"d={key.domain};", f"s={key.selector};", f"t={at};"), " "),
        *_on_lines([f"h={names[0].decode()}", *(name.decode() for name in names[1:])], ":", ";"),
        f"bh={hashed};",
        "b=",
    )
    unsigned = "\r\n ".join(tags).encode()
    signature = base64.b64encode(key.sign(told + relaxed_field(unsigned))).decode()
    room = _COLUMNS - len(" b=")
    lines = [signature[:room], *(signature[n : n + _COLUMNS - 1] for n in range(room, len(signature), _COLUMNS - 1))]
    return unsigned + "\r\n ".join(lines).encode() + b"\r\n"


def _on_lines(words: Sequence[str], between: str, end: str = "") -> list[str]:
    """Join words into lines of at most `_COLUMNS`, the space that begins each included."""
    lines: list[str] = []
    line = words[0]
    for word in words[1:]:
        if len(line) + len(between) + len(word) + len(end) > _COLUMNS - 2:
            lines.append((line + between).rstrip())
            line = word
        else:
            line += between + word
    return [*lines, line + end]
