"""The waits that hosts name, in the forms of the programs that say them; and the times that are none to wait for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.classification import asked_wait_s
from paravion.domain.named_wait import LIMIT_S, named_wait_s
from paravion.domain.outcome import Outcome, Result

M, H = 60, 3600

WAITS = {
    # Programs for greylisting
    "Greylisted, see http://postgrey.schweikert.ch/help/example.org.html": None,
    "<a@example.org>: Recipient address rejected: Greylisted for 300 seconds (postgrey)": 300,
    "Greylisted, will be accepted in 4 minutes and 58 seconds": 298,
    "Recipient address rejected: Greylisted for 5 minutes": 5 * M,  # sqlgrey
    "Greylisting in action, please come back in 00:05:00": 5 * M,  # milter-greylist
    "Greylisting in action, please come back in 01:29:07": 89 * M + 7,
    "Greylisting in action, please come back later": None,
    "Greylisted, please try again in 60 seconds": M,  # gld
    "Service temporarily unavailable, please try later": None,
    "Temporary failure, please try again later.": None,  # OpenBSD spamd
    "greylisted - please try again in 901 seconds": 901,  # Exim
    "Greylisted, please try again in 1h": H,
    "Greylisting: retry in 14m32s": 14 * M + 32,
    "Try again later": None,  # rspamd
    "Greylisted, try again in 0:05:00": 5 * M,
    "Greylisted by OVH, please retry in 2 minutes": 2 * M,
    "greylist: first attempt, try again in 10 minutes": 10 * M,  # postfwd
    "Greylisted, please try again in a few moments.": None,  # Stalwart
    "Greylisting in effect, please come back later (policyd)": None,
    "Greylisted (delay: 300 seconds)": 300,
    "Greylisting (301 seconds remaining)": 301,
    "Greylisted: 4 min. left": 4 * M,
    "Sender is greylisted, 12 minutes to go": 12 * M,
    "Greylist: you are new here. Minimum delay is 5 minutes.": 5 * M,
    "You have been greylisted for 1 hour 30 minutes": 90 * M,
    "You have been greylisted for 1 hour, 2 minutes and 3 seconds.": 62 * M + 3,
    "greylisted for 1 hr 5 mins": 65 * M,
    "Greylisted for five minutes": 5 * M,
    "Greylisted; retry=300": 300,
    "4.2.0 Sender address rejected: Greylisted for 55 sec.": 55,
    "first time sender, please wait at least five minutes": 5 * M,
    "greylisted for 86400 seconds": LIMIT_S,
    "greylisted for 2 days": None,
    "Greylisting: wait 5 to 10 minutes": 10 * M,
    "Greylisted, see you in 5-10 min": 10 * M,
    # Limits of a rate
    "[TS01] Messages from 192.0.2.1 temporarily deferred due to unexpected volume; see https://postmaster.yahooinc.com/error-codes": None,
    "4.7.28 Gmail has detected an unusual rate of mail from your IP, try again in 1 hour": H,
    "Throttled, try again after 15 minutes (Exchange)": 15 * M,
    "The mail server [192.0.2.25] has been temporarily rate limited due to IP reputation (S775)": None,
    "Too many connections from your host, retry in 30 seconds": 30,
    "Connection rate limit exceeded, wait 1m30s": 90,
    "Rate limit exceeded: not accepted for the next 24 hours": 24 * H,
    "Rate limited: 100 messages in 1 hour exceeded": None,
    "Rate limit: at most 20 messages per 10 minutes": None,
    "Too many messages sent within the last 60 minutes": None,
    "You exceeded the hourly limit of 500 messages in 60 minutes; slow down": None,
    "Too many connections; connection limit is 20 in 10 minutes": None,
    "Too many connections: 1 connection in 20 seconds": None,
    "Too much mail from 192.0.2.1, your limit resets in 17 minutes": 17 * M,
    "Too many recipients per hour, next attempt in half an hour": 30 * M,
    "Too many messages. Retry-After: 120": 120,
    "Rate limit reached, retry after 120": 120,
    "Trop de connexions, veuillez réessayer dans 5 minutes": 5 * M,
    "Demasiadas conexiones, inténtelo de nuevo en 10 minutos": 10 * M,
    # Whoever asks us to come back, whatever the cause
    "Mailbox is busy, please retry in 5 min.": 5 * M,
    "try again in five minutes": 5 * M,
    "Please try again in about 15 minutes": 15 * M,
    "Please try again in an hour": H,
    "try again after 5 minute(s)": 5 * M,
    "Try again later (5 minutes)": 5 * M,
    "Please wait 90 s": 90,
    "Delivery is delayed for 5.5 minutes": 330,
    "Retry 300 seconds later": 300,
    "In 10 minutes please try again": 10 * M,
    "Wait another 20 minutes before sending": 20 * M,
    "Resource temporarily unavailable, please resend your message in 2 hours": 2 * H,
    "temporarily out of order, come back in 1 day": 24 * H,
    "Bitte versuchen Sie es in 5 Minuten erneut": 5 * M,
    "Server in Wartung, in 2 Stunden erneut versuchen": 2 * H,
    "Please try again in 00:05": 5 * M,
    # Other times
    "timeout after 30 seconds": None,
    "Greylisting service: timeout after 30 seconds": None,
    "Please try again later, the backend timed out after 30 seconds": None,
    "mailbox inactive for 24 hours": None,
    "mail from you is not accepted for the next 24 hours": None,
    "account created in 2019 minutes": None,
    "idle for 300 seconds, closing; try again later": None,
    "retry timeout exceeded after 4 days": None,
    "Please retry after 2026-11-23T03:00:00Z": None,
    "Try again after 14:30:00": None,
    "Greylisted, in 10 mailboxes": None,
    "exceeded 50 hops": None,
    "please try again in 5000000 minutes": None,
    "blocked for 3 days": None,
    "Greylisted; accept mail in 0 seconds": None,
    "try again on 5 different hosts": None,
    "Greylisted (id 5s-7h-x1m)": None,
    "busy; see https://example.org/wait/300s": None,
}  # fmt: skip


def waits(text: str, status: str = "4.0.0", code: int = 451) -> int | None:
    """The wait of a deferral with that text."""
    return asked_wait_s(Outcome(Result.DEFERRED, status, code, text, "RCPT", "mx"))


@pytest.mark.parametrize("text", WAITS)
def test_wait_that_a_reply_names(text: str) -> None:
    """In seconds; None where the schedule's own wait counts."""
    assert waits(text) == WAITS[text]


def test_table_is_large() -> None:
    """Of texts that name a wait as of texts that name none."""
    assert len(WAITS) >= 60
    assert sum(wait is None for wait in WAITS.values()) >= 20


def test_a_time_counts_by_the_cause() -> None:
    """Bare, it is a wait where the status says greylisting or a limit of a rate, and else nothing is known of it."""
    text = "nothing more from you for the next 24 hours"
    assert waits(text, "4.7.28") == 24 * H
    assert waits(text, "4.2.1") is None


def test_only_a_deferral_names_a_wait() -> None:
    """A refusal is final, and what we say ourselves is no host's word."""
    text = "Greylisted, try again in 300 seconds"
    assert asked_wait_s(Outcome(Result.FAILED, "5.7.1", 550, text, "RCPT", "mx")) is None
    assert waits(text, code=0) is None


_TIME = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)).filter(any)


@given(_TIME, st.sampled_from(["clock", "words", "and", "short"]))
@settings(max_examples=60)
def test_any_time_is_read_to_the_second(time: tuple[int, int, int], form: str) -> None:
    """Never too early, in whatever form."""
    hours, minutes, seconds = time
    parts = [f"{n} {unit}" for n, unit in zip(time, ("hours", "minutes", "seconds"), strict=True) if n]
    said = {
        "clock": f"{hours:02}:{minutes:02}:{seconds:02}",
        "words": " ".join(parts),
        "and": " and ".join(", ".join(parts).rsplit(", ", 1)),
        "short": "".join(f"{n}{unit}" for n, unit in zip(time, "hms", strict=True) if n),
    }[form]
    assert named_wait_s(f"please try again in {said}.") == 3600 * hours + 60 * minutes + seconds


@given(st.text(alphabet="0123456789 :.,-()hmsadinorty", max_size=120), st.booleans())
@settings(max_examples=100)
def test_whatever_is_said_is_read_or_is_none(text: str, asked: bool) -> None:
    """Within a second and a day."""
    wait = named_wait_s(f"try again in {text}", is_asked_to_wait=asked)
    assert wait is None or 0 < wait <= LIMIT_S


def test_long_hostile_text_is_read_in_no_time() -> None:
    """Expressions are bounded: no text of a reply's length makes them crawl."""
    for piece in (
        "1 minute ",
        "in 1",
        "1h",
        "try again ",
        "again in the ",
        "for 1:",
        "a ",
        "5 to ",
        "1-",
        "message in 1s ",
    ):
        named_wait_s(piece * (1000 // len(piece)) + " 1 second", is_asked_to_wait=True)
