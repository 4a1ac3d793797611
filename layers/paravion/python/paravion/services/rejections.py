"""
What SES accepts and then can't send: a message whose template could not be rendered.

The caller gets a message id, and whoever listens gets an event; nothing is kept, and nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.submission import Receipt
from paravion.services.configuration import set_of_mail
from paravion.services.validate import queue_id_of

if TYPE_CHECKING:
    from paravion.domain.submission import Submission
    from paravion.services.validate import ValidateDeps


def rendering_failed(submission: Submission, author: str, template: str, error: str, deps: ValidateDeps) -> Receipt:
    """
    Enter that a message could not be made of its template: SES's Rendering Failure.

    Args:
        submission: Everything but the content; the queue id that the caller is told follows from it, so that an SDK's
            repeat is told the same.
        author: The address of From.
        template: Its name, "" for one that came with the request.
        error: For the template's author: which attribute is missing. Printable ASCII.

    Returns:
        What the caller is told, as of a message that was taken.

    Raises:
        Rejected: What refuses every mail of the kind: sending is paused, no such configuration set.
        Unavailable
    """
    set_of_mail(deps.records, submission.tenant, submission.configuration_set, author)
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
