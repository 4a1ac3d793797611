"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paravion.domain.classification import NAMES
from paravion.domain.queue import State
from paravion.settings import SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_setting_is_documented_with_its_default(setting: Setting) -> None:
    """A heading of its own, the default that the code has, and the variable."""
    page = (ROOT / "docs/settings.md").read_text()
    (section,) = re.findall(rf"^## {setting.name}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    default = {None: "must be set", "": "empty"}.get(setting.default, f"`{setting.default}`")
    assert f"Default: {default}" in section
    assert f"`{setting.variable}`" in section
    assert setting.help in section


def test_no_setting_is_documented_that_does_not_exist() -> None:
    """What was removed from the code leaves the page too."""
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert headings == [setting.name for setting in SETTINGS]


def test_every_job_state_stands_in_the_architecture() -> None:
    """The state table is complete."""
    page = (ROOT / "docs/architecture.md").read_text()
    for state in State:
        assert f"| {state} |" in page


def test_every_cause_is_documented_with_its_names() -> None:
    """docs/verdicts.md has the table of domain/classification.py, row by row and no other."""
    page = (ROOT / "docs/verdicts.md").read_text()
    expected = [
        f"| `{cause}` | {names.meaning} | {'/'.join(names.bounce)} | {names.delay} |" for cause, names in NAMES.items()
    ]
    assert [line for line in page.splitlines() if line.startswith("| `")] == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_our_own_files_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_in_documents_exist(page: Path) -> None:
    """`tests/…`, `docs/…`, `functions/…` in backquotes are real."""
    for name in re.findall(r"`((?:tests|docs|functions|infra|layers)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:domain|services|adapters|api|cli)/\w+\.py)`", page.read_text()):
        assert (ROOT / "layers/paravion/python/paravion" / name).exists(), name


def test_every_native_operation_is_documented() -> None:
    """docs/credentials.md names each that a scope can name, with its route, and no other."""
    from paravion.api import admin_doors  # noqa: F401 (registers its operations)
    from paravion.api.native_admin import ADMIN_DOOR
    from paravion.api.native_messages import VALIDATE_DOOR

    page = (ROOT / "docs" / "credentials.md").read_text()
    told = set(re.findall(r"^\| `(\S+)` \| `(\S+) (\S+)` \|$", page, re.MULTILINE))
    operations = {**ADMIN_DOOR.operations, **VALIDATE_DOOR.operations}
    assert {(name, *route) for name, route in operations.items()} == told


def test_the_table_of_retry_times_is_the_schedules() -> None:
    """docs/schedule.md is made by `python -m tests.support.schedule_table`; run that when this fails."""
    from tests.support.schedule_table import PAGE, page

    assert PAGE.read_text() == page()


def test_the_table_of_ses_operations_is_the_codes() -> None:
    """docs/ses.md is made by `python -m tests.support.ses_table`; run that when this fails."""
    from paravion.api.ses_coverage import FLEET, LATER
    from paravion.api.ses_model import SES_V1, SES_V2
    from tests.support.ses_table import PAGE, table

    assert PAGE.read_text() == table()
    known = {*SES_V1.model.operation_names, *SES_V2.model.operation_names}
    reasons = {**FLEET, **LATER}
    assert len(reasons) == len(FLEET) + len(LATER)
    assert set() == set(reasons) - known
    assert set() == {name for name in reasons if SES_V1.function(name) or SES_V2.function(name)}
