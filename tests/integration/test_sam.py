"""
`sam validate` and `sam build` on the real template, and the handlers imported from nothing but what was built.

`PARAVION_SAM` names the sam command; without it the one on PATH is used, and without any the tests are skipped.
A build downloads the layer's wheels by pip and needs python3.13, as template.yaml's runtime says:
`PARAVION_PYTHON313` names it, or it is on PATH.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAM = os.environ.get("PARAVION_SAM") or shutil.which("sam")
PYTHON = os.environ.get("PARAVION_PYTHON313") or shutil.which("python3.13")
FUNCTIONS = ("Validate", "Deliver", "Retry", "Bounce", "Admin")

pytestmark = pytest.mark.skipif(SAM is None, reason="no sam command (PARAVION_SAM or PATH)")
needs_python = pytest.mark.skipif(PYTHON is None, reason="no python3.13 (PARAVION_PYTHON313 or PATH)")

# An import in Lambda's init phase: sys.path as Lambda has it, then the handler's deps without any call to AWS.
IMPORT = """
import importlib, json, sys
code, deps, library, name = sys.argv[1:]
sys.path[:0] = [code, deps + "/python", library + "/python"]
handler = importlib.import_module(name).handler
assert callable(handler)
outside = {"paravion", "botocore", "aws_lambda_powertools", "dns", "urllib3", "jmespath", "dateutil"}
print(json.dumps({
    "files": [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in outside and m.__file__],
    "native": [m.__file__ for m in sys.modules.values() if (getattr(m, "__file__", None) or "").startswith(deps)
               and m.__file__.endswith(".so")],
    "dear": [n for n in ("boto3", "pydantic", "aws_xray_sdk") if n in sys.modules],
}))
"""


NATIVE = {"_rust.abi3.so", "_cffi_backend.cpython-313-aarch64-linux-gnu.so"}


def _sam(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    environ.pop("PYTHONPATH", None)
    if PYTHON:
        # sam looks for the runtime's Python by its name.
        environ["PATH"] = f"{Path(PYTHON).parent}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        [SAM, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` makes, beside and not in .aws-sam; xdist's workers share one build."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "sam"
    with (base / "sam.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "template.yaml").exists():
            done = _sam("build", "--build-dir", folder)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_sam_finds_the_template_valid():
    """`sam validate --lint`: SAM's own rules and cfn-lint's."""
    done = _sam("validate", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


@needs_python
@pytest.mark.timeout(320)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_handler_starts_from_what_was_built(built, name):
    """Each function's init phase runs on python3.13 with the built code, the two layers, and nothing else."""
    environ = {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PARAVION_SPOOL": "spool",
        "PARAVION_LEDGER": "ledger",
        "PARAVION_DELIVERY_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/delivery",
        "PARAVION_RETRY_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/retry",
        "PARAVION_BOUNCE_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/bounce",
        "PARAVION_PARKED_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/parked",
        "PARAVION_SECRETS": "/paravion/test",
    }
    # -I -S: neither the environment's PYTHONPATH nor any site-packages.
    command = [PYTHON, "-I", "-S", "-B", "-c", IMPORT, built / f"{name}Function", built / "DepsLayer",
               built / "ParavionLayer", name.lower()]  # fmt: skip
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert not [path for path in report["files"] if not Path(path).is_relative_to(built)]
    assert report["native"] == []
    assert report["dear"] == []


@needs_python
@pytest.mark.timeout(320)
def test_layers_are_pure_but_for_cryptography_and_carry_bytecode(built):
    """
    Native code is cryptography's and cffi's, for arm64; bytecode for each module, for Lambda can't write it.

    The bytecode is valid by its hash unchecked: modification times don't survive the layer's zip.
    """
    for layer in ("DepsLayer", "ParavionLayer"):
        files = [path for path in (built / layer).rglob("*") if path.is_file()]
        native = {path.name for path in files if path.suffix in {".so", ".pyd", ".dylib"}}
        assert native == (NATIVE if layer == "DepsLayer" else set())
        # ELF's e_machine, AArch64: another machine's libraries would fail at the first signature only.
        assert all(path.read_bytes()[18:20] == b"\xb7\x00" for path in files if path.name in native)
        for path in files:
            if path.suffix == ".py":
                cached = path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc"
                assert int.from_bytes(cached.read_bytes()[4:8], "little") == 0b01, path  # PEP 552


@needs_python
@pytest.mark.timeout(320)
def test_library_layer_is_the_library(built):
    """All of it and nothing else: no test, no metadata of an editable install, no stale bytecode."""

    def modules(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    source = ROOT / "layers/paravion/python/paravion"
    assert modules(source) == modules(built / "ParavionLayer/python/paravion")
    assert [built / "ParavionLayer/python/paravion"] == list((built / "ParavionLayer/python").iterdir())


@needs_python
@pytest.mark.timeout(320)
def test_layers_fit_lambda(built):
    """Lambda takes 250 MB unpacked for a function and its layers; ours stay far below, and fast to fetch."""
    octets = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
    assert octets < 45_000_000
