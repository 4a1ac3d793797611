"""Flush: what waits is tried now, once, whatever breaks; what is in hand, held, scheduled or over is left and told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from paravion.adapters.memory import MemoryRecords
from paravion.domain.outcome import Outcome, Result
from paravion.domain.pacing import HostState, Limit
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.selection import Selection, parse
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, NOT_FOUND, WRONG_STATE, Rejected
from paravion.errors import ClaimLost, LedgerUnavailable, QueueUnavailable
from paravion.ports import QueueName
from paravion.services import admin, flush, hold, operations
from paravion.services.authenticate import Principal
from paravion.services.commit import CommitDeps
from paravion.services.flush import Flush
from paravion.services.select import act_on_selection
from tests.support.world import PLAN, START, Crash, Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx.a")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.a")
OPERATOR, OTHER = Principal("AKIAOP", is_operator=True), Principal("AKIATEST")


def deps_of(world: World, saboteur: Saboteur | None = None):
    """What operators' acts need of the admin function."""
    wrap = (saboteur or Saboteur()).wrap
    if not hasattr(world, "operations"):
        world.operations = MemoryRecords()  # type: ignore[attr-defined]
    spool, queues = wrap("admin:spool", world.spool), wrap("admin:queues", world.queues)
    return SimpleNamespace(
        spool=spool, ledger=wrap("admin:ledger", world.ledger), hosts=world.hosts,
        records=wrap("admin:records", world.operations),  # type: ignore[attr-defined]
        to_commit=CommitDeps(spool, queues, lambda calls: [call() for call in calls]),
        settings=SimpleNamespace(
            sweep_grace_s=900.0, max_24_hour_send=-1.0, max_send_rate=-1.0, simulator_domain="",
            queue_return_s=PLAN.return_s, queue_return_by_priority={},
        ), counters=wrap("admin:counters", world.counters), new_token=lambda: f"{world.now}",
        event_log=world.event_log, clock=lambda: world.now,
    )  # fmt: skip


def settle(world: World, seconds: float = 120.0) -> None:
    """Let the world work for a while."""
    world.run(until=world.now + seconds)


def sent(world: World) -> list[str]:
    """Who got mail."""
    return sorted(path for _, path, _, _ in world.transport.accepted)


def _deferred(*recipients: str, **fields) -> tuple[World, str]:
    world = World({path: [BUSY, OK] for path in recipients or ("a@a.example",)}, **fields)
    queue_id = world.submit(*recipients or ("a@a.example",)).queue_id
    settle(world)
    return world, queue_id


def test_flushed_mail_is_tried_now_and_its_age_stays() -> None:
    """Not at its next time, and with everything that was."""
    world, queue_id = _deferred()
    before = world.ledger.load(JobKey(queue_id))
    assert before.state is State.DEFERRED
    told = flush.flush(queue_id, OPERATOR, deps_of(world), reason="they called")
    assert (told["changed"], told["jobs"]) == (1, [{"queue_id": queue_id, "chunk": 0, "state": "ready"}])
    world.invoke(QueueName.DELIVERY)
    record = world.ledger.load(JobKey(queue_id))
    assert (record.state, record.attempts, record.counted_from) == (State.DONE, 2, before.counted_from)
    assert sent(world) == ["a@a.example"]
    view = admin.show_message(queue_id, OPERATOR, deps_of(world))
    assert ("flush", "by AKIAOP: they called") in [(line["event"], line["text"]) for line in view["timeline"]]
    assert "they called" not in str(admin.show_message(queue_id, OTHER, deps_of(world)))
    assert ("Operation", "flush", "AKIAOP") in [
        (event, fields.get("operation"), fields.get("principal")) for event, fields in world.event_log.records
    ]


def test_flush_of_mail_deferred_again_goes_on_by_the_schedule() -> None:
    """The waits do not begin anew."""
    world = World({"a@a.example": [BUSY, BUSY, BUSY, OK]})
    queue_id = world.submit("a@a.example").queue_id
    settle(world)
    flush.flush(queue_id, OPERATOR, deps_of(world))
    settle(world, 10)
    record = world.ledger.load(JobKey(queue_id))
    assert (record.attempts, record.state) == (2, State.DEFERRED)
    assert record.due_at - world.now > 500  # the second wait, not the first


def test_repeated_flush_sends_nothing_twice() -> None:
    """It is in hand."""
    world, queue_id = _deferred()
    told = [flush.flush(queue_id, OPERATOR, deps_of(world)) for _ in range(3)]
    assert [answer["changed"] for answer in told] == [1, 0, 0]
    assert told[1]["jobs"][0]["left"] == "in_hand"
    assert len(world.queues.items[QueueName.DELIVERY]) == 1


@pytest.mark.parametrize("how", ["held", "scheduled", "done", "removed"])
def test_what_does_not_wait_is_left_and_said_so(how: str) -> None:
    """409, and nothing is sent."""
    later = {"release_at": START + 5000} if how == "scheduled" else {}
    world = World({"a@a.example": [BUSY, OK]})
    queue_id = world.submit("a@a.example", **later).queue_id
    settle(world)
    if how == "held":
        hold.hold(queue_id, "x", OPERATOR, deps_of(world))
    elif how == "removed":
        hold.remove(queue_id, OPERATOR, deps_of(world))
    elif how == "done":
        world.run()
    before = sent(world)
    with pytest.raises(Rejected) as caught:
        flush.flush(queue_id, OPERATOR, deps_of(world))
    assert caught.value.status is WRONG_STATE
    assert how in str(caught.value) or "over" in str(caught.value)
    world.invoke(QueueName.DELIVERY)
    assert sent(world) == before


def test_what_is_being_tried_or_queued_is_in_hand() -> None:
    """No second worker."""
    world = World()
    queue_id = world.submit("a@a.example").queue_id
    for _ in range(2):
        told = flush.flush(queue_id, OPERATOR, deps_of(world))
        assert [(job["left"]) for job in told["jobs"]] == ["in_hand"]
        world.ledger.claim(Job(JobKey(queue_id), START), token="t", lease_until=START + 60)


@pytest.mark.parametrize("how", ["message", "selection"])
def test_released_before_its_instant_waits_for_it(how: str) -> None:
    """RFC 4865 4: nobody is earlier, also not by hold and release."""
    for delay_s in (600.0, 5000.0):
        world = World()
        queue_id = world.submit("a@a.example", release_at=START + delay_s).queue_id
        if delay_s > 900:
            settle(world, 60)
        hold.hold(queue_id, "x", OPERATOR, deps_of(world))
        world.now += 100
        if how == "message":
            hold.release(queue_id, OPERATOR, deps_of(world))
        else:
            bulk(world, hold.Release("", OPERATOR, deps_of(world)), Selection())
        settle(world, 300)
        assert sent(world) == []
        world.run()
        assert sent(world) == ["a@a.example"]
        assert world.now >= START + delay_s
        assert world.ledger.load(JobKey(queue_id)).counted_from <= START + delay_s


def test_acts_are_an_operators_with_reasons_of_one_line() -> None:
    """And of messages that there are."""
    world, queue_id = _deferred()
    for principal, name, reason, status in (
        (OTHER, queue_id, "", ACCESS_DENIED),
        (OPERATOR, "a" * 26, "", NOT_FOUND),
        (OPERATOR, queue_id, "two\nlines", BAD_REQUEST),
    ):
        with pytest.raises(Rejected) as caught:
            flush.flush(name, principal, deps_of(world), reason=reason)
        assert caught.value.status is status
    with pytest.raises(Rejected) as caught:
        operations.list_operations(10, "", OTHER, deps_of(world))
    assert caught.value.status is ACCESS_DENIED


# Hosts


@pytest.mark.parametrize(
    ("state", "phase", "delay_s"),
    [
        (HostState("mx.a", failures=5, hold_until=START + 9e5, last_at=START), "slow", 60),
        (HostState("mx.a", strikes=1, hold_until=START + 9e5, last_at=START, rate=Limit(9, 0, START)), "paused", 60),
        (HostState("mx.a", last_at=START, max_rate=9.0), "limited", 0),
        (HostState("mx.b", failures=5, hold_until=START + 9e5, last_at=START), None, 0),
    ],
)
def test_flush_says_that_hosts_are_back(state: HostState, phase: str | None, delay_s: float) -> None:
    """What they asked for stays; the functions hear of it first."""
    world, queue_id = _deferred()
    world.hosts.items[state.name] = state
    told = flush.flush(queue_id, OPERATOR, deps_of(world))
    assert [host["state"] for host in told["hosts"]] == ([phase] if phase else [])
    (item,) = world.queues.items[QueueName.DELIVERY]
    assert item.visible_at == world.now + delay_s
    new = world.hosts.get(state.name)
    if phase:
        assert new.hold_until <= world.now
        assert new.rate == (state.rate or new.rate)
        assert new.max_rate == state.max_rate
    else:
        assert new == state


# By selection


def bulk(world: World, act, selection: Selection, *, limit: int = 3, dry_run: bool = False, deps=None) -> dict:
    """Page until the end; gives the sums."""
    sums: dict = {"examined": 0, "matched": 0, "changed": 0, "left": {}}
    after: str | None = ""
    calls = 0
    while after is not None:
        told = act_on_selection(
            act, selection, OPERATOR, deps or deps_of(world), limit=limit, after=after, dry_run=dry_run
        )
        assert told["examined"] <= limit
        calls += 1
        assert calls < 100
        for name in ("examined", "matched", "changed"):
            sums[name] += told[name]
        for word, count in told["left"].items():
            sums["left"][word] = sums["left"].get(word, 0) + count
        after = told["after"]
    return sums


def _many() -> World:
    paths = [f"u{n}@{'a' if n % 2 else 'b'}.example" for n in range(10)]
    world = World({path: [BUSY, OK] for path in paths})
    for n, path in enumerate(paths):
        world.submit(path, sender=f"s{n % 3}@example.org")
    settle(world)
    return world


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"recipient": "A.example"}, {1, 3, 5, 7, 9}),
        ({"recipient": "U3@a.example"}, {3}),
        ({"sender": "s0@example.org"}, {0, 3, 6, 9}),
        ({"sender": "example.org", "recipient": "b.example"}, {0, 2, 4, 6, 8}),
        ({"sender": "<>"}, set()),
        ({"host": "MX.a"}, set(range(10))),
        ({"host": "b.example"}, {0, 2, 4, 6, 8}),
        ({"host": "mx.other"}, set()),
        ({"texts": [("recipient", "@A.ex", False)]}, {1, 3, 5, 7, 9}),
        ({"texts": [("recipient", "@a", True), ("sender", "S1", False)]}, {4}),
        ({"texts": [("id", "!", True), ("sender", "s0", False)], "host": "b.example"}, {0, 6}),
        ({}, set(range(10))),
    ],
)
def test_selection_flushes_who_is_meant_and_nobody_else(criteria: dict[str, Any], expected: set[int]) -> None:
    """Each once, however small the pages; the dry run counts the same and changes nothing."""
    world = _many()
    selection = parse(**criteria)
    before = dict(world.ledger.records)
    dry = bulk(world, Flush("", OPERATOR, deps_of(world)), selection, dry_run=True)
    assert (dry["changed"], world.ledger.records) == (len(expected), before)
    assert operations.list_operations(9, "", OPERATOR, deps_of(world))["operations"] == []
    told = bulk(world, Flush("r", OPERATOR, deps_of(world)), selection)
    assert (told["matched"], told["changed"], told["left"]) == (len(expected), len(expected), {})
    while world.invoke(QueueName.DELIVERY):
        pass
    assert {int(path[1]) for path in sent(world)} == expected
    (listed,) = operations.list_operations(9, "", OPERATOR, deps_of(world))["operations"]
    assert (listed["operation"], listed["by"], listed["reason"], listed["changed"], listed["finished"]) == (
        "flush", "AKIAOP", "r", len(expected), True,
    )  # fmt: skip
    shown = {name: parse(**criteria).__getattribute__(name) for name in criteria if name != "texts"}
    if "texts" in criteria:
        shown["texts"] = ", ".join(
            f"{of} {'lacks' if no else 'holds'} {text.lower()}" for of, text, no in criteria["texts"]
        )
    assert listed["what"] == (shown or {"all": True})


def test_selection_reads_the_envelope_of_what_was_never_tried() -> None:
    """A scheduled job's record knows no recipients; it is left for its instant."""
    world = World()
    world.submit("a@a.example", release_at=START + 5000)
    settle(world, 60)
    told = bulk(world, Flush("", OPERATOR, deps_of(world)), parse("a.example"))
    assert (told["matched"], told["changed"], told["left"]) == (1, 0, {"scheduled": 1})
    assert bulk(world, Flush("", OPERATOR, deps_of(world)), parse("b.example"))["matched"] == 0
    world.spool.envelopes.clear()
    assert bulk(world, Flush("", OPERATOR, deps_of(world)), parse("a.example"))["matched"] == 0


@pytest.mark.parametrize("after", ["x", "e30", "WzEsMl0", "é"])
def test_place_that_no_call_gave_is_refused(after: str) -> None:
    """Not an error of ours."""
    world = World()
    with pytest.raises(Rejected) as caught:
        act_on_selection(
            Flush("", OPERATOR, deps_of(world)), Selection(), OPERATOR, deps_of(world), limit=1, after=after
        )
    assert caught.value.status is BAD_REQUEST


@pytest.mark.parametrize("criteria", [{"recipient": "a@"}, {"sender": "no domain"}, {"host": "a b"}, {"host": "a@b"}])
def test_criterion_that_names_nothing_is_refused(criteria: dict[str, str]) -> None:
    """Misspelt, it would mean nobody or everybody."""
    with pytest.raises(ValueError, match=next(iter(criteria))):
        parse(**criteria)


def test_operations_are_kept_for_a_while_and_listed_newest_first() -> None:
    """Who begins one takes away what is too old."""
    world = World()
    for n in range(5):
        world.now = START + n * 29 * 86_400.0
        bulk(world, Flush(f"r{n}", OPERATOR, deps_of(world)), Selection())
    deps = deps_of(world)
    first = operations.list_operations(2, "", OPERATOR, deps)
    assert [item["reason"] for item in first["operations"]] == ["r4", "r3"]
    second = operations.list_operations(2, first["after"], OPERATOR, deps)
    assert [item["reason"] for item in second["operations"]] == ["r2", "r1"]
    assert len(world.operations.items) == 4  # type: ignore[attr-defined]
    for call in (
        lambda: operations.list_operations(2, "é", OPERATOR, deps),
        lambda: operations.add("gone", {}, deps, finished=True),
    ):
        with pytest.raises(Rejected):
            call()


# What seldom happens


def test_host_that_changes_too_fast_is_being_asked_anyway() -> None:
    """The mail goes out all the same."""
    world, queue_id = _deferred()
    world.hosts.items["mx.a"] = HostState("mx.a", last_at=START, max_rate=9.0)

    def lost(*_: object) -> None:
        raise ClaimLost("mx.a")

    deps = deps_of(world)
    deps.hosts = SimpleNamespace(all=world.hosts.all, update=lost)
    told = flush.flush(queue_id, OPERATOR, deps)
    assert (told["changed"], told["hosts"][0]["state"], told["wait_s"]) == (1, "limited", 0)


def test_record_that_keeps_changing_is_left_for_later() -> None:
    """Asking again is safe."""
    world, queue_id = _deferred()
    deps = deps_of(world)

    def lost(*_: object) -> None:
        raise ClaimLost("changed")

    deps.ledger = SimpleNamespace(load_message=world.ledger.load_message, load=world.ledger.load, save=lost)
    with pytest.raises(LedgerUnavailable):
        flush.flush(queue_id, OPERATOR, deps)


def test_index_that_lags_shows_what_is_over_or_gone() -> None:
    """It is eventually consistent; and without a pool the calls go one by one."""
    world = _many()
    deps = deps_of(world)
    due = world.ledger.due
    first, second = sorted(world.ledger.records, key=str)[:2]

    def lagging(*args):
        found = due(*args)
        for key, record in list(world.ledger.records.items()):
            if key == first:
                del world.ledger.records[key]
            elif key == second:
                world.ledger.records[key] = record.changed(state=State.DONE)
        return found

    stale = {shard: due(shard, 1e11, 100) for shard in range(16)}
    lagging(0, 1e11, 100)
    deps.ledger = SimpleNamespace(
        due=lambda shard, now, limit, after=None: stale[shard], load=world.ledger.load, save=world.ledger.save
    )
    deps.to_commit = None
    with pytest.raises(RuntimeError, match="no queues"):
        act_on_selection(Flush("", OPERATOR, deps), Selection(), OPERATOR, deps, limit=1000)
    flushed = [record for record in world.ledger.records.values() if record.state is State.READY]
    assert len(flushed) == 8


def test_selection_takes_names_in_any_script_and_paths_of_any_kind() -> None:
    """A pipe's path has no domain."""
    assert parse(host="B\u00fccher.example") == Selection(host="xn--bcher-kva.example")
    assert parse(host="[192.0.2.1]").host == "[192.0.2.1]"
    assert parse("a.example").matches("q", "", [("postmaster", ""), ("x@A.example", "")]) == [False, True]


# Crashes and outages


def _journey(saboteur: Saboteur, error: type[BaseException] = Crash) -> World:
    """Deferred, flushed (and once more when that broke off), delivered; and by selection."""
    world = World({path: [BUSY, OK] for path in ("a@a.example", "b@a.example")}, saboteur=saboteur)
    queue_id = world.submit_like_a_door("a@a.example").queue_id
    world.submit_like_a_door("b@a.example", idempotency_key="k2")
    settle(world, 3 * 3600)
    deps = deps_of(world, saboteur)
    for _ in range(2):
        try:
            flush.flush(queue_id, OPERATOR, deps)
            bulk(world, Flush("", OPERATOR, deps), Selection(), deps=deps)
        except Crash:
            world.crashes += 1
        except (error, Rejected):
            continue
    world.run()
    return world


def _calls() -> list[tuple[int, str]]:
    calls = _journey(Saboteur()).saboteur.calls
    return [(n, name) for n, name in enumerate(calls) if name.startswith("admin:")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [Crash, LedgerUnavailable, QueueUnavailable])
def test_breaking_off_anywhere_neither_loses_nor_doubles(after: bool, kind: type[BaseException]) -> None:
    """Everybody gets it once, and nobody hears anything."""
    for at, name in _calls():
        world = _journey(Saboteur(at=at, after=after, error=kind), kind)
        assert sent(world) == ["a@a.example", "b@a.example"], name
        assert world.kinds() == ["mail", "mail"], name
