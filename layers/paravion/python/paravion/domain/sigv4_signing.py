"""
AWS Signature Version 4, the half that signs: what sigv4.py verifies, without the imports that only verifying needs.

`sendmail` is started for every mail. Its one request is signed here by a digest that the caller passes: what Python
has built in, since loading OpenSSL for four digests takes longer than they do.

Standard: AWS General Reference, "Create a signed AWS API request"; RFC 3986 2.3 (unreserved characters), 2104 (HMAC).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "ses"

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_ENCODED = tuple([chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in range(256)])
_BLOCK_OCTETS = 64
_INNER = bytes([octet ^ 0x36 for octet in range(256)])
_OUTER = bytes([octet ^ 0x5C for octet in range(256)])


def sign(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    signed_at: str,
    sha256: Callable[[bytes], Any],
) -> dict[str, str]:
    """
    Sign a request of our own by its Authorization header.

    Args:
        path: As it goes over the wire.
        query: In its canonical form: encoded by RFC 3986 and sorted.
        headers: Those to be signed by their names in lower case, `host` among them.
        signed_at: `YYYYMMDDTHHMMSSZ`.
        sha256: As of hashlib.

    Returns:
        The headers to add: X-Amz-Date and Authorization.
    """
    fields = {**headers, "x-amz-date": signed_at}
    names = sorted(fields)
    canonical = canonical_request(
        method, encode_path(without_dots(path)), query, fields, names, sha256(body).hexdigest()
    )
    scope = f"{signed_at[:8]}/{region}/{SERVICE}/aws4_request"
    text = string_to_sign(signed_at, scope, sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest())
    key = f"AWS4{secret_key}".encode()
    for step in scope.split("/"):
        key = _hmac(key, step.encode(), sha256)
    signature = _hmac(key, text.encode("utf-8", "surrogateescape"), sha256).hex()
    credential = f"Credential={access_key}/{scope}"
    return {
        "X-Amz-Date": signed_at,
        "Authorization": f"{ALGORITHM} {credential}, SignedHeaders={';'.join(names)}, Signature={signature}",
    }


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], names: Iterable[str], payload: str
) -> str:
    """Give the text that is hashed; path and query in their canonical forms, `names` sorted, the body's digest."""
    lines = "".join([f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names])
    return f"{method.upper()}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload}"


def string_to_sign(signed_at: str, scope: str, digest: str) -> str:
    """Give what the key signs: the canonical request's digest, and when and for what it holds."""
    return f"{ALGORITHM}\n{signed_at}\n{scope}\n{digest}"


def encode(text: str) -> str:
    """Percent-encode everything but unreserved characters; surrogates are the octets that they came from."""
    return "".join([_ENCODED[octet] for octet in text.encode("utf-8", "surrogateescape")])


def encode_path(path: str) -> str:
    """As `encode`, but a slash stays."""
    return "/".join([encode(segment) for segment in path.split("/")])


def without_dots(path: str) -> str:
    """Drop empty and dot segments, RFC 3986 5.2.4."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    tail = "/" if segments and path.endswith("/") else ""
    return "/" + "/".join(segments) + tail


def _hmac(key: bytes, octets: bytes, sha256: Callable[[bytes], Any]) -> bytes:
    if len(key) > _BLOCK_OCTETS:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK_OCTETS, b"\0")
    digest: bytes = sha256(key.translate(_OUTER) + sha256(key.translate(_INNER) + octets).digest()).digest()
    return digest
