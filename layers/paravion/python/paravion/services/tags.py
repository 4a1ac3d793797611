"""
Tags of a tenant's things, by their ARN: identities, configuration sets, contact lists and templates of both sorts.

They stand in the thing's own record, as `Tags`, a list of Key and Value. Region and account of an ARN are not
looked at, for one installation has one of each.

Next: api/ses_v2_tags.py asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.configuration_set import KIND as SETS
from paravion.domain.contacts import LISTS_KIND
from paravion.domain.identity import KIND as IDENTITIES
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services.authenticate import require_manager
from paravion.services.record_change import change
from paravion.services.verification_templates import KIND as VERIFICATION_TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

TAGS_MAX: Final = 50
_ARN: Final = re.compile(r"arn:aws[a-z-]*:ses:[a-z0-9-]*:[0-9]{0,12}:([a-z-]{1,60})/([!-~]{1,320})")
_KINDS: Final = {
    "identity": IDENTITIES,
    "configuration-set": SETS,
    "contact-list": LISTS_KIND,
    "template": "template",
    "custom-verification-email-template": VERIFICATION_TEMPLATES,
}
_MANAGED: Final = frozenset({IDENTITIES, SETS})
"""Kinds that change how all of a tenant's mail is sent."""


def show(arn: str, principal: Principal, deps: AdminDeps) -> dict[str, str]:
    """
    Give a thing's tags.

    Raises:
        Rejected: bad_request: no ARN of a thing that has tags; not_found, access_denied.
        LedgerUnavailable
    """
    kind, name = _thing(arn, principal, deps)
    record = deps.records.get(principal.kind(kind), name)
    return _read(_there(record.value if record else None, kind, arn))


def add(arn: str, tags: Mapping[str, str], principal: Principal, deps: AdminDeps) -> None:
    """
    Add tags, in place of those with the same key.

    Raises:
        Rejected: As `show`; bad_request: too many; changed_meanwhile.
        LedgerUnavailable, RecordTooLarge
    """
    _edit(arn, lambda kept: {**kept, **tags}, principal, deps)


def remove(arn: str, keys: Iterable[str], principal: Principal, deps: AdminDeps) -> None:
    """Take tags away; no error for one that is not there. Raises as `add`."""
    gone = frozenset(keys)
    _edit(arn, lambda kept: {key: value for key, value in kept.items() if key not in gone}, principal, deps)


def _edit(arn: str, how: Callable[[dict[str, str]], dict[str, str]], principal: Principal, deps: AdminDeps) -> None:
    kind, name = _thing(arn, principal, deps)

    def edit(kept: Mapping[str, Any] | None) -> dict[str, Any]:
        there = _there(kept, kind, arn)
        tags = how(_read(there))
        if len(tags) > TAGS_MAX:
            raise Rejected(BAD_REQUEST, f"At most {TAGS_MAX} tags are kept.")
        return {**there, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    change(deps.records, principal.kind(kind), name, edit)


def _thing(arn: str, principal: Principal, deps: AdminDeps) -> tuple[str, str]:
    """Give a record's kind and name; an identity is there though nothing was set for it."""
    match = _ARN.fullmatch(arn)
    kind = _KINDS.get(match[1]) if match else None
    if match is None or kind is None:
        forms = ", ".join(_KINDS)
        raise Rejected(BAD_REQUEST, f"ResourceArn must be arn:aws:ses:region:account:KIND/name, KIND one of {forms}.")
    name = match[2].lower().removesuffix(".") if kind == IDENTITIES else match[2]
    if kind in _MANAGED:
        require_manager(principal, "tags of identities and configuration sets are")
    if kind == IDENTITIES:
        identity = deps.identities.get(name)
        if identity is None or identity.tenant != principal.tenant:
            raise _no_such(arn)
    return kind, name


def _there(value: Mapping[str, Any] | None, kind: str, arn: str) -> Mapping[str, Any]:
    if value is None and kind != IDENTITIES:
        raise _no_such(arn)
    return value or {}


def _no_such(arn: str) -> Rejected:
    return Rejected(NOT_FOUND, f"Resource {shown(arn, 320)} does not exist.")


def _read(value: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in value.get("Tags", ())}
