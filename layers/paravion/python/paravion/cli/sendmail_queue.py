"""
`sendmail -q…`: hands in what waits on this machine, and has the service try at once what it has deferred.

    -q, -qf                both       -qI -qR -qS, also -q!…   those that they select
    -Ac -q…, -Am -q…       what waits on this machine alone, as sendmail's client queue; the service's half alone
    -q30m, -qp30m, -qf30m  the same as -Ac -q, again and again

The two halves are told apart in whatever is said: this machine's queue is its user's, the service's is for operators.

Next on the message's path: cli/client_queue.py.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from paravion.cli import process
from paravion.cli.client import EX_OK, EX_TEMPFAIL, ApiAway, ApiError, Client
from paravion.cli.client_queue import QueueUnavailable, parts_of, selection, users_queue
from paravion.cli.config import BadConfig, load
from paravion.cli.sendmail_options import BadUsage

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn

    from paravion.cli.client_queue import ClientQueue
    from paravion.cli.config import Config
    from paravion.cli.sendmail_options import Options

_TEXT_OF = {"I": "id", "R": "recipient", "S": "sender"}


def run(options: Options, environ: Mapping[str, str]) -> int:
    """
    Do what -q… asks for; gives the sysexits code.

    Raises:
        BadUsage, BadConfig, ApiAway, ApiError
    """
    if options.recipients:
        raise BadUsage(f"no recipients are taken with -q: {options.recipients[0]}")
    config = load(environ, options.config_path)
    client = Client(config)  # A bad endpoint is told while somebody listens.
    queue = None if options.half == "m" else users_queue(config, environ, options.queue_folder)
    if queue is None and (options.half == "c" or options.interval_s):
        raise BadUsage("-q: the client queue is off (PARAVION_QUEUE)")
    if options.interval_s:
        return _start_runner(options, environ)
    exit_code = EX_OK if queue is None else _run_here(options, config, queue)
    if options.half == "c" or exit_code != EX_OK:
        return exit_code  # The service is away or ill.
    return _flush_service(options, client, is_all=queue is None)


def _flush_service(options: Options, client: Client, *, is_all: bool) -> int:
    """Have the service try at once what it has deferred; unless that is all that was asked for, it may refuse to."""
    told = process.say if options.verbose else lambda _: None
    counts = {"examined": 0, "changed": 0}
    try:
        with _told_of_signals():
            for answer in _flushes(options, client):
                counts = {name: count + int(answer[name]) for name, count in counts.items()}
    except (ApiAway, ApiError, _Signal) as exc:
        is_refused = isinstance(exc, ApiError) and exc.exit != EX_TEMPFAIL
        if counts["examined"] or isinstance(exc, _Signal):
            broke_off = f"broke off after {counts['examined']} jobs, of which {counts['changed']} were flushed"
            process.say(f"sendmail: in the service: {broke_off}; the same call begins anew with the rest", error=True)
        if isinstance(exc, _Signal):
            exc.end_process()
        if is_all or not is_refused or counts["examined"]:
            raise
        # Whoever has no operator's credential may send on what is his own, and that is done.
        told(f"in the service: nothing flushed: {exc}")
        return EX_OK
    told(f"in the service: jobs flushed: {counts['changed']} of {counts['examined']} that wait")
    return EX_OK


def _flushes(options: Options, client: Client) -> Iterator[Mapping[str, Any]]:
    """Go through the service's queue to its end, so many jobs with each call; gives what each says."""
    texts = [{"of": _TEXT_OF[kind], "text": text, "negated": negated} for kind, text, negated in options.selectors]
    what: dict[str, Any] = {"texts": texts} if texts else {"all": True}
    after = ""
    while True:
        answer = client.post("/v1/queue/flush", {**what, **({"after": after} if after else {})})
        yield answer
        before, after = after, str(answer.get("after") or "")
        if not after or after == before:
            return


class _Signal(Exception):
    """A signal that would end us, first said to whoever waits."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def end_process(self) -> NoReturn:
        """End by it, as if nobody had heard it."""
        import signal

        process.flush()
        signal.signal(self.number, signal.SIG_DFL)
        os.kill(os.getpid(), self.number)
        os._exit(EX_TEMPFAIL)


@contextmanager
def _told_of_signals() -> Iterator[None]:
    """Turn what ends a command at a terminal, or by a timer, into _Signal meanwhile."""
    import signal

    def tell(number: int, _: object) -> NoReturn:
        raise _Signal(number)

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _run_here(options: Options, config: Config, queue: ClientQueue) -> int:
    """Hand in what waits on this machine; root does it for every user of a common directory."""
    wanted = selection(options.selectors)
    told = process.say if options.verbose else lambda _: None

    def run_it() -> int:
        try:
            done = queue.run(Client(config).submit, wanted, told)
        except QueueUnavailable as exc:
            if not options.quiet:
                process.say(f"sendmail: {exc}", error=True)
            return EX_TEMPFAIL
        more = ", another run is under way" if done.is_elsewhere else ""
        told(f"on this machine: handed in: {done.sent}, waiting: {done.waiting}, given up: {done.dead}{more}")
        return EX_TEMPFAIL if done.waiting else EX_OK

    if os.geteuid() or not config.queue or options.queue_folder:
        return run_it()
    codes = []
    for uid, folder in parts_of(config.queue):
        queue.folder = folder
        codes.append(_as_user(uid, run_it))
    return max(codes, default=EX_OK)


def _start_runner(options: Options, environ: Mapping[str, str]) -> int:
    """-q30m: a run at once, and after each interval; in the background, with -qf30m here. It ends by a signal."""

    def work() -> None:
        while True:
            try:
                config = load(environ, options.config_path)  # again, for somebody may have mended it
                queue = users_queue(config, environ, options.queue_folder)
                if queue is not None:
                    _run_here(options, config, queue)
            except (BadConfig, OSError) as exc:
                process.say(f"sendmail: {exc}", error=True)
            process.flush()
            time.sleep(options.interval_s)

    if options.foreground:
        work()
    return EX_OK if process.in_background(work) else EX_TEMPFAIL


def _as_user(uid: int, work: Callable[[], int]) -> int:
    """Do something with the rights of the user whom it concerns, in a child."""
    process.flush()
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code if code >= 0 else EX_TEMPFAIL  # by a signal: what it had in hand waits on
    code = EX_TEMPFAIL
    try:
        if uid:
            import pwd

            os.setgroups([])
            os.setgid(pwd.getpwuid(uid).pw_gid)
            os.setuid(uid)
        code = work()
        process.flush()
    except Exception as exc:  # noqa: BLE001 (one user's trouble is not the others')
        print(f"sendmail: the queue of user {uid}: {exc}", file=sys.stderr)
    finally:
        os._exit(code)
