"""
The SMTP password that SES derives from a secret key; also our HTTP Basic password.

It is what SES's console and its scripts make, so that credentials made for SES's SMTP endpoint go on working.
The older form (0x02, one HMAC) is not taken.

Standard: Amazon SES developer guide, "Obtaining Amazon SES SMTP credentials".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

_DATE: Final = "11111111"  # a fixed date: the password must not age
_VERSION: Final = b"\x04"
_STEPS: Final = ("ses", "aws4_request", "SendRawEmail")


def smtp_password(secret_key: str, region: str) -> str:
    """
    Derive the password.

    Args:
        secret_key: The credential's.
        region: The region that SES's scripts were told; part of the derivation.

    Returns:
        44 characters of base64.
    """
    key = f"AWS4{secret_key}".encode()
    for step in (_DATE, region, *_STEPS):
        key = hmac.digest(key, step.encode(), hashlib.sha256)
    return base64.b64encode(_VERSION + key).decode()
