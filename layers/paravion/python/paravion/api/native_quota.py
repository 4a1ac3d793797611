"""Native resources of `admin` for quotas. Importing it registers them. Next: services/account.py."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_json, refuse_unknown
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.account import MAX_24_HOUR_SEND, MAX_SEND_RATE, day_limit, rate_limit
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.services import account

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{0,64}", re.ASCII)
_LIMITS: Final = {"max_24_hour_send": (MAX_24_HOUR_SEND, day_limit), "max_send_rate": (MAX_SEND_RATE, rate_limit)}


@ADMIN_DOOR.route("GET", "/v1/quota")
def show_quota(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Tell what a tenant may send and has sent. Raises Rejected, Unavailable."""
    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"tenant"}), "query parameter")
    given = parameters.get("tenant")
    if given is not None and len(given) > 1:
        raise Rejected(BAD_REQUEST, "tenant is given more than once")
    tenant = None if given is None else _tenant(given[0])
    return json_answer(HTTPStatus.OK, account.show_quota(tenant, call.principal, call.deps))


@ADMIN_DOOR.route("PUT", "/v1/quota")
def set_quota(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Set what a tenant may send; null goes back to the setting. Raises Rejected, Unavailable."""
    given = read_json(call.request)
    refuse_unknown(given, frozenset({"tenant", *_LIMITS}), "member")
    tenant = _tenant(given.pop("tenant", ""))
    if not given:
        raise Rejected(BAD_REQUEST, "max_24_hour_send or max_send_rate must be given")
    limits: dict[str, float | None] = {}
    for name, value in given.items():
        member, read = _LIMITS[name]
        try:
            limits[member] = None if value is None else read(value)
        except ValueError as exc:
            raise Rejected(BAD_REQUEST, f"{name} {exc}") from exc
    return json_answer(HTTPStatus.OK, account.put_quota(tenant, limits, call.principal, call.deps))


def _tenant(value: Any) -> str:
    if not isinstance(value, str) or not _TENANT.fullmatch(value):
        raise Rejected(BAD_REQUEST, "tenant must be up to 64 letters, digits, '-' and '_'")
    return value
