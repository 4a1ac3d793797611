"""
Native resources of `admin` for moving an installation: its export and its import, a page at a time.

Importing it registers them. The records are domain/export_file.py's.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import json_object, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.native_tables import forget, parameters_of, uploaded
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/export")
def export_records(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Give a page of records. Raises Rejected, Unavailable, Misconfigured."""
    from paravion.services import moving_out  # seldom used, as all that it imports

    given = parameters_of(call, {"after", "secrets"})
    records, after = moving_out.export_page(
        given.get("after", ""), call.principal, call.deps, secrets=_flag(given, "secrets")
    )
    return json_answer(HTTPStatus.OK, {"records": records, "after": after or None})


@ADMIN_DOOR.route("PUT", "/v1/import")
def import_records(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Check or write a page of records, from the body or an upload. Raises Rejected, Unavailable, Misconfigured."""
    from paravion.services import moving_in
    from paravion.services.authenticate import require_operator

    require_operator(call.principal, "imports are")
    given = parameters_of(call, {"check", "replace", "upload_id"})
    upload_id = given.get("upload_id", "")
    body = json_object(uploaded(upload_id, call) if upload_id else call.request.body)
    refuse_unknown(body, frozenset({"records", "lists", "route_credentials"}), "key")
    page = moving_in.Page(_records(body.get("records")), _names(body, "lists"), _names(body, "route_credentials"))
    answer = moving_in.import_page(
        page, call.principal, call.deps, check=_flag(given, "check"), replace=_flag(given, "replace")
    )
    if upload_id:
        forget(upload_id, call)
    return json_answer(HTTPStatus.OK, answer)


def _flag(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "false")
    if value not in {"true", "false"}:
        raise Rejected(BAD_REQUEST, f"{name} must be true or false")
    return value == "true"


def _records(given: object) -> list[tuple[int, dict[str, Any]]]:
    """Read `[{"line": 2, "record": {…}}, …]`."""
    if not isinstance(given, list):
        raise Rejected(BAD_REQUEST, "records must be a list of objects with line and record")
    found = []
    for number, item in enumerate(given):
        if not isinstance(item, dict) or set(item) != {"line", "record"}:
            raise Rejected(BAD_REQUEST, f"records[{number}] must be an object with line and record")
        if not isinstance(item["line"], int) or not isinstance(item["record"], dict):
            raise Rejected(BAD_REQUEST, f"records[{number}]: line is a number, record an object")
        found.append((item["line"], item["record"]))
    return found


def _names(body: dict[str, Any], name: str) -> frozenset[str]:
    names = body.get(name, [])
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise Rejected(BAD_REQUEST, f"{name} must be a list of texts")
    return frozenset(names)
