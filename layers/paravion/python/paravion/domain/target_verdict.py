"""
What a target's answer means: delivered, deferred, or refused for good.

A target is the operator's: a wrong name, a missing right, a lost secret is the operator's mistake and no reason to
return anybody's mail. So next to nothing fails for good; the rest waits, is visible in the log as a Fault, and is
returned when the queue's lifetime is over.

    answer                                             result     status
    -------------------------------------------------  ---------  -------------------------------------------
    a service took it; a webhook said 2xx              delivered  2.0.0
    a service throttles; 429                           deferred   4.4.5
    a service's fault; 408, 425, 5xx                   deferred   4.4.1
    no connection, no answer in time                   deferred   4.4.1
    the connection broke; no HTTP answer               deferred   4.4.2
    no TLS, a bad certificate                          deferred   4.7.0  operator
    no such function, topic or queue; not allowed; a   deferred   4.3.5  operator
    bad key, a disabled endpoint; any other code that
    a service answers
    3xx, 400, 401, 403, 404, 405, 410, any other 4xx   deferred   4.3.5  operator
    a private address; no secret; not in the settings  deferred   4.3.5  operator
    413                                                failed     5.3.4
    422                                                failed     5.6.0, in the words of the webhook

413 and 422 are said of this message by a program that has read it; 400, 403 and 404 are what frameworks say of a
wrong URL, a wrong method or a check that is misconfigured, and so is no verdict on the mail.

Texts go to senders in reports: they name no account, function, queue or URL.

Next: services/deliver.py records it. RFC: 3463 (status), 9110 15 (HTTP).
"""

from __future__ import annotations

from typing import Final

from paravion.domain.outcome import HANDED_OVER, Outcome, Result
from paravion.domain.status import (
    CONNECTION_LOST,
    MESSAGE_TOO_BIG,
    MISCONFIGURED,
    NO_ANSWER,
    RATE_LIMITED,
    REFUSED_BY_TARGET,
    TLS_FAILED,
    Status,
)
from paravion.domain.verdict import our_outcome

OPERATORS: Final = frozenset({MISCONFIGURED.enhanced, TLS_FAILED.enhanced})
"""Statuses of what an operator must mend."""

_THROTTLES: Final = frozenset({
    "TooManyRequestsException", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "RequestLimitExceeded", "ProvisionedThroughputExceededException", "SlowDown",
    "EC2ThrottledException", "KMSThrottling", "KMSThrottlingException", "KmsThrottled", "LimitExceededException",
})  # fmt: skip
_FAULTS: Final = frozenset({
    "ServiceException", "InternalError", "InternalErrorException", "InternalFailure", "ServiceUnavailable",
    "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "ResourceConflictException",
    "ResourceNotReadyException",
})  # fmt: skip


def taken(answer: str) -> Outcome:
    """The target has it; `answer` is what it called it."""
    return Outcome(Result.DELIVERED, "2.0.0", text=answer, command=HANDED_OVER)


def ours(row: Status, text: str = "") -> Outcome:
    """Give the outcome of a row of the taxonomy, with a text of its own if there is more to say."""
    return our_outcome(row, text, HANDED_OVER)


def misconfigured(text: str) -> Outcome:
    """An operator must mend something; `text` says what, and names nothing that a sender must not know."""
    return ours(MISCONFIGURED, text)


def judge_service(code: str, http: int) -> Outcome:
    """
    Judge the error that a service of AWS answered.

    Args:
        code: The service's error code.
        http: HTTP status.
    """
    if code in _THROTTLES or http == 429:  # noqa: PLR2004 (RFC 6585 4)
        return ours(RATE_LIMITED, f"the target is busy ({code})")
    if code in _FAULTS or http // 100 == 5:  # noqa: PLR2004 (RFC 9110 15.6)
        return ours(NO_ANSWER, f"the target's service is in trouble ({code})")
    return misconfigured(f"the target can't be used as it is set up ({code})")


def judge_webhook(http: int, text: str = "") -> Outcome:
    """
    Judge a webhook's answer.

    Args:
        http: HTTP status.
        text: What it said in plain text, printable; shown for a refusal only.
    """
    if http // 100 == 2:  # noqa: PLR2004 (RFC 9110 15.3)
        return taken(f"the webhook answered {http}")
    row, words = _ANSWERS.get(http) or _CLASSES.get(http // 100) or (MISCONFIGURED, "the webhook answered {http}")
    if row is REFUSED_BY_TARGET:
        return ours(row, f"{row.text}: {text}" if text else "")
    return ours(row, words.format(http=http))


_ANSWERS: Final = {
    408: (NO_ANSWER, "the webhook answered {http}"),
    413: (MESSAGE_TOO_BIG, "the message is larger than the webhook takes"),
    422: (REFUSED_BY_TARGET, ""),
    425: (NO_ANSWER, "the webhook answered {http}"),
    429: (RATE_LIMITED, "the webhook is busy"),
}
_CLASSES: Final = {
    3: (MISCONFIGURED, "the webhook answered {http}, and redirects are not followed"),
    5: (NO_ANSWER, "the webhook answered {http}"),
}


def no_answer(text: str = "") -> Outcome:
    """Nothing was heard in time, or there was no connection."""
    return ours(NO_ANSWER, text or "the target does not answer")


def cut_off(text: str = "") -> Outcome:
    """The connection ended before there was an answer; the target may have the message."""
    return ours(CONNECTION_LOST, text or "the connection to the target was lost")


def no_tls(text: str) -> Outcome:
    """The webhook could not prove who it is, or does not speak our TLS."""
    return ours(TLS_FAILED, text)
