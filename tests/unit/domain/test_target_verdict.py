"""The table of domain/target_verdict.py, row by row."""

from __future__ import annotations

import pytest

from paravion.domain.outcome import HANDED_OVER, Outcome, Result
from paravion.domain.target_verdict import (
    OPERATORS,
    cut_off,
    judge_service,
    judge_webhook,
    misconfigured,
    no_answer,
    no_tls,
    taken,
)

DELIVERED, DEFERRED, FAILED = Result.DELIVERED, Result.DEFERRED, Result.FAILED


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        ("TooManyRequestsException", 429, "4.4.5"), ("Throttling", 400, "4.4.5"), ("ThrottlingException", 400, "4.4.5"),
        ("RequestThrottled", 403, "4.4.5"), ("KmsThrottled", 400, "4.4.5"), ("Whatever", 429, "4.4.5"),
        ("ServiceException", 500, "4.4.1"), ("InternalError", 500, "4.4.1"), ("Whatever", 503, "4.4.1"),
        ("EC2ThrottledException", 502, "4.4.5"), ("ResourceConflictException", 409, "4.4.1"),
        ("ResourceNotFoundException", 404, "4.3.5"), ("NotFound", 404, "4.3.5"),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, "4.3.5"), ("QueueDoesNotExist", 400, "4.3.5"),
        ("AccessDeniedException", 403, "4.3.5"), ("AccessDenied", 403, "4.3.5"), ("AuthorizationError", 403, "4.3.5"),
        ("KmsDisabled", 400, "4.3.5"), ("KMSAccessDenied", 400, "4.3.5"), ("InvalidParameter", 400, "4.3.5"),
        ("ExpiredToken", 403, "4.3.5"), ("EndpointDisabled", 400, "4.3.5"), ("InvalidMessageContents", 400, "4.3.5"),
        ("SomethingNew", 400, "4.3.5"), ("", 0, "4.3.5"),
    ],
)  # fmt: skip
def test_service_fails_nobodys_mail(code: str, http: int, status: str) -> None:
    """A service's no is an operator's affair, or passes."""
    outcome = judge_service(code, http)
    assert (outcome.result, outcome.status, outcome.command, outcome.code) == (DEFERRED, status, HANDED_OVER, 0)
    assert code in outcome.text


@pytest.mark.parametrize(
    ("http", "result", "status"),
    [
        (200, DELIVERED, "2.0.0"), (202, DELIVERED, "2.0.0"), (204, DELIVERED, "2.0.0"), (299, DELIVERED, "2.0.0"),
        (301, DEFERRED, "4.3.5"), (302, DEFERRED, "4.3.5"), (307, DEFERRED, "4.3.5"), (304, DEFERRED, "4.3.5"),
        (400, DEFERRED, "4.3.5"), (401, DEFERRED, "4.3.5"), (403, DEFERRED, "4.3.5"), (404, DEFERRED, "4.3.5"),
        (405, DEFERRED, "4.3.5"), (410, DEFERRED, "4.3.5"), (418, DEFERRED, "4.3.5"), (415, DEFERRED, "4.3.5"),
        (408, DEFERRED, "4.4.1"), (425, DEFERRED, "4.4.1"), (429, DEFERRED, "4.4.5"),
        (413, FAILED, "5.3.4"), (422, FAILED, "5.6.0"),
        (500, DEFERRED, "4.4.1"), (501, DEFERRED, "4.4.1"), (502, DEFERRED, "4.4.1"), (503, DEFERRED, "4.4.1"),
        (600, DEFERRED, "4.3.5"), (999, DEFERRED, "4.3.5"), (0, DEFERRED, "4.3.5"),
    ],
)  # fmt: skip
def test_webhook_fails_mail_by_413_and_422_alone(http: int, result: Result, status: str) -> None:
    """A program that has read the message says these two; the rest is a wrong URL, or passes."""
    outcome = judge_webhook(http)
    assert (outcome.result, outcome.status, outcome.command, outcome.code) == (result, status, HANDED_OVER, 0)


def test_words_of_a_webhook_are_shown_for_a_refusal_alone() -> None:
    """What a server says of its own trouble is not the sender's affair."""
    assert judge_webhook(422, "no such ticket").text.endswith(": no such ticket")
    for http in (200, 302, 404, 413, 429, 500):
        assert "secret" not in judge_webhook(http, "secret").text


@pytest.mark.parametrize(
    ("outcome", "status", "operators"),
    [
        (taken("MessageId 1"), "2.0.0", False), (no_answer(), "4.4.1", False), (cut_off(), "4.4.2", False),
        (no_tls("certificate"), "4.7.0", True), (misconfigured("no secret"), "4.3.5", True),
    ],
)  # fmt: skip
def test_faults(outcome: Outcome, status: str, operators: bool) -> None:
    """What is an operator's to mend is told apart."""
    assert outcome.status == status
    assert (outcome.status in OPERATORS) is operators
    assert (outcome.result is DELIVERED) is (status[0] == "2")
