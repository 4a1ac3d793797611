"""
Send the mailbox simulator's automatic replies that a job owes, one for each recipient `ooto`.

Never to a null reverse-path, nor to a report (RFC 3834 2). Its queue id follows from the job and the recipient, so
that a repeat after a crash is one message.

Next on the reply's road: services/commit.py, then services/deliver.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.auto_reply import build_reply
from paravion.domain.envelope import Envelope, Recipient, decode_qf
from paravion.domain.ids import queue_id_from
from paravion.domain.simulator import replies
from paravion.errors import SpoolMissing
from paravion.services.commit import commit

if TYPE_CHECKING:
    from paravion.domain.queue import JobRecord, Notice
    from paravion.services.bounce import BounceDeps


def reply(record: JobRecord, notice: Notice, deps: BounceDeps) -> None:
    """
    Send what a `reply` notice is about.

    Raises:
        Unavailable: Doing it again is safe.
    """
    try:
        envelope, header = decode_qf(deps.to_commit.spool.get_envelope(record.key.queue_id))
    except SpoolMissing:
        return  # nobody knows any more whom to
    if not envelope.reverse_path or envelope.kind != "mail":
        return
    for position, state in sorted(record.recipients.items()):
        if state.attempt != notice.attempt or not replies(state.forward_path, state.outcome):
            continue
        reply_id = queue_id_from(f"reply\0{record.key}\0{position}".encode())
        # Dated by what it answers, so that a repeat makes the same octets.
        own_header, body = build_reply(reply_id, envelope, header, state.forward_path, state.at, deps.hostname)
        own = Envelope(
            queue_id=reply_id,
            reverse_path="",
            recipients=(Recipient(envelope.reverse_path),),
            queued_at=deps.clock(),
            body_octets=len(body),
            smtputf8=not own_header.isascii(),
            kind="dsn",
            submitter=envelope.submitter,
            tenant=envelope.tenant,
            door="bounce",
            digest=reply_id,
        )
        commit(own, own_header, body, deps.to_commit)
        deps.event_log.emit("Report", {"queue_id": record.key.queue_id, "report_id": reply_id, "kind": "reply"})
