"""
Secrets as SSM SecureString parameters under one path, kept in memory for minutes.

SSM's rate is the whole account's, and anybody can ask for access keys that do not exist. So what is missing is kept
apart from what is there, and once a function has been asked for MISSES_MAX missing names of a guarded folder within
LISTED_S, it reads the folder's names instead and asks SSM for no name that is not among them: a flood of unknown
keys costs one listing in that time, however many they are.
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

MISSES_MAX: Final = 20
LISTED_S: Final = 30.0
"""How long a listing is believed: a credential that is made during a flood works after this."""

GUARDED: Final = frozenset({"credentials"})
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
        self._cache: dict[str, tuple[float, str]] = {}
        self._missing: dict[str, float] = {}
        self._misses: dict[str, tuple[float, int]] = {}
        self._listed: dict[str, tuple[float, frozenset[str]]] = {}

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        """See ports.Secrets."""
        now = self._clock()
        until, cached = self._cache.get(name, (0.0, None))
        if now < until and not fresh:
            return cached
        if not fresh and (now < self._missing.get(name, 0.0) or self._is_known_missing(name, now)):
            return None
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
        if value is None:
            self._miss(name, now)
            return None
        if len(self._cache) >= _ENTRIES:
            self._cache.clear()
        self._missing.pop(name, None)
        self._cache[name] = (now + FOUND_S, value)
        return value

    def _miss(self, name: str, now: float) -> None:
        """Remember that there is none; strangers' names fill a table of their own, which is bounded."""
        self._cache.pop(name, None)
        if len(self._missing) >= _ENTRIES:
            self._missing.clear()
        self._missing[name] = now + MISSING_S
        folder = name.partition("/")[0]
        since, count = self._misses.get(folder, (now, 0))
        self._misses[folder] = (since, count + 1) if now < since + LISTED_S else (now, 1)

    def _is_known_missing(self, name: str, now: float) -> bool:
        """Say, during a flood, whether a name is not in its folder; without one, nothing is known."""
        folder = name.partition("/")[0]
        if folder not in GUARDED or name in self._cache:
            return False
        since, count = self._misses.get(folder, (now, 0))
        until, names = self._listed.get(folder, (0.0, frozenset()))
        if now >= until:
            if count < MISSES_MAX or now >= since + 2 * LISTED_S:
                return False
            self._misses[folder] = (now, 0)
            try:
                names = frozenset(self.names(folder))
            except SecretsUnavailable:
                return False
            self._listed[folder] = (now + LISTED_S, names)
        elif name not in names:
            # While it lasts the listing is renewed; a quiet while ends it.
            since, count = self._misses.get(folder, (now, 0))
            self._misses[folder] = (since, count + 1)
        return name not in names

    def put(self, name: str, value: str, *, new: bool = False) -> bool:
        """See ports.Secrets."""
        self._cache.pop(name, None)
        self._missing.pop(name, None)
        self._listed.clear()
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
