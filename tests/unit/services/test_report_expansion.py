"""Reports whose addressee is an alias: expanded like any other mail, once, whatever breaks."""

from __future__ import annotations

import pytest

from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import Outcome, Result
from tests.support.world import Saboteur, World

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
POSTMASTER = "post@master.example"
TABLES = "boss: alice@a.example, bob@b.example\nlist: gone@c.example\nowner-list: boss\n"


def _world(aliases: str = TABLES, virtual: str = "", script=None, saboteur: Saboteur | None = None) -> World:
    world = World(
        {"gone@c.example": [MISSING], **(script or {})},
        saboteur=saboteur,
        local_domains="local.example",
        postmaster=POSTMASTER,
    )
    if aliases:
        world.load("aliases", aliases)
    if virtual:
        world.load("virtusertable", virtual)
    return world


def _reports(world: World) -> list[tuple[str, str]]:
    return sorted(
        (path, reverse) for _, path, reverse, content in world.transport.accepted if b"report-type" in content
    )


def test_report_to_an_owner_that_is_an_alias_reaches_whoever_is_behind_it() -> None:
    """The owner's alias is expanded, the null reverse-path stays, and nobody reads of the others."""
    world = _world()
    world.submit("list@local.example")
    world.run()
    assert _reports(world) == [("alice@a.example", ""), ("bob@b.example", "")]
    (content,) = world.accepted_by("alice@a.example")
    assert content.startswith(b"Delivered-To: boss@local.example\r\n")
    assert b"To: boss@local.example\r\n" in content


@pytest.mark.parametrize(
    ("aliases", "virtual", "sender"),
    [
        ("me: real@r.example\n", "", "me@local.example"),
        ("", "me@virtual.example real@r.example\n", "me@virtual.example"),
        ("real: real@r.example\n", "@virtual.example real\n", "me@virtual.example"),
    ],
)
def test_report_to_a_sender_that_is_an_alias_or_virtual_user(aliases: str, virtual: str, sender: str) -> None:
    """The same tables as for any mail."""
    world = _world(aliases, virtual)
    world.submit("gone@c.example", sender=sender)
    world.run()
    assert _reports(world) == [("real@r.example", "")]


def test_report_to_a_list_keeps_its_null_reverse_path_and_shares_one_body() -> None:
    """More than one message of members: one report in the eyes of each."""
    members = "".join(f"u{n}@z.example\n" for n in range(2050))
    world = World({"gone@c.example": [MISSING]}, local_domains="local.example")
    world.load("include/l", members)
    world.load("aliases", "team: :include:l\nowner-team: boss@o.example\n")
    world.submit("gone@c.example", sender="team@local.example")
    world.run()
    assert _reports(world) == sorted((f"u{n}@z.example", "") for n in range(2050))
    assert len(world.spool.bodies) == 2  # the mail's and the report's
    assert {decode_qf(octets)[0].kind for octets in world.spool.envelopes.values()} == {"mail", "dsn"}


@pytest.mark.parametrize(
    ("aliases", "virtual"),
    [
        ("", "me@virtual.example error:nouser gone away\n"),
        ("loop: loop2+x\nloop2: loop+y\n", "me@virtual.example loop@local.example\n"),
        ("list: :include:l\n", "me@virtual.example list@local.example\n"),
    ],
    ids=["error", "loop", "nobody"],
)
def test_addressee_that_the_tables_refuse_is_a_double_bounce(aliases: str, virtual: str) -> None:
    """The report fails like one that a host refused: the postmaster hears of it, once."""
    world = _world("", virtual)
    world.load("include/l", "")
    if aliases:
        world.load("aliases", aliases)
    world.submit("gone@c.example", sender="me@virtual.example")
    world.run()
    assert [path for path, _ in _reports(world)] == [POSTMASTER]
    assert world.kinds() == ["double-bounce", "dsn", "mail"]


def test_postmaster_that_is_an_alias_is_expanded_and_a_refused_one_ends_it() -> None:
    """Each step down is final: a double bounce that the tables refuse is dropped with a record."""
    world = _world("pm: real@r.example\n", "post@master.example pm@local.example\nme@virtual.example error:nouser x\n")
    world.submit("gone@c.example", sender="me@virtual.example")
    world.run()
    assert _reports(world) == [("real@r.example", "")]
    world = _world("", "post@master.example error:nouser x\nme@virtual.example error:nouser x\n")
    world.submit("gone@c.example", sender="me@virtual.example")
    world.run()
    assert _reports(world) == []
    assert [event for event, _ in world.event_log.records].count("DoubleBounceDropped") == 1


def test_owner_whose_members_fail_goes_to_the_postmaster_and_no_further() -> None:
    """A report to a list owner's members fails: not to the owner again."""
    world = _world(script={"alice@a.example": [MISSING], "bob@b.example": [MISSING]})
    world.submit("list@local.example")
    world.run()
    assert [path for path, _ in _reports(world)] == [POSTMASTER]


def _journey(saboteur: Saboteur, aliases: str = TABLES) -> World:
    world = _world(aliases, saboteur=saboteur)
    world.submit_like_a_door("list@local.example")
    world.run()
    return world


CALLS = _journey(Saboteur()).saboteur.calls
OF_BOUNCE = [n for n, name in enumerate(CALLS) if name.startswith("bounce:")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", OF_BOUNCE, ids=[f"{n}-{CALLS[n]}" for n in OF_BOUNCE])
def test_crash_at_any_step_of_bounce_sends_each_report_once(at: int, after: bool) -> None:
    """The report's id follows from its job: a repeat is the same messages."""
    world = _journey(Saboteur(at=at, after=after))
    assert world.crashes == 1
    assert _reports(world) == [("alice@a.example", ""), ("bob@b.example", "")]


@pytest.mark.parametrize("at", OF_BOUNCE, ids=[f"{n}-{CALLS[n]}" for n in OF_BOUNCE])
def test_tables_that_change_between_crash_and_repeat_double_nothing(at: int) -> None:
    """Whoever the first commit named gets it, or, before it, whoever the new table names."""
    saboteur = Saboteur(at=at, after=True)
    world = _world(saboteur=saboteur)
    invoke = world.invoke

    def changing(queue: str, **options: int) -> bool:
        crashes = world.crashes
        done = invoke(queue, **options)
        if world.crashes > crashes:
            world.load("aliases", "boss: new@n.example\nlist: gone@c.example\nowner-list: boss\n")
        return done

    world.invoke = changing  # type: ignore[method-assign, assignment]
    world.submit_like_a_door("list@local.example")
    world.run()
    assert _reports(world) in ([("alice@a.example", ""), ("bob@b.example", "")], [("new@n.example", "")])


def test_without_tables_bounce_makes_the_calls_that_it_ever_made() -> None:
    """One read of the ledger and the envelope, one commit, one settlement."""
    world = World({"gone@c.example": [Outcome(Result.FAILED, "5.7.1", 550, "no", "RCPT", "mx")]})
    world.submit("gone@c.example")
    world.run()
    calls = [name for name in world.saboteur.calls if name.startswith("bounce:")]
    assert calls == [
        "bounce:ledger.load",
        "bounce:spool.get_envelope",
        "bounce:spool.get_body",
        "bounce:secrets.get",
        "bounce:secrets.get",
        "bounce:spool.put_body",
        "bounce:spool.put_envelope",
        "bounce:queues.send",
        "bounce:ledger.load",
        "bounce:ledger.save",
    ]
