"""What was said in each attempt, on the whole system: kept, found again, and fit to be read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from paravion.cli.show import render_transcript

if TYPE_CHECKING:
    from tests.e2e.conftest import House


def _transcript(house: House, queue_id: str) -> dict[str, Any]:
    """It is stored last: after the message's own end."""
    until = time.monotonic() + 30
    while True:
        told = house.client.get(f"/v1/messages/{queue_id}/transcript")
        if not told["missing"] or time.monotonic() > until:
            return told
        time.sleep(0.1)


def test_greylisted_then_delivered_is_told_line_by_line(house: House) -> None:
    """451 in the first attempt, 250 in the second; no content."""
    content = b"From: me@example.org\r\nSubject: confidential\r\n\r\nhunter2\r\n"
    queue_id = house.submit(content, "busy-once+t@example.com", "missing+t@example.com")
    message = house.ended(queue_id)
    assert [r["cause"] for r in message["recipients"]] == ["", "mailbox_unknown"]
    told = _transcript(house, queue_id)
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1, 2]
    shown = "\n".join(render_transcript(told))
    print(shown)  # pytest -s shows what a user sees
    assert "-> MAIL FROM:<me@example.org>" in shown
    assert "[RCPT TO:<missing+t@example.com>" in shown
    assert shown.count("<- 451") == 1
    assert "confidential" not in shown
    assert "hunter2" not in shown
