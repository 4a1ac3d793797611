"""
`sendmail -q…`: hands in what waits on this machine, and has the service try at once what it has deferred.

    -q, -qf                both       -qI -qR -qS, also -q!…   those that they select
    -Ac -q…                what waits on this machine alone, as sendmail's client queue
    -q30m, -qp30m, -qf30m  the same as -Ac -q, again and again

The two halves are told apart in whatever is said: this machine's queue is its user's, the service's is for operators.

Next on the message's path: cli/client_queue.py.
"""

from __future__ import annotations

import os
import sys
import time

from paravion.cli import process
from paravion.cli.client import EX_OK, EX_TEMPFAIL, Client
from paravion.cli.client_queue import QueueUnavailable, parts_of, selection, users_queue
from paravion.cli.config import BadConfig, load
from paravion.cli.sendmail_options import BadUsage

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.cli.client_queue import ClientQueue
    from paravion.cli.config import Config
    from paravion.cli.sendmail_options import Options


def run(options: Options, environ: Mapping[str, str]) -> int:
    """
    Do what -q… asks for; gives the sysexits code.

    Raises:
        BadUsage, BadConfig, ApiAway, ApiError
    """
    if options.recipients:
        raise BadUsage(f"no recipients are taken with -q: {options.recipients[0]}")
    config = load(environ, options.config_path)
    queue = users_queue(config, environ, options.queue_folder)
    if queue is None:
        raise BadUsage("-q: the client queue is off (PARAVION_QUEUE)")
    if options.interval_s:
        Client(config)  # A bad endpoint is told while somebody listens.
        return _start_runner(options, environ)
    return _run_here(options, config, queue)


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
        told(f"handed in: {done.sent}, waiting: {done.waiting}, given up: {done.dead}{more}")
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
