"""
MTA-STS: what a domain's TXT record and its policy file say, and which MX hosts the policy allows.

Fetches nothing (adapters/sts_policy_host.py) and keeps nothing (services/mta_sts.py).

RFC: 8461 3.1 (TXT record), 3.2 (policy file), 4.1 (MX host validation).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_POLICY_OCTETS: Final = 65_536
"""RFC 8461 3.3 suggests 64 kilobytes as the limit of what is read."""

MAX_AGE_S: Final = 31_557_600
"""RFC 8461 3.2: about a year."""

LEAST_AGE_S: Final = 600.0
"""A policy with a shorter life would be fetched for every mail."""

_REFRESH_S: Final = 86_400.0
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*)")
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PATTERN: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_AGE: Final = re.compile(r"[0-9]{1,10}")


class StsMode(StrEnum):
    """What senders are to do with the policy."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """
    One domain's policy.

    Attributes:
        mx: Patterns, lower case: host names, or `*.` and a name, which stands for exactly one label.
        max_age_s: How long it may be kept since it was fetched.
    """

    mode: StsMode
    mx: tuple[str, ...]
    max_age_s: int

    def allows(self, host: str) -> bool:
        """Say whether an MX host's name matches one of the patterns (RFC 8461 4.1)."""
        host = host.lower().rstrip(".")
        above = host.partition(".")[2]
        return any(above == pattern[2:] if pattern.startswith("*.") else host == pattern for pattern in self.mx)


@dataclass(frozen=True, slots=True)
class StsFault:
    """Why a policy could not be had: a TlsResult, and words for who looks after the domain."""

    result: str
    text: str


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy as it was fetched: the id that the TXT record had, and when (seconds since the epoch)."""

    policy_id: str
    policy: StsPolicy
    fetched_at: float

    @property
    def expires_at(self) -> float:
        """From here on it must not be applied any more."""
        return self.fetched_at + max(self.policy.max_age_s, LEAST_AGE_S)

    @property
    def stale_at(self) -> float:
        """From here on it is fetched again, so that a policy in use never expires while its host is away."""
        return self.fetched_at + max(min(self.policy.max_age_s / 2, _REFRESH_S), LEAST_AGE_S / 2)

    def is_valid(self, now: float) -> bool:
        """Say whether it may be applied."""
        return now < self.expires_at

    def serves(self, policy_id: str | None, now: float) -> bool:
        """Say whether nothing newer has to be fetched while the TXT record says `policy_id`, None for no record."""
        return policy_id is not None and policy_id == self.policy_id and now < self.stale_at


def parse_record(texts: Iterable[str]) -> str | None:
    """
    Give the policy's id from the TXT strings at `_mta-sts.DOMAIN`; None: the domain has no policy.

    RFC: 8461 3.1: other than exactly one record that begins with `v=STSv1;` counts as none.
    """
    records = [text for text in texts if re.match(r"v=STSv1[ \t]*;", text)]
    if len(records) != 1:
        return None
    found = ""
    for number, part in enumerate(records[0].split(";")):
        name, equals, value = part.strip(" \t").partition("=")
        if number and name == "id" and not found:
            found = value
        elif number and part.strip(" \t") and not equals:
            return None
    return found if _ID.fullmatch(found) else None


def parse_policy(octets: bytes) -> StsPolicy:
    """
    Read a policy file.

    Unknown fields are passed over, and of a field that stands twice the first counts, but for `mx`.

    Raises:
        ValueError: It is no valid policy; says why.

    RFC: 8461 3.2.
    """
    if len(octets) > MAX_POLICY_OCTETS:
        raise ValueError(f"more than {MAX_POLICY_OCTETS} octets")
    try:
        fields, mx = _fields(octets.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8") from exc
    if fields.get("version") != "STSv1":
        raise ValueError("no version STSv1")
    try:
        mode = StsMode(fields.get("mode", ""))
    except ValueError as exc:
        raise ValueError("mode is none of enforce, testing, none") from exc
    age = fields.get("max_age", "")
    if not _AGE.fullmatch(age) or int(age) > MAX_AGE_S:
        raise ValueError(f"max_age is no number up to {MAX_AGE_S}")
    if not mx and mode is not StsMode.NONE:
        raise ValueError(f"mode {mode} without mx")
    return StsPolicy(mode, tuple(dict.fromkeys(mx)), int(age))


def _fields(text: str) -> tuple[dict[str, str], list[str]]:
    fields: dict[str, str] = {}
    mx: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").rstrip("\n").split("\n"), 1):
        parsed = _FIELD.fullmatch(line.rstrip(" \t"))
        if parsed is None:
            raise ValueError(f"line {number} is no field")
        name, value = parsed.groups()
        if name != "mx":
            fields.setdefault(name, value)
        elif _PATTERN.fullmatch(value):
            mx.append(value.lower())
        else:
            raise ValueError(f"line {number}: no host name or pattern")
    return fields, mx
