"""infra/front_door/session.py: octets in, replies and effects out."""

import base64
import itertools
import tracemalloc

import pytest

from infra.front_door.booking import Space
from infra.front_door.effects import Check, Client, StartTls, Submit, Verdict, Waits
from infra.front_door.session import Session
from infra.front_door.settings import FrontDoorSettings
from paravion.domain.address import MAX_CLIENT
from paravion.domain.message import received_field

NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z
LONGEST = ":".join(["2001"] * 8)
HELLO = b"Subject: hi\r\n\r\nhello\r\n"
ENVELOPE = b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
SENT = b"250 2.0.0 Ok q"


class Talk:
    """A session whose effects are answered at once, as told."""

    def __init__(self, *, trusted="Basic door", verdict=Verdict.GOOD, answer=SENT, secure=False, **settings):
        self.space = Space(1 << 20)
        client = Client("192.0.2.7", trusted=trusted)
        made = FrontDoorSettings("http://api", hostname="door.example", **settings)
        self.session = Session(made, client, self.space, lambda: NOW, secure=secure)
        self.verdict, self.answer = verdict, answer
        self.submitted, self.effects = [], []
        self.said = b""
        self.pump()

    def pump(self):
        while True:
            self.said += self.session.take_output()
            effect = self.session.take_effect()
            if effect is None:
                return
            self.effects.append(effect)
            if isinstance(effect, Submit):
                if not effect.refusal:
                    self.submitted.append((effect.transaction, effect.content.take()))
                self.session.submitted(effect.refusal or self.answer.decode())
            elif isinstance(effect, Check):
                self.session.checked(self.verdict)
            else:
                self.session.secured()

    def hear(self, octets):
        """Give what is said to octets; nothing is after the end."""
        if not self.session.ended:
            self.session.receive(octets)
        said, self.said = self.said, b""
        self.pump()
        said, self.said = said + self.said, b""
        return said

    def codes(self, octets):
        """Give the code and enhanced status of each reply."""
        lines = [line for line in self.hear(octets).split(b"\r\n") if line]
        return [b" ".join(line.split(b" ")[:2]).decode() for line in lines if line[3:4] == b" "]


def test_mail_while_none_is_taken_ends():
    """No error of the client's, but not for ever."""
    session = Session(
        FrontDoorSettings("http://api"), Client("", trusted="x"), Space(9), lambda: NOW, lambda: "451 4.3.2 x"
    )
    session.receive(b"EHLO c\r\n" + b"MAIL FROM:<>\r\n" * 110)
    assert session.take_output().count(b"451 4.3.2") == 99
    assert session.ended


def greeted(**settings):
    """A talk after its greeting."""
    talk = Talk(**settings)
    assert talk.hear(b"") == b"220 door.example ESMTP paravion\r\n"
    return talk


BDAT = {
    "one chunk": (b"BDAT 22 LAST\r\n" + HELLO, ["250 2.0.0"], [HELLO]),
    "two chunks": (b"BDAT 5\r\nSubjeBDAT 17 LAST\r\n" + HELLO[5:], ["250 2.0.0"] * 2, [HELLO]),
    "an empty last one": (b"BDAT 22\r\n" + HELLO + b"BDAT 0 LAST\r\n", ["250 2.0.0"] * 2, [HELLO]),
    "lower case": (b"bdat 22 last\r\n" + HELLO, ["250 2.0.0"], [HELLO]),
    "dots stay": (b"BDAT 15 LAST\r\na: b\r\n\r\n..\r\n.\r\n", ["250 2.0.0"], [b"a: b\r\n\r\n..\r\n.\r\n"]),
    "nothing at all": (b"BDAT 0 LAST\r\n", ["250 2.0.0"], [b""]),
    "then DATA": (b"BDAT 5\r\nSubjeDATA\r\nRSET\r\n", ["250 2.0.0", "503 5.5.1", "250 2.0.0"], []),
    "then RCPT": (b"BDAT 5\r\nSubjeRCPT TO:<c@y.example>\r\n", ["250 2.0.0", "503 5.5.1"], []),
    "then MAIL": (b"BDAT 5\r\nSubjeMAIL FROM:<>\r\n", ["250 2.0.0", "503 5.5.1"], []),
    "then RSET": (b"BDAT 5\r\nSubjeRSET\r\nBDAT 2 LAST\r\nxx", ["250 2.0.0", "250 2.0.0", "503 5.5.1"], []),
    "after the last": (b"BDAT 22 LAST\r\n" + HELLO + b"BDAT 4\r\nQUIT", ["250 2.0.0", "503 5.5.1"], [HELLO]),
    "bare LF": (b"BDAT 5 LAST\r\na\nb\r\n", ["554 5.6.0"], []),
    "bare CR over two chunks": (b"BDAT 2\r\na\rBDAT 1 LAST\r\nb", ["250 2.0.0", "554 5.6.0"], []),
    "CR LF over two chunks": (b"BDAT 2\r\na\rBDAT 1 LAST\r\n\n", ["250 2.0.0"] * 2, [b"a\r\n"]),
    "too big": (b"BDAT 101\r\n" + b"x" * 101 + b"BDAT 1 LAST\r\nx", ["552 5.3.4", "503 5.5.1"], []),
    "too big together": (b"BDAT 100\r\n" + b"x" * 100 + b"BDAT 1 LAST\r\nx", ["250 2.0.0", "552 5.3.4"], []),
    "no number": (b"BDAT\r\nNOOP\r\n", ["501 5.5.4"], []),
    "no such word": (b"BDAT 4 FIRST\r\nNOOP\r\n", ["501 5.5.4"], []),
    "a negative one": (b"BDAT -4\r\nNOOP\r\n", ["501 5.5.4"], []),
    "endless": (b"BDAT 99999999999999999999\r\nNOOP\r\n", ["552 5.3.4"], []),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "codes", "contents"), BDAT.values(), ids=BDAT)
@pytest.mark.parametrize("cut", [0, 1, 7], ids=["whole", "octet by octet", "in sevens"])
def test_bdat(octets, codes, contents, cut):
    """RFC 3030: chunks are counted, never read as commands; one reply for each."""
    talk = greeted(max_message_octets=100)
    talk.hear(ENVELOPE)
    pieces = [octets[n : n + cut] for n in range(0, len(octets), cut)] if cut else [octets]
    assert codes == list(itertools.chain.from_iterable(map(talk.codes, pieces)))
    assert contents == [content for _, content in talk.submitted]
    assert talk.session.ended == (codes[-1] in {"501 5.5.4", "552 5.3.4"} and b"NOOP" in octets)


def test_bdat_before_its_turn_is_skipped():
    """Without MAIL, without RCPT, after refused recipients: the octets are content all the same."""
    talk = greeted()
    assert ["503 5.5.1"] == talk.codes(b"EHLO c\r\nBDAT 6 LAST\r\nQUIT\r\n")[1:]
    assert ["250 2.1.0", "503 5.5.1"] == talk.codes(b"MAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\n")
    assert ["501 5.1.3", "554 5.5.1"] == talk.codes(b"RCPT TO:<b>\r\nBDAT 6 LAST\r\nQUIT\r\n")
    assert not talk.session.ended
    assert not talk.submitted


BARE = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r", b"\r\n.\r\r\n", b"\n\r.\n\r",
        b"\r\n.\r\x00\n", b"\r\n\x00.\n", b"\n\n.\r\n"]  # fmt: skip
HIDDEN = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nevil\r\n"


@pytest.mark.parametrize("sequence", BARE, ids=repr)
@pytest.mark.parametrize("chunked", [False, True], ids=["DATA", "BDAT"])
def test_false_end_hides_nothing_wherever_the_segments_end(sequence, chunked):
    """SMTP smuggling, cut in two at every octet, and octet by octet: one refusal, and what is behind it is answered."""
    content = b"a: b\r\n\r\nhello" + sequence + HIDDEN
    octets = b"BDAT %d LAST\r\n%s" % (len(content), content) if chunked else b"DATA\r\n" + content + b".\r\n"
    expected = [b"354"] * (not chunked) + [b"554", b"252"]
    octets += b"VRFY x\r\n"
    for cuts in ([cut] for cut in range(len(octets))), [range(1, len(octets))]:
        for cut in cuts:
            talk = greeted()
            talk.hear(ENVELOPE)
            edges = [0, *cut, len(octets)]
            said = b"".join(talk.hear(octets[a:b]) for a, b in itertools.pairwise(edges) if a < b)
            assert expected == [line[:3] for line in said.split(b"\r\n")[:-1]]
            assert not talk.submitted


@pytest.mark.parametrize("leave", ["abandon", "receive_eof"])
@pytest.mark.parametrize(
    "body", [b"DATA\r\n" + HELLO + b".\r\n", b"BDAT 9\r\n" + HELLO[:9] + b"BDAT 13 LAST\r\n" + HELLO[9:]]
)
def test_client_that_goes_at_any_octet_leaves_nothing(body, leave):
    """RFC 5321 4.1.1.4, RFC 3030 2: without its end there is no message; with it there is one."""
    octets = ENVELOPE + body
    for end in range(len(octets) + 1):
        talk = greeted()
        talk.session.receive(octets[:end])
        talk.session.take_output()
        getattr(talk.session, leave)()
        effect = talk.session.take_effect()
        assert isinstance(effect, Submit) == (end == len(octets))
        assert (talk.space.booked_octets == 0) == (effect is None)


def test_latest_instant_that_ehlo_names_is_taken():
    """RFC 4865 3: to the second, whatever fraction of one it was, at once and a while later."""
    now = [NOW + 0.3]
    session = Session(FrontDoorSettings("http://api"), Client("", trusted="x"), Space(1 << 20), lambda: now[0])
    session.receive(b"EHLO c\r\n")
    (latest,) = [line.split()[-1] for line in session.take_output().split(b"\r\n") if b"FUTURERELEASE" in line]
    for later in (0.0, 0.2, 5.0):
        now[0] = NOW + 0.3 + later
        session.receive(b"MAIL FROM:<> HOLDUNTIL=" + latest + b"\r\nRSET\r\n")
        assert session.take_output().startswith(b"250 2.1.0 ")


CLIENTS = {
    "IPv4": (b"c.example", "192.0.2.7", "c.example ([192.0.2.7])"),
    "IPv6": (b"c.example", "2001:db8::7", "c.example ([IPv6:2001:db8::7])"),
    "the longest": (b"a" * 255, LONGEST, f"{'a' * 255} ([IPv6:{LONGEST}])"),
    "too long a name": (b"a" * 256, "192.0.2.7", "[192.0.2.7]"),
    "no name": (b"(c)", "2001:db8::7", "[IPv6:2001:db8::7]"),
}


@pytest.mark.parametrize(("helo", "address", "name"), CLIENTS.values(), ids=CLIENTS)
def test_client_is_named_as_received_fields_have_it_and_as_the_api_takes_it(helo, address, name):
    """RFC 5321 4.4, with a domain of up to 255 octets (4.5.3.1.2)."""
    session = Session(FrontDoorSettings("http://api"), Client(address, trusted="x"), Space(9), lambda: NOW)
    session.receive(b"EHLO " + helo + b"\r\n")
    assert session.client_name == name
    assert len(name) <= MAX_CLIENT
    trace = received_field(client=name, hostname="h.example", protocol="ESMTP", queue_id="q", for_path=None, now=NOW)
    assert f"from {name} by h.example".encode() in b" ".join(trace.split())


RELEASES = {
    "for": ("HOLDFOR=60", "250", "2026-01-02T03:05:05Z"),
    "for the longest": ("HOLDFOR=864000", "250", "2026-01-12T03:04:05Z"),
    "until": ("HOLDUNTIL=2026-01-02T04:00:00Z", "250", "2026-01-02T04:00:00Z"),
    "until, elsewhere": ("HOLDUNTIL=2026-01-02T04:00:00.5+01:00", "250", "2026-01-02T03:00:01Z"),
    "until what is past": ("HOLDUNTIL=2020-01-02T04:00:00Z", "250", "2020-01-02T04:00:00Z"),
    "until before the first year": ("HOLDUNTIL=0001-01-01T00:00:00+14:00", "250", "1970-01-01T00:00:00Z"),
    "until after the last year": ("HOLDUNTIL=9999-12-31T23:59:59-14:00", "501", ""),
    "until elsewhere than on earth": ("HOLDUNTIL=2026-01-02T04:00:00+99:00", "501", ""),
    "both": ("HOLDFOR=60 HOLDUNTIL=2026-01-02T04:00:00Z", "501", ""),
    "for nothing": ("HOLDFOR=0", "501", ""),
    "for too long": ("HOLDFOR=864001", "501", ""),
    "for ten digits": ("HOLDFOR=0000000060", "501", ""),
    "without value": ("HOLDFOR", "501", ""),
    "until too late": ("HOLDUNTIL=2027-01-02T04:00:00Z", "501", ""),
    "until no such day": ("HOLDUNTIL=2026-02-30T04:00:00Z", "501", ""),
    "until without zone": ("HOLDUNTIL=2026-01-02T04:00:00", "501", ""),
}


@pytest.mark.parametrize(("parameter", "code", "send_at"), RELEASES.values(), ids=RELEASES)
def test_future_release(parameter, code, send_at):
    """RFC 4865 4: one of two parameters, within what EHLO says."""
    talk = greeted()
    assert b"250-DELIVERBY\r\n" in talk.hear(b"EHLO c\r\n")
    assert b"250-FUTURERELEASE 864000 2026-01-12T03:04:05Z\r\n" in talk.hear(b"EHLO c\r\n")
    said = talk.hear(b"MAIL FROM:<a@x.example> " + parameter.encode() + b"\r\n")
    assert said.decode().startswith(code)
    talk.hear(b"RCPT TO:<b@y.example>\r\nDATA\r\n.\r\n")
    assert [send_at] * (code == "250") == [transaction.options["send_at"] for transaction, _ in talk.submitted]


VERDICTS = {
    Verdict.GOOD: "235 2.7.0",
    Verdict.BAD: "535 5.7.8",
    Verdict.AWAY: "454 4.7.0",
    Verdict.THROTTLED: "454 4.7.0",
    Verdict.CROWDED: "454 4.7.0",
}
PLAIN = b"AUTH PLAIN " + base64.b64encode(b"\0AKIA\0secret") + b"\r\n"


@pytest.mark.parametrize(("verdict", "code"), VERDICTS.items())
def test_auth_waits_for_its_verdict(verdict, code):
    """What is pipelined behind AUTH comes after it; only a good one lets MAIL in."""
    talk = greeted(trusted=None, verdict=verdict, secure=True)
    talk.hear(b"EHLO c\r\n")
    codes = talk.codes(PLAIN + b"MAIL FROM:<a@x.example>\r\n")
    assert [code, "250 2.1.0" if verdict is Verdict.GOOD else "530 5.7.0"] == codes
    assert [Check("AKIA", "Basic QUtJQTpzZWNyZXQ=")] == talk.effects


def test_nothing_is_read_while_an_effect_is_open():
    """The session waits for us: what comes is kept, and answered in its order."""
    talk = greeted(trusted=None, secure=True)
    session = talk.session
    session.receive(b"EHLO c\r\n" + PLAIN + b"NOOP\r\n")
    session.take_output()
    assert isinstance(session.take_effect(), Check)
    assert (None, Waits.US, 6) == (session.take_effect(), session.waits, session.pending_octets)
    session.receive(b"QUIT\r\n")
    assert b"" == session.take_output()
    session.checked(Verdict.GOOD)
    assert [b"235", b"250", b"221"] == [line[:3] for line in session.take_output().split(b"\r\n")[:-1]]
    assert session.ended


def test_starttls_forgets_and_drops():
    """RFC 3207 4.2; the counts of errors and junk stay."""
    talk = greeted()
    said = talk.hear(b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nSTARTTLS\r\nRCPT TO:<b@y.example>\r\nQUIT\r\n")
    assert b"REQUIRETLS" not in said
    assert said.endswith(b"220 2.0.0 Ready to start TLS\r\n")
    assert [StartTls()] == talk.effects
    assert talk.session.is_secure
    assert ["503 5.5.1", "503 5.5.1"] == talk.codes(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n")
    said = talk.hear(b"EHLO c\r\n")
    assert b"STARTTLS" not in said
    assert b"250-REQUIRETLS\r\n" in said


def test_transactions_of_one_connection_are_limited():
    """RFC 9422 MAILMAX: 421, and the client connects again."""
    talk = greeted(max_transactions_count=2)
    assert b"LIMITS MAILMAX=2 RCPTMAX=1000" in talk.hear(b"EHLO c\r\n")
    for _ in range(2):
        assert talk.codes(ENVELOPE + b"DATA\r\n.\r\n")[-1] == "250 2.0.0"
    assert ["421 4.7.0"] == talk.codes(b"MAIL FROM:<>\r\nNOOP\r\n")
    assert talk.session.ended


FLOODS = {
    "NOOP": (b"NOOP\r\n", {}),
    "EHLO": (b"EHLO c\r\n", {}),
    "empty chunks": (b"BDAT 0\r\n", {}),
    "AUTH, nobody knowing": (PLAIN, {"verdict": Verdict.AWAY, "secure": True}),
    "AUTH, throttled": (PLAIN, {"verdict": Verdict.THROTTLED, "secure": True}),
    "AUTH, given up": (b"AUTH LOGIN\r\n*\r\n", {"secure": True}),
    "AUTH, refused": (PLAIN, {"verdict": Verdict.BAD, "secure": True}),
    "refused recipients": (b"RCPT TO:<>\r\n", {}),
    "recipients beyond the limit": (b"RCPT TO:<c@y.example>\r\n", {"max_recipients_count": 5}),
}


@pytest.mark.parametrize(("octets", "given"), FLOODS.values(), ids=FLOODS)
def test_flood_ends(octets, given):
    """What brings no message on is counted, whatever it is."""
    talk = greeted(**given)
    talk.hear(b"EHLO c\r\n" if b"AUTH" in octets else ENVELOPE)
    count = 0
    while not talk.session.ended:
        said = talk.hear(octets)
        count += 1
        assert count <= 101
    assert said.endswith(b"421 4.7.0 Too many errors, closing\r\n")


def test_too_big_a_content_of_dots_is_counted_seldom(monkeypatch):
    """An octet at a time behind megabytes of dots: not all of them are counted for each."""
    counts = []

    class Octets(bytearray):
        def count(self, *words):
            counts.append(words)
            return super().count(*words)

    monkeypatch.setattr("infra.front_door.content.bytearray", Octets, raising=False)
    talk = greeted(max_message_octets=5000)
    talk.hear(ENVELOPE + b"DATA\r\n" + b"..\r\n" * 1500)
    for _ in range(450):
        talk.hear(b".")
    assert len(counts) < 10
    assert talk.codes(b"\r\n.\r\n") == ["250 2.0.0"]


@pytest.mark.parametrize("chunked", [False, True])
def test_endless_content_is_cut_off(chunked):
    """It costs neither memory nor for ever."""
    talk = greeted(max_message_octets=1000)
    talk.hear(ENVELOPE + (b"" if chunked else b"DATA\r\n"))
    for _ in range(400):
        talk.hear((b"BDAT 4000\r\n" + b"x" * 4000) if chunked else b"x" * 4000)
        assert talk.space.booked_octets <= 4100
    assert talk.session.ended


LINE = b"x" * 65_536
LINES = {"command": b"", "AUTH": b"AUTH PLAIN ", "a response": b"AUTH LOGIN\r\n"}


@pytest.mark.parametrize("before", LINES.values(), ids=LINES)
def test_endless_line_is_cut_off(before):
    """It costs bounded bandwidth, not only time; one that ends is refused, RFC 5321 4.5.3.1.4."""
    talk = greeted(trusted=None, secure=True)
    talk.hear(b"EHLO c\r\n" + before)
    assert ["500 5.5.2"] == talk.codes(LINE * 3 + b"\r\n")
    talk.hear(before)
    assert ["421 4.7.0"] == [code for _ in range(5) for code in talk.codes(LINE)]
    assert talk.session.ended


REFUSED = {
    "DATA": (b"DATA\r\n" + b"x" * 2_000_000 + b"\r\n.\r\n", "552 5.3.4"),
    "a bare LF": (b"DATA\r\n\n" + b"x" * 900_000 + b"\r\n.\r\n", "554 5.6.0"),
    "given up": (b"BDAT 900000\r\n" + b"x" * 900_000 + b"RSET\r\n", "250 2.0.0"),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_contents_that_are_refused_again_and_again_end_it(content, told):
    """Each is answered after its end; one that is taken begins the count anew."""
    talk = greeted(max_message_octets=1_000_000)
    envelope = ENVELOPE.partition(b"\r\n")[2]
    talk.hear(b"EHLO c\r\n")
    good = envelope + b"DATA\r\n" + HELLO + b".\r\n"
    for _ in range(3):
        assert told == talk.codes(envelope + content)[-1]
        assert "250 2.0.0" == talk.codes(good)[-1]
    count = 0
    while not talk.session.ended:
        assert told == talk.codes(envelope + content)[-1] or talk.session.ended
        count += 1
        assert count < 9
    assert count * len(content) > 5_000_000


def test_chunks_behind_a_refusal_are_bounded():
    """Whoever pipelined them hears of each, RFC 3030 4.2, but may not go on for ever."""
    talk = greeted(max_message_octets=1_000_000)
    chunk = b"BDAT 3000000\r\n" + b"x" * 3_000_000
    assert "552 5.3.4" == talk.codes(ENVELOPE + chunk)[-1]
    assert [["503 5.5.1"], ["421 4.7.0"]] == [talk.codes(chunk) for _ in range(2)]
    assert talk.session.ended


def test_bare_lf_may_be_normalised():
    """By the setting; it ends no message then either, and dots behind it are undone as behind any line's end."""
    talk = greeted(bare_lf="normalise")
    assert "250 2.0.0" == talk.codes(ENVELOPE + b"DATA\r\na: b\r\n\nx\n.\n..y\r\nz\n.\r\nEHLO evil\r\n.\r\n")[-1]
    assert [b"a: b\r\n\r\nx\r\n\r\n.y\r\nz\r\n\r\nEHLO evil\r\n"] == [content for _, content in talk.submitted]
    assert "554 5.6.0" == talk.codes(ENVELOPE + b"DATA\r\na: b\r\n\r\nx\rz\r\n.\r\n")[-1]


def filled(space, count):
    """A session with so many recipients as long as they may be, and what it was told of them."""
    session = Session(FrontDoorSettings("http://api"), Client("", trusted="x"), space, lambda: NOW)
    session.receive(b"EHLO c\r\nMAIL FROM:<a@x.example>\r\n")
    session.take_output()
    for number in range(count):
        session.receive(b"RCPT TO:<%d@y.example> NOTIFY=NEVER ORCPT=rfc822;%s\r\n" % (number, b"x" * 490))
    return session, session.take_output()


def test_envelopes_take_room():
    """What they are booked for is no less than what Python takes for them."""
    space = Space(1 << 30)
    filled(space, 1)  # whatever is made once
    tracemalloc.start()
    session, _ = filled(space, 1000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 900_000 < taken < space.booked_octets
    session.let_go()


def test_envelopes_are_bounded_together():
    """452 to RCPT and to MAIL, no error of the client's; what is given up is room again."""
    space = Space(100_000)
    session, said = filled(space, 150)
    assert 80 < said.count(b"250 2.1.5 ") < 100
    assert said.count(b"452 4.3.1 ") == 150 - said.count(b"250 2.1.5 ")
    assert not session.ended
    other, said = filled(space, 1)
    assert said.startswith(b"503 5.5.1 ")
    other.receive(b"MAIL FROM:<a@x.example> ENVID=" + b"x" * 90 + b"\r\n")
    assert other.take_output().startswith(b"452 4.3.1 ")
    session.receive(b"DATA\r\n" + HELLO + b"x" * 90_000 + b"\r\n.\r\n")
    session.submitted(session.take_effect().refusal)
    assert b"452 4.3.1 " in session.take_output()
    assert space.booked_octets == 0
    other.receive(b"MAIL FROM:<a@x.example>\r\n")
    assert other.take_output().startswith(b"250 2.1.0 ")


def test_nobody_asks_for_room_for_ever():
    """A connection must bring mail on."""
    session = Session(FrontDoorSettings("http://api"), Client("", trusted="x"), Space(9), lambda: NOW)
    session.receive(b"EHLO c\r\n" + b"MAIL FROM:<>\r\n" * 110)
    assert session.take_output().count(b"452 4.3.1 ") == 99
    assert session.ended
    session = Session(
        FrontDoorSettings("http://api", max_recipients_count=3), Client("", trusted="x"), Space(600), lambda: NOW
    )
    session.receive(b"EHLO c\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<b@y.example>\r\n" * 40)
    assert session.take_output().count(b"452 4.3.1 ") == 30
    assert session.ended


def test_room_is_given_back():
    """After the answer, after RSET in the middle of BDAT, when the client goes."""
    for octets in (b"DATA\r\n" + b"x" * 500 + b"\r\n.\r\n", b"BDAT 500\r\n" + b"x" * 500 + b"RSET\r\n"):
        talk = greeted()
        talk.hear(ENVELOPE + octets)
        assert talk.space.booked_octets == 0
    talk = greeted()
    talk.hear(ENVELOPE + b"DATA\r\n" + b"x" * 500)
    assert talk.space.booked_octets > 500
    talk.session.abandon()
    assert talk.space.booked_octets == 0


def test_room_of_half_a_bdat_is_given_back_by_starttls():
    """Found by the fuzz target: the client that goes during the handshake kept it for ever."""
    talk = greeted()
    talk.session.receive(ENVELOPE + b"BDAT 500\r\n" + b"x" * 500 + b"STARTTLS\r\n")
    assert isinstance(talk.session.take_effect(), StartTls)
    talk.session.abandon()
    assert talk.space.booked_octets == 0


def test_room_is_given_back_when_a_submission_breaks_off():
    """By a fault of ours, or by a stop that waits no longer."""
    talk = greeted()
    talk.session.receive(ENVELOPE + b"DATA\r\n" + b"x" * 500 + b"\r\n.\r\n")
    assert isinstance(talk.session.take_effect(), Submit)
    talk.session.abandon()
    assert talk.space.booked_octets > 500
    talk.session.let_go()
    assert talk.space.booked_octets == 0


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_content_may_leave_in_parts(cut):
    """Wherever it is cut, the parts and the rest are the message; no dot and no line's end is lost."""
    message = b"".join(b"%s\r\n" % (b"." * (n % 4) + b"x" * (n % 5)) for n in range(60))
    octets = message.replace(b"\r\n.", b"\r\n..")
    talk = greeted()
    talk.hear(ENVELOPE + b"DATA\r\n")
    parts = []
    for n in range(0, len(octets), cut):
        talk.hear(octets[n : n + cut])
        parts.append(talk.session.take_part())
        talk.session.part_put()
    assert talk.codes(b".\r\n") == ["250 2.0.0"]
    assert message == b"".join(parts) + talk.submitted[0][1]
    assert any(parts)


def test_fault_in_a_part_refuses_the_whole():
    """And nothing more of it leaves."""
    talk = greeted()
    talk.hear(ENVELOPE + b"DATA\r\n" + b"line\r\n" * 20)
    assert talk.session.take_part()
    talk.hear(b"bare\nLF\r\n" * 20)
    assert not talk.session.take_part()
    talk.hear(b"line\r\n" * 20)
    assert not talk.session.take_part()
    assert ["554 5.6.0"] == talk.codes(b".\r\n")


def test_end_of_input_ends_what_is_half():
    """A half-closed client hears the answers to what was whole, and a half content is dropped."""
    talk = greeted()
    talk.session.receive(ENVELOPE + b"DATA\r\nhalf")
    talk.session.receive_eof()
    assert talk.session.ended
    assert talk.space.booked_octets == 0
    talk.pump()
    assert not talk.submitted


def test_nul_and_long_lines_of_content_are_the_apis_affair():
    """The same rules for all doors: services/validate.py."""
    talk = greeted()
    assert "250 2.0.0" == talk.codes(ENVELOPE + b"DATA\r\n\0" + b"x" * 5000 + b"\r\n.\r\n")[-1]
