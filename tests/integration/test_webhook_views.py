"""What we publish, read by programs that we did not write: the webhook views of django-anymail and django-ses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from paravion.domain.configuration_set import EventDestination
from paravion.domain.told import NOTIFIED, Told
from paravion.domain.webhook_event import body_of
from tests.unit.domain.test_ses_event import CASES, ORIGIN, QUEUE_ID

JANE = "jane@example.com"
HOOK = EventDestination("hook", True, frozenset(), "Webhook", {"Url": "https://h/", "Form": "sns"})
ANYMAIL = {
    "send": ("sent", None, None),
    "delivery": ("delivered", None, "250 2.6.0 Message received"),
    "bounce": ("bounced", "bounced", "smtp; 550 5.1.1 user unknown"),
    "bounce_suppressed": ("bounced", "bounced", None),
    "complaint": ("complained", "spam", None),
    "reject": ("rejected", "blocked", None),
    "rendering_failure": ("failed", None, None),
    "delivery_delay": ("unknown", None, None),  # anymail 15 knows no delays
}
"""What anymail's documentation says that each event becomes: type, reject reason, what the host said."""


@pytest.fixture(scope="module")
def read() -> dict[tuple[str, bool], Any]:
    """What both views made of every event, in both forms."""
    wanted = [(name, False) for name in CASES] + [(name, True) for name, e in CASES.items() if e.type in NOTIFIED]
    requests = []
    for name, older in wanted:
        told = Told("x", "", HOOK, is_notification=older, with_headers=True)
        body, headers = body_of(told, CASES[name], ORIGIN)
        requests.append({"body": body.decode(), "headers": headers})
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.django_views"],
        input=json.dumps(requests), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(zip(wanted, json.loads(run.stdout), strict=True))


@pytest.mark.parametrize("name", ANYMAIL)
def test_anymail_raises_the_right_tracking_event(read: dict[tuple[str, bool], Any], name: str) -> None:
    """Type, message, recipient and reason."""
    answer = read[name, False]["anymail"]
    assert answer["status"] == 200
    kind, reason, response = ANYMAIL[name]
    first = answer["heard"][0]
    assert (first["type"], first["message_id"], first["recipient"]) == (kind, QUEUE_ID, JANE)
    assert reason is None or first["reject_reason"] == reason
    assert response is None or first["mta_response"] == response


@pytest.mark.parametrize(("name", "older"), [
    *((name, False) for name in ("send", "delivery", "bounce", "complaint")),
    *((name, True) for name in ("delivery", "bounce", "complaint")),
])  # fmt: skip
def test_django_ses_raises_the_right_signal(read: dict[tuple[str, bool], Any], name: str, older: bool) -> None:
    """Both forms, as its view takes them."""
    assert read[name, older]["django_ses"] == {
        "status": 200, "heard": [{"type": name, "message_id": QUEUE_ID}],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["delivery", "bounce", "complaint"])
def test_anymail_reads_the_older_form_too(read: dict[tuple[str, bool], Any], name: str) -> None:
    """The topics of identities."""
    assert read[name, True]["anymail"]["heard"][0]["type"] == ANYMAIL[name][0]
