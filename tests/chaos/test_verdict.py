"""The campaign's judge sees what it must: each fault by a log that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.sink import failed_recipients
from tests.chaos.submitters import Begun, Submitted, Told
from tests.chaos.verdict import Lives, judge

LIVES = Lives(started=[0.0, 10.0, 20.0], killed=[9.0, 19.0], full=[(12.0, 13.0)])
ME, YOU = "me@example.org", "you@example.net"


def _taken(at: float) -> dict[str, Any]:
    return {"at": at, "session": 1, "sender": ME, "recipient": YOU, "code": 250, "message": "<1@x>", "failed": []}


def _report(at: float, message: str = "<2@x>", about: str = YOU) -> dict[str, Any]:
    return {**_taken(at), "sender": "", "recipient": ME, "message": message, "failed": [about]}


REFUSED = {**_taken(1), "code": 550}


@pytest.mark.parametrize(
    ("said", "told", "faults"),
    [
        ([_taken(1)], Told.ACCEPTED, []),
        ([REFUSED, _report(2)], Told.ACCEPTED, []),
        ([], Told.NOTHING, []),
        ([_taken(1)], Told.NOTHING, []),
        ([_taken(8.9), _taken(11)], Told.ACCEPTED, []),
        ([_report(8.9), _report(11)], Told.ACCEPTED, []),
        ([_taken(12.5), _taken(21)], Told.ACCEPTED, []),
        ([_taken(12.5), _taken(14)], Told.ACCEPTED, ["you@example.net: taken twice in one life, at 12.500 and 14.000"]),
        ([REFUSED], Told.ACCEPTED, ["you@example.net: lost (accepted by smtp)"]),
        ([_taken(1), _taken(2)], Told.ACCEPTED, ["you@example.net: taken twice in one life, at 1.000 and 2.000"]),
        ([_taken(21), _taken(22)], Told.ACCEPTED, ["you@example.net: taken twice in one life, at 21.000 and 22.000"]),
        ([_taken(1), _report(2)], Told.NOTHING, ["you@example.net: delivered 1 times, returned 1 times"]),
        ([_report(2), _report(3, "<3@x>")], Told.ACCEPTED, ["you@example.net: delivered 0 times, returned 2 times"]),
        (
            [_taken(1), _report(2, about="a@b")],
            Told.ACCEPTED,
            ["a@b: returned to me@example.org, who never sent to it"],
        ),
    ],
)
def test_log_is_judged(said: list[dict[str, Any]], told: Told, faults: list[str], tmp_path: Path) -> None:
    """One mail, one recipient, two kills and a full disk."""
    log = tmp_path / "log"
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in said))
    verdict = judge(Submitted([Begun("smtp", ME, [YOU], told)]), log, LIVES)
    assert verdict.faults == faults
    assert "kills" in str(verdict)


def test_reports_are_read() -> None:
    """Failed recipients only."""
    content = (
        b"\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\n"
        b"\r\nFinal-Recipient: rfc822; c@d\r\nAction: delayed\r\n\r\n"
    )
    assert failed_recipients(content) == ["a@b"]
