"""The words of reports, in English: the pattern of all others."""

from __future__ import annotations

from typing import Final

PHRASES: Final = {
    "subject.failed": "Not delivered: your mail to {whom}",
    "subject.expired": "Not delivered: your mail to {whom}",
    "subject.delayed": "Delayed, still trying: your mail to {whom}",
    "subject.relayed": "Passed on: your mail to {whom}",
    "subject.delivered": "Delivered: your mail to {whom}",
    "subject.listed": "Delivered: your mail to {whom}",
    "subject.expanded": "Passed on: your mail to {whom}",
    "subject.report": "Not delivered: a report to {whom}",
    "subject.many": "{count} recipients",
    "what.failed.one": "Your mail could not be delivered to this recipient:",
    "what.failed.many": "Your mail could not be delivered to these {count} recipients:",
    "what.expired.one": "Your mail could not be delivered to this recipient. "
    "We kept trying for {tried} and have now given up:",
    "what.expired.many": "Your mail could not be delivered to these {count} recipients. "
    "We kept trying for {tried} and have now given up:",
    "what.delayed.one": "Your mail is delayed. You need do nothing. "
    "We have been trying for {tried} to deliver it to this recipient, without success so far:",
    "what.delayed.many": "Your mail is delayed. You need do nothing. "
    "We have been trying for {tried} to deliver it to these {count} recipients, without success so far:",
    "what.relayed.one": "You asked to be told when your mail is delivered. "
    "The mail system of this recipient has accepted it:",
    "what.relayed.many": "You asked to be told when your mail is delivered. "
    "The mail systems of these {count} recipients have accepted it:",
    "what.delivered.one": "You asked to be told when your mail is delivered. "
    "It has been handed over to the program that takes the mail for this address:",
    "what.delivered.many": "You asked to be told when your mail is delivered. "
    "It has been handed over to the programs that take the mail for these {count} addresses:",
    "what.listed.one": "You asked to be told when your mail is delivered. "
    "This address is a mailing list, and your mail has reached it:",
    "what.listed.many": "You asked to be told when your mail is delivered. "
    "These {count} addresses are mailing lists, and your mail has reached them:",
    "what.expanded.one": "You asked to be told when your mail is delivered. "
    "This address stands for several recipients, and your mail is being passed on to them:",
    "what.expanded.many": "You asked to be told when your mail is delivered. "
    "Each of these {count} addresses stands for several recipients, and your mail is being passed on to them:",
    "what.report.one": "To the postmaster: we tried to tell a sender what became of a mail, and could not deliver "
    "that report either. So the sender knows nothing of it. The report was for:",
    "what.report.many": "To the postmaster: we tried to tell these {count} senders what became of a mail, and could "
    "not deliver that report either. So they know nothing of it. The report was for:",
    "other": "This message is not about the other recipient of your mail.",
    "others": "This message is not about the other {count} recipients of your mail.",
    "passed_on": "{address} (forwarded to {final})",
    "why": "Why: {reason}",
    "advice": "What you can do: {advice}",
    "waits_here": "It still waits in our own mail system.",
    "their_reason": "Their reason: {reason}",
    "last_try": "When we last tried, {reason}.",
    "gave_up": "We kept trying for {tried} and have now given up.",
    "advice.expired": "Send your mail again later, or ask the recipient in another way, for example by phone, "
    "whether there is a problem.",
    "after.delayed": "We will keep trying until {until}. If your mail has not been delivered by then, we will tell "
    "you. Please do not send it again now: the recipient could get it twice.",
    "after.relayed": "It will not tell us when your mail lies in the mailbox, so this is the last confirmation that "
    "you will get. If it can't deliver your mail after all, it should tell you.",
    "after.traced": "This is not yet a word about its delivery: it was passed on, and it had to be delivered by a "
    "certain time. If that system can't deliver it, it should tell you.",
    "after.listed": "The list now sends it to its members. You will not be told of each of them, nor of failures: "
    "those are reported to the list's owner.",
    "after.expanded": "You will not be told of each success. If one of them can't be reached, you will be told, "
    "unless you asked not to be.",
    "mail": "The mail in question:",
    "mail.subject": "Subject: {value}",
    "mail.date": "Sent: {value}",
    "mail.release": "To be sent at: {value}",
    "mail.deadline": "To be delivered by: {value}",
    "note.cut": "Your mail is too large to be sent back whole: only its beginning, the header, is attached.",
    "note.redacted": "Your mail was to travel over secure connections only. This message may not, so it repeats "
    "neither your mail's subject nor its text.",
    "closing": "This message was written by the mail system at {host}; nobody reads replies to it. If you need help, "
    "forward the whole message to the people who look after your mail. The rest is for them.",
    "details": "Technical details",
    "details.expired": "given up on {date}; what happened last:",
    "details.reply": "{host} answered {command}:",
    "details.reply.plain": "{host} answered:",
    "details.fault": "what happened:",
    "details.fault.host": "tried {host}:",
    "details.nothing": "no further details",
    "details.a_host": "The mail system",
    "details.ids": "Our id of your mail: {original}\nOur id of this message: {report}",
    "command.GREETING": "our connection",
    "command.CONTENT": "the mail",
    "command.DOT": "the end of the mail",
    "day": "{weekday} {day} {month} {year}, {hour:02}:{minute:02} UTC",
    "weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "months": "January February March April May June July August September October November December",
    "days": "{count} days",
    "hours": "{count} hours",
    "minutes": "{count} minutes",
    "seconds": "{count} seconds",
    "second": "1 second",
}

_ASK: Final = "ask the recipient in another way, for example by phone,"
_LOOK: Final = "Check the spelling of the part of the address {part} the @. If it is right, " + _ASK
_SMALLER: Final = "Send it again with smaller attachments, or with a link to the files instead."
_SHOW: Final = "Please show this message to the people who look after your mail."
_SENDER: Final = "the recipient's mail system does not accept your own address as the sender."
_FORGED: Final = "the recipient's mail system could not make sure that your mail really comes from your address."
_OTHERWISE: Final = "Send your mail again without that condition, or find a safer way to the recipient."
_RULE: Final = (
    "the recipient's mail system refused your mail by a rule of its own. It may have taken it for spam, "
    "or it takes no mail from you."
)

FAILED: Final = {
    "1": ("there is something wrong with this address.", f"Check the spelling. If it is right, {_ASK} about it."),
    "1.1": (
        "this address does not exist. The recipient's mail system knows no mailbox of that name.",
        f"{_LOOK.format(part='before')} for the current address.",
    ),
    "1.2": (
        "there is no mail system for the part of the address after the @.",
        f"{_LOOK.format(part='after')} for the current address.",
    ),
    "1.3": ("this is not a valid mail address.", "Check the spelling and send your mail again."),
    "1.6": ("the recipient has moved and left no new address.", f"To get the new address, {_ASK[:-1]}."),
    "1.7": (_SENDER, f"Check the sender address in your mail program. {_SHOW}"),
    "1.8": (_SENDER, f"Check the sender address in your mail program. {_SHOW}"),
    "1.10": (
        "the part of the address after the @ takes no mail at all.",
        f"{_LOOK.format(part='after')} for another address.",
    ),
    "2": ("the recipient's mailbox can't take your mail.", f"If the mail is urgent, {_ASK} what is wrong."),
    "2.1": ("the recipient's mailbox is switched off.", f"If the mail matters, {_ASK} for another address."),
    "2.2": (
        "the recipient's mailbox is full.",
        f"Send your mail again in a few days. If it is urgent, {_ASK} to make room.",
    ),
    "2.3": ("your mail is larger than the recipient's mailbox allows.", _SMALLER),
    "3": ("the recipient's mail system has a fault.", "Send your mail again later."),
    "3.4": ("your mail is larger than the recipient's mail system allows.", _SMALLER),
    "4": (
        "the recipient's mail system could not be reached.",
        "Check the spelling of the part of the address after the @, or send your mail again later.",
    ),
    "4.6": ("your mail went round in circles between mail systems.", _SHOW),
    "5": ("the recipient's mail system and ours did not understand each other.", _SHOW),
    "5.3": ("your mail has too many recipients.", "Send it again to fewer recipients at a time."),
    "6": (
        "the recipient's mail system did not accept the form or the content of your mail.",
        "Send your mail again as plain text, or without its attachments.",
    ),
    "6.3": (
        "the recipient's mail system takes plain letters only, and your mail can't be rewritten without breaking it.",
        "Send your mail again without signature and encryption, and without accents or other special letters.",
    ),
    "6.7": (
        "the address has letters that the recipient's mail system can't handle yet.",
        f"Please {_ASK} for an address without accents or other special letters.",
    ),
    "7.10": (
        "to the recipient's mail system there is no connection that is as safe as your mail asked for.",
        _OTHERWISE,
    ),
    "7.30": (
        "the recipient's mail system does not promise to pass your mail on over secure connections only.",
        _OTHERWISE,
    ),
    "7": (_RULE, f"If the recipient expects your mail, {_ASK} to let it in."),
    "": (
        "the recipient's mail system refused your mail; what it said stands below.",
        f"Check the spelling of the address. If it is right, {_ASK} whether there is a problem.",
    ),
} | dict.fromkeys(
    ("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"), (_FORGED, f"Nothing on your side. {_SHOW}")
)
"""Why a mail failed for good, and what to do, by `subject.detail`, else `subject`, else ""."""

FAILED_HERE: Final = {
    "3.4": ("your mail is too large.", _SMALLER),
    "4.7": (
        "it was to be delivered in time or returned, and the recipient's mail system does not promise to do so.",
        "Send it again without the condition that it must be delivered by a certain time.",
    ),
    "3.0": (
        "our mail system has lost it. We are sorry.",
        "Send it again.",
    ),
    "7.0": ("somebody who looks after our mail system stopped it.", _SHOW),
    "7": ("a rule of our own mail system does not allow to send to this address.", _SHOW),
    "": ("our mail system could not send it.", _SHOW),
}
"""Likewise, first choice when no remote host's reply decided."""

FAILED_SUPPRESSED: Final = (
    "our own mail system did not try. It sends nothing to this address since a mail came back or was complained of.",
    "If the address is right, ask the people who look after your mail to take it off the suppression list.",
)
"""The same, for an address on the suppression list (domain/suppression.py)."""

FAILED_UNSUBSCRIBED: Final = (
    "the recipient has unsubscribed from this mailing list, so our mail system did not send it.",
    "You need do nothing. Please respect the wish.",
)
"""The same, for who has unsubscribed from a contact list (services/list_management.py)."""

FAILED_HELD: Final = ("our mail system held it back, and nobody let it go in time.", _SHOW)
"""The same, for what nobody released from its hold; why it was held is not for its sender."""

LATER: Final = {
    "2": "the recipient's mailbox could not take it",
    "2.2": "the recipient's mailbox was full",
    "3": "the recipient's mail system was taking no mail",
    "4": "the recipient's mail system could not be reached",
    "4.2": "the connection to the recipient's mail system broke off",
    "4.3": "we could not find out which mail system serves the part of the address after the @",
    "4.7": "the recipient's mail system could not be reached",
    "7": "the recipient's mail system wanted us to wait before it takes mail from you",
    "": "the recipient's mail system asked us to try again later",
}
"""What stood in the way at the last attempt; completes `last_try`."""

LATER_HERE: Final = {
    "3": "a fault of our own stood in the way",
    "7": "no secure connection to the recipient's mail system could be made",
    "": "the recipient's mail system could not be reached",
}
