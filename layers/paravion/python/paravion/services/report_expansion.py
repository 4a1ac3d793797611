"""
Send a report to an addressee that is an alias, a virtual user or a list: expanded like any other mail.

The reverse-path stays null, through lists and their owners too: nothing answers a report. What the tables refuse
(an error, a loop, nobody there) is kept for the addressee as a recipient that fails, so that its failure is
reported in turn, and ends as a double bounce (services/bounce.py).

A repeat after a crash is one message, whatever became of the tables meanwhile (services/split.py).

Next on the report's path: services/deliver.py.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol

from paravion.domain.address import shown
from paravion.domain.envelope import Recipient
from paravion.domain.headers import make_field
from paravion.domain.refusal import Refusal
from paravion.domain.status import IDEMPOTENCY_CONFLICT, Rejected
from paravion.services.commit import commit
from paravion.services.expand import Found, TableSettings, expanded_batches
from paravion.services.split import commit_all

if TYPE_CHECKING:
    from paravion.domain.envelope import Envelope
    from paravion.domain.expand import Group
    from paravion.services.bounce import BounceDeps
    from paravion.services.split import Parts


class MakeReport(Protocol):
    """Gives envelope and header of the report for some recipients, with these trace fields on top."""

    def __call__(
        self,
        own_id: str,
        recipients: tuple[Recipient, ...],
        trace: bytes = b"",
        parts: Parts = (),
        quarantine: str = "",
    ) -> tuple[Envelope, bytes]:
        """See services/bounce.py."""
        ...


def commit_expanded(to: str, report_id: str, make: MakeReport, body: bytes, deps: BounceDeps) -> None:
    """
    Keep a report for whoever is behind an address.

    Args:
        to: The addressee, in normal form.

    Raises:
        Rejected: idempotency_conflict alone: the id belongs to another message.
        Unavailable: Nothing is promised; a repeat under the same id is safe.
    """

    def make_part(own_id: str, group: Group, recipients: tuple[Recipient, ...], parts: Parts) -> tuple[Envelope, bytes]:
        # What comes back with this field is a loop (services/expand.py).
        trace = make_field("Delivered-To", group.delivered_to, utf8=True) if group.delivered_to else b""
        return make(own_id, recipients, trace, parts, group.quarantine)

    settings = TableSettings(deps.local_domains or (deps.hostname,), deps.max_expansion_count)
    batches = expanded_batches((Recipient(to),), "", frozenset(), deps.tables, settings, Found())
    try:
        first = next(batches, None)
        if first is None:
            deps.event_log.emit("Discard", {"queue_id": report_id, "reverse_path": "", "recipients": 1})
            return
        commit_all(report_id, chain((first,), batches), make_part, body, deps.to_commit)
    except Rejected as exc:
        if exc.status is IDEMPOTENCY_CONFLICT:
            raise
        refusal = Refusal(exc.status.smtp, exc.status.enhanced, shown(exc.detail or exc.status.text, 300))
        commit(*make(report_id, (Recipient(to, refusal=str(refusal)),)), body, deps.to_commit)
