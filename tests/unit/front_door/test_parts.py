"""infra/front_door/parts.py: how long a message in parts may take, and what becomes of it."""

import asyncio

import pytest

from infra.front_door.api import Answer
from infra.front_door.content import Content
from infra.front_door.parts import Parts


class Api:
    """Puts and submits at once, or never ends with one of both."""

    part_octets = 1

    def __init__(self, hangs):
        self.hangs = hangs
        self.submit_timeout_s = 0.01 if hangs else None
        self.done = []

    async def put_part(self, authorization, part):
        await self.work("part" if self.done else "")
        self.done.append(part)
        return f"up{len(self.done)}"

    async def submit(self, authorization, fields, content, key):
        await self.work("message")
        self.done.append((authorization, fields, list(content), key))
        return Answer("250 2.0.0 Ok q", "q")

    async def work(self, kind):
        if kind and kind == self.hangs:
            await asyncio.Event().wait()

    def forget(self, upload_ids):
        self.done.append(("forgotten", list(upload_ids)))


def submitted(hangs):
    """Put one part, then the rest."""

    async def run():
        api = Api(hangs)
        parts = Parts(api, "Basic x", Content(100))
        is_put = asyncio.Event()
        parts.put(b"a", lambda fault: is_put.set())
        await is_put.wait()
        return await parts.submit(b"b", {"door": "smtp"}, "key"), api.done

    return asyncio.run(run())


def test_parts_then_the_message():
    """In order, by their ids."""
    answer, done = submitted("")
    assert answer.queue_id == "q"
    assert done == [b"a", b"b", ("Basic x", {"door": "smtp"}, ["up1", "up2"], "key")]


@pytest.mark.parametrize(("hangs", "done"), [("part", [b"a"]), ("message", [b"a", b"b"])])
def test_client_waits_for_all_of_it_together(hangs, done):
    """A stop must know for how long an answer may be waited for; the API may still take it, so nothing is forgotten."""
    answer, made = submitted(hangs)
    assert answer.reply.startswith("451 4.4.1 ")
    assert made == done
