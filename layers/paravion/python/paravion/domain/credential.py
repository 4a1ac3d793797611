"""
What a credential is and what it may do, as its secret `credentials/<access key>` says in JSON.

    secret_key   text
    enabled      false: it opens nothing (default true)
    operator     true: it may see and set what is everybody's (default false)
    tenant       whose things it uses (domain/tenant.py; default "", the one that is nobody else's)
    scope        {"identities": […], "operations": […]}, each of which narrows; default: neither
    created_at   seconds since the epoch (default 0, not known)

Deny by default: of a scope that names operations (or identities) everything else is refused, and an empty list
allows nothing.

Next: services/authenticate.py reads it, services/authorise.py holds requests to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import plain_path, split_address

if TYPE_CHECKING:
    from collections.abc import Iterable

_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{0,64}", re.ASCII)
_OPERATION: Final = re.compile(r"(?:[a-z0-9]+:)?[A-Za-z*]{1,80}", re.ASCII)
_IDENTITY: Final = re.compile(r"(?:[^\s@]{1,64}@)?[^\s@*]{1,255}")
_ENTRIES_MAX: Final = 50
"""Of each list; the whole must fit a standard SSM parameter, 4 KB."""


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What a credential is narrowed to.

    Attributes:
        identities: Domains (with all below them) and addresses that it may send as; None: not narrowed.
        operations: Names such as `ses:SendEmail`, `native:SubmitMessage` or `smtp`, in which `*` stands for any
            letters; None: not narrowed.
    """

    identities: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None

    def allows(self, operations: Iterable[str]) -> bool:
        """Say whether one of these names is allowed; without regard to case, as in IAM."""
        return self.operations is None or any(
            matches(pattern, operation) for pattern in self.operations for operation in operations
        )

    def may_use(self, identity: str) -> bool:
        """Say whether it may send as an address, or as a domain: by itself, its domain or one above it."""
        if self.identities is None:
            return True
        name = plain_path(identity).lower().removesuffix(".")
        domain = split_address(name)[1] if "@" in name else name
        return any(
            name == own if "@" in own else domain == own or domain.endswith(f".{own}") for own in self.identities
        )


ANYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it is kept; the module's table."""

    secret_key: str = field(repr=False)
    enabled: bool = True
    operator: bool = False
    tenant: str = ""
    scope: Scope = ANYTHING
    created_at: float = 0.0


def matches(pattern: str, operation: str) -> bool:
    """Say whether a pattern, in which `*` stands for any letters, is for an operation."""
    return fnmatchcase(operation.lower(), pattern.lower())


def make_scope(identities: Iterable[str] | None, operations: Iterable[str] | None) -> Scope:
    """
    Give a scope, its identities in lower case.

    Raises:
        ValueError: Something in it can't be a name; the text says what.
    """
    return Scope(_names("identities", identities, _IDENTITY), _names("operations", operations, _OPERATION))


def _names(what: str, given: Iterable[str] | None, pattern: re.Pattern[str]) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = tuple(given) if isinstance(given, (list, tuple)) else ("",)
    if len(names) > _ENTRIES_MAX:
        raise ValueError(f"scope.{what} has more than {_ENTRIES_MAX} entries")
    for name in names:
        if not (isinstance(name, str) and pattern.fullmatch(name)):
            raise ValueError(f"scope.{what}: {name!a} is no name")
    lower = what == "identities"
    return tuple(dict.fromkeys(plain_path(name).lower().removesuffix(".") if lower else name for name in names))


def read_credential(text: str) -> Credential:
    """
    Read a credential.

    Raises:
        ValueError: It is none, or says something that means nothing here: a limit must not be overlooked.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no credential in it")  # noqa: TRY004 (a text's fault)
    unknown = sorted(set(found) - {"secret_key", "enabled", "operator", "tenant", "scope", "created_at"})
    if unknown:
        raise ValueError(f"unknown member {unknown[0]!a}")
    secret_key, enabled, operator = found.get("secret_key"), found.get("enabled", True), found.get("operator", False)
    if not (isinstance(secret_key, str) and secret_key and isinstance(enabled, bool) and isinstance(operator, bool)):
        raise ValueError("secret_key must be text, enabled and operator true or false")
    tenant = found.get("tenant", "")
    if not (isinstance(tenant, str) and _TENANT.fullmatch(tenant)):
        raise ValueError("tenant must be up to 64 letters, digits, '-' and '_'")
    if tenant and operator:
        raise ValueError("a tenant's credential can't be an operator's, who sees everybody's things")
    scope = found.get("scope", {})
    if not isinstance(scope, dict) or set(scope) - {"identities", "operations"}:
        raise ValueError("scope may have identities and operations")
    created_at = found.get("created_at", 0.0)
    if isinstance(created_at, bool) or not isinstance(created_at, int | float):
        raise ValueError("created_at must be a number")  # noqa: TRY004
    narrowed = make_scope(scope.get("identities"), scope.get("operations"))
    return Credential(secret_key, enabled, operator, tenant, narrowed, float(created_at))


def as_fields(credential: Credential) -> dict[str, Any]:
    """Give a credential's members for JSON; those that say nothing are left out."""
    scope = {
        name: list(names)
        for name, names in (("identities", credential.scope.identities), ("operations", credential.scope.operations))
        if names is not None
    }
    return {
        "secret_key": credential.secret_key,
        "enabled": credential.enabled,
        "operator": credential.operator,
        **({"tenant": credential.tenant} if credential.tenant else {}),
        **({"scope": scope} if scope else {}),
        **({"created_at": credential.created_at} if credential.created_at else {}),
    }


def write_credential(credential: Credential) -> str:
    """Give the secret's text."""
    return json.dumps(as_fields(credential))
