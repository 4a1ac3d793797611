"""The SMTP doors' direct way in: the replies that the API would have led to."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from infra.front_door.api import Answer, Away
from infra.front_door.commands import parse_mail
from infra.front_door.content import Content
from infra.front_door.parts import Parts
from infra.local import embedded_submission
from infra.local.embedded_submission import BUSY, DirectApi
from paravion.domain.envelope import DeliverBy, decode_qf
from paravion.domain.http1 import basic
from paravion.domain.ses_smtp_password import smtp_password
from paravion.errors import QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "AKIADIRECT0000000000"
CONTENT = b"From: me@example.org\r\nTo: you@example.net\r\nSubject: x\r\n\r\nHello\r\n"
FIELDS: dict[str, Any] = {
    "reverse_path": "me@example.org",
    "recipients": ["you@example.net", {"forward_path": "her@example.net", "notify": ["NEVER"]}],
    "door": "smtp",
    "client": "c.example ([192.0.2.1])",
    "protocol": "ESMTP",
    "envid": "e1",
}


def _now(work: Callable[[], Any]) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(work())
    except Exception as exc:
        future.set_exception(exc)
    return future


class Desk:
    """A world, a credential in it and the API before it."""

    def __init__(self) -> None:
        self.world = World()
        self.set_credential(enabled=True)
        deps = self.world.for_validate
        self.deps = replace(deps, settings=replace(deps.settings, identity_check="off"))
        self.api = DirectApi(self.deps, _now)
        self.authorization = basic(USER, smtp_password("secret", deps.settings.credential_region))

    def set_credential(self, *, enabled: bool) -> None:
        """Make it, or change it."""
        value = json.dumps({"secret_key": "secret", "enabled": enabled})
        self.world.secrets.put(f"credentials/{USER}", value)

    def submit(self, authorization: str | None = None, content: bytes = CONTENT, **fields: Any) -> Any:
        """Submit one message."""
        return asyncio.run(self.api.submit(authorization or self.authorization, {**FIELDS, **fields}, content, "k"))


@pytest.fixture
def desk() -> Desk:
    """A fresh one."""
    return Desk()


def test_a_deadline_is_the_messages(desk: Desk) -> None:
    """As the session has reckoned it."""
    by = {"deliver_by": "2057-01-02T03:04:05Z", "deliver_by_mode": "return", "deliver_by_trace": True}
    kept = desk.submit(**by)
    envelope, _ = decode_qf(desk.world.spool.get_envelope(kept.queue_id))
    assert envelope.deliver_by == DeliverBy(datetime(2057, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp(), True, True)


def test_requiretls_is_the_messages(desk: Desk) -> None:
    """RFC 8689: TLS from us, and all the way."""
    kept = desk.submit(tls="requiretls")
    envelope, _ = decode_qf(desk.world.spool.get_envelope(kept.queue_id))
    assert (envelope.tls_required, envelope.requiretls) == (True, True)


def test_whatever_mail_can_say_is_taken(desk: Desk) -> None:
    """The session and this way in know the same parameters: what one learns the other must."""
    said = (
        "FROM:<me@example.org> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=e1 SMTPUTF8 HOLDFOR=60 BY=900;NT AUTH=<> REQUIRETLS"
    )
    transaction = parse_mail(said, max_message_octets=10, extended=True, now=desk.world.now, secure=True)
    assert desk.submit(reverse_path=transaction.reverse_path, **transaction.options).reply.startswith("250 2.0.0 ")


def test_mail_is_kept_before_the_answer(desk: Desk) -> None:
    """With all that the session knew of it."""
    answer = desk.submit()
    assert answer.reply.startswith("250 2.0.0 ")
    assert answer.reply.endswith(answer.queue_id)
    envelope, _ = decode_qf(desk.world.spool.get_envelope(answer.queue_id))
    assert [(r.forward_path, r.notify) for r in envelope.recipients] == [
        ("you@example.net", ()),
        ("her@example.net", ("NEVER",)),
    ]
    assert (envelope.submitter, envelope.door, envelope.envid) == (USER, "smtp", "e1")


def test_later_release_is_the_submissions(desk: Desk) -> None:
    """HOLDFOR and HOLDUNTIL come as the API would have them; an instant of another day is for `retry`."""
    at = desk.world.now + 86_400
    answer = desk.submit(send_at=datetime.fromtimestamp(at, UTC).isoformat())
    envelope, _ = decode_qf(desk.world.spool.get_envelope(answer.queue_id))
    assert envelope.release_at == at
    assert not desk.world.queues.receive(QueueName.DELIVERY, 10)
    assert len(desk.world.queues.receive(QueueName.RETRY, 10)) == 1


def test_refusals_are_the_taxonomys(desk: Desk) -> None:
    """And say nothing of the credential."""
    answer = desk.submit(reverse_path="no path")
    assert answer.reply.startswith("501 5.1.7 ")
    assert not answer.queue_id
    assert not answer.refused_credential


def test_over_quota_in_ses_words(desk: Desk) -> None:
    """Transient, and nothing is kept."""
    desk.world.records.put("account", "settings", {"Max24HourSend": 2, "MaxSendRate": 1})
    assert desk.submit().queue_id
    assert desk.submit().reply == "454 4.7.0 Throttling failure: Daily message quota exceeded."
    desk.world.records.put("account", "settings", {"MaxSendRate": 1})
    assert desk.submit().reply == "454 4.7.0 Throttling failure: Maximum sending rate exceeded."
    assert len(desk.world.spool.envelopes) == 1


def test_disabled_credential_is_refused_with_the_next_message(desk: Desk) -> None:
    """However often it was good before."""
    assert desk.submit().queue_id
    assert desk.submit().queue_id
    desk.set_credential(enabled=False)
    answer = desk.submit()
    assert answer.refused_credential
    assert not answer.queue_id
    assert asyncio.run(desk.api.knows(desk.authorization)) is False


def test_credentials_are_known_or_not(desk: Desk) -> None:
    """AUTH asks the same."""
    assert asyncio.run(desk.api.knows(desk.authorization)) is True
    assert asyncio.run(desk.api.knows(basic(USER, "wrong"))) is False


def test_outage_is_transient_and_logged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is promised."""

    def fail(*_: object, **__: object) -> None:
        raise QueueUnavailable(QueueName.DELIVERY)

    monkeypatch.setattr(desk.deps.to_commit.queues, "send", fail)
    assert desk.submit().reply[0] == "4"
    monkeypatch.setattr(desk.deps.secrets, "get", fail)
    with pytest.raises(Away):
        asyncio.run(desk.api.knows(basic("AKIAOTHER00000000000", "x")))


def _in_parts(desk: Desk, parts: list[bytes], keep: Callable[[str, bytes], None], **fields: Any) -> Any:
    async def main() -> Any:
        api = DirectApi(desk.deps, _now, keep)  # type: ignore[arg-type]  # awaited alike
        assert api.part_octets
        upload_ids = [await api.put_part(desk.authorization, part) for part in parts]
        if not all(isinstance(upload_id, str) for upload_id in upload_ids):
            return upload_ids[0]
        return await api.submit(desk.authorization, {**FIELDS, **fields}, upload_ids, "k")

    return asyncio.run(main())


def test_large_message_in_parts_is_one(desk: Desk) -> None:
    """Read from where its parts lie, which are gone afterwards, whatever the answer is."""
    uploads: Any = desk.deps.uploads
    body = b"x" * 98 + b"\r\n"
    parts = [CONTENT, body * 20_000, body * 20_000 + b"end\r\n"]
    answer = _in_parts(desk, parts, uploads.items.__setitem__)
    assert answer.reply.startswith("250 2.0.0 ")
    assert desk.world.spool.bodies[answer.queue_id] == b"Hello\r\n" + parts[1] + parts[2]
    assert _in_parts(desk, [*parts, b"\0"], uploads.items.__setitem__).reply.startswith("554 5.6.0 ")
    assert _in_parts(desk, [body * 120_000], uploads.items.__setitem__).reply.startswith("552 5.3.4 ")
    assert uploads.items == {}
    assert desk.world.spool.drafts == 0


def test_parts_of_what_does_not_come_are_gone(desk: Desk) -> None:
    """A client that breaks off, again and again, fills no disk; nor does the part that was just being written."""
    uploads: Any = desk.deps.uploads
    go = threading.Event()

    def slowly(upload_id: str, part: bytes) -> None:
        go.wait(10)
        uploads.items[upload_id] = part

    async def main() -> None:
        api = DirectApi(desk.deps, _now, slowly)  # type: ignore[arg-type]  # awaited alike
        parts = Parts(api, desk.authorization, Content(1 << 20))
        done = asyncio.Event()
        go.set()
        parts.put(b"first", lambda _: done.set())
        await done.wait()
        assert list(uploads.items.values()) == [b"first"]
        go.clear()
        parts.put(b"second", lambda _: None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        parts.cancel()
        await asyncio.sleep(0)
        go.set()
        # The thread ends, and with it what it wrote.
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert uploads.items == {}


def test_part_that_finds_no_room_is_transient(desk: Desk) -> None:
    """The client hears so once its message has ended."""

    def full(_: str, __: bytes) -> None:
        raise SpoolUnavailable("disk full")

    assert _in_parts(desk, [CONTENT], full).reply.startswith("451 4.3.0 ")


@pytest.mark.parametrize("is_taken_back", [True, False])
def test_slow_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch, is_taken_back: bool) -> None:
    """What is taken back is answered in time; what is on its way to the disk is waited for, and at last is silence."""
    monkeypatch.setattr(embedded_submission, "SUBMIT_TIMEOUT_S", 0.0)
    monkeypatch.setattr(embedded_submission, "SILENCE_AFTER_S", 0.02)
    monkeypatch.setattr(embedded_submission, "_LOOK_AGAIN_S", 0.005)
    asked = []

    async def main() -> str:
        under_way: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def run(quick: Any) -> asyncio.Future[Any]:
            quick.aside = quick
            return under_way

        def withdraw(quick: Any) -> bool:
            asked.append(quick)
            if is_taken_back and len(asked) > 1:
                monkeypatch.setattr(quick, "_work", lambda: Answer("421 4.3.2 Unavailable"))
                under_way.set_result(quick())
            return is_taken_back

        api = DirectApi(desk.deps, run, withdraw=withdraw)
        return (await api.submit(desk.authorization, FIELDS, CONTENT, "k")).reply

    reply = asyncio.run(main())
    assert reply.startswith("451 4.4.1 ") if is_taken_back else not reply
    assert len(asked) > 1


def test_disk_that_fails_under_what_may_be_kept_is_silence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """451 would be no true word, nor 250; what is certainly not kept is told."""
    for is_undecided, reply in ((True, ""), (False, "421 4.3.2")):
        fault = QueueUnavailable("disk")
        fault.is_undecided = is_undecided

        def fail(*_: Any, fault: QueueUnavailable = fault, **__: Any) -> None:
            raise fault

        monkeypatch.setattr(desk.deps.to_commit.queues, "send", fail)
        assert desk.submit().reply[:9] == reply


class Held:
    """Calls of a function that wait until they may go on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_there = threading.Event()
        self.go = threading.Event()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait, then call."""
        self.is_there.set()
        assert self.go.wait(10)
        return self.function(*args, **kwargs)


def _while_held(desk: Desk, held: Held, told: list[str]) -> str:
    """Hand in a large mail whose time ends while a call is held; gives the reply, and notes one that came before."""
    uploads: Any = desk.deps.uploads

    async def main() -> str:
        api = DirectApi(desk.deps, _now, uploads.items.__setitem__)  # type: ignore[arg-type]  # awaited alike
        upload_ids = [await api.put_part(desk.authorization, part) for part in (CONTENT, b"x" * 98 + b"\r\n")]
        ours = asyncio.create_task(api.submit(desk.authorization, FIELDS, upload_ids, "k"))  # type: ignore[arg-type]
        ours.add_done_callback(lambda task: told.append("early" if not held.go.is_set() else task.result().reply))
        await asyncio.to_thread(held.is_there.wait, 10)
        await asyncio.wait([ours], timeout=0.1)
        held.go.set()
        answer = await ours
        await asyncio.get_running_loop().shutdown_default_executor()
        return answer.reply

    return asyncio.run(main())


def test_large_mail_whose_client_was_put_off_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sends it again: it would come twice."""
    monkeypatch.setattr(embedded_submission, "SUBMIT_TIMEOUT_S", 0.02)
    held = Held(desk.deps.to_commit.spool.put_body)
    monkeypatch.setattr(desk.deps.to_commit.spool, "put_body", held)
    told: list[str] = []
    assert _while_held(desk, held, told).startswith("451 4.4.1 ")
    assert told == ["early"]
    assert not desk.world.queues.receive(QueueName.DELIVERY, 10)
    uploads: Any = desk.deps.uploads
    assert uploads.items == {}


def test_client_hears_of_a_large_mail_that_is_being_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time ends in the commit instant: the answer waits for it."""
    monkeypatch.setattr(embedded_submission, "SUBMIT_TIMEOUT_S", 0.02)
    held = Held(desk.deps.to_commit.queues.send)
    monkeypatch.setattr(desk.deps.to_commit.queues, "send", held)
    told: list[str] = []
    assert _while_held(desk, held, told).startswith("250 2.0.0 ")
    assert told[0].startswith("250 2.0.0 ")
    assert len(desk.world.queues.receive(QueueName.DELIVERY, 10)) == 1


def test_disk_that_hangs_in_the_commit_instant_is_silence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once no client waits any more: what is being kept must not be told to be not."""
    monkeypatch.setattr(embedded_submission, "SUBMIT_TIMEOUT_S", 0.02)
    monkeypatch.setattr(embedded_submission, "SILENCE_AFTER_S", 0.03)
    monkeypatch.setattr(embedded_submission, "_LOOK_AGAIN_S", 0.01)
    held = Held(desk.deps.to_commit.queues.send)
    monkeypatch.setattr(desk.deps.to_commit.queues, "send", held)
    told: list[str] = []
    assert _while_held(desk, held, told) == ""
    assert told == ["early"]
    assert len(desk.world.queues.receive(QueueName.DELIVERY, 10)) == 1


def test_too_many_at_once_are_put_off(desk: Desk) -> None:
    """Before anything is taken."""
    held: list[asyncio.Future[Any]] = []

    def run(_: Callable[[], Any]) -> asyncio.Future[Any]:
        held.append(asyncio.get_running_loop().create_future())
        return held[-1]

    async def main() -> str:
        api = DirectApi(desk.deps, run)
        tasks = [asyncio.create_task(api.submit(desk.authorization, FIELDS, CONTENT, "k")) for _ in range(BUSY)]
        await asyncio.sleep(0)
        answer = await api.submit(desk.authorization, FIELDS, CONTENT, "k")
        for task in tasks:
            task.cancel()
        return answer.reply

    assert asyncio.run(main()).startswith("451 4.4.1 ")
