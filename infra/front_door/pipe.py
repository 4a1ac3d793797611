"""
SMTP with whoever started us, on two pipes: the door's own session without TLS and AUTH, which a pipe needs not.

`sendmail -bs` serves it (paravion/cli/sendmail_smtp.py). What comes with bare LFs from its first line on, as scripts
write it, is taken for lines all the same: nobody else's octets come by this pipe.

Next on a message's path: `keep`, which is the command's own way to the API or the client queue.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from infra.front_door import replies
from infra.front_door.booking import Space
from infra.front_door.effects import Client, Submit
from infra.front_door.session import Session
from infra.front_door.settings import FrontDoorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE_OCTETS: Final = 40 << 20
_READ_OCTETS: Final = 1 << 16
_OUR_OWN: Final = "local"
"""In place of an Authorization: who started us may send as we may."""


class PipeSession(Session):
    """A session that neither offers nor takes STARTTLS and AUTH."""

    def _extensions(self) -> list[str]:
        return [line for line in super()._extensions() if line.partition(" ")[0] not in {"STARTTLS", "AUTH"}]

    def _dispatch(self, line: bytes) -> None:
        if line.partition(b" ")[0].upper() in {b"STARTTLS", b"AUTH"}:
            self._refuse(replies.NOT_OFFERED)
        else:
            super()._dispatch(line)


@dataclass
class Lines:
    """Makes CR LF of every LF, if the first line ended in a bare one."""

    is_decided: bool = False
    is_bare: bool = False
    last: bytes = b""

    def read(self, octets: bytes) -> bytes:
        """Give what to receive for what came, which is not nothing."""
        before, self.last = self.last, octets[-1:]
        if not self.is_decided and (at := octets.find(b"\n")) >= 0:
            self.is_decided, self.is_bare = True, (before + octets[:at])[-1:] != b"\r"
        return octets.replace(b"\n", b"\r\n") if self.is_bare else octets


def serve(
    read: Callable[[int], bytes],
    write: Callable[[bytes], object],
    keep: Callable[[dict[str, Any], bytes], str],
    hostname: str,
    clock: Callable[[], float] = time.time,
) -> None:
    """
    Hold one session to its end.

    Args:
        read: Gives at most so many octets, b"" at the end.
        write: Takes all of what it is given.
        keep: Takes fields and content as Client.submit does, and gives the reply.
        hostname: For the greeting.
    """
    settings = FrontDoorSettings("", hostname=hostname, max_message_octets=MAX_MESSAGE_OCTETS)
    session = PipeSession(
        settings, Client("", is_loopback=True, trusted=_OUR_OWN), Space(4 * MAX_MESSAGE_OCTETS), clock
    )
    lines = Lines()
    while True:
        effect = session.take_effect()
        if isinstance(effect, Submit):
            session.submitted(effect.refusal or keep(_fields(session, effect), effect.content.take()))
            continue
        if output := session.take_output():
            write(output)
        if session.ended:
            return
        octets = read(_READ_OCTETS)
        if octets:
            session.receive(lines.read(octets))
        else:
            session.receive_eof()


def _fields(session: Session, submit: Submit) -> dict[str, Any]:
    transaction = submit.transaction
    return {
        "reverse_path": transaction.reverse_path,
        "recipients": transaction.recipients,
        "door": "sendmail",
        "protocol": session.protocol,
        **transaction.options,
    }
