"""
The doors of `validate`: everything that submits. Importing it registers their operations.

SES v1 has one path for all its operations: those that manage come here too, and are handed to `admin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.api import ses_v1_bounce, ses_v1_sending, ses_v2_sending  # noqa: F401 (register their operations)
from paravion.api.native_messages import VALIDATE_DOOR
from paravion.api.ses_model import SES_V1
from paravion.api.ses_query import SesV1Door
from paravion.api.ses_rest_json import SesV2Door

if TYPE_CHECKING:
    from paravion.api.doors import Door

V1_SENDING: Final = frozenset({
    "SendEmail",
    "SendRawEmail",
    "SendTemplatedEmail",
    "SendBulkTemplatedEmail",
    "SendBounce",
})  # fmt: skip
"""SES v1's operations that submit mail; SendCustomVerificationEmail makes an identity, which is admin's."""


def _is_admins(action: str) -> bool:
    return action not in V1_SENDING and SES_V1.named(action) is not None


VALIDATE_DOORS: Final[tuple[Door, ...]] = (SesV2Door(), SesV1Door(_is_admins), VALIDATE_DOOR)
