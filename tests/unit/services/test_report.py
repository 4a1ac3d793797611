"""services/report.py: whom a report goes to, and who is told nothing of delays."""

from __future__ import annotations

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.ses_event import HEADER_OCTETS
from paravion.services.joined_report import STEP_S, WAIT_S
from paravion.services.report import _PROGRAM
from tests.support.world import World

OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
POSTMASTER = "postmaster@example.net"
YOU = "you@a.example"

PROGRAMS = (
    "owner-list", "OWNER-List", "list-request", "list-owner", "list-bounce", "list-bounces", "news-relay",
    "list-bounces+bob=example.org", "list-request+7", "list-owner=bob", "list-return-12-bob=x.org", "a-b-return-1",
    "bounces", "bounces+x", "bounces=x", "bounces-list", "bounces_list",
    "bounce", "Bounce+x", "bounce=bob", "bounce-12", "bounce_2b", "bounce-bob=example.org",
    "noreply", "no-reply", "no_reply", "No-Reply", "donotreply", "do-not-reply", "do_not_reply", "do-notreply",
    "no-reply+7", "noreply=7", "noreply-x", "noreply_x", "noreply.shop", "shop.noreply", "shop-no-reply", "my_noreply",
    "mailer-daemon", "MAILER-DAEMON",
)  # fmt: skip

PEOPLE = (
    "bob", "bob.bounces", "bounce.smith", "bouncer", "bounce-smith", "bounce_smith", "bouncesmith", "owner", "owners",
    "request", "bob-return", "bob-return-ticket", "reply", "noel.reply", "bono-reply", "nonoreply", "noreplyx", "joan",
    "relay", "postmaster", "mailer-daemons", "trampoline+bounce", "bob+bounces", "downer-list", "",
)  # fmt: skip


@pytest.mark.parametrize("local", PROGRAMS)
def test_a_program_is_known_by_its_name(local: str) -> None:
    """Lists, with the recipient in the address (VERP) or without, and what nobody reads (RFC 3834 2)."""
    assert _PROGRAM.fullmatch(local)


@pytest.mark.parametrize("local", PEOPLE)
def test_a_name_is_somebodys(local: str) -> None:
    """Who is warned too often loses a minute; who is not warned, his mail."""
    assert not _PROGRAM.fullmatch(local)


@pytest.mark.parametrize(("local", "subjects"), [("bounces+x=y.org", 1), ("bounce.smith", 2)])
def test_a_program_hears_of_failures_and_not_of_delays(local: str, subjects: int) -> None:
    """The reverse-path is its own: that is where a failure belongs."""
    sender = f"{local}@example.org"
    world = World({YOU: [BUSY] * 400})
    world.submit(YOU, sender=sender)
    world.run()
    reports = world.accepted_by(sender)
    assert [b"\r\nAction: failed" in report for report in reports] == [False, True][2 - subjects :]


NOTIFY = (("SUCCESS",), ("DELAY",), ("SUCCESS", "DELAY"), ("SUCCESS", "FAILURE", "DELAY"), ())


@pytest.mark.parametrize("notify", NOTIFY, ids=" ".join)
@pytest.mark.parametrize("says", [[OK], [BUSY] * 60 + [OK]], ids=["delivered", "delivered late"])
def test_the_postmaster_hears_of_failures_alone(notify: tuple[str, ...], says: list[Outcome]) -> None:
    """Mail with a null reverse-path that succeeds, or is late, is told of to nobody, whatever NOTIFY asks for."""
    world = World({YOU: says}, postmaster=POSTMASTER)
    world.submit(Recipient(YOU, notify=notify), sender="")
    world.run()
    assert world.accepted_by(YOU)
    assert world.kinds() == ["mail"]
    assert world.accepted_by(POSTMASTER) == []


@pytest.mark.parametrize(("notify", "count"), [((), 1), (("FAILURE",), 1), (("SUCCESS", "DELAY"), 0)])
def test_the_postmaster_hears_of_failures(notify: tuple[str, ...], count: int) -> None:
    """Where the null sender leaves it to us, or asks for it."""
    world = World({YOU: [GONE]}, postmaster=POSTMASTER)
    world.submit(Recipient(YOU, notify=notify), sender="")
    world.run()
    assert len(world.accepted_by(POSTMASTER)) == count


def test_bounds_are_what_is_documented() -> None:
    """A report waits for its siblings for a minute (docs/reports.md); SES tells 10 KB of a header ("headersTruncated")."""
    assert (WAIT_S, STEP_S) == (60.0, 10.0)
    assert HEADER_OCTETS == 10 * 1024
