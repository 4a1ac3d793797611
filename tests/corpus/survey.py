"""
What the reader refuses of a directory of mail, and why: `python -m tests.corpus.survey DIRECTORY…`.

Fetches nothing and keeps nothing: it reads what lies there, such as the test data of an installed mail
library (CPython's is `test/test_email/data` beside its standard library).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from paravion.domain.message import header_recipients, read_message
from paravion.domain.status import Rejected

_LIKE_MAIL = re.compile(rb"\A(?:>?From .*\n)?[!-9;-~]+[ \t]*:")


def survey(directory: Path) -> tuple[int, Counter[str]]:
    """Give how many files look like mail, and the reasons of refusals with numbers and names left out."""
    count = 0
    reasons: Counter[str] = Counter()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if not _LIKE_MAIL.match(content):
            continue
        count += 1
        try:
            message = read_message(content, max_octets=1 << 26)
        except Rejected as exc:
            reasons[_shape(exc)] += 1
            continue
        try:
            header_recipients(message)
        except Rejected as exc:
            reasons[f"(only with -t) {_shape(exc)}"] += 1
    return count, reasons


def _shape(exc: Rejected) -> str:
    return re.sub(r"'.*'|\d+", "…", exc.detail)


def main() -> None:
    """Print a table for each directory."""
    for name in sys.argv[1:]:
        count, reasons = survey(Path(name))
        refused = sum(n for reason, n in reasons.items() if not reason.startswith("("))
        print(f"{name}: {count} read, {refused} refused")
        for reason, n in reasons.most_common():
            print(f"  {n:5} {reason}")


if __name__ == "__main__":
    main()
