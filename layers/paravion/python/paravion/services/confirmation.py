"""
Ask an address's owner whether it may be used: a mail with a link, and what the link does.

The link names the identity and its token, which nobody else has, and holds for a day. Opening it shows a page with a
button: only pressing it confirms, so that a scanner that follows links in mail confirms nothing.

The mail goes our own road, from the null reverse-path and without reports: who can't be reached does not confirm.

Next: services/commit.py keeps the mail; api/native_confirmation.py has the page.
"""

from __future__ import annotations

from dataclasses import replace
from hmac import compare_digest
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from paravion.domain import ids
from paravion.domain.address import parse_mailboxes
from paravion.domain.envelope import Envelope, Recipient
from paravion.domain.headers import format_date, make_field
from paravion.domain.mime_build import SimpleMail, TextPart, build_simple
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services.commit import commit
from paravion.services.signing import Signer, hash_to_sign, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

PATH: Final = "/v1/confirmations"
VALID_S: Final = 86_400.0
"""SES's links hold for as long."""

_TEXT: Final = """\
Somebody asked to send mail as {name} by {hostname}.

If that was you, confirm it within 24 hours:

{link}

If not, do nothing: nobody can send as you then.
"""


def is_over(identity: Identity, now: float) -> bool:
    """Say whether the link of an address that is not proved holds no more."""
    return now >= identity.created_at + VALID_S


def send(identity: Identity, base_url: str, deps: AdminDeps, custom: Mapping[str, Any] | None = None) -> str:
    """
    Send the mail that asks.

    Args:
        base_url: Of the API as the owner's browser reaches it, e.g. `https://api.example.org`.
        custom: A custom verification template (services/verification_templates.py) instead of our own words.

    Returns:
        The mail's queue id.

    Raises:
        Rejected: bad_request: no mail can be sent from here.
        Unavailable: It may have been sent; asking again sends another one.
    """
    if deps.to_commit is None or not base_url:
        raise Rejected(BAD_REQUEST, "an address needs a confirmation mail, which can't be sent from here")
    parameters = {"identity": identity.name, "token": identity.token}
    if custom:
        parameters["template"] = custom["TemplateName"]
    link = f"{base_url}{PATH}?{urlencode(parameters)}"
    hostname, now = deps.settings.hostname, deps.clock()
    own = TextPart(_TEXT.format(name=identity.name, hostname=hostname, link=link), "UTF-8")
    mail = SimpleMail(
        from_=custom["FromEmailAddress"] if custom else f"no-reply@{hostname}",
        to=(identity.name,),
        cc=(),
        reply_to=(),
        subject=custom["TemplateSubject"] if custom else f"Confirm that {hostname} may send mail as {identity.name}",
        subject_charset="",
        text=None if custom else own,
        html=TextPart(_with_link(custom["TemplateContent"], link), "UTF-8") if custom else None,
        attachments=(),
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    domain = parse_mailboxes(mail.from_.encode())[0].address.rpartition("@")[2]
    queue_id = ids.queue_id_from(f"confirmation\0{identity.name}\0{identity.token}".encode())
    header, _, body = build_simple(mail, boundary_seed=queue_id).partition(b"\r\n\r\n")
    header += b"\r\n"
    header = make_field("Date", format_date(now)) + make_field("Message-ID", f"<{queue_id}@{hostname}>") + header
    keys = Signer(deps.secrets, deps.clock).keys_for(domain.lower())
    header = signed(header, hash_to_sign(body, keys), keys, now)
    envelope = Envelope(
        queue_id=queue_id,
        reverse_path="",
        recipients=(Recipient(identity.name, notify=("NEVER",)),),
        queued_at=now,
        body_octets=len(body),
        body_type="7BIT" if body.isascii() else "8BITMIME",
        smtputf8=not header.isascii(),
        submitter="paravion",
        tenant=identity.tenant,
        door="confirmation",
        digest=queue_id,
    )
    commit(envelope, header, body, deps.to_commit)
    deps.event_log.emit("ConfirmationSent", {"identity": identity.name, "queue_id": queue_id})
    return queue_id


def _with_link(content: str, link: str) -> str:
    """Give a template's HTML with the link at its end, as SES puts it there."""
    shown = f'<p><a href="{escape(link)}">{escape(link)}</a></p>'
    at = content.lower().rfind("</body>")
    return content[:at] + shown + content[at:] if at >= 0 else content + shown


def find(name: str, token: str, deps: AdminDeps) -> Identity:
    """
    Give the identity that a link is about.

    Raises:
        Rejected: not_found: no such link, or it is too old.
        LedgerUnavailable
    """
    identity = deps.identities.get(name)
    if identity is None or not token or not compare_digest(identity.token.encode(), token.encode()) or "@" not in name:
        raise Rejected(NOT_FOUND, "no such link")
    if not identity.verified and is_over(identity, deps.clock()):
        raise Rejected(NOT_FOUND, "the link is too old: ask for another one")
    return identity


def confirm(name: str, token: str, deps: AdminDeps) -> Identity:
    """Take a confirmation; one that was given already is one. Raises as `find`."""
    identity = find(name, token, deps)
    if not identity.verified:
        identity = replace(identity, verified=True)
        deps.identities.put(identity)
        deps.event_log.emit("IdentityVerified", {"identity": name})
    return identity
