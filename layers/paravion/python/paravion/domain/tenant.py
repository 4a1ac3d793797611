"""
Whose a thing is: several customers' things apart in one installation.

A credential belongs to one tenant, "" unless it was made for another. What a tenant makes (templates, configuration
sets, contacts: ports.Records) is kept under a kind of its own, so that no name of one can reach a thing of another.
"""

from __future__ import annotations

from typing import Final

RECORD_KINDS: Final = (
    "account",
    "configuration-set",
    "contact-list",
    "custom-verification",
    "identity-settings",
    "template",
)
"""Sorts of records that every tenant may have; and the contacts of each list, see `contacts_kind`."""


def contacts_kind(contact_list: str) -> str:
    """Give the sort of the records that are one list's contacts."""
    return f"contact/{contact_list}"


def record_kind(tenant: str, kind: str) -> str:
    """
    Give the kind under which a tenant's records of one sort are kept.

    No sort begins with an @, so that no tenant's name makes a kind that is another's.
    """
    return f"@{tenant}/{kind}" if tenant else kind
