"""
What must hold after the campaign: told from what clients heard, what the sink said, and when processes lived.

    accepted                 each recipient has one outcome: the sink said 250 to it, or its sender got one report
    not answered, refused    at most that
    twice at the sink        only in two lives: the sink's first 250 came to a process that was killed afterwards

A refusal, too, may be delivered: a store that failed while it committed may have kept it (RFC 5321 lets the client try
again, and it does); it is counted.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.submitters import Submitted, Told


@dataclass
class Lives:
    """
    When processes that send were started and killed, and when the disk was full; seconds since the epoch.

    A process that was not killed has no end here.

    Attributes:
        kinds: How often which process was killed.
    """

    started: list[float] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def of(self, at: float) -> int:
        """Say in which life an instant lies; what comes late from a dead process is that one's."""
        return bisect.bisect_right(self.started, at) - 1

    def was_full(self, at: float, until: float) -> bool:
        """Say whether the disk was full between two instants."""
        return any(first < until and at < last for first, last in self.full)


@dataclass
class Verdict:
    """Counts, and a line for each thing that must not be."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    faults: list[str] = field(default_factory=list)
    longest_unrecorded_s: float = 0.0

    def __str__(self) -> str:
        """Give the counts, a line each, then the faults."""
        lines = [f"{count:7} {what}" for what, count in self.counts.items()]
        lines.append(
            f"{self.longest_unrecorded_s:7.2f} s at most between a 250 of the sink and the kill that forgot it"
        )
        return "\n".join([*lines, *(f"FAULT: {fault}" for fault in self.faults)])


def judge(submitted: Submitted, log: Path, lives: Lives) -> Verdict:
    """Compare."""
    verdict = Verdict()
    said = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
    reports: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in said:
        if entry["code"] != 250:
            continue
        if entry["sender"]:
            taken[entry["recipient"]].append(entry)
            continue
        reports[f"{entry['message']} to {entry['recipient']}"].append(entry)
    told = _reported(reports, verdict)
    for begun in submitted.begun:
        verdict.counts[f"mails {begun.told}, {begun.door}"] += 1
        for recipient in begun.recipients:
            delivered, returned = len(taken[recipient]) > 0, told.pop((begun.sender, recipient), 0)
            verdict.counts["recipients delivered"] += delivered
            verdict.counts["recipients returned to their senders"] += returned > 0
            if delivered + returned > 1:
                verdict.faults.append(
                    f"{recipient}: delivered {len(taken[recipient])} times, returned {returned} times"
                )
            if delivered + returned == 0 and begun.told is Told.ACCEPTED:
                verdict.faults.append(f"{recipient}: lost (accepted by {begun.door})")
            if begun.told is not Told.ACCEPTED and delivered + returned:
                verdict.counts[f"recipients whose client heard {begun.told}, sent all the same"] += 1
    verdict.faults += [f"{recipient}: returned to {sender}, who never sent to it" for sender, recipient in told]
    for what, entries in [*taken.items(), *reports.items()]:
        _check_twice(what, entries, lives, verdict)
    verdict.counts["tries of clients beyond the first"] = submitted.repeats
    verdict.counts["answers 4yz or 5xx to clients"] = submitted.refused
    verdict.counts["answers of the sink other than 250"] = sum(entry["code"] != 250 for entry in said)
    verdict.counts["kills"] = lives.kinds.total()
    for kind, count in sorted(lives.kinds.items()):
        verdict.counts[f"of these, of {kind}"] = count
    verdict.counts["times that the disk was full"] = len(lives.full)
    return verdict


def _reported(reports: dict[str, list[dict[str, Any]]], verdict: Verdict) -> dict[tuple[str, str], int]:
    """Count the reports about each recipient, by sender and recipient; a report that came twice is one."""
    told: dict[tuple[str, str], int] = defaultdict(int)
    for entries in reports.values():
        first = entries[0]
        if not first["failed"]:
            verdict.faults.append(f"a report to {first['recipient']} names no failed recipient: {first['message']}")
        for recipient in first["failed"]:
            told[first["recipient"], recipient] += 1
    return told


def _check_twice(what: str, entries: list[dict[str, Any]], lives: Lives, verdict: Verdict) -> None:
    for one, other in itertools.pairwise(entries):
        life = lives.of(one["at"])
        verdict.counts["taken twice by the sink"] += 1
        if life == lives.of(other["at"]) or life >= len(lives.killed):
            # Not even the full disk excuses it: an outcome that could not be recorded is kept, and recorded later.
            verdict.faults.append(f"{what}: taken twice in one life, at {one['at']:.3f} and {other['at']:.3f}")
        elif lives.was_full(one["at"], lives.killed[life]):
            verdict.counts["of these, because the full disk took no record before the kill"] += 1
        else:
            unrecorded_s = lives.killed[life] - one["at"]
            verdict.longest_unrecorded_s = max(verdict.longest_unrecorded_s, unrecorded_s)
