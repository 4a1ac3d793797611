"""
The histories' campaign: as many random histories as one asks for, each to its end, on as many processes.

    python -m tests.histories.campaign --histories 100000 [--jobs N] [--seed N] [--minutes N] [--replay SEED]

Each history has a seed of its own, which names it. One that fails is shrunk, step by step, and shown as the steps
that are left; `--replay` tells it again. A campaign that ends before its time (`--minutes`, an interrupt, enough failures)
says by which seed it is gone on with. The rules are history.py's, the same as hypothesis draws in the suite
(tests/unit/services/test_histories.py).
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pprint import pformat
from typing import TYPE_CHECKING, Final

from paravion.domain import envelope
from tests.histories.history import DRAWN, History, Step, draw_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STEPS: Final = 40
_BATCH: Final = 50
_FAILURES: Final = 3
"""After so many the campaign ends: the others say mostly the same."""

_PROGRESS_S: Final = 10.0
_FIRST_PIECES: Final = 8


@dataclass(frozen=True)
class Script:
    """One history before it happens: how many recipients a job has, and what comes after what."""

    chunk: int
    steps: tuple[Step, ...]


@dataclass
class Result:
    """What a batch of histories came to."""

    histories: int = 0
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)


def draw(seed: int) -> Script:
    """Draw a history; not every one has every kind of step, or as often as the others (swarm testing)."""
    rng = random.Random(seed)
    names = list(DRAWN)
    weights = [rng.choice((0, 1, 1, 2, 4)) for _ in names]
    # Without mail nothing happens, and without work nothing becomes of it.
    weights[names.index("submit")] = rng.choice((1, 1, 2, 4))
    weights[names.index("work")] = rng.choice((2, 4, 8))
    order = ["submit", *rng.choices(names, weights, k=min(rng.randint(1, STEPS), rng.randint(1, STEPS)))]
    return Script(rng.choice((100, 1, 2)), tuple(draw_step(rng.choice, name) for name in order))


@contextmanager
def chunks_of(recipients: int) -> Iterator[None]:
    """Let every job have so many recipients: jobs of one message share their reports."""
    usual = envelope.CHUNK_RECIPIENTS
    envelope.CHUNK_RECIPIENTS = recipients  # type: ignore[misc]
    try:
        yield
    finally:
        envelope.CHUNK_RECIPIENTS = usual  # type: ignore[misc]


def problem_of(script: Script, checked: Counter[str] | None = None) -> str:
    """Let a history happen; gives what was wrong, "" for nothing."""
    with chunks_of(script.chunk):
        history = History()
        try:
            for step in script.steps:
                history.take(step)
            history.end()
        except Exception as exc:
            return f"{type(exc).__name__}: {exc}"
        if checked is not None:
            checked.update(history.judge.checked)
    return ""


def shrunk(script: Script) -> Script:
    """Take out what the failure does not need (delta debugging), in pieces of half, a quarter … one step."""
    steps, size = list(script.steps), len(script.steps) // 2
    while size >= 1:
        first = 0
        while first < len(steps):
            fewer = [*steps[:first], *steps[first + size :]]
            if problem_of(Script(script.chunk, tuple(fewer))):
                steps = fewer
            else:
                first += size
        size //= 2
    return Script(script.chunk, tuple(steps))


def run_batch(seeds: Sequence[int]) -> Result:
    """Let some histories happen."""
    # What a history leaves is mostly freed without the collector.
    gc.set_threshold(100_000)
    result = Result()
    for seed in seeds:
        script = draw(seed)
        problem = problem_of(script, result.checked)
        result.histories += 1
        if problem:
            least = shrunk(script)
            result.failures.append((seed, problem_of(least) or problem, told(least)))
    return result


def told(script: Script) -> str:
    """Give a history as Python that can be pasted."""
    return f"Script({script.chunk}, {pformat(script.steps, width=120, sort_dicts=False)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; 1 if something was found."""
    parser = argparse.ArgumentParser(description="random histories, each to its end")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=None, help="the first history's; the others count on from it")
    parser.add_argument("--minutes", type=float, default=0.0, help="ends after that; 0: when all are told")
    parser.add_argument("--replay", type=int, default=None, metavar="SEED", help="tell one history again")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        options.seed, options.histories, options.jobs = options.replay, 1, 1
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 40)
    print(f"{options.histories} histories from seed {first} on, {options.jobs} at a time", flush=True)
    seeds = range(first, first + options.histories)
    batches = [seeds[n : n + _BATCH] for n in range(0, len(seeds), _BATCH)]
    total, began = Result(), time.monotonic()
    shown_at = began
    with (
        multiprocessing.get_context("spawn").Pool(options.jobs, _leave_interrupts_to_us) as pool,
        suppress(KeyboardInterrupt),
    ):
        # In order: all seeds before the one that is named at the end have been told.
        for result in pool.imap(run_batch, batches):
            total.histories += result.histories
            total.checked += result.checked
            for seed, problem, script in result.failures:
                print(f"\nseed {seed}:\n{problem}\n{script}\n", flush=True)
            total.failures += result.failures
            now = time.monotonic()
            if now - shown_at >= _PROGRESS_S:
                shown_at = now
                print(f"{total.histories} told, {total.histories / (now - began):.0f}/s", flush=True)
            if len(total.failures) >= _FAILURES or 0 < options.minutes * 60 <= now - began:
                break
    rate = total.histories / (time.monotonic() - began)
    print(f"{total.histories} histories, {len(total.failures)} failed, {rate:.0f}/s", flush=True)
    print("checked: " + ", ".join(f"{count} {what}" for what, count in sorted(total.checked.items())))
    if total.failures:
        print("failed: " + ", ".join(f"--replay {seed}" for seed, _, _ in total.failures))
    if left := options.histories - total.histories:
        print(f"not told yet: --seed {first + total.histories} --histories {left}")
    return 1 if total.failures else 0


def _leave_interrupts_to_us() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
