"""A submission whose content comes in pieces is kept as the whole would be, and leaves no draft whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paravion.domain import contacts, unsubscribe
from paravion.domain.dkim_keys import encode
from paravion.domain.status import BAD_MESSAGE, IDEMPOTENCY_CONFLICT, MESSAGE_TOO_BIG, Rejected
from paravion.domain.unsubscribe import Key
from paravion.errors import SpoolUnavailable
from paravion.services.list_management import PLACEHOLDER
from tests.support.dkim_keys import active_ring
from tests.support.world import Crash, Saboteur, World

KEY = {"idempotency_key": "k"}

HEADER = b"From: Me <me@example.org>\r\nTo: you@example.com\r\nBcc: x@example.net\r\nSubject: large\r\n"
BODY = b"hello \t there\r\n.\r\n..\r\n" + b"x" * 1200 + b"\r\n" + "für\n".encode() * 50 + b"\r\n \r\n\r\nlast"
LARGE = HEADER + b"\r\n" + BODY
TO = ("you@example.com", "they@example.net")

LIST = {"ContactListName": "news", "Topics": []}


def in_pieces(content: bytes, size: int = 97) -> Iterator[bytes]:
    """Give a content as an upload is read."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


def world_of(**settings: object) -> World:
    """An installation that signs, and has a contact list."""
    world = World(public_url="https://api.example.org", local_domains="local.example", **settings)
    world.secrets.put("dkim/example.org", encode(active_ring()))
    world.secrets.put(unsubscribe.SECRET, unsubscribe.write_keys((Key("k1", b"x" * 32),)))
    world.records.put(contacts.LISTS_KIND, "news", LIST)
    world.load("include/l", "\n".join(f"m{n}@z.example" for n in range(150)))
    world.load("aliases", "list: :include:l\nowner-list: boss@o.example\nal: a@a.example\n")
    return world


CASES = {
    "two recipients": (TO, LARGE, {}),
    "from the header": ((), LARGE, {"recipients_from_header": True}),
    "without a key": (TO, LARGE, {"idempotency_key": ""}),
    "no body": (TO, HEADER, {}),
    "an alias and a list": (("list@local.example", "al@local.example", *TO), LARGE, {}),
    "a link": (TO[:1], LARGE.replace(b"hello", PLACEHOLDER.encode()), {"contact_list": "news"}),
    "no link for several": (TO, LARGE, {"contact_list": "news"}),
}


@pytest.mark.parametrize(("recipients", "content", "fields"), CASES.values(), ids=CASES)
def test_in_pieces_is_kept_as_the_whole(recipients, content, fields) -> None:
    """The same envelopes, digests, signatures and body octets."""
    worlds = []
    for given in (content, in_pieces(content)):
        world = world_of()
        world.submit(*recipients, content=given, **{"idempotency_key": "k", **fields})
        worlds.append(world)
    whole, large = worlds
    assert whole.spool.envelopes == large.spool.envelopes != {}
    assert whole.spool.bodies == large.spool.bodies != {}
    octets = [fields["octets"] for event, fields in large.event_log.records if event == "Reception"]
    assert [len(content)] == octets
    assert large.spool.drafts == 0


def test_whole_after_pieces_is_a_repeat_and_another_is_a_conflict() -> None:
    """One digest, however it came."""
    world = world_of()
    first = world.submit(*TO, content=in_pieces(LARGE), **KEY)
    for again in (LARGE, in_pieces(LARGE, 1000)):
        repeat = world.submit(*TO, content=again, **KEY)
        assert (first.queue_id, True) == (repeat.queue_id, repeat.repeated)
    for other in (LARGE + b"\r\n", in_pieces(LARGE + b"\r\n")):
        with pytest.raises(Rejected) as caught:
            world.submit(*TO, content=other, **KEY)
        assert caught.value.status is IDEMPOTENCY_CONFLICT
    assert world.spool.drafts == 0


def test_body_of_several_messages_is_put_once() -> None:
    """One write, however many messages it is of."""
    world = world_of(saboteur=(saboteur := Saboteur()))
    world.submit("list@local.example", *TO, content=in_pieces(LARGE))
    assert saboteur.calls.count("validate:spool.put_body") == 1
    assert saboteur.calls.count("validate:spool.put_envelope") > 1


REFUSED = {
    "NUL at its end": (LARGE + b"\0", {}, {}, BAD_MESSAGE),
    "bare CR": (LARGE + b"\rx", {}, {}, BAD_MESSAGE),
    "bare LF": (LARGE, {"bare_lf": "refuse"}, {}, BAD_MESSAGE),
    "no From": (b"To: x\r\n\r\n" + BODY, {}, {}, BAD_MESSAGE),
    "its CRLFs make it too large": (LARGE, {"max_message_octets": str(len(LARGE) + 10)}, {}, MESSAGE_TOO_BIG),
    "signed, and asks for a link": (b"DKIM-Signature: x\r\n" + LARGE, {}, {"contact_list": "news"}, BAD_MESSAGE),
}


@pytest.mark.parametrize(("content", "settings", "fields", "status"), REFUSED.values(), ids=REFUSED)
def test_refusal_is_the_wholes_and_keeps_nothing(content, settings, fields, status) -> None:
    """The same words; nothing in the spool, no draft."""
    details = []
    for given in (content, in_pieces(content)):
        world = world_of(**settings)
        with pytest.raises(Rejected) as caught:
            world.submit(TO[0], content=given, **fields)
        assert caught.value.status is status
        details.append(caught.value.detail)
        assert (world.spool.bodies, world.spool.envelopes, world.spool.drafts) == ({}, {}, 0)
    assert details[0] == details[1]


def test_full_disk_is_transient_and_keeps_nothing() -> None:
    """The upload is still there: whoever repeats is taken when there is room."""
    world = world_of()
    world.spool.room_octets = 500
    with pytest.raises(SpoolUnavailable):
        world.submit(*TO, content=in_pieces(LARGE), **KEY)
    assert (world.spool.bodies, world.spool.envelopes, world.spool.drafts) == ({}, {}, 0)
    world.spool.room_octets = 1 << 20
    assert not world.submit(*TO, content=in_pieces(LARGE), **KEY).repeated


def test_source_that_breaks_off_keeps_nothing_and_is_closed() -> None:
    """A part that can't be read, in the middle."""
    world, closed = world_of(), []

    def broken() -> Iterator[bytes]:
        try:
            yield LARGE[:300]
            raise SpoolUnavailable("up/x")
        finally:
            closed.append(True)

    with pytest.raises(SpoolUnavailable):
        world.submit(*TO, content=broken())
    assert (world.spool.bodies, world.spool.drafts, closed) == ({}, 0, [True])


def _calls() -> list[str]:
    world_of(saboteur=(plain := Saboteur())).submit("al@local.example", *TO, content=in_pieces(LARGE), **KEY)
    return plain.calls


CALLS = _calls()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_crash_at_any_step_is_one_message_in_the_end(at: int, after: bool) -> None:
    """The door repeats under its key; no draft outlives its submission."""
    world = world_of(saboteur=Saboteur(at=at, after=after))
    with pytest.raises(Crash):
        world.submit("al@local.example", *TO, content=in_pieces(LARGE), **KEY)
    assert world.spool.drafts == 0
    world.submit("al@local.example", *TO, content=in_pieces(LARGE), **KEY)
    world.run()
    assert sorted(path for _, path, _, _ in world.transport.accepted) == sorted(["a@a.example", *TO])
    assert all(content.endswith(b"\r\nlast\r\n") for *_, content in world.transport.accepted)
