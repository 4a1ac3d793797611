"""
Settings of the send that travel in the header (X-SES-…): the same at every door, and never sent on.

What the request says itself comes before them, as SES has it: its configuration set, its ARNs, and its tags, which are
not joined with the header's.

Next: services/validate.py goes by what is decided here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paravion.domain.message import NO_CONTROLS, control_fields
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.domain.message import Message
    from paravion.domain.submission import Submission


def with_control_fields(submission: Submission, message: Message) -> Submission:
    """
    Give the submission with what its header asks for.

    Raises:
        Rejected: bad_message, a field that can't be read; bad_request, two different contact lists.
    """
    controls = control_fields(message)
    if controls is NO_CONTROLS:
        return submission
    if controls.list_options:
        from paravion.domain.contacts import read_options

        names = read_options(controls.list_options)
        if submission.contact_list and names != (submission.contact_list, submission.topic):
            raise Rejected(BAD_REQUEST, "ListManagementOptions and X-SES-LIST-MANAGEMENT-OPTIONS contradict each other")
        submission = replace(submission, contact_list=names[0], topic=names[1])
    arns = controls.arns
    return replace(
        submission,
        configuration_set=submission.configuration_set or controls.configuration_set,
        tags=submission.tags or controls.tags,
        source_arn=submission.source_arn or arns.get("source_arn", ""),
        from_arn=submission.from_arn or arns.get("from_arn", ""),
        return_path_arn=submission.return_path_arn or arns.get("return_path_arn", ""),
    )
