"""
A delivery status notification's words as HTML: the same blocks as the plain text, for programs that show HTML.

Nothing in it is fetched, run or clicked: no image, script, link or font. Foreign text is escaped, and addresses keep
their direction (`bdi`). Headings and lists, so that it can be listened to; colours follow the reader's dark mode.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paravion.domain.dsn_text import Block

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1em/1.5 sans-serif;max-width:40em;margin:1em auto;padding:0 1em}"
    "h1{font-size:1.3em}h2{font-size:1.1em;border-top:1px solid;padding-top:1em}h3{font-size:1em;margin-bottom:0}"
    "li,h3,pre{overflow-wrap:anywhere}pre{white-space:pre-wrap;margin:0 0 0 1.5em}"
)


def html(subject: str, blocks: Sequence[Block], language: str) -> str:
    """Give a whole HTML document, LF line ends."""
    title = escape(subject)
    body = "\n".join(_shown(block) for block in blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _shown(block: Block) -> str:
    lines = [escape(line) for line in block.lines]
    if block.kind == "text":
        return f"<p>{lines[0]}</p>"
    if block.kind == "members":
        return _listed(f"<strong><bdi>{line}</bdi></strong>" for line in lines)
    if block.kind == "mail":
        return f"<p>{lines[0]}</p>\n" + _listed(f"<bdi>{line}</bdi>" for line in lines[1:])
    if block.kind == "details":
        return f"<h2>{lines[0]}</h2>"
    if block.kind == "member":
        said = "\n".join(lines[3:])
        return f"<h3><bdi>{lines[0]}</bdi></h3>\n<p>{lines[1]}<br>\n{lines[2]}</p>\n<pre>{said}</pre>"
    return "<p>" + "<br>\n".join(lines) + "</p>"


def _listed(items: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>"
