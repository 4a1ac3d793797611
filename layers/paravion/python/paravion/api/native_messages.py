"""
Native resources of `validate`: `POST /v1/messages` in both its forms, and `POST /v1/uploads`.

Only shapes are checked here; what a value means is services/validate.py's.

RFC: 3461 4 (NOTIFY, ORCPT, RET, ENVID), 6152 (body type), 6531 (SMTPUTF8).
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paravion.api.http_event import json_answer
from paravion.api.native import NativeDoor, read_json, refuse_unknown, timestamped
from paravion.api.ses_sending import client_literal
from paravion.domain import ids
from paravion.domain.address import MAX_CLIENT, check_envid, check_orcpt, shown
from paravion.domain.envelope import DEADLINE_MAX_S, DeliverBy, Recipient
from paravion.domain.priority import ASKED
from paravion.domain.status import BAD_REQUEST, MESSAGE_TOO_BIG, NOT_FOUND, QUEUED, Rejected
from paravion.domain.submission import Submission
from paravion.services.authorise import SMTP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from paravion.api.doors import Call
    from paravion.api.http_event import HttpAnswer
    from paravion.services.validate import ValidateDeps

VALIDATE_DOOR: Final = NativeDoor()

SUBMIT: Final = "native:SubmitMessage"

_ENVELOPE_KEYS: Final = frozenset({
    "reverse_path", "recipients_from_header", "body_type", "smtputf8", "ret", "envid", "configuration_set", "door",
    "client", "protocol", "aliasing", "tls", "send_at", "priority", "deliver_by", "deliver_by_mode", "deliver_by_trace",
})  # fmt: skip
_JSON_KEYS: Final = _ENVELOPE_KEYS | {"recipients", "content", "upload_id", "upload_ids", "tags"}
_QUERY_KEYS: Final = _ENVELOPE_KEYS | {"recipient", "notify"}
_RECIPIENT_KEYS: Final = frozenset({"forward_path", "notify", "orcpt"})
_FLAGS: Final = frozenset({"recipients_from_header", "smtputf8", "aliasing", "deliver_by_trace"})
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_DOORS: Final = ("http", "smtp", "sendmail")
_PROTOCOLS: Final = ("SMTP", "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_ROUNDING_S: Final = 3600.0
"""A deadline that a door has reckoned, by its own clock."""
_PARTS: Final = 100
"""Parts of one message; a front door puts some megabytes in each."""

_KEY: Final = re.compile(r"[ -~]{1,128}")
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CLIENT: Final = re.compile(rf"[ -~]{{0,{MAX_CLIENT}}}")
_SET_NAME: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")
# Printable ASCII without what would end a parameter on the wire (RFC 3461 4.2, 4.4).
_WIRE_WORD: Final = re.compile(r"[!-~]{0,500}")


class _Form(NamedTuple):
    """What both forms of a submission come to: values by key of the JSON form, recipients, content, its uploads."""

    values: Mapping[str, Any]
    recipients: tuple[Recipient, ...]
    content: bytes | Generator[bytes, None, None]
    uploads: tuple[str, ...]


@VALIDATE_DOOR.route("POST", "/v1/messages", operations=(SUBMIT, SMTP))
def submit_message(call: Call[ValidateDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Take one message. Raises Rejected, Unavailable."""
    form = _rfc822_form(call) if call.request.content_type == "message/rfc822" else _json_form(call)
    call.require(SMTP if form.values.get("door") == "smtp" else SUBMIT)
    key = _idempotency_key(call)
    receipt = call.send(_submission(form, key, call))
    # A caller with a key may repeat and then needs the upload again; what stays vanishes after a day.
    if not key:
        for upload in form.uploads:
            call.deps.uploads.delete(upload)
    answer = {"queue_id": receipt.queue_id, "recipients": receipt.recipient_count, "repeated": receipt.repeated}
    return json_answer(QUEUED.http, answer)


@VALIDATE_DOOR.route("POST", "/v1/uploads", operations=("native:CreateUpload", SUBMIT, SMTP))
def create_upload(call: Call[ValidateDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Allow one PUT of a message that is too large for a request. Raises Rejected."""
    given = read_json(call.request)
    refuse_unknown(given, frozenset({"octets"}), "key")
    octets, limit = given.get("octets"), call.deps.settings.max_message_octets
    if not isinstance(octets, int) or isinstance(octets, bool) or octets < 1:
        raise Rejected(BAD_REQUEST, "octets must be the message's length, 1 or more")
    if octets > limit:
        raise Rejected(MESSAGE_TOO_BIG, f"{octets} octets; at most {limit} are taken")
    upload_id = ids.random_queue_id(call.deps.entropy(16))
    ticket = call.deps.uploads.create(ids.upload_name(upload_id, call.principal.access_key), octets)
    answer = {
        "upload_id": upload_id,
        "url": ticket.url,
        "method": "PUT",
        "headers": dict(ticket.headers),
        "expires_at": ticket.expires_at,
        "max_octets": limit,
    }
    return json_answer(HTTPStatus.CREATED, timestamped(answer))


def _json_form(call: Call[ValidateDeps]) -> _Form:
    given = read_json(call.request)
    refuse_unknown(given, _JSON_KEYS, "key")
    values = {name: value for name, value in given.items() if value is not None}
    items = values.pop("recipients", [])
    if not isinstance(items, list):
        raise Rejected(BAD_REQUEST, "recipients must be a list")
    recipients = tuple(_recipient(item, number) for number, item in enumerate(items))
    if values.get("upload_id") == "":
        del values["upload_id"]
    ways = [name for name in ("content", "upload_id", "upload_ids") if name in values]
    if len(ways) != 1:
        raise Rejected(BAD_REQUEST, "one of content, upload_id and upload_ids must be given")
    given_content = values.pop(ways[0])
    if ways[0] != "content":
        uploads = _uploads([given_content] if ways[0] == "upload_id" else given_content, call)
        return _Form(values, recipients, _read_uploads(uploads, call), uploads)
    if not isinstance(given_content, str):
        raise Rejected(BAD_REQUEST, "content must be base64")
    try:
        return _Form(values, recipients, base64.b64decode(given_content, validate=True), ())
    except (binascii.Error, ValueError) as exc:
        raise Rejected(BAD_REQUEST, "content is not base64") from exc


def _rfc822_form(call: Call[ValidateDeps]) -> _Form:
    parameters = call.request.parameters()
    refuse_unknown(parameters, _QUERY_KEYS, "query parameter")
    forward_paths = parameters.pop("recipient", [])
    notify = [word for value in parameters.pop("notify", []) for word in value.split(",")]
    values: dict[str, Any] = {}
    for name, texts in parameters.items():
        if len(texts) > 1:
            raise Rejected(BAD_REQUEST, f"{name} is given more than once")
        values[name] = _flag(name, texts[0]) if name in _FLAGS else texts[0]
    if not forward_paths:
        values.setdefault("recipients_from_header", True)
    recipients = tuple(Recipient(path, _notify(notify, "notify")) for path in forward_paths)
    return _Form(values, recipients, call.request.body, ())


def _submission(form: _Form, key: str, call: Call[ValidateDeps]) -> Submission:
    values = form.values
    reverse_path = values.get("reverse_path")
    if reverse_path is not None and not isinstance(reverse_path, str):
        raise Rejected(BAD_REQUEST, "reverse_path must be text")
    client = _text(values, "client", _CLIENT, f"up to {MAX_CLIENT} printable ASCII characters")
    tls = _choice(values, "tls", ("require", "requiretls"))
    return Submission(
        principal=call.principal.access_key,
        tenant=call.principal.tenant,
        door=_choice(values, "door", _DOORS) or "http",
        reverse_path=reverse_path,
        recipients=form.recipients,
        content=form.content,
        recipients_from_header=_boolean(values, "recipients_from_header"),
        body_type=_choice(values, "body_type", ("7BIT", "8BITMIME")),
        smtputf8=_boolean(values, "smtputf8"),
        ret=_choice(values, "ret", ("FULL", "HDRS")),
        envid=_on_wire(check_envid, _text(values, "envid", _WIRE_WORD, "xtext"), "envid"),
        idempotency_key=key,
        configuration_set=_text(values, "configuration_set", _SET_NAME, "up to 64 letters, digits, '_' and '-'"),
        tags=_tags(values.get("tags", {})),
        client=client or client_literal(call.request.client_address),
        protocol=_choice(values, "protocol", _PROTOCOLS),
        aliasing=_boolean(values, "aliasing", default=True),
        release_at=max(0.0, _instant(values, "send_at")),  # in UTC the first year may not have begun
        priority=_choice(values, "priority", ASKED),
        deliver_by=_deliver_by(values, call.deps.clock()),
        tls_required=bool(tls),
        requiretls=tls == "requiretls",
    )


def _recipient(item: object, number: int) -> Recipient:
    where = f"recipients[{number}]"
    if isinstance(item, str):
        return Recipient(item)
    if not isinstance(item, dict):
        raise Rejected(BAD_REQUEST, f"{where} must be an address or an object")
    refuse_unknown(item, _RECIPIENT_KEYS, f"key in {where}:")
    forward_path, notify = item.get("forward_path"), item.get("notify") or []
    if not isinstance(forward_path, str):
        raise Rejected(BAD_REQUEST, f"{where}.forward_path must be text")
    orcpt = item.get("orcpt") or ""
    if not isinstance(orcpt, str) or not _WIRE_WORD.fullmatch(orcpt) or (orcpt and ";" not in orcpt):
        raise Rejected(BAD_REQUEST, f"{where}.orcpt must be 'addr-type;xtext'")
    if orcpt:
        _on_wire(check_orcpt, orcpt, f"{where}.orcpt")
    return Recipient(forward_path, _notify(notify, f"{where}.notify"), orcpt)


def _on_wire(check: Callable[[str], str], text: str, where: str) -> str:
    """A parameter that a host with DSN would refuse must not get as far (RFC 3461 4.2, 4.4)."""
    try:
        return check(text)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"{where}: {exc}") from exc


def _notify(words: object, where: str) -> tuple[str, ...]:
    """RFC 3461 4.1: any of three, or NEVER alone."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Rejected(BAD_REQUEST, f"{where} must be a list of words")
    if words != ["NEVER"] and not _NOTIFY.issuperset(words):
        raise Rejected(BAD_REQUEST, f"{where} takes SUCCESS, FAILURE and DELAY, or NEVER alone")
    return tuple(dict.fromkeys(words))


def _uploads(items: object, call: Call[ValidateDeps]) -> tuple[str, ...]:
    """Give the caller's own uploads of these ids: another's are no more there than any that nobody made."""
    if not isinstance(items, list) or not 1 <= len(items) <= _PARTS:
        raise Rejected(BAD_REQUEST, f"upload_ids must be a list of 1 to {_PARTS} uploads")
    for item in items:
        if not isinstance(item, str) or not ids.is_queue_id(item):
            raise Rejected(NOT_FOUND, "no such upload")
    return tuple(ids.upload_name(item, call.principal.access_key) for item in items)


def _read_uploads(uploads: tuple[str, ...], call: Call[ValidateDeps]) -> bytes | Generator[bytes, None, None]:
    from paravion.services.uploads import read_uploads  # only for what is too large for a request

    return read_uploads(uploads, call.deps.uploads, call.deps.settings.max_message_octets)


def _idempotency_key(call: Call[ValidateDeps]) -> str:
    key = call.request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise Rejected(BAD_REQUEST, "Idempotency-Key must be 1 to 128 printable ASCII characters")
    return key


def _text(values: Mapping[str, Any], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Rejected(BAD_REQUEST, f"{name} must be {what}")
    return value


def _choice(values: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = values.get(name, "")
    if value != "" and value not in choices:
        raise Rejected(BAD_REQUEST, f"{name} must be one of {', '.join(choices)}")
    return str(value)


def _instant(values: Mapping[str, Any], name: str) -> float:
    """An RFC 3339 instant in seconds since the epoch, 0 for none."""
    text = values.get(name, "")
    if text == "":
        return 0.0
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise Rejected(BAD_REQUEST, f"{name} must be an instant of RFC 3339, as 2026-01-02T03:04:05Z")
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError) as exc:
        raise Rejected(BAD_REQUEST, f"{name}: there is no such instant") from exc


def _deliver_by(values: Mapping[str, Any], now: float) -> DeliverBy | None:
    """RFC 2852, with an instant in place of its by-time."""
    at = _instant(values, "deliver_by")
    mode = _choice(values, "deliver_by_mode", ("return", "notify"))
    traces = _boolean(values, "deliver_by_trace")
    if bool(at) is not bool(mode) or (traces and not at):
        raise Rejected(BAD_REQUEST, "deliver_by and deliver_by_mode (return or notify) must be given together")
    if at and abs(at - now) > DEADLINE_MAX_S + _ROUNDING_S:
        raise Rejected(BAD_REQUEST, f"deliver_by: at most {DEADLINE_MAX_S} s from now (RFC 2852)")
    return DeliverBy(at, mode == "return", traces) if at else None


def _boolean(values: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = values.get(name, default)
    if not isinstance(value, bool):
        raise Rejected(BAD_REQUEST, f"{name} must be true or false")
    return value


def _flag(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise Rejected(BAD_REQUEST, f"{name} must be true or false")
    return text == "true"


def _tags(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Rejected(BAD_REQUEST, "tags must be an object of texts")
    for word in (word for pair in value.items() for word in pair):
        if not _TAG.fullmatch(word):
            raise Rejected(BAD_REQUEST, f"tag {shown(word)}: 1 to 256 of A-Z, a-z, 0-9, '_' and '-' are allowed")
    return tuple(value.items())
