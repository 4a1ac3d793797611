"""The parked queue on one machine, for an operator: nobody receives from it, so that a look is a read of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.adapters.embedded_queues import NUMBERS, item_text
from paravion.adapters.job_text import decode_job
from paravion.errors import QueueUnavailable
from paravion.ports import ParkedItem, QueueName

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from paravion.adapters.embedded_database import Database

_NUMBER: Final = NUMBERS[QueueName.PARKED]
_SELECT: Final = (
    "SELECT id, job, chunk, queued_at, body, receives, sent_at FROM item WHERE queue = ? ORDER BY id LIMIT ?"
)


class EmbeddedParked:
    """ports.Parked; two operators who look at once see the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self, limit: int) -> list[ParkedItem]:
        """See ports.Parked."""
        items = []
        for item_id, *what, receives, sent_at in self._database.read(QueueUnavailable, _SELECT, _NUMBER, limit):
            body = item_text(*what)
            items.append(ParkedItem(str(item_id), str(item_id), decode_job(body), body, receives, sent_at))
        return items

    def put_back(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""

    def drop(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""
        keys = [(_NUMBER, int(item.receipt)) for item in items]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM item WHERE queue = ? AND id = ?", keys)

        self._database.write(work, QueueUnavailable)
