"""
SES v2's TagResource, UntagResource and ListTagsForResource.

Next: services/tags.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V2
from paravion.api.ses_v2_configuration_sets import tags_of_thing
from paravion.services import tags

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V2.operation("TagResource")
def tag_resource(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Add tags. Raises SesFault, Rejected, Unavailable."""
    wanted = {tag["Key"]: tag["Value"] for tag in tags_of_thing(given["Tags"])}
    tags.add(given["ResourceArn"], wanted, call.principal, call.deps)
    return {}


@SES_V2.operation("UntagResource")
def untag_resource(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Take tags away. Raises Rejected, Unavailable."""
    tags.remove(given["ResourceArn"], given["TagKeys"], call.principal, call.deps)
    return {}


@SES_V2.operation("ListTagsForResource")
def list_tags_for_resource(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show tags. Raises Rejected, Unavailable."""
    found = tags.show(given["ResourceArn"], call.principal, call.deps)
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}
