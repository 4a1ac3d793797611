"""What the template operations of both SES versions share: pages, and the rendering of one to look at."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import SesFault, bad_request
from paravion.domain.email_template import read_data, render
from paravion.domain.mime_build import SimpleMail, TextPart, build_unaddressed
from paravion.services import templates

if TYPE_CHECKING:
    from datetime import datetime

    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_PAGE_DEFAULT: Final = 10
_PAGE_MAX: Final = 100
"""SES's own limits."""

_RENDERED_MAX: Final = 5_000_000
"""Characters of an answer that the gateway still takes."""


def template_page(
    given: dict[str, Any], size_member: str, call: Call[AdminDeps]
) -> tuple[list[tuple[str, datetime]], str | None]:
    """
    Give a page of templates, and the token for what follows.

    Raises:
        SesFault: A size or token that is none. LedgerUnavailable.
    """
    limit = given.get(size_member, _PAGE_DEFAULT)
    if not 1 <= limit <= _PAGE_MAX:
        raise bad_request(f"{size_member} must be 1 to {_PAGE_MAX}.")
    try:
        after = base64.b64decode(given.get("NextToken", "").encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as exc:
        raise SesFault(
            "InvalidNextTokenException", "The specified request includes an invalid or expired token."
        ) from exc
    page, go_on = templates.page(after, limit, call.principal, call.deps)
    return page, base64.urlsafe_b64encode(go_on.encode()).decode() if go_on else None


def preview(name: str, data: str, call: Call[AdminDeps]) -> str:
    """
    Render a template into the message that it makes, without addresses.

    Raises:
        Rejected: What a send would make a Rendering Failure of is an error here.
        LedgerUnavailable
    """
    template = templates.find(name, call.principal, call.deps.records)
    rendered = render(template, read_data(data), characters_max=_RENDERED_MAX)
    mail = SimpleMail(
        from_="",
        to=(),
        cc=(),
        reply_to=(),
        subject=rendered.subject,
        subject_charset="",
        text=TextPart(rendered.text) if template.text else None,
        html=TextPart(rendered.html) if template.html else None,
        attachments=(),
        headers=(),
    )
    return build_unaddressed(mail, now=call.deps.clock(), boundary_seed=f"{name}\0{data}").decode("ascii")
