"""What admin tells of messages and the queue."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from paravion.adapters.memory import (
    MemoryCounters,
    MemoryEventLog,
    MemoryHosts,
    MemoryIdentities,
    MemoryLedger,
    MemoryRecords,
    MemorySecrets,
    MemorySpool,
    MemorySuppression,
    MemoryTables,
    MemoryUploads,
)
from paravion.api.native import timestamped
from paravion.domain.envelope import DeliverBy, Envelope, Recipient, encode_qf
from paravion.domain.next_hop import NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, State, claimed, with_outcomes, with_times_of
from paravion.domain.status import ALREADY_EXISTS, Rejected
from paravion.domain.tls_facts import TlsFacts
from paravion.ports import Identity
from paravion.services import admin
from paravion.services.admin import AdminDeps
from paravion.services.authenticate import Principal
from tests.support.dkim_keys import fixed_private_key

QUEUE_ID = "a" * 26
OURS, OTHERS, OPERATOR = Principal("AKIAOURS"), Principal("AKIAOTHERS"), Principal("AKIAOP", is_operator=True)


@pytest.fixture
def deps():
    """Fakes of everything."""
    return AdminDeps(
        SimpleNamespace(identity_check="verified"), MemorySpool(), MemoryLedger(), MemorySecrets(), MemoryIdentities(),
        MemoryTables(), MemoryHosts(lambda: 100.0), MemorySuppression(), MemoryUploads(),
        lambda domain: NextHop(domain, ()), lambda name: [], MemoryEventLog(),
        lambda: 100.0, lambda: "t0ken", fixed_private_key,
        records=MemoryRecords(), counters=MemoryCounters(),
    )  # fmt: skip


def keep(deps, queue_id=QUEUE_ID, recipients=("b@y", "c@z"), submitter=OURS.access_key):
    """Put an envelope into the spool."""
    envelope = Envelope(
        queue_id, "a@x", tuple(Recipient(path) for path in recipients), 10.0, 7, submitter=submitter, door="http"
    )
    deps.spool.put_envelope(queue_id, encode_qf(envelope, b"Subject: x\r\n"))
    return envelope


_WISHES = ("priority", "deliver_by", "deliver_by_mode")
FACTS = TlsFacts("sts", "TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True)


def attempt(queue_id=QUEUE_ID, *, chunk=0, state=State.DEFERRED, due_at=500.0):
    """Give the record of an attempt that delivered to one and was deferred by the other."""
    job = Job(JobKey(queue_id, chunk), 10.0)
    record = replace(claimed(None, job, token="t", lease_until=50.0), recipient_count=2, reverse_path="a@x")
    good = Outcome(Result.DELIVERED, "2.0.0", 250, "ok", "DOT", "mx.y", tls="TLSv1.3", tls_facts=FACTS)
    busy = Outcome(Result.DEFERRED, "4.2.1", 450, "busy", "RCPT", "mx.z")
    record = with_outcomes(record, {0: ("b@y", good), 1: ("c@z", busy)}, now=20.0, notify={}, last=True)
    return replace(record, state=state, due_at=due_at, version=0)


def test_a_message_that_nobody_tried_is_queued(deps):
    """The ledger has no record before the first claim."""
    keep(deps)
    view = admin.show_message(QUEUE_ID, OURS, deps)
    assert view["state"] == "queued"
    assert [item["state"] for item in view["recipients"]] == ["queued", "queued"]
    assert [(line["event"], line["at"]) for line in view["timeline"]] == [("queued", 10.0)]
    assert (view["due_at"], view["notices_owed"], view["octets"]) == (None, [], 21)


def test_an_attempt_is_told_recipient_by_recipient(deps):
    """Outcome, reply, host and TLS of each; the timeline names them."""
    keep(deps)
    deps.ledger.save(attempt())
    view = admin.show_message(QUEUE_ID, OURS, deps)
    assert (view["state"], view["due_at"]) == ("deferred", 500.0)
    first, second = view["recipients"]
    assert tuple(first[name] for name in ("state", "status", "code", "mx_host", "tls", "attempts")) == (
        "delivered",
        "2.0.0",
        250,
        "mx.y",
        "TLSv1.3",
        1,
    )
    assert first["tls_facts"] == {
        "policy": "sts", "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "verified": True, "result": "",
    }  # fmt: skip
    assert second["tls_facts"] is None
    assert tuple(second[name] for name in ("state", "text", "command", "at")) == ("deferred", "busy", "RCPT", 20.0)
    assert [(line["event"], line["recipients"]) for line in view["timeline"]] == [
        ("queued", []),
        ("delivered", ["b@y"]),
        ("deferred", ["c@z"]),
    ]


def test_a_failure_owes_a_notice(deps):
    """Kind and attempt of the report that the sender will get."""
    keep(deps, recipients=("b@y",))
    record = replace(claimed(None, Job(JobKey(QUEUE_ID), 10.0), token="t", lease_until=1.0), recipient_count=1)
    failed = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.y")
    deps.ledger.save(replace(with_outcomes(record, {0: ("b@y", failed)}, now=2.0, notify={}, last=True), version=0))
    view = admin.show_message(QUEUE_ID, OURS, deps)
    assert (view["state"], view["notices_owed"]) == (
        "done", [{"kind": kind, "attempt": 1, "chunk": 0} for kind in ("failed", "suppress")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "expected"),
    [(State.DONE, "queued"), (State.CLAIMED, "claimed"), (State.TRIED, "tried"), (State.REMOVED, "queued")],
)
def test_a_message_is_as_far_as_its_busiest_job(deps, first, expected):
    """The second chunk has not been claimed: the message is not done."""
    keep(deps, recipients=tuple(f"u{n}@y" for n in range(101)))
    deps.ledger.save(attempt(state=first))
    assert expected == admin.show_message(QUEUE_ID, OURS, deps)["state"]


@pytest.mark.parametrize("queue_id", [QUEUE_ID, "b" * 26, "../x", ""])
def test_others_find_nothing(deps, queue_id):
    """Somebody else's message, none at all and no id are one answer."""
    keep(deps)
    with pytest.raises(Rejected) as caught:
        admin.show_message(queue_id, OTHERS, deps)
    assert (caught.value.status.key, caught.value.detail) == ("not_found", "no such message")


def test_an_operator_sees_all(deps):
    """Also reports of our own."""
    keep(deps, submitter="paravion")
    assert admin.show_message(QUEUE_ID, OPERATOR, deps)["state"] == "queued"


def test_priority_and_deadline_are_shown(deps):
    """As they were submitted; of the queue as the record has them."""
    bare = ("normal", None, "")
    envelope = keep(deps)
    assert tuple(map(admin.show_message(QUEUE_ID, OURS, deps).get, _WISHES)) == bare
    deps.spool.envelopes.clear()
    envelope = replace(envelope, priority="bulk", deliver_by=DeliverBy(900.0, returns=True))
    deps.spool.put_envelope(QUEUE_ID, encode_qf(envelope, b"Subject: x\r\n"))
    deps.ledger.save(with_times_of(attempt(), envelope))
    deps.ledger.save(attempt("d" * 26))
    wanted = ("bulk", 900.0, "return")
    assert tuple(map(admin.show_message(QUEUE_ID, OURS, deps).get, _WISHES)) == wanted
    jobs = {job["queue_id"]: tuple(map(job.get, _WISHES)) for job in admin.show_queue(9, OPERATOR, deps)["jobs"]}
    assert jobs == {QUEUE_ID: wanted, "d" * 26: bare}
    assert timestamped({"deliver_by": 0.5}) == {"deliver_by": "1970-01-01T00:00:00.500Z"}


def test_the_queue_shows_ones_own(deps):
    """Waiting jobs only, soonest first; others' and orphaned ones are an operator's."""
    for number, (submitter, due_at) in enumerate([("AKIAOURS", 300.0), ("AKIAOURS", 200.0), ("AKIAOTHERS", 100.0)]):
        queue_id = "abc"[number] * 26
        keep(deps, queue_id, submitter=submitter)
        deps.ledger.save(attempt(queue_id, due_at=due_at))
    deps.ledger.save(attempt("d" * 26, due_at=50.0))
    deps.ledger.save(replace(JobRecord(JobKey("e" * 26), 10.0, State.CLAIMED), due_at=10.0))
    ours = admin.show_queue(100, OURS, deps)["jobs"]
    assert [job["queue_id"] for job in ours] == ["b" * 26, "a" * 26]
    assert [(item["forward_path"], item["state"], item["text"]) for item in ours[0]["recipients"]] == [
        ("b@y", "delivered", "ok"),
        ("c@z", "deferred", "busy"),
    ]
    assert tuple(ours[0][name] for name in ("state", "attempts", "queued_at", "due_at")) == ("deferred", 1, 10.0, 200.0)
    assert [job["queue_id"] for job in admin.show_queue(100, OPERATOR, deps)["jobs"]] == [
        "d" * 26,
        "c" * 26,
        "b" * 26,
        "a" * 26,
    ]


def test_a_race_of_two_creators_has_one_identity(deps):
    """The second finds the first's."""
    deps.identities.put(Identity("example.org", verified=False, token="first", created_at=1.0))
    identity, is_new = admin.ensure_identity("example.org", deps)
    assert (identity.token, is_new) == ("first", False)
    seen = iter([None, None, identity, identity, None])
    deps.identities.get = lambda name: next(seen)
    assert (identity, False) == admin.ensure_identity("example.org", deps)
    with pytest.raises(Rejected) as caught:
        admin.create_identity("example.org", deps)
    assert ALREADY_EXISTS is caught.value.status


@pytest.mark.parametrize(("check", "may_send"), [("off", True), ("created", True), ("verified", False)])
def test_what_nobody_proved_is_never_stored_as_proved(deps, check, may_send):
    """Tightening identity_check later must not trust what was only created."""
    deps.settings.identity_check = check
    identity = admin.create_identity("example.org", deps)
    assert (False, may_send) == (identity.verified, admin.may_send(identity, deps))


def test_other_refusals_of_ensure_go_through(deps):
    """Only already_exists is no error."""
    with pytest.raises(Rejected, match="confirmation mail"):
        admin.ensure_identity("a@example.org", deps)


def test_the_dns_proves_a_domain(deps):
    """Only the identity's own token does; once proved it stays so without asking again."""
    deps.identities.put(Identity("example.org", verified=False, token="t0ken", created_at=1.0))
    answers = {"_paravion.example.org": ["another"]}
    asked = replace(deps, resolver_txt=lambda name: answers.get(name, []))
    assert not admin.find_identity("EXAMPLE.org.", asked).verified
    answers["_paravion.example.org"].append("t0ken")
    assert admin.find_identity("example.org", asked).verified
    answers.clear()
    assert admin.find_identity("example.org", asked).verified
    assert [name for name, _ in deps.event_log.records] == ["IdentityVerified"]


def test_pages_of_identities(deps):
    """The name to go on after is empty on the last page."""
    for name in ("b.example", "a.example", "c.example"):
        deps.identities.put(Identity(name, verified=True, token="t", created_at=1.0))
    page, after = admin.list_identities(2, "", deps)
    assert ([identity.name for identity in page], after) == (["a.example", "b.example"], "b.example")
    page, after = admin.list_identities(2, after, deps)
    assert ([identity.name for identity in page], after) == (["c.example"], "")


def test_only_what_exists_is_deleted(deps):
    """A second delete tells that there is nothing."""
    deps.identities.put(Identity("example.org", verified=True, token="t", created_at=1.0))
    admin.delete_identity("example.org", deps)
    for call in (admin.delete_identity, admin.find_identity):
        with pytest.raises(Rejected, match="does not exist"):
            call("example.org", deps)


@pytest.mark.parametrize("name", ["localhost", "[192.0.2.1]", "a@[192.0.2.1]", "a..b", "a@b@", "x" * 64 + ".org", ""])
def test_what_can_be_no_identity(name):
    """A domain below a top-level one, or an address at one."""
    with pytest.raises(Rejected) as caught:
        admin.identity_name(name)
    assert caught.value.status.key == "bad_request"


def test_two_jobs_of_one_message_are_looked_up_once(deps):
    """The envelope is read once per message."""
    keep(deps, recipients=tuple(f"u{n}@y" for n in range(101)))
    for chunk in (0, 1):
        deps.ledger.save(attempt(chunk=chunk, due_at=100.0 + chunk))
    assert [job["chunk"] for job in admin.show_queue(100, OURS, deps)["jobs"]] == [0, 1]
