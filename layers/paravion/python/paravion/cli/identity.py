"""
`paravion identity` and `paravion doctor`: who may send, the keys that sign, and what the DNS says of it.

Next: api/native_admin.py answers; services/doctor.py judges.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, EX_USAGE, ApiError, Client
from paravion.cli.config import BadConfig, load
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from paravion.domain.mta_sts import StsFault
    from paravion.services.doctor import Finding

EX_FINDINGS = 1
"""The doctor found something to do."""

_SEGMENT = 255
"""RFC 1035 3.3: octets of one string of a TXT record."""


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Add the words of `paravion identity`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the identities")
    listing.set_defaults(run=_list)
    for name, text, run in (
        ("show", "show one; what waits for the DNS is looked up", _show),
        ("add", "make one, with DKIM keys, and print what to publish", _add),
        ("rotate", "take the next step of rotating its DKIM keys", _rotate),
        ("delete", "remove one and its keys", _delete),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("name", help="a domain, or an address")
        action.set_defaults(run=run)
        if name == "rotate":
            action.add_argument("--force", action="store_true", help="activate the next keys, whatever the DNS says")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the words of `paravion doctor`."""
    parser.add_argument("domain")
    parser.add_argument("--selector", action="append", help="DKIM selector; without any, those of the API's identity")
    parser.add_argument("--address", default="", help="the address that mail is sent from")
    parser.add_argument("--nameserver", default="", metavar="HOST:PORT", help="ask this server, by IP address")
    parser.set_defaults(run=_doctor)


def _client() -> Client:
    return Client(load(os.environ))


def _path(name: str) -> str:
    return f"/v1/identities/{quote(name)}"


def _list(_: argparse.Namespace) -> int:
    client, after = _client(), ""
    while True:
        page = client.get("/v1/identities", {"limit": "1000", **({"after": after} if after else {})})
        for identity in page["identities"]:
            print(f"{identity['name']:<40} {_standing(identity)}")
        after = page.get("after") or ""
        if not after:
            return EX_OK


def _show(arguments: argparse.Namespace) -> int:
    return _print(_client().get(_path(arguments.name)))


def _add(arguments: argparse.Namespace) -> int:
    return _print(_client().put(_path(arguments.name)))


def _rotate(arguments: argparse.Namespace) -> int:
    fields = {"force": True} if arguments.force else {}
    return _print(_client().post(f"{_path(arguments.name)}/rotation", fields))


def _delete(arguments: argparse.Namespace) -> int:
    _client().delete(_path(arguments.name))
    print(f"{arguments.name} is removed")
    return EX_OK


def _print(identity: dict[str, Any]) -> int:
    for line in render(identity):
        print(line)
    return EX_OK


def _standing(identity: dict[str, Any]) -> str:
    if identity.get("verified"):
        return "verified"
    return "may send, not verified" if identity.get("may_send") else "not verified"


def render(identity: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that show an identity: its standing, its keys, and the records to publish."""
    yield f"{identity['name']}: {_standing(identity)}"
    publish = []
    if "record" in identity and not identity.get("verified"):
        publish.append(identity["record"])
    dkim = identity.get("dkim", {})
    if dkim:
        yield f"DKIM: {dkim['status']}"
    for key in dkim.get("keys", ()):
        published = {True: "published", False: "not seen in the DNS"}.get(key.get("published"), "")
        until = f"its record may go after {key['expires_at']}" if "expires_at" in key else published
        yield f"  {key['state']:<8} {key['selector']:<28} {until}"
        if key.get("published") is False:
            publish.append(key["record"])
    if publish:
        yield "to publish:"
    for record in publish:
        yield f"  {zone_line(record['name'], record['type'], record['value'])}"


def zone_line(name: str, kind: str, value: str) -> str:
    """Give a record as a line of a zone file; a TXT's value in strings of at most 255 octets."""
    if kind == "TXT":
        value = " ".join(f'"{value[n : n + _SEGMENT]}"' for n in range(0, len(value), _SEGMENT))
    return f"{name}. {kind} {value}"


def _doctor(arguments: argparse.Namespace) -> int:
    from paravion.adapters.dns_records import DnsRecords, NameServerSilent
    from paravion.domain.address import parse_path
    from paravion.services.doctor import NoDnsAnswer, examine

    try:
        domain = parse_path(f"postmaster@{arguments.domain}", smtputf8=True).rpartition("@")[2].lower()
        if arguments.address:
            ipaddress.ip_address(arguments.address)
        host, port = _nameserver(arguments.nameserver)
    except ValueError as exc:
        import sys

        print(f"paravion: {exc}", file=sys.stderr)
        return EX_USAGE
    records = DnsRecords(host, port)

    def look_up(name: str, kind: str) -> Sequence[str]:
        try:
            return records.look_up(name, kind)
        except NameServerSilent as exc:
            raise NoDnsAnswer(str(exc)) from exc

    def fetch_policy(of: str) -> bytes | StsFault:
        import asyncio

        from paravion.adapters.dns_resolver import DnsResolver
        from paravion.adapters.sts_policy_host import HttpsPolicyHost

        return asyncio.run(HttpsPolicyHost(DnsResolver([host] if host else (), port=port)).fetch(of))

    selectors = dict.fromkeys(arguments.selector) if arguments.selector else _selectors_of(domain)
    findings = examine(domain, look_up, selectors=selectors, address=arguments.address, fetch_policy=fetch_policy)
    for line in render_findings(findings):
        print(line)
    return EX_OK if all(finding.is_good for finding in findings) else EX_FINDINGS


def _nameserver(text: str) -> tuple[str, int]:
    if not text:
        return "", 53
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004 (16 bits)
        raise ValueError(f"{text!r} is not HOST:PORT")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def _selectors_of(domain: str) -> dict[str, str | None]:
    """Ask the API for the domain's keys, if one is configured and knows the domain."""
    try:
        identity = _client().get(_path(domain))
    except BadConfig:
        return {}
    except ApiError as exc:
        if exc.key == "not_found":
            return {}
        raise
    keys = identity.get("dkim", {}).get("keys", ())
    return {key["selector"]: key["record"]["value"] for key in keys if key["state"] != "retired"}


def render_findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines that show what was found."""
    for finding in findings:
        text = "".join(char if char.isprintable() else "?" for char in finding.text)
        yield f"{finding.verdict:<8} {finding.subject:<10} {text}"
        if finding.publish:
            yield f"{'':<8} publish    {zone_line(finding.publish.name, finding.type, finding.publish.value)}"
