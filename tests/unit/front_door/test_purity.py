"""The session and all that it is made of do no I/O and know no clock: that is what makes a table of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

DOOR = Path(__file__).resolve().parents[3] / "infra/front_door"
PURE = (
    "booking", "commands", "content", "effects", "machine", "proxy_protocol", "replies", "sasl", "session", "settings",
    "throttle",
)  # fmt: skip
ALLOWED = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "ipaddress",
    "math",
    "re",
    "typing",
}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_no_outside_world(name: str) -> None:
    """Nor each other's impure neighbours."""
    tree = ast.parse((DOOR / f"{name}.py").read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [
                f"{node.module}.{alias.name}" if node.module == "infra.front_door" else f"{node.module}.x"
                for alias in node.names
            ]
        for imported in names:
            if imported.startswith("infra.front_door."):
                assert imported.split(".")[2] in PURE, imported
            else:
                assert imported.split(".")[0] in ALLOWED or imported.startswith("paravion.domain."), imported
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}, ast.dump(node)
