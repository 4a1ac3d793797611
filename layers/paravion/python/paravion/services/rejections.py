"""
What SES accepts and then can't send: a message whose template could not be rendered.

The caller gets a message id, and whoever listens gets an event; nothing is kept, and nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.message import read_message
from paravion.domain.submission import Receipt
from paravion.services.arns import check_arns
from paravion.services.configuration import set_of_mail
from paravion.services.sender import check_sender
from paravion.services.validate import queue_id_of

if TYPE_CHECKING:
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

    Raises:
        Rejected: What refuses every mail of the kind: a sender who may not send, a paused or unknown configuration set.
        Unavailable
    """
    message = read_message(submission.content, max_octets=deps.settings.max_message_octets)
    set_of_mail(deps.records, submission.tenant, submission.configuration_set, message.authors[0].address)
    check_arns(submission, submission.reverse_path or "", message, deps)
    check_sender(submission, submission.reverse_path or "", message, deps)
    queue_id = queue_id_of(submission, deps)
    deps.event_log.emit(
        "RenderingFailure",
        {
            "queue_id": queue_id,
            "door": submission.door,
            "principal": submission.principal,
            "configuration_set": submission.configuration_set,
            "template": template,
            "recipients": len(submission.recipients),
            "detail": error,
        },
    )
    return Receipt(queue_id, len(submission.recipients))
