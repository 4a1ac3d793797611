"""Finding a mail's configuration set."""

from __future__ import annotations

import pytest

from paravion.adapters.memory import MemoryRecords
from paravion.domain.configuration_set import ConfigurationSet
from paravion.errors import Misconfigured
from paravion.services.configuration import find_set


def test_a_set_is_found_by_its_tenants_name_alone() -> None:
    """One tenant's name reaches no other tenant's set; no name reaches none."""
    records = MemoryRecords()
    records.put("@shop/configuration-set", "news", {"SendingOptions": {"SendingEnabled": False}})
    assert find_set(records, "shop", "news") == ConfigurationSet("news", sending_enabled=False)
    assert find_set(records, "", "news") is None
    assert find_set(records, "shop", "other") is None
    assert find_set(records, "shop", "") is None


def test_a_record_that_is_none_is_our_fault() -> None:
    """A transient error: the mail is not sent with other options than it was meant to have."""
    records = MemoryRecords()
    records.put("configuration-set", "news", {"DeliveryOptions": 1})
    with pytest.raises(Misconfigured, match="configuration set news"):
        find_set(records, "", "news")
