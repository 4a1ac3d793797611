"""
Sending authorisation policies: whom an identity's owner lets send as it, and when.

The language is IAM's, as far as sending needs it; a policy with anything else in it is refused when it is put, so that
nothing in one is ever passed over. What is particular here:

    Principal   `*`, a tenant's name or an access key; or an IAM ARN that has them for its account and user
    Action      `ses:SendEmail`, `ses:SendRawEmail`, `ses:SendTemplatedEmail`, `ses:SendBulkTemplatedEmail`,
                `ses:SendBulkEmail`; `*` and `?` match
    Resource    the identity's ARN, of which what stands behind `identity/` counts
    Condition   StringEquals, StringLike and their Not forms, ForAllValues: or ForAnyValue: before them, on the keys
                below

An explicit Deny goes before every Allow; who is not named is denied.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEYS: Final = frozenset({"ses:fromaddress", "ses:feedbackaddress", "ses:recipients"})
"""Condition keys, in lower case."""

_OPERATORS: Final = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
_CONDITION: Final = re.compile(r"(ForAllValues:|ForAnyValue:)?(StringEquals|StringNotEquals|StringLike|StringNotLike)")
_IAM: Final = re.compile(r"arn:aws[a-z-]*:iam::([A-Za-z0-9_-]{1,64}):(?:root|user/([A-Za-z0-9_-]{1,128}))")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RESOURCE: Final = re.compile(r"arn:aws[a-z-]*:ses:[^:]*:[^:]*:identity/(.+)")
_STATEMENT: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})


@dataclass(frozen=True, slots=True)
class Sending:
    """
    What somebody wants to do.

    Attributes:
        tenant, access_key: Who.
        identity: As whom.
        actions: Of SES, as `ses:SendRawEmail`; all must be allowed.
        facts: By key of KEYS.
    """

    tenant: str
    access_key: str
    identity: str
    actions: tuple[str, ...]
    facts: Mapping[str, tuple[str, ...]]


def check(text: str) -> None:
    """
    Say whether a text is a policy.

    Raises:
        ValueError: It is none, or says what we can't obey; names it.
    """
    for statement in _statements(text):
        extra = set(statement) - _STATEMENT
        if extra:
            raise ValueError(f"{min(extra)} in a statement is not supported")
        if statement.get("Effect") not in {"Allow", "Deny"}:
            raise ValueError("Effect must be Allow or Deny")
        for principal in _principals(statement):
            if principal != "*" and not (_IAM.fullmatch(principal) or _NAME.fullmatch(principal)):
                raise ValueError("Principal is neither *, nor a tenant, nor an access key, nor an IAM ARN of them")
        if not all(action == "*" or action.lower().startswith("ses:") for action in _texts(statement, "Action")):
            raise ValueError("Action is none of SES")
        if not all(item == "*" or _RESOURCE.fullmatch(item) for item in _texts(statement, "Resource")):
            raise ValueError("Resource is no ARN of an identity")
        for _ in _conditions(statement):
            pass


def decide(texts: Iterable[str], wanted: Sending) -> bool | None:
    """
    Give what policies that `check` took say: True (allowed), False (denied), None (nothing).
    """
    allowed: set[str] = set()
    for text in texts:
        for statement in _statements(text):
            if not _concerns(statement, wanted):
                continue
            matched = {action for action in wanted.actions if _is_action(statement, action)}
            if matched and statement["Effect"] == "Deny":
                return False
            allowed |= matched
    return True if allowed == set(wanted.actions) else None


def _statements(text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError("it is not JSON") from exc
    statements = value.get("Statement") if isinstance(value, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not (isinstance(statements, list) and statements and all(isinstance(item, dict) for item in statements)):
        raise ValueError("it has no Statement")
    if set(value) - {"Version", "Id", "Statement"} or value.get("Version", "2012-10-17") not in (
        "2012-10-17",
        "2008-10-17",
    ):
        raise ValueError("it may have Version 2012-10-17, Id and Statement")
    return statements


def _texts(statement: Mapping[str, Any], name: str) -> list[str]:
    value = statement.get(name)
    texts = [value] if isinstance(value, str) else value
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"{name} must be a text or a list of texts")
    return texts


def _principals(statement: Mapping[str, Any]) -> list[str]:
    value = statement.get("Principal")
    if isinstance(value, dict):
        if set(value) != {"AWS"}:
            raise ValueError("Principal must be * or have AWS alone")
        return _texts(value, "AWS")
    if value != "*":
        raise ValueError("Principal must be * or have AWS alone")
    return ["*"]


def _conditions(statement: Mapping[str, Any]) -> Iterable[tuple[str, str, str, list[str]]]:
    """Give quantifier, operator, key and values of each condition."""
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        raise ValueError("Condition must be an object")  # noqa: TRY004 (of a text, like all that is wrong here)
    for word, keys in conditions.items():
        match = _CONDITION.fullmatch(word)
        if match is None or not isinstance(keys, dict):
            raise ValueError("Condition has an operator that is not supported")
        for key in keys:
            if key.lower() not in KEYS:
                raise ValueError("Condition has a key that is not supported")
            yield match[1] or "", match[2], key.lower(), _texts(keys, key)


def _concerns(statement: Mapping[str, Any], wanted: Sending) -> bool:
    return (
        any(_is_principal(principal, wanted) for principal in _principals(statement))
        and any(_is_resource(item, wanted.identity) for item in _texts(statement, "Resource"))
        and all(_holds(condition, wanted) for condition in _conditions(statement))
    )


def _is_principal(principal: str, wanted: Sending) -> bool:
    match = _IAM.fullmatch(principal)
    if match is None:
        return principal in {"*", wanted.access_key} or (principal == wanted.tenant != "")
    return match[1] == wanted.tenant and match[2] in (None, wanted.access_key)


def _is_action(statement: Mapping[str, Any], action: str) -> bool:
    return any(fnmatchcase(action.lower(), _literal(pattern)) for pattern in _texts(statement, "Action"))


def _is_resource(item: str, identity: str) -> bool:
    match = _RESOURCE.fullmatch(item)
    return item == "*" or (match is not None and fnmatchcase(identity, _literal(match[1])))


def _holds(condition: tuple[str, str, str, list[str]], wanted: Sending) -> bool:
    quantifier, operator, key, values = condition
    facts = wanted.facts.get(key, ())
    is_not = "Not" in operator
    if operator.endswith("Like"):
        patterns = [_literal(value) for value in values]
        hits = [any(fnmatchcase(fact.lower(), pattern) for pattern in patterns) for fact in facts]
    else:
        hits = [fact in values for fact in facts]
    told = [hit is not is_not for hit in hits]
    if quantifier == "ForAllValues:" or is_not:
        return all(told)
    return any(told)


def _literal(pattern: str) -> str:
    """IAM knows `*` and `?` alone: a bracket is a bracket."""
    return pattern.lower().replace("[", "[[]")
