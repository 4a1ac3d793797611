"""What we publish, read by programs that we did not write: the webhook views of django-anymail and django-ses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from paravion.domain.configuration_set import EventDestination
from paravion.domain.ses_event import as_event
from paravion.domain.told import NOTIFIED, TYPES, Told
from paravion.domain.webhook_event import body_of
from tests.unit.domain.test_ses_event import CASES, ORIGIN, QUEUE_ID

JANE, MARY = "jane@example.com", "mary@example.com"
HOOK = EventDestination("hook", True, frozenset(), "Webhook", {"Url": "https://h/", "Form": "sns"})
UNKNOWN_USER = "smtp; 550 5.1.1 user unknown"
LISTED = "Not sent: the address is on the suppression list: BOUNCE, since 2027-01-14"
ANYMAIL = {
    "send": ("sent", None, None, [JANE, MARY]),
    "delivery": ("delivered", None, "250 2.6.0 Message received", [JANE]),
    "bounce": ("bounced", "bounced", UNKNOWN_USER, [JANE, MARY]),
    "bounce_suppressed": ("bounced", "bounced", LISTED, [JANE]),
    "complaint": ("complained", "spam", None, [JANE]),
    "complaint_suppressed": ("complained", "spam", None, [JANE, MARY]),
    "complaint_without_report": ("complained", "spam", None, [JANE]),
    "reject": ("rejected", "blocked", None, [JANE, MARY]),
    "rendering_failure": ("failed", None, None, [JANE, MARY]),
    "delivery_delay": ("unknown", None, None, [JANE, MARY]),  # anymail 15 knows neither delays
    "subscription": ("unknown", None, None, [JANE, MARY]),  # nor these, and takes them for the whole mail's
}
"""What anymail's documentation says that each event becomes: type, reject reason, what the host said, and of whom."""

SIGNALS = {"SEND": "send", "DELIVERY": "delivery", "BOUNCE": "bounce", "COMPLAINT": "complaint"}
"""django-ses's, by type; what it does not know it logs."""

WANTED = [(name, False) for name in CASES] + [(name, True) for name, e in CASES.items() if e.type in NOTIFIED]
"""Every event that we publish, in each of the forms that it has."""


@pytest.fixture(scope="module")
def read() -> dict[tuple[str, bool], Any]:
    """What both views made of every event, in both forms."""
    requests = []
    for name, older in WANTED:
        told = Told("x", "", HOOK, is_notification=older, with_headers=True)
        body, headers = body_of(told, CASES[name], ORIGIN)
        requests.append({"body": body.decode(), "headers": headers})
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.django_views"],
        input=json.dumps(requests), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(zip(WANTED, json.loads(run.stdout), strict=True))


def test_every_type_of_ours_is_shown_to_the_views() -> None:
    """A new event has to be tried here."""
    assert {event.type for event in CASES.values()} == set(TYPES)
    assert set(ANYMAIL) == set(CASES)


@pytest.mark.parametrize(("name", "older"), WANTED)
def test_anymail_raises_the_right_tracking_event(read: dict[tuple[str, bool], Any], name: str, older: bool) -> None:
    """One for each recipient: type, message, reason, and what was said; none of ours is an error to it."""
    kind, reason, response, recipients = ANYMAIL[name]
    answer = read[name, older]["anymail"]
    assert answer["status"] == 200
    assert [event.pop("recipient") for event in answer["heard"]] == recipients
    for event in answer["heard"]:
        assert event == {
            "type": kind, "message_id": QUEUE_ID, "reject_reason": reason, "mta_response": response, "tags": [],
        }  # fmt: skip


@pytest.mark.parametrize(("name", "older"), WANTED)
def test_django_ses_raises_the_right_signal(read: dict[tuple[str, bool], Any], name: str, older: bool) -> None:
    """Once, with the mail and the event's own object; what it knows no signal for it takes without an error."""
    event = CASES[name]
    signal = SIGNALS.get(event.type)
    heard = [{"type": signal, "message_id": QUEUE_ID, "members": sorted(as_event(event)[signal])}] if signal else []
    if older and signal in {"bounce", "delivery"} and event.remote_ip:
        heard[0]["members"] = sorted([*heard[0]["members"], "remoteMtaIp"])
    assert read[name, older]["django_ses"] == {"status": 200, "heard": heard}
