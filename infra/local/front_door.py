"""
The SMTP front door, as local mode opens it: in this process, on our event loop, in front of our API.

Its certificate is self-made. Without AUTH only `trusted_networks` may submit, under the first credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.front_door.server import FrontDoor
from infra.front_door.settings import FrontDoorSettings
from infra.local.options import join_address
from paravion.domain.ses_smtp_password import smtp_password
from paravion.settings import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.front_door.api import MessageApi
    from infra.local.options import Options


async def open_front_door(
    api_url: str,
    options: Options,
    settings: Mapping[str, str],
    *,
    drain_s: float,
    api: MessageApi | None = None,
    closed_to_mail: Callable[[], str] = lambda: "",
) -> FrontDoor:
    """
    Open the SMTP doors.

    Args:
        settings: By name, as text; those that are absent have their defaults.
        drain_s: How long `stop` waits for transactions under way.
        api: Asked instead of `api_url`.
        closed_to_mail: See FrontDoor.

    Raises:
        OSError: A port can't be opened; the text names both.
    """

    def value(name: str) -> str:
        return settings.get(name, BY_NAME[name].default or "")

    networks = BY_NAME["trusted_networks"].parse(value("trusted_networks"))
    password = smtp_password(options.secret_key, value("credential_region"))
    door = FrontDoor(
        FrontDoorSettings(
            api_url=api_url,
            host=options.smtp[0],
            port=options.smtp[1],
            tls_host=options.smtps[0],
            tls_port=options.smtps[1],
            hostname=value("hostname"),
            max_message_octets=BY_NAME["max_message_octets"].parse(value("max_message_octets")),
            max_recipients_count=BY_NAME["max_recipients_count"].parse(value("max_recipients_count")),
            trusted_networks=networks,
            credential=(options.access_key, password) if networks else None,
            drain_s=drain_s,
            max_connections_count=BY_NAME["max_sessions_count"].parse(value("max_sessions_count")),
        ),
        api,
        closed_to_mail,
    )
    try:
        await door.start()
    except OSError as exc:
        doors = f"--smtp {join_address(options.smtp)}, --smtps {join_address(options.smtps)}"
        raise OSError(exc.errno, f"{doors}: {exc.strerror or exc}") from exc
    return door
