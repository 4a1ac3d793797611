"""
What one attempt did to one recipient: a value, never an exception.

RFC: 5321 4.2 (reply), 3463 (enhanced status), 3464 2.3 (the fields that a DSN takes from here).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from paravion.domain.tls_facts import NO_FACTS, TlsFacts

PACED: Final = "PACED"
"""The command of an outcome that waits for its turn at a host: nothing was asked, and no attempt is counted."""

HANDED_OVER: Final = "TARGET"
"""The command of an outcome at a target (domain/target.py): mail that it took is delivered, and not passed on."""


HOLD: Final = "HOLD"
"""The command of a failure that ended a hold (an operator cancelled it, or nobody released it), or of a wait in it."""


GIVEN_UP: Final = "EXPIRED"
"""The command of a failure because the time was up: what the last attempt ran into stands in its text."""

_LEADING_STATUS: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3}) ")


class Result(StrEnum):
    """How the attempt ended for a recipient."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One recipient's result of one attempt.

    Attributes:
        result: Delivered (responsibility passed on), deferred (may be tried again), failed (for good).
        status: Enhanced status, `class.subject.detail`; its class digit agrees with `result`.
        code: The reply code that decided, or 0 when no reply did (DNS, connect, our own fault).
        text: The reply's text, lines joined by LF, without codes; or what happened in our words.
            Printable characters only; the adapter escapes anything else. At most 1,000 characters.
        command: The command or stage that it answers: CONNECT, EHLO, STARTTLS, MAIL, RCPT, DATA, DOT,
            DNS, LOCAL, HOLD, SUPPRESSION, TARGET …
        mx_host: Name of the host that answered or was tried, "" if none.
        address: Its IP address, "" if none.
        relayed_dsn: The next hop took over the duty of RFC 3461 success reports (it offered DSN).
        is_traced: The sender hears that this host has it, unless he wants to hear nothing (RFC 2852).
        tls: TLS version in use, "" for none.
        tls_facts: All that is known of the session's TLS, for the record and for RFC 8460 reports.
        not_before: When the host may be tried, in seconds since the epoch, if it was not tried; 0: nothing known.
    """

    result: Result
    status: str
    code: int = 0
    text: str = ""
    command: str = ""
    mx_host: str = ""
    address: str = ""
    relayed_dsn: bool = False
    tls: str = ""
    tls_facts: TlsFacts = NO_FACTS
    not_before: float = 0.0
    is_traced: bool = False

    @property
    def last_said(self) -> tuple[str, str]:
        """Status and text of the last attempt; an expiry has taken both into its text (queue.expiry)."""
        if self.command != GIVEN_UP:
            return self.status, self.text
        match = _LEADING_STATUS.match(self.text)
        return (match[1], self.text[match.end() :]) if match else ("", self.text)

    @property
    def is_reply(self) -> bool:
        """A remote host's reply decided, not a fault."""
        return self.code != 0
