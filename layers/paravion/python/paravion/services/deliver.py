"""
Try each job once, now: claim it, find the next hops, send, record every recipient's outcome.

Decides nothing about time. A job with somebody still deferred is reported as failed and released at once,
so that SQS hands it to the dead-letter queue, where `retry` waits. All jobs of a batch, and all next hops
of a job, run concurrently on one loop.

    what the claim finds        done about it
    --------------------------  ------------------------------------------------------------------------
    nothing, or ready           claimed: tried now
    deferred, held              dropped: the due index has it
    done, removed               dropped; if reports are owed, the bounce queue is told again
    claimed, tried              failed: somebody else's, `retry` sees to it that it is not lost

The one instant that can duplicate (RFC 1047): a remote host said 250 and we die before the ledger says so.
Every outcome is therefore recorded as soon as it is known, while other hops are still under way, and the
recording is repeated through an outage for as long as the invocation lasts.

Asked are those recipients whose time it is (domain/asked.py): a host that named one later than the job's is left alone.

A recipient that an alias sends to a function, topic, queue or webhook has no next hop: it is handed over
(ports.Targets), each target by itself.

Next on the message's path: services/retry.py for what failed, services/bounce.py for what is owed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from paravion.domain import asked, queue, simulator
from paravion.domain.address import split_address
from paravion.domain.classification import record_fields
from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import State
from paravion.domain.refusal import Refusal
from paravion.domain.status import ATTEMPT_BROKE_OFF, CONTENT_LOST, DNS_TEMPFAIL
from paravion.domain.transcript import Book, book_key
from paravion.domain.verdict import our_outcome
from paravion.errors import ClaimLost, LedgerUnavailable, SpoolMissing, Unavailable
from paravion.ports import Handover, QueueName, Transaction
from paravion.services.fallback import Leg
from paravion.services.routes import Chain, MxRoute, refused, routes_for
from paravion.services.statistics import Tallies
from paravion.services.withhold import of_batch, withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.envelope import Envelope, Recipient
    from paravion.domain.next_hop import NextHop
    from paravion.domain.queue import Job, JobRecord, Received
    from paravion.domain.suppression import Reason, Suppressed
    from paravion.domain.transcript import Recorder
    from paravion.ports import (
        Body,
        Counters,
        EventLog,
        Ledger,
        Queues,
        Resolver,
        Spool,
        Suppression,
        Tables,
        Targets,
        Transcripts,
        Transport,
    )
    from paravion.services.blocking import InThread
    from paravion.services.gathering import Member
    from paravion.services.mta_sts import StsFinder
    from paravion.services.routes import Route

LEASE_MARGIN_S: Final = 30.0
"""A lease outlives its invocation by this: clocks differ, and a frozen function may not wake into its own lease."""

LARGE_BODY_OCTETS: Final = 1 << 20
"""A larger body is streamed for each next hop (adapters/s3_spool.py)."""

_RECORDING_S: Final = 10.0
"""Kept free at the invocation's end for writing down what the hosts said."""

_KEEPING_S: Final = 3.0
"""Longest that the invocation goes on for its transcripts, out of what is kept for the recording."""

_COUNTING_S: Final = 1.0
"""Longest that the invocation goes on for its statistics."""

_RECORD_NAMES: Final = {Result.DELIVERED: "Delivery", Result.DEFERRED: "TransientFailure", Result.FAILED: "Bounce"}


@dataclass(frozen=True, slots=True)
class DeliverDeps:
    """
    What `deliver` needs.

    Attributes:
        smarthost: Where all mail goes that the mailertable has no route for; None: each domain's own hosts.
        suppression_reasons: For which reasons addresses are suppressed, unless the list itself says.
        clock: Seconds since the epoch.
        new_token: A lease's owner, unique for each call.
        mta_sts: Finds domains' policies; None: nobody's is asked for.
        transcripts: Where what was said is kept; None: nothing is.
        in_thread: Calls the ports that block; `directly` if none of them does (services/blocking.py).
        counters: Where it is counted what becomes of mail; None: it is not.
        simulator_domain: Where mailboxes are simulated beside Amazon's domain (domain/simulator.py); "" for nowhere.
    """

    spool: Spool
    queues: Queues
    ledger: Ledger
    resolver: Resolver
    transport: Transport
    event_log: EventLog
    smarthost: NextHop | None
    tables: Tables
    targets: Targets
    suppression: Suppression
    suppression_reasons: Sequence[Reason]
    clock: Callable[[], float]
    new_token: Callable[[], str]
    mta_sts: StsFinder | None = None
    transcripts: Transcripts | None = None
    in_thread: InThread = asyncio.to_thread
    simulator_domain: str = ""
    counters: Counters | None = None


async def deliver(
    items: Sequence[Received], deps: DeliverDeps, remaining_s: float, gates: Gates | None = None
) -> list[str]:
    """
    Try each item's job once.

    Args:
        remaining_s: Seconds until the invocation is cut off.
        gates: Shared by calls that run in one process; its own, without them.

    Returns:
        The item ids that must go on to the dead-letter queue; they have been made visible at once.
    """
    deadline = asyncio.get_running_loop().time() + remaining_s
    gates = gates or Gates()
    book = Book(book_key(deps.clock(), deps.new_token())) if deps.transcripts is not None else None
    ends_at = deps.clock() + remaining_s
    listed = of_batch(deps.suppression, deps.suppression_reasons, deps.clock, len(items), deps.in_thread)
    members = [listed.member() for _ in items]
    telling: list[Received] = []
    tallies = Tallies()
    tasks = [
        asyncio.ensure_future(_one(item, deps, deadline, ends_at, gates, member, book, telling, tallies))
        for item, member in zip(items, members, strict=True)
    ]
    try:
        done = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await _settle(deps, deadline)
    failed = [item for item, ok in zip(items, done, strict=True) if not ok]
    if telling:
        failed += await _publish(telling, deps)
    if failed:
        await deps.in_thread(deps.queues.release, QueueName.DELIVERY, [item.receipt for item in failed])
    await _keep(book, deps, deadline)
    await _count(tallies, deps, deadline)
    return [item.item_id for item in failed]


async def _publish(telling: Sequence[Received], deps: DeliverDeps) -> list[Received]:
    """Have events published, for the whole batch at once; gives the items that `retry` must see to instead."""
    jobs = [item.job for item in telling if item.job is not None]
    # crash here = the items come again, are found done with events owed, and get here again
    try:
        await deps.in_thread(deps.queues.send, QueueName.EVENT, jobs)
    except Unavailable as exc:
        deps.event_log.emit("Fault", {"stage": "events", "error": repr(exc)})
        return list(telling)
    return []


async def _count(tallies: Tallies, deps: DeliverDeps, deadline: float) -> None:
    """Write the statistics: best effort, after everything that mail depends on."""
    seconds = min(_COUNTING_S, deadline - asyncio.get_running_loop().time())
    if deps.counters is None or not tallies or seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await deps.in_thread(tallies.write, deps.counters, deps.clock(), deps.event_log)
    except Exception as exc:  # noqa: BLE001 (a count is never worth a delivery)
        deps.event_log.emit("Fault", {"stage": "statistics", "error": repr(exc)})


async def _settle(deps: DeliverDeps, deadline: float) -> None:
    """Let the transport finish; what hangs there must not cost the batch its answer."""
    try:
        async with asyncio.timeout_at(deadline - _KEEPING_S):
            await deps.transport.settle()
    except TimeoutError:
        deps.event_log.emit("Fault", {"stage": "settle", "error": "no time was left"})


async def _keep(book: Book | None, deps: DeliverDeps, deadline: float) -> None:
    """Store the transcripts: best effort, after everything that mail depends on."""
    seconds = min(_KEEPING_S, deadline - asyncio.get_running_loop().time())
    if book is None or book.is_empty or deps.transcripts is None or seconds <= 0:
        return
    # crash here = history lines that name a transcript that is not there; whoever asks for it is told so
    try:
        async with asyncio.timeout(seconds):
            kept = await deps.in_thread(deps.transcripts.put, book.key, book.encode())
        error = "" if kept else "not kept"
    except Exception as exc:  # noqa: BLE001 (a transcript is never worth a delivery)
        error = repr(exc)
    if error:
        deps.event_log.emit("Fault", {"stage": "transcripts", "transcript": book.key, "error": error})


class Gates:
    """What a batch may have open at once: its memory and descriptors are the function's, whatever its jobs name."""

    def __init__(self) -> None:
        self.hops = asyncio.Semaphore(100)
        # A large body is streamed: each of its streams holds a few pieces, here and in the socket.
        self.large_bodies = asyncio.Semaphore(20)
        self.look_ups = asyncio.Semaphore(50)


async def _one(
    item: Received,
    deps: DeliverDeps,
    deadline: float,
    ends_at: float,
    gates: Gates,
    listed: Member[Suppressed],
    book: Book | None,
    telling: list[Received],
    tallies: Tallies,
) -> bool:
    """Try one job; True when its item may be deleted. Whose events are owed joins `telling`."""
    job = item.job
    if job is None:
        listed.leave()
        deps.event_log.emit("Fault", {"stage": "deliver", "error": "no job in the item"})
        return False
    try:
        attempt = _Attempt(job, deps, deadline, ends_at, gates, listed, book, tallies)
        is_done = await attempt.run()
        if attempt.owes_event:
            telling.append(item)
        return is_done
    except Exception as exc:  # noqa: BLE001 (law 7: our own faults defer, and the batch goes on)
        fields = {"stage": "deliver", "queue_id": job.key.queue_id, "chunk": job.key.chunk}
        deps.event_log.emit("Fault", {**fields, "error": repr(exc)})
        return False
    finally:
        listed.leave()


class _Attempt:
    """One job's attempt; holds the record as last saved."""

    def __init__(
        self,
        job: Job,
        deps: DeliverDeps,
        deadline: float,
        ends_at: float,
        gates: Gates,
        listed: Member[Suppressed],
        book: Book | None,
        tallies: Tallies,
    ) -> None:
        self.job = job
        self.tallies = tallies
        self.tenant = ""
        self.book = book
        self.gates = gates
        self.listed = listed
        self.deps = deps
        self.deadline = deadline
        self.ends_at = ends_at
        self.notify: Mapping[int, tuple[str, ...]] = {}
        self.arrivals: tuple[queue.NoticeKind, ...] = ()
        self.tells: tuple[str, ...] = ()
        self.owes_event = False

    async def run(self) -> bool:
        deps = self.deps
        token = deps.new_token()
        record = await deps.in_thread(
            deps.ledger.claim, self.job, token=token, lease_until=self.ends_at + LEASE_MARGIN_S
        )
        if record.token != token and queue.is_of_earlier_message(record, self.job):
            # crash here = ready, as after a sweep: whoever gets the job next claims it
            fresh = queue.JobRecord(self.job.key, self.job.queued_at, State.READY, version=record.version)
            await deps.in_thread(deps.ledger.save, fresh)
            record = await deps.in_thread(
                deps.ledger.claim, self.job, token=token, lease_until=self.ends_at + LEASE_MARGIN_S
            )
        if record.token != token:
            return await self._not_ours(record)
        try:
            envelope, header = decode_qf(await deps.in_thread(deps.spool.get_envelope, self.job.key.queue_id))
        except (SpoolMissing, Unavailable, ValueError) as exc:
            await self._give_back(record, exc)
            return False
        if envelope.quarantine and not record.released:
            await self._hold(record, envelope)
            return True
        chunk = envelope.chunk(self.job.key.chunk)
        record = _with_envelope(record, envelope, len(chunk))
        self.notify = {n: recipient.notify for n, recipient in chunk.items()}
        self.arrivals = queue.arrivals_of(envelope, self.job.key.chunk)
        self.tells = envelope.tells
        self.tenant = envelope.tenant
        todo = {n: chunk[n] for n in record.open_positions(chunk)}
        now = deps.clock()
        is_over = record.returns_by and record.deliver_by_at <= now
        if is_over or 0 < record.max_delivery_s <= now - record.counted_from:
            return await self._expire(record, todo)
        # The others' hosts asked us to come later than now.
        todo = {n: todo[n] for n in asked.due_positions(record, todo, now)}
        try:
            not_sent = await withheld(envelope, todo, self.listed)
        except Unavailable as exc:
            await self._give_back(record, exc)
            return False
        own_domain = deps.simulator_domain
        for n, recipient in todo.items():
            if simulator.is_simulated(recipient.forward_path, own_domain) and not recipient.target:
                not_sent[n] = simulator.answered(recipient.forward_path, record.attempts)
        record = await self._send_all(record, envelope, header, todo, not_sent)
        # Of a job that goes on to `retry` both are told there.
        if record.owes_report and record.state is not State.TRIED:
            # crash here = the item comes again, is found done with a report owed, and gets here again
            await deps.in_thread(deps.queues.send, QueueName.BOUNCE, [self.job])
        self.owes_event = record.state is State.DONE and record.owes_event
        return record.state is State.DONE

    async def _not_ours(self, record: JobRecord) -> bool:
        if record.state in {State.CLAIMED, State.TRIED}:
            return False
        if record.is_closed and record.owes_report:
            await self.deps.in_thread(self.deps.queues.send, QueueName.BOUNCE, [self.job])
        self.owes_event = record.is_closed and record.owes_event
        return True

    async def _hold(self, record: JobRecord, envelope: Envelope) -> None:
        """Held from its submission on. crash here = broke off: `retry` sends it back, and it is held then."""
        reason = envelope.quarantine
        count = len(envelope.chunk(self.job.key.chunk))
        record = queue.with_times_of(record, envelope)
        record = replace(record, recipient_count=count, reverse_path=envelope.reverse_path)
        record = replace(record, state=State.READY, attempts=record.attempts - 1)
        now = self.deps.clock()
        record = queue.held(queue.with_event(record, "hold", now=now, text=reason), reason, now=now)
        await self.deps.in_thread(self.deps.ledger.save, record)
        fields = {"queue_id": record.key.queue_id, "chunk": record.key.chunk, "reason": reason, "recipients": count}
        self.deps.event_log.emit("Hold", fields)

    async def _expire(self, record: JobRecord, todo: Mapping[int, Recipient]) -> bool:
        """Too old for its configuration set, before anything was sent. crash here = broke off, and found so again."""
        told = {n: (recipient.forward_path, queue.expiry(record, n)) for n, recipient in todo.items()}
        now = self.deps.clock()
        record = queue.expired(
            record, now=now, outcomes=told, notify=self.notify, arrivals=self.arrivals, tells=self.tells
        )
        record = await self.deps.in_thread(self.deps.ledger.save, record)
        self.tallies.add(self.tenant, (outcome for _, outcome in told.values()))
        for path, outcome in told.values():
            fields = {"queue_id": record.key.queue_id, "chunk": record.key.chunk, "attempts": record.attempts}
            told_of = {"recipient": path, "text": outcome.text, **record_fields(outcome)}
            self.deps.event_log.emit("Expiration", {**fields, **told_of})
        if record.owes_report:
            await self.deps.in_thread(self.deps.queues.send, QueueName.BOUNCE, [self.job])
        self.owes_event = record.owes_event
        return True

    async def _give_back(self, record: JobRecord, exc: Exception) -> None:
        """Our own fault stopped the attempt before anything was sent."""
        fields = {"stage": "deliver", "queue_id": self.job.key.queue_id, "chunk": self.job.key.chunk}
        self.deps.event_log.emit("Fault", {**fields, "error": repr(exc)})
        now = self.deps.clock()
        row = CONTENT_LOST if isinstance(exc, SpoolMissing) else ATTEMPT_BROKE_OFF
        record = queue.stopped(record, row.text, now=now)
        if record.quarantine:
            record = queue.held(record, record.quarantine, now=now)
        await self.deps.in_thread(self.deps.ledger.save, record)

    async def _send_all(
        self,
        record: JobRecord,
        envelope: Envelope,
        header: bytes,
        todo: Mapping[int, Recipient],
        not_sent: Mapping[int, Outcome],
    ) -> JobRecord:
        """Send to every next hop at once, and record outcomes as they come in."""
        outcomes, hops = await self._next_hops(
            {n: item for n, item in todo.items() if not item.target and n not in not_sent}
        )
        outcomes |= not_sent
        self._tell(record, outcomes, todo)
        body = self.deps.spool.open_body(envelope.df_id, envelope.body_octets)
        tasks: dict[asyncio.Future[dict[int, Outcome]], Leg | None] = {
            asyncio.ensure_future(self._hand_over(n, item, envelope, header, body)): None
            for n, item in todo.items()
            if item.target
        }
        legs = [self._leg(hop, positions, record, envelope, header, body, todo) for hop, positions in hops]
        if len(legs) == 1 and not tasks and not outcomes:
            # Most mail: nothing goes on beside it, and a task would only cost.
            outcomes, following = legs[0].after(await self._send(legs[0].hop, legs[0].transaction))
            legs = [following] if following is not None else []
        for leg in legs:
            tasks[asyncio.ensure_future(self._send(leg.hop, leg.transaction))] = leg
        try:
            while True:
                while tasks and not outcomes:
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        ended = tasks.pop(task)
                        settled, following = ended.after(task.result()) if ended else (task.result(), None)
                        outcomes.update(settled)
                        if following is not None:
                            tasks[asyncio.ensure_future(self._send(following.hop, following.transaction))] = following
                    self._tell(record, {n: outcome for n, outcome in outcomes.items() if todo[n].target}, todo)
                last = not tasks
                # The instant of RFC 1047 ends with this write.
                record = await self._record(record, outcomes, todo, last=last)
                self._log(record, outcomes, todo)
                outcomes = {}
                if last:
                    return record
        finally:
            for task in tasks:
                task.cancel()

    def _leg(
        self,
        hop: NextHop,
        positions: Sequence[int],
        record: JobRecord,
        envelope: Envelope,
        header: bytes,
        body: Body,
        todo: Mapping[int, Recipient],
    ) -> Leg:
        recipients = {n: (todo[n].forward_path, todo[n].notify, todo[n].orcpt) for n in positions}
        transaction = Transaction(
            envelope.queue_id,
            envelope.mail_from or envelope.reverse_path,
            recipients,
            header,
            body,
            envelope.body_type,
            envelope.smtputf8,
            envelope.ret,
            envelope.envid,
            envelope.tls_required,
            self._recorder(record, hop),
        )
        if envelope.deliver_by is not None:
            left_s = envelope.deliver_by.at - self.deps.clock()
            at = asyncio.get_running_loop().time() + left_s
            transaction = replace(transaction, deliver_by=replace(envelope.deliver_by, at=at))
        if envelope.requiretls or envelope.tls_optional:
            transaction = replace(transaction, requiretls=envelope.requiretls, tls_optional=envelope.tls_optional)
        return Leg(hop, transaction)

    async def _next_hops(
        self, todo: Mapping[int, Recipient]
    ) -> tuple[dict[int, Outcome], list[tuple[NextHop, list[int]]]]:
        """Group recipients by next hop; those whose domain has none get its outcome, those refused theirs."""
        said = {n: refused(Refusal.parse(item.refusal)) for n, item in todo.items() if item.refusal}
        if said:
            others, to_hops = await self._next_hops({n: item for n, item in todo.items() if n not in said})
            return {**others, **said}, to_hops
        by_domain: dict[str, list[int]] = {}
        for n, recipient in todo.items():
            by_domain.setdefault(split_address(recipient.forward_path)[1], []).append(n)
        try:
            routes = await self.deps.in_thread(routes_for, by_domain, self.deps.tables)
        except LedgerUnavailable as exc:
            self.deps.event_log.emit("Fault", {"stage": "deliver", "error": repr(exc)})
            return dict.fromkeys(todo, _broke_off()), []
        looking = [self._next_hop(domain, routes.get(domain)) for domain in by_domain]
        found = [await looking[0]] if len(looking) == 1 else await asyncio.gather(*looking)
        outcomes: dict[int, Outcome] = {}
        hops: dict[tuple[str, ...], tuple[NextHop, list[int]]] = {}
        for hop, positions in zip(found, by_domain.values(), strict=True):
            if isinstance(hop, Outcome):
                outcomes.update(dict.fromkeys(positions, hop))
            else:
                hops.setdefault(hop.key, (hop, []))[1].extend(positions)
        return outcomes, list(hops.values())

    async def _next_hop(self, domain: str, route: Route | None) -> NextHop | Outcome:
        if isinstance(route, Chain):
            return route.resolved(await asyncio.gather(*(self._next_hop(domain, hop) for hop in route.hops)))
        if isinstance(route, MxRoute):
            return route.resolved(await self._look_up(route.domain))
        return route or self.deps.smarthost or await self._look_up(domain)

    async def _look_up(self, domain: str) -> NextHop | Outcome:
        try:
            async with asyncio.timeout_at(self.deadline - _RECORDING_S), self.gates.look_ups:
                return await self.deps.resolver.next_hop(domain)
        except TimeoutError:
            return our_outcome(DNS_TEMPFAIL, "", "DNS")

    async def _send(self, hop: NextHop, transaction: Transaction) -> dict[int, Outcome]:
        large = transaction.body.octets > LARGE_BODY_OCTETS
        hop = await self._with_sts(hop)
        try:
            async with self.gates.large_bodies if large else self.gates.hops:
                outcomes = await self.deps.transport.send(hop, transaction, self.deadline - _RECORDING_S)
        except Exception as exc:  # noqa: BLE001 (law 7: our own faults defer, and what other hops took is recorded)
            # SpoolMissing, Unavailable: the body could not be read, and no final dot was sent.
            self.deps.event_log.emit(
                "Fault", {"stage": "deliver", "queue_id": self.job.key.queue_id, "error": repr(exc)}
            )
            return dict.fromkeys(transaction.recipients, _broke_off())
        if transaction.recorder is not None and transaction.recorder.is_empty:
            # No host was asked: all wait for their turn, or are known to be away.
            for text in dict.fromkeys(outcome.text for outcome in outcomes.values()):
                transaction.recorder.note(asyncio.get_running_loop().time(), text)
        return outcomes

    async def _with_sts(self, hop: NextHop) -> NextHop:
        """Give the hop with what its domain's MTA-STS policy asks for."""
        if self.deps.mta_sts is None or not hop.policy_domain:
            return hop
        try:
            async with asyncio.timeout_at(self.deadline - _RECORDING_S), self.gates.look_ups:
                return replace(hop, sts=await self.deps.mta_sts.find(hop.policy_domain))
        except TimeoutError:
            # Nor is there any time left to send.
            return hop

    async def _hand_over(
        self, position: int, recipient: Recipient, envelope: Envelope, header: bytes, body: Body
    ) -> dict[int, Outcome]:
        handover = Handover(
            recipient.target,
            envelope.queue_id,
            recipient.forward_path,
            envelope.reverse_path,
            envelope.queued_at,
            header,
            body,
            envelope.df_id,
        )
        fault = {"stage": "deliver", "queue_id": envelope.queue_id, "target": recipient.target}
        large = body.octets > LARGE_BODY_OCTETS
        try:
            async with self.gates.large_bodies if large else self.gates.hops:
                outcome = await self.deps.targets.hand_over(handover, self.deadline - _RECORDING_S)
        except Exception as exc:  # noqa: BLE001 (law 7: our own faults defer, and the other recipients go on)
            self.deps.event_log.emit("Fault", {**fault, "error": repr(exc)})
            return {position: _broke_off()}
        from paravion.domain.target_verdict import OPERATORS  # few aliases name a target

        if outcome.status in OPERATORS:
            self.deps.event_log.emit("Fault", {**fault, "error": outcome.text})
        return {position: outcome}

    def _recorder(self, record: JobRecord, hop: NextHop) -> Recorder | None:
        """Who writes down what is said on the way to a next hop."""
        if self.book is None:
            return None
        key = record.key
        return self.book.recorder(key.queue_id, key.chunk, record.attempts, self.deps.clock(), hop.name)

    def _tell(self, record: JobRecord, outcomes: Mapping[int, Outcome], todo: Mapping[int, Recipient]) -> None:
        """Write down what became of recipients without a next hop."""
        if self.book is not None and outcomes:
            # Several targets of one alias have its address.
            told = [(todo[n].forward_path, outcome) for n, outcome in outcomes.items()]
            self.book.without_host(record.key.queue_id, record.key.chunk, record.attempts, self.deps.clock(), told)

    async def _record(
        self, record: JobRecord, outcomes: Mapping[int, Outcome], todo: Mapping[int, Recipient], *, last: bool
    ) -> JobRecord:
        """
        Write outcomes down, through conflicts and outages, until they stand or the time is up.

        Raises:
            ClaimLost: The job is no longer ours.
            LedgerUnavailable: Until the very end; the attempt then counts as broken off.
        """
        told = {n: (todo[n].forward_path, outcome) for n, outcome in outcomes.items()}
        token, attempt = record.token, record.attempts
        wait_s = 0.05
        while True:
            new = queue.with_outcomes(
                record,
                told,
                now=self.deps.clock(),
                notify=self.notify,
                last=last,
                arrivals=self.arrivals,
                transcript=self.book.key if self.book is not None else "",
                tells=self.tells,
            )
            try:
                try:
                    return await self.deps.in_thread(self.deps.ledger.save, new)
                except ClaimLost:
                    fresh = await self.deps.in_thread(self.deps.ledger.load, self.job.key)
            except LedgerUnavailable:
                if asyncio.get_running_loop().time() + wait_s > self.deadline:
                    raise
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, 2.0)
                continue
            if fresh is None or fresh.attempts != attempt or fresh.token not in {token, ""}:
                raise ClaimLost(f"{self.job.key} is no longer ours")
            if fresh.token == "":
                if all(n in fresh.recipients and fresh.recipients[n].attempt == attempt for n in told):
                    # Our own last write, whose answer got lost.
                    return fresh
                raise ClaimLost(f"{self.job.key} was taken from us when its lease was over")
            # Somebody settled a report meanwhile; our outcomes go on top.
            record = replace(
                fresh,
                recipient_count=new.recipient_count,
                reverse_path=new.reverse_path,
                max_delivery_s=new.max_delivery_s,
                suppressed_reasons=new.suppressed_reasons,
                priority=new.priority,
                deliver_by_at=new.deliver_by_at,
                returns_by=new.returns_by,
                told_by=new.told_by,
            )

    def _log(self, record: JobRecord, outcomes: Mapping[int, Outcome], todo: Mapping[int, Recipient]) -> None:
        self.tallies.add(self.tenant, outcomes.values())
        for n, outcome in outcomes.items():
            self.deps.event_log.emit(
                _RECORD_NAMES[outcome.result],
                {
                    "queue_id": record.key.queue_id,
                    "recipient": todo[n].forward_path,
                    **({"target": todo[n].target} if todo[n].target else {}),
                    "reverse_path": record.reverse_path,
                    "attempt": record.attempts,
                    "code": outcome.code,
                    "status": outcome.status,
                    "text": outcome.text,
                    "command": outcome.command,
                    "mx_host": outcome.mx_host,
                    "address": outcome.address,
                    "tls": outcome.tls,
                    "tls_policy": outcome.tls_facts.policy,
                    "tls_cipher": outcome.tls_facts.cipher,
                    "tls_verified": outcome.tls_facts.verified,
                    "tls_result": outcome.tls_facts.result,
                    **record_fields(outcome),
                },
            )


def _with_envelope(record: JobRecord, envelope: Envelope, count: int) -> JobRecord:
    """Enter what the envelope says of the job."""
    # What is sent later has its lifetime from then on, whether queue or ledger kept it back.
    is_bounded_from_later = envelope.max_delivery_s and envelope.release_at
    waited_s = envelope.release_at - record.queued_at if is_bounded_from_later else 0.0
    return queue.with_times_of(record, envelope).changed(
        recipient_count=count,
        reverse_path=envelope.reverse_path,
        suppressed_reasons=envelope.suppressed_reasons,
        held_s=max(record.held_s, waited_s),
    )


def _broke_off() -> Outcome:
    """Our own fault: deferred."""
    fault = ATTEMPT_BROKE_OFF
    return Outcome(Result.DEFERRED, fault.enhanced, text=fault.text, command="LOCAL")
