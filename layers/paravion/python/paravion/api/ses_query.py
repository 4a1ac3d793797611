"""
The SES v1 door: the AWS query protocol, by the service model.

Requests: a form with `Action`, `Version` and members by their path (`Destination.ToAddresses.member.1`); empty
lists may come as an empty text. Answers are XML in the model's namespace.

Next: the operations, in api/ses_v1_*.py.
Standard: AWS query protocol as botocore's serialiser and parser have it; XML 1.0 2.2 (characters).
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from paravion.api.http_event import HttpAnswer
from paravion.api.ses_faults import SesFault, error_form, not_offered, retry_headers
from paravion.api.ses_model import SES_V1, action_name
from paravion.api.ses_shapes import ShapeError, check, from_text
from paravion.domain.status import BAD_REQUEST, NOT_OFFERED, UNKNOWN_OPERATION, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from paravion.api.doors import Call
    from paravion.api.http_event import HttpRequest

_VERSION: Final = "2010-12-01"
_NAMESPACE: Final = f"http://ses.amazonaws.com/doc/{_VERSION}/"
_FIELDS_MAX: Final = 2000
"""Form fields of one request: 50 addresses, 50 tags and headers stay far below."""

_NAMES: Final = {
    "BadRequestException": "InvalidParameterValue",
    "NotFoundException": "InvalidParameterValue",
    "ConflictException": "InvalidParameterValue",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "AccessDeniedException": "AccessDenied",
    "RequestExpired": "SignatureDoesNotMatch",
    "RequestEntityTooLargeException": "RequestEntityTooLarge",
    "UnknownOperationException": "InvalidAction",
    "TooManyRequestsException": "Throttling",
    "ServiceUnavailableException": "ServiceUnavailable",
    "InternalServiceErrorException": "InternalFailure",
    "no_such_configuration_set": "ConfigurationSetDoesNotExistException",
    "configuration_set_paused": "ConfigurationSetSendingPausedException",
    "no_such_template": "TemplateDoesNotExistException",
    "invalid_template": "InvalidTemplateException",
    "rendering_data": "InvalidRenderingParameterException",
    "rendering_failed": "InvalidRenderingParameterException",
    "template_attribute_missing": "MissingRenderingAttributeException",
    "sending_paused": "AccountSendingPausedException",
    "quota_exceeded": "Throttling",
    "rate_exceeded": "Throttling",
    "no_such_verification_template": "CustomVerificationEmailTemplateDoesNotExistException",
    "verification_template_exists": "CustomVerificationEmailTemplateAlreadyExistsException",
    "verification_template_invalid": "CustomVerificationEmailInvalidContentException",
    "sender_not_verified": "FromEmailAddressNotVerifiedException",
}
"""This protocol's names for the taxonomy's, which are v2's."""

_OVER_QUOTA: Final = frozenset({"quota_exceeded", "rate_exceeded"})

_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


class SesV1Door:
    """Serves `POST /`."""

    name = "ses-v1"

    def __init__(self, is_others: Callable[[str], bool] | None = None) -> None:
        """Make a door; `is_others` says which actions the function that manages answers."""
        self._is_others = is_others

    def _handed_on(self, call: Call[Any]) -> HttpAnswer:
        """Let the function that manages answer; it authenticates the very same request for itself."""
        if call.deps.management is None:
            raise SesFault(NOT_OFFERED.ses, "Management actions are not offered at this address.", NOT_OFFERED)
        given = call.deps.management.invoke(call.request.to_event())
        return HttpAnswer(given["statusCode"], given.get("body", ""), given.get("headers", {}))

    def takes(self, request: HttpRequest) -> bool:
        """By its path; a GET, which this API could have been asked by once, only if it names an action."""
        return request.path == "/" and (request.method == "POST" or "Action=" in request.query)

    def is_open(self, request: HttpRequest) -> bool:  # noqa: ARG002 (a Door)
        """Never."""
        return False

    def answer(self, call: Call[Any]) -> HttpAnswer:
        """Parse, check, call and answer. Raises as the operation does."""
        form = _read_form(call.request)
        action = form.pop("Action", "")
        if self._is_others is not None and self._is_others(action):
            return self._handed_on(call)
        model = SES_V1.named(action)
        if call.request.method != "POST" or model is None or form.pop("Version", _VERSION) != _VERSION:
            shown = f"{ascii(action)[1:-1][:60]}" or "(none)"
            raise SesFault(UNKNOWN_OPERATION.ses, f"Could not find operation {shown} for version {_VERSION}",
                           UNKNOWN_OPERATION)  # fmt: skip
        function = SES_V1.function(action)
        if function is None:
            raise not_offered(action)
        call.require(action_name(action))
        given: dict[str, Any] = {}
        try:
            if model.input_shape is not None:
                given = _structure(_tree(form), model.input_shape, "")
                check(given, model.input_shape)
        except ShapeError as exc:
            raise SesFault("ValidationError", str(exc)) from exc
        output = function(given, call)
        result = ""
        if model.output_shape is not None:
            wrapper = model.output_shape.serialization.get("resultWrapper", f"{action}Result")
            result = _element(wrapper, "".join(_members(output, model.output_shape)))
        metadata = _element("ResponseMetadata", _element("RequestId", _escape(call.request.request_id)))
        return _xml(HTTPStatus.OK, f"{action}Response", result + metadata, call.request)

    def refuse(self, request: HttpRequest, rejected: Rejected) -> HttpAnswer:
        """Give the error as SES v1 does."""
        form = error_form(rejected, {**_NAMES, **SES_V1.error_codes}, SES_V1.error_http)
        http = form.http
        if rejected.status.key in _OVER_QUOTA:
            # By its name an SDK knows it as a throttle, and repeats; SES calls it the sender's fault.
            form = replace(form, is_senders_fault=True)
            http = HTTPStatus.BAD_REQUEST
        if form.is_senders_fault:
            # "InvalidAction" and the like have no HTTP status of their own in this protocol.
            http = HTTPStatus.BAD_REQUEST if http == HTTPStatus.NOT_FOUND else http
        parts = (
            ("Type", "Sender" if form.is_senders_fault else "Receiver"),
            ("Code", form.name),
            ("Message", form.text),
        )
        error = _element("Error", "".join(_element(name, _escape(text)) for name, text in parts))
        body = error + _element("RequestId", _escape(request.request_id))
        return _xml(http, "ErrorResponse", body, request, retry_headers(rejected))


def _read_form(request: HttpRequest) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as exc:
        raise SesFault("MalformedQueryString", "The body is not a form in UTF-8", BAD_REQUEST) from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise SesFault("InvalidQueryParameter", "A parameter is given more than once", BAD_REQUEST)
    return form


_Tree = dict[str, Any]
"""A form by its dots: texts at the leaves."""


def _tree(form: dict[str, str]) -> _Tree:
    root: _Tree = {}
    for path, text in form.items():
        node = root
        *parents, leaf = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ShapeError(f"Parameter {_shown(path)} contradicts another one")
        if leaf in node:
            raise ShapeError(f"Parameter {_shown(path)} contradicts another one")
        node[leaf] = text
    return root


def _value(node: _Tree | str, shape: Any, where: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(node, shape, where)
    if kind == "list":
        return _list(node, shape, where)
    if kind == "map":
        return _map(node, shape, where)
    if not isinstance(node, str):
        raise ShapeError(f"Unknown parameter {_shown(f'{where}.{next(iter(node))}')}")
    return from_text(node, shape, where)


def _structure(node: _Tree | str, shape: Any, where: str) -> dict[str, Any]:
    if node == "":
        return {}
    if isinstance(node, str):
        raise ShapeError(f"Parameter {_shown(where)} must have members")
    members = {member.serialization.get("name", name): name for name, member in shape.members.items()}
    given: dict[str, Any] = {}
    for wire, child in node.items():
        path = f"{where}.{wire}" if where else wire
        if wire not in members:
            raise ShapeError(f"Unknown parameter {_shown(path)}")
        given[members[wire]] = _value(child, shape.members[members[wire]], path)
    return given


def _list(node: _Tree | str, shape: Any, where: str) -> list[Any]:
    name = shape.member.serialization.get("name", "member")
    if not shape.serialization.get("flattened") and node != "":
        node = _only(node, name, where)
        where = f"{where}.{name}"
    return [_value(child, shape.member, f"{where}.{n}") for n, child in _numbered(node, where)]


def _map(node: _Tree | str, shape: Any, where: str) -> dict[str, Any]:
    if not shape.serialization.get("flattened") and node != "":
        node, where = _only(node, "entry", where), f"{where}.entry"
    key = shape.key.serialization.get("name", "key")
    value = shape.value.serialization.get("name", "value")
    found: dict[str, Any] = {}
    for number, entry in _numbered(node, where):
        if not isinstance(entry, dict) or set(entry) != {key, value} or not isinstance(entry[key], str):
            raise ShapeError(f"Parameter {_shown(f'{where}.{number}')} must have {key} and {value}")
        found[entry[key]] = _value(entry[value], shape.value, f"{where}.{number}.{value}")
    return found


def _only(node: _Tree | str, name: str, where: str) -> _Tree | str:
    if isinstance(node, dict) and set(node) == {name}:
        child: _Tree | str = node[name]
        return child
    raise ShapeError(f"Parameter {_shown(where)} must have members named {name}")


def _numbered(node: _Tree | str, where: str) -> list[tuple[int, _Tree | str]]:
    """The children by their number, which may have gaps as AWS lets it."""
    if node == "":
        return []
    if isinstance(node, str) or not all(n.isascii() and n.isdecimal() and len(n) < 6 for n in node):  # noqa: PLR2004 (far above _FIELDS_MAX)
        raise ShapeError(f"Parameter {_shown(where)} must have numbered members")
    return sorted(((int(number), child) for number, child in node.items()), key=lambda item: item[0])


def _members(output: Any, shape: Any) -> Iterator[str]:
    for name, value in output.items():
        if value is not None:
            member = shape.members[name]
            yield from _written(member.serialization.get("name", name), value, member)


def _written(name: str, value: Any, shape: Any) -> Iterable[str]:
    kind = shape.type_name
    if kind == "structure":
        return [_element(name, "".join(_members(value, shape)))]
    if kind == "list":
        flat = shape.serialization.get("flattened")
        inner = name if flat else shape.member.serialization.get("name", "member")
        items = "".join("".join(_written(inner, item, shape.member)) for item in value)
        return [items if flat else _element(name, items)]
    if kind == "map":
        entries = "".join(
            _element("entry", _element("key", _escape(key)) + "".join(_written("value", item, shape.value)))
            for key, item in value.items()
        )
        return [_element(name, entries)]
    return [_element(name, _escape(_scalar(value)))]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _escape(text: str) -> str:
    return _NOT_XML.sub("?", text).translate(_ESCAPES)


def _shown(path: str) -> str:
    return ascii(path)[:100]


def _xml(status: int, root: str, inner: str, request: HttpRequest, headers: dict[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(
        status,
        f'<{root} xmlns="{_NAMESPACE}">{inner}</{root}>\n',
        {"content-type": "text/xml", "x-amzn-RequestId": request.request_id, **(headers or {})},
    )
