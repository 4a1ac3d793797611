"""What a credential's name stands for, as the transport asks for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from paravion.adapters.memory import MemorySecrets
from paravion.domain.outcome import Result
from paravion.domain.sasl import Credential
from paravion.errors import SecretsUnavailable
from paravion.services.route_login import RouteLogin

STORED = '{"user": "u", "password": "p", "mechanism": ""}'


def test_store_is_opened_when_it_is_needed_and_once():
    """Most deployments have no such route: their cold start makes no client."""
    opened = []
    store = MemorySecrets(**{"routes/ses": STORED})
    login = RouteLogin(lambda: opened.append(1) or store)
    assert not opened
    assert [login("ses"), login("ses")] == [Credential("u", "p")] * 2
    assert opened == [1]


def test_connections_that_open_at_once_ask_one_after_the_other():
    """So that all but the first find the adapter's cache filled."""
    inside, most = [], []

    class Slow(MemorySecrets):
        def get(self, name, *, fresh=False):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.005)
            inside.pop()
            return super().get(name, fresh=fresh)

    login = RouteLogin(lambda: Slow(**{"routes/ses": STORED}))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(login, ["ses"] * 8)) == {Credential("u", "p")}
    assert max(most) == 1


def test_whatever_is_wrong_defers():
    """Gone, malformed, unreadable: the outcome says so, and holds nothing of what is stored."""

    class Away(MemorySecrets):
        def get(self, name, *, fresh=False):
            raise SecretsUnavailable("throttled")

    def closed():
        raise SecretsUnavailable("no client")

    cases = [
        (RouteLogin(MemorySecrets), "4.3.5", "There is no credential x"),
        (RouteLogin(lambda: MemorySecrets(**{"routes/x": "hunter2"})), "4.3.5", "malformed"),
        (
            RouteLogin(lambda: MemorySecrets(**{"routes/x": '{"user":"u","password":"hunter2\\u0000"}'})),
            "4.3.5",
            "malf",
        ),
        (RouteLogin(Away), "4.3.0", "can't be read"),
        (RouteLogin(closed), "4.3.0", "can't be read"),
    ]
    for login, status, text in cases:
        outcome = login("x")
        assert (Result.DEFERRED, status, "AUTH") == (outcome.result, outcome.status, outcome.command)
        assert text in outcome.text
        assert "hunter2" not in outcome.text
