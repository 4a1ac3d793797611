"""
What became of a mail in SES's own JSON: the events of configuration sets, and the older notifications of identities.

    event               told of                                             in the older form
    ------------------  --------------------------------------------------  -----------------
    Send                the mail is taken, and on its way                   no
    Delivery            a host has it, with the host's answer               yes
    Bounce              it failed for good, or was given up                 yes
    Complaint           its recipient complained of it, or is not sent to   yes
                        since he complained of another
    DeliveryDelay       an attempt failed for now                           no
    Reject              it is not sent for what is in it                    no
    Rendering Failure   its template could not be rendered                  no
    Subscription        a recipient changed what he is subscribed to        no

Recipients to whom the same happened in the same attempt share an event, at most 50 of them. The same facts give the
same octets, `feedbackId` included, so that a receiver can tell an event that comes twice.

What SES has and we have not: opens and clicks (nothing is tracked), the tag `ses:operation`. Types and subtypes of
bounces and delays are domain/classification.py's.

Next: services/publish.py sends them to whom they are for.
SES: "Contents of event data that Amazon SES publishes to Amazon SNS", "Amazon SNS notification contents".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import simulator
from paravion.domain.address import parse_mailboxes, split_address
from paravion.domain.classification import bounce_type, delay_type
from paravion.domain.dsn_text import reply_line
from paravion.domain.headers import split_header
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import Rejected
from paravion.domain.suppression import Reason, withheld_for
from paravion.domain.told import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paravion.domain.address import Mailbox
    from paravion.domain.envelope import Envelope
    from paravion.domain.headers import Field
    from paravion.domain.queue import JobRecord, RecipientState
    from paravion.domain.told import Told

HEADER_OCTETS: Final = 10_240
"""Of a longer header SES tells the beginning, and says so."""

AT_ONCE: Final = 50
"""Most recipients of one event: SES's own most of one message."""

_DIAGNOSTIC_CHARACTERS: Final = 500

_MEMBERS: Final = {
    "SEND": "send",
    "DELIVERY": "delivery",
    "BOUNCE": "bounce",
    "COMPLAINT": "complaint",
    "DELIVERY_DELAY": "deliveryDelay",
    "REJECT": "reject",
    "RENDERING_FAILURE": "failure",
    "SUBSCRIPTION": "subscription",
}

_LISTED: Final = "OnAccountSuppressionList"
"""The complaintSubType of a recipient that is listed for one, and so not sent to; as a bounce's says it of others."""

_REASON: Final = "Bad content"
"""The only one that SES knows for a Reject."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Who we are, for the members that say so.

    Attributes:
        hostname: Reporting MTA.
        region, account: As in an identity's ARN.
        outgoing_ip: What remote hosts see of us, "" for not known.
    """

    hostname: str
    region: str
    account: str
    outgoing_ip: str = ""

    def identity_arn(self, identity: str) -> str:
        """Give the ARN of an identity, "" without one."""
        return f"arn:aws:ses:{self.region}:{self.account}:identity/{identity}" if identity else ""


@dataclass(frozen=True, slots=True)
class SesEvent:
    """
    One event, before it is given one of its two forms.

    Attributes:
        type: A key of TYPES.
        at: When it happened, seconds since the epoch.
        mail: The `mail` object, with all that either form has of it.
        detail: The event's own object.
        remote_ip: Of the host that it is about, which only the older form tells; "" for none.
    """

    type: str
    at: float
    mail: Mapping[str, Any]
    detail: Mapping[str, Any]
    remote_ip: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """
    What events tell of the mail itself.

    Attributes:
        message_id: What the door answered with.
        source: The reverse-path, or the From address where that is null.
        identity: That it was sent under, "" for not known.
        caller: The credential's id.
        tags: The caller's.
        header: The header section that was sent; None for a mail that was not made.
    """

    message_id: str
    at: float
    source: str
    destination: tuple[str, ...]
    identity: str = ""
    configuration_set: str = ""
    source_ip: str = ""
    caller: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    header: bytes | None = None


def mail_of(envelope: Envelope, header: bytes, chunk: int, hidden: Mapping[int, str]) -> Mail:
    """
    Give what the events of one job tell of its mail.

    Args:
        chunk: The job's: of a mail to more recipients than one job has, its own ones are told.
        hidden: By position what is told instead of a recipient (`hidden_behind`).
    """
    telling = envelope.telling
    return Mail(
        message_id=envelope.df_id,
        at=envelope.queued_at,
        source=envelope.reverse_path or _author(header),
        destination=tuple(dict.fromkeys(hidden.get(n, item.forward_path) for n, item in envelope.chunk(chunk).items())),
        identity=telling.identity if telling else "",
        configuration_set=envelope.configuration_set,
        source_ip=telling.source_ip if telling else "",
        caller=envelope.submitter,
        tags=envelope.tags,
        header=header,
    )


def hidden_behind(envelope: Envelope) -> dict[int, str]:
    """
    Give by position the alias or list behind which a recipient is hidden from a tenant that is not the operator's own.

    Members are the operator's affair, as in all that the tenant may ask for (services/admin.py, `is_masked`): events
    name what was sent to, and leave out the hosts' words, which quote addresses.
    """
    if not envelope.tenant:
        return {}
    return {n: recipient.origin for n, recipient in enumerate(envelope.recipients) if recipient.origin}


# Events


def send_event(mail: Mail, origin: Origin) -> SesEvent:
    """The mail is taken."""
    return SesEvent("SEND", mail.at, _mail_object(mail, origin), {})


def reject_event(mail: Mail, origin: Origin, at: float) -> SesEvent:
    """The mail is not sent, for what is in it."""
    return SesEvent("REJECT", at, _mail_object(mail, origin), {"reason": _REASON})


def rendering_failure_event(mail: Mail, origin: Origin, at: float, template: str, error: str) -> SesEvent:
    """The mail could not be made of its template."""
    detail = {"errorMessage": error, "templateName": template}
    return SesEvent("RENDERING_FAILURE", at, _mail_object(mail, origin), detail)


def complaint_event(
    mail: Mail, origin: Origin, at: float, recipients: Sequence[str], *, kind: str = "", user_agent: str = ""
) -> SesEvent:
    """
    Recipients complained of the mail.

    Args:
        kind: RFC 5965's Feedback-Type, "" for none said.
        user_agent: Of the report, "" for none.
    """
    detail: dict[str, Any] = {
        "complainedRecipients": [{"emailAddress": path} for path in recipients],
        "timestamp": iso(at),
        "feedbackId": f"{mail.message_id}-{int(at * 1000):x}",
        "complaintSubType": None,
    }
    if kind or user_agent:
        told = {"userAgent": user_agent, "complaintFeedbackType": kind, "arrivalDate": iso(at)}
        detail |= {name: value for name, value in told.items() if value}
    return SesEvent("COMPLAINT", at, _mail_object(mail, origin), detail)


def subscription_event(
    mail: Mail,
    origin: Origin,
    at: float,
    *,
    contact_list: str,
    source: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> SesEvent:
    """
    A recipient changed what he is subscribed to.

    Args:
        source: `UnsubscribeHeader`, or what else he used.
        old, new: `unsubscribeAll` and `topicSubscriptionStatus`, as SES has them.
    """
    detail = {
        "contactList": contact_list,
        "timestamp": iso(at),
        "source": source,
        "newTopicPreferences": dict(new),
        "oldTopicPreferences": dict(old),
    }
    return SesEvent("SUBSCRIPTION", at, _mail_object(mail, origin), detail)


def events_of(
    record: JobRecord,
    attempts: Iterable[int],
    *,
    is_sent: bool,
    mail: Mail,
    origin: Origin,
    ends_at: float,
    hidden: Mapping[int, str],
) -> list[SesEvent]:
    """
    Give the events of a job's attempts, by time.

    Args:
        attempts: Whose outcomes are to be told.
        is_sent: Tell the Send too.
        ends_at: When it would be given up, seconds since the epoch.
        hidden: By position what is told instead of a recipient (`hidden_behind`).

    A delay that a later attempt has overtaken is told by what the job's history kept of it.
    """
    found = [send_event(mail, origin)] if is_sent else []
    wanted = frozenset(attempts)
    told = _mail_object(mail, origin)
    groups: dict[tuple[Any, ...], list[tuple[int, RecipientState]]] = {}
    for n, state in sorted(record.recipients.items()):
        if state.attempt in wanted:
            groups.setdefault((n in hidden, *_alike(state, is_hidden=n in hidden), state.at), []).append((n, state))
    for alike, members in groups.items():
        for first in range(0, len(members), AT_ONCE):
            found += _event(alike[1], members[first : first + AT_ONCE], mail, told, origin, ends_at, hidden)
    found += _overtaken(record, wanted, told, ends_at, origin, hidden)
    return sorted(found, key=lambda event: event.at)


def _alike(state: RecipientState, *, is_hidden: bool) -> tuple[Any, ...]:
    """What recipients that share an event have in common; its type comes first."""
    outcome = state.outcome
    address = "" if is_hidden else outcome.address
    if outcome.result is Result.DELIVERED:
        complains = simulator.complains(state.forward_path, outcome)
        return "DELIVERY", "" if is_hidden else _smtp_response(outcome), address, complains
    if withheld_for(outcome) is Reason.COMPLAINT:
        return ("COMPLAINT",)
    if outcome.result is Result.FAILED:
        return "BOUNCE", *_bounce_type(state), address
    return "DELIVERY_DELAY", delay_type(outcome)


def _event(
    type_: str,
    members: list[tuple[int, RecipientState]],
    mail: Mail,
    told: Mapping[str, Any],
    origin: Origin,
    ends_at: float,
    hidden: Mapping[int, str],
) -> Iterator[SesEvent]:
    first, state = members[0]
    outcome, at = state.outcome, state.at
    # Hidden recipients share an event with none that are not.
    is_hidden = first in hidden
    remote_ip = "" if is_hidden else outcome.address
    paths = list(dict.fromkeys(hidden.get(n, member.forward_path) for n, member in members))
    if type_ == "DELIVERY":
        if origin.outgoing_ip:
            told = {**told, "tags": {**told["tags"], "ses:outgoing-ip": [origin.outgoing_ip]}}
        detail: dict[str, Any] = {
            "timestamp": iso(at),
            "processingTimeMillis": max(0, round((at - mail.at) * 1000)),
            "recipients": paths,
            "smtpResponse": str(outcome.code or "") if is_hidden else _smtp_response(outcome),
            "reportingMTA": origin.hostname,
        }
        yield SesEvent(type_, at, told, detail, remote_ip)
        if simulator.complains(state.forward_path, outcome):
            yield complaint_event(mail, origin, at, paths, kind="abuse", user_agent=simulator.USER_AGENT)
        return
    if type_ == "COMPLAINT":
        detail = {
            "complainedRecipients": [{"emailAddress": path} for path in paths],
            "timestamp": iso(at),
            "feedbackId": f"{mail.message_id}-{first:06d}",
            "complaintSubType": _LISTED,
        }
        yield SesEvent(type_, at, told, detail)
        return
    if type_ == "BOUNCE":
        bounce, sub = _bounce_type(state)
        detail = {
            "bounceType": bounce,
            "bounceSubType": sub,
            "bouncedRecipients": _recipients(members, hidden, action="failed"),
            "timestamp": iso(at),
            "feedbackId": f"{mail.message_id}-{first:06d}",
            "reportingMTA": f"dns; {origin.hostname}",
        }
        yield SesEvent(type_, at, told, detail, remote_ip)
        return
    yield _delay(delay_type(outcome), at, _recipients(members, hidden), told, ends_at, origin)


def _bounce_type(state: RecipientState) -> tuple[str, str]:
    return simulator.bounce_type(state.forward_path, state.outcome) or bounce_type(state.outcome)


def _delay(
    kind: str, at: float, recipients: list[dict[str, str]], told: Mapping[str, Any], ends_at: float, origin: Origin
) -> SesEvent:
    detail = {
        "timestamp": iso(at),
        "delayType": kind,
        "expirationTime": iso(ends_at),
        "delayedRecipients": recipients,
        "reportingMTA": origin.hostname,
    }
    return SesEvent("DELIVERY_DELAY", at, told, detail)


_LOGGED: Final = re.compile(
    r"(?:\S+ (?P<command>[A-Z]+): )?(?:(?P<code>[2-5][0-9]{2}) )?(?P<status>[245]\.[0-9]+\.[0-9]+) (?P<text>.*)",
    re.DOTALL,
)


def _overtaken(
    record: JobRecord,
    wanted: frozenset[int],
    told: Mapping[str, Any],
    ends_at: float,
    origin: Origin,
    hidden: Mapping[int, str],
) -> Iterator[SesEvent]:
    """Give the delays of attempts that later ones have overtaken: the job's history has them (domain/queue.py)."""
    for entry in record.log:
        late = [n for n in entry.recipients if n in record.recipients and record.recipients[n].attempt > entry.attempt]
        match = _LOGGED.fullmatch(entry.text)
        if entry.event != Result.DEFERRED or entry.attempt not in wanted or not late or match is None:
            continue
        code = int(match["code"] or 0)
        outcome = Outcome(Result.DEFERRED, match["status"], code, match["text"], match["command"] or "LOCAL")
        recipients = _recipients([(n, replace(record.recipients[n], outcome=outcome)) for n in late], hidden)
        yield _delay(delay_type(outcome), entry.at, recipients, told, ends_at, origin)


def _recipients(
    members: Sequence[tuple[int, RecipientState]], hidden: Mapping[int, str], action: str = ""
) -> list[dict[str, str]]:
    """Give what an event says of each of its recipients; once, of several that are hidden behind the same."""
    found: list[dict[str, str]] = []
    for n, state in members:
        outcome = state.outcome
        told = {
            "emailAddress": hidden.get(n, state.forward_path),
            "action": action,
            "status": outcome.status,
            "diagnosticCode": "" if n in hidden else _diagnostic(outcome),
        }
        item = {name: value for name, value in told.items() if value}
        if n not in hidden or item not in found:
            found.append(item)
    return found


def _diagnostic(outcome: Outcome) -> str:
    """Give what a host said as SES does; what none said is without a type, as SES's word on its suppression list."""
    text = f"smtp; {reply_line(outcome)}" if outcome.is_reply else outcome.text
    return text[:_DIAGNOSTIC_CHARACTERS]


def _smtp_response(outcome: Outcome) -> str:
    return (reply_line(outcome) if outcome.is_reply else outcome.text)[:_DIAGNOSTIC_CHARACTERS]


# The mail


def iso(at: float) -> str:
    """Give an instant as SES writes it: milliseconds, and a Z."""
    moment = datetime.fromtimestamp(int(at // 1), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(at % 1 * 1000):03d}Z"


def _mail_object(mail: Mail, origin: Origin) -> dict[str, Any]:
    fields, truncated = _header_fields(mail.header) if mail.header is not None else ([], False)
    told: dict[str, Any] = {
        "timestamp": iso(mail.at),
        "source": mail.source,
        "sourceArn": origin.identity_arn(mail.identity),
        "sendingAccountId": origin.account,
        "messageId": mail.message_id,
        "destination": list(mail.destination),
        "headersTruncated": truncated,
    }
    if mail.header is not None:
        told["headers"] = [{"name": name, "value": value} for name, value in fields]
        told["commonHeaders"] = _common_headers(fields, mail.message_id)
    tags: dict[str, list[str]] = {}
    domain = split_address(_author(mail.header or b"") or mail.source)[1] if mail.source else ""
    ours = (
        ("ses:configuration-set", mail.configuration_set),
        ("ses:source-ip", mail.source_ip),
        ("ses:from-domain", domain),
        ("ses:caller-identity", mail.caller),
    )
    for name, value in (*ours, *mail.tags):
        if value:
            tags.setdefault(name, []).append(value)
    told["tags"] = tags
    return {name: value for name, value in told.items() if value != ""}


def _fields(header: bytes) -> list[Field]:
    """Give the fields of the header as it was submitted: those that we put on its top are none of the caller's."""
    try:
        fields = split_header(header)
    except Rejected:
        # The door took it, so it can be read; whatever comes here all the same must not keep the event back.
        return []
    for n, item in enumerate(fields):
        if item.key == b"received":
            return fields[n + 1 :]
        if item.key not in {b"dkim-signature", b"delivered-to"}:
            break
    return fields


def _header_fields(header: bytes) -> tuple[list[tuple[str, str]], bool]:
    """Give name and unfolded value of each field in order, and whether some were left out."""
    found: list[tuple[str, str]] = []
    left = HEADER_OCTETS
    for item in _fields(header):
        left -= len(item.raw) + 2
        if left < 0:
            return found, True
        found.append((item.name.decode("ascii", "replace"), item.value.decode("utf-8", "replace")))
    return found, False


_ADDRESS_FIELDS: Final = {"from": "from", "to": "to", "cc": "cc", "reply-to": "replyTo", "sender": "sender"}


def _common_headers(fields: Sequence[tuple[str, str]], message_id: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in fields:
        key = name.lower()
        if key in _ADDRESS_FIELDS:
            told.setdefault(_ADDRESS_FIELDS[key], []).extend(_mailboxes(value))
        elif key == "date":
            told["date"] = value
        elif key == "subject":
            told["subject"] = _decoded(value)
        elif key == "message-id":
            # One that we made says what the door answered with.
            own = value.removeprefix("<").partition("@")[0]
            told["messageId"] = message_id if own == message_id else value
    return {name: told[name] for name in _COMMON if name in told}


_COMMON: Final = ("from", "replyTo", "sender", "date", "to", "cc", "messageId", "subject")


def _mailboxes(value: str) -> list[str]:
    try:
        found = parse_mailboxes(value.encode())
    except ValueError:
        return [_decoded(value)]
    return [_mailbox(mailbox) for mailbox in found]


def _mailbox(mailbox: Mailbox) -> str:
    name = _decoded(mailbox.display.decode("utf-8", "replace"))
    if not name:
        return mailbox.address
    if set(name) & set('()<>[]:;@\\,."'):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    return f"{name} <{mailbox.address}>"


def _decoded(value: str) -> str:
    """Decode encoded words; what can't be decoded stays as it is."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, UnicodeError, ValueError):
        return value


def _author(header: bytes) -> str:
    for item in _fields(header):
        if item.key == b"from":
            try:
                return next((mailbox.address for mailbox in parse_mailboxes(item.value)), "")
            except ValueError:
                return ""
    return ""


# Forms


def form_of(told: Told, event: SesEvent) -> dict[str, Any]:
    """Give an event in the form that a destination gets."""
    return as_notification(event, with_headers=told.with_headers) if told.is_notification else as_event(event)


def as_event(event: SesEvent) -> dict[str, Any]:
    """Give the form that configuration sets publish."""
    member = _MEMBERS[event.type]
    return {"eventType": TYPES[event.type], "mail": dict(event.mail), member: dict(event.detail)}


def as_notification(event: SesEvent, *, with_headers: bool) -> dict[str, Any]:
    """
    Give the older form, which the topics of an identity get.

    Args:
        event: Of a type in domain.told.NOTIFIED.
    """
    tags = event.mail.get("tags", {})
    mail = {name: value for name, value in event.mail.items() if name != "tags"}
    if not with_headers:
        for name in ("headersTruncated", "headers", "commonHeaders"):
            mail.pop(name, None)
    for name, tag in (("sourceIp", "ses:source-ip"), ("callerIdentity", "ses:caller-identity")):
        if tag in tags:
            mail[name] = tags[tag][0]
    detail = dict(event.detail)
    if event.remote_ip and event.type != "COMPLAINT":
        detail["remoteMtaIp"] = event.remote_ip
    return {"notificationType": TYPES[event.type], "mail": mail, _MEMBERS[event.type]: detail}
