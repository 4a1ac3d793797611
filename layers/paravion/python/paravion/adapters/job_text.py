"""
A job, and the parts of its record that no storage looks into, as JSON text: what queues and ledgers keep of them.

Ids and outcomes only, never content.
"""

from __future__ import annotations

import json
from typing import Any, Final

from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, LogEntry, Notice, NoticeKind, RecipientState
from paravion.domain.tls_facts import TlsFacts

RETENTION_S: Final = 45 * 86_400
"""
A record outlives its spooled objects (16 days): as long as a repeat of a submission finds its
qf, the ledger must know which recipients have it already.
"""

_SELDOM: Final = (
    *("quarantine", "released", "held_at", "held_s", "max_delivery_s", "cancelled", "delay_told"),
    *("priority", "deliver_by_at", "returns_by", "told_by", "tries_at", "asks_all", "last_at"),
)
"""Of the record, and of its text only where they are set."""


UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a record raises that is damaged, or of a later version."""

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_job(job: Job) -> str:
    """Give the queue's text of a job."""
    return json.dumps(
        {"queue_id": job.key.queue_id, "chunk": job.key.chunk, "queued_at": job.queued_at}, separators=(",", ":")
    )


def decode_job(text: str) -> Job | None:
    """Read a job back; None for anything that is none."""
    try:
        fields = json.loads(text)
        queue_id, chunk, queued_at = fields["queue_id"], fields["chunk"], fields["queued_at"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers_ok = type(chunk) is int and chunk >= 0 and type(queued_at) in {int, float}
    if not isinstance(queue_id, str) or not queue_id or not numbers_ok:
        return None
    return Job(JobKey(queue_id, chunk), float(queued_at))


def encode_detail(record: JobRecord) -> str:
    """Give the text of what no condition and no index of a ledger looks into."""
    detail = {
        "faults": record.faults,
        "paced": record.paced,
        "recipient_count": record.recipient_count,
        "reverse_path": record.reverse_path,
        "recipients": {str(n): _state_fields(state) for n, state in record.recipients.items()},
        "owed": [[notice.kind, notice.attempt] for notice in record.owed],
        "warned": record.warned,
        "log": [
            [e.at, e.event, e.attempt, e.recipients, e.text, *([e.transcript] if e.transcript else [])]
            for e in record.log
        ],
    }
    seldom = {name: getattr(record, name) for name in _SELDOM}
    detail |= {name: value for name, value in seldom.items() if value}
    if record.suppressed_reasons is not None:
        detail["suppressed_reasons"] = record.suppressed_reasons
    return _encode(detail)


def decode_detail(text: str) -> dict[str, Any]:
    """Read it back, as arguments of JobRecord; "" is a job that was claimed and nothing else."""
    detail = json.loads(text) if text else {}
    return {
        "faults": detail.get("faults", 0),
        "paced": detail.get("paced", 0),
        "recipient_count": detail.get("recipient_count", 0),
        "reverse_path": detail.get("reverse_path", ""),
        "recipients": {int(n): _state(fields) for n, fields in detail.get("recipients", {}).items()},
        "owed": tuple(Notice(NoticeKind(kind), attempt) for kind, attempt in detail.get("owed", [])),
        "warned": detail.get("warned", False),
        "log": tuple(
            LogEntry(at, event, attempt, tuple(recipients), text, *transcript)
            for at, event, attempt, recipients, text, *transcript in detail.get("log", [])
        ),
        **{name: detail[name] for name in _SELDOM if name in detail},
        **({"suppressed_reasons": tuple(detail["suppressed_reasons"])} if "suppressed_reasons" in detail else {}),
    }


def _state_fields(state: RecipientState) -> dict[str, Any]:
    """Only what is set: an item is paid for by the kilobyte."""
    outcome = _set_fields(state.outcome)
    facts = _set_fields(outcome.pop("tls_facts"))
    if facts:
        outcome["tls_facts"] = facts
    tried = {"tried_at": state.tried_at} if state.tried_at else {}
    return {"path": state.forward_path, "at": state.at, "attempt": state.attempt, "outcome": outcome, **tried}


def _set_fields(value: Any) -> dict[str, Any]:
    return {name: given for name in value.__slots__ if (given := getattr(value, name))}


def _state(fields: dict[str, Any]) -> RecipientState:
    outcome = fields["outcome"]
    known = {"status": "", **outcome, "result": Result(outcome["result"])}
    if "tls_facts" in known:
        known["tls_facts"] = TlsFacts(**known["tls_facts"])
    return RecipientState(
        fields["path"],
        Outcome(**known),
        fields["at"],
        fields["attempt"],
        fields.get("tried_at", 0.0),
    )
