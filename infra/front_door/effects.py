"""
What a session asks of who carries it, and what it is told. Values only.

connection.py acts on them; session.py makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.front_door.commands import Transaction
    from infra.front_door.content import Content


class Waits(Enum):
    """For what a session waits."""

    COMMAND = auto()
    CONTENT = auto()
    US = auto()


class Verdict(Enum):
    """What became of a Check."""

    GOOD = auto()
    BAD = auto()
    AWAY = auto()
    THROTTLED = auto()
    CROWDED = auto()


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether a credential is good; `authorization` is "" for one that can't be."""

    user: str
    authorization: str


@dataclass(frozen=True, slots=True)
class Submit:
    """
    Hand a message in.

    Attributes:
        authorization: Under which.
        is_own: That credential is the client's, not the door's for whom it trusts.
        transaction: Its envelope.
        content: Has ended.
        refusal: It is not to be handed in: this is the reply. "" for all others.
    """

    authorization: str
    is_own: bool
    transaction: Transaction
    content: Content
    refusal: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """
    A transaction that ended without a message, or a MAIL that began none: for the log, nothing is done about it.

    Attributes:
        reverse_path: Or what stood behind a refused MAIL.
        recipients_count, refused_count: RCPT commands taken and refused.
        octets: Of a content under way.
        reply: The last thing that the client was told.
    """

    reverse_path: str
    recipients_count: int
    refused_count: int
    octets: int
    reply: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin TLS once what was said is written."""


Effect = Check | Submit | StartTls


@dataclass(frozen=True, slots=True)
class Client:
    """
    Who is at the other end.

    Attributes:
        address: Without scope; "" if it has none.
        is_loopback: It is on this machine.
        trusted: The Authorization under which it may submit without AUTH, or None.
    """

    address: str
    is_loopback: bool = False
    trusted: str | None = None
