"""
SES's own errors: those that a service model names and that the mail taxonomy has no row for.

`SesFault` is raised by operations; what is a `Rejected` gets its SES name from domain/status.py. Both end as an
`ErrorForm`, which each protocol writes in its way. The HTTP status is the service model's where it has the
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion.api.http_event import retry_after
from paravion.domain.sigv4 import IncompleteSignature
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, NOT_OFFERED, QUOTA_EXCEEDED, Rejected, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_LONGEST_WAIT_S: Final = 20.0

_INCOMPLETE: Final = "IncompleteSignature"

_COARSER: Final[dict[int, int]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED: HTTPStatus.FORBIDDEN,
}
"""What is finer in the taxonomy (and in the native API) than in AWS's answers."""


class SesFault(Rejected):
    """
    An error by its SES name.

    Args:
        name: A shape of the service model, e.g. `NotFoundException`, or a common error's name.
        text: What SES says, or we in its place.
    """

    def __init__(self, name: str, text: str, status: Status = BAD_REQUEST) -> None:
        super().__init__(status, text)
        self.name = name


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """An error as a protocol writes it; `text` is for the caller."""

    name: str
    http: int
    text: str
    is_senders_fault: bool


def bad_request(text: str) -> SesFault:
    """Refuse input, in v2's words; v1 has its own name for the same."""
    return SesFault("BadRequestException", text)


def refuse_unsupported(given: Mapping[str, Any], names: Iterable[str]) -> None:
    """
    Refuse members that the service model has and we have not built: never ignored.

    Raises:
        SesFault: BadRequestException, naming the first.
    """
    for name in names:
        if name in given:
            raise bad_request(f"{name} is not supported by paravion yet.")


def not_offered(operation: str) -> SesFault:
    """Refuse an operation that SES has and we have not, saying why."""
    from paravion.api.ses_coverage import refusal  # seldom asked for

    return SesFault(NOT_OFFERED.ses, refusal(operation), NOT_OFFERED)


def not_found(text: str) -> SesFault:
    """Refuse the name of a thing that does not exist."""
    return SesFault(NOT_FOUND.ses, text, NOT_FOUND)


def retry_headers(rejected: Rejected) -> dict[str, str]:
    """
    Tell an SDK how long to wait after a transient error, within what it can bear.

    Some wait for as long as they are told: a day, for a quota, would hang the caller; SES tells nothing.
    """
    if not rejected.status.is_transient or rejected.status.key == QUOTA_EXCEEDED.key:
        return {}
    return {"Retry-After": retry_after(min(rejected.wait_s, _LONGEST_WAIT_S))}


def error_form(rejected: Rejected, names: Mapping[str, str], model_http: Mapping[str, int]) -> ErrorForm:
    """
    Give an error its name and HTTP status.

    Args:
        rejected: What was raised.
        names: This protocol's names for v2's, and for the taxonomy's keys where it tells apart what v2 does not.
        model_http: HTTP status by shape name, of the errors that the service model has.
    """
    if isinstance(rejected, SesFault):
        name = rejected.name
    elif isinstance(rejected, IncompleteSignature):
        name = _INCOMPLETE
    else:
        name = names.get(rejected.status.key, rejected.status.ses)
    status = rejected.status
    http = model_http.get(name, status.http)
    http = _COARSER.get(http, http)
    return ErrorForm(names.get(name, name), int(http), rejected.detail or status.text, not status.is_transient)
