"""
Native resources of `admin` for the credentials of routes. No answer ever holds a password or a token.

Importing it registers them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_json, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/routes/credentials")
def list_route_credentials(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List the names. Raises Rejected, Unavailable."""
    from paravion.services import route_credentials  # seldom used, as all that it imports

    return json_answer(HTTPStatus.OK, {"credentials": route_credentials.list_credentials(call.principal, call.deps)})


@ADMIN_DOOR.route("PUT", "/v1/routes/credentials/{name}")
def put_route_credential(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Keep a credential. Raises Rejected, Unavailable."""
    from paravion.services import route_credentials

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"user", "password", "token", "mechanism"}), "member")
    answer, is_new = route_credentials.put_credential(labels["name"], given, call.principal, call.deps)
    return json_answer(HTTPStatus.CREATED if is_new else HTTPStatus.OK, answer)


@ADMIN_DOOR.route("GET", "/v1/routes/credentials/{name}")
def show_route_credential(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show whose it is. Raises Rejected, Unavailable."""
    from paravion.services import route_credentials

    return json_answer(HTTPStatus.OK, route_credentials.show_credential(labels["name"], call.principal, call.deps))


@ADMIN_DOOR.route("DELETE", "/v1/routes/credentials/{name}")
def remove_route_credential(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Forget one that no route names. Raises Rejected, Unavailable."""
    from paravion.services import route_credentials

    route_credentials.remove_credential(labels["name"], call.principal, call.deps)
    return HttpAnswer(HTTPStatus.NO_CONTENT)
