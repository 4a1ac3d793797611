"""
What every dialogue of lines has in common, without I/O: input, output, effects, errors, an end. Pure.

session.py says what the lines mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from infra.front_door import replies

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.front_door.effects import Effect


_LONGEST_LINE_OCTETS: Final = 1 << 18
"""What is refused as too long is read on to its end, but not for ever: so long a line has none."""


class Machine:
    """
    A dialogue.

    Args:
        greeting: What is said first.
        max_errors_count: The client is sent away with the last of so many refused commands.

    Attributes:
        ended: All has been said: close once it is written.
        lines_count: Lines read so far.
        last_said: The last line said.
    """

    def __init__(self, greeting: str, max_errors_count: int) -> None:
        self.ended = False
        self.lines_count = 0
        self.last_said = ""
        self._output: list[bytes] = []
        self._max_errors_count = max_errors_count
        self._errors_count = 0
        self._input = b""
        self._at = 0
        self._skipped_octets = 0
        self._effect: Effect | None = None
        self._is_busy = False
        self._is_at_end = False
        self._is_stopping = False
        self._take: Callable[[], bool] = self._take_command
        self._say(greeting)

    def receive(self, octets: bytes) -> None:
        """Take what the client sent; what can't be worked on yet is kept, so stop reading while `waits` is US."""
        self._input = self._input + octets if self._input else octets
        self._run()

    def receive_eof(self) -> None:
        """The client sends nothing more; what came before is answered."""
        self._is_at_end = True
        self._run()

    def stop(self) -> None:
        """The door is stopping: leave now if nothing is under way, else after the next reply."""
        self._is_stopping = True
        self._run()

    def abandon(self) -> None:
        """The client is gone."""
        self.ended = True

    def take_output(self) -> bytes:
        """Give what to write now."""
        output = self._output
        if not output:
            return b""
        octets = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return octets

    def take_effect(self) -> Effect | None:
        """Give what must be done now; None if that is nothing, or was given before."""
        effect, self._effect = self._effect, None
        return effect

    @property
    def pending_octets(self) -> int:
        """What came and was not worked on yet."""
        return len(self._input)

    def _take_command(self) -> bool:
        """Work on the input; False if more must come."""
        raise NotImplementedError

    def _do(self, effect: Effect) -> None:
        self._effect = effect
        self._is_busy = True

    def _resume(self) -> None:
        self._is_busy = False
        self._run()

    def _run(self) -> None:
        while not (self._is_busy or self.ended) and self._take():
            pass
        if self._at:
            self._input = self._input[self._at :]
            self._at = 0
        if self._is_at_end and not self._is_busy:
            self.abandon()

    def _say(self, line: str) -> None:
        self.last_said = line
        self._output.append(line.encode() + b"\r\n")

    def _refuse(self, line: str) -> None:
        self._errors_count += 1
        self._say(line)
        if self._errors_count >= self._max_errors_count:
            self._end(replies.TOO_MANY_ERRORS)

    def _end(self, line: str) -> None:
        self._say(line)
        self.ended = True

    def _next_line(self, limit: int) -> bytes | None:
        """Give the next line with its end, b"" for one that is too long; None if more must come, or for its end."""
        octets, at = self._input, self._at
        end = octets.find(b"\n", at) + 1
        if not end:
            if len(octets) - at > limit:
                self._skipped_octets += len(octets) - at
                self._at = len(octets)
                if self._skipped_octets > _LONGEST_LINE_OCTETS:
                    self._end(replies.ENDLESS)
            return None
        self._at = end
        self.lines_count += 1
        if self._skipped_octets or end - at > limit:
            self._skipped_octets = 0
            return b""
        return octets[at:end]
