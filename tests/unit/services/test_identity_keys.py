"""The keys of an identity: made with it, activated by the DNS, rotated, gone with it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from paravion.adapters.memory import (
    MemoryCounters,
    MemoryEventLog,
    MemoryHosts,
    MemoryIdentities,
    MemoryLedger,
    MemoryRecords,
    MemorySecrets,
    MemorySpool,
    MemorySuppression,
    MemoryTables,
    MemoryUploads,
)
from paravion.domain import dkim_keys
from paravion.domain.next_hop import NextHop
from paravion.domain.status import Rejected
from paravion.errors import Misconfigured
from paravion.services import admin, identity_keys
from paravion.services.admin import AdminDeps
from tests.support.dkim_keys import fixed_private_key

NAME = "example.org"


class House:
    """Admin on fakes, with a DNS that can be filled."""

    def __init__(self, check="verified"):
        self.now, self.txt = 1_600_000_000.0, {}
        self.secrets = MemorySecrets()
        self.deps = AdminDeps(
            SimpleNamespace(identity_check=check), MemorySpool(), MemoryLedger(), self.secrets, MemoryIdentities(),
            MemoryTables(), MemoryHosts(lambda: 100.0), MemorySuppression(), MemoryUploads(),
            lambda domain: NextHop(domain, ()),
            lambda name: self.txt.get(name, []), MemoryEventLog(), lambda: self.now, lambda: "t0ken", fixed_private_key,
            records=MemoryRecords(), counters=MemoryCounters(),
        )  # fmt: skip

    def ring(self):
        return dkim_keys.decode(self.secrets.get(f"dkim/{NAME}"))

    def states(self):
        return [generation.state for generation in self.ring()]

    def publish(self, generation):
        for record in dkim_keys.records(NAME, generation).values():
            self.txt[record.name] = [record.value]


@pytest.mark.parametrize(("check", "state", "status"), [
    ("verified", "next", "pending"), ("created", "active", "active"), ("off", "active", "active"),
])  # fmt: skip
def test_an_identity_gets_keys(check, state, status):
    """They sign at once only where no proof is asked for."""
    house = House(check)
    admin.create_identity(NAME, house.deps)
    assert house.states() == [state]
    assert identity_keys.look(NAME, house.deps).status == status
    assert identity_keys.look("other.example", house.deps).status == "none"


def test_rotation_by_the_dns():
    """The states table: each step, and what it waits for."""
    house = House()
    admin.create_identity(NAME, house.deps)
    first = house.ring()[0]
    identity_keys.look(NAME, house.deps)
    assert house.states() == ["next"]
    (rsa, ed25519) = dkim_keys.records(NAME, first).values()
    house.txt[rsa.name] = [rsa.value]
    identity_keys.look(NAME, house.deps)
    assert house.states() == ["next"]  # one of two is not enough
    house.txt[ed25519.name] = [ed25519.value]
    assert identity_keys.look(NAME, house.deps, in_dns=False).published == frozenset()
    assert house.states() == ["next"]
    assert identity_keys.look(NAME, house.deps).published == {first.name}
    assert house.states() == ["active"]

    house.now += 100
    _, keys = admin.rotate_identity(NAME, force=False, deps=house.deps)
    assert [generation.state for generation in keys.ring] == ["active", "next"]
    admin.rotate_identity(NAME, force=False, deps=house.deps)
    assert house.states() == ["active", "next"]  # a repetition makes no third
    house.publish(house.ring()[1])
    admin.rotate_identity(NAME, force=False, deps=house.deps)
    assert house.states() == ["retired", "active"]
    events = [name for name, _ in house.deps.event_log.records]
    assert events == ["DkimKeysMade", "IdentityCreated", "DkimKeysActivated", "DkimKeysMade", "DkimKeysActivated"]


def test_rotation_by_force():
    """Without the DNS; but only of keys that were shown before."""
    house = House("created")
    admin.create_identity(NAME, house.deps)
    with pytest.raises(Rejected, match="no next keys to activate"):
        admin.rotate_identity(NAME, force=True, deps=house.deps)
    admin.rotate_identity(NAME, force=False, deps=house.deps)
    admin.rotate_identity(NAME, force=True, deps=house.deps)
    assert house.states() == ["retired", "active"]


def test_view_tells_records_and_no_private_key():
    """What to publish, what is published, and when a retired record may go."""
    house = House("created")
    admin.create_identity(NAME, house.deps)
    house.publish(house.ring()[0])
    admin.rotate_identity(NAME, force=False, deps=house.deps)
    admin.rotate_identity(NAME, force=True, deps=house.deps)
    view = identity_keys.view(identity_keys.look(NAME, house.deps))
    assert view["status"] == "active"
    assert [(key["state"], key["algorithm"], key.get("published")) for key in view["keys"]] == [
        ("retired", "rsa-sha256", None),
        ("retired", "ed25519-sha256", None),
        ("active", "rsa-sha256", False),
        ("active", "ed25519-sha256", False),
    ]
    assert view["keys"][0]["expires_at"] == house.now + dkim_keys.KEEP_S
    assert "value" not in view["keys"][0]["record"]
    assert view["keys"][3]["record"]["value"].startswith("v=DKIM1; k=ed25519; p=")


def test_keys_go_with_the_identity():
    """No secret is left that would go on signing."""
    house = House()
    admin.create_identity(NAME, house.deps)
    admin.delete_identity(NAME, house.deps)
    assert house.secrets.values == {}


def test_crash_between_keys_and_identity_leaves_nothing_wrong():
    """The repetition finds the keys; a deletion that broke off half-way is repeated."""
    house = House()
    identity_keys.make(NAME, house.deps)
    text = house.secrets.get(f"dkim/{NAME}")
    admin.create_identity(NAME, house.deps)
    assert house.secrets.get(f"dkim/{NAME}") == text
    identity_keys.delete(NAME, house.deps)
    admin.delete_identity(NAME, house.deps)


def test_identity_of_before_gets_keys_when_put_again():
    """Identities that were made before there were keys."""
    house = House()
    admin.create_identity(NAME, house.deps)
    house.secrets.values.clear()
    assert admin.ensure_identity(NAME, house.deps)[1] is False
    assert house.states() == ["next"]


def test_race_of_two_makers_has_one_ring():
    """The slower one tells the faster one's keys."""
    house = House()
    slower = replace(
        house.deps,
        new_private_key=lambda algorithm: identity_keys.make(NAME, house.deps) and fixed_private_key(algorithm),
    )
    assert identity_keys.make(NAME, slower).ring == house.ring()


def test_addresses_have_no_keys():
    """Their domain's sign."""
    house = House("created")
    admin.create_identity(f"me@{NAME}", house.deps)
    admin.ensure_identity(f"me@{NAME}", house.deps)
    with pytest.raises(Rejected, match="no keys of its own"):
        admin.rotate_identity(f"me@{NAME}", force=False, deps=house.deps)
    admin.delete_identity(f"me@{NAME}", house.deps)
    with pytest.raises(Rejected, match="does not exist"):
        admin.rotate_identity(NAME, force=False, deps=house.deps)
    assert house.secrets.values == {}


def test_broken_secret_is_told():
    """Not overwritten: an operator may have put it there."""
    house = House()
    house.secrets.put(f"dkim/{NAME}", "nonsense")
    with pytest.raises(Misconfigured, match="no DKIM keys in it"):
        admin.create_identity(NAME, house.deps)
