"""ports.Spool and ports.Uploads, on every implementation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from paravion import bootstrap
from paravion.adapters.s3_spool import S3Uploads
from paravion.errors import SpoolConflict, SpoolMissing, SpoolUnavailable
from tests.integration.contract.conftest import BUCKET

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


PIECES = [bytes([n]) * 70_001 for n in range(7)]


def _drafted(spool: Any, pieces: list[bytes]) -> Any:
    draft = spool.draft_body()
    with contextlib.ExitStack() as stack:
        stack.enter_context(draft)
        for piece in pieces:
            draft.write(piece)
        stack.pop_all()
    return draft


def test_draft_is_read_and_put_as_the_whole_would_be(spool: Any, queue_id: str) -> None:
    """Written in pieces, read before it is put and afterwards; what lies there is its octets."""
    whole = b"".join(PIECES)
    with _drafted(spool, PIECES) as draft:
        assert len(draft) == len(whole)
        assert b"".join(draft.pieces()) == whole
        assert draft.read(70_000, 140_003) == whole[70_000:140_003]
        assert draft.read(0, len(whole)) == whole
        assert draft.read(5, 5) == b""
        spool.put_body(queue_id, draft)
        assert b"".join(draft.pieces()) == whole
        assert spool.get_body(queue_id) == whole
    assert spool.get_body(queue_id) == whole
    assert _read(spool.open_body(queue_id, len(whole))) == whole


@pytest.mark.parametrize("first", ["whole", "draft", "small"])
def test_draft_of_the_same_octets_again_is_no_conflict_but_another_is(spool: Any, queue_id: str, first: str) -> None:
    """A repeat finds its own, whichever way either of them came."""
    whole = b"".join(PIECES)
    if first == "draft":
        with _drafted(spool, PIECES) as draft:
            spool.put_body(queue_id, draft)
    else:
        spool.put_body(queue_id, whole if first == "whole" else b"small")
    others = [PIECES[::-1], PIECES[:-1], [*PIECES, b"x"], [b"x" * 10], []]
    for pieces in others if first != "small" else [PIECES, *others]:
        with _drafted(spool, pieces) as draft, pytest.raises(SpoolConflict):
            spool.put_body(queue_id, draft)
    if first != "small":
        with _drafted(spool, [whole]) as draft:
            spool.put_body(queue_id, draft)
        spool.put_body(queue_id, whole)
    assert spool.get_body(queue_id) == (b"small" if first == "small" else whole)


def test_draft_that_is_not_put_is_nothing(engine: str, spool: Any, data: Any, queue_id: str, tmp_path: Path) -> None:
    """Neither an object nor a file is left, whatever ended it."""
    if engine == "aws":
        spool._drafts = tmp_path
    with pytest.raises(KeyError), _drafted(spool, PIECES):
        raise KeyError("a refusal")
    with pytest.raises(SpoolMissing):
        spool.get_body(queue_id)
    folder = tmp_path / "data" / "spool" if data else tmp_path
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_full_disk_is_unavailable(engine: str, spool: Any, queue_id: str, tmp_path: Path) -> None:
    """Transient; the room comes back with the end of the draft."""
    if engine == "memory":
        spool.room_octets = 100_000
    else:
        # The kernel refuses what goes beyond, as a full disk does.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SpoolUnavailable), spool.draft_body() as draft:
            for piece in PIECES:
                draft.write(piece)
    finally:
        if engine != "memory":
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(SpoolMissing):
        spool.get_body(queue_id)


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
    assert uploads.read(queue_id, 5) == b"".join(uploads.pieces(queue_id, 5)) == b"large"
    with pytest.raises(SpoolConflict):
        uploads.read(queue_id, 4)
    with pytest.raises(SpoolConflict):
        next(uploads.pieces(queue_id, 4))
    uploads.delete(queue_id)
    with pytest.raises(SpoolMissing):
        uploads.read(queue_id, 10)
    with pytest.raises(SpoolMissing):
        next(uploads.pieces(queue_id, 10))


def test_upload_comes_in_bounded_pieces(engine: str, uploads: Any, queue_id: str) -> None:
    """None is more than a mebibyte, whatever its size; one that is closed early can be read again."""
    content = os.urandom(2_500_000)
    if engine == "memory":
        uploads.items[queue_id] = content
    elif engine.startswith("embedded"):
        query = dict(parse_qsl(uploads.create(queue_id, len(content)).url.partition("?")[2]))
        assert uploads.accept(queue_id, query, content)
    else:
        uploads._client.put_object(Bucket=uploads._bucket, Key=f"up/{queue_id}", Body=content)
    early = uploads.pieces(queue_id, len(content))
    assert len(next(early)) <= 1 << 20
    early.close()
    pieces = list(uploads.pieces(queue_id, len(content)))
    assert max(map(len, pieces)) <= 1 << 20
    assert b"".join(pieces) == content


def test_upload_is_bounded_in_size_and_time(engine: str, uploads: Any, queue_id: str) -> None:
    """Whoever gets hold of the URL puts so many octets there, and within a quarter of an hour."""
    if engine == "memory":
        pytest.skip("nobody puts anything there by a URL")
    if engine.startswith("embedded"):
        ticket, query = _ticket(uploads, queue_id)
        begun = ticket.expires_at - 900
        for at, octets, allowed in (
            (begun, 5, True),
            (begun + 899, 5, True),
            (begun + 901, 5, False),
            (begun, 6, False),
        ):
            uploads._clock = lambda at=at: at
            assert uploads.allows(queue_id, query, octets) is allowed
        return
    # As a function makes it, in a region where botocore would by itself sign neither.
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = bootstrap._Clients().make("s3")
    for presigning in (client, bootstrap._Clients().presigning("https://s3.us-east-1.amazonaws.com")):
        ticket, query = _ticket(S3Uploads(client, presigning, BUCKET, lambda: 1e9), queue_id)
        assert query["X-Amz-SignedHeaders"] == "content-length;host"
        assert query["X-Amz-Expires"] == "900"
        assert (ticket.headers, ticket.expires_at) == ({"Content-Length": "5"}, 1e9 + 900)


def _ticket(uploads: Any, queue_id: str) -> tuple[Any, dict[str, str]]:
    ticket = uploads.create(queue_id, 5)
    return ticket, dict(parse_qsl(ticket.url.partition("?")[2]))
