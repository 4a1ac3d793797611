"""
What a delivery status notification says to a person: its subject and its first part.

Written for somebody who knows nothing of mail systems: what happened, to whom, why, what to do; the
technical reason comes last. Every sentence stands in the tables at the top, to be translated there.

RFC: 3464 2 (the first part is for people), 3463 (the statuses that the reasons are chosen by).
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from paravion.domain import suppression
from paravion.domain.address import xtext_decode
from paravion.domain.headers import format_date, split_header
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import ARRIVALS, NoticeKind
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.dsn import Report
    from paravion.domain.envelope import Recipient
    from paravion.domain.queue import RecipientState

_Phrase = TypeVar("_Phrase")

PHRASES: Final = {
    "from": "Mail Delivery System",
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
    "last_try": "When we last tried, {reason}.",
    "advice.expired": "Send your mail again later, or ask the recipient in another way, for example by phone, "
    "whether there is a problem.",
    "after.delayed": "We will keep trying until {until}. If your mail has not been delivered by then, we will tell "
    "you. Please do not send it again now: the recipient could get it twice.",
    "after.relayed": "It will not tell us when your mail lies in the mailbox, so this is the last confirmation that "
    "you will get. If it can't deliver your mail after all, it should tell you.",
    "after.listed": "The list now sends it to its members. You will not be told of each of them, nor of failures: "
    "those are reported to the list's owner.",
    "after.expanded": "You will not be told of each success. If one of them can't be reached, you will be told, "
    "unless you asked not to be.",
    "mail": "The mail in question:",
    "mail.subject": "Subject: {value}",
    "mail.date": "Sent: {value}",
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
    "7": (_RULE, f"If the recipient expects your mail, {_ASK} to let it in."),
    "": (
        "the recipient's mail system refused your mail; what it said stands below.",
        f"Check the spelling of the address. If it is right, {_ASK} whether there is a problem.",
    ),
} | dict.fromkeys(("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"), (_FORGED, _SHOW))
"""Why a mail failed for good, and what to do, by `subject.detail`, else `subject`, else ""."""

for _detail in ("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"):
    FAILED[_detail] = (
        "the recipient's mail system could not make sure that your mail really comes from your address.",
        "Nothing on your side. Please show this message to the people who look after your mail.",
    )

FAILED_HERE: Final = {
    "3.4": ("your mail is too large.", _SMALLER),
    "7": ("a rule of our own mail system does not allow to send to this address.", _SHOW),
    "": ("our mail system could not send it.", _SHOW),
}
"""Likewise, first choice when no remote host's reply decided."""

FAILED_SUPPRESSED: Final = (
    "our own mail system did not try. It sends nothing to this address since a mail came back or was complained of.",
    "If the address is right, ask the people who look after your mail to take it off the suppression list.",
)
"""The same, for an address on the suppression list (domain/suppression.py)."""

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

_WIDTH: Final = 72
_TEXT_CHARACTERS: Final = 500
_SUBJECT_CHARACTERS: Final = 200

_ENCODED_WORD: Final = re.compile(r"=\?([!->@-~]+?)(?:\*[!->@-~]*)?\?([BbQq])\?([!->@-~]*)\?=")


def explain(report: Report) -> tuple[str, str]:
    """Give subject and text of the report; the text has LF line ends, both may be non-ASCII."""
    topic = report.kind.value if report.envelope.kind == "mail" else "report"
    first = report.members[0][0]
    count = len(report.members)
    whom = _name(first)[0] if count == 1 else PHRASES["subject.many"].format(count=count)
    subject = PHRASES[f"subject.{topic}"].format(whom=whom)
    what = PHRASES[f"what.{topic}.{'one' if count == 1 else 'many'}"]
    tried = _duration(max(state.at for _, state in report.members) - report.envelope.queued_at)
    if report.kind is NoticeKind.DELAYED:
        tried = _duration(report.now - report.envelope.queued_at)
    blocks = [_fill(what.format(count=count, tried=tried))]
    for reason, members in _by_reason(report).items():
        blocks.append("\n".join(f"    {_listed(recipient)}" for recipient, _ in members))
        blocks.extend(_fill(sentence) for sentence in reason)
    blocks += [_fill(text) for text in _afterwards(report)]
    blocks += [_mail(report), _fill(PHRASES["closing"].format(host=report.hostname)), _details(report)]
    return subject, "\n\n".join(blocks) + "\n"


def is_stale(kind: NoticeKind, outcome: Outcome) -> bool:
    """Say whether a delayed recipient has left its delay behind while the report waited: no news of this report."""
    return kind is NoticeKind.DELAYED and outcome.result is not Result.DEFERRED


def reply_line(outcome: Outcome) -> str:
    """Give a reply as the host said it: code, enhanced status if it belongs to that code, text."""
    status = outcome.status if outcome.status[:1] == str(outcome.code)[:1] else ""
    if outcome.text.split()[:1] == [status]:
        status = ""
    return " ".join(filter(None, (str(outcome.code), status, outcome.text)))


def original_fields(header: bytes) -> dict[bytes, str]:
    """
    Give the original's fields that a report quotes, by name in lower case; the first of each name.

    Empty when the header can't be read: a report must not fail for that.
    """
    found: dict[bytes, str] = {}
    try:
        fields = split_header(header)
    except Rejected:
        return found
    for field in fields:
        if field.key in {b"subject", b"date", b"message-id"}:
            found.setdefault(field.key, field.value.decode("utf-8", "replace"))
    return found


def _by_reason(report: Report) -> dict[tuple[str, ...], list[tuple[Recipient, RecipientState]]]:
    """Group the members by the sentences that explain them, in order of appearance."""
    groups: dict[tuple[str, ...], list[tuple[Recipient, RecipientState]]] = {}
    for recipient, state in report.members:
        reason = _reason(report.kind, state.outcome)
        if report.envelope.kind != "mail":
            reason = reason[:1]  # the advice is a sender's, not a postmaster's
        groups.setdefault(reason, []).append((recipient, state))
    return groups


def _reason(kind: NoticeKind, outcome: Outcome) -> tuple[str, ...]:
    """Give the sentences that explain one outcome; none where there is nothing to explain."""
    detail = outcome.status.partition(".")[2]
    if kind is NoticeKind.FAILED and outcome.command == suppression.STAGE:
        reason, advice = FAILED_SUPPRESSED
        return PHRASES["why"].format(reason=reason), PHRASES["advice"].format(advice=advice)
    if kind is NoticeKind.FAILED:
        tables = (FAILED,) if outcome.is_reply else (FAILED_HERE, FAILED)
        reason, advice = _look_up(detail, *tables)
        return PHRASES["why"].format(reason=reason), PHRASES["advice"].format(advice=advice)
    if kind in {NoticeKind.RELAYED, NoticeKind.DELIVERED, *ARRIVALS} or is_stale(kind, outcome):
        return ()
    tables_later = (LATER,) if outcome.is_reply else (LATER_HERE, LATER)
    sentence = PHRASES["last_try"].format(reason=_look_up(detail, *tables_later))
    if kind is NoticeKind.EXPIRED:
        return sentence, PHRASES["advice"].format(advice=PHRASES["advice.expired"])
    return (sentence,)


def _look_up(detail: str, *tables: Mapping[str, _Phrase]) -> _Phrase:
    """Find `subject.detail` in any table, then `subject`, then ""; the last table has a ""."""
    keys = (detail, detail.partition(".")[0], "")
    return next(table[key] for key in keys for table in tables if key in table)


def _afterwards(report: Report) -> list[str]:
    """Give what follows the list of recipients."""
    texts = []
    others = len(report.envelope.recipients) - len(report.members)
    if others > 0:
        texts.append(PHRASES["other" if others == 1 else "others"].format(count=others))
    if report.kind is NoticeKind.DELAYED:
        texts.append(PHRASES["after.delayed"].format(until=_moment(report.return_at)))
    elif report.kind is NoticeKind.RELAYED or report.kind in ARRIVALS:
        texts.append(PHRASES[f"after.{report.kind.value}"])
    return texts


def _mail(report: Report) -> str:
    """Tell which of the sender's mails it is."""
    fields = original_fields(report.original_header)
    subject, date = _decode_words(fields.get(b"subject", "")), fields.get(b"date", "")
    found = {"mail.subject": subject, "mail.date": date or format_date(report.envelope.queued_at)}
    lines = [PHRASES[key].format(value=_one_line(value, _SUBJECT_CHARACTERS)) for key, value in found.items() if value]
    return "\n".join((PHRASES["mail"], "", *(f"    {line}" for line in lines)))


def _details(report: Report) -> str:
    blocks = [PHRASES["details"]]
    for recipient, state in report.members:
        if report.kind not in ARRIVALS and not is_stale(report.kind, state.outcome):
            date = format_date(state.at)
            if report.kind is NoticeKind.EXPIRED:
                date = PHRASES["details.expired"].format(date=date)
            address = _one_line(recipient.forward_path, _TEXT_CHARACTERS)
            blocks.append(f"{address}\n    {date}\n{_outcome_in_full(state.outcome)}")
    blocks.append(PHRASES["details.ids"].format(original=report.envelope.queue_id, report=report.queue_id))
    return "\n\n".join(blocks)


def _outcome_in_full(outcome: Outcome) -> str:
    host = f"{outcome.mx_host} [{outcome.address}]" if outcome.address else outcome.mx_host
    if outcome.is_reply:
        # An expiry replaces the command that the last reply answered.
        known = outcome.command and outcome.command != "EXPIRED"
        intro, text = "details.reply" if known else "details.reply.plain", reply_line(outcome)
    else:
        intro, text = "details.fault.host" if host else "details.fault", outcome.text
    command = PHRASES.get(f"command.{outcome.command}", outcome.command)
    intro = PHRASES[intro].format(host=host or PHRASES["details.a_host"], command=command)
    if len(text) > _TEXT_CHARACTERS:
        text = f"{text[:_TEXT_CHARACTERS]} [...]"
    said = filter(None, (_one_line(line, 2 * _TEXT_CHARACTERS) for line in text.split("\n")))
    quoted = [_fill(line, indent="        ") for line in said] or [f"        {PHRASES['details.nothing']}"]
    return "\n".join((_fill(_one_line(intro, _TEXT_CHARACTERS), indent="    "), *quoted))


def _name(recipient: Recipient) -> tuple[str, str]:
    """Give the address as the sender knows it, and the final one: they differ after an alias or a list."""
    final = _one_line(recipient.forward_path, _TEXT_CHARACTERS)
    address_type, _, value = recipient.orcpt.partition(";")
    known = recipient.origin
    if address_type.lower() in {"rfc822", "utf-8"}:
        try:
            known = xtext_decode(value)
        except ValueError:
            known = recipient.origin
    return _one_line(known, _TEXT_CHARACTERS) or final, final


def _listed(recipient: Recipient) -> str:
    known, final = _name(recipient)
    return known if known.lower() == final.lower() else PHRASES["passed_on"].format(address=known, final=final)


def _fill(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _one_line(text: str, limit: int) -> str:
    """Make foreign text harmless: one line, control and invisible characters escaped, cut."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else f"\\x{{{ord(char):X}}}" for char in line[: limit + 1])
    return line if len(line) <= limit else f"{line[:limit]} [...]"


def _decode_words(text: str) -> str:
    """Read RFC 2047 encoded words; what can't be read stays as it is."""
    text = re.sub(rf"({_ENCODED_WORD.pattern})[ \t]+(?==\?)", r"\1", text)
    return _ENCODED_WORD.sub(_decode_word, text)


def _decode_word(match: re.Match[str]) -> str:
    charset, encoding, text = match.groups()
    try:
        octets = base64.b64decode(text) if encoding in "Bb" else binascii.a2b_qp(text, header=True)
        return octets.decode(charset)
    except (ValueError, LookupError):
        return match[0]


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return PHRASES[unit].format(count=round(seconds / length))
    count = max(1, round(seconds))
    return PHRASES["second" if count == 1 else "seconds"].format(count=count)


def _moment(epoch_s: float) -> str:
    at = datetime.fromtimestamp(int(epoch_s), UTC)
    return PHRASES["day"].format(
        weekday=PHRASES["weekdays"].split()[at.weekday()],
        day=at.day,
        month=PHRASES["months"].split()[at.month - 1],
        year=at.year,
        hour=at.hour,
        minute=at.minute,
    )
