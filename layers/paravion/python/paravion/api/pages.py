"""
The few pages that people see who follow a link in a mail: plain HTML that needs nothing from elsewhere.

What leads to them proves its reader's right, so they are kept by no cache, told to no other site, shown in no frame
and found by no search; forms may be sent to ourselves alone.

Used by: api/unsubscribe_pages.py, api/native_confirmation.py.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from paravion.api.http_event import HttpAnswer
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.http_event import HttpRequest

_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}
_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "fieldset{border:1px solid #767676;border-radius:.3rem;margin:1rem 0}label{display:block;margin:.5rem 0}"
    "button{font:inherit;padding:.5rem 1rem;margin:.5rem .5rem 0 0}small{color:#555}strong{overflow-wrap:anywhere}"
)
_FIELDS_MAX: Final = 100
_FORM_OCTETS: Final = 100_000


def page(title: str, body: str, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """Give a page; title and body are HTML, with what others wrote escaped by the caller."""
    text = (
        f'<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
    return HttpAnswer(status, text, {**_HEADERS, **(headers or {})})


def checked_size(request: HttpRequest) -> bytes:
    """Give a form's octets. Raises Rejected (bad_request): too many."""
    if len(request.body) > _FORM_OCTETS:
        raise Rejected(BAD_REQUEST, "the form is too large")
    return request.body


def read_form(octets: bytes) -> dict[str, str]:
    """Read fields, of a form or a query. Raises Rejected (bad_request): none, or too many of them."""
    try:
        return dict(parse_qsl(octets.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, "the body is no form") from exc
