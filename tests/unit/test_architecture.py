"""The house's walls: who may import whom, and what the domain may touch."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers/paravion/python/paravion"

IMPURE = {
    "asyncio", "http", "logging", "os", "random", "secrets", "smtplib", "socket", "ssl", "subprocess", "time",
    "urllib", "uuid",
}  # fmt: skip

# Each layer and the parts of paravion that it may import. TYPE_CHECKING imports count too: a wall is a wall.
ALLOWED = {
    "domain": {"domain"},
    "services": {"services", "domain", "ports", "errors", "settings"},
    "adapters": {"adapters", "domain", "ports", "errors"},
    "api": {"api", "services", "domain", "ports", "errors", "settings"},
}
# DKIM's arithmetic: the one library that the domain may use, in the one module that does.
MAY_IMPORT = {"domain/dkim.py": {"cryptography"}}
PURE_FILES = [
    *sorted(PACKAGE.glob("domain/*.py")),
    PACKAGE / "ports.py",
    PACKAGE / "settings.py",
    PACKAGE / "errors.py",
]
LAYER_FILES = [(layer, path) for layer in ALLOWED for path in sorted(PACKAGE.glob(f"{layer}/**/*.py"))]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            base = node.module or ""
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", PURE_FILES, ids=_name)
def test_pure_module_imports_nothing_that_acts(path: Path) -> None:
    """domain/, ports, settings and errors import the standard library's pure part and the domain."""
    roots = {name.split(".")[0] for name in _imports(path)}
    assert roots - set(sys.stdlib_module_names) - {"paravion"} == MAY_IMPORT.get(_name(path), set())
    assert roots & IMPURE == set()


@pytest.mark.parametrize("path", PURE_FILES, ids=_name)
def test_pure_module_reads_no_clock_and_no_file(path: Path) -> None:
    """Time, randomness and content are arguments."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    names = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    names |= {call.id for call in calls if isinstance(call, ast.Name)}
    assert names & {"now", "utcnow", "today", "open", "urandom"} == set()


@pytest.mark.parametrize(("layer", "path"), LAYER_FILES, ids=[_name(path) for _, path in LAYER_FILES])
def test_imports_point_inward(layer: str, path: Path) -> None:
    """functions, infra, cli → bootstrap → services → ports, domain; adapters → ports, domain."""
    own = {name.split(".")[1] for name in _imports(path) if name.startswith("paravion.")}
    assert own - ALLOWED[layer] - {"__version__"} == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("services/*.py")), ids=_name)
def test_services_know_no_cloud(path: Path) -> None:
    """AWS, DNS and sockets stay in adapters."""
    roots = {name.split(".")[0] for name in _imports(path)}
    assert roots & {"boto3", "botocore", "dns", "socket", "ssl", "aws_lambda_powertools"} == set()


# Who may write reply lines, and why: the front door's dialogue (all that is no outcome of a message), and the
# inbox, which plays a remote host.
REPLY_TABLES = {"infra/front_door/replies.py", "infra/local/inbox.py"}
WITH_REPLIES = [
    path
    for folder in (PACKAGE, ROOT / "functions", ROOT / "infra")
    for path in sorted(folder.rglob("*.py"))
    if path.relative_to(ROOT).as_posix() not in REPLY_TABLES
]


@pytest.mark.parametrize("path", WITH_REPLIES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_reply_lines_are_written_in_one_place(path: Path) -> None:
    """domain/status.py knows every reply; nobody else types one."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if re.match(r"[2345]\d\d[ -]", text):
                found.append(text)
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*.py")), ids=lambda path: path.name)
def test_handler_is_thin(path: Path) -> None:
    """A handler parses, calls and answers: no boto3, no environment, readable at a glance."""
    roots = {name.split(".")[0] for name in _imports(path)}
    assert roots & {"boto3", "botocore", "os"} == set()
    assert len(path.read_text().splitlines()) <= 60
