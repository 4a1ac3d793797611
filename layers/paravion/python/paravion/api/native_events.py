"""
Native resources of `admin` for events: a configuration set's webhooks, complaints, and telling once more.

Importing it registers them.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_json, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", "/v1/configuration-sets/{name}/destinations")
def list_destinations(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """List a set's event destinations. Raises Rejected, Unavailable."""
    from paravion.services import event_webhooks  # seldom used, like all of this module's services

    refuse_unknown(call.request.parameters(), frozenset(), "query parameter")
    return json_answer(HTTPStatus.OK, event_webhooks.list_destinations(labels["name"], call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/configuration-sets/{name}/webhooks")
def add_webhook(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Make a webhook; shows its secrets. Raises Rejected, Unavailable."""
    from paravion.services import event_webhooks

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"name", "url", "form", "event_types"}), "key")
    types = given.get("event_types") or []
    if not isinstance(types, list) or not all(isinstance(item, str) for item in types):
        raise Rejected(BAD_REQUEST, "event_types must be a list of names")
    name, url, form = _text(given, "name"), _text(given, "url"), _text(given, "form", "event")
    made = event_webhooks.add_webhook(labels["name"], name, url, form, types, call.principal, call.deps)
    return json_answer(HTTPStatus.CREATED, made)


@ADMIN_DOOR.route("DELETE", "/v1/configuration-sets/{name}/webhooks/{webhook}")
def remove_webhook(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Remove a webhook. Raises Rejected, Unavailable."""
    from paravion.services import event_webhooks

    refuse_unknown(call.request.parameters(), frozenset(), "query parameter")
    event_webhooks.remove_webhook(labels["name"], labels["webhook"], call.principal, call.deps)
    return json_answer(HTTPStatus.OK, {})


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/complaint")
def complain(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Enter a complaint. Raises Rejected, Unavailable."""
    from paravion.services import complaints

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"address", "kind", "user_agent"}), "key")
    address, kind, agent = _text(given, "address"), _text(given, "kind", ""), _text(given, "user_agent", "")
    told = complaints.complain(labels["queue_id"], address, kind, agent[:200], call.principal, call.deps)
    return json_answer(HTTPStatus.OK, told)


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/events")
def replay(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Publish a message's events once more. Raises Rejected, Unavailable."""
    from paravion.services import replay as again

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"destination"}), "key")
    told = again.replay(labels["queue_id"], _text(given, "destination", ""), call.principal, call.deps)
    return json_answer(HTTPStatus.OK, told)


@ADMIN_DOOR.route("POST", "/v1/events/replay")
def replay_span(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Publish the events of a span of time once more, one page of them. Raises Rejected, Unavailable."""
    from paravion.services import replay as again

    given = read_json(call.request)
    keys = {"since", "until", "tenant", "configuration_set", "destination", "after"}
    refuse_unknown(given, frozenset(keys), "key")
    span = again.Span(
        _instant(given, "since"),
        _instant(given, "until") if "until" in given else call.deps.clock(),
        _text(given, "tenant") if "tenant" in given else None,
        _text(given, "configuration_set", ""),
        _text(given, "destination", ""),
    )
    return json_answer(HTTPStatus.OK, again.replay_span(span, _text(given, "after", ""), call.principal, call.deps))


def _instant(given: dict[str, Any], name: str) -> float:
    try:
        at = datetime.fromisoformat(_text(given, name))
        if at.tzinfo is not None:
            return at.timestamp()
    except (ValueError, OverflowError):
        pass
    raise Rejected(BAD_REQUEST, f"{name} must be an instant as in RFC 3339, such as 2026-01-02T03:04:05Z")


def _text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str):
        raise Rejected(BAD_REQUEST, f"{name} must be given, as text")
    return value
