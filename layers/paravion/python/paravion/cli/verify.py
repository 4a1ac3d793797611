"""
`sendmail -bv`: what would happen to each address, nothing sent.

    team@local.example... deliverable: 2 recipients
      alias team
        a@a.example: mailer smtp, host mx.a.example:25
"""

from __future__ import annotations

from paravion.cli.mailq import plain
from paravion.domain.http1 import quote

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from paravion.cli.client import Client


def run(addresses: Sequence[str], client: Client, *, verbose: bool) -> int:
    """
    Ask for each address and print its verdict; `-v` adds every step.

    Returns:
        0 if all are deliverable, else the sysexits code of the last that is not.

    Raises:
        ApiAway, ApiError
    """
    exit_code = 0
    for address in addresses:
        answer = client.get(f"/v1/addresses/{quote(address)}")
        for line in render(answer, verbose=verbose):
            print(line)
        exit_code = int(answer.get("exit") or 0) or exit_code
    return exit_code


def render(answer: Mapping[str, Any], *, verbose: bool) -> Iterator[str]:
    """Give the lines for one answer of GET /v1/addresses/{address}."""
    count = answer.get("recipient_count")
    tail = f"{count} recipients" if answer.get("verdict") == "deliverable" else plain(answer.get("text"))
    status = "" if answer.get("verdict") == "deliverable" else f"{plain(answer.get('status'))} "
    yield f"{plain(answer.get('address'))}... {plain(answer.get('verdict'))}: {status}{tail}"
    for step in answer.get("steps", []) if verbose else ():
        yield f"  {'  ' * int(step['depth'])}{plain(step['address'])}: {plain(step['step'])}"
    for recipient in answer.get("recipients", []):
        yield f"  {plain(recipient['forward_path'])}: {_route(recipient)}"
        if recipient.get("held"):
            yield f"    held: {plain(recipient['held'])}"
        if recipient.get("suppressed"):
            yield f"    {_suppressed(recipient['suppressed'])}"
    if isinstance(count, int) and count > len(answer.get("recipients", [])) > 0:
        yield f"  and {count - len(answer['recipients'])} more"


def _route(recipient: Mapping[str, Any]) -> str:
    owner = f", from {plain(recipient['owner'])}" if recipient.get("owner") else ""
    route = recipient.get("route")
    if recipient.get("refusal"):
        return plain(recipient["refusal"])
    if recipient.get("target"):
        problem = f", but {plain(route['text'])}" if route and route["text"] else ""
        return f"handed over to {plain(recipient['target'])}{problem}{owner}"
    if not route:
        return f"route not looked up{owner}"
    if not route["hosts"]:
        return f"{plain(route['status'])} {plain(route['text'])}{owner}"
    return f"mailer smtp, host {plain(', '.join(route['hosts']))}{owner}"


def _suppressed(entry: Mapping[str, Any]) -> str:
    word = "suppressed" if entry.get("in_force") else "listed"
    said = f": {plain(entry['reply'])}" if entry.get("reply") else ""
    off = "" if entry.get("in_force") else " (sent to all the same: this reason is switched off)"
    return f"{word} since {plain(entry['updated_at'])}, {plain(entry['reason'])}{off}{said}"
