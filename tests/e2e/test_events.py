"""Events of a configuration set reach a webhook: simulated mail, a receiver that is busy at first, a complaint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import ca_pem, server_context
from tests.support.webhook_server import OK, WebhookServer, running, verify

if TYPE_CHECKING:
    from tests.e2e.conftest import House

CONTENT = b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n"

SIMULATOR = "simulator.amazonses.com"


@pytest.fixture(scope="module", autouse=True)
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """Its authority is in the trust store; the system starts with its port."""
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(ca_pem())
    with pytest.MonkeyPatch.context() as patch, running(WebhookServer(server_context(folder))) as server:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        request.module.SETTINGS = (
            f"webhook_private_hosts=127.0.0.1:{server.port}",
            "simulator_domain=sim.example.net",
            "event_retry_s=0.5",
            "event_retry_intervals_s=0.5",
        )
        yield server


def _wait(receiver: WebhookServer, queue_id: str, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        events = [json.loads(request.body) for request in receiver.requests]
        found = [event for event in events if event["mail"]["messageId"] == queue_id]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_webhook_hears_what_becomes_of_mail(house: House, receiver: WebhookServer) -> None:
    """Made by SES's API and ours; signed; a bounce, a complaint by an operator, and all of it once more, and again."""
    began, name = time.time() - 1, f"news-{len(receiver.requests)}"
    house.aws("sesv2").create_configuration_set(ConfigurationSetName=name)
    body = {"name": "hook", "url": f"https://127.0.0.1:{receiver.port}/told"}
    secret = house.client.post(f"/v1/configuration-sets/{name}/webhooks", body)["secrets"][0]
    (listed,) = house.client.get(f"/v1/configuration-sets/{name}/destinations")["destinations"]
    assert listed["Webhook"]["Url"].endswith("/told")
    people = (f"success+1@{SIMULATOR}", "bounce@sim.example.net")
    steered = f"X-SES-CONFIGURATION-SET: {name}\r\nX-SES-MESSAGE-TAGS: campaign=may\r\n".encode()
    queue_id = house.submit(steered + CONTENT, *people)
    events = _wait(receiver, queue_id, 3)
    assert sorted(event["eventType"] for event in events) == ["Bounce", "Delivery", "Send"]
    assert events[0]["mail"]["tags"]["campaign"] == ["may"]
    last = receiver.requests[-1]
    assert verify(secret, last.headers, last.body, now=time.time())
    house.client.post(f"/v1/messages/{queue_id}/complaint", {"address": people[0], "kind": "abuse"})
    assert _wait(receiver, queue_id, 4)[-1]["eventType"] == "Complaint"
    assert house.client.get(f"/v1/suppression/{people[0]}")["reason"] == "COMPLAINT"
    house.client.post(f"/v1/messages/{queue_id}/events", {"destination": "hook"})
    assert len(_wait(receiver, queue_id, 7)) == 7
    # As after an outage: all that the set's mail came to since then.
    span = {"since": datetime.fromtimestamp(began, UTC).isoformat(), "configuration_set": name, "destination": "hook"}
    assert house.client.post("/v1/events/replay", span) == {"messages": 1, "events": 3, "after": None}
    assert len(_wait(receiver, queue_id, 10)) == 10
    house.client.delete(f"/v1/configuration-sets/{name}/webhooks/hook")
    assert house.inbox.messages() == [] or all(SIMULATOR not in str(mail) for mail in house.inbox.messages())


def test_what_ran_out_is_given_back_or_replayed(house: House, receiver: WebhookServer) -> None:
    """Down for longer than `event_retry_s`: parked, with the reason; an operator gives the one back, replays the other."""
    house.aws("sesv2").create_configuration_set(ConfigurationSetName="late")
    body = {"name": "hook", "url": f"https://127.0.0.1:{receiver.port}/told"}
    secret = house.client.post("/v1/configuration-sets/late/webhooks", body)["secrets"][0]
    receiver.mood = b"HTTP/1.1 503 Down for repair\r\nContent-Length: 0\r\n\r\n"
    steered = b"X-SES-CONFIGURATION-SET: late\r\n" + CONTENT
    given, replayed = (house.submit(steered, f"{name}@example.com") for name in ("given", "replayed"))
    for queue_id in (given, replayed):
        assert house.ended(queue_id)["recipients"][0]["state"] == "delivered"
    until = time.monotonic() + 60
    while sum(house.engine.queue_depths()["ParkedQueue"].values()) < 2:
        assert time.monotonic() < until, house.log.getvalue()
        time.sleep(0.05)
    parked = {item["queue_id"]: item for item in house.client.get("/v1/parked")["items"]}
    assert set(parked) == {given, replayed}
    assert all(item["what"] == "events" and "503" in item["last_text"] for item in parked.values())
    receiver.mood, untaken = OK, len(receiver.requests)
    assert house.client.post("/v1/parked/redrive", {"ids": [parked[given]["id"]]})["redriven"] == 1
    house.client.delete(f"/v1/parked/{parked[replayed]['id']}")
    house.client.post(f"/v1/messages/{replayed}/events", {"destination": "hook"})
    until = time.monotonic() + 60
    while len(taken := receiver.requests[untaken:]) < 4:
        assert time.monotonic() < until, house.log.getvalue()
        time.sleep(0.05)
    told = [(event["mail"]["messageId"], event["eventType"]) for event in (json.loads(r.body) for r in taken)]
    for queue_id in (given, replayed):
        assert [kind for message, kind in told if message == queue_id] == ["Send", "Delivery"]
    assert all(verify(secret, request.headers, request.body, now=time.time()) for request in taken)
    house.quiet()
