"""
Back-pressure of the embedded engine: when nothing more is taken, and why.

    setting                no more mail is taken while               HTTP   SMTP (at MAIL)
    ---------------------  ----------------------------------------  -----  --------------
    max_queue_jobs_count   so many jobs are queued or wait           503    451 4.3.2
    min_free_octets        less than this is free on the data disk   503    452 4.3.1

What was taken goes on all the while: attempts are recorded and reports are sent from what the disk keeps free. It is
looked at twice a second, so that as much more is taken as comes within that time. What too many sessions are told is
the doors' own (web.py, front_door/server.py).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from infra.front_door import replies
from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from paravion.adapters.embedded_data import EmbeddedData
    from paravion.settings import EmbeddedSettings

CHECK_EVERY_S: Final = 0.5
_SHARE: Final = 20
"""A look at a very long queue takes its time; at most one part in so many goes into it."""


class Pressure:
    """
    Whether mail is taken.

    Args:
        tell: Called with `says` whenever that changes.

    Attributes:
        says: Why nothing is taken now; "" while all is well.
        smtp: The reply to MAIL then.
    """

    def __init__(self, data: EmbeddedData, settings: EmbeddedSettings, tell: Callable[[str], None]) -> None:
        self._data = data
        self._settings = settings
        self._tell = tell
        self.says = ""
        self.smtp = ""

    def look(self) -> float:
        """Look now; gives how long that took, in seconds. Never raises."""
        began = time.monotonic()
        before = self.says
        self.says, self.smtp = self._judge()
        if self.says != before:
            self._tell(self.says)
        return time.monotonic() - began

    async def watch(self, executor: Executor) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            took_s = await loop.run_in_executor(executor, self.look)
            await asyncio.sleep(max(CHECK_EVERY_S, _SHARE * took_s))

    def _judge(self) -> tuple[str, str]:
        most, least = self._settings.max_queue_jobs_count, self._settings.min_free_octets
        try:
            if self._data.free_octets() < least:
                return "too little room on the disk", replies.NO_SPACE
            if self._data.waiting_jobs(most) >= most:
                return "the queue is full", replies.BUSY
        except Unavailable:
            return "the store can't be read", replies.BUSY
        return "", ""
