"""
Names that follow from what they are given: queue ids, shards, MIME boundaries.

Nothing here is random by itself; a caller brings entropy or a seed (an idempotency key, a report's cause),
and the same seed gives the same id: that makes repeats one message.

RFC: 4648 6 (base32), 2045 6.7 and 2046 5.1.1 (boundaries).
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import Final

QUEUE_ID_LENGTH: Final = 26
"""Characters of a queue id: 130 bits, so that two never meet by chance."""

_MIN_ENTROPY: Final = 16  # octets: 128 bits
_QUEUE_ID: Final = re.compile(r"[a-z2-7]{26}")


def queue_id_from(seed: bytes) -> str:
    """Give the queue id that follows from `seed`: the first 130 bits of its SHA-256 in lower-case base32."""
    # 20 octets are 32 characters: what lies behind them is not looked at.
    digest = hashlib.sha256(seed).digest()[:20]
    return base64.b32encode(digest)[:QUEUE_ID_LENGTH].decode("ascii").lower()


def random_queue_id(entropy: bytes) -> str:
    """
    Give a queue id from fresh randomness.

    Args:
        entropy: At least 16 octets from the operating system's generator, never used before.

    Raises:
        ValueError: Fewer.
    """
    if len(entropy) < _MIN_ENTROPY:
        raise ValueError(f"a queue id needs {_MIN_ENTROPY} octets of entropy, not {len(entropy)}")
    return queue_id_from(entropy)


def is_queue_id(text: str) -> bool:
    """Say whether `text` has a queue id's form; safe to put into keys, paths and header fields then."""
    return _QUEUE_ID.fullmatch(text) is not None


def upload_name(upload_id: str, access_key: str) -> str:
    """
    Give the name under which an upload lies: it follows from whose it is, so that its id is of use to nobody else.

    Args:
        upload_id: As its owner was told.
        access_key: The owner's credential.
    """
    return queue_id_from(f"upload\0{access_key}\0{upload_id}".encode())


def shard_of(queue_id: str, shards: int) -> int:
    """
    Give the part of the due index, 0 to shards - 1, that a queue id belongs to: the same on every host.

    Raises:
        ValueError: shards < 1.
    """
    if shards < 1:
        raise ValueError(f"{shards} shards")
    return zlib.crc32(queue_id.encode()) % shards


def boundary_from(seed: str) -> str:
    """
    Give a MIME boundary that follows from `seed`; quote it in the Content-Type field.

    Its `=_` can occur in neither base64 nor quoted-printable text (RFC 2045 6.7), and 130 bits of hash
    keep it out of anything else.
    """
    return "=_" + queue_id_from(b"boundary\0" + seed.encode("utf-8", "surrogatepass"))
