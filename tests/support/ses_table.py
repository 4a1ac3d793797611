"""
The page docs/ses.md, made from the code: python -m tests.support.ses_table writes it, with PYTHONPATH as for the tests.

tests/unit/test_docs.py holds the page to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from paravion.api import admin_doors, validate_doors  # noqa: F401 (register their operations)
from paravion.api.ses_coverage import NOT_YET, OF_THE_FLEET, OFFERED, reason
from paravion.api.ses_model import SES_V1, SES_V2

if TYPE_CHECKING:
    from paravion.api.ses_model import Service

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "ses.md"

_INTRO: Final = """\
# Amazon SES's API, operation by operation

Point an AWS SDK's `endpoint_url` at the API and give it a [credential](credentials.md) of paravion's; nothing else changes.
Requests are checked by SES's own service models, errors have SES's names and HTTP codes.

What is known and not offered answers `UnknownOperationException` (v1: `InvalidAction`) with HTTP status 404 (v1: 400) and says why, in the words of this table.

This page is made from the code by `python -m tests.support.ses_table`; a test holds it to the code.
"""


def table() -> str:
    """Give the page."""
    parts = [_INTRO]
    for title, service in (("SES v2", SES_V2), ("SES v1", SES_V1)):
        rows = [_row(name, service) for name in sorted(service.model.operation_names)]
        counts = {state: sum(row[1] == state for row in rows) for state in (OFFERED, OF_THE_FLEET, NOT_YET)}
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        lines = [f"## {title}\n", f"{len(rows)} operations: {told}.\n", "| operation | state | why |", "|---|---|---|"]
        lines += [f"| `{name}` | {state} | {why} |" for name, state, why in rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(name: str, service: Service) -> tuple[str, str, str]:
    return (name, OFFERED, "") if service.function(name) else (name, *reason(name))


if __name__ == "__main__":
    PAGE.write_text(table())
