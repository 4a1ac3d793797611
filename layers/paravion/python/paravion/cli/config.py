"""
How the commands find the API: environment first, then a file.

`PARAVION_ENDPOINT` (older: `PARAVION_API`), `PARAVION_ACCESS_KEY`, `PARAVION_SECRET_KEY` and the other NAMES, or the
same names in lower case without the prefix in `~/.config/paravion/client.toml` or, if that is not there,
`/etc/paravion/client.toml`. A variable beats the file. The file is read only when a variable is missing.
`paravion login` writes it (login.py).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = (
    "endpoint", "access_key", "secret_key", "sender", "hostname", "region", "aliases",
    "queue", "queue_days", "queue_megabytes", "delivery_mode",
)  # fmt: skip
OLDER_NAMES = {"api": "endpoint"}
_REQUIRED = ("endpoint", "access_key", "secret_key")
SYSTEM_FILE = "/etc/paravion/client.toml"

MAX_QUEUE_DAYS = 14
"""The service knows a repeat for 16 days; what waits for longer might be sent twice."""


class BadConfig(Exception):
    """The configuration is missing or bad; the text says where to put what. Exit 78."""


class Config:
    """
    What a command needs to reach the API.

    Attributes:
        api: Base URL without a trailing slash.
        sender: Reverse path to use when none is given, or "".
        hostname: Our own name, for bare local parts; "" means that of the machine.
        region: For the signature; any will do, the API takes each.
        aliases: The alias files that `newaliases` reads, separated by commas; "" means /etc/mail/aliases.
        queue: Directory of the client queue; "" means the user's own, "off" none.
        queue_lifetime_s: How long a message may wait there.
        queue_octets: How much may wait there.
        delivery_mode: "i" wait for the API's answer, "b" hand over in the background, "q" leave it to the next run.
    """

    __slots__ = (
        "access_key", "aliases", "api", "delivery_mode", "hostname", "queue", "queue_lifetime_s", "queue_octets",
        "region", "secret_key", "sender",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        sender: str = "",
        hostname: str = "",
        region: str = "",
        aliases: str = "",
        queue: str = "",
        queue_days: str = "",
        queue_megabytes: str = "",
        delivery_mode: str = "",
    ) -> None:
        """Raises BadConfig for a value that can't be."""
        # `paravion up` takes the same variable as HOST:PORT.
        self.api = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")
        self.access_key = access_key
        self.secret_key = secret_key
        self.sender = sender
        self.hostname = hostname
        self.region = region or "us-east-1"
        self.aliases = aliases or "/etc/mail/aliases"
        self.queue = queue
        self.queue_lifetime_s = 86400 * _whole("queue_days", queue_days or "5", MAX_QUEUE_DAYS)
        self.queue_octets = 1_000_000 * _whole("queue_megabytes", queue_megabytes or "1000", 10**9)
        self.delivery_mode = (delivery_mode or "i")[0]
        if self.delivery_mode not in {"i", "b", "q"}:
            raise BadConfig(f"delivery_mode {delivery_mode!r}: must be interactive, background or queue")
        if queue not in {"", "off"} and not os.path.isabs(queue):  # noqa: PTH117 (pathlib's import is dear)
            raise BadConfig(f"queue {queue!r}: must be an absolute path or off")


def _whole(name: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= most:
        raise BadConfig(f"{name} {value!r}: must be 1 to {most}")
    return int(value)


def load(environ: Mapping[str, str], path: str = "") -> Config:
    """
    Read the configuration.

    Args:
        environ: The environment.
        path: Read this file and no other; "" for the usual places.

    Raises:
        BadConfig: Names every value that is missing, or the file that cannot be read.
    """
    values = {name: environ.get(f"PARAVION_{name.upper()}", "") for name in NAMES}
    for older, name in OLDER_NAMES.items():
        values[name] = values[name] or environ.get(f"PARAVION_{older.upper()}", "")
    if path or not all(values[name] for name in _REQUIRED):
        for name, value in _read_first(environ, path).items():
            values[name] = values[name] or value
    missing = [f"PARAVION_{name.upper()}" for name in _REQUIRED if not values[name]]
    if missing:
        raise BadConfig(
            f"{', '.join(missing)} not set: set in the environment, {user_file(environ)} or {SYSTEM_FILE},"
            " or by paravion login"
        )
    return Config(**values)


def user_file(environ: Mapping[str, str]) -> str:
    """Give the name of the user's own file, whether it is there or not."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(home_folder(environ), ".config")  # noqa: PTH118
    return os.path.join(home, "paravion", "client.toml")  # noqa: PTH118


def home_folder(environ: Mapping[str, str]) -> str:
    """Give the caller's home; from the user database where the environment doesn't say."""
    if home := environ.get("HOME"):
        return home
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        return "/nonexistent"


def _read_first(environ: Mapping[str, str], path: str) -> dict[str, str]:
    for name in (path,) if path else (user_file(environ), SYSTEM_FILE):
        values = read_file(name)
        if values is not None:
            return values
        if path:
            raise BadConfig(f"{name}: no such file")
    return {}


def read_file(name: str) -> dict[str, str] | None:
    """
    Read one file; older names come as today's.

    Returns:
        None if it is not there.

    Raises:
        BadConfig
    """
    try:
        with open(name, "rb") as file:  # noqa: PTH123
            octets = file.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BadConfig(f"{name}: {exc.strerror or exc}") from exc
    return _parse_file(name, octets)


def _parse_file(name: str, octets: bytes) -> dict[str, str]:
    values = _parse_plain(octets)
    if values is None:
        import tomllib

        try:
            values = tomllib.loads(octets.decode())
        except ValueError as exc:
            raise BadConfig(f"{name}: {exc}") from exc
    values = {OLDER_NAMES.get(key, key): value for key, value in values.items()}
    unknown = sorted(values.keys() - set(NAMES))
    if unknown:
        raise BadConfig(f"{name}: unknown: {', '.join(unknown)}")
    if any(not isinstance(value, str) for value in values.values()):
        raise BadConfig(f"{name}: every value must be a string")
    return values


def _parse_plain(octets: bytes) -> dict[str, str] | None:
    """Read what is nothing but comments and `name = "value"`, as nearly every file is; None: needs a TOML parser."""
    values: dict[str, str] = {}
    for line in octets.splitlines():
        text = line.strip(b" \t")
        if not text or text.startswith(b"#"):
            continue
        name, equals, value = (part.strip(b" \t") for part in text.partition(b"="))
        plain = value[1:-1]
        if not (equals and name.replace(b"_", b"").isalpha() and value[:1] == value[-1:] == b'"' and len(value) > 1):
            return None
        if not plain.isascii() or b'"' in plain or b"\\" in plain or any(octet < 0x20 for octet in plain):  # noqa: PLR2004
            return None
        key = name.decode()
        if key in values:
            return None
        values[key] = plain.decode()
    return values
