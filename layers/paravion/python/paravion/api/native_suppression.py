"""
Native resources of `admin` for the suppression list. Importing it registers them.

Next: services/suppression.py.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_count, read_json, refuse_unknown, timestamped
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.services import suppression

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_PAGE: Final = 100
_PAGE_MAX: Final = 1000


@ADMIN_DOOR.route("GET", "/v1/suppression")
def list_suppressed(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List entries. Raises Rejected, Unavailable."""
    given = call.request.parameters()
    refuse_unknown(given, frozenset({"reason", "since", "until", "limit", "after"}), "query parameter")
    try:
        page = suppression.page(
            _one(given, "after"),
            read_count(given.get("limit"), "limit", default=_PAGE, high=_PAGE_MAX),
            call.principal,
            call.deps,
            reasons=given.get("reason", ()),
            since=_instant(given, "since", -suppression.EVER),
            until=_instant(given, "until", suppression.EVER),
        )
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, "after is not what a page gave") from exc
    entries = [suppression.view(entry) for entry in page.entries]
    return json_answer(HTTPStatus.OK, timestamped({"addresses": entries, "after": page.after or None}))


@ADMIN_DOOR.route("PUT", "/v1/suppression/{address}")
def add_suppressed(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """List an address. Raises Rejected, Unavailable."""
    given = read_json(call.request)
    refuse_unknown(given, frozenset({"reason"}), "key")
    reason = given.get("reason")
    if not isinstance(reason, str):
        raise Rejected(BAD_REQUEST, "reason must be BOUNCE or COMPLAINT")
    entry = suppression.add(labels["address"], reason, call.principal, call.deps)
    return json_answer(HTTPStatus.OK, timestamped(suppression.view(entry)))


@ADMIN_DOOR.route("GET", "/v1/suppression/{address}")
def show_suppressed(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show an entry. Raises Rejected, Unavailable."""
    entry = suppression.show(labels["address"], call.principal, call.deps)
    return json_answer(HTTPStatus.OK, timestamped(suppression.view(entry)))


@ADMIN_DOOR.route("DELETE", "/v1/suppression/{address}")
def remove_suppressed(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Take an address off the list. Raises Rejected, Unavailable."""
    suppression.remove(labels["address"], call.principal, call.deps)
    return HttpAnswer(HTTPStatus.NO_CONTENT)


@ADMIN_DOOR.route("DELETE", "/v1/suppression")
def remove_suppressed_named(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Take an address off the list that can't stand in a path, for its slash. Raises Rejected, Unavailable."""
    given = call.request.parameters()
    refuse_unknown(given, frozenset({"address"}), "query parameter")
    return remove_suppressed(call, {"address": _one(given, "address")})


@ADMIN_DOOR.route("GET", "/v1/suppression-reasons")
def show_suppression_reasons(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Say for which reasons addresses are suppressed. Raises Unavailable."""
    return json_answer(HTTPStatus.OK, {"reasons": list(suppression.account_reasons(call.deps))})


@ADMIN_DOOR.route("PUT", "/v1/suppression-reasons")
def set_suppression_reasons(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Set for which reasons addresses are suppressed. Raises Rejected, Unavailable."""
    given = read_json(call.request)
    refuse_unknown(given, frozenset({"reasons"}), "key")
    reasons = given.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise Rejected(BAD_REQUEST, "reasons must be a list of BOUNCE and COMPLAINT")
    found = suppression.set_account_reasons(reasons, call.principal, call.deps)
    return json_answer(HTTPStatus.OK, {"reasons": list(found)})


def _one(given: dict[str, list[str]], name: str) -> str:
    values = given.get(name, [""])
    if len(values) > 1:
        raise Rejected(BAD_REQUEST, f"{name} is given more than once")
    return values[0]


def _instant(given: dict[str, list[str]], name: str, default: float) -> float:
    text = _one(given, name)
    if not text:
        return default
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("no offset from UTC")  # noqa: TRY301
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"{name} must be an instant such as 2026-01-02T03:04:05Z: {shown(text)}") from exc
    return at.timestamp()
