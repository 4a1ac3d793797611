"""
JSON by the standard library's C parts alone: `import json` brings `re` and takes longer than the rest of a call.

Where those parts are not to be had, or for what they don't take, the json package does it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from typing import Any

_BLANKS = " \t\n\r"


class _Context:
    """What the scanner asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def loads(octets: bytes | str) -> Any:
    """
    Read a JSON text.

    Raises:
        ValueError: It is none.
    """
    try:
        from _json import make_scanner

        scan = make_scanner(_Context())  # type: ignore[arg-type]  # any object with these attributes
    except (ImportError, AttributeError):  # or with others, in a Python to come
        import json

        return json.loads(octets)
    text = (octets if isinstance(octets, str) else octets.decode()).strip(_BLANKS)
    try:
        value, end = scan(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def dumps(value: Any) -> bytes:
    """
    Write strings, whole numbers, booleans, None, lists and dicts with strings for keys.

    Raises:
        TypeError: Something else.
    """
    return _text(value).encode()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join([_text(item) for item in value])}]"
    if isinstance(value, dict):
        return "{" + ",".join([f"{_string(name)}:{_text(item)}" for name, item in value.items()]) + "}"
    raise TypeError(f"{type(value).__name__} is not written as JSON here")


def _string(text: str) -> str:
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        import json

        return json.dumps(text)
    quoted: str = encode_basestring_ascii(text)
    return quoted
