"""The memory that all envelopes and contents under way may take together. Pure."""

from __future__ import annotations


class Space:
    """
    What is there to be booked.

    Attributes:
        booked_octets: Of all bookings.
    """

    def __init__(self, max_octets: int) -> None:
        self.booked_octets = 0
        self._max_octets = max_octets

    def open(self) -> Booking:
        """Begin a session."""
        return Booking(self)

    def grow(self, octets: int) -> bool:
        """Book so many octets more if they fit, or give some back."""
        if octets > 0 and self.booked_octets + octets > self._max_octets:
            return False
        self.booked_octets += octets
        return True


class Booking:
    """A session's share; grows, and is given back at once."""

    __slots__ = ("_octets", "_space")

    def __init__(self, space: Space) -> None:
        self._space = space
        self._octets = 0

    def covers(self, octets: int) -> bool:
        """Grow or shrink to `octets` if that fits; False leaves what was."""
        if not self._space.grow(octets - self._octets):
            return False
        self._octets = octets
        return True

    def close(self) -> None:
        """Give everything back."""
        self._space.grow(-self._octets)
        self._octets = 0
