"""
The start and the end of a command's process: files that whoever called it left closed, and nobody who listens.

A message that is kept must exit 0 whatever becomes of the words about it: a caller that sees another exit sends it
once more. Ctrl-C ends a command as it ends any program, by the signal and without a traceback; a message is then kept
or it is not, as if the machine had broken off.
"""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

EX_IOERR = 74

NO_INPUT = (errno.EISDIR, errno.EBADF)
"""Faults of standard input that never was one: a directory, a file that is open for writing only."""


def run(main: Callable[[], int], *, words_matter: bool = False) -> NoReturn:
    """
    Run a command and end the process with its exit code.

    Args:
        main: Gives the sysexits code.
        words_matter: What it prints is what it was called for: if that can't be written, it exits 74.
    """
    import _signal  # type: ignore[import-not-found]  # the signal module makes enumerations of them all

    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    fill_files()
    code = main()
    # Nothing is left to be taken apart.
    os._exit(code if flush() or not words_matter else code or EX_IOERR)


def fill_files() -> None:
    """
    Open /dev/null in place of standard files that are closed, so that no connection gets their numbers.

    Standard input stays None then, for an empty message is not what anybody meant to send.
    """
    while True:
        file = os.open(os.devnull, os.O_RDWR)
        if file > 2:  # noqa: PLR2004 (of the standard files)
            os.close(file)
            break
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (as long as the process)
        else:
            stream.reconfigure(errors="backslashreplace")  # an address in a locale that has no such letters


class _Input(io.RawIOBase):
    """
    Standard input, so that its end is the message's end and nothing else is.

    Whoever shares it may have set it to answer "nothing yet", which looks like an end; and a terminal that is gone
    ends like one that was told to. Neither must send half a message.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def fileno(self) -> int:
        """See io.IOBase."""
        return self._number

    def readinto(self, buffer: Any) -> int:
        """Wait for octets, and give how many came; 0 at the end. Raises OSError."""
        while True:
            try:
                count = os.readv(self._number, [buffer])
            except BlockingIOError:
                import select

                select.select([self._number], [], [])
                continue
            if not count and self._is_gone():
                raise OSError(errno.EIO, "the terminal is gone")
            return count

    def _is_gone(self) -> bool:
        try:
            os.tcgetpgrp(self._number)
        except OSError as exc:
            return exc.errno == errno.EIO  # what is no terminal says ENOTTY
        return False


def standard_input() -> io.BufferedReader | None:
    """Give what is piped in, read to its end as it comes; None if it was closed."""
    if sys.stdin is None:
        return None
    try:
        return io.BufferedReader(_Input(sys.stdin.fileno()))
    except (OSError, ValueError):
        return sys.stdin.buffer  # type: ignore[return-value]  # somebody's own, without a file


def flush() -> bool:
    """Write out what was printed; False if nobody takes it."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return False
    return True


def drop_output() -> None:
    """Let what nobody takes, and what Python's own end would write of it, go nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return


def say(text: str, *, error: bool = False) -> None:
    """Print a line, without what could steer a terminal; that nobody takes it changes nothing."""
    line = "".join([char if char.isprintable() else "?" for char in text])
    try:
        print(line, file=sys.stderr if error else sys.stdout)
    except (OSError, ValueError):
        return


def log(text: str) -> None:
    """Tell the system's log, facility mail, what nobody may be there to hear."""
    try:
        import syslog

        syslog.openlog("sendmail", syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(syslog.LOG_ERR, "".join([char if char.isprintable() else "?" for char in text]))
    except (ImportError, OSError, ValueError):
        return


def in_background(work: Callable[[], object]) -> bool:
    """
    Do something in a process of its own, which nobody waits for and which holds none of the caller's files.

    Returns:
        False if there can be no more processes.
    """
    flush()
    try:
        child = os.fork()
    except OSError:
        return False
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        if not os.fork():
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for file in range(3):
                os.dup2(nothing, file)
            # Whoever started us may wait until nobody holds his pipes any more.
            os.closerange(3, 1 << 16)
            work()
        code = 0
    finally:
        os._exit(code)
