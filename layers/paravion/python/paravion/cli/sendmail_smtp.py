"""
`sendmail -bs`: SMTP on standard input and output, for programs that speak it with a child instead of a server.

The session is the front door's (infra/front_door/pipe.py), which is part of a checkout, not of the package.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from paravion.cli import process
from paravion.cli.client import EX_NOINPUT, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, ApiAway, ApiError
from paravion.cli.main import find_infra
from paravion.cli.sendmail_options import BadUsage

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(keep: Callable[[dict[str, Any], bytes], str], *, hostname: str) -> int:
    """
    Hold one session.

    Args:
        keep: Takes fields and content, gives what became of them in words; raises ApiAway and ApiError.
        hostname: For the greeting.

    Returns:
        The sysexits code.
    """
    find_infra()
    try:
        from infra.front_door import pipe, replies
    except ImportError as exc:
        raise BadUsage(f"-bs (SMTP): {exc}: it needs a checkout of paravion", EX_UNAVAILABLE) from exc
    from paravion.domain import status

    def answer(fields: dict[str, Any], content: bytes) -> str:
        try:
            return replies.of_status(status.QUEUED) + f" {replies.plain(keep(fields, content))}"
        except ApiAway as exc:
            return replies.of_status(status.NO_ANSWER, str(exc))
        except ApiError as exc:
            if exc.exit == EX_TEMPFAIL:
                return replies.of_status(status.NO_ANSWER, exc.text)
            row = status.STATUSES.get(exc.key, status.BAD_REQUEST)
            return replies.reply(row.smtp, row.detail, exc.text)

    def write(octets: bytes) -> None:
        view = memoryview(octets)
        while view:
            view = view[os.write(1, view) :]

    with suppress(BrokenPipeError):  # who goes without listening to the end
        pipe.serve(_reader(), write, answer, hostname)
    return EX_OK


def _reader() -> Callable[[int], bytes]:
    stdin = process.standard_input()

    def read(most: int) -> bytes:
        try:
            return stdin.read1(most) if stdin is not None else b""
        except OSError as exc:
            if exc.errno in process.NO_INPUT:
                raise BadUsage(f"standard input: {exc.strerror}", EX_NOINPUT) from exc
            return b""  # whoever spoke is gone, and what he had not finished is dropped

    return read
