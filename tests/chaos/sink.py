"""
The campaign's next hop, a process of its own: answers at random, and writes down what it says before it says it.

    python -m tests.chaos.sink LOG SEED        prints its port

The log has a line of JSON for each answer about a recipient: at (seconds since the epoch), session, sender,
recipient, code (250, 4yz, 5yz; 0: the connection was dropped instead), message (its Message-ID), failed (the
recipients that a report says have failed). Code 250 stands there only after the whole message came.

What a good host would never take back it does not: whoever has the mail is told 250 when it comes again. Reports
(from the null reverse-path) are refused for good never, and for a while twice at most. A recipient whose local part
ends in `-busy` is busy for ever.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import sys
import time
from collections import Counter
from typing import Final

_PATH: Final = re.compile(r"<([^>]*)>")
_MESSAGE_ID: Final = re.compile(rb"^Message-ID:\s*(<[^>]*>)", re.IGNORECASE | re.MULTILINE)
_FINAL: Final = re.compile(rb"^Final-Recipient:\s*rfc822;\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_FAILED: Final = re.compile(rb"^Action:\s*failed", re.IGNORECASE | re.MULTILINE)
_PATIENCE: Final = 2
"""Refusals for a while that a report must bear."""

_REPLIES: Final = {250: b"250 2.1.5 Ok", 451: b"451 4.3.0 Not now", 550: b"550 5.7.1 Not here"}


class Sink:
    """What all sessions share."""

    def __init__(self, log: str, seed: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._random = random.Random(seed)
        self._taken: set[tuple[str, str]] = set()
        self._refused: Counter[tuple[str, str]] = Counter()
        self.sessions = itertools.count()

    def note(self, session: int, sender: str, recipients: list[str], code: int, content: bytes = b"") -> None:
        """Write down what is about to be said."""
        found = _MESSAGE_ID.search(content)
        message = found[1].decode() if found else ""
        failed = [] if sender else failed_recipients(content)
        lines = [
            json.dumps({
                "at": time.time(), "session": session, "sender": sender, "recipient": recipient, "code": code,
                "message": message, "failed": failed,
            })
            for recipient in recipients
        ]  # fmt: skip
        if code == 250:
            self._taken.update((sender, recipient) for recipient in recipients if sender)
        elif not sender:
            self._refused.update((sender, recipient) for recipient in recipients)
        os.write(self._log, "".join(f"{line}\n" for line in lines).encode())

    def draw(self, sender: str, recipients: list[str], weights: tuple[int, int, int, int]) -> int:
        """Give what to answer: 250, 451, 550, or 0 to drop the connection."""
        if any((sender, recipient) in self._taken for recipient in recipients):
            return 250
        if any(recipient.partition("@")[0].endswith("-busy") for recipient in recipients):
            return 451
        if not sender:
            patient = all(self._refused[sender, recipient] < _PATIENCE for recipient in recipients)
            weights = (*weights[:2], 0, weights[3]) if patient else (1, 0, 0, 0)
        return self._random.choices((250, 451, 550, 0), weights)[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client until it goes, or the draw says so."""
        session = next(self.sessions)
        try:
            await self._speak(session, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _speak(self, session: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", list[str]()
        writer.write(b"220 sink.test ESMTP\r\n")
        while line := await reader.readuntil(b"\r\n"):
            verb, rest = line[:4].upper(), line.decode("utf-8", "replace")
            reply = b"250 2.0.0 Ok"
            if verb == b"EHLO":
                reply = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"
            elif verb == b"MAIL":
                found = _PATH.search(rest)
                sender, recipients = found[1] if found else "", []
            elif verb == b"RCPT":
                found = _PATH.search(rest)
                recipient = found[1] if found else ""
                code = self.draw(sender, [recipient], (88, 6, 5, 1))
                if code == 250:
                    recipients.append(recipient)
                else:
                    self.note(session, sender, [recipient], code)
                if not code:
                    return
                reply = _REPLIES[code]
            elif verb == b"DATA" and recipients:
                writer.write(b"354 Go ahead\r\n")
                await writer.drain()
                if self.draw(sender, recipients, (98, 0, 0, 2)) == 0:
                    self.note(session, sender, recipients, 0)
                    return
                content = b"\r\n" + await reader.readuntil(b"\r\n.\r\n")
                code = self.draw(sender, recipients, (85, 8, 4, 3))
                self.note(session, sender, recipients, code, content)
                if not code:
                    return
                reply, recipients = _REPLIES[code], []
            elif verb == b"DATA":
                reply = b"554 5.5.1 No valid recipients"
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 Bye\r\n")
                return
            writer.write(reply + b"\r\n")
            await writer.drain()


def failed_recipients(content: bytes) -> list[str]:
    """Give whom a report says it could not reach, for good."""
    blocks = content.replace(b"\r\n", b"\n").split(b"\n\n")
    return [found[1].decode() for block in blocks if _FAILED.search(block) for found in [_FINAL.search(block)] if found]


async def main() -> None:
    """Run until killed."""
    sink = Sink(sys.argv[1], int(sys.argv[2]))
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=1 << 23, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
