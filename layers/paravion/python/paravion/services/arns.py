"""
SES's sending authorisation: an ARN names the identity by whose right an address is used.

Here it is a claim that is checked: the ARN must have SES's form and name an identity that the address belongs to, and,
unless the setting identity_check is off, that identity must be there and may send. Region and account are not looked
at, for one installation has one of each.

    member of the request (v1, v2)                                    header                  whose address
    ----------------------------------------------------------------  ----------------------  ------------------------
    SourceArn, BounceSenderArn; FromEmailAddressIdentityArn           X-SES-SOURCE-ARN        From or the reverse-path
    FromArn; FromEmailAddressIdentityArn                              X-SES-FROM-ARN          From
    ReturnPathArn; FeedbackForwardingEmailAddressIdentityArn          X-SES-RETURN-PATH-ARN   the reverse-path
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from paravion.domain.address import plain_path, shown
from paravion.domain.identity import identities_of
from paravion.domain.status import BAD_REQUEST, RELAY_DENIED, Rejected

if TYPE_CHECKING:
    from paravion.domain.message import Message
    from paravion.domain.submission import Submission
    from paravion.ports import Identities

_ARN: Final = re.compile(r"arn:aws[a-z-]*:ses:[a-z0-9-]+:[0-9]{12}:(identity|template)/([!-~]{1,320})")


class _Settings(Protocol):
    @property
    def identity_check(self) -> str: ...


class ArnDeps(Protocol):
    """What this needs: ValidateDeps has it."""

    @property
    def settings(self) -> _Settings: ...  # noqa: D102 (an attribute)
    @property
    def identities(self) -> Identities: ...  # noqa: D102


def name_of(arn: str, kind: str, where: str) -> str:
    """
    Give the name in an ARN of SES's.

    Args:
        kind: "identity" or "template".
        where: What a refusal calls it.

    Raises:
        Rejected: bad_request, it is none.
    """
    match = _ARN.fullmatch(arn)
    if match is None or match[1] != kind:
        form = f"arn:aws:ses:region:account:{kind}/name"
        raise Rejected(BAD_REQUEST, f"{where}: '{shown(arn)}' is not of the form {form}")
    return match[2]


def check_arns(submission: Submission, reverse_path: str, message: Message, deps: ArnDeps) -> None:
    """
    Check the ARNs that a submission names, if any.

    Raises:
        Rejected: bad_request, no ARN of an identity; relay_denied, one of another address, or that may not send.
        LedgerUnavailable
    """
    author = message.authors[0].address
    for arn, where, addresses in (
        (submission.source_arn, "SourceArn", (reverse_path, author)),
        (submission.from_arn, "FromArn", (author,)),
        (submission.return_path_arn, "ReturnPathArn", (reverse_path,)),
    ):
        if arn:
            _check(plain_path(name_of(arn, "identity", where)).lower(), where, addresses, deps)


def _check(name: str, where: str, addresses: tuple[str, ...], deps: ArnDeps) -> None:
    if not any(name in identities_of(address) for address in addresses if address):
        raise Rejected(RELAY_DENIED, f"{where}: identity {shown(name)} is not that of {shown(addresses[-1])}")
    check = deps.settings.identity_check
    if check == "off":
        return
    identity = deps.identities.get(name)
    if identity is None or not (identity.verified or check == "created"):
        text = f"Email address is not verified. The following identities failed the check: {shown(name)}"
        raise Rejected(RELAY_DENIED, text)
