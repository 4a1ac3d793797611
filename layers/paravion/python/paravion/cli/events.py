"""`paravion events`: the webhooks of a configuration set, and telling once more what became of messages."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paravion.cli.client import EX_OK, EX_USAGE, ApiError, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain
from paravion.domain.http1 import quote
from paravion.domain.status import NO_SUCH_CONFIGURATION_SET

if TYPE_CHECKING:
    import argparse

_KINDS = ("Webhook", "SnsDestination", "EventBridgeDestination", "KinesisFirehoseDestination", "CloudWatchDestination")
_PLACES = ("Url", "TopicArn", "EventBusArn", "DeliveryStreamArn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions; `run` of the result does one."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list a configuration set's event destinations of every kind")
    listing.add_argument("set")
    listing.set_defaults(run=_list)
    add = actions.add_parser("add", help="make a webhook of a configuration set; shows what requests are signed with")
    add.add_argument("set")
    add.add_argument("name", help="the destination's")
    add.add_argument("url", help="https://…, its host allowed by the setting webhook_hosts")
    add.add_argument("--types", default="", help="event types, with commas; default: all")
    add.add_argument("--new-set", action="store_true", help="make the configuration set if there is none")
    add.add_argument("--form", choices=("event", "sns"), default="event", help="what is posted; default: event")
    add.set_defaults(run=_add)
    remove = actions.add_parser("remove", help="tell a webhook nothing more")
    remove.add_argument("set")
    remove.add_argument("name")
    remove.set_defaults(run=_remove)
    replay = actions.add_parser("replay", help="publish again what became of messages")
    replay.add_argument("queue_id", nargs="*", help="these; or, with --since, whatever happened in a span of time")
    replay.add_argument("--since", default="", metavar="INSTANT", help="2026-01-02T03:04:05Z; asks for an operator")
    replay.add_argument("--until", default="", metavar="INSTANT", help="default: now")
    replay.add_argument("--tenant", default=None, help="this one's mail; default: everybody's")
    replay.add_argument("--set", default="", help="mail of this configuration set; default: all")
    replay.add_argument("--destination", default="", help="of their configuration set; default: all")
    replay.set_defaults(run=_replay)


def _list(arguments: argparse.Namespace) -> int:
    for item in _client().get(f"/v1/configuration-sets/{quote(arguments.set)}/destinations")["destinations"]:
        kind = next(kind for kind in _KINDS if kind in item)
        place = next((item[kind][name] for name in _PLACES if name in item[kind]), "")
        state = "on" if item.get("Enabled") else "off"
        types = ",".join(sorted(item["MatchingEventTypes"]))
        print("  ".join(plain(text) for text in (item["Name"], kind, state, place or "-", types)))
    return EX_OK


def _add(arguments: argparse.Namespace) -> int:
    types = [part.strip().upper() for part in arguments.types.split(",") if part.strip()]
    body = {"name": arguments.name, "url": arguments.url, "form": arguments.form, "event_types": types}
    client, path = _client(), f"/v1/configuration-sets/{quote(arguments.set)}/webhooks"
    try:
        made = client.post(path, body)
    except ApiError as exc:
        if exc.key != NO_SUCH_CONFIGURATION_SET.key:
            raise
        if not arguments.new_set:
            print(f"paravion: {plain(exc.text)} Is the name right? --new-set makes it.", file=sys.stderr)
            return exc.exit
        # SES's own operation makes sets: who may not call it makes none here.
        client.post("/v2/email/configuration-sets", {"ConfigurationSetName": arguments.set})
        made = client.post(path, body)
    for secret in made["secrets"]:
        print(plain(secret))
    return EX_OK


def _remove(arguments: argparse.Namespace) -> int:
    _client().delete(f"/v1/configuration-sets/{quote(arguments.set)}/webhooks/{quote(arguments.name)}")
    return EX_OK


def _replay(arguments: argparse.Namespace) -> int:
    client = _client()
    span = {"since": arguments.since, "until": arguments.until, "configuration_set": arguments.set}
    asked = {name: value for name, value in span.items() if value}
    if arguments.tenant is not None:
        asked["tenant"] = arguments.tenant
    if bool(arguments.queue_id) == bool(arguments.since) or (arguments.queue_id and asked):
        print("paravion: give messages, or --since and what narrows it", file=sys.stderr)
        return EX_USAGE
    if arguments.since:
        return _replay_span({**asked, "destination": arguments.destination}, client)
    for queue_id in arguments.queue_id:
        told = client.post(f"/v1/messages/{quote(queue_id)}/events", {"destination": arguments.destination})
        print(f"{plain(queue_id)}  {told['events']} events")
    return EX_OK


def _replay_span(asked: dict[str, str], client: Client) -> int:
    """Page by page; what was told before a fault is told again by a repeat."""
    messages = events = 0
    # All pages are of one span, also of one that ends now.
    asked.setdefault("until", datetime.now(UTC).isoformat())
    while True:
        told = client.post("/v1/events/replay", asked)
        messages, events = messages + told["messages"], events + told["events"]
        if not told["after"]:
            break
        asked["after"] = told["after"]
    print(f"{messages} messages  {events} events")
    return EX_OK


def _client() -> Client:
    return Client(load(os.environ))
