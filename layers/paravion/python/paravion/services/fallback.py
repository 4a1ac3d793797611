"""
The hops behind a hop: who is given to the next one, when a hop could not be given the message.

    the outcome's command                                      result            the recipient
    ---------------------------------------------------------  ----------------  -------------------
    DNS, CONNECT, GREETING, EHLO, HELO, STARTTLS, TLS, AUTH    deferred          goes on
    GREETING, EHLO, HELO                                       a host's 5yz      goes on
    LOCAL, of hosts that are known dead (4.4.1)                deferred          goes on: as CONNECT, untried
    MAIL, RCPT, DATA, CONTENT, DOT                             whatever          stays
    LOCAL                                                      else              stays: our own pace or refusal

So nothing is sent twice: what any host may have taken was answered at its DOT. A hop that is up and says "not
now" to a recipient (greylisting) is not gone round. Sends nothing itself: services/deliver.py does, and records
who stays before the next hop is tried.

sendmail: several hosts of one mailer; Postfix: smtp_fallback_relay, which takes what was deferred later as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from paravion.domain.outcome import Result
from paravion.domain.status import HOST_DEAD
from paravion.domain.verdict import Stage, combine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.ports import Transaction

_BEFORE_THE_MESSAGE: Final = frozenset(
    {"DNS", *(Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.HELO, Stage.STARTTLS, Stage.TLS, Stage.AUTH)}
)

_LOCAL: Final = "LOCAL"


@dataclass(frozen=True, slots=True)
class Leg:
    """
    One hop's part of the way.

    Attributes:
        earlier: What the hops before it said to those who went on.
    """

    hop: NextHop
    transaction: Transaction
    earlier: Mapping[int, Outcome] = field(default_factory=dict)

    def after(self, said: Mapping[int, Outcome]) -> tuple[dict[int, Outcome], Leg | None]:
        """
        Take what the hop said: give the outcomes that stand, and the next leg if anybody goes on.

        Between several hops that decided nothing the outcome is the one that tells most.
        """
        on = {n: combine(self.earlier.get(n), outcome) for n, outcome in said.items() if goes_on(outcome)}
        told = {**said, **on}
        if not on or not self.hop.behind:
            return told, None
        following, *behind = self.hop.behind
        recipients = {n: self.transaction.recipients[n] for n in on}
        leg = Leg(replace(following, behind=tuple(behind)), replace(self.transaction, recipients=recipients), on)
        return {n: outcome for n, outcome in told.items() if n not in on}, leg


def goes_on(outcome: Outcome) -> bool:
    """Say whether the next hop may be given the recipient."""
    is_known_dead = outcome.command == _LOCAL and outcome.status == HOST_DEAD.enhanced
    if outcome.command not in _BEFORE_THE_MESSAGE and not is_known_dead:
        return False
    # A failure without a reply is ours: a loop, which the next hop would only lengthen.
    return outcome.result is Result.DEFERRED or (outcome.result is Result.FAILED and outcome.is_reply)
