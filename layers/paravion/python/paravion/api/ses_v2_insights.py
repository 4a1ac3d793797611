"""
SES v2's GetMessageInsights.

`Isp` is left out: which provider stands behind a domain is not known here.

Next: services/insights.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.domain.ses_event import SesEvent
    from paravion.services.admin import AdminDeps


@SES_V2.operation("GetMessageInsights")
def get_message_insights(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Tell what became of a message. Raises Rejected (not_found), Unavailable."""
    from paravion.services.insights import insights_of  # seldom used

    found = insights_of(given["MessageId"], call.principal, call.deps)
    headers = found.mail.get("commonHeaders", {})
    answer = {
        "MessageId": given["MessageId"],
        "FromEmailAddress": next(iter(headers.get("from", ())), found.mail.get("source", "")),
        "Subject": headers.get("subject", ""),
        "EmailTags": [{"Name": name, "Value": v} for name, values in found.mail["tags"].items() for v in values],
        "Insights": [
            {"Destination": address, "Events": [_event(event, about) for event, about in events]}
            for address, events in found.recipients.items()
        ],
    }
    return {name: value for name, value in answer.items() if value != ""}


def _event(event: SesEvent, about: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"Timestamp": event.at, "Type": event.type}
    if event.type == "BOUNCE":
        bounce = {
            "BounceType": event.detail["bounceType"].upper(),
            "BounceSubType": event.detail["bounceSubType"],
            "DiagnosticCode": about.get("diagnosticCode", ""),
        }
        told["Details"] = {"Bounce": {name: value for name, value in bounce.items() if value}}
    if event.type == "COMPLAINT":
        complaint = {
            "ComplaintSubType": event.detail["complaintSubType"],
            "ComplaintFeedbackType": event.detail.get("complaintFeedbackType"),
        }
        told["Details"] = {"Complaint": {name: value for name, value in complaint.items() if value}}
    return told
