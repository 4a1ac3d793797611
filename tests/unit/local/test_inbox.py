"""The SMTP sink over a real client, and its pages."""

import asyncio
import contextlib
import json
import smtplib
import socket
import threading
from collections import Counter

import pytest

from infra.local.events import Request
from infra.local.inbox import KEPT, Inbox, InboxServer
from infra.local.pages import LocalPaths, subject


@pytest.fixture
def inbox():
    """A sink on a free port, in a loop of its own; gives its inbox and its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    kept = Inbox()
    server = InboxServer(kept)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
    yield kept, server.port
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture
def client(inbox):
    """A session after EHLO."""
    with smtplib.SMTP("127.0.0.1", inbox[1], timeout=5) as session:
        session.ehlo()
        yield session


def test_extensions(client) -> None:
    """It offers what a good next hop offers."""
    assert {"pipelining", "size", "8bitmime", "smtputf8", "dsn", "deliverby", "enhancedstatuscodes"} == set(
        client.esmtp_features
    )


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: x\r\n\r\nbody\r\n",
        b".dot\r\n..two\r\n.\r\n...\r\n\r\n.\r\n",
        b"",
        b"\r\n",
        b"bare\nLF and bare\rCR and \x00\xff\r\n",
        b"x" * 200_000 + b"\r\n",
    ],
    ids=["plain", "dots", "empty", "empty line", "octets", "long line"],
)
def test_octets_are_kept(inbox, client, content) -> None:
    """What was sent is what is kept, without dot-stuffing (RFC 5321 4.5.2)."""
    client.mail("a@example.org", ["BODY=8BITMIME"])
    client.rcpt("b@example.net")
    client.docmd("DATA")
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    client.send(stuffed + b".\r\n")
    assert client.getreply()[0] == 250
    (mail,) = inbox[0].messages()
    assert ("a@example.org", ("b@example.net",), content) == (mail.mail_from, mail.rcpt_tos, mail.content)


def test_bare_line_end_does_not_end_content(inbox, client) -> None:
    """Only CRLF . CRLF ends DATA: the SMTP smuggling forms are content (RFC 5321 4.1.1.4)."""
    client.mail("a@example.org")
    client.rcpt("b@example.net")
    client.docmd("DATA")
    client.send(b"one\n.\nMAIL FROM:<x@y>\r\n.\ntwo\n.\r\nthree\r\n.\r\n")
    assert client.getreply()[0] == 250
    assert [b"one\n.\nMAIL FROM:<x@y>\r\n\ntwo\n.\r\nthree\r\n"] == [mail.content for mail in inbox[0].messages()]


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("good@example.net", [250, 250]),
        ("busy-once@example.net", [451, 250]),
        ("busy-once+tag@example.net", [451, 250]),
        ("Busy-Once@example.net", [451, 250]),
        ("busy@example.net", [451, 451]),
        ("greylist@example.net", [451, 451]),
        ("missing+x@example.net", [550, 550]),
        ("drop@example.net", [250, 250]),
        ("busybody@example.net", [250, 250]),
    ],
)
def test_programmed_recipients(client, recipient, expected) -> None:
    """Some local parts misbehave on purpose."""
    client.mail("a@example.org")
    assert expected == [client.rcpt(recipient)[0] for _ in range(2)]


def test_busy_once_is_forgotten_with_the_mail(inbox, client) -> None:
    """Emptying the inbox makes every address new."""
    client.mail("a@example.org")
    client.rcpt("busy-once@example.net")
    inbox[0].clear()
    assert client.rcpt("busy-once@example.net")[0] == 451


def test_drop_breaks_the_connection_in_data(inbox, client) -> None:
    """The connection breaks while content is transferred; nothing is kept."""
    client.mail("a@example.org")
    client.rcpt("drop@example.net")
    assert client.docmd("DATA")[0] == 354
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        client.send(b"text\r\n.\r\n")
        client.getreply()
    with contextlib.suppress(smtplib.SMTPServerDisconnected):
        client.close()
    assert inbox[0].messages() == []


def test_pipelined_transactions(inbox) -> None:
    """Commands, content and the next transaction may come in one segment (RFC 2920)."""
    one = b"MAIL FROM:<>\r\nRCPT TO:<b@example.net> NOTIFY=NEVER\r\nDATA\r\n"
    with socket.create_connection(("127.0.0.1", inbox[1]), 5) as raw, raw.makefile("rb") as replies:
        raw.sendall(b"EHLO x\r\n" + one + b"first\r\n.\r\n" + one + b"second\r\n.\r\nQUIT\r\n")
        lines = replies.read().splitlines()
    assert [b"250", b"250", b"354", b"250"] * 2 + [b"221"] == [line[:3] for line in lines[9:]]
    assert [b"first\r\n", b"second\r\n"] == [mail.content for mail in inbox[0].messages()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("RCPT TO:<b@example.net>", 503),
        ("DATA", 503),
        ("MAIL a@example.org", 501),
        ("MAIL FROM:<a@example.org> SIZE=999999999999", 552),
        ('MAIL FROM:<"a>b"@example.org> SIZE=10', 250),
        ("VRFY b", 252),
        ("NOOP", 250),
        ("RSET", 250),
        ("BDAT 1", 502),
    ],
)
def test_commands(client, line, expected) -> None:
    """Commands out of order, malformed and unknown get RFC 5321's replies."""
    assert expected == client.docmd(line)[0]


def test_newest_are_kept() -> None:
    """The oldest message makes room for the newest."""
    kept = Inbox()
    for _ in range(KEPT + 1):
        kept.add("", ("b@y",), b"")
    assert (KEPT, "2") == (len(kept.messages()), kept.messages()[0].id)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Subject: plain", "plain"),
        (b"From: a\r\nsubject: folded\r\n text\r\nTo: b", "folded text"),
        (b"Subject: =?utf-8?q?gr=C3=BCn?=", "grün"),
        ("Subject: grün".encode(), "grün"),
        (b"Subject: =?nosuch?q?x?=", "=?nosuch?q?x?="),
        (b"X-Subject: no", ""),
    ],
)
def test_subject(header, expected) -> None:
    """A subject is unfolded and decoded, and never raises."""
    assert expected == subject(header + b"\r\n\r\nSubject: body")


def ask(pages: LocalPaths, method: str, target: str):
    """Ask the local paths."""
    return pages.handle(Request(method, target, "HTTP/1.1", (), b"", "127.0.0.1"))


def test_pages() -> None:
    """The inbox is listed, read and emptied over HTTP."""
    kept = Inbox()
    kept.add("", ("b@y", "c@y"), b"Subject: one\r\n\r\nbody")
    pages = LocalPaths(kept, Counter())
    (found,) = json.loads(ask(pages, "GET", "/inbox").body)
    assert found.pop("received_at").endswith("Z")
    assert {"id": "1", "mail_from": "", "rcpt_tos": ["b@y", "c@y"], "size": 20, "subject": "one"} == found
    raw = ask(pages, "GET", "/inbox/1")
    assert ("message/rfc822", b"Subject: one\r\n\r\nbody") == (dict(raw.headers)["content-type"], raw.body)
    assert ask(pages, "GET", "/inbox/2").status == 404
    assert ask(pages, "POST", "/inbox").status == 405
    assert ask(pages, "DELETE", "/inbox").status == 204
    assert ask(pages, "GET", "/inbox").body == b"[]"
    assert ask(pages, "GET", "/inboxes") is None


def test_page_escapes_everything() -> None:
    """Mail is shown as text, whatever it holds."""
    kept = Inbox()
    kept.add("<i>@x", ("<b>@y",), b"Subject: </h1><script>1</script>\r\n\r\n<script>2</script>")
    pages = LocalPaths(kept, Counter())
    for target in ("/inbox.html", "/inbox.html?id=1", "/inbox.html?id=%3Cscript%3E"):
        page = ask(pages, "GET", target)
        assert b"<script" not in page.body
        assert b"<i>" not in page.body
        assert "default-src 'none'" in dict(page.headers)["content-security-policy"]


def test_call_counts() -> None:
    """Counts of AWS calls are shown and reset."""
    calls = Counter({"sqs.SendMessage": 2})
    pages = LocalPaths(None, calls)
    assert json.loads(ask(pages, "GET", "/calls").body) == {"sqs.SendMessage": 2}
    assert ask(pages, "DELETE", "/calls").status == 204
    assert json.loads(ask(pages, "GET", "/calls").body) == {}
    assert ask(pages, "GET", "/inbox").status == 404
