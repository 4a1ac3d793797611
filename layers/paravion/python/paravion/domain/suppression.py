"""
The suppression list's own decisions: which address an entry is for, which bounce makes one, what is said instead.

Only a reply that says that the address does not exist makes an entry. What else may stand behind a 5yz, and does
not make one, because the address may be a good one:

    the reply or fault                                   why not
    ---------------------------------------------------  ---------------------------------------------------
    an answer to anything but RCPT                        it speaks of the host, the sender or the message
    5.7.z, 5.2.z, 5.4.z, 5.6.z, and every other status    policy, mailbox full or switched off, routing, content
    5.1.1 with words of a block list, a policy, a quota…  the words are the host's, the status may be its default
    5.1.1 with words of a look-up that failed, a filter…  it does not know, or does not want to say
    5.1.1 with words that nobody knows                    the same
    5.1.2, 5.1.3, 5.1.7, 5.1.8                            the domain, our syntax, the sender
    no reply: NXDOMAIN, null MX, no host, expired         asked anew each time at no cost to anybody's reputation
    a table of our own operator                           the table says it again

A status that says nothing (5.0.0, 5.1.0, none at all; 5.1.10, which Exchange uses for unknown recipients and RFC
7505 for null MX) is decided by the words alone. A doubt costs one more bounce; a mistake costs the user his mail.

Next: services/withhold.py asks before a mail is sent, services/suppress.py writes after it bounced.
RFC: 3463 3.2, 5248 (statuses), 5321 4.1.1.3 (RCPT), 7505 (null MX).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import SUPPRESSED

if TYPE_CHECKING:
    from collections.abc import Iterable

STAGE: Final = "SUPPRESSION"
"""`Outcome.command` of a recipient that was not sent to; events tell it as OnAccountSuppressionList, by its reason."""

_LISTED_FOR: Final = f"{SUPPRESSED.text}: "

REPLY_CHARACTERS: Final = 500
"""What an entry keeps of the reply that made it."""


class Reason(StrEnum):
    """Why an address is listed: SES's two."""

    BOUNCE = "BOUNCE"
    COMPLAINT = "COMPLAINT"


@dataclass(frozen=True, slots=True)
class Suppressed:
    """
    One entry.

    Attributes:
        address: In normal form.
        updated_at: Since when it stands there as it does, seconds since the epoch.
        source: What made it: "bounce", "complaint" or "operator".
        queue_id: The message that bounced or was complained of, "" for none.
        reply: What the remote host said, "" for nothing.
        by: The operator's access key, "" for none.
        expires_at: When it is forgotten, 0 for never.
    """

    address: str
    reason: Reason
    updated_at: float
    source: str
    queue_id: str = ""
    reply: str = ""
    by: str = ""
    expires_at: float = 0.0

    def is_expired(self, now: float) -> bool:
        """Its time is over, whether or not the store has removed it yet."""
        return 0 < self.expires_at <= now


# Most addresses, in which there is nothing to be normalised but case; too short to break any limit of length.
_PLAIN: Final = re.compile(r"[\w+=-]+(?:\.[\w+=-]+)*@(?:[a-z0-9]+(?:-+[a-z0-9]+)*\.)+[a-z]+", re.ASCII | re.IGNORECASE)
_PLAIN_CHARACTERS: Final = 64


def normal_form(address: str) -> str:
    """
    Give the form in which addresses are compared: as SES, without regard to case; the domain in A-labels.

    Details (`user+detail`) are addresses of their own. Quotes that a local part needs not are taken off.

    Raises:
        ValueError: No address; says why.
    """
    if len(address) <= _PLAIN_CHARACTERS and _PLAIN.fullmatch(address):
        return address.lower()
    from paravion.domain.address import (
        parse_path,
        plain_local,
        split_address,
    )  # `retry`, which needs none, does without

    local, domain = split_address(parse_path(address, smtputf8=True))
    local = plain_local(local)
    if not local.isascii():
        import unicodedata

        local = unicodedata.normalize("NFC", local)
    return f"{local.lower()}@{domain.lower()}"


def looked_up_as(path: str) -> str:
    """Give a recipient's normal form, "" for what is no address and so can't be listed."""
    try:
        return normal_form(path)
    except ValueError:
        return ""


# What a host says that means something else than an unknown recipient, whatever its status. Compiled at first use.
_ANOTHER_CAUSE: Final = (
    r"block|black ?list|white ?list|deny ?list|\brbl|dnsbl|spam|junk|abus|reputation|polic(y|ies)|virus|malware"
    r"|denied|not our (customer|user)|relay(?! recipient table)"
    r"|not (allowed|permitted|authori[sz]ed)|unauthori[sz]ed|permission|authentic"
    r"|\byour (ip|host|server|domain|network|address)\b|\bip address"
    r"|\bspf\b|\bdkim\b|\bdmarc\b|\bptr\b|reverse dns|\bhelo\b|client host|\btls\b|encrypt|sender|from address"
    r"|quota|\bfull\b|storage|exceed|limit|\brate\b|throttl|gr[ea]ylist|too (many|large|big)|temporar|syntax"
    r"|(no such|unknown|invalid|bad) ((destination|recipient)('s)? )?(domain|host|system)"
    r"|(domain|host)( name)? (is )?(unknown|invalid|not (found|known)|does(n't| not) exist)"
    r"|timed? ?out|unreachable|not reachable|callout|verification|(can ?not|can't|could ?n[o']t) (be )?(verif|check)"
    r"|unable to (verify|check|connect|contact|reach|look)|look-?up (fail|err|problem)|failed to look"
    r"|(directory|database|backend|ldap|sql)\b.{0,40}(fail|err|down|refused|unavailable|offline)|connection|maintenance"
    r"|fraud|scam|firewall|filter|security|safe ?list|invitation"
    r"|(?<!not )\blisted\b|at the moment|\bnow\b|from you\b|\bbulk\b|allotted|vacation|gesperrt|suspend"
)

_WHOM: Final = r"(user(name)?|recipient|mailbox|account|address|addressee|alias|person|local[- ]?part|e-?mail)"
_UNKNOWN: Final = (
    rf"\b(no such|unknown|invalid|nonexist[ae]nt|non-exist[ae]nt|not an? (valid|known)|no)"
    rf" (local |mail |virtual |e-?mail )?{_WHOM}\b"
    rf"|\b{_WHOM}\b[^;]{{0,60}}\b(unknown|not (found|known|listed|exist)|(doesn'?t|does not|did not|do not) exist"
    rf"|no longer exists?|nonexist[ae]nt|non-exist[ae]nt|invalid|not valid)\b"
    rf"|\b(doesn'?t|does not) have an? \S{{1,60}} account\b"
    rf"|recip(ient)?notfound"
)

_UNKNOWN_IF_SAID_SO: Final = r"\bmailbox (is )?(unavailable|not available)\b|\b(no longer|gone|nobody)\b"
"""Words that mean it behind a status that says it, and may mean another thing behind one that says nothing."""

_LETTERS: Final = r"[^\W\d_]{2}"

_NO_WORD: Final = re.compile(r"[0-9@]|://")
"""In addresses, links and ids that a reply quotes: what they spell is not what the host says."""

_BAD_MAILBOX: Final = frozenset({"1.1", "1.6"})
_SAYS_NOTHING: Final = frozenset({"0.0", "1.0", "1.10"})


def says_no_such_address(outcome: Outcome) -> bool:
    """Say whether a recipient's outcome is a host's word that the address does not exist; the module's table."""
    if outcome.result is not Result.FAILED or not outcome.is_reply or outcome.command != "RCPT":
        return False
    detail = outcome.status.partition(".")[2]
    if detail not in _BAD_MAILBOX | _SAYS_NOTHING:
        return False
    return _bear_out(outcome, is_said=detail in _BAD_MAILBOX)


def _bear_out(outcome: Outcome, *, is_said: bool) -> bool:
    """Say whether the reply's words say that the address does not exist; `is_said`: its status does."""
    from paravion.domain import known_replies  # every function reads settings, and few see a bounce
    from paravion.domain.known_replies import Cause

    said = outcome.text.lower().split()
    words = " ".join(word for word in said if not _NO_WORD.search(word))
    if re.search(_ANOTHER_CAUSE, words):
        return False
    # A link is read here: what it names beside no words of its own is often a block list's page.
    read = " ".join(word for word in said if "://" in word or not _NO_WORD.search(word))
    cause = known_replies.cause_of_text(outcome.status, read)
    if cause not in {None, Cause.MAILBOX_UNKNOWN, Cause.MAILBOX_DISABLED}:
        return False
    says_it = re.search(_UNKNOWN, words) is not None
    if not is_said:
        return says_it
    # A status is believed where the words bear it out, or where there are none.
    bears_out = cause is not None or re.search(_UNKNOWN_IF_SAID_SO, words) is not None
    return says_it or bears_out or not re.search(_LETTERS, words)


def bounced(path: str, outcome: Outcome, *, queue_id: str, at: float, expiry_s: float) -> Suppressed:
    """
    Give the entry that a bounce makes; the same for the same bounce, however often it is made.

    Args:
        outcome: As `says_no_such_address` took it.
        expiry_s: 0 for an entry that stays.

    Raises:
        ValueError: `path` is no address.
    """
    reply = " ".join(f"{outcome.code} {outcome.status} {outcome.text}".split())[:REPLY_CHARACTERS]
    if outcome.mx_host:
        reply = f"{outcome.mx_host}: {reply}"
    return Suppressed(
        normal_form(path), Reason.BOUNCE, at, "bounce", queue_id, reply, expires_at=at + expiry_s if expiry_s else 0.0
    )


def complained(path: str, *, queue_id: str, at: float, expiry_s: float) -> Suppressed:
    """Give the entry that a complaint makes; as `bounced`. Raises ValueError."""
    expires_at = at + expiry_s if expiry_s else 0.0
    return Suppressed(normal_form(path), Reason.COMPLAINT, at, "complaint", queue_id, expires_at=expires_at)


def not_sent(entry: Suppressed) -> Outcome:
    """Give the outcome of a recipient that is not sent to because of an entry."""
    day = datetime.fromtimestamp(entry.updated_at, UTC).strftime("%Y-%m-%d")
    text = f"{_LISTED_FOR}{entry.reason}, since {day}"
    return Outcome(Result.FAILED, SUPPRESSED.enhanced, text=text, command=STAGE)


def withheld_for(outcome: Outcome) -> Reason | None:
    """Give for which reason a recipient was not sent to, as `not_sent` wrote it; None: for none of ours."""
    if outcome.command != STAGE or not outcome.text.startswith(_LISTED_FOR):
        return None
    word = outcome.text.removeprefix(_LISTED_FOR).partition(",")[0]
    return Reason(word) if word in Reason.__members__ else None


def read_reasons(words: Iterable[str]) -> tuple[Reason, ...]:
    """
    Read reasons by their names, each once, in the order of `Reason`.

    Raises:
        ValueError: One is none.
    """
    found = set()
    for word in words:
        if word not in Reason.__members__:
            raise ValueError(f"must be of {', '.join(Reason)}")
        found.add(Reason(word))
    return tuple(reason for reason in Reason if reason in found)
