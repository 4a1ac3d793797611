"""
What a handler's cold start costs: import and init, in fresh processes, beside boto3 with the same clients.

Prints, for each function, the median CPU and wall milliseconds of both, measured in turn, and their ratio.
The goal is a ratio of at most 1.25. PARAVION_PYTHON313 names the interpreter of a virtual environment with
Lambda's Python; without it the running one is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = int(os.environ.get("PARAVION_BENCH_RUNS", "9"))
GOAL = 1.25

CLIENTS = {
    "validate": ("s3", "sqs", "dynamodb", "ssm"),
    "deliver": ("s3", "sqs", "dynamodb"),
    "retry": ("s3", "sqs", "dynamodb"),
    "bounce": ("s3", "sqs", "dynamodb", "ssm"),
    "publish": ("s3", "sqs", "dynamodb"),
    "admin": ("s3", "dynamodb", "ssm"),
}

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "PATH": os.environ["PATH"],
    "PARAVION_SPOOL": "s",
    "PARAVION_LEDGER": "l",
    "PARAVION_SECRETS": "/p",
    **{
        f"PARAVION_{name}_QUEUE": "https://sqs.us-east-1.amazonaws.com/1/q"
        for name in ("DELIVERY", "RETRY", "BOUNCE", "EVENT", "PARKED")
    },
}

TIMED = """
import sys, time
began, cpu = time.perf_counter(), time.process_time()
{code}
print((time.process_time() - cpu) * 1e3, (time.perf_counter() - began) * 1e3)
sys.stdout.flush()
import os
os._exit(0)
"""
BOTO3 = "import boto3\nsession = boto3.Session()\nfor name in {names!r}: session.client(name)"
HANDLER = "import runpy\nrunpy.run_path({path!r})['handler']"


def measure(python: str, code: str) -> tuple[float, float]:
    """Run code in a fresh process; gives CPU and wall milliseconds."""
    done = subprocess.run(
        [python, "-c", TIMED.format(code=code)], env=ENVIRON, capture_output=True, text=True, check=True, timeout=120
    )
    cpu, wall = done.stdout.split()
    return float(cpu), float(wall)


def main() -> int:
    """Print the table."""
    python = os.environ.get("PARAVION_PYTHON313") or sys.executable
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True)
    print(f"cold start: import and init, {version.stdout.strip()}, median of {RUNS} fresh processes, ms")
    print(f"  {'function':10} {'CPU':>6} {'boto3':>6} {'ratio':>6}   {'wall':>6} {'boto3':>6} {'ratio':>6}")
    for function, clients in CLIENTS.items():
        ours, floor = [], []
        for code in (HANDLER.format(path=str(ROOT / f"functions/{function}.py")), BOTO3.format(names=clients)):
            measure(python, code)  # writes bytecode, warms the file cache
        for _ in range(RUNS):
            ours.append(measure(python, HANDLER.format(path=str(ROOT / f"functions/{function}.py"))))
            floor.append(measure(python, BOTO3.format(names=clients)))
        cells = []
        for column in (0, 1):
            mine, peer = (statistics.median(run[column] for run in runs) for runs in (ours, floor))
            cells.append(f"{mine:6.0f} {peer:6.0f} {mine / peer:6.2f}")
        print(f"  {function:10} {'   '.join(cells)}")
    print(f"  goal: at most {GOAL}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
