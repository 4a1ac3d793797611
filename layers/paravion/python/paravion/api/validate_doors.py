"""The doors of `validate`: everything that submits. Importing it registers their operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.api import ses_v1_sending, ses_v2_sending  # noqa: F401 (registers its operations)
from paravion.api.native_messages import VALIDATE_DOOR
from paravion.api.ses_query import SesV1Door
from paravion.api.ses_rest_json import SesV2Door

if TYPE_CHECKING:
    from paravion.api.doors import Door

VALIDATE_DOORS: Final[tuple[Door, ...]] = (SesV2Door(), SesV1Door(), VALIDATE_DOOR)
