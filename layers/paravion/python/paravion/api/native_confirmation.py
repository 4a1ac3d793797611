"""The page behind the link that an address's owner gets (services/confirmation.py). Importing it registers it."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from paravion.api.http_event import HttpAnswer
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import Rejected
from paravion.domain.tenant import record_kind
from paravion.services import confirmation

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.ports import Identity
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
    name, token, template = _given(call)
    try:
        identity = confirmation.find(name, token, call.deps)
    except Rejected as rejected:
        return _refused(name, template, rejected, call)
    if identity.verified:
        return _confirmed(identity, template, call)
    hidden = "".join(
        f'<input type="hidden" name="{key}" value="{escape(value)}">'
        for key, value in (("identity", name), ("token", token), ("template", template))
        if value
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
    name, token, template = (form.get(key, [""])[0] for key in ("identity", "token", "template"))
    try:
        identity = confirmation.confirm(name, token, call.deps)
    except Rejected as rejected:
        return _refused(name, template, rejected, call)
    return _confirmed(identity, template, call)


def _given(call: Call[AdminDeps]) -> tuple[str, str, str]:
    parameters = parse_qs(call.request.query)
    name, token, template = (parameters.get(key, [""])[0] for key in ("identity", "token", "template"))
    return name, token, template


def _refused(name: str, template: str, rejected: Rejected, call: Call[AdminDeps]) -> HttpAnswer:
    identity = call.deps.identities.get(name) if template and "@" in name else None
    goes_on = _redirection(identity, template, "FailureRedirectionURL", call)
    return _page(rejected.status.http, f"<p>{escape(rejected.detail)}</p>", goes_on)


def _confirmed(identity: Identity, template: str, call: Call[AdminDeps]) -> HttpAnswer:
    goes_on = _redirection(identity, template, "SuccessRedirectionURL", call)
    return _page(HTTPStatus.OK, f"<p>Confirmed: mail may be sent as <b>{escape(identity.name)}</b>.</p>", goes_on)


def _redirection(identity: Identity | None, template: str, member: str, call: Call[AdminDeps]) -> str:
    """Give where the template sends the owner; "" without one. Nobody but the identity's tenant says where."""
    if identity is None or not template:
        return ""
    from paravion.services.verification_templates import KIND  # few links have one

    record = call.deps.records.get(record_kind(identity.tenant, KIND), template)
    return str(record.value[member]) if record else ""


def _page(status: int, inner: str, goes_on: str = "") -> HttpAnswer:
    # A redirection would not do: browsers hold the answer of a form to form-action, too.
    headers = {**_HEADERS, "refresh": f"0; url={goes_on}"} if goes_on else _HEADERS
    inner += f'<p><a href="{escape(goes_on)}">Go on</a></p>' if goes_on else ""
    return HttpAnswer(status, f"<!doctype html><title>Confirmation</title>{inner}\n", headers)
