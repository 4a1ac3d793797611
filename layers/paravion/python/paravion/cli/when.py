"""Instants as people write them: `2026-12-24 18:00`, `in 2 hours`, `tomorrow 9:00`, `18:30`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_UNITS: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
                 "d": 86400, "day": 86400, "w": 604_800, "week": 604_800}  # fmt: skip
_IN: Final = re.compile(r"in\s+((?:\d{1,6}\s*[a-z]+[\s,]*(?:and\s+)?)+)", re.IGNORECASE)
_PART: Final = re.compile(r"(\d{1,6})\s*([a-z]+)", re.IGNORECASE)
_TIME: Final = re.compile(r"(?:(today|tomorrow)\s+(?:at\s+)?)?(\d{1,2}):(\d{2})", re.IGNORECASE)


def instant(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """
    Read an instant.

    Args:
        text: RFC 3339 or its parts (`2026-12-24`, `2026-12-24 18:00`, `2026-12-24T18:00:00+01:00`); `in 2 hours`,
            `in 1 day and 30 min`; `18:30`, the next one; `tomorrow 9:00`.
        now: Aware.
        zone: Of what names none; None for the machine's, with the summer time of that day.

    Returns:
        In UTC, whole seconds.

    Raises:
        ValueError: It is none of these, or past.
    """
    text = text.strip()
    found = _read(text, now, zone)
    if found <= now:
        raise ValueError(f"{text!r} is past: {found.isoformat(timespec='seconds')}")
    return found.astimezone(UTC).replace(microsecond=0)


def _read(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    try:
        if match := _IN.fullmatch(text):
            return now + timedelta(seconds=sum(_seconds(*part) for part in _PART.findall(match[1])))
        if match := _TIME.fullmatch(text):
            here = now.astimezone(zone).replace(tzinfo=None)
            at = here.replace(hour=int(match[2]), minute=int(match[3]), second=0, microsecond=0)
            if (match[1] or "").lower() == "tomorrow" or (not match[1] and at <= here):
                at += timedelta(days=1)
        else:
            at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=zone) if zone else at.astimezone()
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{text!r} is no instant: write 2026-12-24 18:00, in 2 hours, 18:30 or tomorrow 9:00") from exc
    return at


def _seconds(number: str, unit: str) -> int:
    name = unit.lower() if len(unit) == 1 else unit.lower().removesuffix("s")
    if name not in _UNITS:
        raise ValueError(unit)
    return int(number) * _UNITS[name]
