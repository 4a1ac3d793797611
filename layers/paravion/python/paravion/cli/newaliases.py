"""
`newaliases`: loads the alias files, and the lists that they include, in place of what was loaded.

Everything is checked here before anything is sent, and again by the API, which alone knows which targets its
settings allow, and takes all of it at one instant or nothing. What is too much for one request goes table by table,
a list before what includes it, and that is told.
"""

from __future__ import annotations

import base64
import json
import os
import sys

from paravion.cli.client import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOINPUT,
    EX_OK,
    EX_TEMPFAIL,
    EX_USAGE,
    ApiAway,
    ApiError,
    Client,
)
from paravion.cli.config import BadConfig, load

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AT_ONCE = 100
"""Tables of one request (docs/http-api.md)."""

TOO_BIG = ("message_too_big", "payload_too_big")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command: `newaliases [--aliases FILE...]`; the files of the configuration without it.

    Returns:
        The sysexits code: 65 for a bad table, 66 for a file that can't be read.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and (words[0] != "--aliases" or len(words) == 1):
        return _fail(f"only --aliases FILE... is taken: {words[0]}", EX_USAGE)
    try:
        config = load(os.environ)
        return run(words[1:] or files_of(config.aliases), Client(config))
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG)


def files_of(configured: str) -> list[str]:
    """Give the names that stand in a setting, separated by commas."""
    return [name.strip() for name in configured.split(",") if name.strip()]


def run(files: Sequence[str], client: Client) -> int:
    """Load these files; gives the sysexits code."""
    try:
        return _load(files, client)
    except OSError as exc:
        return _fail(f"{exc.filename}: {exc.strerror}", EX_NOINPUT)
    except ApiAway as exc:
        return _fail(str(exc), EX_TEMPFAIL)
    except ApiError as exc:
        return _fail(exc.text, exc.exit)


def _load(files: Sequence[str], client: Client) -> int:
    from paravion.domain.tables import BadTable, parse_table

    contents = [(name, _read(name)) for name in files]
    try:
        entries = parse_table("aliases", contents, allowed=None)
        lists = _lists(entries)
    except BadTable as exc:
        for problem in exc.problems:
            _fail(problem, EX_DATAERR)
        return _fail(f"nothing was loaded, problems: {exc.count}", EX_DATAERR)
    if not lists or not _load_at_once(contents, lists, client):
        _load_in_turn(contents, lists, client)
    return EX_OK


def _load_at_once(contents: Sequence[tuple[str, bytes]], lists: Mapping[str, bytes], client: Client) -> bool:
    """Swap all of it in at one instant; False when it is too much for that."""
    if len(lists) >= AT_ONCE:
        return False
    tables = [
        {"kind": "include", "name": name, "files": [_file(f"/{name}", octets)]} for name, octets in lists.items()
    ]  # fmt: skip
    tables.append({"kind": "aliases", "files": [_file(*content) for content in contents]})
    try:
        answer = client.put("/v1/tables", {}, json.dumps({"tables": tables}).encode(), "application/json")
    except ApiError as exc:
        if exc.key in TOO_BIG:
            return False
        raise
    for table in answer["tables"]:
        what = "aliases" if table["kind"] == "aliases" else "members"
        print(f"{table['kind'].removeprefix('include')}: {table['entries']} {what}")
    return True


def _load_in_turn(contents: Sequence[tuple[str, bytes]], lists: Mapping[str, bytes], client: Client) -> None:
    if lists:
        print("newaliases: too much for one swap: the lists are loaded first, then the aliases", file=sys.stderr)
    for name, octets in lists.items():
        answer = client.put(
            "/v1/tables/include", {"name": name, "file": f"/{name}"}, octets, "application/octet-stream"
        )
        print(f"/{name}: {answer['entries']} members")
    if len(contents) == 1:
        ((name, octets),) = contents
        answer = client.put("/v1/tables/aliases", {"file": name}, octets, "application/octet-stream")
    else:
        body = {"files": [_file(*content) for content in contents]}
        answer = client.put("/v1/tables/aliases", {}, json.dumps(body).encode(), "application/json")
    print(f"{', '.join(name for name, _ in contents)}: {answer['entries']} aliases")


def _file(name: str, octets: bytes) -> dict[str, str]:
    return {"name": name, "content": base64.b64encode(octets).decode()}


def _lists(entries: dict[str, str]) -> dict[str, bytes]:
    """Read every included file that is on this machine, those first that others include."""
    from paravion.domain.table_pages import INCLUDE
    from paravion.domain.tables import includes_of, parse_table

    found: dict[str, bytes] = {}
    seen: set[str] = set()
    stack = [(name, False) for name in reversed(includes_of(entries))]
    octets_of: dict[str, bytes] = {}
    while stack:
        name, is_done = stack.pop()
        if is_done:
            found[name] = octets_of.pop(name)
            continue
        # A list that is not a file here was loaded by its name; the API says so if it was not.
        if name in seen or not os.path.isfile(f"/{name}"):  # noqa: PTH113 (pathlib's import is dear)
            continue
        seen.add(name)
        octets_of[name] = _read(f"/{name}")
        members = parse_table(INCLUDE + name, [(f"/{name}", octets_of[name])], allowed=None)
        stack.append((name, True))
        stack += [(nested, False) for nested in includes_of(members)]
    return found


def _read(name: str) -> bytes:
    with open(name, "rb") as file:  # noqa: PTH123
        return file.read()


def _fail(text: str, exit_code: int) -> int:
    line = "".join(char if char.isprintable() else "?" for char in text)
    print(f"newaliases: {line}", file=sys.stderr)
    return exit_code
