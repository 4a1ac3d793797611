"""
The mailertable's right side: hops that mail is given to, one after the other.

    smtp:[smarthost.example]:587 auth=ses
    esmtps:[smarthost.example] auth=ses tls=verify
    smtp:[first.example], [second.example]:26, third.example

A hop is `host` (its MX hosts) or `[host]` (that host itself), maybe with `:port`, then words:

    auth=NAME   what to log in with: services/route_credentials.py
    tls=MODE    none, may, encrypt or verify; with auth and without this word: verify

`esmtps` and `smtps` are TLS from the first octet, on port 465. The second hop is for what the first one can't be given
(services/fallback.py), and so on; a mailer may be named again before any of them, and holds for those that follow.
sendmail writes the colon where the comma stands here; that is taken too, where it can't be a port's.

Used when a table is loaded (domain/tables.py) and when mail is routed (services/routes.py): the text that
`Hop.text` gives is what is stored, and parses to the same hops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from paravion.domain.address import parse_path
from paravion.domain.next_hop import SMTP_PORT, SMTPS_PORT, credential_name

TLS_MODES: Final = ("none", "may", "encrypt", "verify")

MAX_HOPS: Final = 5
"""One after the other: each costs time that the next one lacks."""

_PORT_OF: Final = {
    "smtp": SMTP_PORT, "esmtp": SMTP_PORT, "relay": SMTP_PORT, "dsmtp": SMTP_PORT, "smtp8": SMTP_PORT,
    "esmtps": SMTPS_PORT, "smtps": SMTPS_PORT,
}  # fmt: skip
_MAILER: Final = re.compile(r"([A-Za-z][A-Za-z0-9]*):(.*)")
_MAILER_AGAIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9]*):(?![0-9]{1,5}(?:\s|$))(.*)")  # else a host and its port
_COLON_AS_COMMA: Final = re.compile(r":(?=[\[A-Za-z])(?![^\[]*\])")
_HOST: Final = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_ADDRESS: Final = re.compile(r"(?:IPv6:)?[0-9a-fA-F:.]+")
_PORTS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Hop:
    """
    One hop.

    Attributes:
        host: Host name or IP address, without brackets.
        is_host: The host itself; otherwise its MX hosts.
        tls, credential: As in domain/next_hop.py.
    """

    host: str
    is_host: bool
    port: int = SMTP_PORT
    tls: str = ""
    credential: str = ""

    @property
    def text(self) -> str:
        """The hop in normal form, without mailer."""
        words = [f"[{self.host}]" if self.is_host else self.host]
        if self.port != SMTP_PORT:
            words[0] += f":{self.port}"
        if self.tls:
            words.append(f"tls={self.tls}")
        if self.credential:
            words.append(f"auth={self.credential}")
        return " ".join(words)


def is_mailer(name: str) -> bool:
    """Say whether it names SMTP in any form."""
    return name.lower() in _PORT_OF


def parse_hops(text: str) -> tuple[Hop, ...]:
    """
    Read the hops of a right side, `smtp:` and all.

    Raises:
        ValueError: What is wrong with it.
    """
    hops: list[Hop] = []
    mailer = ""
    for part in text.split(","):
        rest = part.strip()
        named = (_MAILER_AGAIN if hops else _MAILER).fullmatch(rest)
        if named and is_mailer(named[1]):
            mailer, rest = named[1].lower(), named[2].strip()
        if not mailer:
            raise ValueError(f"'{rest}': must be mailer:host")
        hops += [_hop(each, _PORT_OF[mailer]) for each in _COLON_AS_COMMA.split(rest)]
    if len(hops) > MAX_HOPS:
        raise ValueError(f"more than {MAX_HOPS} hops")
    return tuple(hops)


def written(hops: tuple[Hop, ...]) -> str:
    """Give the normal form of a right side."""
    return "smtp:" + ", ".join(hop.text for hop in hops)


def credentials_of(value: str) -> list[str]:
    """Give the names of credentials in a stored right side."""
    return [word[5:] for word in re.split(r"[ ,]+", value) if word.startswith("auth=")] if " auth=" in value else []


def _hop(text: str, port: int) -> Hop:
    where, *words = text.split() or [""]
    match = _HOST.fullmatch(where)
    if match is None or (match[2] and not 0 < int(match[2]) < _PORTS):
        raise ValueError(f"'{where}': must be host, [host] or [host]:port")
    inner = match[1].strip("[]")
    is_host = match[1].startswith("[")
    if not _ADDRESS.fullmatch(inner):
        inner = _domain(inner)
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in {"auth", "tls"}:
            raise ValueError(f"'{word}': behind the host stand auth=NAME and tls=MODE")
        if name in given:
            raise ValueError(f"{name}= stands there twice")
        given[name] = value
    if "tls" in given and given["tls"] not in TLS_MODES:
        raise ValueError(f"tls={given['tls']}: must be one of {', '.join(TLS_MODES)}")
    credential = credential_name(given["auth"]) if "auth" in given else ""
    found = int(match[2]) if match[2] else port
    if given.get("tls") == "none" and found == SMTPS_PORT:
        raise ValueError(f"tls=none on port {SMTPS_PORT}, where TLS comes first")
    return Hop(inner, is_host, found, given.get("tls", "verify" if credential else ""), credential)


def _domain(text: str) -> str:
    try:
        return parse_path(f"x@{text}").partition("@")[2]
    except ValueError as exc:
        raise ValueError(f"'{text}' is not a domain: {exc}") from exc
