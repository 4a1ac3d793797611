"""
A webhook of events that is down for an hour: it refuses, then says 500, then hangs; mail goes on, and it misses nothing.

Six hundred times as fast as life: the hour takes six seconds, the waits between tries, half a minute to a quarter of an
hour, 50 ms to 1.5 s; a deployed queue's, and so moto's, are whole seconds.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.embedded import EmbeddedEngine
from tests.support.certificates import ca_pem, server_context
from tests.support.webhook_server import HANG, OK, Request, WebhookServer, running, verify

if TYPE_CHECKING:
    from tests.e2e.conftest import House

MAIL = b"From: me@example.org\r\nSubject: x\r\nX-SES-CONFIGURATION-SET: news\r\n\r\nbody\r\n"
HOUR_S = 6.0
WAITS = "event_retry_intervals_s=0.05,0.1,0.2,0.4,0.8,1.5"
DOWN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"

STORIES = {
    "good": ["Send", "Delivery"],
    "missing": ["Send", "Bounce"],
    "busy-once": ["Send", "DeliveryDelay", "Delivery"],
}
"""What becomes of mail to each, in order of time."""


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A port for each engine where nobody listens yet, and a webhook that is always well."""
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(ca_pem())
    context = server_context(folder)
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.socket() as moto,
        socket.socket() as embedded,
        running(WebhookServer(context)) as well,
    ):
        for bound in (moto, embedded):
            bound.bind(("127.0.0.1", 0))
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        ports = [moto.getsockname()[1], embedded.getsockname()[1], well.port]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        request.module.SETTINGS = (WAITS, f"webhook_private_hosts={hosts}")
        yield {"moto": moto, "embedded": embedded, "well": well, "context": context}


@pytest.fixture(autouse=True)
def _first(places: dict[str, Any]) -> None:
    """The system starts with their ports."""


def _until(holds: Callable[[], Any], what: str) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def _heard(requests: list[Request], queue_ids: dict[str, str]) -> dict[str, list[tuple[str, str, str]]]:
    """For each mail: what a webhook was told, as it came: the event's time, its type and its idempotency key."""
    found: dict[str, list[tuple[str, str, str]]] = {name: [] for name in queue_ids}
    names = {queue_id: name for name, queue_id in queue_ids.items()}
    for request in requests:
        event = json.loads(request.body)
        kind = event["eventType"]
        at = (event["mail"] if kind == "Send" else event[kind[0].lower() + kind[1:]])["timestamp"]
        if event["mail"]["messageId"] in names:
            found[names[event["mail"]["messageId"]]].append((at, kind, request.headers["idempotency-key"]))
    return found


def _types(heard: list[tuple[str, str, str]]) -> list[str]:
    """Give the types of events in order of their time, each event once; a Send comes before what it came to."""
    once = {key: (at, kind != "Send", kind) for at, kind, key in heard}
    return [kind for *_, kind in sorted(once.values())]


def test_webhook_that_is_down_for_an_hour_misses_nothing(house: House, places: dict[str, Any]) -> None:
    """Every event at least once, signed, to be ordered by its time; mail, and the other webhook, wait for nothing."""
    well: WebhookServer = places["well"]
    bound: socket.socket = places["embedded" if isinstance(house.engine, EmbeddedEngine) else "moto"]
    house.aws("sesv2").create_configuration_set(ConfigurationSetName="news")
    add, secrets = "/v1/configuration-sets/news/webhooks", set()
    for name, port in (("down", bound.getsockname()[1]), ("well", well.port)):
        secrets |= set(house.client.post(add, {"name": name, "url": f"https://127.0.0.1:{port}/told"})["secrets"])
    (secret,) = secrets
    began = time.monotonic()
    queue_ids = {
        f"{kind}+{n}": house.submit(MAIL, f"{kind}+{n}@example.com", sender=f"by-{kind}+{n}@example.org")
        for kind, n in itertools.product(STORIES, range(3))
    }
    # All mail comes to its end while nobody listens there, reports included, and the other webhook is told.
    for name, queue_id in queue_ids.items():
        (recipient,) = house.ended(queue_id)["recipients"]
        kind = name.partition("+")[0]
        expected = ("failed", 1) if kind == "missing" else ("delivered", 2 if kind == "busy-once" else 1)
        assert (recipient["state"], recipient["attempts"]) == expected
        assert len(house.mail_to(f"by-{name}@example.org" if kind == "missing" else f"{name}@example.com")) == 1
    _until(
        lambda: all(STORIES[n.partition("+")[0]] == _types(h) for n, h in _heard(well.requests, queue_ids).items()),
        "well",
    )
    # What it has not taken lies in the event queue, and nowhere else.
    assert sum(house.engine.queue_depths()["EventQueue"].values()) > 0
    house.logged("EventNotTaken")
    with running(WebhookServer(places["context"], bound=bound, mood=DOWN)) as down:
        _until(lambda: down.requests, "nobody tried while it said 500")
        refused = len(down.requests)
        down.mood = HANG
        _until(lambda: len(down.requests) > refused, "nobody tried while it hung")
        # Mail that comes meanwhile goes its way all the same.
        queue_ids["good+late"] = house.submit(MAIL, "good+late@example.com")
        assert len(house.mail_to("good+late@example.com")) == 1
        time.sleep(max(0.0, HOUR_S - (time.monotonic() - began)))
        untaken = len(down.requests)
        down.mood = OK
        house.quiet()
    taken = down.requests[untaken:]
    heard = _heard(taken, queue_ids)
    assert {name: _types(told) for name, told in heard.items()} == {
        name: STORIES[name.partition("+")[0]] for name in queue_ids
    }
    assert all(verify(secret, request.headers, request.body, now=time.time()) for request in down.requests)
    # As they were made together, so they come; what came up later may come first.
    for name, told in heard.items():
        kinds = [kind for _, kind, _ in told]
        assert kinds.index("Send") < kinds.index(STORIES[name.partition("+")[0]][1]), kinds
    assert 'parked": true' not in house.log.getvalue()
