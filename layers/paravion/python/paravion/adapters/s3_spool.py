"""
The spool in S3: qf/<queue id>, df/<queue id>, and up/<upload id> for large mail on its way in.

Immutable by conditional put (If-None-Match): a second put under a key costs nothing extra when there is
none, and is told by a 412 when there is one. Durable when S3 has answered. Lifecycle rules of the bucket
(template.yaml) expire everything; they are the only thing that deletes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.aws_errors import as_unavailable, error_code
from paravion.adapters.draft_file import DraftFile, nameless_file
from paravion.errors import SpoolConflict, SpoolMissing, SpoolUnavailable
from paravion.ports import UploadTicket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from pathlib import Path
    from typing import IO

    from paravion.domain.message import LargeBody

_TAKEN: Final = {"PreconditionFailed", "ConditionalRequestConflict"}
_MISSING: Final = {"NoSuchKey", "404"}

PIECE_OCTETS: Final = 1 << 20
"""A larger body is read in pieces of this size; a smaller one is read once and kept for the other next hops."""

UPLOAD_LIFETIME_S: Final = 900
"""How long a presigned upload may be begun."""


class S3Spool:
    """
    ports.Spool in a bucket.

    Args:
        drafts: Folder for drafts; None: where the system has its temporary files, in Lambda /tmp.
    """

    def __init__(self, client: Any, bucket: str, drafts: Path | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._drafts = drafts

    def draft_body(self) -> S3Draft:
        """See ports.Spool."""
        return S3Draft(self._drafts)

    def put_body(self, queue_id: str, body: bytes | LargeBody) -> None:
        """See ports.Spool. A draft is one PutObject too, streamed from its file."""
        key = f"df/{queue_id}"
        content: bytes | IO[bytes]
        if isinstance(body, bytes):
            content, sha256 = body, _text(hashlib.sha256(body))
        else:
            assert isinstance(body, S3Draft)  # noqa: S101 (a draft of this spool)
            content, sha256 = body.file, body.sha256()
        if self._put(key, content, sha256):
            return
        with as_unavailable(SpoolUnavailable, key):
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        if head["Metadata"].get("sha256") != sha256:
            raise SpoolConflict(key)

    def put_envelope(self, queue_id: str, octets: bytes) -> bytes | None:
        """See ports.Spool."""
        key = f"qf/{queue_id}"
        if self._put(key, octets, _text(hashlib.sha256(octets))):
            return None
        return self._get(key)

    def get_envelope(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        return self._get(f"qf/{queue_id}")

    def get_body(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        return self._get(f"df/{queue_id}")

    def open_body(self, queue_id: str, octets: int) -> S3Body:
        """See ports.Spool."""
        return S3Body(self._client, self._bucket, f"df/{queue_id}", octets)

    def _put(self, key: str, content: bytes | IO[bytes], sha256: str) -> bool:
        """Store an object, or say that the key is taken."""
        try:
            if not isinstance(content, bytes):
                content.seek(0)
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*", Metadata={"sha256": sha256}
            )
        except ClientError as exc:
            if error_code(exc) in _TAKEN:
                return False
            raise SpoolUnavailable(f"{key}: {error_code(exc)}") from exc
        except (BotoCoreError, OSError) as exc:
            raise SpoolUnavailable(f"{key}: {type(exc).__name__}") from exc
        return True

    def _get(self, key: str) -> bytes:
        octets: bytes = read_object(self._client, self._bucket, key, lambda answer: answer["Body"].read())
        return octets


class S3Draft(DraftFile):
    """A draft in a file without a name, its digest what S3 keeps beside an object."""

    def __init__(self, folder: Path | None) -> None:
        self._sha256 = hashlib.sha256()
        super().__init__(nameless_file(folder), self._sha256)

    def sha256(self) -> str:
        """Give the digest of what was written."""
        return _text(self._sha256)


class S3Body:
    """
    One df in pieces.

    Of up to PIECE_OCTETS it is fetched once, however many next hops read it; a larger one is streamed anew
    for each, so that no invocation ever holds a whole large message.
    """

    def __init__(self, client: Any, bucket: str, key: str, octets: int) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self.octets = octets
        import asyncio  # dear: of those who import this module only who sends has a loop

        self._kept: Any = None
        self._lock = asyncio.Lock()

    def at_hand(self) -> bytes | None:
        """See ports.Body."""
        kept: bytes | None = self._kept
        return kept

    async def chunks(self) -> AsyncIterator[bytes]:
        """See ports.Body."""
        import asyncio

        if self.octets <= PIECE_OCTETS:
            async with self._lock:
                if self._kept is None:
                    self._kept = await asyncio.to_thread(self._fetch, lambda answer: answer["Body"].read())
                kept: bytes = self._kept
            yield kept
            return
        stream = await asyncio.to_thread(self._fetch, lambda answer: answer["Body"])
        try:
            left = self.octets
            while left > 0:
                piece = await asyncio.to_thread(self._piece, stream)
                if not piece:
                    raise SpoolUnavailable(f"{self._key}: ended {left} octets early")
                left -= len(piece)
                yield piece
        finally:
            stream.close()

    def _fetch(self, take: Callable[[Any], Any]) -> Any:
        return read_object(self._client, self._bucket, self._key, take)

    def _piece(self, stream: Any) -> bytes:
        return _read_piece(stream, self._key)


def _read_piece(stream: Any, key: str) -> bytes:
    # Whatever breaks while a body streams in is the spool's trouble: botocore lets urllib3's own
    # exceptions through here.
    try:
        piece: bytes = stream.read(PIECE_OCTETS)
    except Exception as exc:
        raise SpoolUnavailable(f"{key}: {type(exc).__name__}") from exc
    return piece


class S3Uploads:
    """
    ports.Uploads by presigned PUT.

    Args:
        presigning: A client whose endpoint the caller can reach; it makes no calls.
    """

    def __init__(self, client: Any, presigning: Any, bucket: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._presigning = presigning
        self._bucket = bucket
        self._clock = clock

    def create(self, upload_id: str, octets: int) -> UploadTicket:
        """See ports.Uploads. The length is signed, so that S3 itself refuses a longer body."""
        url = self._presigning.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._bucket, "Key": f"up/{upload_id}", "ContentLength": octets},
            ExpiresIn=UPLOAD_LIFETIME_S,
        )
        return UploadTicket(url, {"Content-Length": str(octets)}, self._clock() + UPLOAD_LIFETIME_S)

    def pieces(self, upload_id: str, limit: int) -> Generator[bytes, None, None]:
        """See ports.Uploads."""
        key = f"up/{upload_id}"
        stream, left = read_object(self._client, self._bucket, key, lambda answer: _within(answer, limit, key))
        try:
            while left > 0:
                piece = _read_piece(stream, key)
                if not piece:
                    raise SpoolUnavailable(f"{key}: ended {left} octets early")
                left -= len(piece)
                yield piece
        finally:
            stream.close()

    def read(self, upload_id: str, limit: int) -> bytes:
        """See ports.Uploads."""
        return b"".join(self.pieces(upload_id, limit))

    def delete(self, upload_id: str) -> None:
        """See ports.Uploads."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=f"up/{upload_id}")
        except (ClientError, BotoCoreError):
            # The bucket's lifecycle removes it within a day.
            return


def _within(answer: Any, limit: int, key: str) -> tuple[Any, int]:
    """Give the stream of an object's answer and its length. Raises SpoolConflict: It is longer than `limit`."""
    stream, octets = answer["Body"], answer["ContentLength"]
    if octets > limit:
        stream.close()
        raise SpoolConflict(key)
    return stream, octets


def read_object(client: Any, bucket: str, key: str, take: Callable[[Any], Any]) -> Any:
    """Give what `take` makes of an object's answer. Raises SpoolMissing, SpoolUnavailable."""
    try:
        return take(client.get_object(Bucket=bucket, Key=key))
    except ClientError as exc:
        if error_code(exc) in _MISSING:
            raise SpoolMissing(key) from exc
        raise SpoolUnavailable(f"{key}: {error_code(exc)}") from exc
    except (BotoCoreError, OSError) as exc:
        raise SpoolUnavailable(f"{key}: {type(exc).__name__}") from exc


def _text(sha256: hashlib._Hash) -> str:
    return base64.b64encode(sha256.digest()).decode()
