"""
How mail leaves, from the settings of `deliver`: resolver, SMTP client, pacing. In the cloud as on one machine.

Next: bootstrap.py and bootstrap_embedded.py, which bring the stores.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

from paravion.adapters.dns_resolver import DnsResolver
from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.tls_policy import TlsMode
from paravion.services.access import NextHosts
from paravion.services.pacing import PacedTransport
from paravion.services.route_login import RouteLogin

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.ports import EventLog, Hosts, Resolver, Secrets, Tables
    from paravion.services.blocking import InThread
    from paravion.settings import DeliverSettings


def new_resolver(own: DeliverSettings) -> DnsResolver:
    """Give the resolver: the validating one that the operator names, else the system's."""
    if own.dane_resolver is None:
        return DnsResolver()
    address, port = own.dane_resolver
    return DnsResolver([address], port=port, validating=True)


def new_transport(
    own: DeliverSettings, resolver: Resolver, new_secrets: Callable[[], Secrets], tables: Tables
) -> SmtpTransport:
    """
    Give the SMTP client.

    Args:
        new_secrets: Gives the store of what routes log in with, at the first such route: few have one.
    """
    return SmtpTransport(
        own.hostname,
        resolver,
        connect_timeout_s=own.connect_timeout_s,
        connections_per_host=own.host_concurrency,
        tls=TlsMode(own.tls),
        tls_fallback=own.tls_fallback == "yes",
        ca_file=own.tls_ca_file,
        credential_of=RouteLogin(new_secrets),
        chunking=own.chunking == "on",
        admit=NextHosts(tables),
    )


def paced(
    transport: SmtpTransport, hosts: Hosts, event_log: EventLog, in_thread: InThread = asyncio.to_thread
) -> PacedTransport:
    """Let a transport keep to what each host bears."""
    return PacedTransport(
        transport,
        hosts,
        event_log,
        clock=time.time,
        draw=secrets.SystemRandom().random,
        new_token=partial(secrets.token_hex, 8),
        in_thread=in_thread,
    )
