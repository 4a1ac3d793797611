"""infra/front_door/credentials.py: for how long is remembered what the API said, and of how many."""

import asyncio

import pytest

from infra.front_door import credentials
from infra.front_door.api import Away
from infra.front_door.credentials import Credentials


class Api:
    """Knows one credential."""

    def __init__(self):
        self.good = {"Basic good"}
        self.asked = 0
        self.is_away = False

    async def knows(self, authorization):
        self.asked += 1
        if self.is_away:
            raise Away
        return authorization in self.good


class Door:
    """Credentials and a clock."""

    def __init__(self):
        self.api, self.now = Api(), 1000.0
        self.credentials = Credentials(self.api, lambda: self.now)

    def ask(self, authorization):
        return asyncio.run(self.credentials.are_good(authorization))


@pytest.mark.parametrize(("authorization", "seconds"), [("Basic good", 60), ("Basic bad", 5)])
def test_an_answer_is_remembered_for_its_time(authorization, seconds):
    """A minute, for a revoked credential must soon be bad; a refusal five seconds, for a new one must soon be good."""
    door = Door()
    was = authorization == "Basic good"
    assert door.ask(authorization) is was
    assert door.credentials.is_known(authorization) is was
    door.api.good = {"Basic bad"}
    door.now += seconds - 0.1
    assert (door.ask(authorization), door.api.asked) == (was, 1)
    door.now += 0.2
    assert not door.credentials.is_known(authorization)
    assert (door.ask(authorization), door.api.asked) == (not was, 2)


def test_no_answer_is_not_remembered():
    """The next one asks again."""
    door = Door()
    door.api.is_away = True
    with pytest.raises(Away):
        door.ask("Basic good")
    door.api.is_away = False
    assert door.ask("Basic good")


def test_memory_is_bounded(monkeypatch):
    """Who guesses without end costs requests, not memory."""
    assert credentials._ENTRIES == 10_000
    monkeypatch.setattr(credentials, "_ENTRIES", 10)
    door = Door()
    for number in range(95):
        door.ask(f"Basic {number}")
    assert len(door.credentials._known) <= 10


def test_passwords_are_not_in_memory():
    """Digests under a key of this process are."""
    door, other = Door(), Door()
    door.ask("Basic good")
    other.ask("Basic good")
    assert "good" not in repr(door.credentials._known)
    assert door.credentials._known.keys() != other.credentials._known.keys()
