"""
The one way through every HTTP door: find the route, authenticate, call, answer; each error in its door's form.

A door is a wire format (api/native.py, api/ses_rest_json.py, api/ses_query.py). Unknown trouble becomes a
transient error without particulars; the log gets its type and place, never content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from paravion.api.http_event import HttpAnswer, HttpRequest
from paravion.domain.status import (
    BAD_REQUEST,
    INTERNAL,
    MISCONFIGURED,
    SPOOL_UNAVAILABLE,
    SYSTEM_BUSY,
    Rejected,
)
from paravion.errors import Misconfigured, SpoolUnavailable, Unavailable
from paravion.services.authenticate import Principal, authenticate
from paravion.services.authorise import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.status import Status
    from paravion.domain.submission import Receipt, Submission
    from paravion.ports import EventLog, Secrets


class DoorSettings(Protocol):
    """Settings that every door reads."""

    @property
    def credential_region(self) -> str:
        """Region of the Basic password's derivation, and of the ARNs that we give."""
        ...

    @property
    def account_id(self) -> str:
        """Of the ARNs that we give."""
        ...


class DoorDeps(Protocol):
    """What every door needs, whichever function it stands in."""

    @property
    def settings(self) -> DoorSettings: ...  # noqa: D102 (an attribute)
    @property
    def secrets(self) -> Secrets: ...  # noqa: D102
    @property
    def event_log(self) -> EventLog: ...  # noqa: D102
    @property
    def clock(self) -> Callable[[], float]: ...  # noqa: D102


D = TypeVar("D", bound=DoorDeps)


def _no_submission(submission: Submission) -> Receipt:
    raise NotImplementedError("no submission through this function")


@dataclass(slots=True)
class Call(Generic[D]):
    """
    One authenticated request on its way to its answer.

    Attributes:
        submit: Keeps one message and promises it: services/validate.py.
        is_told: The submission has been logged, refused or not, by `submit`.
    """

    request: HttpRequest
    principal: Principal
    deps: D
    submit: Callable[[Submission], Receipt] = _no_submission
    is_told: bool = False

    def require(self, *operations: str) -> None:
        """Hold back what the credential is not for; see services/authorise.py. Raises Rejected."""
        require(self.principal, operations, self.deps.settings)

    def own(self, submission: Submission) -> Submission:
        """Give a submission what the request itself says of it: the credential's scope above all."""
        return replace(submission, endpoint=self.request.endpoint, scope=self.principal.scope)

    def send(self, submission: Submission) -> Receipt:
        """Hand a submission on. Raises as services/validate.py's submit."""
        self.is_told = True
        return self.submit(self.own(submission))


class Door(Protocol):
    """A wire format."""

    name: str

    def takes(self, request: HttpRequest) -> bool:
        """Say whether the request speaks this format; of several doors the first that does is taken."""
        ...

    def is_open(self, request: HttpRequest) -> bool:
        """Say whether the request needs no authentication."""
        ...

    def answer(self, call: Call[Any]) -> HttpAnswer:
        """
        Do what the request asks, once `call.require` let its operation pass.

        Raises:
            Rejected, Unavailable, Misconfigured
        """
        ...

    def refuse(self, request: HttpRequest, rejected: Rejected) -> HttpAnswer:
        """Give an error in the door's form; never raises."""
        ...


NOBODY = Principal("")
"""Who asks at what is open to all."""


def serve(
    event: Mapping[str, Any],
    deps: DoorDeps,
    doors: Sequence[Door],
    submit: Callable[[Submission], Receipt] = _no_submission,
) -> HttpAnswer:
    """
    Answer one HTTP API event.

    Args:
        event: Payload format 2.0.
        deps: The function's.
        doors: The last one takes whatever no other does.
        submit: See `Call`.
    """
    return answer(HttpRequest.from_event(event), deps, doors, submit)


def answer(
    request: HttpRequest,
    deps: DoorDeps,
    doors: Sequence[Door],
    submit: Callable[[Submission], Receipt] = _no_submission,
) -> HttpAnswer:
    """Answer one request, however it came; see `serve`."""
    door = next((door for door in doors if door.takes(request)), doors[-1])
    principal = NOBODY
    call: Call[Any] | None = None
    try:
        if request.body_is_broken:
            raise Rejected(BAD_REQUEST, "the body is not the base64 that the gateway said it was")  # noqa: TRY301
        if not door.is_open(request):
            region = deps.settings.credential_region
            principal = authenticate(request, deps.secrets, now=deps.clock(), credential_region=region)
        call = Call(request, principal, deps, submit)
        return door.answer(call)
    except Rejected as rejected:
        if call is None or not call.is_told:
            _log(deps, "Rejection", door, principal, rejected, request)
        return door.refuse(request, rejected)
    except Exception as exc:  # noqa: BLE001 (whatever else goes wrong is ours, transient and nobody's business)
        fault = Rejected(row_of(exc))
        _log(deps, "Fault", door, principal, fault, request, exc)
        return door.refuse(request, fault)


def row_of(exc: Exception) -> Status:
    """Give the row for an exception that is no refusal: ours, and transient."""
    if isinstance(exc, SpoolUnavailable):
        return SPOOL_UNAVAILABLE
    if isinstance(exc, Unavailable):
        return SYSTEM_BUSY
    return MISCONFIGURED if isinstance(exc, Misconfigured) else INTERNAL


def _log(
    deps: DoorDeps,
    event: str,
    door: Door,
    principal: Principal,
    rejected: Rejected,
    request: HttpRequest,
    exc: Exception | None = None,
) -> None:
    fields: dict[str, object] = {
        "door": door.name,
        "principal": principal.access_key,
        "key": rejected.status.key,
        "status": rejected.status.enhanced,
        "detail": rejected.detail,
        "client": request.client_address,
        "request_id": request.request_id,
    }
    if exc is not None:
        fields |= {"fault": type(exc).__name__, "place": place_of(exc)}
    deps.event_log.emit(event, fields)


def place_of(exc: BaseException) -> str:
    """Give where it was raised, file and line: its text could hold content."""
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    return f"{traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}"
