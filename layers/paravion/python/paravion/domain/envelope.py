"""
The envelope of one message and its qf form: what the spool keeps beside the body.

An envelope is not the header: reverse-path and forward-paths come from the door, the header section
travels with the mail. `qf/<queue id>` holds one line of JSON (this envelope), a LF, then the header
section's octets exactly as they will be sent (CRLF line ends, without the empty line that ends it).
Immutable once written; what changes lives in the ledger (domain/queue.py).

RFC: 5321 2.3.1 (envelope), 3461 4 (NOTIFY, ORCPT, RET, ENVID), 6152 (body type), 6531 (SMTPUTF8), 2852 (deadline).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from paravion.domain.priority import Priority

CHUNK_RECIPIENTS: Final = 100
"""Recipients of one job; RFC 5321 4.5.3.1.8 obliges every host to take 100 in one transaction."""

DEADLINE_MAX_S: Final = 999_999_999
"""RFC 2852 4: a by-time has nine digits."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Recipient:
    """
    One forward-path and its RFC 3461 parameters.

    Attributes:
        forward_path: `local@domain` as it will be sent, without angle brackets; the domain in A-labels.
        notify: Subset of {"SUCCESS", "FAILURE", "DELAY"} or exactly {"NEVER"}; empty means the default
            (failure, and delay at our choice), RFC 3461 4.1.
        orcpt: The ORCPT value as on the wire, `addr-type;xtext`, or "" if none was given.
        origin: The alias or list that this recipient came from, or "".
        refusal: Code, enhanced status and text (`domain.tables.Refusal`) of a member that a table refuses:
            nothing is sent to it, its failure is reported. "" for all others.
        target: What gets the mail instead of a host (domain/target.py); the forward-path is then the alias's
            address, which several recipients may share. "" for all others.
    """

    forward_path: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""
    origin: str = ""
    refusal: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """
    Named addresses that the message has arrived at here, and whose sender asked to hear of it (NOTIFY=SUCCESS).

    Attributes:
        sender: The submission's reverse-path, which a list's members do not see; never null.
        envid: The submission's.
        lists: Mailing lists: delivered, for the message ends there (RFC 3461 5.2.7.1).
        aliases: Aliases of several addresses: expanded (5.2.7.3 c).
    """

    sender: str
    envid: str = ""
    lists: tuple[Recipient, ...] = ()
    aliases: tuple[Recipient, ...] = ()


@dataclass(frozen=True, slots=True)
class Telling:
    """
    What a mail's events say beside what the envelope says; made only when somebody is told of them.

    Attributes:
        types: Of which events somebody wants to hear (domain/told.py).
        identity: The identity that it was sent under, whose topics are told too; an address or a domain.
        source_ip: The submitting client's address, "" if not known.
    """

    types: tuple[str, ...]
    identity: str = ""
    source_ip: str = ""


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """
    When a mail must be delivered (RFC 2852).

    Attributes:
        at: Seconds since the epoch. What came with a time that was over already is before `queued_at`: with by-mode
            N, and whoever had it before us has told its sender.
        returns: By-mode R: it is returned at that time. Otherwise N: its sender is told that it is late.
        traces: By-trace: the sender is told that it was passed on.
    """

    at: float
    returns: bool = False
    traces: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    Everything about one message but its content.

    Attributes:
        queue_id: What every door returns.
        reverse_path: `local@domain` without angle brackets, "" for the null reverse-path.
        recipients: After expansion, each forward-path and each target once. Position is identity: the ledger
            counts by it.
        queued_at: Seconds since the epoch; the commit instant as the door saw it.
        body_octets: Length of the body.
        body_type: "7BIT" or "8BITMIME" (RFC 6152).
        smtputf8: The message needs RFC 6531.
        ret: "FULL", "HDRS" or "" (RFC 3461 4.3).
        envid: As on the wire (xtext), or "".
        kind: "mail" for what somebody submitted, "dsn" for a report of ours, "double-bounce" for a
            report about a report; decides who hears of its failure (services/bounce.py).
        submitter: The credential's id, or "paravion" for our own reports.
        tenant: The submitter's (domain/tenant.py).
        door: "ses-v2", "ses-v1", "http", "smtp", "sendmail" or "bounce".
        configuration_set: Its name, or "".
        tags: Name and value pairs of the caller.
        digest: SHA-256 (hex) of the submission as it came in: tells a repeat from another message
            under the same idempotency key.
        body_id: The queue id under which the body lies, where several messages share one; "" for its own.
        parts: Of the first of several messages that one submission became: the others' queue ids and how
            many jobs each makes. They are all kept before this one is.
        tls_required: It must not travel in clear (domain/tls_policy.py).
        requiretls: Nor from any host behind the first (RFC 8689 2); comes with tls_required.
        tls_optional: Its sender would have it travel in clear sooner than wait (RFC 8689 3).
        quarantine: Why the message is held before it is tried, or "".
        max_delivery_s: The mail is returned when it is older; 0 for the queue's own lifetime.
        suppressed_reasons: For which reasons listed addresses are not sent to, in place of the account's; None for
            the account's.
        mail_from: The reverse-path that hosts are told, in place of the own one, "" for the own one.
        reports: The sender hears of failures by mail.
        release_at: Nothing is sent before; seconds since the epoch, 0 for at once.
        arrivals: Of the first of several messages (or the only one): what its first job owes a report of.
        telling: Events are published of what becomes of it (services/events.py); None: nobody is told.
        priority: As domain/priority.py has it, "" for normal; that of a report of ours follows from its kind.
        deliver_by: When it must be delivered; None: whenever that is.
    """

    queue_id: str
    reverse_path: str
    recipients: tuple[Recipient, ...]
    queued_at: float
    body_octets: int
    body_type: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    kind: str = "mail"
    submitter: str = ""
    door: str = ""
    configuration_set: str = ""
    tags: tuple[tuple[str, str], ...] = field(default=())
    digest: str = ""
    body_id: str = ""
    parts: tuple[tuple[str, int], ...] = ()
    tls_required: bool = False
    arrivals: Arrivals | None = None
    quarantine: str = ""
    tenant: str = ""
    max_delivery_s: float = 0.0
    suppressed_reasons: tuple[str, ...] | None = None
    mail_from: str = ""
    reports: bool = True
    telling: Telling | None = None
    release_at: float = 0.0
    priority: str = ""
    deliver_by: DeliverBy | None = None
    requiretls: bool = False
    tls_optional: bool = False

    @property
    def urgency(self) -> str:
        """The priority that decides about its times."""
        return self.priority if self.kind == "mail" else Priority.DSN

    @property
    def tells(self) -> tuple[str, ...]:
        """Of which events somebody is told."""
        return self.telling.types if self.telling else ()

    @property
    def df_id(self) -> str:
        """The queue id of the df that holds the body."""
        return self.body_id or self.queue_id

    def chunk(self, number: int) -> dict[int, Recipient]:
        """Give chunk `number`'s recipients by position; empty when the message has no such chunk."""
        first = number * CHUNK_RECIPIENTS
        return dict(enumerate(self.recipients[first : first + CHUNK_RECIPIENTS], first))

    @property
    def chunk_count(self) -> int:
        """How many jobs the message makes, at least 1."""
        return max(1, -(-len(self.recipients) // CHUNK_RECIPIENTS))


def encode_qf(envelope: Envelope, header: bytes) -> bytes:
    """
    Give the octets of `qf/<queue id>`.

    Args:
        header: The header section with CRLF line ends, without the empty line after it.
    """
    return _encode({"v": _VERSION, **_fields(envelope)}).encode() + b"\n" + header


def _fields(value: Any) -> dict[str, Any]:
    """Give a value's fields as they are; dataclasses.asdict copies all that is in them, slower than JSON is."""
    names, read = _FIELDS[type(value)]
    return dict(zip(names, read(value), strict=True))


_FIELDS: Final = {
    kind: (kind.__slots__, attrgetter(*kind.__slots__)) for kind in (Envelope, Recipient, Arrivals, Telling, DeliverBy)
}
"""The names of each class's fields, and what reads them all."""


_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=_fields).encode


_decode: Final = json.JSONDecoder().raw_decode


def decode_qf(octets: bytes) -> tuple[Envelope, bytes]:
    """
    Read back what `encode_qf` wrote.

    Raises:
        ValueError: Not a qf of this version; says why.
    """
    line, newline, header = octets.partition(b"\n")
    if not newline:
        raise ValueError("qf without an envelope line")
    try:
        text = line.decode()
        fields, end = _decode(text)
        if end != len(text):
            raise ValueError("qf with more than an envelope in its line")
        if fields.pop("v", None) != _VERSION:
            raise ValueError("qf of an unknown version")
        fields["recipients"] = _recipients(fields["recipients"])
        fields["tags"] = tuple([(name, value) for name, value in fields["tags"]])
        fields["parts"] = tuple([(queue_id, jobs) for queue_id, jobs in fields.get("parts", ())])
        if fields.get("suppressed_reasons") is not None:
            fields["suppressed_reasons"] = tuple(fields["suppressed_reasons"])
        told = fields.get("arrivals")
        if told:
            lists, aliases = _recipients(told["lists"]), _recipients(told["aliases"])
            fields["arrivals"] = Arrivals(**{**told, "lists": lists, "aliases": aliases})
        telling = fields.get("telling")
        if telling:
            fields["telling"] = Telling(**{**telling, "types": tuple(telling["types"])})
        deadline = fields.get("deliver_by")
        if deadline:
            fields["deliver_by"] = DeliverBy(**deadline)
        return Envelope(**fields), header
    except (TypeError, KeyError, AttributeError) as exc:
        raise ValueError(f"qf that is no envelope: {exc}") from exc


def _recipients(items: list[dict[str, Any]]) -> tuple[Recipient, ...]:
    for item in items:
        item["notify"] = tuple(item["notify"])
    return tuple([Recipient(**item) for item in items])
