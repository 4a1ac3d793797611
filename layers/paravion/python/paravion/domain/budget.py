"""
How long to wait at each stage: RFC 5321's time-outs, cut to what the function has left.

The standard's minimums add up to more than a function may live, so what is left until the deadline
always wins; the caller then sees a time-out like any other, and the mail is deferred.

RFC: 5321 4.5.3.2.
"""

from __future__ import annotations

from typing import Final

from paravion.domain.verdict import Stage

TIMEOUTS_S: Final[dict[Stage, float]] = {
    Stage.CONNECT: 30,  # not in the RFC; the setting connect_timeout_s replaces it
    Stage.GREETING: 300,  # 4.5.3.2.1
    Stage.EHLO: 300,
    Stage.HELO: 300,
    Stage.STARTTLS: 120,  # not in the RFC; nothing but a flag changes before the 220
    Stage.TLS: 30,  # a handshake is two round trips
    Stage.AUTH: 120,  # RFC 4954 names none; a host may ask a directory
    Stage.RSET: 20,  # RFC 5321 asks for nothing but forgetting
    Stage.MAIL: 300,  # 4.5.3.2.2
    Stage.RCPT: 300,  # 4.5.3.2.3
    Stage.DATA: 120,  # 4.5.3.2.4
    Stage.CONTENT: 180,  # 4.5.3.2.5, for each block
    Stage.DOT: 600,  # 4.5.3.2.6: a shorter wait makes duplicates
    Stage.QUIT: 2,  # a courtesy; nobody waits for it
}

REUSED_ANSWER_S: Final = 10.0
"""
Longest wait for the first answer over a connection that was idle: a network that forgot it while the
function was frozen swallows what we send, and a fresh connection costs less than the full time-out.
"""

LEAST_S: Final = 0.05
"""With less than this left no further host or transaction is begun."""


def wait_s(stage: Stage, now: float, deadline: float) -> float:
    """Give the seconds to wait for the answer at this stage, 0 if the deadline is past; both on one clock."""
    return max(0.0, min(TIMEOUTS_S[stage], deadline - now))


def may_begin(now: float, deadline: float) -> bool:
    """Say whether anything new is worth beginning before the deadline."""
    return deadline - now > LEAST_S
