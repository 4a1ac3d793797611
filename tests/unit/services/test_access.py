"""The access table beyond what the caller names: members of aliases, and the hosts of the next hop."""

from __future__ import annotations

import asyncio

import pytest

from paravion.adapters.memory import MemoryTables
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import ACCESS_DENIED, Rejected
from paravion.domain.tables import BadTable, parse_table
from paravion.errors import LedgerUnavailable
from paravion.services.access import NextHosts
from tests.support.world import World

SENDER = "me@example.org"


class CountingTables(MemoryTables):
    """Counts look-ups by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def lookup(self, kind, keys):
        """See ports.Tables."""
        self.asked.append(kind)
        return super().lookup(kind, keys)


def _world(access: str, aliases: str) -> World:
    world = World(local_domains="local.example")
    world.load("access", access)
    world.load("aliases", aliases)
    return world


def _sent(world: World) -> list[str]:
    return sorted(path for _, path, _, content in world.transport.accepted if b"report-type" not in content)


@pytest.mark.parametrize(
    ("value", "status"),
    [("REJECT", b"Status: 5.7.1\r\n"), ("ERROR:5.1.6:550 has moved", b"x-paravion; has moved\r\n")],
)
def test_refused_member_fails_alone_and_is_reported(value: str, status: bytes) -> None:
    """The others get their mail; the sender hears of this one."""
    world = _world(f"To:bad.example {value}\n", "team: a@a.example, b@bad.example, c@sub.bad.example, d@d.example\n")
    assert world.submit("team@local.example").recipient_count == 4
    world.run()
    assert _sent(world) == ["a@a.example", "d@d.example"]
    (report,) = world.accepted_by(SENDER)
    assert report.count(status) == 2


SPELLINGS = ("bob", '"bob"', r'"b\ob"', '"BOB"', '"bob+a b"')


@pytest.mark.parametrize("local", SPELLINGS)
def test_rule_for_a_mailbox_holds_for_all_its_spellings(local: str) -> None:
    """Of a sender, of a recipient, and of an alias's member; RFC 5321 4.1.2."""
    world = _world(
        "From:bob@s.example REJECT\nTo:bob@x.example REJECT\nTo:bob@ REJECT\n",
        f"team: {local}@x.example, c@d.example\n",
    )
    for recipient, sender in (
        (f"{local}@x.example", SENDER),
        (f"{local}@y.example", SENDER),
        ("a@a.example", f"{local}@s.example"),
    ):
        with pytest.raises(Rejected) as refused:
            world.submit(recipient, sender=sender)
        assert refused.value.status is ACCESS_DENIED
    assert world.submit("team@local.example").recipient_count == 2
    world.run()
    assert _sent(world) == ["c@d.example"]


@pytest.mark.parametrize("local", SPELLINGS[:4])
def test_mailbox_is_the_same_in_every_table_and_list(local: str) -> None:
    """Aliases and virtual users; and whoever is named twice gets one mail."""
    world = World(local_domains="local.example")
    world.load("aliases", f"bob: a@a.example, {local}@local.example\n")
    world.load("virtusertable", "bob@v.example v@a.example\n@v.example %1@w.example\n")
    assert world.submit(f"{local}@local.example", f"{local}@v.example").recipient_count == 3
    assert world.submit("bob@q.example", f"{local.lower()}@q.example").recipient_count == 1
    world.run()
    assert _sent(world) == sorted(["a@a.example", f"{local}@local.example", "bob@q.example", "v@a.example"])


def test_what_needs_its_quotes_is_taken_as_a_whole_by_the_virtusertable() -> None:
    """Never as a part without its quotes; where that makes no address, there is nobody of the name."""
    world = World(local_domains="local.example")
    world.load("virtusertable", "@v.example %1@w.example\n@z.example x-%1@w.example\n@l.example %1\n")
    world.submit('"bob+a b"@v.example')
    world.run()
    assert _sent(world) == ['"bob+a b"@w.example']
    for path in ('"a b"@z.example', '"a@evil.example"@l.example'):
        with pytest.raises(Rejected) as refused:
            world.submit(path)
        assert refused.value.status.enhanced == "5.1.1"


def test_refused_or_held_alias_hands_nothing_over_to_its_target() -> None:
    """A target is asked for by its alias's address."""
    world = World(local_domains="local.example")
    world.load("access", "To:shut@local.example REJECT\nTo:kept@local.example QUARANTINE:check\n")
    world.load(
        "aliases", "shut: lambda:tickets\nkept: lambda:tickets\none: shut, a@a.example\ntwo: kept, b@b.example\n"
    )
    world.submit("one@local.example")
    world.submit("two@local.example")
    world.run(until=world.now + 3600)
    assert world.targets.taken == []
    assert _sent(world) == ["a@a.example", "b@b.example"]
    assert b"Status: 5.7.1" in world.accepted_by(SENDER)[0]


def test_member_of_a_list_is_reported_to_its_owner() -> None:
    """As any failure of a list's member."""
    world = _world("b@ REJECT\n", "team: a@a.example, b@b.example\nowner-team: boss@o.example\n")
    world.submit("team@local.example")
    world.run()
    assert _sent(world) == ["a@a.example"]
    assert len(world.accepted_by("boss@o.example")) == 1


def test_deferred_member_waits_and_is_returned_in_the_end() -> None:
    """A 4yz of the table is the word for the queue's lifetime."""
    world = _world("To:b@b.example ERROR:4.7.1:450 not now\n", "team: a@a.example, b@b.example\n")
    receipt = world.submit("team@local.example")
    world.run()
    assert world.states(receipt.queue_id) == {"a@a.example": "delivered", "b@b.example": "failed"}


def test_discarded_member_is_left_out_with_a_record() -> None:
    """No report: the operator wanted it so."""
    world = _world("To:b@b.example DISCARD\n", "team: a@a.example, b@b.example\n")
    assert world.submit("team@local.example").recipient_count == 1
    world.run()
    assert _sent(world) == ["a@a.example"]
    assert world.kinds() == ["mail"]
    assert [fields["recipients"] for event, fields in world.event_log.records if event == "Discard"] == [1]


def test_submission_whose_members_are_all_discarded_is_taken_and_dropped() -> None:
    """As one whose recipients are."""
    world = _world("To:b.example DISCARD\n", "team: a@b.example, b@b.example\n")
    assert world.submit("team@local.example").recipient_count == 0
    assert not world.spool.envelopes
    assert "Discard" in [event for event, _ in world.event_log.records]


def test_submission_whose_members_are_all_refused_is_refused() -> None:
    """Nobody would get it: the caller hears at once."""
    world = _world("To:b.example REJECT\n", "team: a@b.example, b@b.example\n")
    with pytest.raises(Rejected) as caught:
        world.submit("team@local.example")
    assert caught.value.status.enhanced == "5.7.1"
    assert not world.queues.items["delivery"]


def test_virtual_user_is_a_member() -> None:
    """What the caller did not name is looked up, however it came out."""
    world = World(local_domains="local.example")
    world.load("access", "To:z.example REJECT\n")
    world.load("virtusertable", "v@v.example x@z.example\n")
    with pytest.raises(Rejected, match="Refused by the access table"):
        world.submit("v@v.example")


def test_report_to_members_that_are_all_discarded_is_dropped_with_a_record() -> None:
    """The road of item 1 has this end too."""
    world = World(
        {"gone@c.example": [Outcome(Result.FAILED, "5.1.1", 550, "no", "RCPT", "mx")]}, local_domains="local.example"
    )
    world.load("access", "To:b.example DISCARD\n")
    world.load("aliases", "me: a@b.example\n")
    world.submit("gone@c.example", sender="me@local.example")
    world.run()
    assert world.kinds() == ["mail"]
    assert "Discard" in [event for event, _ in world.event_log.records]


def test_a_page_of_members_is_one_look_up() -> None:
    """Never one for each member; none without an access table."""
    world = _world("To:x.example REJECT\n", "team: " + ", ".join(f"u{n}@u.example" for n in range(500)) + "\n")
    counting = CountingTables()
    counting.items = world.tables.items
    object.__setattr__(world.for_validate, "tables", counting)
    world.submit("team@local.example")
    assert counting.asked.count("access") == 1 + 1 + 1  # sender, named recipient, all members
    counting.remove("access")
    counting.asked.clear()
    world.submit("team@local.example")
    assert "access" not in counting.asked


# Next hosts


def _said(access: str, name: str, *addresses: str) -> list[str] | Outcome:
    tables = MemoryTables()
    if access:
        tables.replace("access", parse_table("access", [("access", access.encode())]), 0.0)
    return asyncio.run(NextHosts(tables)(name, addresses))


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("", ["192.0.2.1", "2001:db8::1"]),
        ("example.net REJECT\n192.0.2 REJECT\nConnect:mx.example.net REJECT\n", ["192.0.2.1", "2001:db8::1"]),
        ("Server:192.0.2 REJECT\n", ["2001:db8::1"]),
        ("Server:IPv6:2001:db8 REJECT\n", ["192.0.2.1"]),
        ("Server:example.net OK\nServer:192.0.2 REJECT\n", ["192.0.2.1", "2001:db8::1"]),
        ("Server:mx.example.net RELAY\nServer:example.net REJECT\n", ["192.0.2.1", "2001:db8::1"]),
        ("Server:mx.example.net SKIP\nServer:example.net REJECT\n", ["192.0.2.1", "2001:db8::1"]),
        ("Server:192.0.2.1 OK\nServer:192 REJECT\n", ["192.0.2.1", "2001:db8::1"]),
    ],
)
def test_host_that_may_be_connected_to(access: str, expected: list[str]) -> None:
    """Only tagged keys hold; the name goes before the addresses, the nearest key before those above it."""
    assert _said(access, "mx.example.net", "192.0.2.1", "2001:db8::1") == expected


@pytest.mark.parametrize(
    ("access", "result", "status"),
    [
        ("Server:example.net REJECT\n", Result.FAILED, "5.7.1"),
        ("Server:192.0.2.1 REJECT\n", Result.FAILED, "5.7.1"),
        ("Server:example.net ERROR:4.3.2:450 under repair\n", Result.DEFERRED, "4.3.2"),
        ("Server:192.0 550 not there\n", Result.FAILED, "5.7.1"),
        ("Server:mx.example.net DISCARD\n", Result.DELIVERED, "2.0.0"),
    ],
)
def test_host_that_is_not_connected_to(access: str, result: Result, status: str) -> None:
    """In the table's own words."""
    said = _said(access, "mx.example.net", "192.0.2.1")
    assert isinstance(said, Outcome)
    assert (said.result, said.status, said.command) == (result, status, "LOCAL")


def test_ledger_that_is_away_defers() -> None:
    """Law 7."""

    class Away(MemoryTables):
        def loaded(self):
            raise LedgerUnavailable("away")

    said = asyncio.run(NextHosts(Away())("mx.example.net", ["192.0.2.1"]))
    assert isinstance(said, Outcome)
    assert said.result is Result.DEFERRED


def test_host_is_one_look_up_and_none_without_a_table() -> None:
    """Name and addresses at once."""
    tables = CountingTables()
    asyncio.run(NextHosts(tables)("mx.example.net", ["192.0.2.1", "2001:db8::1"]))
    assert tables.asked == []
    tables.replace("access", {"server:a.example": "REJECT"}, 0.0)
    asyncio.run(NextHosts(tables)("mx.example.net", ["192.0.2.1", "2001:db8::1"]))
    assert tables.asked == ["access"]


@pytest.mark.parametrize("line", ["Server:192.0.2 DISCARD", "Server:a@b.example REJECT", "Server:IPv6:2001 DISCARD"])
def test_server_entry_that_could_not_be_honoured_is_refused_at_load(line: str) -> None:
    """By name, at the line."""
    with pytest.raises(BadTable, match="access:1: Server:"):
        parse_table("access", [("access", line.encode())])
