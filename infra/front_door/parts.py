"""
A large message on its way to where the API wants it put: in parts, one under way while the next comes in.

So that no door holds a whole one. What was put and is never submitted vanishes after a day.

Next on a message's path: api.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from infra.front_door import replies
from infra.front_door.api import Answer
from paravion.domain import status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.front_door.api import MessageApi
    from infra.front_door.content import Content


class Parts:
    """
    One message's parts.

    Args:
        authorization: Under which they are put and submitted.
        content: Whose parts they are.
    """

    def __init__(self, api: MessageApi, authorization: str, content: Content) -> None:
        self.content = content
        self._api = api
        self._authorization = authorization
        self._upload_ids: list[str] = []
        self._fault: Answer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """A part is under way."""
        return self._task is not None and not self._task.done()

    def put(self, part: bytes, done: Callable[[Answer | None], None]) -> None:
        """
        Begin to put the next part; none may be under way.

        Args:
            done: Told what went wrong, or None.
        """

        async def work() -> None:
            await self._put(part)

        def tell(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                done(self._fault)

        self._task = asyncio.get_running_loop().create_task(work())
        self._task.add_done_callback(tell)

    def cancel(self) -> None:
        """The message does not come."""
        if self._task is not None:
            self._task.cancel()
        self._api.forget(self._upload_ids)

    async def submit(self, rest: bytes, fields: Mapping[str, Any], key: str) -> Answer:
        """Put what is left and submit the message; never raises but for cancellation."""
        try:
            # The client waits for all of it together.
            async with asyncio.timeout(self._api.submit_timeout_s):
                return await self._submit(rest, fields, key)
        except TimeoutError:
            return Answer(replies.of_status(status.NO_ANSWER, "the API takes too long"))

    async def _submit(self, rest: bytes, fields: Mapping[str, Any], key: str) -> Answer:
        if self._task is not None:
            await self._task
        if rest and self._fault is None:
            await self._put(rest)
        if self._fault is not None:
            self._api.forget(self._upload_ids)
            return self._fault
        return await self._api.submit(self._authorization, fields, self._upload_ids, key)

    async def _put(self, part: bytes) -> None:
        put = await self._api.put_part(self._authorization, part)
        if isinstance(put, Answer):
            self._fault = put
        else:
            self._upload_ids.append(put)
