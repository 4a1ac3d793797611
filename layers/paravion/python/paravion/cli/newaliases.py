"""`newaliases`: rebuilds alias tables, of which there are none yet; says so."""

from __future__ import annotations

import sys

from paravion.cli.client import EX_UNAVAILABLE, EX_USAGE

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Say that there is nothing to rebuild; exits 69, so that no script takes it for done."""
    words = sys.argv[1:] if argv is None else argv
    if words:
        print(f"newaliases: takes no arguments: {words[0]}", file=sys.stderr)
        return EX_USAGE
    print("newaliases: alias tables are not built yet: nothing was done", file=sys.stderr)
    return EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
