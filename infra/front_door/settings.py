"""What the front door is told, and the limits that it keeps."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class FrontDoorSettings:
    """
    One front door.

    Attributes:
        api_url: Base URL of the native API, http or https.
        host, port: Where STARTTLS is offered; port 0: any free one.
        tls_host, tls_port: Where TLS comes first; tls_port None: nowhere.
        certfile, keyfile: PEM; None: a self-signed certificate is made at start.
        pem: Chain and key as text instead of the files; never written to a disk.
        health: Host and port of the health endpoint; None: there is none.
        proxy_networks: Whose connections begin with a header of the PROXY protocol, and must; nobody else's may.
        hostname: In the greeting and in EHLO's reply.
        max_message_octets: Advertised by SIZE; less where the API says so.
        trusted_networks: Who may submit without AUTH, under `credential`.
        credential: Access key and SES SMTP password for those, or None: then nobody is trusted.
        auth_cleartext_loopback: AUTH is offered without TLS to clients on this machine.
        bare_lf: "refuse" or "normalise": what becomes of a message with a bare LF; a bare CR is always refused.
        max_connections_count: In all; the next one gets 421.
        max_connections_per_address_count: Likewise for each client address, of IPv6 for its /64.
        max_connections_per_credential_count: Likewise for each credential, after AUTH.
        max_transactions_count: Of one connection; the next MAIL gets 421 (RFC 9422 MAILMAX).
        max_recipients_count: Of one transaction; the next one gets 452 (RFC 5321 4.5.3.1.10); likewise less.
        max_buffered_octets: Envelopes and contents held at once by all sessions together; more gets 452.
        max_errors_count: Refused commands of one connection.
        command_timeout_s: RFC 5321 4.5.3.2.7 wants at least 5 min.
        data_timeout_s: Longest silence inside DATA; RFC 5321 4.5.3.2.5 has the client wait 3 min.
        api_timeout_s: Of one call; above API Gateway's own 30 s.
        submit_timeout_s: Of a submission with its parts and repeats; clients wait 10 min (RFC 5321 4.5.3.2.6).
        max_api_connections_count: To the API at once.
        unfinished_s: How long `stop` waits for clients to end what they have begun.
        drain_s: How long `stop` waits in all: a complete message's answer comes within submit_timeout_s and little
            more. Below the 120 s that Fargate gives at most.
    """

    api_url: str
    host: str = "127.0.0.1"
    port: int = 2525
    tls_host: str = "127.0.0.1"
    tls_port: int | None = None
    certfile: str | None = None
    keyfile: str | None = None
    pem: str | None = None
    health: tuple[str, int] | None = None
    proxy_networks: tuple[Network, ...] = ()
    hostname: str = "paravion.invalid"
    max_message_octets: int = 10 << 20
    trusted_networks: tuple[Network, ...] = ()
    credential: tuple[str, str] | None = None
    auth_cleartext_loopback: bool = False
    bare_lf: str = "refuse"
    max_connections_count: int = 1000
    max_connections_per_address_count: int = 100
    max_connections_per_credential_count: int = 100
    max_transactions_count: int = 10_000
    max_recipients_count: int = 1000
    max_buffered_octets: int = 256 << 20
    max_errors_count: int = 20
    command_timeout_s: float = 300.0
    data_timeout_s: float = 180.0
    api_timeout_s: float = 40.0
    submit_timeout_s: float = 100.0
    max_api_connections_count: int = 64
    unfinished_s: float = 10.0
    drain_s: float = 116.0
