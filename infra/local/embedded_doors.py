"""
The HTTP doors of the embedded engine: requests go to the services' doors as they came, not as Lambda events.

    PUT  /uploads/{id}        large messages (adapters/embedded_uploads.py)
    what the template routes  `validate` and `admin`, as there (tests/unit/local/test_embedded_doors.py)
    paths of local mode       pages.py

While there is too much of something (embedded_pressure.py) no message and no upload is taken.
At most BUSY requests are worked on at once; who comes beyond gets 503 with Retry-After before anything is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from infra.local.events import Request, Response, message_response, try_later_response
from infra.local.web import BODY_OCTETS as READ_OCTETS
from infra.local.web import too_big, too_large_response
from paravion.adapters.embedded_uploads import PATH as UPLOADS
from paravion.api.doors import answer
from paravion.api.http_event import HttpAnswer, HttpRequest
from paravion.domain.status import PAYLOAD_TOO_BIG, SYSTEM_BUSY, Rejected
from paravion.errors import Unavailable
from paravion.services.validate import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from infra.local.web import Receiver
    from paravion.adapters.embedded_uploads import EmbeddedUploads, Incoming
    from paravion.domain.submission import Receipt, Submission
    from paravion.services.admin import AdminDeps
    from paravion.services.validate import ValidateDeps

VALIDATE_ROUTES: Final = frozenset({
    ("POST", "/"),
    ("POST", "/v2/email/outbound-emails"),
    ("POST", "/v2/email/outbound-bulk-emails"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/uploads"),
})  # fmt: skip
"""What the template gives to `validate`; everything else is `admin`'s."""

HEALTH: Final = "/v1/health"
BUSY: Final = 256
BODY_OCTETS: Final = 6 * 1024 * 1024
"""Lambda's limit of a request, so that a client meets the same one everywhere; larger messages are uploaded."""

UPLOAD_OCTETS: Final = 48 * 1024 * 1024
"""More than any message that settings allow."""


def body_limit(target: str) -> int:
    """Give the largest body that a request to `target` may have."""
    # Somewhat more than is taken: the client can send all of it, and reads why it is refused.
    return UPLOAD_OCTETS if target.startswith(UPLOADS) else READ_OCTETS


class EmbeddedDoors:
    """
    Answers requests; belongs to one event loop.

    Args:
        executor: Where services block.
        local: Answers local mode's own paths, None for all others.
        closed_to_mail: Gives why no mail is taken now, else "".
        is_well: Says whether the rest of the engine works.
    """

    def __init__(
        self,
        validate: ValidateDeps,
        admin: AdminDeps,
        uploads: EmbeddedUploads,
        executor: Executor,
        local: Callable[[Request], Response | None],
        closed_to_mail: Callable[[], str] = lambda: "",
        is_well: Callable[[], bool] = lambda: True,
    ) -> None:
        # Importing the doors loads the service models; a test of the routes does without.
        from paravion.api.admin_doors import ADMIN_DOORS
        from paravion.api.validate_doors import VALIDATE_DOORS

        validate = replace(validate, management=_Admin(partial(answer, deps=admin, doors=ADMIN_DOORS)))
        self._submitting = partial(answer, deps=validate, doors=VALIDATE_DOORS, submit=self._submit)
        self._managing = partial(answer, deps=admin, doors=ADMIN_DOORS)
        self._all_doors = VALIDATE_DOORS
        self._validate = validate
        self._closed_to_mail = closed_to_mail
        self._is_well = is_well
        self._uploads = uploads
        self._executor = executor
        self._local = local
        self._busy = 0

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        own = self._local(request)
        if own is not None:
            return own
        if self._busy >= BUSY:
            return try_later_response()
        path = request.raw_path
        if path == HEALTH and not self._is_well():
            return message_response(HTTPStatus.SERVICE_UNAVAILABLE, "The workers do not answer")
        if path.startswith(UPLOADS):
            return self._upload_refusal(request, len(request.body)) or _forbidden()
        if len(request.body) > BODY_OCTETS:
            return self.too_large(request, BODY_OCTETS)
        service = self._submitting if (request.method, path) in VALIDATE_ROUTES else self._managing
        work: Callable[[], Response] = partial(_serve, service, request)
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._busy -= 1

    def too_large(self, request: Request, limit: int) -> Response:
        """Say what AWS says, in the form of whoever was meant, and name the way for large mail."""
        if request.raw_path.startswith(UPLOADS):
            return too_large_response(request, limit)
        asked = to_request(request)
        door = next((door for door in self._all_doors if door.takes(asked)), self._all_doors[-1])
        return _serve(lambda _: door.refuse(asked, Rejected(PAYLOAD_TOO_BIG, too_big(BODY_OCTETS))), request)

    def _submit(self, submission: Submission) -> Receipt:
        """Take a submission, or say that none is taken: in its door's own form, before anything is kept."""
        if closed := self._closed_to_mail():
            raise Rejected(SYSTEM_BUSY, closed)
        return submit(submission, self._validate)

    def receiver(self, request: Request, octets: int) -> Receiver | None:
        """Give who takes a large message as it comes, or reads and drops what may not come; None: it is none."""
        if not request.raw_path.startswith(UPLOADS):
            return None
        refusal = self._upload_refusal(request, octets)
        return _Unread(refusal) if refusal else _Upload(self._uploads, _upload_id(request))

    def _upload_refusal(self, request: Request, octets: int) -> Response | None:
        """Say why so many octets are not taken at an upload's path: for who has no ticket nothing of them is held."""
        if request.method != "PUT":
            return message_response(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
        if self._closed_to_mail():
            return try_later_response()
        is_allowed = self._uploads.allows(_upload_id(request), dict(parse_qsl(request.query)), octets)
        return None if is_allowed else _forbidden()


def _upload_id(request: Request) -> str:
    return unquote(request.raw_path.removeprefix(UPLOADS))


def _forbidden() -> Response:
    return message_response(HTTPStatus.FORBIDDEN, "Forbidden")


class _Unread:
    """infra.local.web.Receiver of what is not taken."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    def write(self, octets: bytes) -> None:
        """Drop it."""

    def end(self) -> Response:
        """Say why."""
        return self._answer

    def close(self) -> None:
        """Nothing is held."""


class _Upload:
    """infra.local.web.Receiver of one upload; what the disk does not take is read all the same, and answered."""

    def __init__(self, uploads: EmbeddedUploads, upload_id: str) -> None:
        self._incoming: Incoming | None = None
        with contextlib.suppress(Unavailable):
            self._incoming = uploads.begin(upload_id)

    def write(self, octets: bytes) -> None:
        """Write on."""
        try:
            if self._incoming is not None:
                self._incoming.write(octets)
        except Unavailable:
            self.close()

    def end(self) -> Response:
        """Keep it."""
        if self._incoming is None:
            return try_later_response()
        try:
            self._incoming.finish()
        except Unavailable:
            return try_later_response()
        return Response(HTTPStatus.OK, (), b"")

    def close(self) -> None:
        """Remove what is not kept."""
        if self._incoming is not None:
            self._incoming.__exit__()
            self._incoming = None


class _Admin:
    """ports.Management in the same process."""

    def __init__(self, managing: Callable[[HttpRequest], HttpAnswer]) -> None:
        self._managing = managing

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """See ports.Management."""
        return self._managing(HttpRequest.from_event(event)).to_event()


def _serve(service: Callable[[HttpRequest], HttpAnswer], request: Request) -> Response:
    given = service(to_request(request))
    return Response(int(given.status), tuple(given.headers.items()), given.body.encode())


def to_request(request: Request) -> HttpRequest:
    """Give a request as the doors have it; fields of one name are joined, as API Gateway joins them."""
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return HttpRequest(
        method=request.method,
        path=request.raw_path,
        query=request.query,
        headers=headers,
        body=request.body,
        client_address=request.peer,
    )
