"""
AWS Signature Version 4: verify a request's signature, and sign one (sigv4_signing.py).

Takes the Authorization header and the presigned query form. What SES does with the rest, and what we choose:

- The service in the scope is `ses`; any region is taken (there is one of us, whatever the SDK was told).
- The body's own SHA-256 goes into the canonical request. An `x-amz-content-sha256` header must equal it, so
  UNSIGNED-PAYLOAD and the streaming forms, which belong to S3, are refused.
- `host` must be signed. Behind a proxy that puts another Host in its place, X-Forwarded-Host is tried as well: the
  client signed that one, and a header that anybody may set proves nothing without the secret key.
- The request's time is `X-Amz-Date`, at most 5 minutes from ours; a presigned request is good from 5 minutes
  before its date until `X-Amz-Expires` after it.
- Session tokens are refused: there is nobody here who issues them.
- A gateway may hand over the path percent-decoded (API Gateway's rawPath): the path is tried as given and, if
  that fails, encoded again. A query is tried in AWS's form and, unless it carries the signature, as given.

Next: services/authenticate.py, which knows the secret keys.

Standard: AWS General Reference, "Create a signed AWS API request"; RFC 3986 2.3 (unreserved characters).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final

from paravion.domain import sigv4_signing
from paravion.domain.sigv4_signing import (
    ALGORITHM,
    SERVICE,
    canonical_request,
    encode,
    encode_path,
    string_to_sign,
    without_dots,
)
from paravion.domain.status import AUTH_INVALID, AUTH_REQUIRED, REQUEST_EXPIRED, SIGNATURE_INVALID, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOCK_SKEW_S: Final = 300
PRESIGNED_MAX_S: Final = 604_800
"""AWS's own limit of X-Amz-Expires, a week."""

_SIGNED_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNED_HEADERS: Final = re.compile(r"[!-~]+(;[!-~]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """
    What a signature covers of an HTTP request.

    Attributes:
        path: As the gateway gave it, percent-encoded or decoded; starts with `/`.
        query: As on the wire, percent-encoded, without `?`.
        headers: Names in lower case; the values of a repeated one joined by commas.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """
    Who a request says it comes from, and the proof that it offers; nothing of it is verified.

    Attributes:
        signed_at: As on the wire, `YYYYMMDDTHHMMSSZ`.
        expires_s: Of a presigned request, else None.
    """

    access_key: str
    date: str
    region: str
    service: str
    signed_at: str
    signed_headers: tuple[str, ...]
    signature: str
    expires_s: int | None = None


class IncompleteSignature(Rejected):
    """The request carries a signature that lacks something or is misspelt; `detail` says what."""

    def __init__(self, detail: str) -> None:
        super().__init__(SIGNATURE_INVALID, detail)


def parse_claim(request: SignedRequest) -> Claim:
    """
    Read who signed the request, from its Authorization header or, failing that, its query.

    Raises:
        Rejected: auth_required without a signature, auth_invalid with a session token.
        IncompleteSignature: It can't be read.
    """
    authorization = request.headers.get("authorization", "")
    parameters = _unique(_query_pairs(request.query)) if "X-Amz-" in request.query else {}
    if not authorization and "X-Amz-Signature" not in parameters and "X-Amz-Algorithm" not in parameters:
        raise Rejected(AUTH_REQUIRED, "Missing Authentication Token")
    if "x-amz-security-token" in request.headers or "X-Amz-Security-Token" in parameters:
        raise Rejected(AUTH_INVALID, "Session tokens are not supported here: sign with a long-term access key.")
    if authorization:
        return _claim_of_header(authorization, request.headers.get("x-amz-date", ""))
    return _claim_of_query(parameters)


def verify(request: SignedRequest, claim: Claim, secret_key: str, *, now: float) -> None:
    """
    Check the signature and the time, `now` being seconds since the epoch. The comparison takes constant time.

    Raises:
        Rejected: signature_invalid or request_expired; `detail` has AWS's words.
    """
    payload = hashlib.sha256(request.body).hexdigest()
    key = signing_key(secret_key, claim.date, claim.region, claim.service)
    matches = False
    queries = _canonical_queries(request.query, claim)
    names = sorted(set(claim.signed_headers))
    for path, query, host in product(_canonical_paths(request.path), queries, _hosts(request)):
        headers = {**request.headers, "host": host}
        canonical = canonical_request(request.method, path, query, headers, names, payload)
        matches |= hmac.compare_digest(_signature(key, claim, canonical), claim.signature)
    _check_time(claim, now)
    if claim.service != SERVICE:
        raise Rejected(SIGNATURE_INVALID, f"Credential should be scoped to correct service: '{SERVICE}'. ")
    stated = request.headers.get("x-amz-content-sha256")
    if not matches or (stated is not None and not hmac.compare_digest(stated.encode(), payload.encode())):
        raise Rejected(SIGNATURE_INVALID, _SIGNED_MISMATCH)


def sign(request: SignedRequest, access_key: str, secret_key: str, region: str, *, now: float) -> dict[str, str]:
    """
    Sign a request of our own by its Authorization header, at `now` seconds since the epoch.

    The request's headers are those to be signed, `host` among them; its path is as it goes over the wire.

    Returns:
        The headers to add: X-Amz-Date and Authorization.
    """
    return sigv4_signing.sign(
        request.method, request.path, _canonical_query(request.query), request.headers, request.body,
        access_key=access_key, secret_key=secret_key, region=region, signed_at=_stamp(now, 0), sha256=hashlib.sha256,
    )  # fmt: skip


@lru_cache(maxsize=256)
def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """Derive the key of one day, region and service; the last few are remembered."""
    key = f"AWS4{secret_key}".encode()
    for step in (date, region, service, "aws4_request"):
        key = hmac.digest(key, step.encode(), hashlib.sha256)
    return key


def _claim_of_header(authorization: str, signed_at: str) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Authorization must be {ALGORITHM} or Basic.")
    parameters: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in parameters:
            raise IncompleteSignature("Authorization header holds a part that is no unique 'name=value'.")
        parameters[name] = value
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parameters.get(name)]
    if missing:
        raise IncompleteSignature(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    if not signed_at:
        raise IncompleteSignature("Authorization header requires existence of an 'X-Amz-Date' header.")
    return _claim(parameters["Credential"], signed_at, parameters["SignedHeaders"], parameters["Signature"], None)


def _claim_of_query(parameters: Mapping[str, str]) -> Claim:
    names = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    missing = [name for name in names if not parameters.get(f"X-Amz-{name}")]
    if missing:
        raise IncompleteSignature(" ".join(f"Query requires 'X-Amz-{name}' parameter." for name in missing))
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignature(f"X-Amz-Algorithm must be {ALGORITHM}.")
    expires = parameters["X-Amz-Expires"]
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 8) or int(expires) > PRESIGNED_MAX_S:  # noqa: PLR2004
        raise IncompleteSignature(f"X-Amz-Expires must be 0 to {PRESIGNED_MAX_S} seconds.")
    return _claim(
        parameters["X-Amz-Credential"],
        parameters["X-Amz-Date"],
        parameters["X-Amz-SignedHeaders"],
        parameters["X-Amz-Signature"],
        int(expires),
    )


def _claim(credential: str, signed_at: str, signed_headers: str, signature: str, expires_s: int | None) -> Claim:
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts) or parts[4] != "aws4_request":  # noqa: PLR2004 (key/date/region/service/aws4_request)
        raise IncompleteSignature("Credential must be 'ACCESS-KEY/YYYYMMDD/REGION/ses/aws4_request'.")
    access_key, date, region, service, _ = parts
    _instant(signed_at)
    if date != signed_at[:8]:
        raise IncompleteSignature("X-Amz-Date must be of the day that the credential's scope names.")
    if not _SIGNED_HEADERS.fullmatch(signed_headers) or signed_headers != signed_headers.lower():
        raise IncompleteSignature("SignedHeaders must be header names in lower case, joined by ';'.")
    names = tuple(signed_headers.split(";"))
    if "host" not in names:
        raise IncompleteSignature("'Host' must be a signed header.")
    if not _SIGNATURE.fullmatch(signature):
        raise IncompleteSignature("Signature must be 64 hexadecimal digits in lower case.")
    return Claim(access_key, date, region, service, signed_at, names, signature, expires_s)


def _instant(signed_at: str) -> datetime:
    match = _DATE.fullmatch(signed_at)
    if match is None:
        raise IncompleteSignature("X-Amz-Date must be 'YYYYMMDDTHHMMSSZ'.")
    year, month, day, hour, minute, second = (int(digits) for digits in match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as exc:
        raise IncompleteSignature("X-Amz-Date is no date.") from exc


def _check_time(claim: Claim, now: float) -> None:
    signed_at = _instant(claim.signed_at).timestamp()
    if signed_at > now + CLOCK_SKEW_S:
        raise Rejected(
            REQUEST_EXPIRED,
            f"Signature not yet current: {claim.signed_at} is still later than "
            f"{_stamp(now, CLOCK_SKEW_S)} ({_stamp(now, 0)} + 5 min.)",
        )
    if claim.expires_s is not None:
        if now > signed_at + claim.expires_s:
            raise Rejected(
                REQUEST_EXPIRED,
                f"Signature expired: {claim.signed_at} + {claim.expires_s} s is now earlier than {_stamp(now, 0)}",
            )
    elif signed_at < now - CLOCK_SKEW_S:
        raise Rejected(
            REQUEST_EXPIRED,
            f"Signature expired: {claim.signed_at} is now earlier than "
            f"{_stamp(now, -CLOCK_SKEW_S)} ({_stamp(now, 0)} - 5 min.)",
        )


def _stamp(now: float, shift_s: int) -> str:
    return (datetime.fromtimestamp(int(now), UTC) + timedelta(seconds=shift_s)).strftime("%Y%m%dT%H%M%SZ")


def _signature(key: bytes, claim: Claim, canonical: str) -> str:
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = string_to_sign(claim.signed_at, scope, digest)
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()


def _hosts(request: SignedRequest) -> list[str]:
    """The Host that came, and the one that a proxy says it took away."""
    hosts = [request.headers.get("host", "")]
    forwarded = request.headers.get("x-forwarded-host", "").partition(",")[0].strip()
    if forwarded and forwarded not in hosts:
        hosts.append(forwarded)
    return hosts


def _unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters, of which those of the signature may be there once: which of two counts, nobody could say."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found and name.startswith("X-Amz-"):
            raise IncompleteSignature(f"Query parameter '{name[:40]}' is there more than once.")
        found[name] = value
    return found


def _canonical_paths(path: str) -> list[str]:
    """As on the wire (and encoded once more, as every service but S3 has it); then as if a gateway had decoded it."""
    given = encode_path(without_dots(path))
    decoded = encode_path(without_dots(encode_path(path)))
    return [given] if given == decoded else [given, decoded]


def _canonical_queries(query: str, claim: Claim) -> list[str]:
    """
    As AWS has it, and as clients sign a query that they did not encode or (older curls) sort.

    The literal forms cover the same octets more strictly; only the query form of a signature needs its own.
    """
    canonical = _canonical_query(query)
    if not query or claim.expires_s is not None:
        return [canonical]
    pairs = sorted(part.partition("=")[::2] for part in query.split("&"))
    literal = "&".join(f"{name}={value}" for name, value in pairs)
    return list(dict.fromkeys((canonical, literal, query)))


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = [
        (encode(name), encode(value))
        for name, value in _query_pairs(query)
        if name != "X-Amz-Signature"
    ]  # fmt: skip
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _query_pairs(query: str) -> list[tuple[str, str]]:
    """Names and values, decoded; a plus is a plus. Octets that are no UTF-8 survive as surrogates."""
    return [
        (_decode(name), _decode(value))
        for name, _, value in (part.partition("=") for part in query.split("&") if part)
    ]  # fmt: skip


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    octets = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), text.encode("utf-8", "surrogateescape"))
    return octets.decode("utf-8", "surrogateescape")
