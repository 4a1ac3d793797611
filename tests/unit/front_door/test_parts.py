"""infra/front_door/parts.py: how long a message in parts may take, and what becomes of it."""

import asyncio

from infra.front_door.api import Answer
from infra.front_door.content import Content
from infra.front_door.parts import Parts


class SlowApi:
    """Puts and submits, each in less than a submission's time, but not all of them."""

    part_octets = 1
    submit_timeout_s = 0.05

    def __init__(self, wait_s):
        self.wait_s = wait_s
        self.done = []

    async def put_part(self, authorization, part):
        await asyncio.sleep(self.wait_s)
        self.done.append(part)
        return f"up{len(self.done)}"

    async def submit(self, authorization, fields, content, key):
        await asyncio.sleep(self.wait_s)
        self.done.append((authorization, fields, list(content), key))
        return Answer("250 2.0.0 Ok q", "q")

    def forget(self, upload_ids):
        self.done.append(("forgotten", list(upload_ids)))


def submitted(wait_s):
    """Put one part, then the rest."""

    async def run():
        api = SlowApi(wait_s)
        parts = Parts(api, "Basic x", Content(100))
        parts.put(b"a", lambda fault: None)
        return await parts.submit(b"b", {"door": "smtp"}, "key"), api.done

    return asyncio.run(run())


def test_parts_then_the_message():
    """In order, by their ids."""
    answer, done = submitted(0)
    assert answer.queue_id == "q"
    assert done == [b"a", b"b", ("Basic x", {"door": "smtp"}, ["up1", "up2"], "key")]


def test_client_waits_for_all_of_it_together():
    """A stop must know for how long an answer may be waited for; the API may still take it, so nothing is forgotten."""
    answer, done = submitted(0.04)
    assert answer.reply.startswith("451 4.4.1 ")
    assert done == [b"a"]
