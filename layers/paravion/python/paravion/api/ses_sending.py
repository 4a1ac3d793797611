"""
What SES's sending operations of both versions share: addresses, limits, tags, and the way to a submission.

Next: api/ses_templated.py where a template makes the content; services/validate.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import bad_request
from paravion.domain.address import parse_mailboxes, shown
from paravion.domain.attachment_names import file_names
from paravion.domain.envelope import Recipient
from paravion.domain.mime_build import Attachment, SimpleMail, TextPart, build_simple
from paravion.domain.simulator import has_test_virus
from paravion.domain.status import BAD_MESSAGE, Rejected
from paravion.domain.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paravion.api.doors import Call
    from paravion.domain.submission import Receipt
    from paravion.services.validate import ValidateDeps

RECIPIENTS_MAX: Final = 50
"""SES's limit of To, Cc and Bcc together, or of Destinations."""

_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_INVOCATION: Final = re.compile(r"[!-~]{1,120}")
_DESTINATION: Final = ("ToAddresses", "CcAddresses", "BccAddresses")

_BLOCKED: Final = frozenset((
    "ade", "adp", "app", "asp", "bas", "bat", "cer", "chm", "cmd", "com", "cpl",
    "crt", "csh", "der", "exe", "fxp", "gadget", "hlp", "hta", "inf", "ins", "isp",
    "its", "js", "jse", "ksh", "lib", "lnk", "mad", "maf", "mag", "mam", "maq",
    "mar", "mas", "mat", "mau", "mav", "maw", "mda", "mdb", "mde", "mdt", "mdw",
    "mdz", "msc", "msh", "msh1", "msh2", "mshxml", "msh1xml", "msh2xml", "msi", "msp", "mst",
    "ops", "pcd", "pif", "plg", "prf", "prg", "reg", "scf", "scr", "sct", "shb",
    "shs", "sys", "ps1", "ps1xml", "ps2", "ps2xml", "psc1", "psc2", "tmp", "url", "vb",
    "vbe", "vbs", "vps", "vsmacros", "vss", "vst", "vsw", "vxd", "ws", "wsc", "wsf",
    "wsh", "xnk",
))  # fmt: skip
"""File name extensions that SES does not send: what a mailbox provider would take for an attack."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    One message of an SES operation, without its content.

    Attributes:
        reverse_path: None: the header's sender.
        recipients: (): the header's.
        entry: Which one of a bulk call, "" for the only one of a call.
        others: As in Submission.
    """

    door: str
    reverse_path: str | None
    recipients: tuple[Recipient, ...]
    tags: tuple[tuple[str, str], ...] = ()
    configuration_set: str = ""
    contact_list: str = ""
    topic: str = ""
    source_arn: str = ""
    from_arn: str = ""
    return_path_arn: str = ""
    entry: str = ""


def address_of(entry: str, where: str) -> str:
    """
    Give the address of one mailbox, display name or not.

    Raises:
        SesFault: BadRequestException: not exactly one mailbox.
    """
    try:
        if any(character in entry for character in "\r\n\0"):
            raise ValueError("holds CR, LF or NUL")  # noqa: TRY301
        mailboxes = parse_mailboxes(entry.encode("utf-8"))
        if len(mailboxes) != 1:
            raise ValueError("must be one address")  # noqa: TRY301
    except ValueError as exc:
        raise bad_request(f"{where}: {shown(entry)}: {shown(str(exc), 200)}") from exc
    return mailboxes[0].address


def recipients_of(entries: Sequence[str], where: str) -> tuple[Recipient, ...]:
    """
    Give the recipients of a list of mailboxes, in order.

    Raises:
        SesFault: BadRequestException: too many, or one that is no mailbox.
    """
    if len(entries) > RECIPIENTS_MAX:
        raise bad_request(f"Recipient count exceeds {RECIPIENTS_MAX}.")
    return tuple(Recipient(address_of(entry, where)) for entry in entries)


def destination(given: Mapping[str, Any]) -> tuple[Recipient, ...]:
    """Give To, Cc and Bcc of a Destination. Raises as `recipients_of`."""
    value: Mapping[str, Sequence[str]] = given.get("Destination", {})
    return recipients_of([entry for name in _DESTINATION for entry in value.get(name, ())], "Destination")


def tags_of(tags: Iterable[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """
    Give the message tags.

    Raises:
        SesFault: BadRequestException: characters or lengths that SES does not take, a name given twice.
    """
    found: dict[str, str] = {}
    for tag in tags:
        for word in (tag["Name"], tag["Value"]):
            if not _TAG.fullmatch(word):
                raise bad_request(f"Invalid tag: {shown(word)}: 1 to 256 of A-Z, a-z, 0-9, '_' and '-' are allowed.")
        if tag["Name"] in found:
            raise bad_request(f"Duplicate tag name: {tag['Name']}.")
        found[tag["Name"]] = tag["Value"]
    return tuple(found.items())


def simple_content(
    given: Mapping[str, Any], message: Mapping[str, Any], *, from_: str, call: Call[ValidateDeps], entry: str = ""
) -> bytes:
    """
    Build the content of a message that came in pieces; Bcc is nowhere in it.

    Args:
        given: With Destination and ReplyToAddresses.
        message: v2's Simple or v1's Message.
        from_: The From field's mailbox.
        call: Whose SDK may have named it (see `send`).
        entry: As in Outgoing.

    Raises:
        Rejected: As domain/mime_build.py; bad_message, an attachment that SES does not send.
        SesFault: No recipient.
    """
    target: Mapping[str, Sequence[str]] = given.get("Destination", {})
    if not any(target.get(name) for name in _DESTINATION):
        raise bad_request("Destination must have at least one address in ToAddresses, CcAddresses or BccAddresses.")
    for reply_to in given.get("ReplyToAddresses", ()):
        address_of(reply_to, "ReplyToAddresses")
    subject = message["Subject"]
    mail = SimpleMail(
        from_=from_,
        to=tuple(target.get("ToAddresses", ())),
        cc=tuple(target.get("CcAddresses", ())),
        reply_to=tuple(given.get("ReplyToAddresses", ())),
        subject=subject["Data"],
        subject_charset=subject.get("Charset", ""),
        text=_text(message["Body"].get("Text")),
        html=_text(message["Body"].get("Html")),
        attachments=tuple(_attachment(item) for item in message.get("Attachments", ())),
        headers=tuple((item["Name"], item["Value"]) for item in message.get("Headers", ())),
    )
    # The same seed for an SDK's repeat of one call: the content, and so the message, is the same then.
    invocation = _invocation(call)
    seed = f"{invocation}{entry}" if invocation else call.deps.entropy(16).hex()
    return build_simple(mail, boundary_seed=seed)


def submission_of(outgoing: Outgoing, content: bytes, call: Call[Any]) -> Submission:
    """
    Give the submission that an SES operation made.

    An SDK's name for the call becomes the idempotency key: an SDK that repeats it after a lost answer sends one
    message, and of a bulk call each entry once.
    """
    invocation = _invocation(call)
    return Submission(
        principal=call.principal.access_key,
        tenant=call.principal.tenant,
        door=outgoing.door,
        reverse_path=outgoing.reverse_path,
        recipients=outgoing.recipients,
        content=content,
        recipients_from_header=not outgoing.recipients,
        restamp=True,
        idempotency_key=f"sdk:{invocation}{outgoing.entry}" if invocation else "",
        configuration_set=outgoing.configuration_set,
        tags=outgoing.tags,
        client=client_literal(call.request.client_address),
        contact_list=outgoing.contact_list,
        topic=outgoing.topic,
        source_arn=outgoing.source_arn,
        from_arn=outgoing.from_arn,
        return_path_arn=outgoing.return_path_arn,
    )


def send(outgoing: Outgoing, content: bytes, call: Call[ValidateDeps]) -> Receipt:
    """
    Submit what an SES operation made; what has a virus in it is accepted and not sent, as SES has it.

    Raises:
        Rejected, Unavailable: As services/validate.py.
    """
    submission = submission_of(outgoing, content, call)
    if has_test_virus(content):
        from paravion.services.rejections import content_rejected  # seldom needed

        return content_rejected(call.own(submission), call.deps)
    return call.send(submission)


def send_raw(outgoing: Outgoing, content: bytes, call: Call[ValidateDeps]) -> Receipt:
    """
    Submit what its caller has made himself, if its files are of types that SES sends.

    Raises:
        Rejected, Unavailable: As services/validate.py; bad_message: a type that is not sent.
    """
    for name in file_names(content):
        _check_file(name)
    return send(outgoing, content, call)


def client_literal(address: str) -> str:
    """Give an IP address as an address literal (RFC 5321 4.1.3), "" for none."""
    if not address:
        return ""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _invocation(call: Call[Any]) -> str:
    """An SDK's name for one call, the same in all its repeats of it; "" if there is none."""
    text = call.request.headers.get("amz-sdk-invocation-id", "")
    return text if _INVOCATION.fullmatch(text) else ""


def _text(part: Mapping[str, str] | None) -> TextPart | None:
    return None if part is None else TextPart(part["Data"], part.get("Charset", ""))


def _attachment(item: Mapping[str, Any]) -> Attachment:
    name: str = item["FileName"]
    _check_file(name)
    return Attachment(
        file_name=name,
        content=item["RawContent"],
        content_type=item.get("ContentType", ""),
        disposition=item.get("ContentDisposition", "ATTACHMENT"),
        content_id=item.get("ContentId", ""),
        description=item.get("ContentDescription", ""),
        transfer_encoding=item.get("ContentTransferEncoding", ""),
    )


def _check_file(name: str) -> None:
    # Programs drop what stands behind, and open the file.
    _, dot, extension = name.rstrip(" .").rpartition(".")
    if dot and extension.strip().lower() in _BLOCKED:
        raise Rejected(
            BAD_MESSAGE, f"Attachments: {shown(name)}: files of type .{extension.strip().lower()} are not sent"
        )
