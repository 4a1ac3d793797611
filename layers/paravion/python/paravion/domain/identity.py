"""
What is kept of an identity besides its proof: its default configuration set, MAIL FROM domain, policies and the like.

One record (`ports.Records`, kind `identity-settings`, named as the identity), in SES's own member names:

    ConfigurationSetName, FeedbackForwardingStatus, DkimSigningEnabled
    MailFromAttributes      as GetEmailIdentity gives it
    Policies                text by name
    Tags                    a list of Key and Value
    NotificationTopics      an SNS topic's ARN by `Bounce`, `Complaint` and `Delivery`
    HeadersInNotifications  true or false by the same

An identity without a record has SES's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import parse_path, plain_local, split_address

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "identity-settings"
"""Of its record; see domain/tenant.py."""

_ADDRESSES_KEPT: Final = 1024
"""Each mail asks for the same few several times."""

MAIL_FROM_STATUSES: Final = ("PENDING", "SUCCESS", "FAILED", "TEMPORARY_FAILURE")


@dataclass(frozen=True, slots=True)
class MailFrom:
    """
    A custom MAIL FROM domain.

    Attributes:
        status: One of MAIL_FROM_STATUSES; only with SUCCESS is the domain used.
        rejects: Without it mail is refused, instead of going out under its own reverse-path.
    """

    domain: str
    status: str = "PENDING"
    rejects: bool = False


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """
    One identity's settings.

    Attributes:
        configuration_set: Of mail that names none; "" for none.
        feedback_forwarding: Its sender gets reports of failure by mail.
        signing_enabled: Its mail is signed, if there are keys.
        policies: JSON text by name.
        topics: SNS topics by `Bounce`, `Complaint`, `Delivery`.
        with_headers: Of those, whose notifications hold the mail's header.
    """

    configuration_set: str = ""
    mail_from: MailFrom | None = None
    feedback_forwarding: bool = True
    signing_enabled: bool = True
    policies: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, str] = field(default_factory=dict)
    with_headers: frozenset[str] = frozenset()


def decode(value: Mapping[str, Any]) -> IdentitySettings:
    """
    Read a record's value.

    Raises:
        ValueError: It is none; says why.
    """
    try:
        given = value.get("MailFromAttributes")
        mail_from = None
        if given:
            rejects = given.get("BehaviorOnMxFailure") == "REJECT_MESSAGE"
            mail_from = MailFrom(given["MailFromDomain"], given.get("MailFromDomainStatus", "PENDING"), rejects)
        return IdentitySettings(
            value.get("ConfigurationSetName", ""),
            mail_from,
            bool(value.get("FeedbackForwardingStatus", True)),
            bool(value.get("DkimSigningEnabled", True)),
            dict(value.get("Policies", {})),
            {tag["Key"]: tag["Value"] for tag in value.get("Tags", ())},
            dict(value.get("NotificationTopics", {})),
            frozenset(kind for kind, is_on in value.get("HeadersInNotifications", {}).items() if is_on),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"no identity settings: {exc!r}") from exc


@lru_cache(_ADDRESSES_KEPT)
def identities_of(address: str) -> tuple[str, ...]:
    """
    Give the names of identities that an address may belong to, nearest first; () for what is no address.

    Its own, its domain's, and those of the domains above, but never a top-level one.
    """
    try:
        local, domain = split_address(parse_path(address, smtputf8=True))
    except ValueError:
        return ()
    labels = domain.lower().split(".")
    return (f"{plain_local(local)}@{domain}".lower(), *(".".join(labels[n:]) for n in range(max(1, len(labels) - 1))))
