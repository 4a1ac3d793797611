"""
Round trip over the corpus: delivered with the body's octets and the fields in order, or refused as listed.

tests/unit/golden/refusals.txt lists every refusal with its reason. After a change on purpose:
`PARAVION_GOLDEN=write python -m pytest tests/unit/test_corpus.py`, and read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from paravion.domain.status import Rejected
from tests.corpus.traps import HERE, traps
from tests.support.world import World

GOLDEN = Path(__file__).parent / "golden" / "refusals.txt"
TRAPS = traps()
REMOVED = re.compile(rb"(?:bcc|resent-bcc|return-path|x-ses-[a-z-]+|x-paravion-[a-z-]+)[ \t]*:", re.IGNORECASE)


def _outcome(name: str) -> tuple[str, list[bytes]]:
    """Send one through the whole world: why it was refused, or what arrived."""
    world = World()
    try:
        world.submit("you@example.com", content=TRAPS[name])
    except Rejected as exc:
        assert not world.spool.bodies
        return f"{exc.status.key}: {exc.detail}", []
    world.run()
    return "", world.accepted_by("you@example.com")


def _refusals() -> dict[str, str]:
    lines = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []
    return dict(line.split("\t", 1) for line in lines)


def _expected(content: bytes) -> tuple[list[bytes], bytes]:
    """Split by the simplest means: fields that are sent on, and the body with CRLF line ends."""
    content = re.sub(rb"\r?\n", b"\r\n", content)
    content = re.sub(rb"\AFrom [^\n]*\n", b"", content)
    header, _, body = content.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", header.removesuffix(b"\r\n"))
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return [field for field in fields if not REMOVED.match(field)], body


@pytest.mark.parametrize("name", TRAPS)
def test_trap_is_delivered_whole_or_refused_as_listed(name: str) -> None:
    """No third way: no octet of the body and no field is lost, changed or moved."""
    reason, arrived = _outcome(name)
    if os.environ.get("PARAVION_GOLDEN") != "write":
        assert reason == _refusals().get(name, "")
    if reason:
        return
    (content,) = arrived
    header, _, body = content.partition(b"\r\n\r\n")
    fields, expected_body = _expected(TRAPS[name])
    assert body == expected_body
    ours = re.compile(
        rb"(?:Received: by mail\.example\.net|Received: from|(?:Resent-)?Date: Fri, 15 Jan 2027"
        rb"|Message-ID: <[a-z2-7]{26}@|Resent-Message-ID: <[a-z2-7]{26}\.resent@)"
    )
    assert [field for field in re.split(rb"\r\n(?![ \t])", header) if not ours.match(field)] == fields


def test_golden_list_is_complete_and_current() -> None:
    """Every refusal is listed, and nothing that is not a trap."""
    if os.environ.get("PARAVION_GOLDEN") == "write":
        found = {name: _outcome(name)[0] for name in TRAPS}
        GOLDEN.write_text("".join(f"{name}\t{reason}\n" for name, reason in sorted(found.items()) if reason))
    assert set(_refusals()) <= set(TRAPS)
    assert len(TRAPS) >= 80


def test_files_are_what_the_script_writes() -> None:
    """The .eml files are for other programs; `python -m tests.corpus.traps` writes them."""
    assert {path.stem: path.read_bytes() for path in HERE.glob("*.eml")} == TRAPS


def test_refusal_says_where_or_what() -> None:
    """A reason names a field, a line or a limit, in printable ASCII."""
    for reason in _refusals().values():
        assert reason.isascii()
        assert re.search(r"line \d+|[A-Z][A-Za-z-]+: |field|octets|[Cc]onfiguration set", reason), reason
