"""
What `paravion up` can be told, checked as a whole: every unknown name and bad value at once.

Command-line words win over `PARAVION_…` variables, those over local mode's own defaults.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from paravion.settings import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULTS: Final = {
    "engine": "embedded",
    "data": "",
    "processes": "auto",
    "api": "127.0.0.1:8025",
    "smtp": "127.0.0.1:2525",
    "smtps": "127.0.0.1:2465",
    "relay": "inbox",
    "access_key": "AKIAPARAVIONLOCAL000",
    "secret_key": "paravion-local-secret-key-not-for-production",
}
"""Every option that is not a setting."""

LOCAL_SETTINGS: Final = {"hostname": "paravion.localhost", "identity_check": "off", "sweep_interval_s": "1"}
"""Settings whose default differs in local mode."""

WIRING: Final = frozenset(
    {"spool", "ledger", "delivery_queue", "retry_queue", "bounce_queue", "event_queue", "secrets", "upload_endpoint"}
)
"""Settings that the template and the engine set."""

EMBEDDED_ONLY: Final = frozenset({"max_queue_jobs_count", "min_free_octets"})
"""Settings of the embedded engine alone."""

ENGINES: Final = ("embedded", "moto")
_ACCESS_KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
_PORTS: Final = range(65536)

_ADDRESSES: Final = ("api", "smtp", "smtps")

Address = tuple[str, int]


class BadOptions(Exception):
    """
    Options or settings are bad.

    Attributes:
        problems: A line for each.
        in_words: One of them, at least, stands on the command line, not in the environment.
    """

    def __init__(self, problems: Sequence[str], *, in_words: bool) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
        self.in_words = in_words


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to run local mode.

    Attributes:
        template: template.yaml of the checkout.
        processes: Of the embedded engine: 1, or 2, of which one has the doors and one the workers.
        smtp, smtps: None: without that door.
        relay: inbox, mx or HOST:PORT.
        settings: By name, as text; local mode's own defaults included.
        front_door: Whether to open the SMTP doors at all.
    """

    template: Path
    engine: str = DEFAULTS["engine"]
    data: str = DEFAULTS["data"]
    processes: int = 1
    api: Address = ("127.0.0.1", 8025)
    smtp: Address = ("127.0.0.1", 2525)
    smtps: Address = ("127.0.0.1", 2465)
    relay: str = DEFAULTS["relay"]
    access_key: str = DEFAULTS["access_key"]
    secret_key: str = DEFAULTS["secret_key"]
    settings: Mapping[str, str] = field(default_factory=lambda: dict(LOCAL_SETTINGS))
    front_door: bool = True


def parse_address(text: str) -> Address:
    """
    Parse HOST:PORT; an IPv6 host stands in brackets.

    Raises:
        ValueError: It is none.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 host stands in brackets")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) not in _PORTS:
        raise ValueError("must be HOST:PORT")
    return host, int(port)


def join_address(address: Address) -> str:
    """Give HOST:PORT, with brackets around an IPv6 host."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_options(
    template: Path, words: Mapping[str, str | None], assignments: Sequence[str], environ: Mapping[str, str]
) -> Options:
    """
    Put the options together.

    `words` are the command line's options by name of DEFAULTS, None for those that were not given;
    `assignments` the `NAME=VALUE` of each --set.

    Raises:
        BadOptions
    """
    found = _Problems()
    chosen, origins = _chosen(words, assignments, environ)
    settings = _settings(assignments, environ, found)
    addresses: dict[str, Address] = {}
    for name, value in chosen.items():
        try:
            if name in _ADDRESSES:
                addresses[name] = parse_address(value)
            else:
                _check(name, value)
        except ValueError as exc:
            shown = "…" if name == "secret_key" else repr(value)
            found.add(f"{origins[name]} {shown}: {exc}", in_words=origins[name].startswith("--"))
    if chosen["engine"] == "moto":
        for name in sorted(EMBEDDED_ONLY & {word.partition("=")[0] for word in assignments}):
            found.add(f"--set {name}: the moto engine has no such limit", in_words=True)
    if chosen["secret_key"] == DEFAULTS["secret_key"]:
        for name, (host, _) in addresses.items():
            if not _is_loopback(host):
                problem = f"{origins[name]} {host}: others can reach it, and everybody knows the default secret key"
                found.add(f"{problem}: give --access-key and --secret-key", in_words=origins[name].startswith("--"))
    processes = _processes(chosen, origins, found)
    if found.lines:
        raise BadOptions(found.lines, in_words=found.in_words)
    rest = {name: value for name, value in chosen.items() if name not in {*_ADDRESSES, "processes"}}
    return Options(template, processes=processes, settings=settings, **addresses, **rest)  # type: ignore[arg-type]  # by name, see above


def _processes(chosen: Mapping[str, str], origins: Mapping[str, str], found: _Problems) -> int:
    """Give how many. The inbox is kept in memory, where the one process that shows it also catches it."""
    why_one = "the moto engine has one" if chosen["engine"] == "moto" else ""
    if not why_one and chosen["relay"] == "inbox":
        why_one = "the inbox is kept in one process; give --relay"
    if chosen["processes"] == "2" and why_one:
        found.add(f"{origins['processes']} 2: {why_one}", in_words=origins["processes"].startswith("--"))
    if chosen["processes"] == "auto":
        return 1 if why_one or (os.cpu_count() or 1) == 1 else 2
    return 2 if chosen["processes"] == "2" else 1


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(slots=True)
class _Problems:
    """What is wrong, collected."""

    lines: list[str] = field(default_factory=list)
    in_words: bool = False

    def add(self, line: str, *, in_words: bool) -> None:
        self.lines.append(line)
        self.in_words = self.in_words or in_words


def _chosen(
    words: Mapping[str, str | None], assignments: Sequence[str], environ: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Give each option's value and where it comes from. `--set relay=` means --relay."""
    assigned = [word.partition("=")[2] for word in assignments if word.startswith("relay=")]
    chosen, origins = {}, {}
    for name, default in DEFAULTS.items():
        variable = f"PARAVION_{name.upper()}"
        word = words.get(name)
        if word is None and name == "relay" and assigned:
            word = assigned[-1]
        chosen[name] = environ.get(variable, default) if word is None else word
        origins[name] = variable if word is None else f"--{name.replace('_', '-')}"
    return chosen, origins


def _settings(assignments: Sequence[str], environ: Mapping[str, str], found: _Problems) -> dict[str, str]:
    """Give the settings that differ from settings.py's defaults, and note what is wrong with them."""
    settings = dict(LOCAL_SETTINGS)
    assigned = {word.partition("=")[0] for word in assignments}
    for name, setting in BY_NAME.items():
        if name in WIRING or name == "relay" or name in assigned or setting.variable not in environ:
            continue
        settings[name] = environ[setting.variable]
        if problem := _setting_problem(name, settings[name]):
            found.add(f"{setting.variable} {settings[name]!r}: {problem}", in_words=False)
    for word in assignments:
        name, equals, value = word.partition("=")
        if name == "relay" and equals:
            continue
        settings[name] = value
        if problem := _setting_problem(name, value) if equals else "must be NAME=VALUE":
            found.add(f"--set {word}: {problem}", in_words=True)
    return settings


def _setting_problem(name: str, value: str) -> str:
    """Say what is wrong with a setting, "" if nothing is."""
    if name not in BY_NAME:
        return "no such setting"
    if name in WIRING:
        return "local mode sets it itself"
    try:
        BY_NAME[name].parse(value)
    except ValueError as exc:
        return str(exc)
    return ""


def _check(name: str, value: str) -> None:
    """
    Check an option that is neither an address nor a setting.

    Raises:
        ValueError: With what is wrong.
    """
    if name == "engine" and value not in ENGINES:
        raise ValueError(f"must be one of {', '.join(ENGINES)}")
    if name == "relay" and value != "inbox":
        try:
            BY_NAME["relay"].parse(value)
        except ValueError as exc:
            raise ValueError(f"must be inbox, mx or HOST:PORT ({exc})") from exc
    if name == "processes" and value not in {"auto", "1", "2"}:
        raise ValueError("must be auto, 1 or 2")
    if name == "access_key" and not _ACCESS_KEY.match(value):
        raise ValueError("must be 16 to 128 letters, digits, - and _")
    if name == "secret_key" and not value:
        raise ValueError("must not be empty")


def parameter_name(setting: str) -> str:
    """Give the template parameter that a setting may have: its name in CamelCase."""
    return "".join(part.capitalize() for part in setting.split("_"))
