"""
Mailboxes that do as their name says, answered here: nothing is sent out, and nobody's reputation suffers.

    mailbox              what becomes of mail to it                          as
    -------------------  --------------------------------------------------  ------------------------------------
    success@             delivered
    bounce@              fails, 550 5.1.1                                    Bounce, Permanent/General
    ooto@                delivered; an automatic reply comes back            Delivery, and a mail
    complaint@           delivered, then complained of                       Delivery, then Complaint
    suppressionlist@     fails as on Amazon's global suppression list        Bounce, Permanent/Suppressed
    mailbox-full@        fails, 552 5.2.2                                    Bounce, Transient/MailboxFull
    null-mx@             fails, 556 5.1.10                                   Bounce, Permanent/General
    greylist@            deferred once, then delivered                       DeliveryDelay, Delivery
    tempfail-N@          deferred N times, N from 1 to 99, then delivered    DeliveryDelay, Delivery

At `simulator.amazonses.com`, and at the domain of a setting. `+label` makes as many of each as a test needs. What
fails here is not put on the suppression list, and none of it counts towards a quota. Any other name there fails as
an unknown user.

And one file, wherever it goes: EICAR's, which every scanner takes for a virus and is none. A mail with it is accepted
at SES's doors and not sent, which SES calls a Reject.

Next: services/deliver.py answers with it, domain/ses_event.py tells complaints, services/auto_reply.py replies.
SES: "Using the mailbox simulator"; the last four are ours.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from paravion.domain.outcome import Outcome, Result

DOMAIN: Final = "simulator.amazonses.com"

COMMAND: Final = "SIMULATOR"
"""`Outcome.command` of what is decided here."""

HOST: Final = "simulator"

USER_AGENT: Final = "paravion mailbox simulator"

_EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file of all scanners (eicar.org); in two pieces, lest they take this one for it."""

_EICAR_FORMS: Final = (_EICAR, binascii.b2a_base64(_EICAR[:57], newline=False))
"""As it stands, and at the beginning of an attachment in base64: its first line at least."""

_TEMPFAIL: Final = re.compile(r"tempfail-([1-9][0-9]?)")
_TAKEN: Final = frozenset({"success", "ooto", "complaint"})


def is_simulated(forward_path: str, own_domain: str = "") -> bool:
    """
    Say whether mail to an address is answered here.

    Args:
        own_domain: In lower case, "" for none.
    """
    domain = forward_path.rpartition("@")[2].lower()
    return domain == DOMAIN or (bool(own_domain) and domain == own_domain)


def has_test_virus(content: bytes) -> bool:
    """Say whether a message's octets have the EICAR test file in them."""
    return any(form in content for form in _EICAR_FORMS)


def answered(forward_path: str, attempt: int) -> Outcome:
    """
    Give what becomes of mail to a simulated address.

    Args:
        attempt: The job's, from 1 on.
    """
    name = _name(forward_path)
    if match := _TEMPFAIL.fullmatch(name):
        return _deferred("451", "4.3.0 Try again later") if attempt <= int(match[1]) else _DELIVERED
    if name == "greylist":
        return _deferred("450", "4.7.1 Greylisted, try again later") if attempt == 1 else _DELIVERED
    return _DELIVERED if name in _TAKEN else _FAILURES.get(name, _UNKNOWN)


def bounce_type(forward_path: str, outcome: Outcome) -> tuple[str, str] | None:
    """Give SES's type and subtype of a failure that no reply could have; None: they follow from the outcome."""
    is_listed = outcome.command == COMMAND and _name(forward_path) == "suppressionlist"
    return ("Permanent", "Suppressed") if is_listed else None


def complains(forward_path: str, outcome: Outcome) -> bool:
    """Say whether a complaint follows on a delivery."""
    return outcome.command == COMMAND and outcome.result is Result.DELIVERED and _name(forward_path) == "complaint"


def replies(forward_path: str, outcome: Outcome) -> bool:
    """Say whether an automatic reply follows on a delivery."""
    return outcome.command == COMMAND and outcome.result is Result.DELIVERED and _name(forward_path) == "ooto"


def _name(forward_path: str) -> str:
    if '"' in forward_path:
        from paravion.domain.address import plain_path  # `retry`, which asks for names too, does without

        forward_path = plain_path(forward_path)
    return forward_path.rpartition("@")[0].partition("+")[0].lower()


def _outcome(result: Result, code: str, text: str) -> Outcome:
    status, _, words = text.partition(" ")
    return Outcome(result, status, int(code), words, COMMAND, HOST)


def _deferred(code: str, text: str) -> Outcome:
    return _outcome(Result.DEFERRED, code, text)


_DELIVERED: Final = _outcome(Result.DELIVERED, "250", "2.6.0 Message received")
_UNKNOWN: Final = _outcome(Result.FAILED, "550", "5.1.1 The mailbox simulator has no such mailbox")
_FAILURES: Final = {
    "bounce": _outcome(Result.FAILED, "550", "5.1.1 user unknown"),
    "suppressionlist": _outcome(Result.FAILED, "550", "5.1.1 The address is on Amazon's suppression list (simulated)"),
    "mailbox-full": _outcome(Result.FAILED, "552", "5.2.2 Mailbox full"),
    "null-mx": _outcome(Result.FAILED, "556", "5.1.10 Recipient address has null MX"),
}
