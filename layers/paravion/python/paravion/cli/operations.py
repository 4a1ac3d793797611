"""`paravion operations`: what operators did to many messages at once, and to the parked queue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from paravion.cli.client import EX_OK, Client
from paravion.cli.config import load
from paravion.cli.mailq import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the latest N, at most 1000 (50)")
    parser.set_defaults(run=_run)


def render(operations: list[Mapping[str, Any]]) -> Iterator[str]:
    """Give the lines for the operations of GET /v1/operations."""
    if not operations:
        yield "No operations"
    for item in operations:
        what = ", ".join(
            plain(name) if value is True else f"{plain(name)}={plain(value)}"
            for name, value in item["what"].items()
            if value is not None
        )
        state = "" if item["finished"] else " (not finished)"
        at = plain(item["at"])[:19].replace("T", " ")
        yield f"{at}  {plain(item['by'])}  {plain(item['operation'])} {what}: {plain(item['changed'])} changed{state}"
        if item["reason"]:
            yield f"    ({plain(item['reason'])})"


def _run(arguments: argparse.Namespace) -> int:
    answer = Client(load(os.environ)).get("/v1/operations", {"limit": str(arguments.limit)})
    for line in render(answer["operations"]):
        print(line)
    return EX_OK
