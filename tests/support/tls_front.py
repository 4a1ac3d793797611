"""
TLS before a server that has none, as a load balancer is: `python -m tests.support.tls_front FOLDER HOST:PORT`.

It makes an authority and a certificate for localhost, writes the authority to FOLDER/authority.pem, prints its port,
and passes octets on until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.authority import Authority, pem, server_context


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(1 << 16):
            writer.write(octets)
            await writer.drain()
    writer.close()


async def serve(folder: Path, target: str) -> None:
    """Listen until cancelled."""
    host, _, port = target.rpartition(":")
    authority = Authority("bench")
    (folder / "authority.pem").write_bytes(pem(authority.certificate))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, onward_writer), _copy(onward_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=server_context(authority.issue("localhost")))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
