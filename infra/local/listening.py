"""Opening a port that an option chose, and what to call an address that means every interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from infra.local.options import join_address

if TYPE_CHECKING:
    from infra.local.web import WebServer

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def listening(server: WebServer, option: str, address: tuple[str, int]) -> None:
    """
    Start a server.

    Raises:
        OSError: The text names the option and the address.
    """
    try:
        await server.start()
    except OSError as exc:
        raise OSError(exc.errno, f"{option} {join_address(address)}: {exc.strerror or exc}") from exc


def reachable(host: str) -> str:
    """Give a host at which somebody on this machine finds what listens on `host`."""
    return _WILDCARDS.get(host, host)
