"""The page behind the link that an address's owner gets (services/confirmation.py). Importing it registers it."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.pages import checked_size, page, read_form
from paravion.domain.status import Rejected
from paravion.domain.tenant import record_kind
from paravion.services import confirmation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.api.http_event import HttpAnswer
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps


@ADMIN_DOOR.route("GET", confirmation.PATH, is_open=True)
def ask(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Show what would be confirmed, and a button. Raises Unavailable."""
    given: dict[str, str] = {}
    try:
        given = read_form(call.request.query.encode())
        identity = confirmation.find(_name(given), _token(given), call.deps)
    except Rejected as rejected:
        return _refused(given, rejected, call)
    if identity.verified:
        return _confirmed(identity, given, call)
    hidden = "".join(
        f'<input type=hidden name={key} value="{escape(given[key])}">'
        for key in ("identity", "token", "template")
        if given.get(key)
    )
    hostname = escape(call.deps.settings.hostname)
    # Without an action the form goes to where the page came from, whatever stands before our path there.
    return page(
        "Confirm your address",
        f"<p>May {hostname} send mail as <strong>{escape(identity.name)}</strong>?</p>"
        f"<form method=post>{hidden}<button>Yes, confirm</button></form>"
        "<p><small>If you did not ask for this, close the page: nobody can send as you then.</small></p>",
    )


@ADMIN_DOOR.route("POST", confirmation.PATH, is_open=True)
def confirm(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Take the confirmation. Raises Unavailable."""
    given: dict[str, str] = {}
    try:
        given = read_form(checked_size(call.request))
        identity = confirmation.confirm(_name(given), _token(given), call.deps)
    except Rejected as rejected:
        return _refused(given, rejected, call)
    return _confirmed(identity, given, call)


def _name(given: Mapping[str, str]) -> str:
    return given.get("identity", "")


def _token(given: Mapping[str, str]) -> str:
    return given.get("token", "")


def _refused(given: Mapping[str, str], rejected: Rejected, call: Call[AdminDeps]) -> HttpAnswer:
    """Whose link is too old is led on; who made one up must not learn from that what identities there are."""
    goes_on = ""
    if given.get("template"):
        identity = confirmation.is_about(_name(given), _token(given), call.deps)
        goes_on = _redirection(identity, given, "FailureRedirectionURL", call)
    return _page("That did not work", f"<p role=alert>{escape(rejected.detail)}</p>", goes_on, rejected.status.http)


def _confirmed(identity: Identity, given: Mapping[str, str], call: Call[AdminDeps]) -> HttpAnswer:
    goes_on = _redirection(identity, given, "SuccessRedirectionURL", call)
    return _page(
        "Confirmed", f"<p role=status>Mail may be sent as <strong>{escape(identity.name)}</strong>.</p>", goes_on
    )


def _redirection(identity: Identity | None, given: Mapping[str, str], member: str, call: Call[AdminDeps]) -> str:
    """Give where the template sends the owner; "" without one. Nobody but the identity's tenant says where."""
    if identity is None or not given.get("template"):
        return ""
    from paravion.services.verification_templates import KIND  # few links have one

    record = call.deps.records.get(record_kind(identity.tenant, KIND), given["template"])
    return str(record.value[member]) if record else ""


def _page(title: str, inner: str, goes_on: str, status: int = HTTPStatus.OK) -> HttpAnswer:
    # A redirection would not do: browsers hold the answer of a form to form-action, too.
    if not goes_on:
        return page(title, inner, status)
    inner += f'<p><a href="{escape(goes_on)}">Go on</a></p>'
    return page(title, inner, status, {"refresh": f"0; url={goes_on}"})
