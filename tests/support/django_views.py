"""
The webhook views of django-anymail and django-ses in a process of their own, for Django's settings are a process's.

Reads a list of requests (body, headers) on standard input; says what each view made of each of them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django
from django.conf import settings
from django.test import RequestFactory

settings.configure(
    ANYMAIL={
        "AMAZON_SES_CLIENT_PARAMS": {"region_name": "us-east-1"},
        "AMAZON_SES_AUTO_CONFIRM_SNS_SUBSCRIPTIONS": False,
    },
    AWS_SES_VERIFY_EVENT_SIGNATURES=False,  # Amazon alone can sign as Amazon
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="x",
    INSTALLED_APPS=["anymail", "django_ses"],
    DATABASES={},
)
django.setup()

from anymail.signals import tracking  # noqa: E402 (Django must be set up first)
from anymail.webhooks.amazon_ses import AmazonSESTrackingWebhookView  # noqa: E402
from django_ses import signals  # noqa: E402
from django_ses.views import SESEventWebhookView  # noqa: E402

heard: list[Any] = []


def on_tracking(event: Any, **_: Any) -> None:
    """Anymail's one signal."""
    heard.append(
        {
            "type": event.event_type,
            "message_id": event.message_id,
            "recipient": event.recipient,
            "reject_reason": event.reject_reason,
            "mta_response": event.mta_response,
            "tags": event.tags,
        }
    )


def main() -> None:
    """Show every request to both views."""
    tracking.connect(on_tracking)
    for name in ("bounce", "complaint", "delivery", "send"):

        def on_event(mail_obj: Any, name: str = name, **told: Any) -> None:
            members = sorted(told[f"{name}_obj"])
            heard.append({"type": name, "message_id": mail_obj["messageId"], "members": members})

        getattr(signals, f"{name}_received").connect(on_event, weak=False)
    views = {
        "anymail": AmazonSESTrackingWebhookView.as_view(),
        "django_ses": SESEventWebhookView.as_view(),
    }
    told = []
    for request in json.load(sys.stdin):
        made: dict[str, Any] = {}
        for name, view in views.items():
            heard.clear()
            fields = {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in request["headers"].items()}
            response = view(
                RequestFactory().post("/", request["body"], content_type=request["headers"]["Content-Type"], **fields)
            )
            made[name] = {"status": response.status_code, "heard": list(heard)}
        told.append(made)
    json.dump(told, sys.stdout)


main()
