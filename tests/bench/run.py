"""Run every bench of this folder, or those named: `python tests/bench/run.py cold_start message`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    """Run them one after the other; the machine is theirs."""
    names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    # A bench may use another's parts, as tests.bench.…
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = 0
    for name in names:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, HERE / f"bench_{name}.py"]
        failed += subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
