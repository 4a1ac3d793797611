"""
Django's two SES backends, django-ses and django-anymail, in a process of their own: settings are a process's.

argv: the endpoint, access key, secret key. Each sends one mail, by its own way: django-ses by v1's SendRawEmail and by
v2's SendEmail, Anymail by v2. Prints the ids that they got.
"""

from __future__ import annotations

import json
import sys

import django
from django.conf import settings

endpoint, access_key, secret_key = sys.argv[1:]
settings.configure(
    SECRET_KEY="x",
    ANYMAIL={
        "AMAZON_SES_CLIENT_PARAMS": {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
        }
    },
    AWS_SES_ACCESS_KEY_ID=access_key,
    AWS_SES_SECRET_ACCESS_KEY=secret_key,
    AWS_SES_REGION_NAME="us-east-1",
    AWS_SES_REGION_ENDPOINT_URL=endpoint,
    AWS_SES_AUTO_THROTTLE=None,
)
django.setup()

from django.core.mail import EmailMultiAlternatives, get_connection  # noqa: E402 (Django must be set up first)


def send(backend: str, to: str, **options: object) -> str:
    """Send one mail; gives the id that the backend was told."""
    mail = EmailMultiAlternatives("Grüße", "text", "Ä Sender <sender@example.org>", [to], bcc=[f"bcc-{to}"])
    mail.attach_alternative("<p>html</p>", "text/html")
    mail.attach("a.txt", "attached", "text/plain")
    mail.connection = get_connection(backend, **options)
    assert mail.send() == 1
    status = getattr(mail, "anymail_status", None)
    return str(status.message_id if status else mail.extra_headers["message_id"])


print(
    json.dumps(
        {
            "django-ses-v1": send("django_ses.SESBackend", "django-ses-v1@example.com"),
            "anymail": send("anymail.backends.amazon_ses.EmailBackend", "anymail@example.com"),
        }
    )
)
settings.USE_SES_V2 = True
print(json.dumps({"django-ses-v2": send("django_ses.SESBackend", "django-ses-v2@example.com", use_ses_v2=True)}))
