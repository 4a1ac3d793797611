"""The reports whose octets are kept beside this file, with a fixed clock and fixed ids."""

from __future__ import annotations

import pathlib
from dataclasses import replace

from paravion.domain import status
from paravion.domain.dsn import Report, build_dsn
from paravion.domain.envelope import DeliverBy, Envelope, Recipient
from paravion.domain.outcome import HOLD, Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, NoticeKind, RecipientState, State, expiry
from paravion.domain.status import Status
from paravion.domain.suppression import STAGE
from paravion.domain.target_verdict import taken

QUEUED_AT = 1_795_338_000.0  # Sun, 22 Nov 2026 09:00:00 +0000
DAY = 86_400.0

HEADER = (
    b"Received: from [192.0.2.7] by mail.paravion.example with ESMTPSA id aaaaaaaaaaaaaaaaaaaaaaaaaa;\r\n"
    b" Sun, 22 Nov 2026 09:00:00 +0000\r\n"
    b"From: =?utf-8?q?J=C3=B6rg?= Example <joerg@sender.example>\r\n"
    b"To: Bob <bob@example.org>, Sales <sales@corp.example>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= and the quarterly figures\r\n"
    b"Date: Sun, 22 Nov 2026 09:59:58 +0100\r\n"
    b"Message-ID: <20261122085958.4711@sender.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
)
BODY = "Dear Bob,\r\n\r\nhere are the figures. Schöne Grüße\r\nJörg\r\n".encode()


def outcome(result: Result, status: str, code: int, text: str, **more: str) -> Outcome:
    """Give an outcome of an RCPT at mx1.example.org unless `more` says otherwise."""
    place = {"command": "RCPT", "mx_host": "mx1.example.org", "address": "198.51.100.25", "tls": "TLSv1.3"}
    return Outcome(result, status, code, text, **{**place, **more})


NO_USER = outcome(Result.FAILED, "5.1.1", 550, "<bob@example.org>: Recipient address rejected:\nUser unknown in table")
FULL = outcome(Result.FAILED, "5.2.2", 552, "Mailbox full", mx_host="mx.corp.example", address="203.0.113.9")
SPAM = outcome(
    Result.FAILED,
    "5.7.1",
    554,
    "Message rejected as spam by content filtering; see https://postmaster.example.net/why?id=4711",
    mx_host="mx.example.net",
    address="2001:db8::25",
    command="DOT",
)
NO_DOMAIN = outcome(
    Result.FAILED, "5.1.2", 0, "DNS: exampel.com does not exist", command="DNS", mx_host="", address="", tls=""
)
GREYLISTED = outcome(Result.DEFERRED, "4.7.1", 451, "Greylisted, please come back in 5 minutes")
NO_ANSWER = outcome(
    Result.DEFERRED, "4.4.1", 0, "No answer from any mail exchanger within 30 s", command="CONNECT", tls=""
)
TAKEN = outcome(Result.DELIVERED, "2.0.0", 250, "Ok: queued as 4XyZ", command="DOT")

ARRIVED = outcome(Result.DELIVERED, "2.0.0", 0, "", command="LOCAL", mx_host="", address="", tls="")

HOSTILE = outcome(
    Result.FAILED,
    "5.7.1",
    554,
    "<script>alert(1)</script> <a href='https://evil.example/'>log in</a> & so on\n\n"
    "Content-Type: text/html\n\x1b[2J\x07\u202egnp.exe\u2066 \u200b=?utf-8?q?=0D=0AX:_y?=\x00 --=_b" + " more" * 150,
    mx_host="mx\u202e.evil.example",
)


def ours(row: Status, text: str = "", command: str = "LOCAL") -> Outcome:
    """Give a failure that was decided here."""
    return Outcome(Result.FAILED, row.enhanced, text=text or row.text, command=command)


def given_up(last: Outcome) -> Outcome:
    """Give what an expiry makes of the last attempt's outcome."""
    state = RecipientState("", last, QUEUED_AT, 1)
    return expiry(JobRecord(JobKey("a" * 26), QUEUED_AT, State.TRIED, recipients={0: state}), 0)


BOB = Recipient("bob@example.org", orcpt="rfc822;bob@example.org")
FRED = Recipient("fred@mail.corp.example", ("FAILURE", "DELAY"), orcpt="rfc822;sales+2Bnorth@corp.example")
DORA = Recipient("dora@exampel.com")
EVE = Recipient("eve@example.net", origin="staff@sender.example")
TICKETS = Recipient(
    "tickets@sender.example", orcpt="rfc822;tickets@sender.example", target="https://hooks.sender.example/"
)


def report(
    kind: NoticeKind, *members: tuple[Recipient, Outcome], now: float, recipients: int, **more: object
) -> Report:
    """Give a report about a mail with that many recipients."""
    crowd = tuple(Recipient(f"other{n}@example.com") for n in range(recipients - len(members)))
    envelope = Envelope(
        queue_id="a" * 26,
        reverse_path="joerg@sender.example",
        recipients=(*(recipient for recipient, _ in members), *crowd),
        queued_at=QUEUED_AT,
        body_octets=len(BODY),
        body_type="8BITMIME",
        envid="QQ314159+2Bx",
    )
    base = Report(
        queue_id="b" * 26,
        hostname="mail.paravion.example",
        now=now,
        to="joerg@sender.example",
        kind=kind,
        envelope=envelope,
        members=tuple(
            (r, RecipientState(r.forward_path, o, now - 2, 1, tried_at=now - 65 if o.command == "EXPIRED" else 0.0))
            for r, o in members
        ),
        original_header=HEADER,
        original_body=BODY,
        return_at=QUEUED_AT + 5 * DAY,
    )
    return replace(base, **more)


REPORTS = {
    "failed_one": report(NoticeKind.FAILED, (BOB, NO_USER), now=QUEUED_AT + 5, recipients=1),
    "failed_many": report(
        NoticeKind.FAILED,
        (BOB, NO_USER),
        (FRED, FULL),
        (DORA, NO_DOMAIN),
        (EVE, SPAM),
        (Recipient("robert@example.org"), replace(NO_USER, text="<robert@example.org>: User unknown in table")),
        now=QUEUED_AT + 5,
        recipients=12,
        original_body=None,
    ),
    "expired": report(
        NoticeKind.EXPIRED,
        (BOB, given_up(NO_ANSWER)),
        (FRED, given_up(replace(FULL, result=Result.DEFERRED, status="4.2.2", code=452))),
        now=QUEUED_AT + 5 * DAY + 60,
        recipients=3,
    ),
    "returned": report(
        NoticeKind.RETURNED,
        (BOB, given_up(NO_ANSWER)),
        (FRED, FULL),
        now=QUEUED_AT + 5 * DAY + 60,
        recipients=3,
        original_body=None,
    ),
    "delayed": report(
        NoticeKind.DELAYED, (BOB, GREYLISTED), now=QUEUED_AT + 4 * 3600, recipients=1, original_body=None
    ),
    "delivered": report(
        NoticeKind.DELIVERED,
        (TICKETS, taken("the webhook answered 200")),
        (TICKETS, taken("queued, MessageId 5fea7756-0ea4-451a-a703-a558b933e274")),
        now=QUEUED_AT + 3,
        recipients=2,
        original_body=None,
    ),
    "listed": report(
        NoticeKind.LISTED,
        (Recipient("staff@sender.example", ("SUCCESS",), orcpt="rfc822;staff@sender.example"), ARRIVED),
        now=QUEUED_AT + 2,
        recipients=1,
        original_body=None,
    ),
    "expanded": report(
        NoticeKind.EXPANDED,
        (Recipient("team@sender.example", ("SUCCESS", "FAILURE"), orcpt="rfc822;all@sender.example"), ARRIVED),
        (Recipient("sales@sender.example", ("SUCCESS",)), ARRIVED),
        now=QUEUED_AT + 2,
        recipients=2,
        original_body=None,
    ),
    "smtputf8": report(
        NoticeKind.FAILED,
        (Recipient("jürgen@bücher.example", orcpt="utf-8;j\\x{FC}rgen@b\\x{FC}cher.example"), NO_USER),
        now=QUEUED_AT + 5,
        recipients=1,
        to="jörg@sender.example",
        original_header=HEADER.replace(b"<joerg@", "<jörg@".encode()),
    ),
    "smtputf8_to_ascii": report(
        NoticeKind.FAILED,
        (Recipient("jürgen@bücher.example", orcpt="utf-8;j\\x{FC}rgen@b\\x{FC}cher.example"), NO_USER),
        now=QUEUED_AT + 5,
        recipients=1,
    ),
    "eight_bit": report(
        NoticeKind.FAILED,
        (BOB, FULL),
        now=QUEUED_AT + 5,
        recipients=1,
        original_header=HEADER.replace(b"charset=utf-8", b"charset=iso-8859-1"),
        original_body=BODY.decode().encode("latin-1"),
    ),
    "huge": report(NoticeKind.FAILED, (BOB, NO_USER), now=QUEUED_AT + 5, recipients=1, original_body=None, is_cut=True),
    "secure_only": report(NoticeKind.FAILED, (BOB, NO_USER), now=QUEUED_AT + 5, recipients=1),
    "released": report(NoticeKind.FAILED, (BOB, NO_USER), now=QUEUED_AT + DAY + 5, recipients=1, original_body=None),
    "deadline": report(
        NoticeKind.RELAYED, (BOB, replace(TAKEN, is_traced=True)), now=QUEUED_AT + 5, recipients=1, original_body=None
    ),
    "german": report(NoticeKind.FAILED, (BOB, NO_USER), (FRED, FULL), now=QUEUED_AT + 5, recipients=3, language="de"),
    "french": report(
        NoticeKind.DELAYED,
        (BOB, GREYLISTED),
        now=QUEUED_AT + 4 * 3600,
        recipients=1,
        original_body=None,
        language="fr",
    ),
    "spanish": report(
        NoticeKind.EXPIRED,
        (BOB, given_up(NO_ANSWER)),
        now=QUEUED_AT + 5 * DAY + 60,
        recipients=1,
        language="es",
    ),
    "hostile": report(
        NoticeKind.FAILED,
        (Recipient("bob@example.org", origin='"<b>x</b> &amp;"@b\u202e.example'), HOSTILE),
        now=QUEUED_AT + 5,
        recipients=1,
        original_header=HEADER.replace(b"and the quarterly", "\u202e=?utf-8?b?4oCuDQpYOiB5?= <i>".encode()),
        original_body=None,
    ),
    "cancelled": report(
        NoticeKind.FAILED,
        (BOB, ours(status.CANCELLED, "Cancelled by an operator: the price list in it was last year's", HOLD)),
        now=QUEUED_AT + 60,
        recipients=1,
    ),
    "refused_here": report(
        NoticeKind.FAILED,
        (BOB, ours(status.SUPPRESSED, command=STAGE)),
        (DORA, ours(status.UNSUBSCRIBED, "Not sent: the contact has unsubscribed: list news")),
        (EVE, ours(status.HELD_TOO_LONG, command=HOLD)),
        now=QUEUED_AT + 14 * DAY,
        recipients=3,
        original_body=None,
    ),
    "lost": report(
        NoticeKind.FAILED,
        (BOB, ours(status.CONTENT_LOST)),
        now=QUEUED_AT + 5 * DAY,
        recipients=1,
        original_header=b"",
        original_body=None,
    ),
    "held": report(
        NoticeKind.DELAYED,
        (BOB, replace(ours(status.HELD_HERE, command=HOLD), result=Result.DEFERRED)),
        now=QUEUED_AT + 600,
        recipients=1,
        original_body=None,
        return_at=QUEUED_AT + 14 * DAY,
    ),
    "crowd": report(
        NoticeKind.FAILED,
        *(
            (Recipient(f"user{n}@example.org"), replace(NO_USER if n % 3 else FULL, text=f"<user{n}@example.org>: no"))
            for n in range(50)
        ),
        now=QUEUED_AT + 5,
        recipients=900,
        original_body=None,
    ),
    "relayed": report(NoticeKind.RELAYED, (BOB, TAKEN), now=QUEUED_AT + 3, recipients=1, original_body=None),
}
"""By the name of the golden file."""

for _name, _more in {
    "smtputf8": {"smtputf8": True},
    "smtputf8_to_ascii": {"smtputf8": True},
    "secure_only": {"tls_required": True},
    "deadline": {"deliver_by": DeliverBy(QUEUED_AT + DAY)},
    "released": {"release_at": QUEUED_AT + DAY},
}.items():
    REPORTS[_name] = replace(REPORTS[_name], envelope=replace(REPORTS[_name].envelope, **_more))


def octets(name: str) -> bytes:
    """Give the whole message of one report."""
    header, body = build_dsn(REPORTS[name])
    return header + b"\r\n" + body


def write() -> None:
    """Write every golden file anew: `PYTHONPATH=layers/paravion/python python -m tests.unit.golden.reports`."""
    for name in REPORTS:
        pathlib.Path(__file__).with_name(f"{name}.eml").write_bytes(octets(name))


if __name__ == "__main__":
    write()
