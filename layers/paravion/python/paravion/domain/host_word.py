"""
What one outcome says of the host itself, apart from what it means for the recipient.

    outcome                                                        word
    -------------------------------------------------------------  -----------
    no connection, or nobody there before the first command        UNREACHABLE
    421; 4.7.28, 4.4.5, 4.3.2; a text that is known to speak of    TOO_FAST
    rate; 4.7.x or 4.0.0 with words of rate ("slow down")
    the same, with words of connections or sessions                TOO_MANY
    any other reply, and a connection that broke later on          ANSWERED
    DNS, TLS, our own faults, what was not tried                   (none)

Greylisting is no complaint: the host wants this mail later, not less mail. A closing "timeout" (421 4.4.2)
speaks of an idle connection. A full mailbox (4.2.x) and too many recipients (4.5.3) concern one message. What a
host says to AUTH is about our credential, unless it is 421. With TLS 1.3 a host's refusal of the handshake breaks
the EHLO behind it: it has greeted us, and is not dead.

Next: domain/pacing.py draws the consequences.

RFC: 5321 3.8, 4.2.2 (421); 3463 3.5, 3.8; 6710 and Gmail's use of 4.7.28 for rate.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from paravion.domain import known_replies
from paravion.domain.known_replies import Cause
from paravion.domain.outcome import Result

if TYPE_CHECKING:
    from paravion.domain.outcome import Outcome


class Word(Enum):
    """What a host said or did; see the module's table."""

    ANSWERED = "answered"
    TOO_FAST = "too fast"
    TOO_MANY = "too many connections"
    UNREACHABLE = "unreachable"


_BEFORE_WORDS: Final = frozenset({"CONNECT", "GREETING", "EHLO", "HELO"})
_HELLO: Final = frozenset({"EHLO", "HELO"})
_LATER: Final = frozenset({"MAIL", "RCPT", "DATA", "CONTENT", "DOT", "RSET"})
_AUTH: Final = "AUTH"
_CLOSING: Final = 421
_RATE_STATUSES: Final = frozenset({"4.7.28", "4.4.5", "4.3.2"})
_OF_ONE_MESSAGE: Final = ("4.2.", "4.5.3")
_OF_AN_ADDRESS: Final = "4.1."
_NOT_OF_RATE: Final = re.compile(r"gr[ae]y.?list|time.?d?.?out|\bidle\b", re.IGNORECASE)
_OF_CONNECTIONS: Final = re.compile(
    r"(too many|maximum|concurrent|simultaneous|limit|exceeded).{0,40}(connection|session)"
    r"|(connection|session)s?.{0,40}(limit|exceeded|too many|concurrent|simultaneous)"
    r"|too many concurrent",
    re.IGNORECASE | re.DOTALL,
)
_OF_RATE: Final = re.compile(
    r"\brate\b|ratelimit|throttl|slow.?down|too (many|much|fast|frequent)|over.?quota.*(hour|minute|day)"
    r"|exceeded.{0,40}(limit|messages)|(message|sending|mail).{0,20}limit|unusual (rate|traffic|volume)|volume",
    re.IGNORECASE | re.DOTALL,
)


def word_of(outcome: Outcome) -> Word | None:
    """
    Say what an outcome tells of its host, None for nothing.

    Args:
        outcome: Of one host: what it replied or how talking to it failed.
    """
    if not outcome.mx_host:
        return None
    if not outcome.is_reply:
        if outcome.command in _BEFORE_WORDS:
            return Word.ANSWERED if outcome.tls and outcome.command in _HELLO else Word.UNREACHABLE
        return Word.ANSWERED if outcome.command in _LATER else None
    if outcome.result is not Result.DEFERRED or not _may_complain(outcome):
        return Word.ANSWERED
    return Word.TOO_MANY if _OF_CONNECTIONS.search(outcome.text) else Word.TOO_FAST


def _may_complain(outcome: Outcome) -> bool:
    cause = known_replies.cause_of_text(outcome.status, outcome.text)
    if cause is Cause.GREYLISTING or _NOT_OF_RATE.search(outcome.text) or outcome.status.startswith(_OF_ONE_MESSAGE):
        return False
    if outcome.command == _AUTH and outcome.code != _CLOSING:
        return False
    if cause is Cause.RATE_LIMIT or outcome.status.startswith(_OF_AN_ADDRESS):
        return cause is Cause.RATE_LIMIT
    if outcome.code == _CLOSING or outcome.status in _RATE_STATUSES:
        return True
    is_vague = outcome.status.startswith(("4.7.", "4.0."))
    return is_vague and bool(_OF_CONNECTIONS.search(outcome.text) or _OF_RATE.search(outcome.text))
