"""What validate does with a message before it is kept: policies, senders, recipients of the header."""

from __future__ import annotations

import pytest

from paravion.domain.status import BAD_MESSAGE, Rejected
from tests.support.world import World


def test_bare_lf_is_made_crlf_by_default() -> None:
    """The setting's default: Unix lines arrive as lines."""
    world = World()
    world.submit("you@example.com", content=b"From: me@example.org\nSubject: x\n\na\n.\nb\n")
    world.run()
    (content,) = world.accepted_by("you@example.com")
    assert content.endswith(b"From: me@example.org\r\nSubject: x\r\n\r\na\r\n.\r\nb\r\n")


def test_bare_lf_is_refused_by_setting() -> None:
    """RFC 5321 2.3.8, for who wants it; the line is named and nothing is kept."""
    world = World(bare_lf="refuse")
    with pytest.raises(Rejected) as caught:
        world.submit("you@example.com", content=b"From: me@example.org\r\n\r\na\nb\r\n")
    assert caught.value.status is BAD_MESSAGE
    assert caught.value.detail == "line 3 of the message, octet 2: line feed without carriage return"
    assert not world.spool.bodies
    world.submit("you@example.com", content=b"From: me@example.org\r\n\r\na\r\n")
