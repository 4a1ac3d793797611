"""
The SES v2 door: rest-json, by the service model, and by the paths that SDKs of earlier years have (ses_model.MOVED).

Requests: labels in the path, the query string, and a JSON body; SES v2 has no headers or payload members.
Errors: `x-amzn-ErrorType` and `{"message"}`, with HTTP status as the model has it.

Next: the operations, in api/ses_v2_*.py.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion.api.http_event import HttpAnswer
from paravion.api.ses_faults import SesFault, bad_request, error_form, not_offered, retry_headers
from paravion.api.ses_model import SES_V2, names_of_content
from paravion.api.ses_shapes import ShapeError, check, from_json, from_text, to_json
from paravion.domain.status import UNKNOWN_OPERATION, Rejected

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from paravion.api.doors import Call
    from paravion.api.http_event import HttpRequest

_NAMES: Final = {
    "InvalidClientTokenId": "UnrecognizedClientException",
    "RequestExpired": "SignatureDoesNotMatch",
}
"""This protocol's names for the taxonomy's."""

_PAGE_MEMBERS: Final = frozenset({"NextToken", "PageSize"})
"""What stands in the query string or in the body, as the SDK's year has it (ses_model.MOVED)."""

_V1_PATH: Final = "/v1/email/"
"""Where SES v2 had an operation by mistake, for years."""


class SesV2Door:
    """Serves `/v2/…`."""

    name = "ses-v2"

    def takes(self, request: HttpRequest) -> bool:
        """By its path."""
        return request.path.startswith(("/v2/", _V1_PATH))

    def is_open(self, request: HttpRequest) -> bool:  # noqa: ARG002 (a Door)
        """Never."""
        return False

    def answer(self, call: Call[Any]) -> HttpAnswer:
        """Route, parse, check, call and answer. Raises as the operation does."""
        request = call.request
        found = SES_V2.routed(request.method, request.path)
        if found is None:
            raise SesFault(UNKNOWN_OPERATION.ses, "Unknown operation", UNKNOWN_OPERATION)
        model, labels = found
        function = SES_V2.function(model.name)
        if function is None:
            raise not_offered(model.name)
        call.require(*names_of_content(model.name))
        try:
            given = _parse(request, model, labels)
        except ShapeError as exc:
            raise bad_request(str(exc)) from exc
        call.require(*names_of_content(model.name, given))
        output = function(given, call)
        shape = model.output_shape
        body = json.dumps(to_json(output, shape) if shape else {}, separators=(",", ":"))
        return HttpAnswer(HTTPStatus.OK, body, _headers(request))

    def refuse(self, request: HttpRequest, rejected: Rejected) -> HttpAnswer:
        """Give the error as SES v2 does."""
        form = error_form(rejected, _NAMES, SES_V2.error_http)
        headers = {**_headers(request), "x-amzn-ErrorType": form.name, **retry_headers(rejected)}
        return HttpAnswer(form.http, json.dumps({"message": form.text}), headers)


def _headers(request: HttpRequest) -> dict[str, str]:
    return {"content-type": "application/json", "x-amzn-RequestId": request.request_id}


def _parse(request: HttpRequest, model: OperationModel, labels: dict[str, str]) -> dict[str, Any]:
    """Gather the input from where its shape says, and check it."""
    shape = model.input_shape
    if shape is None:
        return {}
    either = _PAGE_MEMBERS if model.name in SES_V2.moved else frozenset()
    given = _body(request, shape, either)
    parameters = request.parameters()
    for name, member in shape.members.items():
        location = "querystring" if name in either else member.serialization.get("location")
        key = member.serialization.get("name", name)
        if location == "uri":
            given[name] = from_text(labels[key], member, name)
        elif location == "querystring" and key in parameters:
            given[name] = _of_query(parameters.pop(key), member, name)
    if parameters:
        raise ShapeError(f"Unknown query parameter {ascii(min(parameters))[:100]}")
    check(given, shape)
    return given


def _body(request: HttpRequest, shape: Any, either: frozenset[str]) -> dict[str, Any]:
    if not request.body.strip():
        return {}
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as exc:
        raise ShapeError("The request body is not valid JSON") from exc
    if not isinstance(value, dict):
        raise ShapeError("The request body must be a JSON object")
    located = [name for name, member in shape.members.items() if "location" in member.serialization]
    for name in located:
        if name in value and name not in either:
            raise ShapeError(f"{name} does not belong in the body")
    given: dict[str, Any] = from_json(value, shape)
    return given


def _of_query(values: list[str], member: Any, name: str) -> Any:
    if member.type_name == "list":
        return [from_text(value, member.member, name) for value in values]
    if len(values) > 1:
        raise ShapeError(f"{name} is given more than once")
    return from_text(values[0], member, name)
