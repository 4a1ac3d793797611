"""The contract of ports.Transcripts, in memory and on S3."""

from __future__ import annotations

from typing import Any

import boto3

from paravion.adapters.s3_transcripts import S3Transcripts


def test_book_is_read_as_it_was_put(transcripts: Any, queue_id: str) -> None:
    """Octets under a key; another book under the same key takes its place."""
    assert transcripts.put(f"2026-01-02/{queue_id}", b"\x00book\xff") is True
    assert transcripts.get(f"2026-01-02/{queue_id}") == b"\x00book\xff"
    assert transcripts.put(f"2026-01-02/{queue_id}", b"other") is True
    assert transcripts.get(f"2026-01-02/{queue_id}") == b"other"


def test_missing_book_is_none(transcripts: Any, queue_id: str) -> None:
    """Never kept, or gone: no error."""
    assert transcripts.get(f"2026-01-02/{queue_id}") is None


def test_put_that_fails_says_so_and_raises_nothing(engine: str) -> None:
    """A bucket that is not there holds up no mail."""
    if engine == "aws":
        assert S3Transcripts(boto3.client("s3"), "no-such-bucket-of-ours").put("2026-01-02/x", b"book") is False
