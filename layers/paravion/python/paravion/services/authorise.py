"""
What an authenticated credential may do: the one place that every door asks.

Three questions, each by the credential's own secret (domain/credential.py):

- `require`: may it call this operation? Asked by api/doors.py for every HTTP door, and by the SMTP doors of the
  embedded engine, which need no HTTP.
- `require_sender`: may it send as these addresses? Asked by services/validate.py, where the addresses are known.
- `require_operator` (services/authenticate.py): is it an operator's?

The words are SES's, so that whoever searches for them finds his way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from paravion.domain.address import shown
from paravion.domain.message import responsible_addresses
from paravion.domain.status import ACCESS_DENIED, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.message import Message
    from paravion.domain.submission import Submission
    from paravion.services.authenticate import Principal

SMTP: Final = "smtp"
SENDING: Final = "ses:SendRawEmail"
"""What SES calls a send that it refuses, whatever it was asked by."""


class Place(Protocol):
    """What stands in ARNs; the settings have it."""

    @property
    def credential_region(self) -> str: ...  # noqa: D102 (an attribute)
    @property
    def account_id(self) -> str: ...  # noqa: D102


def require(principal: Principal, operations: Sequence[str], place: Place) -> None:
    """
    Hold back a request whose credential is narrowed to other operations.

    Args:
        operations: The operation's names, of which one must be allowed; none: it is open to every credential.

    Raises:
        Rejected: access_denied, in SES's words.
    """
    if operations and not principal.scope.allows(operations):
        raise _denied(principal.access_key, operations[0], "*", place)


def require_sender(submission: Submission, reverse_path: str, message: Message, place: Place) -> None:
    """
    Hold back a mail from an address that its credential may not send as: reverse-path (but null), From and Sender.

    Args:
        reverse_path, message: As they will be sent.

    Raises:
        Rejected: access_denied, in SES's words, naming the first; sender_syntax.
    """
    if submission.scope.identities is None:
        return
    for address in (*([reverse_path] if reverse_path else []), *responsible_addresses(message)):
        if not submission.scope.may_use(address):
            raise _denied(submission.principal, SENDING, f"identity/{shown(address, 320)}", place)


def _denied(access_key: str, operation: str, thing: str, place: Place) -> Rejected:
    user = f"arn:aws:iam::{place.account_id}:user/{access_key}"
    resource = f"arn:aws:ses:{place.credential_region}:{place.account_id}:{thing}"
    return Rejected(ACCESS_DENIED, f"User `{user}' is not authorized to perform `{operation}' on resource `{resource}'")
