"""
The file that moves an installation: JSON lines, of which the first says what it is and the last how many there were.

    {"paravion": "export", "version": 1, "secrets": false}
    {"kind": "setting", "name": "relay_tls", "value": "verify"}
    …
    {"kind": "end", "records": 17}

Kinds, in this order, and what a record of each holds (docs/one-machine.md):

    setting, route_credential*, webhook_secret*, unsubscribe_keys*, identity, record, table, host_limit,
    suppression_reasons, suppressed, credential*                                           (* only with secrets)

A `record` is one of ports.Records: what users made by SES's API, such as a template or a configuration set.

A table lies in several records, one after the other, each with some lines of sendmail's own format. Instants are
seconds since the epoch. All is ASCII: JSON escapes the rest.

Next: services/moving_out.py makes records, services/moving_in.py takes them, cli/moving.py has the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VERSION: Final = 1
"""Of the format; another one is refused."""

KINDS: Final = (
    "setting", "route_credential", "webhook_secret", "unsubscribe_keys", "identity", "record", "table", "host_limit",
    "suppression_reasons", "suppressed", "credential",
)  # fmt: skip
"""In the order in which they stand in a file: what others need comes before them, what opens doors last."""

LINE_OCTETS: Final = 1_000_000
"""No line is longer."""

Record = dict[str, Any]


class BadExport(ValueError):
    """The file is no export that can be taken; the text names the line."""


def header(*, secrets: bool) -> Record:
    """Give the first line."""
    return {"paravion": "export", "version": VERSION, "secrets": secrets}


def end(records: int) -> Record:
    """Give the last line."""
    return {"kind": "end", "records": records}


def encode(record: Mapping[str, Any]) -> bytes:
    """Give a record's line."""
    return json.dumps(record, separators=(", ", ": ")).encode() + b"\n"


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Record]]:
    """
    Give each record with the number of its line; the first and the last line are checked and not given.

    Args:
        lines: With their ends, none longer than LINE_OCTETS + 1.

    Raises:
        BadExport: while iterating.
    """
    order = records = number = 0
    ended = False
    for number, line in enumerate(lines, 1):
        record = _object(number, line)
        if number == 1:
            _check_header(record)
            continue
        if ended:
            raise BadExport(f"line {number}: behind the end")
        kind = record.get("kind")
        if kind == "end":
            if record.get("records") != records:
                raise BadExport(f"line {number}: {records} records stand here, of {shown(str(record.get('records')))}")
            ended = True
        elif kind not in KINDS:
            raise BadExport(f"line {number}: no kind of record: {shown(str(kind))}")
        elif KINDS.index(kind) < order:
            raise BadExport(f"line {number}: {kind} stands behind {KINDS[order]}")
        else:
            order = KINDS.index(kind)
            records += 1
            yield number, record
    if not ended:
        raise BadExport(f"line {number + 1}: the file is cut off: its end is missing" if number else "line 1: empty")


def _object(number: int, line: bytes) -> Record:
    if len(line) > LINE_OCTETS:
        raise BadExport(f"line {number}: longer than {LINE_OCTETS} octets")
    if not line.endswith(b"\n"):
        raise BadExport(f"line {number}: the file is cut off")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise BadExport(f"line {number}: no JSON object")
    return record


def _check_header(record: Record) -> None:
    if record.get("paravion") != "export":
        raise BadExport("line 1: no export of paravion")
    if record.get("version") != VERSION:
        raise BadExport(f"line 1: version {shown(str(record.get('version')))}; this paravion reads {VERSION}")
