"""
`/unsubscribe/{token}`: what the link of a mail leads to; open to everybody, for the token is the proof.

    GET    a page with the list's topics and buttons; changes nothing
    POST   `List-Unsubscribe=One-Click` (RFC 8058), from a mail program: unsubscribes
    POST   the page's own form: saves the choice, or unsubscribes from everything

Importing it registers them. Next: services/unsubscription.py.
RFC: 8058 3.1, 3.2 (the body may be a form of either type).
"""

from __future__ import annotations

import html
from http import HTTPStatus
from typing import TYPE_CHECKING

from paravion.api.http_event import json_answer
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.pages import checked_size, page, read_form
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.unsubscribe import ONE_CLICK, PATH
from paravion.services import unsubscription

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.api.http_event import HttpAnswer, HttpRequest
    from paravion.services.admin import AdminDeps
    from paravion.services.unsubscription import Subscription


@ADMIN_DOOR.route("GET", PATH + "{token}", is_open=True)
def show_subscription(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show the page. Raises Unavailable, Misconfigured."""
    try:
        return page("Your subscription", _form(unsubscription.look(labels["token"], call.deps)))
    except Rejected as rejected:
        return _refused(rejected)


@ADMIN_DOOR.route("POST", PATH + "{token}", is_open=True)
def change_subscription(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Unsubscribe, or save a choice. Raises Unavailable, Misconfigured."""
    try:
        found = unsubscription.look(labels["token"], call.deps)
        form = _read(call.request)
        if f"List-Unsubscribe={form.get('List-Unsubscribe', '')}" == ONE_CLICK:
            unsubscription.leave(found, unsubscription.HEADER, call.deps)
        elif form.get("do") == "leave":
            unsubscription.leave(found, unsubscription.PAGE, call.deps, everything=True)
        elif form.get("do") == "save":
            topics = {name.removeprefix("topic.") for name in form if name.startswith("topic.")}
            unsubscription.choose(found, topics, call.deps)
        else:
            raise Rejected(BAD_REQUEST, f"the form must say {ONE_CLICK}")  # noqa: TRY301
    except Rejected as rejected:
        return _refused(rejected)
    words = "Your choice is saved." if form.get("do") == "save" else "You are unsubscribed."
    return page("Done", f"<p role=status>{words}</p><p><small>It may take a minute until it counts.</small></p>")


def _refused(rejected: Rejected) -> HttpAnswer:
    words = "This link is not valid." if rejected.status is NOT_FOUND else rejected.detail or rejected.status.text
    return page("That did not work", f"<p role=alert>{html.escape(words)}</p>", rejected.status.http)


def _read(request: HttpRequest) -> dict[str, str]:
    """Read a form of either type; of the multipart one only what one-click needs."""
    octets = checked_size(request)
    if request.content_type == "multipart/form-data":
        body = octets.replace(b"\r\n", b"\n")
        name, _, rest = body.partition(b'name="List-Unsubscribe"')[2].partition(b"\n\n")
        value = rest.partition(b"\n")[0].decode("ascii", "replace")
        return {"List-Unsubscribe": value} if value and not name.strip() else {}
    return read_form(octets)


def _form(found: Subscription) -> str:
    contact_list = found.contact_list
    if contact_list is None:
        return "<p role=status>This list is there no more: nothing will be sent to you from it.</p>"
    escape = html.escape
    told = contact_list.get("Description") or found.link.contact_list
    parts = [f"<p>{escape(told)}</p><p>Address: <strong>{escape(found.link.address)}</strong></p>"]
    if found.contact.get("UnsubscribeAll"):
        parts.append("<p role=status>You are unsubscribed from all of this list.</p>")
    parts.append("<form method=post>")
    if found.wanted:
        parts.append("<fieldset><legend>What you want to get</legend>")
        for topic in contact_list["Topics"]:
            name = topic["TopicName"]
            checked = " checked" if found.wanted[name] else ""
            description = f" <small>{escape(topic['Description'])}</small>" if topic.get("Description") else ""
            parts.append(
                f'<label><input type=checkbox name="topic.{escape(name)}"{checked}> {escape(topic["DisplayName"])}'
                f"{description}</label>"
            )
        parts.append("</fieldset><button name=do value=save>Save</button>")
    parts.append("<button name=do value=leave>Unsubscribe from everything</button></form>")
    return "".join(parts)


@ADMIN_DOOR.route("POST", "/v1/unsubscribe/rotation")
def rotate_unsubscribe_key(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Make a new key for links. Raises Rejected, Unavailable."""
    from paravion.services import unsubscribe_keys

    if call.request.body.strip() not in {b"", b"{}"}:
        raise Rejected(BAD_REQUEST, "a rotation has nothing to set: the body must be empty")
    return json_answer(HTTPStatus.OK, {"keys": unsubscribe_keys.rotate(call.principal, call.deps)})
