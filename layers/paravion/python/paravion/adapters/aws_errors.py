"""
Turn what botocore raises into our exceptions: one place that knows AWS's error codes.

Everything that is not named is an outage (law 7): refusing for good is for the caller to decide, on a code
that it knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as NotConnected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paravion.domain.outcome import Outcome
    from paravion.errors import Unavailable


def error_code(exc: ClientError) -> str:
    """Give the service's error code, e.g. `NoSuchKey`."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def lost_condition(exc: Unavailable) -> bool:
    """Say whether it was the condition of a write to DynamoDB that failed: an answer, not an outage."""
    cause = exc.__cause__
    return isinstance(cause, ClientError) and error_code(cause) == "ConditionalCheckFailedException"


@contextmanager
def as_unavailable(kind: type[Unavailable], what: str) -> Iterator[None]:
    """Raise `kind` for every failure of the AWS calls inside."""
    try:
        yield
    except ClientError as exc:
        raise kind(f"{what}: {error_code(exc)}") from exc
    except BotoCoreError as exc:
        raise kind(f"{what}: {type(exc).__name__}") from exc


def outcome_at_target(hand_over: Callable[[], str]) -> Outcome:
    """Make the call that hands a message to a target; what it answers, or fails with, becomes an outcome."""
    from paravion.domain import target_verdict

    try:
        return target_verdict.taken(hand_over())
    except ClientError as exc:
        http = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return target_verdict.judge_service(error_code(exc), http)
    except (ReadTimeoutError, ConnectionClosedError) as exc:
        return target_verdict.cut_off(f"the target's service gave no answer ({type(exc).__name__})")
    except (HTTPClientError, NotConnected, NoCredentialsError) as exc:
        return target_verdict.no_answer(f"the target's service can't be reached ({type(exc).__name__})")
    except BotoCoreError as exc:
        return target_verdict.misconfigured(f"the target can't be used as it is set up ({type(exc).__name__})")


def was_refused_as(exc: Exception, codes: frozenset[str]) -> bool:
    """Say whether a service refused a call with one of these codes."""
    return isinstance(exc, ClientError) and error_code(exc) in codes


_ABOUT_CONTENT: Final = frozenset(
    {
        "BatchRequestTooLong",
        "InvalidArgumentException",
        "InvalidFormat",
        "InvalidParameter",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "MissingParameter",
        "RequestEntityTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
_TOO_LARGE: Final = 413


def answer_of(call: Callable[[], Any]) -> tuple[Mapping[str, Any], str, bool]:
    """
    Make a call of several entries.

    Returns:
        Its answer; or {}, why there is none in words for the operator, and whether the call was refused for what was
        in it, so that a part of it may be taken. A code that is not known speaks of the destination or of us.
    """
    try:
        return call() or {}, "", False
    except ClientError as exc:
        http = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        problem = f"{error_code(exc)}: {exc.response.get('Error', {}).get('Message')}"[:300]
        return {}, problem, http == _TOO_LARGE or error_code(exc) in _ABOUT_CONTENT
    except BotoCoreError as exc:
        return {}, type(exc).__name__, isinstance(exc, ParamValidationError)
