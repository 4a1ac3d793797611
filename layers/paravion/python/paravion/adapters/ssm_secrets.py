"""
Secrets as SSM SecureString parameters under one path, kept in memory for minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.aws_errors import error_code
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def get(self, name: str) -> str | None:
        """See ports.Secrets."""
        now = self._clock()
        until, cached = self._cache.get(name, (0.0, None))
        if now < until:
            return cached
        value: str | None = None
        try:
            answer = self._client.get_parameter(Name=f"{self._prefix}/{name}", WithDecryption=True)
            value = answer["Parameter"]["Value"]
        except ClientError as exc:
            if error_code(exc) != "ParameterNotFound":
                return self._stale(name, now, cached, error_code(exc), exc)
        except BotoCoreError as exc:
            return self._stale(name, now, cached, type(exc).__name__, exc)
        if len(self._cache) >= _ENTRIES:
            self._cache.clear()
        self._cache[name] = (now + (MISSING_S if value is None else FOUND_S), value)
        return value

    def _stale(self, name: str, now: float, cached: str | None, fault: str, exc: Exception) -> str:
        """Stale beats shut: SSM's rate is the whole account's, and strangers with unknown keys can use it up."""
        if cached is None:
            raise SecretsUnavailable(f"{name}: {fault}") from exc
        self._cache[name] = (now + MISSING_S, cached)
        return cached

    def put(self, name: str, value: str) -> None:
        """See ports.Secrets."""
        self._cache.pop(name, None)
        try:
            self._client.put_parameter(Name=f"{self._prefix}/{name}", Value=value, Type="SecureString", Overwrite=True)
        except ClientError as exc:
            raise SecretsUnavailable(f"{name}: {error_code(exc)}") from exc
        except BotoCoreError as exc:
            raise SecretsUnavailable(f"{name}: {type(exc).__name__}") from exc
