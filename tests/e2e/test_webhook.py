"""An alias that names a webhook: handed over, through a first 503, to whoever listens there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import ca_pem, server_context
from tests.support.webhook_server import WebhookServer, running, verify

if TYPE_CHECKING:
    from tests.e2e.conftest import House

CONTENT = b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture(scope="module", autouse=True)
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """Busy at first, its authority in the trust store; the system starts with its port."""
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(ca_pem())
    busy_once = [b"HTTP/1.1 503 Busy\r\n\r\n"]
    with pytest.MonkeyPatch.context() as patch, running(WebhookServer(server_context(folder), busy_once)) as server:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        request.module.SETTINGS = (
            "local_domains=local.example",
            f"webhook_private_hosts=127.0.0.1:{server.port}",
        )
        yield server


def test_webhook_gets_the_mail(house: House, receiver: WebhookServer) -> None:
    """Signed by the secret that the operator made; deferred once where it said 503."""
    taken = len(receiver.requests)
    aliases = f"hook: https://127.0.0.1:{receiver.port}/mail\n".encode()
    house.client.put("/v1/tables/aliases", {}, aliases, "application/octet-stream")
    secret = house.client.put("/v1/webhooks/127.0.0.1/secret")["secrets"][0]
    message = house.ended(house.submit(CONTENT, "hook@local.example"))
    assert [recipient["state"] for recipient in message["recipients"]] == ["delivered"]
    last = receiver.requests[-1]
    assert len(receiver.requests) > taken
    assert verify(secret, last.headers, last.body, now=time.time())
    assert last.body.partition(b"\r\n\r\n")[2] == b"body\r\n"
