"""
What a reply or a fault at one stage means for the recipients, and how far it reaches.

The policy is Postfix's (smtp_trouble.c) where RFC 5321 leaves a choice; differences are named below.

    stage      4yz                    5yz                       fault (lost, time-out, garbage)
    CONNECT    -                      -                         deferred 4.4.1, host
    GREETING   deferred, host         failed, host [1]          deferred 4.4.2, host
    EHLO HELO  deferred, host         EHLO: HELO is tried;      deferred 4.4.2, host
                                      HELO: failed, host [1]
    STARTTLS   goes on in clear while TLS is opportunistic      reconnects in clear [2]
    AUTH       deferred, host         deferred, host [5]        deferred 4.4.2, host
    RSET       deferred, host         deferred, host            deferred 4.4.2, host
    MAIL       deferred, message      failed, message           deferred 4.4.2, host
    RCPT       deferred, recipient    failed, recipient [3]     deferred 4.4.2, host
    DATA       deferred, message      failed, message           deferred 4.4.2, host
    CONTENT    deferred, message      failed, message           deferred 4.4.2, host
    DOT        deferred, message      failed, message           deferred 4.4.2, destination [4]
    any        421: deferred, host; the connection is finished

A scope says who shares the verdict; what is tried next follows from it (`Verdict.tries_next`): whatever
is deferred may be taken by the next host of the same hop at once (RFC 5321 5.1: try at least two
addresses), and so may what a host refused to hear of at all. Not so a destination's verdict.

[1] The host won't talk to us, it said nothing of the recipient: the next one is asked (RFC 5321 3.1,
    7504 3). Recipients fail only if every host that was tried refused for good (`combine`); Postfix defers
    after a 5yz greeting, and fails at once after a 5yz to HELO.
[2] When it may not go on in clear (domain/tls_policy.py): deferred, host; TLS_FAILED 4.7.0 for a handshake, 4.7.5
    for a certificate, 4.7.4 where TLS is refused or not offered.
[3] 552 and 452 mean "too many recipients" (RFC 5321 4.5.3.1.10): transient, and when others of the
    transaction were taken, the rest goes into another one over the same connection (Scope.TRANSACTION).
    A deferred 552 keeps its code, and has a status of class 4.
[4] The instant of RFC 1047: the host may have taken the message. Another host, or a fresh connection,
    now would make a duplicate likely; the later attempt makes it merely possible. Postfix asks the next.
[5] Our own smarthost doesn't know us, or wants us to log in or to use TLS (530, 534, 535, 538, whatever the
    stage): the operator's mistake, not the sender's. Mail waits for its correction, and the host's own code and
    words say what is wrong. A host that DNS named refuses for good with the same codes.

5yz is permanent, as RFC 5321 4.2.1 has it, but for four kinds of reply that hosts give by 5yz and mean
otherwise; they are deferred, keep their code, and have a status of class 4:
    - greylisting and rate limits ("too many connections"), by their text: `known_replies.Cause`;
    - a host that is busy and itself asks us to come back ("Service refused, please try later");
    - "issue STARTTLS first" over a connection in clear: our TLS broke, the address is good.

A reply without an enhanced status gets one: by its text where that is known for a mailbox, quota, size or
greylisting, else by stage and code (`_DERIVED`); it never says more than the reply did.

A reply that is none of what the stage allows (2yz to DATA, 3yz to MAIL) counts as garbage.

RFC: 5321 4.2.1, 4.2.4, 4.3.2, 4.5.3.1.10, 5.1; 3463 (class agrees with the result); 1047; 7504.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from paravion.domain import known_replies, status
from paravion.domain.known_replies import Cause
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import TEXT_CHARACTERS, Malformed, Reply
from paravion.domain.tls_facts import CERTIFICATE_RESULTS, NO_FACTS, TlsFacts

if TYPE_CHECKING:
    from paravion.domain.status import Status


class Stage(StrEnum):
    """Where a session stands: what the next reply answers. The value is Outcome.command."""

    CONNECT = "CONNECT"
    GREETING = "GREETING"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    TLS = "TLS"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "CONTENT"
    DOT = "DOT"
    QUIT = "QUIT"


class FaultKind(Enum):
    """What happened instead of a reply."""

    REFUSED = "Connection refused or host unreachable"
    TIMED_OUT = "Timed out"
    LOST = "Connection lost"
    TLS = "TLS handshake failed"


@dataclass(frozen=True, slots=True)
class Fault:
    """No reply came; `detail` is printable and may be ""; `tls_result` is what RFC 8460 calls it, if it was TLS."""

    kind: FaultKind
    detail: str = ""
    tls_result: str = ""


Answer = Reply | Malformed | Fault
"""What a stage can end with."""


class Scope(Enum):
    """Who shares a verdict."""

    RECIPIENT = "this recipient"
    TRANSACTION = "this recipient, in this transaction only"
    MESSAGE = "every recipient of the message, at this host"
    HOST = "everything for this host"
    DESTINATION = "every recipient of the message, at every host of the hop"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is talked to: host name, IP address, TLS version ("" in clear), and whether the operator named it."""

    name: str = ""
    address: str = ""
    tls: str = ""
    tls_facts: TlsFacts = NO_FACTS
    by_route: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and its reach."""

    outcome: Outcome
    scope: Scope

    @property
    def tries_next(self) -> bool:
        """The next host of the hop may be asked at once."""
        if self.scope is Scope.HOST:
            return True
        return self.outcome.result is Result.DEFERRED and self.scope is not Scope.DESTINATION


_RESULTS: Final = {2: Result.DELIVERED, 4: Result.DEFERRED, 5: Result.FAILED}
_HOST_STAGES: Final = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.HELO, Stage.STARTTLS, Stage.TLS,
                                 Stage.AUTH, Stage.RSET, Stage.QUIT})  # fmt: skip

# Codes that a stage gives a meaning of its own (RFC 5321 4.2.2).
_CLOSING: Final = 421
_TOO_MANY: Final = 452
_TOO_MANY_AS_IN_RFC_821: Final = 552
_LOG_IN_FIRST: Final = frozenset({530, 534, 535, 538})
"""RFC 4954 6, RFC 3207 4: authentication or encryption is required, or what was given is not good enough."""
_TOO_MANY_TEXT: Final = re.compile(r"too many|recipients|rcpt", re.IGNORECASE)

# `subject.detail` of a reply without one: by what its text is known to say, ...
_DETAIL_OF_CAUSE: Final = {
    Cause.GREYLISTING: "7.1",
    Cause.RATE_LIMIT: "4.5",
    Cause.MAILBOX_FULL: "2.2",
    Cause.MAILBOX_UNKNOWN: "1.1",
    Cause.MAILBOX_DISABLED: "2.1",
    Cause.DOMAIN_UNKNOWN: "1.2",
    Cause.RELAY_DENIED: "7.1",
    Cause.MESSAGE_TOO_BIG: "3.4",
}
# ... else by its code (RFC 5321 4.2.3, 3463, the registry of RFC 5248); two speak of the mailbox if there is one.
_DERIVED: Final = {421: "3.2", 451: "3.0", 452: "3.1", 454: "7.0", 455: "5.4", 500: "5.2", 501: "5.4",
                   502: "5.1", 503: "5.1", 504: "5.4", 521: "3.2", 530: "7.0", 534: "7.9", 535: "7.8", 538: "7.11",
                   552: "3.4", 555: "5.4", 556: "1.10"}  # fmt: skip
_DERIVED_AT_RCPT: Final = {450: "2.0", 552: "2.2"}


def is_positive(stage: Stage, answer: Answer) -> bool:
    """Say whether the stage succeeded: 354 (any 3yz) to DATA, any 2yz to everything else."""
    return isinstance(answer, Reply) and answer.code // 100 == (3 if stage is Stage.DATA else 2)


def ends_connection(stage: Stage, answer: Answer) -> bool:
    """Say whether the connection is finished with this answer: lost, closing, or no longer understood."""
    if not isinstance(answer, Reply) or answer.code == _CLOSING:
        return True
    return answer.code // 100 < 4 and not is_positive(stage, answer)  # noqa: PLR2004 (a yes to another question)


def judge(stage: Stage, answer: Answer, peer: Peer, *, relayed_dsn: bool = False) -> Verdict:
    """
    Give the verdict that the table above names.

    Args:
        stage: What was answered.
        answer: The reply or fault; a positive one only where it ends the matter (DOT).
        peer: For the outcome's record.
        relayed_dsn: The host offered DSN; kept only in a delivered outcome.
    """
    if isinstance(answer, Reply):
        if answer.code // 100 >= 4 or (stage is Stage.DOT and is_positive(stage, answer)):  # noqa: PLR2004 (4yz, 5yz)
            return _judge_reply(stage, answer, peer, relayed_dsn=relayed_dsn)
        return _judge_garbage(stage, f"Unexpected reply: {answer.code} {answer.text}", peer)
    if isinstance(answer, Malformed):
        return _judge_garbage(stage, f"Malformed reply: {answer.text}", peer)
    return _judge_fault(stage, answer, peer)


def ours(row: Status, text: str, stage: str, peer: Peer, scope: Scope) -> Verdict:
    """
    Give a verdict of our own, without a reply: its status is a row of the taxonomy, its code 0.

    `text` says what happened, "" for the row's public text; `stage` is a Stage, "DNS" or "LOCAL".
    """
    return Verdict(our_outcome(row, text, stage, peer), scope)


def our_outcome(row: Status, text: str, stage: str, peer: Peer = Peer()) -> Outcome:
    """Give the outcome of `ours` alone."""
    return Outcome(
        _RESULTS[row.smtp // 100],
        row.enhanced,
        text=(text or row.text)[:TEXT_CHARACTERS],
        command=str(stage),
        mx_host=peer.name,
        address=peer.address,
        tls=peer.tls,
        tls_facts=peer.tls_facts,
    )


def combine(earlier: Outcome | None, later: Outcome) -> Outcome:
    """
    Choose what to report when several hosts of a hop were asked and none decided.

    A deferral outweighs a failure (a host that was down may yet take the message), a reply outweighs a
    fault, otherwise the later one counts.
    """
    if earlier is None:
        return later

    def weight(outcome: Outcome) -> tuple[bool, bool]:
        return outcome.result is Result.DEFERRED, outcome.is_reply

    return earlier if weight(earlier) > weight(later) else later


def _judge_reply(stage: Stage, reply: Reply, peer: Peer, *, relayed_dsn: bool) -> Verdict:
    result = _RESULTS[reply.code // 100]
    cause = None
    if result is not Result.DELIVERED:
        cause = known_replies.cause_of_text(reply.enhanced, reply.text)
    enhanced = reply.enhanced or _derived(stage, reply, cause)
    if result is Result.FAILED and _is_meant_for_now(reply, cause, peer):
        result = Result.DEFERRED
    is_our_fault = stage is Stage.AUTH or (peer.by_route and reply.code in _LOG_IN_FIRST)
    if stage is Stage.RSET or is_our_fault:
        # Nothing was said about a message yet: whatever the host objects to is our way of reusing it.
        result = Result.DEFERRED
    scope = Scope.MESSAGE
    if reply.code == _CLOSING or stage in _HOST_STAGES or is_our_fault:
        scope = Scope.HOST
    elif stage is Stage.RCPT:
        scope = Scope.RECIPIENT
        if reply.code in (_TOO_MANY, _TOO_MANY_AS_IN_RFC_821):
            result = Result.DEFERRED
            detail = reply.enhanced.partition(".")[2]
            if detail == status.TOO_MANY_RECIPIENTS.detail or (not detail and _TOO_MANY_TEXT.search(reply.text)):
                scope = Scope.TRANSACTION
                enhanced = f"4.{status.TOO_MANY_RECIPIENTS.detail}"
    if result is Result.DEFERRED:
        enhanced = "4" + enhanced[1:]
    outcome = Outcome(
        result,
        enhanced,
        reply.code,
        reply.text,
        stage,
        peer.name,
        peer.address,
        relayed_dsn=relayed_dsn and result is Result.DELIVERED,
        tls=peer.tls,
        tls_facts=peer.tls_facts,
    )
    return Verdict(outcome, scope)


def _is_meant_for_now(reply: Reply, cause: Cause | None, peer: Peer) -> bool:
    """Say whether a 5yz is one of those that mean 4yz; the module's list."""
    if cause is Cause.SYSTEM_BUSY:
        return known_replies.asks_to_come_back(reply.text)
    return cause in {Cause.GREYLISTING, Cause.RATE_LIMIT} or (cause is Cause.TLS_REQUIRED and not peer.tls)


def _derived(stage: Stage, reply: Reply, cause: Cause | None) -> str:
    """Give the enhanced status that the host left out (RFC 3463)."""
    detail = _DETAIL_OF_CAUSE.get(cause) if cause is not None else None
    if detail is None and stage is Stage.RCPT:
        detail = _DERIVED_AT_RCPT.get(reply.code)
    return f"{reply.code // 100}.{detail or _DERIVED.get(reply.code, '0.0')}"


def _judge_garbage(stage: Stage, text: str, peer: Peer) -> Verdict:
    return ours(status.CONNECTION_LOST, text, stage, peer, _fault_scope(stage))


def _judge_fault(stage: Stage, fault: Fault, peer: Peer) -> Verdict:
    row = status.CONNECTION_LOST
    if fault.kind is FaultKind.TLS or stage is Stage.TLS:
        row = status.TLS_UNTRUSTED if fault.tls_result in CERTIFICATE_RESULTS else status.TLS_FAILED
    elif stage is Stage.CONNECT:
        row = status.NO_ANSWER
    text = f"{fault.kind.value}: {fault.detail}" if fault.detail else fault.kind.value
    return ours(row, text, stage, peer, _fault_scope(stage))


def _fault_scope(stage: Stage) -> Scope:
    return Scope.DESTINATION if stage is Stage.DOT else Scope.HOST
