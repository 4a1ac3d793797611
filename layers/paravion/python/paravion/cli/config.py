"""
How the commands find the API: environment first, then a file.

`PARAVION_API`, `PARAVION_ACCESS_KEY`, `PARAVION_SECRET_KEY`, `PARAVION_SENDER`, `PARAVION_HOSTNAME`,
`PARAVION_REGION` and `PARAVION_ALIASES`, or the same names in lower case without the prefix in
`~/.config/paravion/client.toml` or, if that is not there, `/etc/paravion/client.toml`. A variable
beats the file. The file is read only when a variable is missing: it costs a TOML parser.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("api", "access_key", "secret_key", "sender", "hostname", "region", "aliases")
_REQUIRED = ("api", "access_key", "secret_key")
SYSTEM_FILE = "/etc/paravion/client.toml"


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
    """

    __slots__ = ("access_key", "aliases", "api", "hostname", "region", "secret_key", "sender")

    def __init__(
        self,
        api: str,
        access_key: str,
        secret_key: str,
        sender: str = "",
        hostname: str = "",
        region: str = "",
        aliases: str = "",
    ) -> None:
        # `paravion up` takes the same variable as HOST:PORT.
        self.api = (api if "://" in api else f"http://{api}").rstrip("/")
        self.access_key = access_key
        self.secret_key = secret_key
        self.sender = sender
        self.hostname = hostname
        self.region = region or "us-east-1"
        self.aliases = aliases or "/etc/mail/aliases"


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
    if path or not all(values[name] for name in _REQUIRED):
        for name, value in _read_file(environ, path).items():
            values[name] = values[name] or value
    missing = [f"PARAVION_{name.upper()}" for name in _REQUIRED if not values[name]]
    if missing:
        raise BadConfig(
            f"{', '.join(missing)} not set: set in the environment, ~/.config/paravion/client.toml or {SYSTEM_FILE}"
        )
    return Config(**values)


def _read_file(environ: Mapping[str, str], path: str) -> dict[str, str]:
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")  # noqa: PTH118 (pathlib's import is dear)
    usual = (os.path.join(home, "paravion", "client.toml"), SYSTEM_FILE)  # noqa: PTH118
    for name in (path,) if path else usual:
        try:
            with open(name, "rb") as file:  # noqa: PTH123
                octets = file.read()
        except FileNotFoundError:
            if path:
                raise BadConfig(f"{name}: no such file") from None
            continue
        except OSError as exc:
            raise BadConfig(f"{name}: {exc.strerror or exc}") from exc
        return _parse_file(name, octets)
    return {}


def _parse_file(name: str, octets: bytes) -> dict[str, str]:
    import tomllib

    try:
        values = tomllib.loads(octets.decode())
    except ValueError as exc:
        raise BadConfig(f"{name}: {exc}") from exc
    unknown = sorted(values.keys() - set(NAMES))
    if unknown:
        raise BadConfig(f"{name}: unknown: {', '.join(unknown)}")
    if any(not isinstance(value, str) for value in values.values()):
        raise BadConfig(f"{name}: every value must be a string")
    return values
