"""
How a table's entries lie in storage: pages found by the key's hash, or in order for an included list.

A look-up reads one page, a warm function keeps some. Knows nothing of what entries mean (domain/tables.py).
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INCLUDE: Final = "include/"
"""A kind of this beginning is a list's members, in order."""

PAGE_OCTETS: Final = 32_768
"""What a page is aimed at."""

LARGEST_PAGE: Final = 300_000
"""No page is larger: DynamoDB's item ends at 400 KB."""

AT_ONCE: Final = 100
"""Tables swapped in at one instant: DynamoDB's expressions end at 4 KB."""

Entries = dict[str, str]


def page_of(key: str, pages: int) -> int:
    """Give the page that holds a key: the same on every host."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % pages


def generation_of(entries: Mapping[str, str]) -> str:
    """Give the name that follows from a table's entries."""
    told = hashlib.sha256()
    for key, value in entries.items():
        told.update(f"{key}\0{value}\0".encode("utf-8", "surrogatepass"))
    return told.hexdigest()[:20]


def paginate(kind: str, entries: Mapping[str, str]) -> list[Entries]:
    """
    Lay entries out in pages of about PAGE_OCTETS and at most LARGEST_PAGE, at least one.

    A list's pages keep its order; those of other tables are found by `page_of`.
    """
    if kind.startswith(INCLUDE):
        return list(_in_order(entries))
    count = max(1, -(-sum(map(_weight, entries.items())) // PAGE_OCTETS))
    while True:
        pages: list[Entries] = [{} for _ in range(count)]
        for key, value in entries.items():
            pages[page_of(key, count)][key] = value
        if all(sum(map(_weight, page.items())) <= LARGEST_PAGE for page in pages):
            return pages
        count *= 2


def _in_order(entries: Mapping[str, str]) -> Iterator[Entries]:
    page: Entries = {}
    octets = 0
    for key, value in entries.items():
        octets += _weight((key, value))
        if octets > PAGE_OCTETS and page:
            yield page
            page, octets = {}, _weight((key, value))
        page[key] = value
    yield page


def _weight(item: tuple[str, str]) -> int:
    # JSON escapes what is not ASCII in six octets a character.
    return sum(len(text) if text.isascii() else 6 * len(text) for text in item) + 10
