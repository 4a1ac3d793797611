"""Unknown names must not cost a call of SSM each (its rate is the whole account's), nor memory without end."""

from __future__ import annotations

from botocore.exceptions import ClientError

from paravion.adapters import ssm_secrets
from paravion.adapters.ssm_secrets import LISTED_S, MISSES_MAX, MISSING_S, SsmSecrets


class Ssm:
    """Counts its calls."""

    def __init__(self, **there):
        self.there = {f"/p/{name.replace('__', '/')}": value for name, value in there.items()}
        self.gets, self.lists = 0, 0
        self.refuses_lists = False

    def get_parameter(self, Name, WithDecryption):  # noqa: N803
        self.gets += 1
        if Name not in self.there:
            raise ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")
        return {"Parameter": {"Value": self.there[Name]}}

    def get_paginator(self, _):
        return self

    def paginate(self, Path):  # noqa: N803
        self.lists += 1
        if self.refuses_lists:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetParametersByPath")
        return [{"Parameters": [{"Name": name} for name in self.there if name.startswith(f"{Path}/")]}]


def make(**there):
    now = [0.0]
    ssm = Ssm(**there)
    return ssm, SsmSecrets(ssm, "/p", lambda: now[0]), now


def test_one_unknown_key_is_asked_for_once_in_a_while():
    ssm, store, now = make()
    for _ in range(100):
        assert store.get("credentials/A") is None
    assert ssm.gets == 1
    now[0] += MISSING_S
    store.get("credentials/A")
    assert ssm.gets == 2


def test_a_flood_of_unknown_keys_costs_a_listing(monkeypatch):
    """However many they are; good keys work all the while, those known before and those not."""
    monkeypatch.setattr(ssm_secrets, "_ENTRIES", 50)
    ssm, store, now = make(credentials__GOOD="g", credentials__LATE="l")
    assert store.get("credentials/GOOD") == "g"
    for number in range(1000):
        assert store.get(f"credentials/X{number}") is None
    assert (ssm.gets, ssm.lists) == (1 + MISSES_MAX, 1)
    assert store.get("credentials/LATE") == "l"
    assert len(store._missing) <= 50
    # It goes on: a new listing each time that the last one is old.
    now[0] += LISTED_S
    for number in range(1000):
        store.get(f"credentials/Y{number}")
    assert (ssm.gets, ssm.lists) == (2 + MISSES_MAX, 2)
    # What was made meanwhile is found with the next one; after a quiet while names are asked for again.
    ssm.there["/p/credentials/NEW"] = "n"
    assert store.get("credentials/NEW") is None
    now[0] += 3 * LISTED_S
    assert store.get("credentials/NEW") == "n"


def test_without_the_right_to_list_it_asks_for_each():
    ssm, store, _ = make()
    ssm.refuses_lists = True
    for number in range(2 * MISSES_MAX + 1):
        assert store.get(f"credentials/X{number}") is None
    assert ssm.lists == 2


def test_keys_of_domains_are_not_listed():
    """Most domains have none: that is no flood, and `validate` may not list them."""
    ssm, store, _ = make()
    for number in range(100):
        store.get(f"dkim/{number}.example")
    assert (ssm.gets, ssm.lists) == (100, 0)
