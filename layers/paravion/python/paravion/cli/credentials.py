"""
`paravion credentials create`: a new access key in the stack's secret store, shown once.

Writes the SSM SecureString that services/authenticate.py reads. The secret exists in two places only:
there, and on the terminal of whoever made it.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
import time
from typing import TYPE_CHECKING, Final

from paravion.domain.ses_smtp_password import smtp_password

if TYPE_CHECKING:
    from paravion.ports import Secrets

_SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "+/"
_SECRET_LENGTH: Final = 40  # that of AWS's own
_ID_OCTETS: Final = 10  # 16 characters of base32


def create(store: Secrets, *, region: str, operator: bool) -> dict[str, str]:
    """
    Make a credential and store it.

    Args:
        store: Where services/authenticate.py will look.
        region: Of the SMTP password's derivation.
        operator: May see what others submitted.

    Returns:
        access_key, secret_key and smtp_password.

    Raises:
        SecretsUnavailable: Nothing is promised then; the half-made key is useless to everybody.
    """
    access_key = "AKIA" + base64.b32encode(secrets.token_bytes(_ID_OCTETS)).decode()
    secret_key = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    stored = {"secret_key": secret_key, "enabled": True, "operator": operator}
    store.put(f"credentials/{access_key}", json.dumps(stored))
    return {
        "access_key": access_key,
        "secret_key": secret_key,
        "smtp_password": smtp_password(secret_key, region),
    }


def ssm_store(prefix: str) -> Secrets:
    """Give the stack's secret store, by the caller's AWS credentials and region."""
    import boto3

    from paravion.adapters.ssm_secrets import SsmSecrets

    return SsmSecrets(boto3.client("ssm"), prefix, time.monotonic)
