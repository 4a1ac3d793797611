"""ports.Spool and ports.Uploads, on every implementation."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import parse_qsl

import pytest

from paravion.errors import SpoolConflict, SpoolMissing

OCTETS = bytes(range(256)) * 5


def _read(body: Any) -> bytes:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in body.chunks()])

    return asyncio.run(collect())


def test_what_was_put_is_read_octet_for_octet(spool: Any, queue_id: str) -> None:
    """Octets, not text."""
    assert spool.put_envelope(queue_id, OCTETS) is None
    spool.put_body(queue_id, OCTETS[::-1])
    assert spool.get_envelope(queue_id) == OCTETS
    assert spool.get_body(queue_id) == OCTETS[::-1]
    assert _read(spool.open_body(queue_id, len(OCTETS))) == OCTETS[::-1]


@pytest.mark.parametrize("octets", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_body_can_be_read_twice_whatever_its_size(spool: Any, queue_id: str, octets: int) -> None:
    """Two next hops read one body; pieces join without a gap at the size where streaming begins."""
    content = os.urandom(octets)
    spool.put_body(queue_id, content)
    body = spool.open_body(queue_id, octets)
    assert body.octets == octets
    assert body.at_hand() in {None, content}
    assert _read(body) == content
    assert _read(body) == content
    assert body.at_hand() in {None, content}


def test_second_envelope_is_refused_and_the_first_is_given(spool: Any, queue_id: str) -> None:
    """Immutable: a repeat finds its own."""
    spool.put_envelope(queue_id, b"first")
    assert spool.put_envelope(queue_id, b"second") == b"first"
    assert spool.get_envelope(queue_id) == b"first"


def test_same_body_again_is_no_conflict_but_another_is(spool: Any, queue_id: str) -> None:
    """A repeat stores nothing new; other content under the key is told."""
    spool.put_body(queue_id, b"body")
    spool.put_body(queue_id, b"body")
    with pytest.raises(SpoolConflict):
        spool.put_body(queue_id, b"other")
    assert spool.get_body(queue_id) == b"body"


def test_missing_is_missing_not_unavailable(spool: Any, queue_id: str) -> None:
    """What isn't there is told apart from what can't be reached."""
    with pytest.raises(SpoolMissing):
        spool.get_envelope(queue_id)
    with pytest.raises(SpoolMissing):
        spool.get_body(queue_id)
    for octets in (10, 2 << 20):
        with pytest.raises(SpoolMissing):
            _read(spool.open_body(queue_id, octets))


def test_upload_is_read_within_its_limit_and_forgotten(engine: str, uploads: Any, queue_id: str) -> None:
    """A large message on its way in."""
    ticket = uploads.create(queue_id, 5)
    assert {name.lower(): value for name, value in ticket.headers.items()}["content-length"] == "5"
    with pytest.raises(SpoolMissing):
        uploads.read(queue_id, 10)
    if engine == "memory":
        uploads.items[queue_id] = b"large"
    elif engine.startswith("embedded"):
        path, _, query = ticket.url.removeprefix("http://127.0.0.1:1").partition("?")
        assert path == f"/uploads/{queue_id}"
        assert not uploads.accept(queue_id, dict(parse_qsl(query)), b"larger")
        assert not uploads.accept("other", dict(parse_qsl(query)), b"large")
        assert uploads.accept(queue_id, dict(parse_qsl(query)), b"large")
    else:
        uploads._client.put_object(Bucket=uploads._bucket, Key=f"up/{queue_id}", Body=b"large")
    assert uploads.read(queue_id, 5) == b"large"
    with pytest.raises(SpoolConflict):
        uploads.read(queue_id, 4)
    uploads.delete(queue_id)
    with pytest.raises(SpoolMissing):
        uploads.read(queue_id, 10)
