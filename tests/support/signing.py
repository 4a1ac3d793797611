"""Keys of example.org, made once for a process, and dkimpy signing with the same ones: a floor, and a second opinion."""

from __future__ import annotations

import base64

import dkim as dkimpy
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from paravion.adapters.dkim_keygen import new_private_key
from paravion.domain import dkim

PRIVATE = {algorithm: new_private_key(algorithm) for algorithm in dkim.ALGORITHMS}
KEYS = [dkim.load_key("example.org", f"s{n}", a, PRIVATE[a]) for n, a in enumerate(dkim.ALGORITHMS)]

_PEM = dkim.load_private(dkim.RSA, PRIVATE[dkim.RSA]).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)
_SEED = base64.b64encode(PRIVATE[dkim.ED25519])


def dkimpy_signatures(content: bytes) -> bytes:
    """Give both signatures of a whole message, relaxed/relaxed, by dkimpy."""
    rsa = dkimpy.sign(content, b"s0", b"example.org", _PEM, canonicalize=(b"relaxed", b"relaxed"))
    ed25519 = dkimpy.sign(
        content,
        b"s1",
        b"example.org",
        _SEED,
        canonicalize=(b"relaxed", b"relaxed"),
        signature_algorithm=b"ed25519-sha256",
    )
    return rsa + ed25519  # type: ignore[no-any-return]
