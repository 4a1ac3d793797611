"""
Turn what botocore raises into our exceptions: one place that knows AWS's error codes.

Everything that is not named is an outage (law 7): refusing for good is for the caller to decide, on a code
that it knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paravion.errors import Unavailable


def error_code(exc: ClientError) -> str:
    """Give the service's error code, e.g. `NoSuchKey`."""
    return str(exc.response.get("Error", {}).get("Code", ""))


@contextmanager
def as_unavailable(kind: type[Unavailable], what: str) -> Iterator[None]:
    """Raise `kind` for every failure of the AWS calls inside."""
    try:
        yield
    except ClientError as exc:
        raise kind(f"{what}: {error_code(exc)}") from exc
    except BotoCoreError as exc:
        raise kind(f"{what}: {type(exc).__name__}") from exc
