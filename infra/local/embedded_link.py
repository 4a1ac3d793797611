"""
What the doors' process and the workers' tell each other, by a pair of sockets.

    to the workers   the number of each queue that something was sent to, once for all mails of a moment
    to the doors     a beat every BEAT_S: the workers' loop turns

What can't be said because the other one does not listen is not needed: it looks for itself when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

from paravion.adapters.embedded_queues import NUMBERS

if TYPE_CHECKING:
    import socket

    from paravion.adapters.embedded_queues import EmbeddedQueues

BEAT_S: Final = 1.0
SILENCE_S: Final = 6.0
"""Without a beat for so long, the workers are away or hang."""

_BEAT: Final = b"."
_READ_OCTETS: Final = 65536
_BY_NUMBER: Final = {number: name for name, number in NUMBERS.items()}


class Link:
    """
    One end. Made on the loop that it belongs to.

    Args:
        end: A socket of a pair; stays its owner's.
    """

    def __init__(self, end: socket.socket, queues: EmbeddedQueues) -> None:
        self._end = end
        end.setblocking(False)
        self._queues = queues
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._untold: set[int] = set()
        self._heard_at = time.monotonic()
        self._loop.add_reader(end, self._hear)

    def close(self) -> None:
        """Hear nothing more."""
        self._loop.remove_reader(self._end)

    def tell_of(self, queue: str) -> None:
        """Tell the other process whenever something is sent to a queue."""
        number = NUMBERS[queue]

        def sent() -> None:
            if number in self._untold:
                return
            self._untold.add(number)
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self._tell)
            else:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._tell)

        self._queues.listen(queue, sent)

    async def beat(self) -> None:
        """Say that this loop turns, until cancelled."""
        while True:
            self._say(_BEAT)
            await asyncio.sleep(BEAT_S)

    @property
    def is_heard(self) -> bool:
        """Whether the other one's loop turns."""
        return time.monotonic() - self._heard_at < SILENCE_S

    def _tell(self) -> None:
        numbers = bytes(self._untold)
        self._untold.clear()
        if numbers:
            self._say(numbers)

    def _say(self, octets: bytes) -> None:
        # Whoever does not read has enough to read already.
        with contextlib.suppress(OSError):
            self._end.send(octets)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            heard = self._end.recv(_READ_OCTETS)
            if not heard:
                self.close()
            if _BEAT in heard:
                self._heard_at = time.monotonic()
            for number in set(heard) & _BY_NUMBER.keys():
                self._queues.stir(_BY_NUMBER[number])
