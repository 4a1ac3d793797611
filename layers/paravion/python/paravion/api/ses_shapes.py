"""
Values by the shapes of a service model: check input, read JSON, write JSON.

A shape is one of botocore.model's; each kind has attributes of its own. Both protocols check with `check`;
reading and writing the query protocol is api/ses_query.py's. The model's patterns must match the whole value
(they are Coral's, which anchors them).
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


_TEXT: Final = "string"
_TYPES: Final[dict[str, Any]] = {
    "string": (str,),
    "character": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
    "timestamp": (datetime,),
    "blob": (bytes,),
}


class ShapeError(ValueError):
    """A value does not have its shape; the text says where and what."""


def check(value: object, shape: Any, where: str = "") -> None:
    """
    Check a whole input against its shape: types, required members, lengths, ranges, patterns, enums.

    Raises:
        ShapeError: With every fault, in SES's words.
    """
    faults = list(_faults(value, shape, where))
    if faults:
        number = len(faults)
        noun = "error" if number == 1 else "errors"
        raise ShapeError(f"{number} validation {noun} detected: " + "; ".join(faults[:10]))


def _faults(value: Any, shape: Any, where: str) -> Iterator[str]:
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"Value at '{where or 'input'}' failed to satisfy constraint: Member must be of type {kind}"
        return
    yield from _limit_faults(value, shape, where)
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"Value null at '{_at(where, name)}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            yield from _faults(item, shape.members[name], _at(where, name))
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _faults(item, shape.member, f"{where}.{number}.member")
    elif kind == "map":
        for name, item in value.items():
            yield from _faults(name, shape.key, f"{where}.key")
            yield from _faults(item, shape.value, f"{where}.value")


def _limit_faults(value: Any, shape: Any, where: str) -> Iterator[str]:
    limits = shape.metadata
    intro = f"Value at '{where}' failed to satisfy constraint: Member must"
    if shape.type_name in {"integer", "long", "double", "float"}:
        size, what = value, "value"
    elif shape.type_name in {"string", "list", "map", "blob"}:
        size, what = len(value), "length"
    else:
        return
    if "min" in limits and size < limits["min"]:
        yield f"{intro} have {what} greater than or equal to {limits['min']}"
    if "max" in limits and size > limits["max"]:
        yield f"{intro} have {what} less than or equal to {limits['max']}"
    if shape.type_name != _TEXT:
        return
    enum = shape.enum
    if enum and value not in enum:
        yield f"{intro} satisfy enum value set: [{', '.join(enum)}]"
    if "pattern" in limits and not _pattern(limits["pattern"]).fullmatch(value):
        yield f"{intro} satisfy regular expression pattern: {limits['pattern']}"


def _at(where: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{where}.{name}" if where else name


@lru_cache(maxsize=64)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def from_json(value: Any, shape: Any, where: str = "") -> Any:
    """
    Read what came as JSON into what boto3 would have taken: blobs decoded, timestamps as datetimes.

    A null member counts as absent. Values of a wrong type are left for `check` to tell.

    Raises:
        ShapeError: A member that the shape does not have, bad base64, a bad timestamp.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        unknown = sorted(set(value) - set(members))
        if unknown:
            raise ShapeError(f"Unknown member {ascii(unknown[0])[:100]}" + (f" at '{where}'" if where else ""))
        return {
            members[name]: from_json(item, shape.members[members[name]], _at(where, name))
            for name, item in value.items()
            if item is not None
        }
    if kind == "list" and isinstance(value, list):
        return [from_json(item, shape.member, f"{where}.{n}.member") for n, item in enumerate(value, 1)]
    if kind == "map" and isinstance(value, dict):
        return {name: from_json(item, shape.value, f"{where}.value") for name, item in value.items()}
    return from_text(value, shape, where) if kind in {"blob", "timestamp"} else value


def from_text(value: Any, shape: Any, where: str) -> Any:  # noqa: PLR0911 (one for each type)
    """
    Read a scalar as it stands in a form field, a path or a query; blobs and timestamps also in JSON.

    Raises:
        ShapeError: It is none of that type.
    """
    kind = shape.type_name
    try:
        if kind == "blob" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if kind == "timestamp":
            return _timestamp(value)
        if not isinstance(value, str):
            return value
        if kind in {"integer", "long"}:
            return int(value) if len(value) <= 20 else None  # noqa: PLR2004 (64 bits have 19 digits and a sign)
        if kind in {"double", "float"}:
            return float(value)
        if kind == "boolean":
            return {"true": True, "false": False}[value]
    except (ValueError, KeyError, binascii.Error, OverflowError, OSError) as exc:
        raise ShapeError(f"Value at '{where}' is no {kind}") from exc
    return value


def _timestamp(value: Any) -> datetime:
    if isinstance(value, str):
        instant = datetime.fromisoformat(value)
        # In UTC from here on: a year that it has not is refused here, and not where it is written.
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a timestamp is a number or a text")  # noqa: TRY004 (a value of the wire, not a caller's)
    return datetime.fromtimestamp(value, UTC)


def to_json(value: Any, shape: Any) -> Any:
    """Give an output as JSON has it, by its shape; members that are None are left out."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {
            members[name].serialization.get("name", name): to_json(item, members[name])
            for name, item in value.items()
            if item is not None
        }
    if kind == "list":
        return [to_json(item, shape.member) for item in value]
    if kind == "map":
        return {name: to_json(item, shape.value) for name, item in value.items()}
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return value.timestamp() if isinstance(value, datetime) else value
    return value
