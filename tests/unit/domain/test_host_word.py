"""What replies say of a host: from real hosts' words."""

from __future__ import annotations

import pytest

from paravion.domain.host_word import Word, word_of
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import ReplyParser
from paravion.domain.verdict import Peer, Stage, judge
from tests.unit.domain.replies import REPLIES

DEFERRED, FAILED, DELIVERED = Result.DEFERRED, Result.FAILED, Result.DELIVERED


@pytest.mark.parametrize(
    ("result", "code", "status", "text", "command", "word"),
    [
        (DELIVERED, 250, "2.0.0", "Ok", "DOT", Word.ANSWERED),
        (FAILED, 550, "5.1.1", "no such user, rate", "RCPT", Word.ANSWERED),
        (DEFERRED, 0, "4.4.1", "Connection refused", "CONNECT", Word.UNREACHABLE),
        (DEFERRED, 0, "4.4.2", "Timed out", "GREETING", Word.UNREACHABLE),
        (DEFERRED, 0, "4.4.2", "Connection lost", "EHLO", Word.UNREACHABLE),
        (DEFERRED, 0, "4.4.2", "Connection lost", "MAIL", Word.ANSWERED),
        (DEFERRED, 0, "4.7.0", "TLS handshake failed", "TLS", None),
        (DEFERRED, 0, "4.4.3", "Name service does not answer", "DNS", None),
        (DEFERRED, 0, "4.4.5", "waits for its turn", "PACED", None),
        (DEFERRED, 421, "4.7.0", "Try again later, closing connection.", "GREETING", Word.TOO_FAST),
        (DEFERRED, 421, "4.3.2", "Service not available, closing transmission channel", "MAIL", Word.TOO_FAST),
        (DEFERRED, 421, "4.7.28", "Our system has detected an unusual rate of unsolicited mail", "DOT", Word.TOO_FAST),
        (DEFERRED, 421, "4.7.0", "mx Error: too many connections from 192.0.2.1", "GREETING", Word.TOO_MANY),
        (DEFERRED, 421, "4.7.0", "Too many concurrent SMTP sessions", "GREETING", Word.TOO_MANY),
        (DEFERRED, 421, "4.0.0", "Maximum number of concurrent connections exceeded", "GREETING", Word.TOO_MANY),
        (DEFERRED, 451, "4.7.651", "The mail server has been temporarily rate limited due to IP reputation", "MAIL",
         Word.TOO_FAST),
        (DEFERRED, 450, "4.7.1", "Error: too much mail from 192.0.2.1", "MAIL", Word.TOO_FAST),
        (DEFERRED, 452, "4.0.0", "Too many messages, slow down", "MAIL", Word.TOO_FAST),
        (DEFERRED, 451, "4.7.1", "Greylisting in action, please come back later, rate", "RCPT", Word.ANSWERED),
        (DEFERRED, 421, "4.7.0", "Greylisted, try again in 5 minutes", "RCPT", Word.ANSWERED),
        (DEFERRED, 421, "4.4.2", "mx Error: timeout exceeded", "MAIL", Word.ANSWERED),
        (DEFERRED, 450, "4.7.1", "Client host rejected: cannot find your hostname", "RCPT", Word.ANSWERED),
        (DEFERRED, 452, "4.5.3", "Too many recipients", "RCPT", Word.ANSWERED),
        (DEFERRED, 452, "4.2.2", "Mailbox full, storage limit exceeded", "RCPT", Word.ANSWERED),
        (DEFERRED, 450, "4.2.1", "The user is receiving mail at a rate that prevents delivery", "RCPT", Word.ANSWERED),
        (DEFERRED, 451, "4.3.0", "Temporary lookup failure", "RCPT", Word.ANSWERED),
        (DEFERRED, 421, "4.1.0", "192.0.2.3 Throttled - try again later", "GREETING", Word.TOO_FAST),
        (DEFERRED, 421, "4.1.8", "Sender's domain can't be resolved", "MAIL", Word.ANSWERED),
        (DEFERRED, 452, "4.3.1", "Too many messages", "MAIL", Word.TOO_FAST),
        (DEFERRED, 550, "4.1.1", "192.0.2.3 has sent to too many recipients this hour", "RCPT", Word.TOO_FAST),
        (DEFERRED, 535, "4.7.8", "Authentication failed: too many failed attempts", "AUTH", Word.ANSWERED),
        (DEFERRED, 454, "4.7.0", "Too many login attempts, please try again later", "AUTH", Word.ANSWERED),
        (DEFERRED, 421, "4.7.0", "Too many connections", "AUTH", Word.TOO_MANY),
    ],
)  # fmt: skip
def test_reply_says_what_it_says(result, code, status, text, command, word):
    """Rate limits and only those slow a host down; greylisting, idle time-outs and one mailbox don't."""
    assert word_of(Outcome(result, status, code, text, command, "mx.example")) == word


def test_broken_ehlo_under_tls_is_no_silence():
    """TLS 1.3: a host that refuses our half of the handshake says so behind it; it is there, and not dead."""
    lost = Outcome(DEFERRED, "4.4.2", text="Connection lost", command="EHLO", mx_host="mx.example", tls="TLSv1.3")
    assert word_of(lost) is Word.ANSWERED


@pytest.mark.parametrize("reply", [each for each in REPLIES if each[4] == "greylisting"], ids=repr)
def test_greylisting_slows_no_host_down(reply):
    """Whatever words it comes in: domain/known_replies.py knows them."""
    _, stage, octets, *_ = reply
    (answer,) = ReplyParser().feed(octets.replace("\n", "\r\n").encode() + b"\r\n")
    assert word_of(judge(Stage[stage], answer, Peer("mx.example")).outcome) is Word.ANSWERED


def test_outcome_without_a_host_says_nothing():
    """Nobody was asked."""
    assert word_of(Outcome(DEFERRED, "4.4.1", text="No time was left", command="CONNECT")) is None
