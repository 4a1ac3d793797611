"""
What an outcome is called: its cause, and the names that SES gives to bounces and delays.

Everything follows from the outcome, so nothing of it is stored; the event log's records carry it
(`record_fields`). The verdict, whether mail is deferred or failed, is domain/verdict.py's alone.

docs/verdicts.md shows the table below, and tests/unit/test_docs.py holds it to that.

RFC: 3463, 5248. SES: "Contents of SES event data", bounce and delivery delay objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import known_replies
from paravion.domain.known_replies import Cause
from paravion.domain.outcome import GIVEN_UP, HANDED_OVER, HOLD, PACED, Result
from paravion.domain.status import HOST_DEAD
from paravion.domain.suppression import STAGE as SUPPRESSION

if TYPE_CHECKING:
    from paravion.domain.outcome import Outcome

_PERMANENT: Final = ("Permanent", "General")
_TRANSIENT: Final = ("Transient", "General")
_UNDETERMINED: Final = ("Undetermined", "Undetermined")


@dataclass(frozen=True, slots=True)
class Names:
    """
    What a cause is called in SES's words.

    Attributes:
        bounce: Type and subtype of a failure.
        delay: Type of a delay.
        meaning: For the documentation.
    """

    bounce: tuple[str, str]
    delay: str
    meaning: str


NAMES: Final[dict[Cause, Names]] = {
    Cause.GREYLISTING: Names(_TRANSIENT, "General", "The host wants to see us again before it trusts us."),
    Cause.RATE_LIMIT: Names(_TRANSIENT, "IPFailure", "Too many connections, messages or recipients, too fast."),
    Cause.BLOCK_LIST: Names(_TRANSIENT, "IPFailure", "Our address or domain is on a block list, or has a bad name."),
    Cause.SENDER_AUTHENTICATION: Names(_TRANSIENT, "General", "SPF, DKIM, DMARC or reverse DNS did not satisfy."),
    Cause.SPAM: Names(("Transient", "ContentRejected"), "SpamDetected", "The content was taken for spam."),
    Cause.ATTACHMENT: Names(("Transient", "AttachmentRejected"), "General", "A virus, or a kind of file not taken."),
    Cause.POLICY: Names(_TRANSIENT, "General", "Refused by policy, without a word on which."),
    Cause.MAILBOX_FULL: Names(("Transient", "MailboxFull"), "MailboxFull", "The mailbox is full."),
    Cause.MAILBOX_UNKNOWN: Names(_PERMANENT, "General", "There is no such mailbox."),
    Cause.MAILBOX_DISABLED: Names(_PERMANENT, "General", "The mailbox is closed, disabled or has moved."),
    Cause.DOMAIN_UNKNOWN: Names(_PERMANENT, "General", "There is no such domain, or it takes no mail."),
    Cause.RELAY_DENIED: Names(_UNDETERMINED, "General", "The host does not take mail for that domain (from us)."),
    Cause.MESSAGE_TOO_BIG: Names(("Transient", "MessageTooLarge"), "General", "The message is too big for the host."),
    Cause.AUTH_REQUIRED: Names(_TRANSIENT, "General", "The host wants us to log in, or refused our login."),
    Cause.TLS_REQUIRED: Names(_TRANSIENT, "General", "The host takes mail over TLS only."),
    Cause.SYSTEM_BUSY: Names(_TRANSIENT, "RecipientServerError", "The host is busy, full or out of order."),
    Cause.PROTOCOL_ERROR: Names(_UNDETERMINED, "General", "The host did not understand us, or we not it; a loop."),
    Cause.SUPPRESSED: Names(("Permanent", "OnAccountSuppressionList"), "General", "It is on the suppression list."),
    Cause.NO_ANSWER: Names(_TRANSIENT, "TransientCommunicationFailure", "No answer from DNS or host, or it broke off."),
    Cause.LOCAL: Names(_TRANSIENT, "InternalFailure", "Decided on our side: our own fault, or the operator's rule."),
    Cause.UNKNOWN: Names(_UNDETERMINED, "Undetermined", "The reply says nothing that is known."),
}  # fmt: skip
"""Every cause's names."""

_ASKS_TO_WAIT: Final = frozenset({Cause.GREYLISTING, Cause.RATE_LIMIT})
_OUR_STAGES: Final = frozenset({"LOCAL", HOLD, ""})
_HELD_BACK: Final = frozenset({"4.4.5", "4.3.2"})  # our own rate_limited and system_busy
_GARBAGE: Final = ("Malformed reply: ", "Unexpected reply: ")


def cause_of(outcome: Outcome) -> Cause | None:
    """Give why mail was not taken; None when it was."""
    if outcome.result is Result.DELIVERED:
        return None
    if not outcome.is_reply:
        return _cause_without_reply(outcome)
    enhanced, text = outcome.last_said
    return (
        known_replies.cause_of_text(enhanced, text)
        or known_replies.cause_of_status(enhanced)
        or known_replies.cause_of_code(outcome.code)
        or Cause.UNKNOWN
    )


def bounce_type(outcome: Outcome) -> tuple[str, str]:
    """
    Give SES's bounceType and bounceSubType of a recipient that failed.

    Who was given up after days was never refused for good: Transient, whatever the last reply was.
    """
    bounce = NAMES[cause_of(outcome) or Cause.UNKNOWN].bounce
    return _TRANSIENT if outcome.command == GIVEN_UP and bounce[0] != "Transient" else bounce


def delay_type(outcome: Outcome) -> str:
    """Give SES's delayType of a recipient that is deferred."""
    is_held_back = outcome.command in _OUR_STAGES and outcome.status in _HELD_BACK
    if not outcome.is_reply and (outcome.command == PACED or is_held_back):
        return "SendingDeferral"
    return NAMES[cause_of(outcome) or Cause.UNKNOWN].delay


def asked_wait_s(outcome: Outcome) -> int | None:
    """Give the wait in seconds that a host asked for when it deferred, None if it named none."""
    if outcome.result is not Result.DEFERRED or not outcome.is_reply:
        return None
    from paravion.domain.named_wait import named_wait_s  # most invocations see no deferral

    return named_wait_s(outcome.text, is_asked_to_wait=cause_of(outcome) in _ASKS_TO_WAIT)


def record_fields(outcome: Outcome) -> dict[str, Any]:
    """Give what the event log's record of an outcome says beside it; {} for a delivery."""
    cause = cause_of(outcome)
    if cause is None:
        return {}
    fields: dict[str, Any] = {"cause": cause.value}
    if outcome.result is Result.FAILED:
        fields["bounce_type"], fields["bounce_subtype"] = bounce_type(outcome)
    else:
        fields["delay_type"] = delay_type(outcome)
        wait = asked_wait_s(outcome)
        if wait is not None:
            fields["asked_wait_s"] = wait
    listed = known_replies.list_named(outcome.text) if cause is Cause.BLOCK_LIST else ""
    if listed:
        fields["block_list"] = listed
    return fields


def _cause_at_target(outcome: Outcome, by_status: Cause | None) -> Cause:
    """A target is the operator's, and says nothing of the address (domain/target_verdict.py)."""
    if outcome.result is Result.FAILED:
        return Cause.MESSAGE_TOO_BIG if by_status is Cause.MESSAGE_TOO_BIG else Cause.POLICY
    return by_status if by_status is Cause.RATE_LIMIT else Cause.SYSTEM_BUSY


def _cause_without_reply(outcome: Outcome) -> Cause:
    by_status = known_replies.cause_of_status(outcome.status)
    if outcome.command == HANDED_OVER:
        return _cause_at_target(outcome, by_status)
    if outcome.command == SUPPRESSION:
        return Cause.SUPPRESSED
    if outcome.command == PACED:
        return Cause.RATE_LIMIT
    if outcome.command in _OUR_STAGES:
        # A host that is known dead was not asked again; why not, its silence said.
        is_silent = outcome.status == HOST_DEAD.enhanced
        return Cause.NO_ANSWER if is_silent else by_status if by_status is Cause.MESSAGE_TOO_BIG else Cause.LOCAL
    if outcome.result is Result.FAILED and outcome.command != GIVEN_UP:
        return by_status or Cause.LOCAL
    return Cause.PROTOCOL_ERROR if outcome.last_said[1].startswith(_GARBAGE) else Cause.NO_ANSWER
