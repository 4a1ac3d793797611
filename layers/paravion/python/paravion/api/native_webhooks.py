"""
Native resources of `admin` for the secrets of webhooks.

Importing it registers them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("PUT", "/v1/webhooks/{host}/secret")
def show_webhook_secret(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show a host's secrets; the first time, make one. Raises Rejected, Unavailable."""
    from paravion.services import webhook_secrets  # seldom used

    refuse_unknown(call.request.parameters(), frozenset(), "query parameter")
    return json_answer(HTTPStatus.OK, webhook_secrets.show_secrets(labels["host"], call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/webhooks/{host}/secret/rotation")
def rotate_webhook_secret(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Make a new secret beside the old one. Raises Rejected, Unavailable."""
    from paravion.services import webhook_secrets

    refuse_unknown(call.request.parameters(), frozenset(), "query parameter")
    return json_answer(HTTPStatus.OK, webhook_secrets.rotate_secret(labels["host"], call.principal, call.deps))


@ADMIN_DOOR.route("DELETE", "/v1/webhooks/{host}/secret/rotation")
def end_webhook_rotation(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Forget the old secret. Raises Rejected, Unavailable."""
    from paravion.services import webhook_secrets

    refuse_unknown(call.request.parameters(), frozenset(), "query parameter")
    return json_answer(HTTPStatus.OK, webhook_secrets.end_rotation(labels["host"], call.principal, call.deps))
