"""
Native resources of `admin` for the hosts that mail goes to: list, show, limit, reset.

Importing it registers them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_count, read_json, refuse_unknown, timestamped
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import BAD_REQUEST, SYSTEM_BUSY, Rejected
from paravion.errors import ClaimLost

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_HOSTS: Final = 100
_HOSTS_MAX: Final = 1000
_MOST: Final = 1_000_000


@ADMIN_DOOR.route("GET", "/v1/hosts")
def list_hosts(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List the hosts that have a state. Raises Rejected, Unavailable."""
    from paravion.services import hosts  # seldom used, like all of this module's services

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"limit", "after"}), "query parameter")
    limit = read_count(parameters.get("limit"), "limit", default=_HOSTS, high=_HOSTS_MAX)
    after = parameters.get("after", [""])
    if len(after) > 1:
        raise Rejected(BAD_REQUEST, "after is given more than once")
    return json_answer(HTTPStatus.OK, timestamped(hosts.list_hosts(limit, after[0], call.principal, call.deps)))


@ADMIN_DOOR.route("GET", "/v1/hosts/{name}")
def show_host(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show one host. Raises Rejected, Unavailable."""
    from paravion.services import hosts

    return json_answer(HTTPStatus.OK, timestamped(hosts.show_host(labels["name"], call.principal, call.deps)))


@ADMIN_DOOR.route("PUT", "/v1/hosts/{name}/limit")
def limit_host(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Set an operator's limits. Raises Rejected, Unavailable."""
    from paravion.services import hosts

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"rate_per_minute", "concurrency"}), "key")
    if not given:
        raise Rejected(BAD_REQUEST, "rate_per_minute or concurrency must be given; 0 takes a limit away")
    rate = _number(given, "rate_per_minute")
    slots = _number(given, "concurrency")
    if slots is not None and slots != int(slots):
        raise Rejected(BAD_REQUEST, "concurrency must be a whole number")
    try:
        answer = hosts.limit_host(
            labels["name"], rate, None if slots is None else int(slots), call.principal, call.deps
        )
    except ClaimLost as exc:
        raise Rejected(SYSTEM_BUSY, "the host's state changes too fast: try again") from exc
    if answer is None:
        return HttpAnswer(HTTPStatus.NO_CONTENT)
    return json_answer(HTTPStatus.OK, timestamped(answer))


@ADMIN_DOOR.route("DELETE", "/v1/hosts/{name}")
def reset_host(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Forget what was learnt of a host. Raises Rejected, Unavailable."""
    from paravion.services import hosts

    try:
        hosts.reset_host(labels["name"], call.principal, call.deps)
    except ClaimLost as exc:
        raise Rejected(SYSTEM_BUSY, "the host's state changes too fast: try again") from exc
    return HttpAnswer(HTTPStatus.NO_CONTENT)


def _number(given: dict[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise Rejected(BAD_REQUEST, f"{name} must be a number from 0 to {_MOST}")
    return float(value)
