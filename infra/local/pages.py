"""
What local mode shows of itself, on the API's port: the inbox and the counts of AWS calls.

    GET    /inbox        the messages, as JSON, oldest first
    GET    /inbox/{id}   one message's octets
    DELETE /inbox        forgets all
    GET    /inbox.html   a plain page; ?id= shows one message
    GET    /calls        AWS API calls since the start or the last DELETE, by service.Operation
    DELETE /calls        starts counting anew

No authentication: whoever reaches the port reads the mail, so the port is on loopback unless told otherwise.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from infra.local.events import Request, Response, json_response, message_response

if TYPE_CHECKING:
    from collections import Counter

    from infra.local.inbox import CaughtMail, Inbox

_SUBJECT: Final = re.compile(rb"(?:\A|\r\n)subject:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE)
_SHOWN_OCTETS: Final = 256 * 1024
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ccc;vertical-align:top}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "background:#f5f5f5;color:#111;padding:1rem}"
)


def subject(content: bytes) -> str:
    """Give a message's Subject, decoded, "" if it has none."""
    header = content.partition(b"\r\n\r\n")[0]
    match = _SUBJECT.search(header)
    if not match:
        return ""
    text = match[1].replace(b"\r\n", b"").strip().decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return text


class LocalPaths:
    """Answers the paths of local mode; `handle` gives None for all others."""

    def __init__(self, inbox: Inbox | None, calls: Counter[str]) -> None:
        self._inbox = inbox
        self._calls = calls

    def handle(self, request: Request) -> Response | None:
        """Answer a request, or leave it to the functions."""
        path = request.raw_path
        if path == "/calls":
            return self._call_counts(request.method)
        if path in {"/inbox", "/inbox.html"} or path.startswith("/inbox/"):
            return self._of_inbox(request.method, path, request.query)
        return None

    def _of_inbox(self, method: str, path: str, query: str) -> Response:
        if self._inbox is None:
            return message_response(HTTPStatus.NOT_FOUND, "No inbox: mail goes elsewhere (--relay)")
        if path == "/inbox" and method == "DELETE":
            self._inbox.clear()
            return Response(HTTPStatus.NO_CONTENT, (), b"")
        if method not in {"GET", "HEAD"}:
            return message_response(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
        if path == "/inbox":
            return json_response(HTTPStatus.OK, [_summary(mail) for mail in self._inbox.messages()])
        if path == "/inbox.html":
            return _page(self._inbox, parse_qs(query).get("id", [""])[0])
        return _raw(self._inbox.get(path.removeprefix("/inbox/")))

    def _call_counts(self, method: str) -> Response:
        if method == "DELETE":
            self._calls.clear()
            return Response(HTTPStatus.NO_CONTENT, (), b"")
        if method not in {"GET", "HEAD"}:
            return message_response(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
        return json_response(HTTPStatus.OK, dict(sorted(self._calls.copy().items())))


def _raw(mail: CaughtMail | None) -> Response:
    if mail is None:
        return message_response(HTTPStatus.NOT_FOUND, "Not Found")
    headers = (("content-type", "message/rfc822"), ("x-content-type-options", "nosniff"))
    return Response(HTTPStatus.OK, headers, mail.content)


def _page(inbox: Inbox, mail_id: str) -> Response:
    mail = inbox.get(mail_id) if mail_id else None
    status = HTTPStatus.NOT_FOUND if mail_id and mail is None else HTTPStatus.OK
    if mail:
        title, body = subject(mail.content) or "(no subject)", _shown(mail)
    elif mail_id:
        title, body = "Not found", ""
    else:
        title, body = "Inbox", _listed(inbox.messages())
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<style>{_STYLE}</style><p><a href="/inbox.html">Inbox</a></p><h1>{html.escape(title)}</h1>{body}</html>'
    )
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", _POLICY),
        ("x-content-type-options", "nosniff"),
    )
    return Response(status, headers, page.encode())


def _at(mail: CaughtMail) -> str:
    return datetime.fromtimestamp(mail.received_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(mail: CaughtMail) -> dict[str, object]:
    return {
        "id": mail.id,
        "received_at": _at(mail),
        "mail_from": mail.mail_from,
        "rcpt_tos": list(mail.rcpt_tos),
        "size": len(mail.content),
        "subject": subject(mail.content),
    }


def _listed(messages: list[CaughtMail]) -> str:
    if not messages:
        return "<p>No mail yet.</p>"
    rows = "".join(
        f"<tr><td>{_at(mail)}<td>{html.escape(mail.mail_from or '<>')}<td>{html.escape(', '.join(mail.rcpt_tos))}"
        f'<td><a href="/inbox.html?id={mail.id}">{html.escape(subject(mail.content) or "(no subject)")}</a>'
        f"<td>{len(mail.content)}"
        for mail in reversed(messages)
    )
    return f"<table><tr><th>Received<th>From<th>To<th>Subject<th>Octets{rows}</table>"


def _shown(mail: CaughtMail) -> str:
    text = mail.content[:_SHOWN_OCTETS].decode("utf-8", "replace")
    more = "" if len(mail.content) <= _SHOWN_OCTETS else "<p>Cut here; the link has it whole.</p>"
    return (
        f"<p>{_at(mail)}, from {html.escape(mail.mail_from or '<>')} to {html.escape(', '.join(mail.rcpt_tos))}, "
        f'<a href="/inbox/{mail.id}">{len(mail.content)} octets</a></p><pre>{html.escape(text)}</pre>{more}'
    )
