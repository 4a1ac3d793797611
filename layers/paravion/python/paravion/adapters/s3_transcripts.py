"""
The transcripts in the spool's bucket: xf/<day>/<token>, one object for each invocation of `deliver`.

Named after sendmail's xf, the transcript of a queued message's sessions. The bucket's lifecycle deletes them.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.s3_spool import read_object
from paravion.errors import SpoolMissing


class S3Transcripts:
    """ports.Transcripts in a bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, octets: bytes) -> bool:
        """See ports.Transcripts."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=f"xf/{key}", Body=octets, ContentType="application/gzip")
        except (ClientError, BotoCoreError):
            return False
        return True

    def get(self, key: str) -> bytes | None:
        """See ports.Transcripts."""
        try:
            octets: bytes = read_object(self._client, self._bucket, f"xf/{key}", lambda answer: answer["Body"].read())
        except SpoolMissing:
            return None
        return octets
