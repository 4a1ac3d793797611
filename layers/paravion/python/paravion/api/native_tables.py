"""
Native resources of `admin` for sendmail's tables (load, show, unload) and what they make of an address.

Importing it registers them.
"""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import json_object, read_json, refuse_unknown, timestamped
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain import ids
from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, MESSAGE_TOO_BIG, NOT_FOUND, Rejected
from paravion.domain.table_pages import AT_ONCE
from paravion.errors import SpoolConflict, SpoolMissing

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/tables")
def list_tables(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Say what is loaded. Raises Rejected, Unavailable."""
    from paravion.services import tables  # seldom used, and its parsers cost a cold start

    return json_answer(HTTPStatus.OK, timestamped(tables.list_tables(call.principal, call.deps)))


@ADMIN_DOOR.route("PUT", "/v1/tables")
def load_tables(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Load several tables at one instant, from JSON in the body or in an upload. Raises Rejected, Unavailable."""
    from paravion.services import tables

    upload_id = parameters_of(call, {"upload_id"}).get("upload_id", "")
    body = json_object(uploaded(upload_id, call)) if upload_id else read_json(call.request)
    refuse_unknown(body, frozenset({"tables"}), "key")
    items = body.get("tables")
    if not isinstance(items, list) or not 0 < len(items) <= AT_ONCE:
        raise Rejected(BAD_REQUEST, f"tables must be a list of 1 to {AT_ONCE} objects with kind, name and files")
    given: dict[str, list[tuple[str, bytes]]] = {}
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise Rejected(BAD_REQUEST, f"tables[{number}] must be an object")
        refuse_unknown(item, frozenset({"kind", "name", "files"}), "key")
        kind, name = item.get("kind"), item.get("name", "")
        if not isinstance(kind, str) or not isinstance(name, str):
            raise Rejected(BAD_REQUEST, f"tables[{number}]: kind and name are texts")
        full = tables.kind_of(kind, name)
        if full in given:
            raise Rejected(BAD_REQUEST, f"tables[{number}]: {shown(full)} is given more than once")
        given[full] = _files(item.get("files"))
    answer = tables.load_tables(given, call.principal, call.deps)
    if upload_id:
        forget(upload_id, call)
    return json_answer(HTTPStatus.OK, timestamped({"tables": answer}))


@ADMIN_DOOR.route("PUT", "/v1/tables/{kind}")
def load_table(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Load a table from the body, an upload, or several files as JSON. Raises Rejected, Unavailable."""
    from paravion.services import tables

    given = parameters_of(call, {"file", "name", "upload_id"})
    kind = tables.kind_of(labels["kind"], given.get("name", ""))
    upload_id = given.get("upload_id", "")
    if upload_id:
        files = [(given.get("file", labels["kind"]), uploaded(upload_id, call))]
    elif call.request.content_type == "application/json":
        given_json = read_json(call.request)
        refuse_unknown(given_json, frozenset({"files"}), "key")
        files = _files(given_json.get("files"))
    else:
        files = [(given.get("file", labels["kind"]), call.request.body)]
    answer = tables.load_table(kind, files, call.principal, call.deps)
    if upload_id:
        forget(upload_id, call)
    return json_answer(HTTPStatus.OK, timestamped(answer))


@ADMIN_DOOR.route("GET", "/v1/tables/{kind}")
def show_table(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show a table or one entry of it. Raises Rejected, Unavailable."""
    from paravion.services import tables

    given = parameters_of(call, {"key", "name"})
    kind = tables.kind_of(labels["kind"], given.get("name", ""))
    answer = tables.show_table(kind, given.get("key", ""), call.principal, call.deps)
    return json_answer(HTTPStatus.OK, timestamped(answer))


@ADMIN_DOOR.route("DELETE", "/v1/tables/{kind}")
def remove_table(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Unload a table. Raises Rejected, Unavailable."""
    from paravion.services import tables

    given = parameters_of(call, {"name"})
    tables.remove_table(tables.kind_of(labels["kind"], given.get("name", "")), call.principal, call.deps)
    return HttpAnswer(HTTPStatus.NO_CONTENT)


@ADMIN_DOOR.route("GET", "/v1/addresses/{address+}")
def verify_address(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Say what would happen to mail for an address. Raises Rejected, Unavailable."""
    from paravion.services import verify

    parameters_of(call, set())
    return json_answer(HTTPStatus.OK, timestamped(verify.verify_address(labels["address"], call.principal, call.deps)))


def parameters_of(call: Call[AdminDeps], known: set[str]) -> dict[str, str]:
    """Give the query's parameters, each once and none but those known. Raises Rejected (bad_request)."""
    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset(known), "query parameter")
    for name, values in parameters.items():
        if len(values) > 1:
            raise Rejected(BAD_REQUEST, f"{name} is given more than once")
    return {name: values[0] for name, values in parameters.items()}


def _files(files: object) -> list[tuple[str, bytes]]:
    if not isinstance(files, list) or not files:
        raise Rejected(BAD_REQUEST, "files must be a list of objects with name and content")
    found = []
    for number, item in enumerate(files):
        if not isinstance(item, dict) or set(item) != {"name", "content"}:
            raise Rejected(BAD_REQUEST, f"files[{number}] must have name and content")
        if not isinstance(item["name"], str) or not isinstance(item["content"], str):
            raise Rejected(BAD_REQUEST, f"files[{number}]: name is text, content is base64")
        try:
            found.append((item["name"], base64.b64decode(item["content"], validate=True)))
        except (binascii.Error, ValueError) as exc:
            raise Rejected(BAD_REQUEST, f"files[{number}]: content is not base64") from exc
    return found


def uploaded(upload_id: str, call: Call[AdminDeps]) -> bytes:
    """Give what the caller uploaded. Raises Rejected (not_found, message_too_big), SpoolUnavailable."""
    if not ids.is_queue_id(upload_id):
        raise Rejected(NOT_FOUND, f"no upload {shown(upload_id)}")
    limit = call.deps.settings.max_message_octets
    try:
        return call.deps.uploads.read(ids.upload_name(upload_id, call.principal.access_key), limit)
    except SpoolMissing as exc:
        raise Rejected(NOT_FOUND, "no such upload, or nothing was put there yet") from exc
    except SpoolConflict as exc:
        raise Rejected(MESSAGE_TOO_BIG, f"at most {limit} octets are taken") from exc


def forget(upload_id: str, call: Call[AdminDeps]) -> None:
    """Remove what `uploaded` gave; never raises."""
    call.deps.uploads.delete(ids.upload_name(upload_id, call.principal.access_key))
