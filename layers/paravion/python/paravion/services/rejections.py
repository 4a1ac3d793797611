"""
What SES accepts and then does not send: a message whose template could not be rendered, or with a virus in it.

The caller gets a message id, and whoever listens gets an event; nothing is kept, and nothing is sent. What refuses
every mail of the kind (the sender, the scope, the configuration set) refuses these too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paravion.domain.message import complete, read_message
from paravion.domain.submission import Receipt
from paravion.services import events
from paravion.services.arns import check_arns
from paravion.services.authorise import require_sender
from paravion.services.configuration import set_of_mail
from paravion.services.control_fields import with_control_fields
from paravion.services.sender import check_sender, sender_of
from paravion.services.validate import queue_id_of, recipients_of, reverse_path_of

if TYPE_CHECKING:
    from paravion.domain.message import Message
    from paravion.domain.ses_event import Mail
    from paravion.domain.submission import Submission
    from paravion.services.validate import ValidateDeps


def rendering_failed(submission: Submission, template: str, error: str, deps: ValidateDeps) -> Receipt:
    """
    Enter that a message could not be made of its template: SES's Rendering Failure.

    Args:
        submission: With something in the place of the text, so that its sender can be checked. The queue id that the
            caller is told follows from it: an SDK's repeat is told the same.
        template: Its name, "" for one that came with the request.
        error: For the template's author: which attribute is missing. Printable ASCII.

    Returns:
        What the caller is told, as of a message that was taken.

    The event is on its way when this returns; where it can't be, the caller gets an error, and repeats the call.

    Raises:
        Rejected: What refuses every mail of the kind: a sender who may not send, a paused or unknown configuration set.
        Unavailable
    """
    submission, _, mail = _checked(submission, deps)
    deps.event_log.emit(
        "RenderingFailure",
        {
            "queue_id": mail.message_id,
            "door": submission.door,
            "principal": submission.principal,
            "configuration_set": mail.configuration_set,
            "template": template,
            "recipients": len(mail.destination),
            "detail": error,
        },
    )
    events.rendering_failed(mail, template, error, tenant=submission.tenant, deps=deps)
    return Receipt(mail.message_id, len(mail.destination))


def content_rejected(submission: Submission, deps: ValidateDeps) -> Receipt:
    """
    Enter that a message is not sent for what is in it: SES's Reject.

    Returns, raises: As `rendering_failed`.
    """
    submission, message, mail = _checked(submission, deps)
    header = complete(
        message,
        queue_id=mail.message_id,
        now=mail.at,
        hostname=deps.settings.hostname,
        trace=b"",
        restamp=submission.restamp,
    )
    fields = {"queue_id": mail.message_id, "door": submission.door, "principal": submission.principal}
    deps.event_log.emit(
        "ContentRejected",
        {**fields, "configuration_set": mail.configuration_set, "recipients": len(mail.destination)},
    )
    events.rejected(replace(mail, header=header), tenant=submission.tenant, deps=deps)
    return Receipt(mail.message_id, len(mail.destination))


def _checked(submission: Submission, deps: ValidateDeps) -> tuple[Submission, Message, Mail]:
    """Refuse what services/validate.py would; gives the submission as it reads it, and what its event tells of it."""
    settings = deps.settings
    assert isinstance(submission.content, bytes)  # noqa: S101 (SES's doors have it from a request)
    message = read_message(submission.content, max_octets=settings.max_message_octets, bare_lf=settings.bare_lf)
    submission = with_control_fields(submission, message)
    reverse_path = reverse_path_of(submission, message)
    given, _ = recipients_of(submission, message, settings.max_recipients_count)
    queue_id = queue_id_of(submission, deps)
    author = message.authors[0].address
    chosen = set_of_mail(deps.records, submission.tenant, submission.configuration_set, author)
    require_sender(submission, reverse_path, message, settings)
    check_arns(submission, reverse_path, message, deps)
    check_sender(submission, reverse_path, message, deps)
    sender_of(submission, reverse_path, message, chosen, deps)
    submission = replace(submission, reverse_path=reverse_path, recipients=given)
    if chosen is not None and chosen.keeps_message_id:
        submission = replace(submission, restamp=False)
    return submission, message, events.unsent_mail(submission, queue_id, chosen.name if chosen else "", author, deps)
