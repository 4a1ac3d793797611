"""Native resources of `admin` for what SES's API can't say of a configuration set. Importing it registers them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_json, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/configuration-sets/{name}")
def show_set(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show its own options. Raises Rejected, Unavailable."""
    from paravion.services import configuration_sets

    value = configuration_sets.show(labels["name"], call.principal, call.deps)
    return json_answer(HTTPStatus.OK, {"name": labels["name"], "keep_message_id": value.get("KeepMessageId", False)})


@ADMIN_DOOR.route("PUT", "/v1/configuration-sets/{name}")
def put_set(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Set its own options; SES's API makes it. Raises Rejected, Unavailable."""
    from paravion.services import configuration_sets

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"keep_message_id"}), "member")
    keep = given.get("keep_message_id", False)
    if not isinstance(keep, bool):
        raise Rejected(BAD_REQUEST, "keep_message_id must be true or false")
    configuration_sets.keep_message_id(labels["name"], keep=keep, principal=call.principal, deps=call.deps)
    return json_answer(HTTPStatus.OK, {"name": labels["name"], "keep_message_id": keep})
