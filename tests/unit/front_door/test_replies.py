"""infra/front_door/replies.py: every reply is well formed."""

import re

import pytest

from infra.front_door import replies
from paravion.domain.status import STATUSES

CONSTANTS = {name: value for name, value in vars(replies).items() if name.isupper() and isinstance(value, str)}
WITHOUT_ENHANCED = {"GREETING", "GO_AHEAD", "CHALLENGE"}


@pytest.mark.parametrize("name", sorted(CONSTANTS.keys() - WITHOUT_ENHANCED))
def test_enhanced_class_is_that_of_the_code(name):
    """RFC 2034 4: the enhanced status begins with the reply code's first digit."""
    match = re.fullmatch(r"([245])[0-9][0-9] \1\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+", CONSTANTS[name])
    assert match


@pytest.mark.parametrize("row", STATUSES.values(), ids=STATUSES)
def test_rows_of_the_taxonomy_make_one_bounded_line(row):
    """A detail with line ends, UTF-8 or a novel in it stays one line of 512 octets (RFC 5321 4.5.3.1.5)."""
    line = replies.of_status(row, "a\r\n250 evil ä" + "x" * 1000)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 510
