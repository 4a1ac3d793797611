"""
Read what was said in a message's attempts: the pages that the ledger's history points to.

The ledger names the book of each attempt (services/deliver.py writes it, best effort), so that a message's
transcripts cost one read for each of its attempts, and none is ever searched for. Shown to who may see the
message (services/admin.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain import transcript
from paravion.domain.status import ACCESS_DENIED, NOT_OFFERED, Rejected
from paravion.services.admin import find_envelope, is_masked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paravion.domain.queue import JobRecord
    from paravion.ports import Transcripts
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

_BOOKS: Final = 30
"""Most books read for one answer: a message's latest attempts."""

_CHARACTERS: Final = 2_000_000
"""Most characters of one answer; API Gateway carries 6 MB."""


def show_transcript(queue_id: str, attempt: int | None, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Tell what was said in a message's latest attempts, or in one (of each chunk).

    Returns:
        `attempts`, oldest first, each with its `lines`, one for each next hop; `missing`, those whose transcript
        was not kept or is gone; `is_whole`: no attempt was left out for the answer's size.

    Raises:
        Rejected: not_found: none of that id, or somebody else's; access_denied: it would name the members of an alias
            or list; not_offered: there are no transcripts here.
        Unavailable
    """
    envelope, _ = find_envelope(queue_id, principal, deps)
    if any(is_masked(recipient, principal) for recipient in envelope.recipients):
        raise Rejected(ACCESS_DENIED, "it names who is behind an alias or list: an operator's credential is needed")
    if deps.transcripts is None:
        raise Rejected(NOT_OFFERED, "transcripts are not kept here")
    wanted = _wanted(deps.ledger.load_message(queue_id), attempt)
    chosen = dict(list(wanted.items())[-_BOOKS:])
    is_whole = len(chosen) == len(wanted)
    shown: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    characters = 0
    for (chunk, number), keys in chosen.items():
        pages = [page for key in keys for page in _pages(key, queue_id, chunk, number, deps.transcripts)]
        if not pages:
            missing.append({"attempt": number, "chunk": chunk})
        for page in pages:
            characters += sum(len(line.text) + 40 for line in page.lines)
            if characters > _CHARACTERS:
                is_whole = False
                break
            shown.append(_view(page))
    return {"queue_id": queue_id, "attempts": shown, "missing": missing, "is_whole": is_whole}


def _wanted(records: Iterable[JobRecord], attempt: int | None) -> dict[tuple[int, int], list[str]]:
    """Give the books of each chunk and attempt, oldest attempt first."""
    found: dict[tuple[int, int], list[str]] = {}
    for at, chunk, number, key in sorted(
        (entry.at, record.key.chunk, entry.attempt, entry.transcript)
        for record in records
        for entry in record.log
        if entry.transcript and attempt in {None, entry.attempt}
    ):
        del at  # the order is all that it is for
        keys = found.setdefault((chunk, number), [])
        if key not in keys:
            keys.append(key)
    return found


def _pages(key: str, queue_id: str, chunk: int, attempt: int, transcripts: Transcripts) -> list[transcript.Page]:
    octets = transcripts.get(key)
    if octets is None:
        return []
    try:
        pages = transcript.decode(octets)
    except ValueError:
        return []
    return [page for page in pages if (page.queue_id, page.chunk, page.attempt) == (queue_id, chunk, attempt)]


def _view(page: transcript.Page) -> dict[str, Any]:
    return {
        "attempt": page.attempt,
        "chunk": page.chunk,
        "at": page.at,
        "next_hop": page.next_hop,
        "lines": [{"ms": line.ms, "kind": line.kind, "text": line.text} for line in page.lines],
    }
