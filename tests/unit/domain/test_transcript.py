"""Transcripts: what is shown, what never is, and that they stay small."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain import status, transcript
from paravion.domain.reply import Malformed, Reply
from paravion.domain.transcript import BOOK_CHARACTERS, CHARACTERS, LINES, SILENT, Book, Line, Recorder, decode
from paravion.domain.verdict import Fault, FaultKind, Stage, our_outcome

S = Stage


def shown(recorder):
    """The lines as a reader sees them."""
    return [f"{line.kind} {line.text}" for line in recorder.lines]


def test_session_step_by_step():
    """Commands and replies in their order, status included, times since the connection began."""
    recorder = Recorder()
    recorder.note(9.5, "next hop example.com: mx.test")
    recorder.begin(10.0, "connecting to mx.test [192.0.2.1]:25")
    recorder.received(10.010, S.GREETING, Reply(220, ("mx.test ESMTP",)))
    recorder.sent(10.010, S.EHLO, b"EHLO us.test\r\n")
    recorder.received(10.020, S.EHLO, Reply(250, ("mx.test", "SIZE 100", "DSN")))
    recorder.sent(10.020, S.MAIL, b"MAIL FROM:<a@x>\r\n")
    recorder.received(10.030, S.MAIL, Reply(250, ("ok",), "2.1.0"))
    recorder.sent(10.030, S.RCPT, b"RCPT TO:<b@y>\r\n")
    recorder.received(10.040, S.RCPT, Reply(550, ("nobody", "here"), "5.1.1"))
    recorder.received(10.050, S.DATA, Malformed("not a reply: HTTP/1.1"))
    recorder.received(10.050, S.DATA, Fault(FaultKind.LOST, "reset"))
    assert recorder.lines[1] == Line(0, "*", "connecting to mx.test [192.0.2.1]:25")
    assert [line.ms for line in recorder.lines] == [0, 0, 10, 10, 20, 20, 20, 20, 30, 30, 40, 40, 50, 50]
    assert shown(recorder)[2:] == [
        "<- 220 mx.test ESMTP",
        "-> EHLO us.test",
        "<- 250-mx.test",
        "<- 250-SIZE 100",
        "<- 250 DSN",
        "-> MAIL FROM:<a@x>",
        "<- 250 2.1.0 ok",
        "-> RCPT TO:<b@y>",
        "<- 550-5.1.1 nobody  [RCPT TO:<b@y>]",
        "<- 550 5.1.1 here  [RCPT TO:<b@y>]",
        "* not a reply: HTTP/1.1",
        "* Connection lost: reset",
    ]


@pytest.mark.parametrize("pipelined", [True, False], ids=["pipelined", "stepwise"])
def test_many_recipients_are_summed_up_but_each_refused_one_is_shown(pipelined):
    """A hundred recipients, two refused: five pairs, a sum, and the two by name."""
    recorder = Recorder()
    commands = [b"RCPT TO:<r%d@x>\r\n" % n for n in range(100)]
    refused = {7: Reply(550, ("no",), "5.1.1"), 93: Reply(450, ("later",), "4.2.0")}
    if pipelined:
        recorder.sent(0, S.MAIL, b"MAIL FROM:<a@x>\r\n" + b"".join(commands) + b"DATA\r\n")
        recorder.received(0, S.MAIL, Reply(250, ("ok",)))
    for n, command in enumerate(commands):
        if not pipelined:
            recorder.sent(0, S.RCPT, command)
        recorder.received(0, S.RCPT, refused.get(n, Reply(250, ("ok",))))
    if not pipelined:
        recorder.sent(0, S.DATA, b"DATA\r\n")
    recorder.received(0, S.DATA, Reply(354, ("go",)))
    lines = shown(recorder)
    assert len([line for line in lines if line.startswith("-> RCPT")]) == 5
    assert "<- 550 5.1.1 no  [RCPT TO:<r7@x>]" in lines
    assert "<- 450 4.2.0 later  [RCPT TO:<r93@x>]" in lines
    summary = "* (95 more RCPT TO; of their replies only refusals are shown)"
    assert lines.index("<- 354 go") > lines.index(summary) > lines.index("<- 450 4.2.0 later  [RCPT TO:<r93@x>]")
    assert len(lines) < 20


SECRETS = {
    "plain": (S.MAIL, b"AUTH PLAIN AHVzZXIAaHVudGVyMg==\r\n", "-> AUTH PLAIN ***"),
    "login": (S.AUTH, b"AUTH LOGIN\r\n", "-> AUTH LOGIN"),
    "continuation": (S.AUTH, b"aHVudGVyMg==\r\n", "-> ***"),
    "that_looks_like_a_command": (S.AUTH, b"MAIL FROM:<hunter2>\r\n", "-> ***"),
    "unknown_command": (S.MAIL, b"XSECRET hunter2\r\n", "-> ***"),
    "content": (S.DOT, b"Subject: hunter2\r\n", "-> ***"),
    "bdat": (S.DOT, b"BDAT 20 LAST\r\nMAIL FROM: hunter2\r\n", "-> BDAT 20 LAST"),
    "lone_dot": (S.DOT, b".\r\n", "-> ."),
}


@pytest.mark.parametrize("key", SECRETS)
def test_neither_secrets_nor_content_are_shown(key):
    """By the command's form, and whatever belongs to AUTH not at all."""
    stage, octets, line = SECRETS[key]
    recorder = Recorder()
    recorder.sent(0, stage, octets)
    assert [line] == shown(recorder)


def test_answers_to_auth_show_their_codes_alone():
    """A challenge may carry what a password can be guessed from, and a refusal quote what it was told."""
    recorder = Recorder()
    recorder.received(0, S.AUTH, Reply(334, ("c2FsdD1odW50ZXIy",)))
    recorder.received(0, S.AUTH, Reply(535, ("bad credentials",), "5.7.8"))
    recorder.received(0, S.AUTH, Malformed("not a reply: hunter2"))
    assert shown(recorder) == ["<- 334 ***", "<- 535 5.7.8 ***", "* what came is no reply"]


@given(st.lists(st.tuples(st.sampled_from(Stage), st.binary(max_size=300)), max_size=30))
def test_content_never_shows_whatever_is_sent(pairs):
    """Anything but a known command is hidden, and everything shown is printable."""
    recorder = Recorder()
    for stage, octets in pairs:
        recorder.sent(0, stage, octets)
        recorder.received(0, stage, Reply(250, ("x",)))
    for line in recorder.lines:
        assert line.text.isprintable()
        if line.kind == "->":
            assert line.text in {"***", "."} or line.text.partition(" ")[0].upper() in transcript._SHOWN_VERBS | {
                "AUTH"
            }


def test_recorder_is_bounded_by_lines_and_characters():
    """A host that talks for ever fills nothing."""
    talker = Recorder()
    for _ in range(10_000):
        talker.received(0, S.EHLO, Reply(250, ("x",) * 100))
    assert len(talker.lines) == LINES + 1
    assert talker.lines[-1].text == "(no more is kept)"
    shouter = Recorder()
    for _ in range(10_000):
        shouter.received(0, S.MAIL, Reply(250, ("y" * 1000,)))
    assert sum(len(line.text) for line in shouter.lines) <= CHARACTERS + 100


def test_every_refusal_of_a_full_transaction_fits():
    """A hundred refused recipients are all there."""
    recorder = Recorder()
    commands = b"".join(b"RCPT TO:<recipient%d@example.com>\r\n" % n for n in range(100))
    recorder.sent(0, S.MAIL, b"MAIL FROM:<a@x>\r\n" + commands + b"DATA\r\n")
    recorder.received(0, S.MAIL, Reply(250, ("ok",)))
    for n in range(100):
        recorder.received(0, S.RCPT, Reply(550, (f"<recipient{n}@example.com>: User unknown",), "5.1.1"))
    recorder.received(0, S.DATA, Reply(554, ("no valid recipients",)))
    assert len([line for line in recorder.lines if "User unknown" in line.text]) == 100
    assert recorder.lines[-1].text == "554 no valid recipients"


def test_connection_lost_in_the_middle_leaves_nothing_waiting():
    """The next connection's replies are not taken for those of the last one's commands."""
    recorder = Recorder()
    recorder.sent(0, S.MAIL, b"MAIL FROM:<a@x>\r\n" + b"RCPT TO:<r@x>\r\n" * 9 + b"DATA\r\n")
    recorder.received(0, S.MAIL, Fault(FaultKind.LOST))
    recorder.begin(1, "connecting")
    recorder.sent(1, S.RCPT, b"RCPT TO:<other@x>\r\n")
    recorder.received(1, S.RCPT, Reply(550, ("no",)))
    assert shown(recorder)[-1] == "<- 550 no  [RCPT TO:<other@x>]"
    assert "* (4 more RCPT TO; of their replies only refusals are shown)" in shown(recorder)


def test_silent_recorder_keeps_nothing():
    """It may be shared by everybody."""
    SILENT.begin(0, "x")
    SILENT.note(0, "x")
    SILENT.sent(0, S.MAIL, b"MAIL\r\n")
    SILENT.content(0, 1)
    SILENT.received(0, S.MAIL, Reply(250, ("x",)))
    assert SILENT.lines == []


def test_book_is_read_as_it_was_written():
    """Pages with their attempts and times; those that never reached a host say why."""
    book = Book(transcript.book_key(1_800_000_000.0, "cafe"))
    assert book.is_empty
    book.recorder("q1", 0, 2, 5.0, "example.com").note(0, "hällo ☃")
    gone = our_outcome(status.NO_SUCH_DOMAIN, "", "DNS")
    book.without_host("q2", 1, 1, 6.0, [("a@x.example", gone), ("b@x.example", gone), ("c@y.example", gone)])
    assert (book.key, book.is_empty) == ("2027-01-15/cafe", False)
    pages = decode(book.encode())
    assert [(p.queue_id, p.chunk, p.attempt, p.at, p.next_hop) for p in pages] == [
        ("q1", 0, 2, 5.0, "example.com"),
        ("q2", 1, 1, 6.0, "x.example"),
        ("q2", 1, 1, 6.0, "y.example"),
    ]
    assert pages[0].lines == (Line(0, "*", "hällo ☃"),)
    assert pages[1].lines[0].text == "a@x.example and 1 more: DNS 5.1.2 Domain does not exist"


def test_book_is_bounded():
    """What an invocation keeps has a limit, and the pages say themselves what was left out."""
    book = Book("k")
    for n in range(BOOK_CHARACTERS // CHARACTERS + 10):
        recorder = book.recorder(f"q{n}", 0, 1, 0.0, "x")
        for _ in range(100):
            recorder.note(0, "z" * 400)
    pages = decode(book.encode())
    assert len(pages) == BOOK_CHARACTERS // CHARACTERS + 10
    assert pages[0].lines
    assert pages[-1].lines == ()


def test_book_of_the_first_days_can_be_read():
    """Its lines have their three parts by themselves; books are kept for 14 days."""
    page = {"queue_id": "q", "chunk": 0, "attempt": 1, "at": 5.0, "next_hop": "x", "lines": [[7, "<-", "250 ok  "]]}
    packer = zlib.compressobj(wbits=31)
    octets = packer.compress(json.dumps({"pages": [page]}).encode()) + packer.flush()
    assert decode(octets)[0].lines == (Line(7, "<-", "250 ok  "),)


def test_line_is_read_as_it_was_written():
    recorder = Recorder()
    recorder.note(0, "")
    recorder.note(0.002, "a  b\nc ")
    assert recorder.lines == [Line(0, "*", ""), Line(2, "*", "a  b\nc ")]


BAD_BOOKS = [b"", b"x", zlib.compress(b"{}"), transcript.Book("k").encode()[:-9], b'{"pages":[]}']


@pytest.mark.parametrize("octets", BAD_BOOKS)
def test_what_is_no_book_is_refused(octets):
    """By one error."""
    with pytest.raises(ValueError):
        decode(octets)
