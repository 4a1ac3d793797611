"""The event log's buffer: whole lines, in order, and no trouble from a log that can't be written."""

from __future__ import annotations

import io

from infra.local.log_buffer import LogBuffer


def test_lines_come_with_the_drain() -> None:
    """Nothing before it, all in order after it, each once."""
    stream = io.StringIO()
    buffer = LogBuffer(stream)
    for line in ("a\n", "b\n"):
        buffer.write(line)
        buffer.flush()
    assert stream.getvalue() == ""
    buffer.drain()
    buffer.drain()
    assert stream.getvalue() == "a\nb\n"


def test_many_lines_are_written_at_once() -> None:
    """Memory is bounded."""
    stream = io.StringIO()
    buffer = LogBuffer(stream)
    for _ in range(5000):
        buffer.write("x\n")
    assert len(stream.getvalue()) == 10_000


def test_log_that_fails_stops_nobody() -> None:
    """A closed stream."""
    stream = io.StringIO()
    buffer = LogBuffer(stream)
    buffer.write("a\n")
    stream.close()
    buffer.drain()
