"""What validate does with a message before it is kept: policies, senders, recipients of the header."""

from __future__ import annotations

import pytest

from paravion.domain.status import BAD_MESSAGE, SENDER_SYNTAX, Rejected
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


@pytest.mark.parametrize("sender", [b"nobody", b"a@b.c <", b"x: y"])
def test_unreadable_sender_is_refused_where_it_decides(sender: bytes) -> None:
    """The identity check reads Sender: what it can't read is the caller's fault, not ours."""
    content = b"From: me@example.org\r\nSender: " + sender + b"\r\n\r\n"
    World().submit("you@example.com", content=content)  # nobody asks
    with pytest.raises(Rejected) as caught:
        World(identity_check="created").submit("you@example.com", content=content)
    assert caught.value.status is SENDER_SYNTAX


def test_message_sent_on_reaches_its_new_recipients_without_resent_bcc() -> None:
    """`sendmail -t` with Resent- fields: RFC 5322 3.6.6."""
    world = World()
    content = b"Resent-From: me@example.org\r\nResent-To: a@x.example\r\nResent-Bcc: b@x.example\r\nFrom: o@o.example\r\nTo: old@x.example\r\n\r\n"
    world.submit(content=content, recipients_from_header=True)
    world.run()
    assert sorted(path for _, path, _, _ in world.transport.accepted) == ["a@x.example", "b@x.example"]
    assert b"Resent-Bcc" not in world.accepted_by("a@x.example")[0]
    assert b"To: old@x.example\r\n" in world.accepted_by("a@x.example")[0]
