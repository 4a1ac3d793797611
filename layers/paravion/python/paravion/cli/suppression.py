"""`paravion suppression`: who is not sent to, over the API."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_REASONS = ("BOUNCE", "COMPLAINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the addresses that are not sent to")
    listing.add_argument("--reason", choices=_REASONS, type=str.upper, help="those of one reason")
    listing.add_argument("--since", default="", metavar="INSTANT", help="listed then or later: 2026-01-02T03:04:05Z")
    listing.add_argument("--until", default="", metavar="INSTANT", help="listed before")
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="say why and since when an address is listed")
    show.add_argument("address")
    show.set_defaults(run=_show)
    add = actions.add_parser("add", help="send nothing more to an address")
    add.add_argument("address", nargs="+")
    add.add_argument("--reason", choices=_REASONS, type=str.upper, default="BOUNCE", help="default: BOUNCE")
    add.set_defaults(run=_add)
    remove = actions.add_parser("remove", help="send to an address again")
    remove.add_argument("address", nargs="+")
    remove.set_defaults(run=_remove)
    reasons = actions.add_parser("reasons", help="show or set for which reasons addresses are suppressed")
    reasons.add_argument("reason", nargs="*", type=str.upper, help="BOUNCE, COMPLAINT, or NONE, in place of what holds")
    reasons.set_defaults(run=_reasons)


def _list(arguments: argparse.Namespace) -> int:
    client, given = _client(), {"reason": arguments.reason, "since": arguments.since, "until": arguments.until}
    query = {"limit": "1000", **{name: value for name, value in given.items() if value}}
    while True:
        page = client.get("/v1/suppression", query)
        for entry in page["addresses"]:
            print("  ".join(plain(entry[name]) for name in ("address", "reason", "updated_at", "source")))
        if not page.get("after"):
            return EX_OK
        query["after"] = page["after"]


def _show(arguments: argparse.Namespace) -> int:
    for line in render(_client().get(_path(arguments.address))):
        print(line)
    return EX_OK


def _add(arguments: argparse.Namespace) -> int:
    client = _client()
    for address in arguments.address:
        entry = _put(client, _path(address), {"reason": arguments.reason})
        print(f"{plain(entry['address'])} is listed")
    return EX_OK


def _remove(arguments: argparse.Namespace) -> int:
    client = _client()
    for address in arguments.address:
        # A slash in a path comes decoded through API Gateway, and breaks the signature.
        client.delete("/v1/suppression", {"address": address})
        print(f"{plain(address)} is removed")
    return EX_OK


def _reasons(arguments: argparse.Namespace) -> int:
    client, path = _client(), "/v1/suppression-reasons"
    if arguments.reason:
        reasons = [reason for reason in arguments.reason if reason != "NONE"]
        answer = _put(client, path, {"reasons": reasons})
    else:
        answer = client.get(path)
    print(" ".join(map(plain, answer["reasons"])) or "NONE")
    return EX_OK


def render(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show an entry."""
    yield f"{plain(entry['address'])}: {plain(entry['reason'])} since {plain(entry['updated_at'])}"
    for name, what in (("queue_id", "message"), ("reply", "reply"), ("by", "listed by"), ("expires_at", "expires")):
        if entry.get(name):
            yield f"  {what:<10} {plain(entry[name])}"


def _put(client: Client, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return client.put(path, None, json.dumps(fields).encode(), "application/json")


def _client() -> Client:
    return Client(load(os.environ))


def _path(address: str) -> str:
    return f"/v1/suppression/{quote(address)}"
