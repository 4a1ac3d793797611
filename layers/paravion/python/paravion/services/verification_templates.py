"""
Custom verification mails: templates of the mail that asks an address's owner for consent.

They are a tenant's, kind `custom-verification`, in SES's members.

Next: services/confirmation.py sends the mail and takes the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import parse_mailboxes, parse_path, shown
from paravion.domain.envelope import Recipient
from paravion.domain.status import (
    BAD_REQUEST,
    CHANGED_MEANWHILE,
    LIMIT_EXCEEDED,
    NO_SUCH_VERIFICATION_TEMPLATE,
    SENDER_NOT_VERIFIED,
    VERIFICATION_TEMPLATE_EXISTS,
    VERIFICATION_TEMPLATE_INVALID,
    Rejected,
)
from paravion.domain.submission import Submission
from paravion.ports import Identity
from paravion.services import admin, confirmation
from paravion.services.authenticate import require_manager
from paravion.services.configuration import set_of_mail
from paravion.services.record_change import change
from paravion.services.sender import may_send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.ports import Record
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

KIND: Final = "custom-verification"
TEMPLATES_MAX: Final = 50
"""SES's limit of an account; here of a tenant."""

CONTENT_CHARACTERS: Final = 200_000
MEMBERS: Final = (
    "TemplateName", "FromEmailAddress", "TemplateSubject", "TemplateContent", "SuccessRedirectionURL",
    "FailureRedirectionURL",
)  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_URL: Final = re.compile(r"https?://[!-~]{1,1000}")


def create(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Keep a template.

    Raises:
        Rejected: bad_request, verification_template_invalid, sender_not_verified, verification_template_exists,
            limit_exceeded.
        LedgerUnavailable
    """
    name = given["TemplateName"]
    if not _NAME.fullmatch(name):
        raise Rejected(BAD_REQUEST, "TemplateName must be 1 to 64 of letters, digits, '_' and '-'.")
    _check(given, principal, deps)
    kind, now = principal.kind(KIND), deps.clock()
    if deps.records.get(kind, name) is None and len(deps.records.page(kind, TEMPLATES_MAX)) >= TEMPLATES_MAX:
        raise Rejected(LIMIT_EXCEEDED, f"There are {TEMPLATES_MAX} custom verification email templates already.")
    tags = {"Tags": list(given["Tags"])} if given.get("Tags") else {}
    value = {**_kept(given), **tags, "created_at": now, "updated_at": now}
    if deps.records.put(kind, name, value, version=0) is None:
        raise Rejected(VERIFICATION_TEMPLATE_EXISTS, f"Custom verification email template {name} already exists.")


def update(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Replace what is given of a template.

    Raises:
        Rejected: As `create`; no_such_verification_template, changed_meanwhile.
        LedgerUnavailable
    """
    name = given["TemplateName"]

    def edit(kept: Mapping[str, Any] | None) -> dict[str, Any]:
        value = {**_there(kept, name), **_kept(given), "updated_at": deps.clock()}
        _check(value, principal, deps)
        return value

    if not _NAME.fullmatch(name):
        _there(None, name)
    change(deps.records, principal.kind(KIND), name, edit)


def show(name: str, principal: Principal, deps: AdminDeps) -> Mapping[str, Any]:
    """Give a template. Raises Rejected (no_such_verification_template), LedgerUnavailable."""
    record = deps.records.get(principal.kind(KIND), name) if _NAME.fullmatch(name) else None
    return _there(record.value if record else None, name)


def page(limit: int, after: str, principal: Principal, deps: AdminDeps) -> tuple[list[Record], str]:
    """Give up to `limit` templates, and the name to go on after, "" at the end. Raises LedgerUnavailable."""
    found = deps.records.page(principal.kind(KIND), limit + 1, after)
    return found[:limit], found[limit - 1].name if len(found) > limit else ""


def delete(name: str, principal: Principal, deps: AdminDeps) -> bool:
    """Remove a template; False: there was none. Raises LedgerUnavailable."""
    return bool(_NAME.fullmatch(name)) and deps.records.delete(principal.kind(KIND), name)


def send(given: Mapping[str, Any], base_url: str, principal: Principal, deps: AdminDeps) -> str:
    """
    Make an address an identity that waits for its owner's consent, and ask for it in the template's words.

    The mail goes by the configuration set that is named, or else the sender's, as any other mail.

    Args:
        base_url: See services/confirmation.py.

    Returns:
        The mail's queue id.

    Raises:
        Rejected: access_denied, bad_request, no_such_verification_template, no_such_configuration_set,
            sending_paused, configuration_set_paused, sender_not_verified; already_exists: another tenant's address.
        Unavailable
    """
    require_manager(principal, "identities are")
    value = show(given["TemplateName"], principal, deps)
    name = admin.identity_name(given["EmailAddress"])
    if not admin.is_address(name):
        raise Rejected(BAD_REQUEST, f"EmailAddress: {shown(name)} is no address.")
    _check(value, principal, deps, to=name)
    author = _address(value["FromEmailAddress"])
    chosen = set_of_mail(deps.records, principal.tenant, given.get("ConfigurationSetName", ""), author)
    found = deps.identities.get(name)
    if found is not None and found.tenant != principal.tenant:
        admin.give_way(found, deps)
        found = None
    identity = found
    if identity is None or not identity.verified:
        identity = Identity(name, False, deps.new_token(), deps.clock(), principal.tenant)
        # crash here = an identity that waits for a mail that never comes: asking again sends one
        if not deps.identities.put(identity, new=found is None):
            raise Rejected(CHANGED_MEANWHILE, f"{name} was changed by somebody else at the same time; try again.")
    return confirmation.send(identity, base_url, deps, confirmation.Custom(value, chosen, principal.access_key))


def _kept(given: Mapping[str, Any]) -> dict[str, Any]:
    return {member: given[member] for member in MEMBERS if member in given}


def _check(given: Mapping[str, Any], principal: Principal, deps: AdminDeps, *, to: str = "") -> None:
    for member in ("SuccessRedirectionURL", "FailureRedirectionURL"):
        if not _URL.fullmatch(given[member]):
            raise Rejected(BAD_REQUEST, f"{member} must be an http or https URL.")
    subject, content = given["TemplateSubject"], given["TemplateContent"]
    if not subject or len(subject) > 500 or any(character < " " for character in subject):  # noqa: PLR2004 (below)
        raise Rejected(VERIFICATION_TEMPLATE_INVALID, "TemplateSubject must be 1 to 500 characters of one line.")
    if not content.strip() or len(content) > CONTENT_CHARACTERS:
        text = f"TemplateContent must be 1 to {CONTENT_CHARACTERS} characters."
        raise Rejected(VERIFICATION_TEMPLATE_INVALID, text)
    if not _may_send(_address(given["FromEmailAddress"]), to, principal, deps):
        raise Rejected(SENDER_NOT_VERIFIED, f"Email address is not verified: {shown(given['FromEmailAddress'], 320)}")


def _address(entry: str) -> str:
    try:
        mailboxes = parse_mailboxes(entry.encode())
        address = parse_path(mailboxes[0].address, smtputf8=True) if len(mailboxes) == 1 else ""
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"FromEmailAddress: {shown(entry)} is no address.") from exc
    if not address:
        raise Rejected(BAD_REQUEST, f"FromEmailAddress: {shown(entry)} is no address.")
    return address


def _may_send(address: str, to: str, principal: Principal, deps: AdminDeps) -> bool:
    """As any mail's sender is held to identities and their policies."""
    recipients = (Recipient(to),) if to else ()
    mail = Submission(principal.access_key, "ses-v2", "", recipients, b"", tenant=principal.tenant)
    return principal.scope.may_use(address) and may_send(address, mail, "", deps)


def _there(value: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    if value is None:
        text = f"Custom verification email template {shown(name)} does not exist."
        raise Rejected(NO_SUCH_VERIFICATION_TEMPLATE, text)
    return value
