"""
The native door: JSON under `/v1/`, and whatever no other door takes.

Routes are a table, method and path to a function; each function's module registers its own. Errors are
`{"error": {"key", "status", "smtp", "message", "detail"}}` straight from the taxonomy.

The reference is docs/http-api.md.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paravion.api.http_event import json_answer, retry_after
from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, UNKNOWN_OPERATION, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.api.doors import Call
    from paravion.api.http_event import HttpAnswer, HttpRequest

    Resource = Callable[[Call[Any], dict[str, str]], HttpAnswer]
    """Answers one route; the labels of its path are the second argument."""


_INSTANTS: Final = frozenset({"at", "sent_at", "queued_at", "due_at", "created_at", "expires_at", "loaded_at",
                              "updated_at", "since", "last_at", "held_until", "promised_until",
                              "deliver_by"})  # fmt: skip


class _Route(NamedTuple):
    method: str
    template: list[str]
    resource: Resource
    operations: tuple[str, ...]
    is_open: bool


def native_operation(function: str) -> str:
    """Give the operation's name for a function's."""
    return "native:" + "".join(word.capitalize() for word in function.split("_"))


class NativeDoor:
    """Serves the routes that are registered with it."""

    name = "http"

    def __init__(self) -> None:
        self._routes: list[_Route] = []

    def route(
        self,
        method: str,
        template: str,
        *,
        is_open: bool = False,
        operations: tuple[str, ...] | None = None,
    ) -> Callable[[Resource], Resource]:
        """
        Register the function for a method and a path such as `/v1/messages/{queue_id}`.

        A last label `{name+}` takes the rest of the path, slashes and all: API Gateway decodes a path before we
        see it, so that an encoded slash is one.
        With `is_open`, anybody may ask. A credential's scope knows the route by `operations`, of which one must be
        allowed, the first one being its own; by default that is the function's name, `native:ShowQueue` for show_queue.
        (): it is open to every credential.
        """

        def register(resource: Resource) -> Resource:
            names = (native_operation(resource.__name__),) if operations is None else operations
            self._routes.append(_Route(method, template.split("/")[1:], resource, names, is_open))
            return resource

        return register

    @property
    def operations(self) -> dict[str, tuple[str, str]]:
        """Method and path of each operation that a scope can name."""
        return {
            route.operations[0]: (route.method, "/" + "/".join(route.template))
            for route in self._routes
            if route.operations and not route.is_open
        }

    def takes(self, request: HttpRequest) -> bool:
        """By its path."""
        return request.path.startswith("/v1/")

    def is_open(self, request: HttpRequest) -> bool:
        """Say whether the route asks for no authentication."""
        found = self._find(request)
        return found is not None and found[0].is_open

    def answer(self, call: Call[Any]) -> HttpAnswer:
        """Find the route and do it. Raises as the resource does."""
        found = self._find(call.request)
        if found is None:
            raise Rejected(UNKNOWN_OPERATION, f"no {call.request.method} {shown(call.request.path)}")
        route, labels = found
        if not route.is_open:
            call.require(*route.operations)
        return route.resource(call, labels)

    def refuse(self, request: HttpRequest, rejected: Rejected) -> HttpAnswer:  # noqa: ARG002 (a Door)
        """Give the error as JSON."""
        status = rejected.status
        error = {
            "key": status.key,
            "status": status.enhanced,
            "smtp": status.smtp,
            "message": status.text,
            "detail": rejected.detail,
        }
        headers = {"Retry_After": retry_after(rejected.wait_s)} if status.is_transient else {}
        return json_answer(status.http, {"error": error}, **headers)

    def _find(self, request: HttpRequest) -> tuple[_Route, dict[str, str]] | None:
        for route in self._routes:
            template = route.template
            segments = request.segments
            if template[-1].endswith("+}"):
                rest = len(template) - 1
                segments = [*segments[:rest], "/".join(segments[rest:])]
            if route.method != request.method or len(template) != len(segments):
                continue
            labels: dict[str, str] = {}
            for expected, segment in zip(template, segments, strict=True):
                if expected.startswith("{") and segment:
                    labels[expected[1:-1].removesuffix("+")] = segment
                elif expected != segment:
                    break
            else:
                return route, labels
        return None


def read_json(request: HttpRequest) -> dict[str, Any]:
    """
    Read a request's JSON object.

    Raises:
        Rejected: bad_request.
    """
    return json_object(request.body)


def json_object(octets: bytes) -> dict[str, Any]:
    """
    Read a JSON object.

    Raises:
        Rejected: bad_request.
    """
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError) as exc:
        raise Rejected(BAD_REQUEST, "the body is not JSON") from exc
    if not isinstance(value, dict):
        raise Rejected(BAD_REQUEST, "the body must be a JSON object")
    return value


def timestamped(value: Any) -> Any:
    """Give a view with its instants (seconds since the epoch) as RFC 3339 has them, in UTC, to the millisecond."""
    if isinstance(value, dict):
        return {
            name: _timestamp(item) if name in _INSTANTS and item is not None else timestamped(item)
            for name, item in value.items()
        }
    return [timestamped(item) for item in value] if isinstance(value, list) else value


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_count(values: list[str] | None, name: str, *, default: int, high: int) -> int:
    """
    Read a query parameter that is a number from 1 to `high`.

    Raises:
        Rejected: bad_request.
    """
    if values is None:
        return default
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdecimal() and len(text) < 10) or not 1 <= int(text) <= high:  # noqa: PLR2004
        raise Rejected(BAD_REQUEST, f"{name} must be one number from 1 to {high}")
    return int(text)


def refuse_unknown(given: dict[str, Any], known: frozenset[str], what: str) -> None:
    """
    Refuse names that mean nothing here: a misspelt option must not be ignored.

    Raises:
        Rejected: bad_request, naming the first.
    """
    unknown = sorted(set(given) - known)
    if unknown:
        raise Rejected(BAD_REQUEST, f"unknown {what} {shown(unknown[0])}")
