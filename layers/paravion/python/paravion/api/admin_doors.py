"""
The doors of `admin`: everything that manages. Importing it registers their operations; SES's when one is asked for,
for most of what comes speaks the native API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.api import (  # noqa: F401 (register their operations)
    native_configuration_sets,
    native_confirmation,
    native_events,
    native_hosts,
    native_moving,
    native_operations,
    native_quota,
    native_routes,
    native_suppression,
    native_tables,
    native_webhooks,
    unsubscribe_pages,
)
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.ses_model import SES_V1, SES_V2
from paravion.api.ses_query import SesV1Door
from paravion.api.ses_rest_json import SesV2Door

if TYPE_CHECKING:
    from paravion.api.doors import Door

SES_V1.later(
    "paravion.api.ses_custom_verification",
    "paravion.api.ses_v1_account",
    "paravion.api.ses_v1_configuration_sets",
    "paravion.api.ses_v1_identities",
    "paravion.api.ses_v1_templates",
)
SES_V2.later(
    "paravion.api.ses_custom_verification",
    "paravion.api.ses_v2_account",
    "paravion.api.ses_v2_configuration_sets",
    "paravion.api.ses_v2_contacts",
    "paravion.api.ses_v2_identities",
    "paravion.api.ses_v2_insights",
    "paravion.api.ses_v2_suppression",
    "paravion.api.ses_v2_tags",
    "paravion.api.ses_v2_templates",
)

ADMIN_DOORS: Final[tuple[Door, ...]] = (SesV2Door(), SesV1Door(), ADMIN_DOOR)
