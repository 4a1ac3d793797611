"""The page behind the link that an address's owner gets (services/confirmation.py). Importing it registers it."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from paravion.api.http_event import HttpAnswer
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import Rejected
from paravion.services import confirmation

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@ADMIN_DOOR.route("GET", confirmation.PATH, is_open=True)
def ask(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Show what would be confirmed, and a button. Raises Unavailable."""
    name, token = _given(call)
    try:
        identity = confirmation.find(name, token, call.deps)
    except Rejected as rejected:
        return _page(rejected.status.http, f"<p>{escape(rejected.detail)}</p>")
    if identity.verified:
        return _confirmed(name)
    hidden = "".join(
        f'<input type="hidden" name="{key}" value="{escape(value)}">'
        for key, value in (("identity", name), ("token", token))
    )
    hostname = escape(call.deps.settings.hostname)
    return _page(
        HTTPStatus.OK,
        f"<p>May {hostname} send mail as <b>{escape(name)}</b>?</p>"
        f'<form method="post" action="{confirmation.PATH}">{hidden}<button>Yes, confirm</button></form>',
    )


@ADMIN_DOOR.route("POST", confirmation.PATH, is_open=True)
def confirm(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Take the confirmation. Raises Unavailable."""
    form = parse_qs(call.request.body.decode("utf-8", "replace"))
    name, token = (form.get(key, [""])[0] for key in ("identity", "token"))
    try:
        confirmation.confirm(name, token, call.deps)
    except Rejected as rejected:
        return _page(rejected.status.http, f"<p>{escape(rejected.detail)}</p>")
    return _confirmed(name)


def _given(call: Call[AdminDeps]) -> tuple[str, str]:
    parameters = parse_qs(call.request.query)
    return parameters.get("identity", [""])[0], parameters.get("token", [""])[0]


def _confirmed(name: str) -> HttpAnswer:
    return _page(HTTPStatus.OK, f"<p>Confirmed: mail may be sent as <b>{escape(name)}</b>.</p>")


def _page(status: int, inner: str) -> HttpAnswer:
    return HttpAnswer(status, f"<!doctype html><title>Confirmation</title>{inner}\n", _HEADERS)
