"""
How much memory handing a message to a webhook takes, measured by the kernel in a process of its own.

`python -m tests.support.webhook_memory PORT OCTETS` prints the peak above what the process had before.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.certificates import ca_pem, server_context
from tests.support.webhook_server import WebhookServer, running

ROOT = Path(__file__).resolve().parents[2]


def peak_octets(octets: int) -> int:
    """Hand over a body of so many octets, to a server here, from a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ca.pem").write_bytes(ca_pem())
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/paravion/python"), str(ROOT))),
            "SSL_CERT_FILE": str(folder / "ca.pem"),
        }
        with running(WebhookServer(server_context(folder), keep_bodies=False)) as server:
            command = [sys.executable, "-m", "tests.support.webhook_memory", str(server.port), str(octets)]
            done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, check=True, text=True)
            assert server.requests[-1].octets > octets
    return int(done.stdout)


def main() -> None:
    """Measure here."""
    from paravion.adapters.memory import MemoryResolver, MemorySecrets
    from paravion.adapters.webhook_client import WebhookClient
    from paravion.adapters.webhook_targets import WebhookTargets
    from paravion.domain.target import AllowedTargets
    from paravion.domain.webhook import encode_secrets
    from paravion.ports import Handover
    from tests.integration.test_webhook_targets import _Body
    from tests.support.memory import peak_octets as peak_here

    port, octets = int(sys.argv[1]), int(sys.argv[2])
    secrets = MemorySecrets(**{"webhooks/127.0.0.1": encode_secrets(["s"])})
    allowed = AllowedTargets((), (), (f"127.0.0.1:{port}",))

    async def go(body: _Body) -> None:
        targets = WebhookTargets(WebhookClient(allowed, MemoryResolver(), secrets, time.time))
        handover = Handover(f"https://127.0.0.1:{port}/", "q", "a@b.example", "", 0.0, b"A: b\r\n", body, "q")
        outcome = await targets.hand_over(handover, asyncio.get_running_loop().time() + 60)
        assert outcome.result == "delivered", outcome

    asyncio.run(go(_Body(1)))
    before = peak_here()
    asyncio.run(go(_Body(octets)))
    print(peak_here() - before)


if __name__ == "__main__":
    main()
