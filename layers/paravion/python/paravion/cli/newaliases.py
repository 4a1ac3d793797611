"""
`newaliases`: loads the alias files, and the lists that they include, in place of what was loaded.

Everything is checked here before anything is sent, and again by the API, which takes each table whole or not at
all. A list is sent before what includes it.
"""

from __future__ import annotations

import base64
import json
import os
import sys

from paravion.cli.client import (
    EX_CONFIG,
    EX_DATAERR,
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
    from collections.abc import Sequence

EX_NOINPUT = 66


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
        files = words[1:] or [name.strip() for name in config.aliases.split(",") if name.strip()]
        return _load(files, Client(config))
    except BadConfig as exc:
        return _fail(str(exc), EX_CONFIG)
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
        entries = parse_table("aliases", contents)
        lists = _lists(entries)
    except BadTable as exc:
        for problem in exc.problems:
            _fail(problem, EX_DATAERR)
        return _fail(f"nothing was loaded, problems: {exc.count}", EX_DATAERR)
    for name, octets in lists.items():
        answer = client.put(
            "/v1/tables/include", {"name": name, "file": f"/{name}"}, octets, "application/octet-stream"
        )
        print(f"/{name}: {answer['entries']} members")
    if len(contents) == 1:
        ((name, octets),) = contents
        answer = client.put("/v1/tables/aliases", {"file": name}, octets, "application/octet-stream")
    else:
        body = {"files": [{"name": name, "content": base64.b64encode(octets).decode()} for name, octets in contents]}
        answer = client.put("/v1/tables/aliases", {}, json.dumps(body).encode(), "application/json")
    print(f"{', '.join(files)}: {answer['entries']} aliases")
    return EX_OK


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
        members = parse_table(INCLUDE + name, [(f"/{name}", octets_of[name])])
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


if __name__ == "__main__":
    sys.exit(main())
