"""
What a delivery status notification says to a person: its subject and its first part, in words and as plain text.

Written for somebody who knows nothing of mail systems: what happened, to whom, why, what to do; the
technical reason comes last. The sentences stand in domain/report_words, by language; domain/dsn_html.py shows the
same blocks as HTML.

RFC: 3464 2 (the first part is for people), 3463 (the statuses that the reasons are chosen by).
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from paravion.domain import known_replies, suppression
from paravion.domain.address import xtext_decode
from paravion.domain.headers import format_date, split_header
from paravion.domain.known_replies import Cause
from paravion.domain.outcome import GIVEN_UP, HOLD, Outcome, Result
from paravion.domain.queue import ARRIVALS, NoticeKind
from paravion.domain.report_words import words_of
from paravion.domain.status import CANCELLED, HELD_TOO_LONG, UNSUBSCRIBED, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.dsn import Report
    from paravion.domain.envelope import Recipient
    from paravion.domain.queue import RecipientState
    from paravion.domain.report_words import Words

_Phrase = TypeVar("_Phrase")

_QUOTED: Final = frozenset({b"subject", b"date", b"message-id", b"accept-language", b"content-language"})
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_LAST_CHARACTER: Final = 0x10FFFF
_WIDTH: Final = 72
_TEXT_CHARACTERS: Final = 500
_SUBJECT_CHARACTERS: Final = 200

_ENCODED_WORD: Final = re.compile(r"=\?([!->@-~]+?)(?:\*[!->@-~]*)?\?([BbQq])\?([!->@-~]*)\?=")


@dataclass(frozen=True, slots=True)
class Block:
    """
    One thing that a report says, however it is shown.

    Attributes:
        kind: "text" (a paragraph), "members" (addresses), "mail" (an introduction, then facts), "details" (a
            heading), "member" (an address, then when, who said it, and what), or "ids" (lines).
    """

    kind: str
    lines: tuple[str, ...]


def explain(report: Report) -> tuple[str, tuple[Block, ...]]:
    """Give subject and text of the report, both possibly non-ASCII; all foreign text is harmless, on one line each."""
    words = words_of(report.language)
    phrases = words.PHRASES
    kind = NoticeKind.FAILED if report.kind is NoticeKind.RETURNED else report.kind
    topic = kind.value if report.envelope.kind == "mail" else "report"
    first = report.members[0][0]
    count = len(report.members)
    whom = _name(first)[0] if count == 1 else phrases["subject.many"].format(count=count)
    subject = phrases[f"subject.{topic}"].format(whom=whom)
    what = phrases[f"what.{topic}.{'one' if count == 1 else 'many'}"]
    tried = _duration(max(state.at for _, state in report.members) - report.envelope.queued_at, phrases)
    if report.kind is NoticeKind.DELAYED:
        tried = _duration(report.now - report.envelope.queued_at, phrases)
    blocks = [Block("text", (what.format(count=count, tried=tried),))]
    for reason, members in _by_reason(report, words, tried).items():
        blocks.append(Block("members", tuple(_listed(recipient, phrases) for recipient, _ in members)))
        blocks.extend(Block("text", (sentence,)) for sentence in reason)
    blocks += [Block("text", (text,)) for text in _afterwards(report, phrases)]
    blocks.append(_mail(report, phrases))
    if report.is_redacted:
        blocks.append(Block("text", (phrases["note.redacted"],)))
    elif report.is_cut:
        blocks.append(Block("text", (phrases["note.cut"],)))
    blocks += [Block("text", (phrases["closing"].format(host=report.hostname),)), *_details(report, phrases)]
    return subject, tuple(blocks)


def plain(blocks: Sequence[Block]) -> str:
    """Give a report as plain text, in lines of at most 72 characters where words permit; LF line ends."""
    return "\n\n".join(_plain(block) for block in blocks) + "\n"


def _plain(block: Block) -> str:
    lines = block.lines
    if block.kind == "text":
        return _fill(lines[0])
    if block.kind == "members":
        return "\n".join(f"    {line}" for line in lines)
    if block.kind == "mail":
        return "\n".join((lines[0], "", *(f"    {line}" for line in lines[1:])))
    if block.kind == "member":
        quoted = (_fill(line, indent="        ") for line in lines[3:])
        return "\n".join((lines[0], f"    {lines[1]}", _fill(lines[2], indent="    "), *quoted))
    return "\n".join(lines)


def kind_of(kind: NoticeKind, state: RecipientState) -> NoticeKind:
    """Give what a report of a kind tells of one member: one of a `returned` is refused, or given up."""
    if kind is not NoticeKind.RETURNED:
        return kind
    return NoticeKind.EXPIRED if state.is_given_up else NoticeKind.FAILED


def is_stale(kind: NoticeKind, outcome: Outcome) -> bool:
    """Say whether a delayed recipient has left its delay behind while the report waited: no news of this report."""
    return kind is NoticeKind.DELAYED and outcome.result is not Result.DEFERRED


def reply_line(outcome: Outcome) -> str:
    """Give a reply as the host said it: code, enhanced status if it belongs to that code, text."""
    status = outcome.status if outcome.status[:1] == str(outcome.code)[:1] else ""
    if outcome.text.split()[:1] == [status]:
        status = ""
    return " ".join(filter(None, (str(outcome.code), status, outcome.text)))


def unembedded(address: str) -> str:
    r"""Give an address of type utf-8 with its `\x{HEX}` read (RFC 6533 3); what is no character stays."""
    return _EMBEDDED.sub(
        lambda match: chr(code) if (code := int(match[1], 16)) <= _LAST_CHARACTER else match[0], address
    )


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
        if field.key in _QUOTED:
            found.setdefault(field.key, field.value.decode("utf-8", "replace"))
    return found


def _by_reason(
    report: Report, words: Words, tried: str
) -> dict[tuple[str, ...], list[tuple[Recipient, RecipientState]]]:
    """Group the members by the sentences that explain them, in order of appearance."""
    groups: dict[tuple[str, ...], list[tuple[Recipient, RecipientState]]] = {}
    for recipient, state in report.members:
        reason = _reason(kind_of(report.kind, state), state.outcome, words)
        if report.envelope.kind != "mail":
            reason = reason[:1]  # the advice is a sender's, not a postmaster's
        if report.kind is NoticeKind.RETURNED and state.is_given_up:
            reason = (words.PHRASES["gave_up"].format(tried=tried), *reason)
        groups.setdefault(reason, []).append((recipient, state))
    return groups


def _reason(kind: NoticeKind, outcome: Outcome, words: Words) -> tuple[str, ...]:
    """Give the sentences that explain one outcome; none where there is nothing to explain."""
    phrases = words.PHRASES
    if kind is NoticeKind.FAILED:
        (reason, advice), said = _failure(outcome, words), _operators_reason(outcome)
        sentences = (phrases["why"].format(reason=reason), phrases["advice"].format(advice=advice))
        return (sentences[0], phrases["their_reason"].format(reason=said), sentences[1]) if said else sentences
    if kind in {NoticeKind.RELAYED, NoticeKind.DELIVERED, *ARRIVALS} or is_stale(kind, outcome):
        return ()
    if outcome.command == HOLD:
        return (phrases["waits_here"],)
    # An expiry's own status says that it expired: why, the last attempt's does.
    status = outcome.last_said[0]
    tables = (words.LATER,) if outcome.is_reply else (words.LATER_HERE, words.LATER)
    reason = _look_up(status.partition(".")[2], *tables)
    last = (phrases["last_try"].format(reason=reason),) if status else ()
    if kind is NoticeKind.EXPIRED:
        return *last, phrases["advice"].format(advice=phrases["advice.expired"])
    return last


def _failure(outcome: Outcome, words: Words) -> tuple[str, str]:
    """Give why something failed for good, and what to do."""
    if outcome.command == suppression.STAGE:
        return words.FAILED_SUPPRESSED
    if outcome.command == "LOCAL" and outcome.text.startswith(UNSUBSCRIBED.text):
        return words.FAILED_UNSUBSCRIBED
    if outcome.command == HOLD and outcome.status == HELD_TOO_LONG.enhanced:
        return words.FAILED_HELD
    tables = (words.FAILED,) if outcome.is_reply else (words.FAILED_HERE, words.FAILED)
    reason, advice = _look_up(_meant(outcome) or outcome.status.partition(".")[2], *tables)
    return reason, advice


def _operators_reason(outcome: Outcome) -> str:
    """Give what an operator who cancelled it wants its sender to read (services/cancel.py), in his own language."""
    opening = f"{CANCELLED.text}: "
    is_his = outcome.command == HOLD and outcome.text.startswith(opening)
    return _one_line(outcome.text.removeprefix(opening), _TEXT_CHARACTERS) if is_his else ""


_MEANT: Final = {
    Cause.BLOCK_LIST: "7",
    Cause.POLICY: "7",
    Cause.SPAM: "7",
    Cause.SENDER_AUTHENTICATION: "7.26",
    Cause.ATTACHMENT: "6",
    Cause.MESSAGE_TOO_BIG: "3.4",
    Cause.MAILBOX_FULL: "2.2",
    Cause.MAILBOX_DISABLED: "2.1",
    Cause.MAILBOX_UNKNOWN: "1.1",
    Cause.DOMAIN_UNKNOWN: "1.2",
}
"""By what a reply's words mean, `subject.detail` of the sentences that say so."""


def _meant(outcome: Outcome) -> str:
    """
    Give `subject.detail` of what a reply says in words, where its status says something else; "" otherwise.

    Hosts' statuses are often their defaults: 5.4.1 of a well-known one is a mailbox that it does not know, and its
    sender must not be told to look behind the @.
    """
    if not outcome.is_reply:
        return ""
    cause = known_replies.cause_of_text(outcome.status, outcome.text)
    if cause is None or cause is known_replies.cause_of_status(outcome.status):
        return ""
    return _MEANT.get(cause, "")


def _look_up(detail: str, *tables: Mapping[str, _Phrase]) -> _Phrase:
    """Find `subject.detail` in any table, then `subject`, then ""; the last table has a ""."""
    keys = (detail, detail.partition(".")[0], "")
    return next(table[key] for key in keys for table in tables if key in table)


def _afterwards(report: Report, phrases: Mapping[str, str]) -> list[str]:
    """Give what follows the list of recipients."""
    texts = []
    others = len(report.envelope.recipients) - len(report.members)
    if others > 0:
        texts.append(phrases["other" if others == 1 else "others"].format(count=others))
    if report.kind is NoticeKind.DELAYED:
        texts.append(phrases["after.delayed"].format(until=_moment(report.return_at, phrases)))
    elif report.kind is NoticeKind.RELAYED and any(state.outcome.is_traced for _, state in report.members):
        texts.append(phrases["after.traced"])
    elif report.kind is NoticeKind.RELAYED or report.kind in ARRIVALS:
        texts.append(phrases[f"after.{report.kind.value}"])
    return texts


def _mail(report: Report, phrases: Mapping[str, str]) -> Block:
    """Tell which of the sender's mails it is."""
    fields = original_fields(report.original_header)
    subject, date = _decode_words(fields.get(b"subject", "")), fields.get(b"date", "")
    release_at, deadline = report.envelope.release_at, report.envelope.deliver_by
    found = {
        "mail.subject": "" if report.is_redacted else subject,
        "mail.date": date or format_date(report.envelope.queued_at),
        "mail.release": format_date(release_at) if release_at else "",
        "mail.deadline": format_date(deadline.at) if deadline else "",
    }
    lines = [phrases[key].format(value=_one_line(value, _SUBJECT_CHARACTERS)) for key, value in found.items() if value]
    return Block("mail", (phrases["mail"], *lines))


def _details(report: Report, phrases: Mapping[str, str]) -> list[Block]:
    blocks = [Block("details", (phrases["details"],))]
    for recipient, state in report.members:
        if report.kind not in ARRIVALS and not is_stale(report.kind, state.outcome):
            date = format_date(state.at)
            if kind_of(report.kind, state) is NoticeKind.EXPIRED:
                date = phrases["details.expired"].format(date=date)
            address = _one_line(recipient.forward_path, _TEXT_CHARACTERS)
            blocks.append(Block("member", (address, date, *_outcome_in_full(state.outcome, phrases))))
    ids = phrases["details.ids"].format(original=report.envelope.queue_id, report=report.queue_id)
    return [*blocks, Block("ids", tuple(ids.split("\n")))]


def _outcome_in_full(outcome: Outcome, phrases: Mapping[str, str]) -> tuple[str, ...]:
    """Give who said it to what, then the lines that were said."""
    host = f"{outcome.mx_host} [{outcome.address}]" if outcome.address else outcome.mx_host
    if outcome.is_reply:
        # An expiry replaces the command that the last reply answered.
        known = outcome.command and outcome.command != GIVEN_UP
        intro, text = "details.reply" if known else "details.reply.plain", reply_line(outcome)
    else:
        intro, text = "details.fault.host" if host else "details.fault", outcome.text
    command = phrases.get(f"command.{outcome.command}", outcome.command)
    intro = phrases[intro].format(host=host or phrases["details.a_host"], command=command)
    if len(text) > _TEXT_CHARACTERS:
        text = f"{text[:_TEXT_CHARACTERS]} [...]"
    said = tuple(filter(None, (_one_line(line, 2 * _TEXT_CHARACTERS) for line in text.split("\n"))))
    return _one_line(intro, _TEXT_CHARACTERS), *(said or (phrases["details.nothing"],))


def _name(recipient: Recipient) -> tuple[str, str]:
    """Give the address as the sender knows it, and the final one: they differ after an alias or a list."""
    final = _one_line(recipient.forward_path, _TEXT_CHARACTERS)
    address_type, _, value = recipient.orcpt.partition(";")
    known = recipient.origin
    if address_type.lower() in {"rfc822", "utf-8"}:
        try:
            known = xtext_decode(value)
            if address_type.lower() == "utf-8":
                known = unembedded(known)
        except ValueError:
            known = recipient.origin
    return _one_line(known, _TEXT_CHARACTERS) or final, final


def _listed(recipient: Recipient, phrases: Mapping[str, str]) -> str:
    known, final = _name(recipient)
    return known if known.lower() == final.lower() else phrases["passed_on"].format(address=known, final=final)


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


def _duration(seconds: float, phrases: Mapping[str, str]) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return phrases[unit].format(count=round(seconds / length))
    count = max(1, round(seconds))
    return phrases["second" if count == 1 else "seconds"].format(count=count)


def _moment(epoch_s: float, phrases: Mapping[str, str]) -> str:
    at = datetime.fromtimestamp(int(epoch_s), UTC)
    return phrases["day"].format(
        weekday=phrases["weekdays"].split()[at.weekday()],
        day=at.day,
        month=phrases["months"].split()[at.month - 1],
        year=at.year,
        hour=at.hour,
        minute=at.minute,
    )
