"""
What may follow a message's final dot: the commands of one who waits for his turn at the same host.

One round trip and one write for each message (RFC 2920 3.1). Who was called out of the line was never in doubt: unless
that message's end is answered in time and the connection lives on, he is back at the line's head.

adapters/smtp_client.py says who may be called; adapters/smtp_transaction.py writes what is given here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.adapters.smtp_attempt import Attempt
    from paravion.adapters.smtp_connection import Connection
    from paravion.adapters.smtp_line import Line, Waiting
    from paravion.domain.smtp_dialogue import Opening, Request


@dataclass(slots=True)
class Ride:
    """A connection handed over, over which one's commands have gone already: this request's opening."""

    connection: Connection
    request: Request
    opening: Opening

    def drop(self) -> None:
        """Give up a connection that was handed over and nobody wants: its host waits for a message."""
        self.connection.abort()


class Behind:
    """
    See the module.

    Args:
        line: Who waits.
        choose: Gives the ride of one who waits, or None if he can't go over this connection.

    Attributes:
        is_late: The dot's answer kept him who was called waiting for too long.
    """

    __slots__ = ("_called", "_choose", "_line", "_ride", "is_late")

    def __init__(self, line: Line[Attempt, Ride], choose: Callable[[Attempt], Ride | None]) -> None:
        self._line = line
        self._choose = choose
        self._called: Waiting[Attempt, Ride] | None = None
        self._ride: Ride | None = None
        self.is_late = False

    @property
    def is_written(self) -> bool:
        """Somebody's commands have gone out."""
        return self._ride is not None

    def octets(self) -> bytes:
        """Call somebody, and give his commands; b"" if there is nobody."""
        first = self._line.first()
        self._ride = self._choose(first.who) if first is not None else None
        if self._ride is None:
            return b""
        self._line.call()
        self._called = first
        return self._ride.opening.octets

    def give_up(self, *, late: bool = False) -> None:
        """Send whoever was called back to the line's head: this connection will not do."""
        self.is_late = self.is_late or late
        if self._called is not None:
            self._line.put_back(self._called)
            self._called = None

    def hand_over(self) -> bool:
        """Give the connection and our place to whom we called; False if he is gone."""
        if self._called is None or self._ride is None:
            return False
        return self._line.hand_over(self._called, self._ride)
