"""
Keep a submission that became several messages: one body, one qf for each, all enqueued before anybody says yes.

The order makes a repeat one submission, whatever broke in between and whatever became of the tables meanwhile:

    1. the body, once, under the first message's id
    2. every other message's qf, under an id that follows from the first one's and from who is in it
    3. the first message's qf, which names the others
    4. all jobs: the commit instant is the end of this call

Before 3 nothing names what lies there, and it expires. After 3 a repeat takes the messages that the first qf
names, and no others. What 4 enqueued twice the ledger hands out once.

Next on the message's path: services/deliver.py.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from paravion.domain.envelope import encode_qf
from paravion.domain.ids import queue_id_from
from paravion.domain.status import IDEMPOTENCY_CONFLICT, Rejected
from paravion.errors import SpoolConflict
from paravion.services.commit import CommitDeps, commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paravion.domain.envelope import Envelope, Recipient
    from paravion.domain.expand import Group
    from paravion.domain.message import LargeBody

_AT_ONCE: Final = 4

Parts = tuple[tuple[str, int], ...]


def commit_all(
    queue_id: str,
    batches: Iterator[tuple[Group, tuple[Recipient, ...]]],
    make: Callable[[str, Group, tuple[Recipient, ...], Parts], tuple[Envelope, bytes]],
    body: bytes | LargeBody,
    deps: CommitDeps,
) -> tuple[Envelope, int, bool]:
    """
    Keep one message for each batch, the first under `queue_id`.

    Args:
        make: Gives envelope and header of the message with this id, group and recipients.

    Returns:
        The first envelope as it is kept, how many recipients there are in all, and whether it was a repeat.

    Raises:
        Rejected: idempotency_conflict; and whatever `batches` raises: nothing was enqueued.
        Unavailable: Nothing is promised; a repeat under the same id is safe.
    """
    first_group, first = next(batches)
    parts: list[tuple[str, int]] = []
    count = len(first)
    waiting: list[tuple[str, bytes]] = []
    for group, recipients in batches:
        if not parts:
            _put_body(queue_id, body, deps)
        part_id = _part_id(queue_id, group, recipients)
        envelope, header = make(part_id, group, recipients, ())
        parts.append((part_id, envelope.chunk_count))
        count += len(recipients)
        waiting.append((part_id, encode_qf(envelope, header)))
        if len(waiting) == _AT_ONCE:
            _put(waiting, deps)
    _put(waiting, deps)
    envelope, header = make(queue_id, first_group, first, tuple(parts))
    kept, repeated = commit(envelope, header, None if parts else body, deps)
    return kept, count, repeated


def _put_body(queue_id: str, body: bytes | LargeBody, deps: CommitDeps) -> None:
    try:
        deps.spool.put_body(queue_id, body)
    except SpoolConflict as exc:
        raise Rejected(IDEMPOTENCY_CONFLICT) from exc


def _put(waiting: list[tuple[str, bytes]], deps: CommitDeps) -> None:
    """Store some qf at once; one that lies there already has the same recipients, or it had another id."""
    if waiting:
        deps.in_parallel([lambda item=item: deps.spool.put_envelope(*item) for item in waiting])  # type: ignore[misc]
        waiting.clear()


def _part_id(queue_id: str, group: Group, recipients: tuple[Recipient, ...]) -> str:
    told = hashlib.sha256(repr((group, recipients)).encode("utf-8", "surrogatepass"))
    return queue_id_from(f"{queue_id}\0part\0{told.hexdigest()}".encode())
