"""Native resources of `admin` for what SES's API can't say of a configuration set. Importing it registers them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_json, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.priority import ASKED
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/configuration-sets/{name}")
def show_set(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show its own options. Raises Rejected, Unavailable."""
    from paravion.services import configuration_sets

    value = configuration_sets.show(labels["name"], call.principal, call.deps)
    return _answer(
        labels["name"], keep_message_id=value.get("KeepMessageId", False), priority=value.get("Priority", "")
    )


@ADMIN_DOOR.route("PUT", "/v1/configuration-sets/{name}")
def put_set(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Set its own options; SES's API makes it. Raises Rejected, Unavailable."""
    from paravion.services import configuration_sets

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"keep_message_id", "priority"}), "member")
    keep, priority = given.get("keep_message_id", False), given.get("priority", "")
    if not isinstance(keep, bool):
        raise Rejected(BAD_REQUEST, "keep_message_id must be true or false")
    if priority not in ("", *ASKED):
        raise Rejected(BAD_REQUEST, f"priority must be one of {', '.join(ASKED)}")
    configuration_sets.put_own(
        labels["name"], keep_message_id=keep, priority=priority, principal=call.principal, deps=call.deps
    )
    return _answer(labels["name"], keep_message_id=keep, priority=priority)


def _answer(name: str, *, keep_message_id: bool, priority: str) -> HttpAnswer:
    return json_answer(HTTPStatus.OK, {"name": name, "keep_message_id": keep_message_id, "priority": priority})
