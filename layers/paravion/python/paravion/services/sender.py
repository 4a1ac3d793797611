"""
Say whether a submission may go out as its sender, and what the sender's identity asks for.

Deny by default: the reverse-path and every From and Sender address must belong to an identity of the caller's own
tenant, or to one whose owner's policy lets him (domain/policy.py). With `identity_check` off anybody sends as anybody,
but never as an identity of another tenant.

Next on the message's path: back to services/validate.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from paravion.domain.address import plain_path, split_address
from paravion.domain.identity import identities_of
from paravion.domain.message import responsible_addresses
from paravion.domain.policy import Sending, decide
from paravion.domain.status import MAIL_FROM_NOT_VERIFIED, RELAY_DENIED, Rejected
from paravion.services.configuration import find_identity_settings, settings_of_identity

if TYPE_CHECKING:
    from paravion.domain.configuration_set import ConfigurationSet
    from paravion.domain.identity import IdentitySettings
    from paravion.domain.message import Message
    from paravion.domain.submission import Submission
    from paravion.ports import Identities, Records
    from paravion.services.validate import ValidateDeps

_SES_DOORS = frozenset({"ses-v1", "ses-v2"})


class _Settings(Protocol):
    @property
    def identity_check(self) -> str: ...


class SenderDeps(Protocol):
    """What a sender is checked by: ValidateDeps and AdminDeps have it."""

    @property
    def settings(self) -> _Settings: ...  # noqa: D102 (an attribute)
    @property
    def identities(self) -> Identities: ...  # noqa: D102
    @property
    def records(self) -> Records: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Sender:
    """
    What the identity of a mail's author asks for.

    Attributes:
        signing_enabled: The mail is signed, if there are keys.
        mail_from: The reverse-path that hosts are told, "" for the mail's own.
        reports: Its sender hears of failures by mail.
    """

    signing_enabled: bool = True
    mail_from: str = ""
    reports: bool = True


def check_sender(submission: Submission, reverse_path: str, message: Message, deps: ValidateDeps) -> None:
    """
    Hold the addresses that answer for a mail to identities.

    Raises:
        Rejected: relay_denied, the addresses named.
        LedgerUnavailable, Misconfigured
    """
    try:
        answerable = responsible_addresses(message)
    except Rejected:
        if deps.settings.identity_check != "off":
            raise
        # Anybody's, so that what can't be read is nobody's either.
        answerable = [author.address for author in message.authors]
    addresses = [*([reverse_path] if reverse_path else []), *answerable]
    missing = sorted({address for address in addresses if not may_send(address, submission, reverse_path, deps)})
    if missing:
        raise Rejected(
            RELAY_DENIED,
            "Email address is not verified. The following identities failed the check: " + ", ".join(missing),
        )


def sender_of(
    submission: Submission, reverse_path: str, message: Message, chosen: ConfigurationSet | None, deps: ValidateDeps
) -> Sender:
    """
    Give what the identity of the first author asks for.

    Raises:
        Rejected: mail_from_not_verified.
        LedgerUnavailable, Misconfigured
    """
    _, settings = find_identity_settings(deps.records, submission.tenant, message.authors[0].address)
    return Sender(
        settings.signing_enabled,
        _mail_from(reverse_path, settings),
        settings.feedback_forwarding or not _is_notified(settings, chosen),
    )


def may_send(address: str, submission: Submission, reverse_path: str, deps: SenderDeps) -> bool:
    """Say whether a submission may go out as an address (see above). Raises LedgerUnavailable, Misconfigured."""
    check = deps.settings.identity_check
    is_theirs = False
    for name in identities_of(address):
        identity = deps.identities.get(name)
        if identity is None:
            continue
        policies = settings_of_identity(deps.records, identity.tenant, name).policies
        says = decide(policies.values(), _sending(name, address, submission, reverse_path)) if policies else None
        is_ours = identity.tenant == submission.tenant
        if is_ours and says is False:
            return False
        if (is_ours or says) and (identity.verified or check != "verified"):
            return True
        is_theirs = is_theirs or not is_ours
    return check == "off" and not is_theirs


def _sending(name: str, address: str, submission: Submission, reverse_path: str) -> Sending:
    """Whoever is let in by an SES door may send both ways: which one it is can't be told any more."""
    actions = ("ses:SendEmail", "ses:SendRawEmail") if submission.door in _SES_DOORS else ("ses:SendRawEmail",)
    facts = {
        "ses:fromaddress": (plain_path(address),),
        "ses:feedbackaddress": (plain_path(reverse_path),),
        "ses:recipients": tuple(plain_path(recipient.forward_path) for recipient in submission.recipients),
    }
    return Sending(submission.tenant, submission.principal, name, actions, facts)


def _mail_from(reverse_path: str, settings: IdentitySettings) -> str:
    if settings.mail_from is None or not reverse_path:
        return ""
    if settings.mail_from.status == "SUCCESS":
        return f"{split_address(reverse_path)[0]}@{settings.mail_from.domain}"
    if settings.mail_from.rejects:
        raise Rejected(MAIL_FROM_NOT_VERIFIED, f"MAIL FROM domain {settings.mail_from.domain} is not verified.")
    return ""


def _is_notified(settings: IdentitySettings, chosen: ConfigurationSet | None) -> bool:
    """Somebody hears of bounces in another way: without one, mail tells of them whatever was asked for."""
    if settings.topics.get("Bounce"):
        return True
    return chosen is not None and any(
        destination.is_enabled and "BOUNCE" in destination.event_types for destination in chosen.destinations
    )
