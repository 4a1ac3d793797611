"""What the sender hears of lists and aliases: RFC 3461 5.2.7, once, whatever breaks."""

from __future__ import annotations

import email

import pytest

from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from tests.support.world import Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
SENDER = "me@example.org"
ALIASES = """
list:       a@a.example, busy@b.example
owner-list: boss@o.example
one:        team
team:       c@c.example, d@d.example
inc:        :include:l
single:     e@e.example
self:       self, f@f.example
"""


def _world(saboteur: Saboteur | None = None, script=None) -> World:
    world = World(
        {"busy@b.example": [BUSY, OK], **(script or {})}, saboteur=saboteur, local_domains="local.example"
    )  # fmt: skip
    world.load("include/l", "g@g.example\n")
    world.load("aliases", ALIASES)
    return world


def _reports(world: World, to: str = SENDER) -> list[list[tuple[str, str]]]:
    """Each report's Final-Recipient and Action, in order."""
    found = []
    for content in world.accepted_by(to):
        _, status, _ = email.message_from_bytes(content).get_payload()
        fields = status.get_payload()[1:]
        found.append([(part["Final-Recipient"].partition("; ")[2], part["Action"]) for part in fields])
    return sorted(found)


def _recipients(world: World) -> dict[str, tuple[str, ...]]:
    kept = [decode_qf(octets)[0] for octets in world.spool.envelopes.values()]
    return {r.forward_path: r.notify for envelope in kept if envelope.kind == "mail" for r in envelope.recipients}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("list", [[("list@local.example", "delivered")]]),
        ("team", [[("team@local.example", "expanded")]]),
        ("one", [[("team@local.example", "expanded")]]),
        ("inc", [[("inc@local.example", "expanded")]]),
        ("self", [[("self@local.example", "expanded")]]),
        ("single", [[("e@e.example", "relayed")]]),
    ],
)
def test_success_is_reported_once_by_what_the_name_is(named: str, expected: list) -> None:
    """A list is the end of the way, several targets are an expansion, one target reports for itself."""
    world = _world()
    world.submit(Recipient(f"{named}@local.example", ("SUCCESS", "FAILURE")))
    world.run()
    assert _reports(world) == expected


def test_members_of_an_alias_keep_all_but_success() -> None:
    """RFC 3461 5.2.7.3 c; where nothing is left NEVER is said, for silence would mean failures."""
    world = _world()
    world.submit(
        Recipient("team@local.example", ("SUCCESS", "DELAY")),
        Recipient("self@local.example", ("SUCCESS",)),
        Recipient("inc@local.example"),
    )
    found = _recipients(world)
    assert found["c@c.example"] == found["d@d.example"] == ("DELAY",)
    assert found["f@f.example"] == found["self@local.example"] == ("NEVER",)
    assert found["g@g.example"] == ()


@pytest.mark.parametrize("notify", [(), ("FAILURE",), ("NEVER",)])
def test_who_did_not_ask_hears_nothing(notify: tuple[str, ...]) -> None:
    """RFC 3461 4.1."""
    world = _world()
    world.submit(Recipient("list@local.example", notify), Recipient("team@local.example", notify))
    world.run()
    assert _reports(world) == []


def test_null_reverse_path_is_not_answered() -> None:
    """RFC 5321 6.1."""
    world = _world()
    world.submit(Recipient("team@local.example", ("SUCCESS",)), sender="")
    world.run()
    assert world.kinds() == ["mail"]


def test_reports_name_what_the_sender_named_and_no_member() -> None:
    """ENVID and ORCPT come back to the sender; a list's members see neither, nor does its owner."""
    world = _world(script={"a@a.example": [MISSING]})
    world.submit(
        Recipient("list@local.example", ("SUCCESS",), "rfc822;the+2Blist@x.example"),
        Recipient("List@local.example", ("SUCCESS",)),
        envid="QQ7",
        ret="HDRS",
    )
    world.run()
    (report,) = world.accepted_by(SENDER)
    assert b"Original-Envelope-Id: QQ7\r\n" in report
    assert b"Original-Recipient: rfc822; the+list@x.example\r\n" in report
    assert report.count(b"Action: delivered\r\n") == 2
    assert b"a.example" not in report
    assert b"busy" not in report
    assert b"other" not in report.partition(b"The mail in question")[0]
    (owners,) = world.accepted_by("boss@o.example")
    assert b"QQ7" not in owners
    assert b"body" in owners  # RET=HDRS was the sender's wish, not the owner's


def test_list_and_alias_in_one_mail_are_one_report_each() -> None:
    """A report has one kind."""
    world = _world()
    world.submit(*(Recipient(f"{name}@local.example", ("SUCCESS",)) for name in ("list", "team", "inc")), "x@y.example")
    world.run()
    assert _reports(world) == [
        [("list@local.example", "delivered")],
        [("team@local.example", "expanded"), ("inc@local.example", "expanded")],
    ]


def test_list_given_up_untried_has_arrived_all_the_same() -> None:
    """Nobody could be reached in five days: the owner hears of that, the sender that the list had it."""
    world = World(local_domains="local.example")
    world.load("aliases", ALIASES.replace("inc:", "#"))
    world.submit(Recipient("list@local.example", ("SUCCESS",)))
    world.spool.bodies.clear()
    invoke = world.invoke
    world.invoke = lambda queue, **kw: False if queue == "delivery" else invoke(queue, **kw)  # type: ignore[method-assign]
    items = world.queues.receive("delivery")
    world.now += 6 * 86_400
    world.queues.items["retry"] += world.queues.items["delivery"]
    world.queues.items["delivery"] = []
    assert items
    for _ in range(5):
        world.invoke("retry")
        world.invoke("bounce")
    assert sorted(world.kinds()) == ["dsn", "dsn", "mail"]


def _journey(saboteur: Saboteur) -> World:
    world = _world(saboteur)
    invoke = world.invoke
    # One job at a time: the order of the calls is the same at each run.
    world.invoke = lambda queue: invoke(queue, limit=1)  # type: ignore[method-assign, assignment]
    world.submit_like_a_door(
        Recipient("list@local.example", ("SUCCESS",)), Recipient("team@local.example", ("SUCCESS", "FAILURE"))
    )
    world.run()
    return world


CALLS = _journey(Saboteur()).saboteur.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_crash_at_any_step_reports_each_arrival_once(at: int, after: bool) -> None:
    """The notice is owed by the write that enters the first outcome, and its report has one id."""
    world = _journey(Saboteur(at=at, after=after))
    assert world.crashes == 1
    reports = _reports(world)
    if CALLS[at] == "deliver:transport.send" or (CALLS[at] == "deliver:ledger.save" and not after):
        # RFC 1047: the report itself may come twice, as any mail.
        reports = [report for n, report in enumerate(reports) if report not in reports[:n]]
    assert reports == [[("list@local.example", "delivered")], [("team@local.example", "expanded")]]
    assert world.kinds().count("dsn") == 2
