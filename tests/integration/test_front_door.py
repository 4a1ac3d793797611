"""infra/front_door over real sockets, before an API that answers as told."""

import asyncio
import base64
import contextlib
import ipaddress
import json
import smtplib
import socket
import ssl
import threading
import time
from datetime import datetime

import pytest

from infra.front_door.certificate import make_self_signed
from infra.front_door.server import FrontDoor
from infra.front_door.settings import FrontDoorSettings
from paravion.domain.http1 import basic
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error

USER, PASSWORD = "AKIATEST", "smtp-password"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
HELLO = b"Subject: hi\r\n\r\nhello\r\n"
ENVELOPE = b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"


class RunningDoor:
    """A front door in an event loop of its own thread, as the local engine runs it."""

    def __init__(self, settings):
        self.door = FrontDoor(settings)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def do(self, coroutine, timeout=20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def __enter__(self):
        self.thread.start()
        self.do(self.door.start())
        return self

    def __exit__(self, *_):
        self.do(self.door.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def api():
    """An API that knows two credentials."""
    with FakeApi() as api:
        api.authorizations = {basic(USER, PASSWORD), basic("AKIADOOR", "door")}
        yield api


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody waits for an API that is no better a second later."""
    monkeypatch.setattr("infra.front_door.api.RETRY_WAITS_S", (0.001, 0.001))


@contextlib.contextmanager
def opened(api, **changes):
    """A front door that runs, trusting loopback unless told otherwise."""
    settings = {
        "api_url": api if isinstance(api, str) else api.url,
        "port": 0,
        "tls_port": 0,
        "hostname": "door.example",
        "trusted_networks": LOOPBACK,
        "credential": ("AKIADOOR", "door"),
        "drain_s": 5.0,
    }
    with RunningDoor(FrontDoorSettings(**(settings | changes))) as running:
        yield running


class Client:
    """A raw SMTP client that reads whole replies."""

    def __init__(self, running):
        self.socket = socket.create_connection(running.door.address, 10)
        self.buffer = b""
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets)

    def line(self):
        while b"\n" not in self.buffer:
            octets = self.socket.recv(65536)
            if not octets:
                return ""
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert line.endswith(b"\r")
        return line[:-1].decode()

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def say(self, text):
        self.send(text.encode() + b"\r\n")
        return self.reply()

    def begin(self, *parameters):
        assert self.say("EHLO client.example").startswith("250-")
        assert self.say(" ".join(("MAIL FROM:<a@x.example>", *parameters))).startswith("250 2.1.0")
        assert self.say("RCPT TO:<b@y.example>").startswith("250 2.1.5")

    def deliver(self, content=HELLO):
        self.begin()
        assert self.say("DATA").startswith("354 ")
        self.send(content + b".\r\n")
        return self.reply()


def unverified():
    """A context for self-signed certificates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def smtp(running):
    """An smtplib client after STARTTLS."""
    host, port = running.door.address
    client = smtplib.SMTP(host, port, timeout=10)
    client.starttls(context=unverified())
    return client


def test_starttls_and_auth_submit_under_the_clients_own_credential(api):
    """250 comes only after the API's 2xx and carries its queue id; the API hears who the client is."""
    with opened(api, trusted_networks=(), credential=None) as running, smtp(running) as client:
        client.ehlo("client.example")
        client.login(USER, PASSWORD)
        assert {} == client.sendmail("a@x.example", ["b@y.example"], HELLO)
        (submission,) = api.submissions
    assert basic(USER, PASSWORD) == submission.headers["Authorization"]
    assert HELLO == submission.content
    assert {
        "reverse_path": "a@x.example",
        "recipients": ["b@y.example"],
        "door": "smtp",
        "client": "client.example ([127.0.0.1])",
        "protocol": "ESMTPSA",
    } == {name: value for name, value in submission.fields.items() if name != "content"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "plain"])
def test_auth_under_implicit_tls(api, mechanism):
    """The 465 style listener takes AUTH at once (RFC 8314 3.3); mechanisms have no case (RFC 4954 4)."""
    with opened(api, trusted_networks=(), credential=None) as running:
        host, port = running.door.tls_address
        with smtplib.SMTP_SSL(host, port, context=unverified(), timeout=10) as client:
            client.ehlo()
            assert not client.has_extn("starttls")
            if mechanism == "LOGIN":
                client.user, client.password = USER, PASSWORD
                code, _ = client.auth("LOGIN", client.auth_login)
            else:
                token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
                code, _ = client.docmd("AUTH", f"{mechanism} {token}")
            assert 235 == code


def test_a_wrong_password_is_refused_in_ses_words(api, caplog):
    """535 5.7.8, three times, then the connection ends; the log says whose it was, but not what."""
    caplog.set_level("INFO", "paravion.front_door")
    with opened(api, trusted_networks=()) as running, smtp(running) as client:
        client.ehlo()
        token = base64.b64encode(f"\0{USER}\0wrong".encode()).decode()
        for _ in range(2):
            assert (535, b"5.7.8 Authentication Credentials Invalid") == client.docmd("AUTH", f"PLAIN {token}")
        assert 530 == client.docmd("MAIL", "FROM:<a@x.example>")[0]
        assert 535 == client.docmd("AUTH", f"PLAIN {token}")[0]
        assert 421 == client.getreply()[0]
    failures = [line for line in _lines(caplog) if line["event"] == "AuthFailure"]
    assert [{"event": "AuthFailure", "client": "127.0.0.1", "user": USER, "reason": "bad"}] * 3 == failures


def test_auth_while_the_api_is_away_is_transient():
    """RFC 4954 6: 454 4.7.0, since nothing is known of the password."""
    with opened("http://127.0.0.1:9", trusted_networks=(), api_timeout_s=1) as running, smtp(running) as client:
        client.ehlo()
        token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        code, text = client.docmd("AUTH", f"PLAIN {token}")
    assert (454, b"4.7.0") == (code, text[:5])


@pytest.mark.parametrize(
    ("script", "code"),
    [((200, {}), 235), ((500, {}), 235), ((404, {"message": "Not Found"}), 454), ((503, {}), 235)],
)
def test_only_the_apis_own_refusal_refuses_a_password(api, script, code):
    """A gateway's 404 says nothing about a credential; its 5xx is a lost answer, and asked again."""
    api.script.append(script)
    with opened(api, trusted_networks=()) as running, smtp(running) as client:
        client.ehlo()
        token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        assert code == client.docmd("AUTH", f"PLAIN {token}")[0]


def test_a_good_credential_is_asked_for_once_a_minute(api):
    """The result is remembered, so that not every connection costs a request."""
    with opened(api, trusted_networks=()) as running:
        for _ in range(3):
            with smtp(running) as client:
                client.login(USER, PASSWORD)
    assert 1 == len([request for request in api.requests if request.path == "/v1/credentials/self"])


def test_auth_needs_tls_unless_loopback_may_do_without(api):
    """Without TLS: AUTH is not advertised, 538 if tried, 530 for MAIL (RFC 4954 4, 3207 4)."""
    with opened(api, trusted_networks=()) as running, Client(running) as client:
        assert "AUTH" not in client.say("EHLO c")
        assert client.say("AUTH PLAIN AAAA").startswith("538 5.7.11 ")
        assert "530 5.7.0 Must issue a STARTTLS command first" == client.say("MAIL FROM:<a@x.example>")
    with opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running, Client(running) as client:
        assert "250-AUTH PLAIN LOGIN" in client.say("EHLO c")
        assert client.say("MAIL FROM:<a@x.example>").startswith("530 5.7.0 Authentication required")
        token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        assert "235 2.7.0 Authentication successful" == client.say(f"AUTH PLAIN {token}")


AUTH_ABUSE = {
    "cancelled": (["AUTH PLAIN", "*"], "501 5.7.0"),
    "LOGIN cancelled": (["AUTH LOGIN", "*"], "501 5.7.0"),
    "LOGIN cancelled later": (["AUTH LOGIN", base64.b64encode(USER.encode()).decode(), "*"], "501 5.7.0"),
    "LOGIN with its user cancelled": (["AUTH LOGIN " + base64.b64encode(USER.encode()).decode(), "*"], "501 5.7.0"),
    "bad base64": (["AUTH PLAIN ===="], "501 5.5.2"),
    "empty response": (["AUTH PLAIN ="], "501 5.5.2"),
    "bad base64 later": (["AUTH LOGIN", "!"], "501 5.5.2"),
    "two parts": (["AUTH PLAIN " + base64.b64encode(b"a\0b").decode()], "501 5.5.2"),
    "for somebody else": (["AUTH PLAIN " + base64.b64encode(f"x\0{USER}\0{PASSWORD}".encode()).decode()], "535 5.7.8"),
    "colon in the user": (["AUTH PLAIN " + base64.b64encode(b"\0a:b\0c").decode()], "535 5.7.8"),
    "unknown mechanism": (["AUTH CRAM-MD5"], "504 5.5.4"),
    "no mechanism": (["AUTH"], "501 5.5.4"),
    "three words": (["AUTH PLAIN a b"], "501 5.5.4"),
    "endless line": (["AUTH PLAIN", "A" * 20_000], "500 5.5.2"),
}


@pytest.mark.parametrize(("lines", "reply"), AUTH_ABUSE.values(), ids=AUTH_ABUSE)
def test_auth_abuse_is_refused_and_the_session_goes_on(api, lines, reply):
    """RFC 4954 4 and 6."""
    with opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running, Client(running) as client:
        client.say("EHLO c")
        answers = [client.say(line) for line in lines]
        assert answers[-1].startswith(reply + " ")
        assert client.say("NOOP").startswith("250 2.0.0")


PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()


def test_auth_comes_once_and_before_mail(api):
    """RFC 4954 4: 503 inside a transaction and after a success; EHLO and RSET keep who it is."""
    with opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running, Client(running) as client:
        client.say("EHLO c")
        assert client.say(f"AUTH PLAIN {PLAIN}").startswith("235 ")
        for mechanism in (f"PLAIN {PLAIN}", "PLAIN", "LOGIN", "CRAM-MD5"):
            assert client.say(f"AUTH {mechanism}").startswith("503 5.5.1 Authenticated already")
        assert client.say("RSET").startswith("250 ")
        assert client.say("EHLO d").startswith("250-")
        assert client.say("AUTH PLAIN").startswith("503 5.5.1 Authenticated already")
        assert client.deliver().startswith("250 2.0.0 ")
    assert basic(USER, PASSWORD) == api.submissions[0].headers["Authorization"]
    with opened(api, auth_cleartext_loopback=True) as running, Client(running) as client:
        client.begin()  # trusted: a transaction may come first
        assert client.say(f"AUTH PLAIN {PLAIN}").startswith("503 5.5.1 AUTH is not allowed here")
        client.say("RSET")
        assert client.say(f"AUTH PLAIN {PLAIN}").startswith("235 ")


def test_starttls_forgets_who_it_is(api):
    """RFC 3207 4.2: what was said in clear is not known; AUTH may come again."""
    with (
        opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running,
        smtplib.SMTP(*running.door.address, timeout=10) as client,
    ):
        client.ehlo("c")
        assert client.docmd("AUTH", f"PLAIN {PLAIN}")[0] == 235
        client.starttls(context=unverified())
        client.ehlo("c")
        assert client.docmd("MAIL", "FROM:<a@x.example>")[0] == 530
        assert client.docmd("AUTH", f"PLAIN {PLAIN}")[0] == 235
        assert client.docmd("MAIL", "FROM:<a@x.example>")[0] == 250


def test_log_tells_no_secrets(api, caplog):
    """Neither of those that are good nor of those that are bad, nor in whatever form: of the client's or the door's."""
    caplog.set_level("DEBUG")
    secrets = ["guess", PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), PLAIN, basic(USER, PASSWORD).split()[1]]
    wrong = base64.b64encode(f"\0{USER}\0guess".encode()).decode()
    with opened(api, auth_cleartext_loopback=True, credential=("AKIADOOR", "door")) as running:
        with Client(running) as client:
            client.say("EHLO c")
            assert client.say(f"AUTH PLAIN {wrong}").startswith("535 ")
            assert client.say("AUTH LOGIN").startswith("334 ")
            client.say(base64.b64encode(USER.encode()).decode())
            assert client.say(base64.b64encode(PASSWORD.encode()).decode()).startswith("235 ")
            assert client.deliver().startswith("250 2.0.0 ")
            client.begin()
        with Client(running) as client:
            client.say("EHLO c")
            client.say(f"AUTH PLAIN {PLAIN}")
            api.script.append(error(422, "no_such_user", 550, "5.1.1"))
            assert client.deliver().startswith("550 ")
        with Client(running) as client:
            assert client.deliver().startswith("250 2.0.0 ")
    texts = [record.getMessage() for record in caplog.records]
    assert {"AuthFailure", "Reception", "Rejection", "Abandonment"} == {line["event"] for line in _lines(caplog)}
    for secret in (*secrets, wrong, basic(USER, "guess").split()[1], basic("AKIADOOR", "door").split()[1]):
        assert not [text for text in texts if secret in text]


def test_ehlo_names_what_works(api):
    """What is advertised, each of which has a test here."""
    with opened(api, max_message_octets=5000) as running, Client(running) as client:
        assert "220 door.example ESMTP paravion" == client.greeting
        words = {line[4:] for line in client.say("EHLO c").split("\n")}
        assert {
            "door.example", "PIPELINING", "SIZE 5000", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING", "DSN",
            "DELIVERBY", "LIMITS MAILMAX=10000 RCPTMAX=1000", "SMTPUTF8",
        } == {word for word in words if not word.startswith("FUTURERELEASE ")}  # fmt: skip
        (release,) = [word.split() for word in words if word.startswith("FUTURERELEASE ")]
        assert release[1] == "864000"
        assert 863_900 < datetime.fromisoformat(release[2]).timestamp() - time.time() < 864_100


def test_a_whole_session_in_one_write_is_answered_in_order(api):
    """RFC 2920: commands pipelined before and after DATA, two messages, and a half-close behind it all."""
    session = (
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<bad>\r\nDATA\r\n"
        b"Subject: 1\r\n\r\n..one\r\n.\r\n"
        b"MAIL FROM:<>\r\nRCPT TO:<c@y.example>\r\nDATA\r\nSubject: 2\r\n\r\ntwo\r\n.\r\nNOOP\r\nQUIT\r\n"
    )
    with opened(api) as running, Client(running) as client:
        client.send(session)
        client.socket.shutdown(socket.SHUT_WR)
        codes = [client.reply()[:9].split("-")[0].strip() for _ in range(12)]
        assert "" == client.line()
    assert [
        "250", "250 2.1.0", "250 2.1.5", "501 5.1.3", "354 End d", "250 2.0.0",
        "250 2.1.0", "250 2.1.5", "354 End d", "250 2.0.0", "250 2.0.0", "221 2.0.0",
    ] == codes  # fmt: skip
    assert [b"Subject: 1\r\n\r\n.one\r\n", b"Subject: 2\r\n\r\ntwo\r\n"] == [s.content for s in api.submissions]
    assert ["a@x.example", ""] == [s.fields["reverse_path"] for s in api.submissions]


def test_a_session_byte_by_byte(api):
    """Packets mean nothing."""
    with opened(api) as running, Client(running) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nx: y\r\n\r\nz\r\n.\r\n":
            client.send(bytes([octet]))
        replies = [client.reply() for _ in range(5)]
    assert f"250 2.0.0 Ok {QUEUE_ID}" == replies[-1]
    assert [b"x: y\r\n\r\nz\r\n"] == [s.content for s in api.submissions]


SMUGGLING = {
    "<LF>.<LF>": b"\n.\n",
    "<LF>.<CRLF>": b"\n.\r\n",
    "<CRLF>.<LF>": b"\r\n.\n",
    "<CR>.<CR>": b"\r.\r",
    "<CR>.<CRLF>": b"\r.\r\n",
    "<CRLF>.<CR>": b"\r\n.\r",
    "<CR>.<LF>": b"\r.\n",
    "<LF>.<CR>": b"\n.\r",
    "<CRLF>.<CR><CRLF>": b"\r\n.\r\r\n",
    "<LF><CR>.<LF><CR>": b"\n\r.\n\r",
}


@pytest.mark.parametrize("sequence", SMUGGLING.values(), ids=SMUGGLING)
@pytest.mark.parametrize("way", ["one write", "octet by octet", "BDAT"])
def test_smtp_smuggling(api, sequence, way):
    """A false end of DATA hides no commands and no message with it goes on (RFC 5321 2.3.8, 4.1.1.4)."""
    smuggled = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nevil\r\n"
    content = b"Subject: x\r\n\r\nhello" + sequence + smuggled
    with opened(api) as running, Client(running) as client:
        client.begin()
        if way == "BDAT":
            client.send(b"BDAT %d LAST\r\n%sQUIT\r\n" % (len(content), content))
        else:
            assert client.say("DATA").startswith("354 ")
            octets = content + b".\r\nQUIT\r\n"
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in [octets] if way == "one write" else [bytes([octet]) for octet in octets]:
                client.send(octet)
        assert client.reply().startswith("554 5.6.0 Message is malformed: bare ")
        assert "221 2.0.0 Bye" == client.reply()
        assert "" == client.line()
    assert [] == api.submissions


def test_starttls_drops_what_was_sent_before_it(api):
    """RFC 3207 4.2, CVE-2011-0411: commands in clear behind STARTTLS are never answered, the greeting is forgotten."""
    with opened(api) as running, Client(running) as client:
        client.say("EHLO c")
        client.send(b"STARTTLS\r\nMAIL FROM:<injected@x.example>\r\nNOOP\r\n")
        assert client.reply().startswith("220 2.0.0")
        assert b"" == client.buffer
        client.socket = unverified().wrap_socket(client.socket, server_hostname="door.example")
        assert client.say("MAIL FROM:<a@x.example>").startswith("503 5.5.1")
        assert "STARTTLS" not in client.say("EHLO c")
        assert client.say("STARTTLS").startswith("503 5.5.1")
        assert f"250 2.0.0 Ok {QUEUE_ID}" == client.deliver()


def test_a_failed_handshake_ends_the_session_and_no_other(api):
    """Plain octets instead of a ClientHello."""
    with opened(api) as running:
        with Client(running) as client:
            client.say("STARTTLS")
            client.send(b"EHLO not-tls\r\n" * 10)
            with contextlib.suppress(ConnectionError):
                while client.socket.recv(1000):
                    pass
        with Client(running) as client:
            assert client.deliver().startswith("250 2.0.0")


OUTCOMES = {
    "refused": (error(422, "no_such_user", 550, "5.1.1", "No such user", "b"), "550 5.1.1 No such user: b"),
    "relay denied": (error(403, "relay_denied", 550, "5.7.1", "Sender is not verified"), "550 5.7.1 Sender is"),
    "busy": (error(503, "spool_unavailable", 451, "4.3.0", "Temporary service failure"), "451 4.3.0 Temporary"),
    "rate": (error(429, "rate_limited", 451, "4.4.5", "Too many requests"), "451 4.4.5 Too many requests"),
    "over quota": (
        error(429, "rate_exceeded", 454, "4.7.0", "Throttling failure", "Maximum sending rate exceeded."),
        "454 4.7.0 Throttling failure: Maximum sending rate exceeded.",
    ),
    "429 of a gateway": ((429, {"message": "Too Many Requests"}), "451 4.4.5 "),
    "500 of our own": (error(500, "internal", 451, "4.3.0", "Internal error"), "451 4.3.0 Internal error"),
    "403 of a gateway": ((403, {"message": "Forbidden"}), "451 4.3.0 "),
    "404 of a wrong URL": ((404, b"<html>"), "451 4.3.0 "),
    "too big for the API": (
        error(413, "message_too_big", 552, "5.3.4", "Message too big"),
        "552 5.3.4 Message too big",
    ),
    "413 of a gateway": ((413, {"message": "Too Long"}), "451 4.3.0 Internal error: HTTP 413 from the API"),
    "permanent text under 503": (error(503, "x", 550, "5.0.0"), "451 4.3.0 "),
    "transient text under 422": (error(422, "x", 451, "4.0.0"), "451 4.3.0 "),
    "line ends in the text": (error(422, "x", 550, "5.0.0", "a\r\n250 ok"), "550 5.0.0 a??250 ok"),
    "202 without an id": ((202, {}), "451 4.4.1 "),
    "202 that is no JSON": ((202, b"ok"), "451 4.4.1 "),
    "the door's own credential is bad": (error(403, "auth_invalid", 535, "5.7.8"), "451 4.3.5 "),
}


@pytest.mark.parametrize(("script", "reply"), OUTCOMES.values(), ids=OUTCOMES)
def test_every_answer_of_the_api_becomes_a_true_reply(api, script, reply):
    """Permanent only when the API itself says so, however often it is asked; and the session goes on."""
    api.script.extend([script] * 3)
    with opened(api) as running, Client(running) as client:
        assert client.deliver().startswith(reply)
        api.script.clear()
        assert f"250 2.0.0 Ok {QUEUE_ID}" == client.deliver()
    asked = len(api.submissions) - 1
    assert asked == (1 if script[0] // 100 == 4 else 3)


def test_421_from_the_api_closes_the_channel(api):
    """RFC 5321 3.8; it is asked once."""
    api.script.append(error(503, "system_busy", 421, "4.3.2", "Not accepting mail now"))
    with opened(api) as running, Client(running) as client:
        assert client.deliver().startswith("421 4.3.2")
        assert "" == client.line()
    assert 1 == len(api.submissions)


LOST = {
    "lost": "lost",
    "cut": "cut",
    "a gateway's 502": (502, {}),
    "a gateway's 504": (504, {"message": "Endpoint request timed out"}),
    "yes without an id": (202, {}),
    "yes in another form": (202, b"<html>ok"),
    "yes that is cut": b'HTTP/1.1 202 Accepted\r\n\r\n{"queue_id": "abc',
    "garbage": b"\x00\xff" * 100,
    "the API's own fault": error(500, "internal", 451, "4.3.0"),
    "half on its road": error(503, "spool_unavailable", 451, "4.3.0"),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_lost_answer_is_asked_for_again_under_the_same_key(api, fault):
    """The same octets under one Idempotency-Key are one message; another transaction has another key."""
    api.script.append(fault)
    with opened(api) as running, Client(running) as client:
        assert f"250 2.0.0 Ok {QUEUE_ID}" == client.deliver()
        assert f"250 2.0.0 Ok {QUEUE_ID}" == client.deliver()
    first, again, other = api.submissions
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert first.body == again.body
    assert first.headers["Idempotency-Key"] != other.headers["Idempotency-Key"]


def test_an_api_that_hangs_is_given_up(api):
    """The client hears 451 within the time-out and may try again."""
    api.script.extend(["hang"] * 3)
    with opened(api, api_timeout_s=0.2, submit_timeout_s=3) as running, Client(running) as client:
        assert client.deliver().startswith("451 4.4.1 ")
        api.released.set()
        assert client.deliver().startswith("250 2.0.0")
    assert 2 == len({submission.headers["Idempotency-Key"] for submission in api.submissions})


def test_an_api_that_is_away_and_comes_back():
    """4yz while nobody listens; the next try succeeds."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with opened(f"http://127.0.0.1:{port}") as running, Client(running) as client:
        assert client.deliver().startswith("451 4.4.1 ")
    with FakeApi() as api, opened(api) as running, Client(running) as client:
        assert client.deliver().startswith("250 2.0.0")


def test_kept_connections_that_died_cost_nothing(api):
    """A server may close an idle connection; the next message opens another."""
    with opened(api) as running, Client(running) as client:
        for _ in range(3):
            assert client.deliver().startswith("250 2.0.0")
            api.script.append("lost")
            assert client.deliver().startswith("250 2.0.0")
    assert 6 == len({submission.headers["Idempotency-Key"] for submission in api.submissions})


def test_size_declared_and_size_sent(api):
    """RFC 1870 6: refused at MAIL if declared, after the end if not; the session goes on."""
    with opened(api, max_message_octets=1000) as running, Client(running) as client:
        client.say("EHLO c")
        assert client.say("MAIL FROM:<a@x.example> SIZE=1001").startswith("552 5.3.4 ")
        assert client.deliver(b"x" * 998 + b"\r\n").startswith("250 2.0.0")
        assert client.deliver((b"x" * 98 + b"\r\n") * 1000).startswith("552 5.3.4 ")
        assert client.deliver().startswith("250 2.0.0")
    assert len(api.submissions) >= 2


def test_large_content_is_uploaded(api):
    """Above what is held the message goes in parts by presigned PUTs, octet for octet."""
    content = b"Subject: big\r\n\r\n" + (b".y" * 499 + b"\r\n") * 7000
    with opened(api, max_buffered_octets=8 << 20) as running, Client(running) as client:
        assert f"250 2.0.0 Ok {QUEUE_ID}" == client.deliver(content.replace(b"\r\n.", b"\r\n.."))
    (submission,) = api.submissions
    assert 3 <= len(submission.fields["upload_ids"])
    assert content == b"".join(api.uploads[upload_id] for upload_id in submission.fields["upload_ids"])
    assert "content" not in submission.fields
    puts = [request for request in api.requests if request.method == "PUT"]
    assert all(put.headers["X-Ticket"] == "t" and "Authorization" not in put.headers for put in puts)


@pytest.mark.parametrize("word", ["RSET", "EHLO client.example"])
def test_parts_of_a_message_that_was_given_up_are_in_no_other(api, word):
    """BDAT may be broken off between its chunks (RFC 3030 2); what went ahead of the end is nobody's then."""
    with opened(api) as running, Client(running) as client:
        client.begin()
        client.send(b"BDAT 5000000\r\n" + b"secret\r\n" * 625_000)
        assert client.reply().startswith("250 ")
        assert client.say(word)[:3] == "250"
        assert client.deliver().startswith("250 2.0.0 ")
        client.begin()
        large = HELLO + b"x" * 98 + b"\r\n"
        client.send(b"BDAT %d LAST\r\n" % (50_000 * len(large)) + large * 50_000)
        assert client.reply().startswith("250 2.0.0 ")
    small, other = api.submissions
    assert small.content == HELLO
    assert b"".join(api.uploads[upload_id] for upload_id in other.fields["upload_ids"]) == large * 50_000


def test_upload_that_fails_is_told_after_the_end(api):
    """4yz, and no message."""
    api.script.extend([error(503, "spool_unavailable", 451, "4.3.0", "Temporary service failure")] * 9)
    content = b"Subject: big\r\n\r\n" + (b"y" * 998 + b"\r\n") * 7000
    with opened(api) as running, Client(running) as client:
        client.begin()
        client.say("DATA")
        client.send(content + b".\r\n")
        assert client.reply().startswith("451 4.3.0 Temporary")
        api.script.clear()
        assert client.deliver().startswith("250 2.0.0")
    assert 1 == len(api.submissions)


def test_large_content_under_a_bad_credential_of_our_own_is_no_fault_of_the_clients(api):
    """4yz, as for a small one."""
    content = b"Subject: big\r\n\r\n" + (b"y" * 998 + b"\r\n") * 7000
    with opened(api, credential=("AKIADOOR", "changed")) as running, Client(running) as client:
        assert client.deliver(content).startswith("451 4.3.5 ")
        assert client.deliver().startswith("451 4.3.5 ")


def test_dsn_parameters_reach_the_api(api):
    """RFC 3461: RET and ENVID of the message, NOTIFY and ORCPT of the recipient; case kept."""
    with opened(api) as running, Client(running) as client:
        client.say("EHLO c")
        client.say("MAIL FROM:<a@x.example> RET=HDRS ENVID=Q+2B1 BODY=8BITMIME")
        assert client.say("RCPT TO:<b@y.example> NOTIFY=success,failure ORCPT=rfc822;B@y.example").startswith("250")
        client.say("DATA")
        client.send("Subject: x\r\n\r\nä\r\n.\r\n".encode())
        assert client.reply().startswith("250 2.0.0")
    fields = api.submissions[0].fields
    assert ("HDRS", "Q+2B1", "8BITMIME") == (fields["ret"], fields["envid"], fields["body_type"])
    assert [{"forward_path": "b@y.example", "notify": ["SUCCESS", "FAILURE"], "orcpt": "rfc822;B@y.example"}] == fields[
        "recipients"
    ]
    assert "Subject: x\r\n\r\nä\r\n".encode() == api.submissions[0].content


def test_smtputf8_reaches_the_api(api):
    """RFC 6531 3.4: said in MAIL, then addresses may be UTF-8."""
    with opened(api) as running, Client(running) as client:
        client.say("EHLO c")
        assert client.say("MAIL FROM:<ä@x.example> SMTPUTF8").startswith("250")
        assert client.say("RCPT TO:<ö@y.example>").startswith("250")
        client.say("DATA")
        client.send(HELLO + b".\r\n")
        assert client.reply().startswith("250")
    fields = api.submissions[0].fields
    assert (True, "ä@x.example", ["ö@y.example"]) == (fields["smtputf8"], fields["reverse_path"], fields["recipients"])


def test_postmaster_of_the_door(api):
    """RFC 5321 4.1.1.3: `<Postmaster>` needs no domain."""
    with opened(api) as running, Client(running) as client:
        client.begin()
        assert client.say("RCPT TO:<Postmaster>").startswith("250 2.1.5")
        client.say("DATA")
        client.send(HELLO + b".\r\n")
        assert client.reply().startswith("250")
    assert ["b@y.example", "Postmaster@door.example"] == api.submissions[0].fields["recipients"]


def test_recipients_beyond_the_limit_are_refused_for_now(api):
    """RFC 5321 4.5.3.1.10: 452; those before are served."""
    with opened(api, max_recipients_count=2) as running, Client(running) as client:
        client.begin()
        assert client.say("RCPT TO:<c@y.example>").startswith("250")
        assert client.say("RCPT TO:<d@y.example>").startswith("452 4.5.3")
        client.say("DATA")
        client.send(HELLO + b".\r\n")
        assert client.reply().startswith("250")
    assert ["b@y.example", "c@y.example"] == api.submissions[0].fields["recipients"]


TOO_MANY = error(422, "too_many_recipients", 550, "5.5.3", "Too many recipients")


def limits_of(running):
    """What a new connection is told: SIZE and RCPTMAX."""
    with Client(running) as client:
        words = client.say("EHLO c").replace("=", " ").split()
        return int(words[words.index("250-SIZE") + 1]), int(words[words.index("RCPTMAX") + 1])


@pytest.mark.parametrize(
    ("health", "told"),
    [
        ({"max_message_octets": 5000, "max_recipients_count": 2}, (5000, 2)),
        ({"max_message_octets": 99_999, "max_recipients_count": 500}, (9000, 7)),
        ({"max_message_octets": "1", "max_recipients_count": True}, (9000, 7)),
        ({"max_message_octets": 5000, "max_recipients_count": 0}, (9000, 7)),
        ({"max_recipients_count": 2}, (9000, 7)),
    ],
)
def test_what_the_api_takes_is_what_clients_are_told(api, health, told):
    """RFC 9422, RFC 1870: asked for at start; the narrower limit holds, and what can't be read is none."""
    api.health |= health
    with opened(api, max_message_octets=9000, max_recipients_count=7) as running:
        deadline = time.monotonic() + 10
        while (not api.healths or told != limits_of(running)) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert (True, told) == (api.healths > 0, limits_of(running))
        running.do(running.door._house.learn_limits())
        assert told == limits_of(running)
        api.health |= {"max_message_octets": 6000, "max_recipients_count": 3}
        running.do(running.door._house.learn_limits())
        assert (6000, 3) == limits_of(running)  # raised there, or lowered: the door need not start anew


def test_recipients_beyond_a_limit_that_was_not_known_may_come_later(api):
    """452 after the dot would be so for ever: from then on those beyond it hear so at RCPT, in this session too."""
    with opened(api) as running, Client(running) as client:
        api.health |= {"max_message_octets": 9000, "max_recipients_count": 5}
        api.script.append(TOO_MANY)
        answers = []
        for _ in range(2):
            client.say("EHLO c")
            client.say("MAIL FROM:<a@x.example>")
            answers.append([client.say(f"RCPT TO:<b{number}@y.example>")[:9] for number in range(7)])
            client.say("DATA")
            client.send(HELLO + b".\r\n")
            answers.append(client.reply()[:9])
        assert [["250 2.1.5"] * 7, "452 4.5.3", ["250 2.1.5"] * 5 + ["452 4.5.3"] * 2, "250 2.0.0"] == answers
        assert limits_of(running) == (9000, 5)
    assert [7, 5] == [len(submission.fields["recipients"]) for submission in api.submissions]


@pytest.mark.parametrize("health", [{}, {"max_message_octets": 9000, "max_recipients_count": 5}])
def test_too_many_recipients_of_an_alias_are_refused_for_good(api, health):
    """However few come at once they expand to as many: the API's own word."""
    api.health |= health
    api.script.append(TOO_MANY)
    with opened(api) as running, Client(running) as client:
        assert "550 5.5.3 Too many recipients" == client.deliver()


SEQUENCE = {
    "MAIL before EHLO": (["MAIL FROM:<a@x.example>"], "503 5.5.1"),
    "AUTH before EHLO": (["AUTH PLAIN"], "503 5.5.1"),
    "RCPT before MAIL": (["EHLO c", "RCPT TO:<b@y.example>"], "503 5.5.1"),
    "DATA before MAIL": (["EHLO c", "DATA"], "503 5.5.1"),
    "DATA before RCPT": (["EHLO c", "MAIL FROM:<a@x.example>", "DATA"], "503 5.5.1"),
    "DATA after refused RCPT": (["EHLO c", "MAIL FROM:<a@x.example>", "RCPT TO:<b>", "DATA"], "554 5.5.1"),
    "MAIL twice": (["EHLO c", "MAIL FROM:<>", "MAIL FROM:<a@x.example>"], "503 5.5.1"),
    "RSET forgets": (["EHLO c", "MAIL FROM:<>", "RSET", "RCPT TO:<b@y.example>"], "503 5.5.1"),
    "EHLO forgets": (["EHLO c", "MAIL FROM:<>", "EHLO c", "RCPT TO:<b@y.example>"], "503 5.5.1"),
    "parameters after HELO": (["HELO c", "MAIL FROM:<> SIZE=1"], "501 5.5.4"),
    "EHLO without a name": (["EHLO"], "501 5.5.4"),
    "DATA with arguments": (["EHLO c", "DATA x"], "501 5.5.4"),
    "RSET with arguments": (["RSET x"], "501 5.5.4"),
    "QUIT with arguments": (["QUIT x"], "501 5.5.4"),
    "STARTTLS with arguments": (["STARTTLS x"], "501 5.5.4"),
    "unknown": (["XYZZY"], "500 5.5.1"),
    "empty line": ([""], "500 5.5.1"),
    "blank first": ([" NOOP"], "500 5.5.1"),
    "EXPN": (["EXPN list"], "502 5.5.1"),
    "VRFY": (["VRFY b"], "252 2.5.0"),
    "HELP": (["HELP"], "214 2.0.0"),
    "lower case": (["noop"], "250 2.0.0"),
    "too long": (["NOOP " + "x" * 3000], "500 5.5.2"),
    "endless": (["NOOP " + "x" * 200_000], "500 5.5.2"),
    "NUL": (["NOOP \0"], "500 5.5.2"),
    "bare CR": (["NOOP \rQUIT"], "500 5.5.2"),
}


@pytest.mark.parametrize(("lines", "reply"), SEQUENCE.values(), ids=SEQUENCE)
def test_sequence_and_syntax(api, lines, reply):
    """RFC 5321 4.1.4 and 4.3.2; the session goes on after each."""
    with opened(api) as running, Client(running) as client:
        answers = [client.say(line) for line in lines]
        assert answers[-1].startswith(reply + " ")
        assert client.deliver().startswith("250 2.0.0")


def test_octets_that_are_no_utf8_and_lines_without_cr_are_refused(api):
    """RFC 5321 2.3.8 and 6531 3.3."""
    with opened(api) as running, Client(running) as client:
        client.send(b"NOOP \xff\r\nNOOP\n")
        assert client.reply().startswith("501 5.5.2")
        assert client.reply().startswith("500 5.5.2")


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "BDAT x LAST", "BDAT 99999999999 LAST"])
def test_content_is_never_read_as_commands(api, line):
    """A browser's request, or a chunk of who knows how many octets: the session ends before what follows."""
    with opened(api) as running, Client(running) as client:
        client.send(line.encode() + b"\r\nEHLO c\r\nMAIL FROM:<a@x.example>\r\n")
        assert client.reply()[:3] in {"500", "501", "552"}
        with contextlib.suppress(ConnectionError):
            assert "" == client.line()


def test_too_many_errors_end_the_session(api):
    """A client that only errs is sent away with 421 (RFC 5321 4.3.2)."""
    with opened(api, max_errors_count=3) as running, Client(running) as client:
        replies = [client.say("X") for _ in range(3)]
        assert ["500", "500", "500"] == [reply[:3] for reply in replies]
        assert client.reply().startswith("421 4.7.0")
        assert "" == client.line()


ENDLESS = {
    "a command": (b"", b"x" * 65_536),
    "a command of lines": (b"", b"x" * 65_534 + b"\r\n"),
    "AUTH's response": (b"EHLO c\r\nAUTH LOGIN\r\n", b"x" * 65_536),
    "DATA": (ENVELOPE + b"DATA\r\n", b"x" * 65_536),
    "DATA of lines": (ENVELOPE + b"DATA\r\n", b"x\r\n" * 21_840),
    "DATA of dots": (ENVELOPE + b"DATA\r\n", b"\r\n.." * 16_384),
    "BDAT": (ENVELOPE, b"BDAT 65536\r\n" + b"x" * 65_536),
    "BDAT of nobody": (b"EHLO c\r\n", b"BDAT 300000\r\n" + b"x" * 300_000),
    "BDAT given up": (b"EHLO c\r\n", ENVELOPE.partition(b"\r\n")[2] + b"BDAT 65536\r\n" + b"x" * 65_536 + b"RSET\r\n"),
    "contents": (b"EHLO c\r\n", ENVELOPE.partition(b"\r\n")[2] + b"DATA\r\n" + b"x" * 200_000 + b"\r\n.\r\n"),
}


@pytest.mark.parametrize(("before", "again"), ENDLESS.values(), ids=ENDLESS)
def test_endless_clients_cost_bounded_bandwidth(api, before, again):
    """Whatever has no end is cut off by its octets, long before its time is over."""
    settings = {"max_message_octets": 100_000, "auth_cleartext_loopback": True}
    with opened(api, **settings) as running, Client(running) as client:
        client.send(before)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                client.send(again)
                sent += len(again)
        assert sent < 24 << 20  # what the system's buffers hold is among it
    assert [] == api.submissions


def test_endless_noops_end_the_session(api):
    """A connection must bring mail."""
    with opened(api) as running, Client(running) as client:
        replies = [client.say("NOOP") for _ in range(101)]
        assert {"250 2.0.0 Ok"} == set(replies[:-1])
        assert replies[-1].startswith("421 4.7.0")
        assert "" == client.line()


@pytest.mark.parametrize(
    "octets",
    [
        b"EH",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\n",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nSubject: x\r\n\r\nhalf",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nSubject: x\r\n\r\nhalf\r\n.",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nSubject: x\r\n\r\nhalf\r\n.\r",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nBDAT 4\r\nhalf",
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nBDAT 4\r\nhalfBDAT 5 LAST\r\nhalf",
    ],
)
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_a_client_that_goes_leaves_nothing(api, octets, reset):
    """RFC 5321 4.1.1.4: without the end of DATA there is no message, nor without the last chunk's last octet."""
    with opened(api) as running:
        with Client(running) as client:
            client.send(octets)
            if reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with Client(running) as client:
            assert client.deliver().startswith("250 2.0.0")
    assert [HELLO] == [submission.content for submission in api.submissions]


def test_connections_are_limited_in_all_and_for_each_address(api):
    """421 4.7.0, and a place that is left is free again."""
    for limit in ("max_connections_count", "max_connections_per_address_count"):
        with opened(api, **{limit: 1}) as running:
            with Client(running) as client:
                assert client.deliver().startswith("250")
                with Client(running) as refused:
                    assert "421 4.7.0 Too many concurrent SMTP connections" == refused.greeting
                    assert "" == refused.line()
                client.say("QUIT")
                assert "" == client.line()
            with Client(running) as client:
                assert client.greeting.startswith("220 ")


def test_silent_clients_are_sent_away(api):
    """421 4.4.2 between commands and inside DATA; nothing is submitted."""
    with opened(api, command_timeout_s=0.2, data_timeout_s=0.2) as running:
        with Client(running) as client:
            assert client.line().startswith("421 4.4.2")
            assert "" == client.line()
        with Client(running) as client:
            client.begin()
            client.say("DATA")
            client.send(b"half a ")
            assert client.line().startswith("421 4.4.2")
    assert [] == api.submissions


def test_contents_are_bounded_together(api):
    """452 4.3.1 when the memory for contents is full, and it is free again afterwards."""
    with opened(api, max_buffered_octets=20_000) as running, Client(running) as client:
        assert client.deliver((b"x" * 98 + b"\r\n") * 5000).startswith("452 4.3.1 ")
        assert client.deliver((b"x" * 98 + b"\r\n") * 50).startswith("250 2.0.0")


def test_without_trust_and_auth_nothing_is_taken(api):
    """A client outside the trusted networks must authenticate."""
    networks = (ipaddress.ip_network("192.0.2.0/24"),)
    with opened(api, trusted_networks=networks) as running, Client(running) as client:
        client.say("EHLO c")
        assert client.say("MAIL FROM:<a@x.example>").startswith("530 5.7.0")


def test_stop_lets_a_transaction_end_and_sends_idle_clients_away(api):
    """Who waits for the answer to a message gets it; who waits between commands gets 421 4.3.2."""
    api.script.append("hang")
    with opened(api, trusted_networks=LOOPBACK) as running, Client(running) as idle, Client(running) as busy:
        busy.begin()
        busy.say("DATA")
        busy.send(HELLO + b".\r\n")
        assert api.waiting.wait(10)
        address = running.door.address
        stopping = asyncio.run_coroutine_threadsafe(running.door.stop(), running.loop)
        assert idle.reply().startswith("421 4.3.2")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 1)
        assert not stopping.done()
        api.released.set()
        assert f"250 2.0.0 Ok {QUEUE_ID}" == busy.reply()
        assert busy.reply().startswith("421 4.3.2")
        stopping.result(10)


def test_stop_cuts_what_does_not_end(api):
    """A client that never ends its DATA holds a stop up for no longer than drain_s."""
    with opened(api, drain_s=0.2) as running, Client(running) as client:
        client.begin()
        client.say("DATA")
        client.send(b"half")
        running.do(running.door.stop())
        assert client.reply().startswith("421 4.3.2")
        assert b"" == client.socket.recv(100)
    assert [] == api.submissions


def test_stop_waits_for_a_complete_messages_answer_longer_than_for_clients(api):
    """Whoever hears nothing sends it again though the API may have it; who has not ended it is told to come again."""
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    api.script.extend(["hang"] * 2)
    settings = {"unfinished_s": 0.05, "drain_s": 15.0, "auth_cleartext_loopback": True}
    with opened(api, **settings) as running, contextlib.ExitStack() as stack:
        complete, half, gone, known, shaking = (stack.enter_context(Client(running)) for _ in range(5))
        half.begin()
        half.say("DATA")
        half.send(b"half")
        gone.begin()
        gone.send(b"BDAT 9\r\nhalf")
        shaking.say("STARTTLS")
        complete.begin()
        complete.say("DATA")
        complete.send(HELLO + b".\r\n")
        assert api.waiting.wait(10)
        known.say("EHLO c")
        known.send(f"AUTH PLAIN {token}\r\n".encode())
        while len(api.requests) < 2:
            time.sleep(0.001)
        stopping = asyncio.run_coroutine_threadsafe(running.door.stop(), running.loop)
        for client in (half, gone, known):
            assert client.reply().startswith("421 4.3.2")
            assert client.line() == ""
        with contextlib.suppress(ConnectionError):
            assert shaking.line() == ""  # not a word in clear
        deadline = time.monotonic() + 10
        while len(running.door._house.connections) > 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert 1 == len(running.door._house.connections)  # nobody's password is waited for
        assert not stopping.done()
        api.released.set()
        assert f"250 2.0.0 Ok {QUEUE_ID}" == complete.reply()
        stopping.result(10)


def test_stop_ends_though_the_api_hangs(api):
    """The host would kill us; there is nothing true to say to that client."""
    api.script.append("hang")
    with opened(api, unfinished_s=0.05, drain_s=0.1) as running, Client(running) as client:
        client.begin()
        client.say("DATA")
        client.send(HELLO + b".\r\n")
        assert api.waiting.wait(10)
        running.do(running.door.stop())
        with contextlib.suppress(ConnectionError):
            assert client.line() == ""
    api.released.set()


def test_one_log_line_for_each_transaction(api, caplog):
    """Client, envelope, size, answer and time; never content or secrets."""
    caplog.set_level("INFO", "paravion.front_door")
    with opened(api) as running, Client(running) as client:
        client.deliver(b"Subject: secret\r\n\r\nwords\r\n")
    (record,) = [record.message for record in caplog.records if record.name == "paravion.front_door"]
    assert '"event": "Reception"' in record
    assert QUEUE_ID in record
    assert "secret" not in record
    assert "words" not in record


def _lines(caplog):
    return [json.loads(record.message) for record in caplog.records if record.name == "paravion.front_door"]


DROPPED = {
    "RSET": ([], "RSET", "Abandonment", "250 2.1.5"),
    "another EHLO": ([], "EHLO d", "Abandonment", "250 2.1.5"),
    "QUIT": ([], "QUIT", "Abandonment", "221 2.0.0"),
    "lost in DATA": (["DATA"], "half", "Abandonment", "354 End"),
    "refused MAIL": (["RSET"], "MAIL FROM:<a@x.example> SIZE=99999999", "Rejection", "552 5.3.4"),
    "no recipients": (["RSET", "MAIL FROM:<a@x.example>", "RCPT TO:<>"], "DATA", "Rejection", "554 5.5.1"),
}


@pytest.mark.parametrize(("before", "last", "event", "reply"), DROPPED.values(), ids=DROPPED)
def test_one_log_line_for_a_transaction_without_message(api, caplog, before, last, event, reply):
    """What the client heard last is in it: who asks where his mail is can be told."""
    caplog.set_level("INFO", "paravion.front_door")
    with opened(api) as running:
        with Client(running) as client:
            client.begin()
            for line in before:
                client.say(line)
            if "RSET" in before:
                caplog.clear()
            client.send(last.encode() + b"\r\n")
            if last != "half":
                client.reply()
        running.do(running.door.stop())
    (line,) = _lines(caplog)
    assert (event, reply) == (line["event"], line["reply"][: len(reply)])
    assert {"client", "helo", "user", "tls", "reverse_path", "recipients", "refused_recipients", "octets"} < line.keys()


def test_certificate_is_renewed_under_way(api, tmp_path):
    """By files that another program renews; what can't be read changes nothing."""
    path = tmp_path / "door.pem"

    def install(name):
        path.write_bytes(make_self_signed(name))

    install("one.example")
    with opened(api, certfile=str(path)) as running:
        seen = [ssl.get_server_certificate(running.door.tls_address)]
        install("two.example")
        running.do(renewed(running.door))
        seen.append(ssl.get_server_certificate(running.door.tls_address))
        path.write_text("no certificate")
        with pytest.raises(OSError, match="PEM"):
            running.do(renewed(running.door))
        seen.append(ssl.get_server_certificate(running.door.tls_address))
    assert (seen[0] != seen[1], seen[1] == seen[2]) == (True, True)


async def renewed(door):
    """In the door's own loop."""
    door.renew_tls()
