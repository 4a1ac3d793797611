"""
Ask an address's owner whether it may be used: a mail with a link, and what the link does.

The link names the identity and its token, which nobody else has, and holds for a day. Opening it shows a page with a
button: only pressing it confirms, so that a scanner that follows links in mail confirms nothing.

The mail goes our own road, from the null reverse-path and without reports: who can't be reached does not confirm.

Next: services/commit.py keeps the mail; api/native_confirmation.py has the page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from paravion.services.configuration import find_identity_settings
from paravion.services.events import telling
from paravion.services.signing import Signer, hash_to_sign, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.configuration_set import ConfigurationSet
    from paravion.domain.dkim import SigningKey
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

PATH: Final = "/v1/confirmations"
VALID_S: Final = 86_400.0
"""SES's links hold for as long."""

_SUBJECT: Final = "Confirm that {hostname} may send mail as {name}"
_TEXT: Final = """\
Somebody asked to send mail as {name} by {hostname}.

If that was you, confirm it within 24 hours:

{link}

If not, do nothing: nobody can send as you then.
"""


@dataclass(frozen=True, slots=True)
class Custom:
    """
    A mail in a user's words instead of ours.

    Attributes:
        template: See services/verification_templates.py.
        chosen: The configuration set that it goes by.
        access_key: Whose mail it is: he may look at it.
    """

    template: Mapping[str, Any]
    chosen: ConfigurationSet | None
    access_key: str


def is_over(identity: Identity, now: float) -> bool:
    """Say whether the link of an address that is not proved holds no more."""
    return now >= identity.created_at + VALID_S


def send(identity: Identity, base_url: str, deps: AdminDeps, custom: Custom | None = None) -> str:
    """
    Send the mail that asks.

    Args:
        base_url: Of the API as the owner's browser reaches it, e.g. `https://api.example.org`.
        custom: Instead of our own words.

    Returns:
        The mail's queue id.

    Raises:
        Rejected: bad_request: no mail can be sent from here.
        Unavailable: It may have been sent; asking again sends another one.
    """
    if deps.to_commit is None or not base_url:
        raise Rejected(BAD_REQUEST, "an address needs a confirmation mail, which can't be sent from here")
    parameters = {"identity": identity.name, "token": identity.token}
    template = custom.template if custom else {}
    if template:
        parameters["template"] = template["TemplateName"]
    link = f"{base_url}{PATH}?{urlencode(parameters)}"
    hostname, now = deps.settings.hostname, deps.clock()
    own = TextPart(_TEXT.format(name=identity.name, hostname=hostname, link=link), "UTF-8")
    mail = SimpleMail(
        from_=template["FromEmailAddress"] if template else f"no-reply@{hostname}",
        to=(identity.name,),
        cc=(),
        reply_to=(),
        subject=template["TemplateSubject"]
        if template
        else f"Confirm that {hostname} may send mail as {identity.name}",
        subject_charset="",
        text=None if template else own,
        html=TextPart(_with_link(template["TemplateContent"], link), "UTF-8") if template else None,
        attachments=(),
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    author = parse_mailboxes(mail.from_.encode())[0].address
    # Whoever asks again wants another mail, maybe in other words.
    queue_id = ids.queue_id_from(f"confirmation\0{identity.name}\0{identity.token}\0{now}".encode())
    header, _, body = build_simple(mail, boundary_seed=queue_id).partition(b"\r\n\r\n")
    header += b"\r\n"
    header = make_field("Date", format_date(now)) + make_field("Message-ID", f"<{queue_id}@{hostname}>") + header
    keys = _keys(author, identity.tenant if custom else "", deps)
    chosen = custom.chosen if custom else None
    set_name = chosen.name if chosen else ""
    told = None
    if custom:
        told = telling(deps.records, tenant=identity.tenant, configuration_set=set_name, author=author, client="")
    header = signed(header, hash_to_sign(body, keys), keys, now)
    envelope = Envelope(
        queue_id=queue_id,
        reverse_path="",
        recipients=(Recipient(identity.name, notify=("NEVER",)),),
        queued_at=now,
        body_octets=len(body),
        body_type="7BIT" if body.isascii() else "8BITMIME",
        smtputf8=not header.isascii(),
        submitter=custom.access_key if custom else "paravion",
        tenant=identity.tenant,
        door="confirmation",
        digest=queue_id,
        configuration_set=set_name,
        tls_required=chosen is not None and chosen.tls_required,
        max_delivery_s=chosen.max_delivery_s if chosen else 0.0,
        priority=chosen.priority if chosen else "",
        suppressed_reasons=chosen.suppressed_reasons if chosen else None,
        telling=told,
    )
    commit(envelope, header, body, deps.to_commit)
    deps.event_log.emit("ConfirmationSent", {"identity": identity.name, "queue_id": queue_id})
    return queue_id


def _keys(author: str, tenant: str, deps: AdminDeps) -> tuple[SigningKey, ...]:
    if not find_identity_settings(deps.records, tenant, author)[1].signing_enabled:
        return ()
    return Signer(deps.secrets, deps.clock).keys_for(author.rpartition("@")[2].lower())


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
    identity = is_about(name, token, deps)
    if identity is None:
        raise Rejected(NOT_FOUND, "no such link")
    if not identity.verified and is_over(identity, deps.clock()):
        raise Rejected(NOT_FOUND, "the link is too old: ask for another one")
    return identity


def is_about(name: str, token: str, deps: AdminDeps) -> Identity | None:
    """Give the identity that a link is about, however old it is, or None. Raises LedgerUnavailable."""
    identity = deps.identities.get(name) if "@" in name and token else None
    # Octets: a stranger's text may be any.
    is_ours = identity is not None and compare_digest(identity.token.encode(), token.encode("utf-8", "surrogateescape"))
    return identity if is_ours else None


def confirm(name: str, token: str, deps: AdminDeps) -> Identity:
    """Take a confirmation; one that was given already is one. Raises as `find`."""
    identity = find(name, token, deps)
    if not identity.verified:
        identity = replace(identity, verified=True)
        deps.identities.put(identity)
        deps.event_log.emit("IdentityVerified", {"identity": name})
    return identity
