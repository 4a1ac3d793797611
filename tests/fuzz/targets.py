"""
The fuzz targets: each takes hostile octets and may refuse them in its own words, and nothing else.

`python -m tests.fuzz.targets [SECONDS] [TARGET …]` (`make fuzz`, `FUZZ_S=…`, `FUZZ=…`) runs them in turn, by default all
for an hour; tests/fuzz/test_smoke.py a few seconds of them. Inputs are grown by hypothesis from the corpus's traps and
from the words of each grammar, so that they get past the first check. What is found becomes a named test.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from infra.front_door.booking import Space
from infra.front_door.effects import Check, Client, Submit, Verdict
from infra.front_door.session import Session
from infra.front_door.settings import FrontDoorSettings
from paravion.domain import address, target, webhook
from paravion.domain.dsn import Report, build_dsn
from paravion.domain.envelope import Arrivals, Envelope, Recipient, decode_qf, encode_qf
from paravion.domain.handlebars import compile_template
from paravion.domain.handlebars_syntax import TemplateError
from paravion.domain.headers import encode_words, format_param, make_field, split_header
from paravion.domain.http1 import Target as Url
from paravion.domain.http1 import encode_request
from paravion.domain.message import (
    complete,
    control_fields,
    header_recipients,
    header_sender,
    read_message,
    responsible_addresses,
)
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import EVENTS, NoticeKind, RecipientState
from paravion.domain.reply import Malformed, ReplyParser
from paravion.domain.seven_bit import NotConvertible, to_seven_bit
from paravion.domain.smtp_dialogue import Content, parse_ehlo
from paravion.domain.status import Rejected
from paravion.domain.tables import KINDS, BadTable, parse_table
from tests.corpus.traps import traps
from tests.fuzz import sendmail_targets

if TYPE_CHECKING:
    from collections.abc import Callable

_SEEDS: Final = sorted(traps().values())
_WORDS: Final = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b"@", b"(", b")", b'"', b"\\", b"[", b"]", b".",
    b"=?utf-8?q?", b"?=", b"--b", b"--b--", b"From", b"From: ", b"Resent-To: ", b"Sender:", b"Content-Type: ",
    b"multipart/mixed; boundary=b", b"message/rfc822", b"Content-Transfer-Encoding: 8bit", b"\xc3\xbc", b"\xff", b"a", b"a@b.c",
    b"250", b"250-", b"5.1.1 ", b"xn--", b"%", b"*0*=", b"+2B", b"{", b"}", b"\x1b", "\u202e".encode(), b"x" * 998,
]  # fmt: skip


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """Give a trap with some places cut, doubled or overwritten."""
    octets = draw(st.sampled_from(_SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(octets)))
        end = min(len(octets), at + draw(st.integers(0, 20)))
        octets = octets[:at] + draw(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=5))) + octets[end:]
    return octets


_SMTP_WORDS: Final = [
    b"EHLO c\r\n", b"HELO c\r\n", b"MAIL FROM:<a@x.example>", b"RCPT TO:<b@y.example>", b"\r\n", b"DATA\r\n", b"RSET\r\n", b"BDAT ",
    b"5", b" LAST\r\n", b"NOOP\r\n", b"QUIT\r\n", b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"AGIAYg==\r\n", b"Yg==\r\n", b"*\r\n", b"STARTTLS\r\n",
    b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b".", b" SIZE=1", b" BODY=8BITMIME", b" HOLDFOR=1", b" NOTIFY=NEVER", b" ENVID=a",
    b"\0", b"\xff", b" ", b"x" * 998, b"x" * 5000, b"VRFY a\r\n", b" LAST\r\nxx\r\n", b"0", b"BDAT 3\r\nab\r", b"\n.", b"\r\n", b"GET / HTTP/1.1\r\n", b"999999999999\r\n",
]  # fmt: skip
_DOORS: Final = [
    FrontDoorSettings("http://api", max_message_octets=4000, auth_cleartext_loopback=True, bare_lf=bare_lf)
    for bare_lf in ("refuse", "normalise")
]
_WAYS: Final = [(0, False), (7, False), (1, True), (5, True)]
"""How many octets a piece has, 0 for all; whether a content leaves in parts while it comes."""

TALKS: Final = st.lists(st.one_of(st.sampled_from(_SMTP_WORDS), st.binary(max_size=3)), max_size=40).map(
    lambda words: (
        b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n" * (len(words) % 3 > 0) + b"".join(words)
    )
)
SOUP: Final = st.lists(st.sampled_from(_WORDS), max_size=40).map(b"".join)
OCTETS: Final = st.one_of(_mutated(), SOUP, st.binary(max_size=300))
TEXTS: Final = st.one_of(st.text(max_size=300), SOUP.map(lambda octets: octets.decode("utf-8", "surrogateescape")))


def _plain(text: str) -> None:
    """A reason is shown in replies and logs: one line of printable ASCII."""
    assert text.isascii(), text
    assert text.isprintable(), text


def headers(octets: bytes) -> None:
    """Splitting loses no octet."""
    try:
        fields = split_header(octets)
    except Rejected as exc:
        _plain(exc.detail)
        return
    assert b"\r\n".join(field.raw for field in fields) == octets.removesuffix(b"\r\n")


def addresses(octets: bytes) -> None:
    """Whatever is read is a path that reads the same again."""
    try:
        mailboxes = address.parse_mailboxes(octets)
    except ValueError as exc:
        _plain(str(exc))
        return
    for mailbox in mailboxes:
        assert address.parse_path(mailbox.address, smtputf8=True) == mailbox.address
        assert not set(mailbox.display) & set(b"\r\n\0")


def paths(text: str) -> None:
    """A path, an ORCPT, an ENVID: refused in plain words, or stable."""
    for reader in (
        lambda t: address.parse_path(t, smtputf8=True),
        address.parse_path,
        address.check_orcpt,
        address.check_envid,
    ):
        try:
            found = reader(text)
        except ValueError as exc:
            _plain(str(exc))
            continue
        assert reader(found) == found
        assert len(str(found).splitlines()) <= 1


def messages(octets: bytes) -> None:
    """Read and completed, it reads the same; every reader of it works or refuses."""
    try:
        message = read_message(octets, max_octets=1 << 20)
    except Rejected as exc:
        _plain(exc.detail)
        return
    for reader in (header_recipients, header_sender, control_fields, responsible_addresses):
        try:
            reader(message)
        except Rejected as exc:
            _plain(exc.detail)
    header = complete(message, queue_id="q" * 26, now=0.0, hostname="h.example", trace=b"", restamp=False)
    again = read_message(header + b"\r\n" + message.body, max_octets=1 << 22)
    assert again.body == message.body
    assert complete(again, queue_id="q" * 26, now=0.0, hostname="h.example", trace=b"", restamp=False) == header
    content = Content(header)
    wire = content.start() + content.feed(message.body) + content.end()
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")


def sessions(octets: bytes) -> None:
    """
    Whatever a client sends, in whatever pieces: well-formed replies, the same ones, and bounded memory.

    A message that is handed in has line ends of CR LF only, whether it leaves as a whole or in parts; there are no more
    of them than ends of DATA and last chunks, and nothing is said after the end.
    """
    for door in _DOORS:
        said = [_session(door, octets, cut, in_parts=in_parts) for cut, in_parts in _WAYS]
        assert said[0] == said[1]
        if not any(b"554 5.6.0" in text for text, _ in said):
            # A fault may be found with an earlier chunk where content leaves in parts.
            assert all(other == said[0] for other in said)
        text, contents = said[0]
        assert len(contents) <= octets.count(b"\r\n.\r\n") + octets.upper().count(b"LAST")
        assert text.count(b"\r\n354 ") <= octets.upper().count(b"DATA")
        for line in text.split(b"\r\n")[:-1]:
            assert line[:3].isdigit(), line
            assert line[3:4] in {b" ", b"-"}, line
            assert line.isascii(), line
            assert len(line) <= 510, line


def _session(door: FrontDoorSettings, octets: bytes, cut: int, *, in_parts: bool) -> tuple[bytes, list[bytes]]:
    space = Space(1 << 20)
    client = Client("192.0.2.1", is_loopback=True, trusted="Basic x")
    session = Session(door, client, space, lambda: 0.0)
    said, contents, parts = session.take_output(), [], b""
    for at in range(0, len(octets), cut or len(octets) or 1):
        if session.ended:
            break
        session.receive(octets[at : at + cut] if cut else octets)
        while (effect := session.take_effect()) is not None:
            if isinstance(effect, Submit) and not effect.refusal:
                content = parts + effect.content.take()
                assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
                contents.append(content)
                session.submitted("250 2.0.0 Ok q")
            elif isinstance(effect, Submit):
                session.submitted(effect.refusal)
            elif isinstance(effect, Check):
                session.checked(Verdict.GOOD if effect.user == "b" else Verdict.BAD)
            else:
                # What was sent in clear is gone: how much of it came with STARTTLS is chance.
                session.abandon()
            parts = b""
        if session.content is None:
            parts = b""
        elif in_parts:
            parts += session.take_part()
            session.part_put()
        said += session.take_output()
        assert space.booked_octets <= 20_000
    session.receive_eof()
    if not session.ended:
        raise AssertionError("the session goes on without a client")
    assert space.booked_octets == 0
    return said, contents


def seven_bit(octets: bytes) -> None:
    """Converted or not, by its own words; converting again changes nothing."""
    try:
        message = read_message(octets, max_octets=1 << 20)
        header = b"".join(field.raw + b"\r\n" for field in message.fields)
        converted = to_seven_bit(header, message.body)
    except (Rejected, NotConvertible) as exc:
        _plain(str(exc))
        return
    assert converted[1].isascii()
    split_header(converted[0])
    assert to_seven_bit(*converted) == converted


def queue_files(octets: bytes) -> None:
    """A qf that is none is a ValueError; one that is reads the same."""
    try:
        envelope, header = decode_qf(octets)
    except ValueError:
        return
    assert decode_qf(encode_qf(envelope, header)) == (envelope, header)


def replies(octets: bytes) -> None:
    """Any split of the octets gives the same replies, printable ones."""
    whole = ReplyParser().feed(octets)
    one_by_one = ReplyParser()
    assert [reply for octet in octets for reply in one_by_one.feed(bytes([octet]))] == whole
    for reply in whole:
        assert reply.text.isprintable()
        if not isinstance(reply, Malformed):
            parse_ehlo(reply)


def reports(text: str) -> None:
    """What a remote host says opens no field, no line and no part in a report."""
    state = RecipientState("b@y.example", Outcome(Result.FAILED, text[:10], 550, text, "RCPT", text[:50], text), 1.0, 1)
    member = (Recipient("b@y.example", orcpt=text), state)
    header = b"Subject: " + text.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"\r\n ") + b"\r\n"
    for kind in (kind for kind in NoticeKind if kind not in {*EVENTS, NoticeKind.SUPPRESS, NoticeKind.REPLY}):
        envelope = Envelope("q" * 26, "a@x.example", (member[0],), 0.0, 5, envid=text)
        report = Report("r" * 26, "h.example", 0.0, "a@x.example", kind, envelope, (member,), header, b"body\r\n", 9.0)
        head, body = build_dsn(report)
        assert head.isascii()
        assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n")
        assert len({field.key for field in split_header(head)}) == len(split_header(head))
        status = body.split(b"Content-Type: message/delivery-status\r\n\r\n")[1].partition(b"\r\n--")[0]
        assert status.isascii()
        assert status.count(b"\nFinal-Recipient: ") == status.count(b"\nAction: ") == 1


def writing(text: str) -> None:
    """Nothing that is written breaks out of its field."""
    for make in (
        lambda t: make_field("X-A", t, utf8=True),
        lambda t: make_field("X-A", encode_words(t)),
        lambda t: make_field("X-A", "x; " + format_param("name", t)),
    ):
        with contextlib.suppress(ValueError):
            (field,) = split_header(make(text))
            assert field.name == b"X-A"


def tables(octets: bytes) -> None:
    """A table is read as a whole, or every problem is told with its file and line."""
    for kind in (*KINDS, "include/list"):
        try:
            parse_table(kind, [("fuzz", octets)], ("example.org",))
        except BadTable as exc:
            for problem in exc.problems:
                _plain(problem)
                assert problem.startswith("fuzz:"), problem


_TARGET_WORDS: Final = [
    "lambda:", "LAMBDA:", "sns:", "sqs:", "https://", "HTTPS://", "http://", "arn:aws:", "arn:aws-cn:", "lambda:eu-west-1:",
    "sqs:eu-west-1:", "sns:us-gov-west-1:", "123456789012:", "123456789012/", "function:", "name", ".fifo", ":$LATEST", "sqs.eu-west-1.amazonaws.com/",
    ".cn", "hooks.example.org", "[::1]", "[::ffff:10.0.0.1]", "127.0.0.1", "0x7f.1", "2130706433", ":443", ":65536", ":", "/", "?", "#", "@", "%0d%0a",
    "\r\n", "\0", " ", "\t", "..", "-", "é", "\u2028", "a" * 64, "x" * 300,
]  # fmt: skip
TARGET_TEXTS: Final = st.one_of(st.lists(st.sampled_from(_TARGET_WORDS), max_size=12).map("".join), TEXTS)


def alias_targets(text: str) -> None:
    """A target is refused, or has a normal form that stays, opens no line, and is allowed by its own name alone."""
    for read in (target.parse_host, target.parse_arn):
        with contextlib.suppress(ValueError):
            found = read(text)
            assert read(found) == found
            _plain(found)
    try:
        found = target.parse_target(text)
    except ValueError:
        return
    assert target.is_target(text)
    assert target.parse_target(found) == found
    _plain(found)
    assert " " not in found
    assert target.AllowedTargets().problem(found)
    if target.scheme_of(found) == target.WEBHOOK:
        host = target.webhook_host(found)
        assert target.webhook_secret_name(host).removeprefix("webhooks/").replace("-", "").replace(".", "").isalnum()
        url = Url(found)
        assert not target.AllowedTargets(private_hosts=(url.netloc,)).problem(found)
        fields = webhook.request_fields(target=found, queue_id="q", recipient=text, reverse_path=text, received_at=0.0,
                                        timestamp=0, signature="v1=0")  # fmt: skip
        head = encode_request("POST", url.path, {"Host": url.netloc, **fields}, 0)
        assert head.count(b"\n") == head.count(b"\r\n") == len(fields) + 4


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def _envelope_files(draw: st.DrawFn) -> bytes:
    """Give a qf with some members missing, as of an earlier version, or of another kind."""
    sender = Recipient("l@x.example", ("SUCCESS",))
    whole = Envelope("q" * 26, "a@x.example", (Recipient("b@y.example"),), 0.0, 5, tags=(("k", "v"),), parts=(("p", 1),),
                     arrivals=Arrivals("a@x.example", "", (sender,), (sender,)))  # fmt: skip
    line, _, header = encode_qf(whole, b"Subject: x\r\n").partition(b"\n")
    fields = json.loads(line)
    for place in (fields, fields["recipients"][0], fields["arrivals"], fields["arrivals"]["lists"][0]):
        for name in draw(st.lists(st.sampled_from(sorted(place)), max_size=3)):
            if draw(st.booleans()):
                place.pop(name, None)
            else:
                place[name] = draw(_JSON)
    return json.dumps(fields).encode() + b"\n" + header


_TEMPLATE_WORDS: Final = [
    "{{", "}}", "{{{", "}}}", "{{#", "{{/", "{{^", "{{else}}", "{{else if a}}", "{{#if a}}", "{{/if}}", "{{#each a}}", "{{/each}}",
    '{{#*inline "p"}}', "{{/inline}}", "{{> p}}", "{{#> p}}", "{{/p}}", "{{> @partial-block}}", "{{!--", "--}}", "{{{{if a}}}}",
    "{{{{/if}}}}", "~", "\\", "../", ".", "@index", "@root", "this", "a", "b.c", "[", "]", '"', "'", "(", ")", "lookup a b", "=",
    "as |x|", " ", "\n", "\r\n", "0", "-1.5", "null", "\0", "\ufeff", "\ud800", "text",
]  # fmt: skip


def _template_texts() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(_TEMPLATE_WORDS), max_size=40).map("".join)


def templates(text: str) -> None:
    """A template is read or refused, and rendered or refused, within its bounds."""
    data = {"a": [1, {"b": {"c": "x"}}, None, "s"], "b": {"c": 1.5, "length": 2}, "x": True}
    with contextlib.suppress(TemplateError):
        template = compile_template(text)
        for strict in (False, True):
            with contextlib.suppress(TemplateError):
                assert len(template.render(data, strict=strict, characters_max=10_000)) <= 10_000


TARGETS: Final[dict[str, tuple[Callable[..., None], st.SearchStrategy[object]]]] = {
    "headers": (headers, OCTETS),
    "addresses": (addresses, OCTETS),
    "paths": (paths, TEXTS),
    "messages": (messages, OCTETS),
    "seven_bit": (seven_bit, OCTETS),
    "queue_files": (queue_files, OCTETS),
    "envelopes": (queue_files, _envelope_files()),
    "alias_targets": (alias_targets, TARGET_TEXTS),
    "replies": (replies, OCTETS),
    "reports": (reports, TEXTS),
    "writing": (writing, TEXTS),
    "tables": (tables, OCTETS),
    "templates": (templates, _template_texts()),
    "smtp_sessions": (sessions, TALKS),
    "sendmail_options": (sendmail_targets.options, sendmail_targets.WORDS),
    "sendmail_piped": (sendmail_targets.piped, OCTETS),
    "client_queues": (sendmail_targets.queue_folders, sendmail_targets.RUNS),
}


def run(name: str, examples: int, seed_number: int) -> None:
    """Try so many inputs; the first that breaks a target is shrunk and raised."""
    check, inputs = TARGETS[name]

    @seed(seed_number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink))  # fmt: skip
    @given(inputs)
    def attempt(hostile: object) -> None:
        check(hostile)

    attempt()


def main() -> None:
    """Run every target, or those named, in turn until the time is up."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0
    end = time.monotonic() + seconds
    counts = dict.fromkeys(sys.argv[2:] or TARGETS, 0)
    round_number = time.time_ns() % (1 << 32)
    print(f"first seed {round_number}")
    while time.monotonic() < end:
        for name in counts:
            run(name, 500, round_number)
            counts[name] += 500
            if time.monotonic() >= end:
                break
        round_number += 1
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
