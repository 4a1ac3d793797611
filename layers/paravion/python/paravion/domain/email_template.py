"""
An e-mail template: subject, text and HTML as Handlebars, and the data that fills them in.

Kept as one record (`ports.Records`, kind `template`) in SES v2's own member names: `Subject`, `Text`, `Html`, `Tags`,
and `created_at`, `updated_at`.

Parsed templates are kept for the next rendering, by their text: a bulk call's fifty mails parse three texts.

Next: services/templates.py keeps them; domain/mime_build.py makes a message of what was rendered.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.handlebars import MissingAttribute, Template, compile_template
from paravion.domain.handlebars_syntax import TemplateError
from paravion.domain.status import (
    BAD_REQUEST,
    INVALID_TEMPLATE,
    LIMIT_EXCEEDED,
    RENDERING_DATA,
    RENDERING_FAILED,
    TEMPLATE_ATTRIBUTE_MISSING,
    Rejected,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "template"
"""Of its record; see domain/tenant.py."""

OCTETS_MAX: Final = 500 * 1024
"""SES's limit of a template, all parts together."""

DATA_DEPTH_MAX: Final = 60
"""Objects within objects of template data."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_KEPT: Final = 32
_LARGE: Final = 64 * 1024
_LARGE_KEPT: Final = 4
"""Parsed texts that are kept, and large ones: a few hundred KB as a rule, 200 MB if all are as bad as they may be."""


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """
    One template.

    Attributes:
        name: "" for one that came with the request.
        text, html: "" for none; one of them is there.
    """

    name: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template and its data make; the subject is one line."""

    subject: str
    text: str
    html: str


def check_new(template: EmailTemplate) -> None:
    """
    Check a template that somebody wants to keep.

    Raises:
        Rejected: invalid_template, its name, its parts or its Handlebars; limit_exceeded, its size.
    """
    if not _NAME.fullmatch(template.name):
        text = "Template name must be 1 to 64 of letters, digits, '_', '-' and '.'."
        raise Rejected(INVALID_TEMPLATE, text)
    if not template.subject:
        raise Rejected(INVALID_TEMPLATE, "The subject must be specified.")
    if not (template.text or template.html):
        raise Rejected(INVALID_TEMPLATE, "The template must have a text or an HTML part.")
    if octets_of(template) > OCTETS_MAX:
        raise Rejected(LIMIT_EXCEEDED, f"The template has {octets_of(template)} octets; at most {OCTETS_MAX} are kept.")
    for where, part in _parts(template).items():
        _compiled(where, part)


def check_inline(template: EmailTemplate) -> None:
    """
    Check a template that came with the request: SES lets it substitute and no more.

    Raises:
        Rejected: bad_request, invalid_template.
    """
    if not (template.text or template.html):
        raise Rejected(BAD_REQUEST, "TemplateContent must have a text or an HTML part.")
    if octets_of(template) > OCTETS_MAX:
        raise Rejected(
            BAD_REQUEST, f"TemplateContent has {octets_of(template)} octets; at most {OCTETS_MAX} are taken."
        )
    for where, part in _parts(template).items():
        if not _compiled(where, part).is_simple:
            raise Rejected(BAD_REQUEST, "Template contains unsupported operations.")


def octets_of(template: EmailTemplate) -> int:
    """Give the length of all parts in UTF-8."""
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in _parts(template).values())


def read_data(text: str) -> dict[str, Any]:
    """
    Read template data.

    Raises:
        Rejected: rendering_data, it is no JSON object.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise Rejected(RENDERING_DATA, "Template rendering data is invalid: it is no JSON.") from exc
    if not isinstance(data, dict):
        raise Rejected(RENDERING_DATA, "Template rendering data is invalid: it is no JSON object.")
    if _is_deep(data):
        text = f"Template rendering data is invalid: objects nested more than {DATA_DEPTH_MAX} deep."
        raise Rejected(RENDERING_DATA, text)
    return data


def merged(default: Mapping[str, Any], replacement: Mapping[str, Any]) -> dict[str, Any]:
    """Give the default data with the replacement's: objects are merged member by member, all else is replaced whole."""
    result = dict(default)
    for name, value in replacement.items():
        own = result.get(name)
        result[name] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return result


def render(template: EmailTemplate, data: Mapping[str, Any], *, characters_max: int) -> Rendered:
    """
    Render all parts.

    Args:
        characters_max: Of each part.

    Raises:
        Rejected: template_attribute_missing, rendering_failed, invalid_template.
    """
    done = {}
    for where, part in _parts(template).items():
        try:
            done[where] = _compiled(where, part).render(data, strict=True, characters_max=characters_max)
        except MissingAttribute as exc:
            raise Rejected(TEMPLATE_ATTRIBUTE_MISSING, str(exc)) from exc
        except TemplateError as exc:
            raise Rejected(RENDERING_FAILED, f"{where}: {exc}") from exc
    # The tags of a subject (an inline partial's, above all) may stand on lines of their own.
    return Rendered(done["Subject"].strip(), done["Text"], done["Html"])


def _parts(template: EmailTemplate) -> dict[str, str]:
    return {"Subject": template.subject, "Text": template.text, "Html": template.html}


def _compiled(where: str, text: str) -> Template:
    try:
        return _parsed(text) if len(text) <= _LARGE else _parsed_large(text)
    except TemplateError as exc:
        raise Rejected(INVALID_TEMPLATE, f"{where}: {exc}") from exc


@lru_cache(_KEPT)
def _parsed(text: str) -> Template:
    return compile_template(text)


@lru_cache(_LARGE_KEPT)
def _parsed_large(text: str) -> Template:
    return compile_template(text)


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


def _is_deep(data: Any) -> bool:
    level, depth = [data], 0
    while level:
        if depth > DATA_DEPTH_MAX:
            return True
        inner: list[Any] = []
        for item in level:
            values = item.values() if isinstance(item, dict) else item
            inner += [value for value in values if isinstance(value, dict | list)]
        level, depth = inner, depth + 1
    return False
