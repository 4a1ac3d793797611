"""The doors of `admin`: everything that manages. Importing it registers their operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.api import (  # noqa: F401 (register their operations)
    native_configuration_sets,
    native_confirmation,
    native_events,
    native_hosts,
    native_moving,
    native_quota,
    native_routes,
    native_suppression,
    native_tables,
    native_webhooks,
    ses_custom_verification,
    ses_v1_account,
    ses_v1_configuration_sets,
    ses_v1_identities,
    ses_v1_templates,
    ses_v2_account,
    ses_v2_configuration_sets,
    ses_v2_contacts,
    ses_v2_identities,
    ses_v2_insights,
    ses_v2_suppression,
    ses_v2_tags,
    ses_v2_templates,
    unsubscribe_pages,
)
from paravion.api.native_admin import ADMIN_DOOR
from paravion.api.ses_query import SesV1Door
from paravion.api.ses_rest_json import SesV2Door

if TYPE_CHECKING:
    from paravion.api.doors import Door

ADMIN_DOORS: Final[tuple[Door, ...]] = (SesV2Door(), SesV1Door(), ADMIN_DOOR)
