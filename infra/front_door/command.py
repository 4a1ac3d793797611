"""
`paravion smtpd` and `python -m infra.front_door`: the front door as a process of its own.

Ends cleanly on SIGINT and SIGTERM, reads a renewed certificate on SIGHUP. Logs one line of JSON for each transaction on
standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from infra.front_door.server import FrontDoor
from infra.front_door.settings import FrontDoorSettings
from paravion.cli.client import EX_CONFIG, EX_OK, EX_UNAVAILABLE
from paravion.domain.http1 import Target
from paravion.domain.ses_smtp_password import smtp_password
from paravion.settings import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.front_door.settings import Network

log = logging.getLogger("paravion.front_door")

_PORTS: Final = 1 << 16
_OTHER_FILES: Final = 64
"""Listeners, health checks, clients that are just sent away, the interpreter's own."""

_LIMITS: Final = {
    "max-connections": ("max_connections_count", "connections in all"),
    "max-connections-per-address": ("max_connections_per_address_count", "connections of one address"),
    "max-connections-per-credential": ("max_connections_per_credential_count", "connections of one credential"),
    "max-transactions": ("max_transactions_count", "messages of one connection"),
    "max-recipients": ("max_recipients_count", "recipients of one message"),
    "max-buffered-octets": ("max_buffered_octets", "envelopes and contents in memory at once"),
}
"""Option to field of the settings, whose variable is called alike, and what it limits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the options; each has its variable, which the option beats.

    Args:
        parser: Of the command.
    """
    env = os.environ
    parser.add_argument("--api", metavar="URL", default=env.get("PARAVION_API"), help="base URL of the native API")
    smtp = env.get("PARAVION_SMTP", "127.0.0.1:2525")
    parser.add_argument("--listen", metavar="HOST:PORT", default=smtp,
                        help="where STARTTLS is offered (%(default)s)")  # fmt: skip
    parser.add_argument("--tls-listen", metavar="HOST:PORT", default=env.get("PARAVION_SMTPS"),
                        help="where TLS comes first; none by default")  # fmt: skip
    parser.add_argument("--cert", metavar="PEM", default=env.get("PARAVION_TLS_CERT"),
                        help="certificate chain; a self-signed one is made if there is none")  # fmt: skip
    parser.add_argument("--key", metavar="PEM", default=env.get("PARAVION_TLS_KEY"), help="its key, if not in it")
    parser.add_argument("--hostname", default=_setting("hostname", env), help="our name (%(default)s)")
    parser.add_argument("--max-message-octets", type=int, default=_setting("max_message_octets", env),
                        help="largest message (%(default)s)")  # fmt: skip
    parser.add_argument("--trusted-networks", default=_setting("trusted_networks", env), metavar="CIDR,…",
                        help="may submit without AUTH, under PARAVION_ACCESS_KEY and PARAVION_SECRET_KEY")  # fmt: skip
    parser.add_argument("--proxy-networks", default=env.get("PARAVION_PROXY_NETWORKS", ""), metavar="CIDR,…",
                        help="load balancers, whose connections begin with a PROXY protocol header")  # fmt: skip
    parser.add_argument("--health", metavar="HOST:PORT", default=env.get("PARAVION_HEALTH"),
                        help="answer health checks by HTTP there; nowhere by default")  # fmt: skip
    parser.add_argument("--smtp-bare-lf", choices=("refuse", "normalise"),
                        default=env.get("PARAVION_SMTP_BARE_LF", "refuse"),
                        help="what becomes of a message with a bare LF (%(default)s)")  # fmt: skip
    for name, (field, what) in _LIMITS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N",
                            default=env.get(f"PARAVION_{field.upper()}", str(getattr(FrontDoorSettings, field))),
                            help=f"{what} (%(default)s)")  # fmt: skip
    parser.add_argument("--auth-cleartext-loopback", action="store_true",
                        help="offer AUTH without TLS to clients on this machine")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """
    Run until a signal comes.

    Args:
        arguments: As `add_arguments` declared them.

    Returns:
        The sysexits code.
    """
    try:
        settings = _settings(arguments, os.environ)
        target = Target(settings.api_url)
    except ValueError as exc:
        print(f"smtpd: {exc}", file=sys.stderr)  # noqa: T201 (a command's answer)
        return EX_CONFIG
    if (files := _allow_files(settings)) is not None:
        print(f"smtpd: only {files} files may be open: fewer connections than --max-connections", file=sys.stderr)  # noqa: T201 (as above)
    if not target.secure and not _is_loopback(target.host):
        print(f"smtpd: passwords go in clear to {settings.api_url}", file=sys.stderr)  # noqa: T201 (as above)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        asyncio.run(_serve(settings))
    except (OSError, ValueError) as exc:
        text = exc.strerror or exc if isinstance(exc, OSError) else exc
        print(f"smtpd: {text}", file=sys.stderr)  # noqa: T201 (a command's answer)
        return EX_UNAVAILABLE if isinstance(exc, OSError) else EX_CONFIG
    return EX_OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m infra.front_door`."""
    parser = argparse.ArgumentParser(prog="smtpd", description="SMTP front door before a paravion API.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


async def _serve(settings: FrontDoorSettings) -> None:
    door = FrontDoor(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, _renew_tls, door)
    await door.start()
    host, port = door.address
    tls = f" smtps={door.tls_address[0]}:{door.tls_address[1]}" if door.tls_address else ""
    health = f" health={door.health_address[0]}:{door.health_address[1]}" if door.health_address else ""
    print(f"smtpd ready smtp={host}:{port}{tls}{health} api={settings.api_url}", flush=True)  # noqa: T201 (for who waits for it)
    try:
        await stopped.wait()
    finally:
        await door.stop()


def _renew_tls(door: FrontDoor) -> None:
    try:
        door.renew_tls()
    except OSError as exc:
        log.warning(json.dumps({"event": "TlsFailure", "client": "", "reason": f"certificate not renewed: {exc}"}))


def _allow_files(settings: FrontDoorSettings) -> int | None:
    """
    Let as many files be open as connections may need: a shell's usual 1,024 end before the thousandth client.

    Returns:
        How many there are, if these are too few; else None.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    wanted = settings.max_connections_count + settings.max_api_connections_count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed if allowed < wanted else None


def _settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> FrontDoorSettings:
    if not arguments.api:
        raise ValueError("no API: pass --api URL or set PARAVION_API")
    host, port = _host_port(arguments.listen)
    tls_host, tls_port = _host_port(arguments.tls_listen) if arguments.tls_listen else ("", None)
    networks = _networks(arguments.trusted_networks)
    limits = {field: getattr(arguments, name.replace("-", "_")) for name, (field, _) in _LIMITS.items()}
    if low := [name for name, (field, _) in _LIMITS.items() if limits[field] < 1]:
        raise ValueError(f"--{low[0]} must be 1 or more")
    BY_NAME["max_recipients_count"].parse(str(limits["max_recipients_count"]))  # as the API is bounded
    if arguments.smtp_bare_lf not in {"refuse", "normalise"}:
        raise ValueError("PARAVION_SMTP_BARE_LF must be refuse or normalise")
    access_key, secret_key = environ.get("PARAVION_ACCESS_KEY", ""), environ.get("PARAVION_SECRET_KEY", "")
    if networks and not (access_key and secret_key):
        raise ValueError("trusted networks need PARAVION_ACCESS_KEY and PARAVION_SECRET_KEY")
    region = _setting("credential_region", environ)
    return FrontDoorSettings(
        api_url=_api_url(arguments.api),
        host=host,
        port=port,
        tls_host=tls_host,
        tls_port=tls_port,
        certfile=arguments.cert,
        keyfile=arguments.key,
        hostname=arguments.hostname,
        max_message_octets=_max_message_octets(str(arguments.max_message_octets)),
        trusted_networks=networks,
        credential=(access_key, smtp_password(secret_key, region)) if networks else None,
        auth_cleartext_loopback=arguments.auth_cleartext_loopback,
        pem=environ.get("PARAVION_TLS_PEM") or None,
        proxy_networks=_networks(arguments.proxy_networks),
        health=_host_port(arguments.health) if arguments.health else None,
        bare_lf=arguments.smtp_bare_lf,
        **limits,
    )


def _api_url(text: str) -> str:
    """Give the base URL; every client's password goes there, in clear only where that is written out or stays here."""
    if "://" in text:
        return text
    if not _is_loopback(Target(f"http://{text}").host):
        raise ValueError(f"--api {text} sends passwords there: write https://{text} (http:// sends them in clear)")
    return f"http://{text}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _max_message_octets(text: str) -> int:
    try:
        return int(BY_NAME["max_message_octets"].parse(text))
    except ValueError as exc:
        raise ValueError(f"--max-message-octets: {exc}") from exc


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _setting(name: str, environ: Mapping[str, str]) -> str:
    setting = BY_NAME[name]
    return environ.get(setting.variable, setting.default or "")


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= _PORTS:
        raise ValueError(f"{text!r} must be HOST:PORT")
    return host.strip("[]"), int(port)
