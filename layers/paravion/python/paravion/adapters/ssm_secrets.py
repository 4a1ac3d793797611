"""
Secrets as SSM SecureString parameters under one path, kept in memory for minutes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.aws_errors import error_code
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOUND_S: Final = 300.0
"""How long a secret is kept: a disabled credential stops working within this."""

MISSING_S: Final = 10.0
"""How long the absence of one is kept: SSM's rate is limited, and anybody can ask for unknown keys."""

_ENTRIES: Final = 10_000


class SsmSecrets:
    """
    ports.Secrets.

    Args:
        prefix: Path with a leading and without a trailing slash.
        clock: Seconds; any origin.
    """

    def __init__(self, client: Any, prefix: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._cache: dict[str, tuple[float, str | None]] = {}

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        """See ports.Secrets."""
        now = self._clock()
        until, cached = self._cache.get(name, (0.0, None))
        if now < until and not fresh:
            return cached
        value: str | None = None
        try:
            with _unavailable(name, but="ParameterNotFound"):
                answer = self._client.get_parameter(Name=f"{self._prefix}/{name}", WithDecryption=True)
                value = answer["Parameter"]["Value"]
        except SecretsUnavailable:
            if cached is None or fresh:
                raise
            # Stale beats shut: SSM's rate is the whole account's, and strangers with unknown keys can use it up.
            self._cache[name] = (now + MISSING_S, cached)
            return cached
        if len(self._cache) >= _ENTRIES:
            self._cache.clear()
        self._cache[name] = (now + (MISSING_S if value is None else FOUND_S), value)
        return value

    def put(self, name: str, value: str, *, new: bool = False) -> bool:
        """See ports.Secrets."""
        self._cache.pop(name, None)
        with _unavailable(name, but="ParameterAlreadyExists" if new else ""):
            self._client.put_parameter(
                Name=f"{self._prefix}/{name}", Value=value, Type="SecureString", Overwrite=not new
            )
            return True
        return False

    def delete(self, name: str) -> None:
        """See ports.Secrets."""
        self._cache.pop(name, None)
        with _unavailable(name, but="ParameterNotFound"):
            self._client.delete_parameter(Name=f"{self._prefix}/{name}")

    def names(self, under: str) -> list[str]:
        """See ports.Secrets."""
        found: list[str] = []
        with _unavailable(under, but=""):
            # Without WithDecryption no secret comes here.
            pages = self._client.get_paginator("get_parameters_by_path").paginate(Path=f"{self._prefix}/{under}")
            for page in pages:
                found += [parameter["Name"].removeprefix(f"{self._prefix}/") for parameter in page["Parameters"]]
        return found


@contextmanager
def _unavailable(name: str, *, but: str) -> Iterator[None]:
    """Turn botocore's errors into ours; the error code `but` ends the block quietly."""
    try:
        yield
    except ClientError as exc:
        if error_code(exc) != but:
            raise SecretsUnavailable(f"{name}: {error_code(exc)}") from exc
    except BotoCoreError as exc:
        raise SecretsUnavailable(f"{name}: {type(exc).__name__}") from exc
