"""Tables in the whole pipeline: who gets a mail, under which reverse-path, and what is refused."""

from __future__ import annotations

import email
import tracemalloc

import pytest

from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import Rejected
from tests.support.world import World

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
SENDER = "me@example.org"


def _world(*tables: str, script=None, **settings) -> World:
    world = World(script, local_domains="local.example", **settings)
    for kind, text in zip(tables[::2], tables[1::2], strict=True):
        world.load(kind, text)
    return world


def _sent(world: World) -> list[tuple[str, str]]:
    return sorted((path, reverse) for _, path, reverse, _ in world.transport.accepted)


def _content(world: World, path: str) -> bytes:
    (content,) = world.accepted_by(path)
    return content


ALIASES = """
team:       alice@a.example, bob,
            staff
bob:        bob@b.example
staff:      carol@c.example, alice@a.example
"""


def test_alias_expands_to_each_recipient_once() -> None:
    """Nested names, continuation lines, a member of two aliases."""
    world = _world("aliases", ALIASES)
    receipt = world.submit("team@local.example", "Bob@LOCAL.example", "x@other.example")
    world.run()
    assert receipt.recipient_count == 4
    assert _sent(world) == [
        (path, SENDER) for path in ("alice@a.example", "bob@b.example", "carol@c.example", "x@other.example")
    ]


def test_members_learn_nothing_of_the_other_recipients() -> None:
    """Each alias has its own message and its own Delivered-To; a recipient that was named gets none."""
    world = _world("aliases", "one: a@a.example\ntwo: b@b.example\n")
    world.submit("one@local.example", "two@local.example", "c@c.example")
    world.run()
    delivered_to = {
        path: email.message_from_bytes(_content(world, path)).get_all("Delivered-To")
        for path in ("a@a.example", "b@b.example", "c@c.example")
    }
    assert delivered_to == {
        "a@a.example": ["one@local.example"],
        "b@b.example": ["two@local.example"],
        "c@c.example": None,
    }
    ids = {email.message_from_bytes(content)["Message-ID"] for _, _, _, content in world.transport.accepted}
    assert len(ids) == 1
    assert len(world.spool.bodies) == 1


def test_address_of_another_domain_is_no_alias() -> None:
    """Only local domains are looked up."""
    world = _world("aliases", ALIASES)
    world.submit("team@other.example")
    world.run()
    assert _sent(world) == [("team@other.example", SENDER)]


def test_backslash_and_own_name_are_the_mailbox() -> None:
    r"""`bob: bob, …` and `\bob` do not expand again."""
    world = _world("aliases", "bob: bob, copy@a.example\nal: \\bob, z@a.example\n")
    world.submit("bob@local.example")
    world.run()
    assert [path for path, _ in _sent(world)] == ["bob@local.example", "copy@a.example"]
    world.submit("al@local.example")
    world.run()
    assert [path for path, _ in _sent(world)].count("bob@local.example") == 2


def test_minus_n_expands_nothing() -> None:
    """sendmail -n."""
    world = _world("aliases", ALIASES, "virtusertable", "@local.example x@y.example\n")
    world.submit("team@local.example", aliasing=False)
    world.run()
    assert [path for path, _ in _sent(world)] == ["team@local.example"]


def test_backslash_before_a_named_recipient_is_the_mailbox() -> None:
    r"""`sendmail \\root`: that one is not expanded, the others are; another submission under the same key."""
    world = _world("aliases", ALIASES, "virtusertable", "bob@local.example x@y.example\n")
    world.submit("\\bob@local.example", "staff@local.example", idempotency_key="k")
    world.run()
    assert [path for path, _ in _sent(world)] == ["alice@a.example", "bob@local.example", "carol@c.example"]
    with pytest.raises(Rejected, match="idempotency_conflict"):
        world.submit("bob@local.example", "staff@local.example", idempotency_key="k")


def test_plus_detail_is_looked_up_best_first() -> None:
    """user+detail, user+*, user."""
    world = _world("aliases", "a+x: one@z.example\na+*: two@z.example\nb: three@z.example\n")
    for local, expected in (("a+x", "one"), ("a+y", "two"), ("b+q", "three")):
        world.submit(f"{local}@local.example")
        world.run()
        assert world.transport.accepted[-1][1] == f"{expected}@z.example"


# Loops and bounds


def test_fifty_deep_chain_arrives() -> None:
    """Depth is bounded, but far beyond sendmail's ten."""
    world = _world("aliases", "".join(f"a{n}: a{n + 1}\n" for n in range(50)) + "a50: end@z.example\n")
    world.submit("a0@local.example")
    world.run()
    assert _sent(world) == [("end@z.example", SENDER)]


def test_deeper_than_the_limit_is_refused() -> None:
    """5.4.6, at once, by name."""
    world = _world("aliases", "".join(f"a{n}: a{n + 1}\n" for n in range(200)) + "a200: end@z.example\n")
    with pytest.raises(Rejected, match="more than 100 aliases") as caught:
        world.submit("a0@local.example")
    assert caught.value.status.enhanced == "5.4.6"
    assert not world.queues.items["delivery"]


def test_loop_that_only_shows_when_expanding_is_refused() -> None:
    """By way of a detail a loop escapes the check at load."""
    world = _world("aliases", "a: b+x@local.example\nb+*: a@local.example\n")
    with pytest.raises(Rejected, match=r"alias loop: a -> b\+\* -> a") as caught:
        world.submit("a@local.example")
    assert (caught.value.status.smtp, caught.value.status.enhanced) == (554, "5.4.6")


def test_loop_beside_good_members_is_reported_and_they_get_their_mail() -> None:
    """A member that can't be reached fails alone, with a report."""
    world = _world("aliases", "a: b+x@local.example, good@z.example\nb+*: a@local.example\n")
    world.submit("a@local.example")
    world.run()
    assert ("good@z.example", SENDER) in _sent(world)
    assert b"5.4.6" in _content(world, SENDER)


def test_list_that_includes_itself_is_expanded_once() -> None:
    """By its alias's name and by its file's."""
    world = _world(
        "include/l", "a@z.example\nlist@local.example\n:include:l\nb@z.example\n", "aliases", "list: :include:l\n"
    )
    world.submit("list@local.example")
    world.run()
    assert [path for path, _ in _sent(world)] == ["a@z.example", "b@z.example"]


def test_message_that_comes_back_is_refused() -> None:
    """Delivered-To names the alias that it has been through (RFC 5321 6.3)."""
    world = _world("aliases", "team: a@z.example\n")
    content = b"Delivered-To: team@Local.example\r\nFrom: me@example.org\r\n\r\nx\r\n"
    with pytest.raises(Rejected, match=r"has been through team@local\.example") as caught:
        world.submit("Team@local.example", content=content)
    assert caught.value.status.enhanced == "5.4.6"
    world.submit("other@local.example", content=content)


def test_empty_list_is_refused_by_name() -> None:
    """Mail to nobody is not accepted as if somebody got it."""
    world = _world("include/l", "# nobody yet\n", "aliases", "list: :include:l\n")
    with pytest.raises(Rejected, match=r"nobody is behind list@local\.example") as caught:
        world.submit("list@local.example")
    assert caught.value.status.key == "no_recipients"
    world.submit("list@local.example", "a@z.example")
    world.run()
    assert _sent(world) == [("a@z.example", SENDER)]


def test_includes_that_name_each_other_many_times_stay_linear() -> None:
    """2^30 paths lead to one member."""
    tables = []
    for n in range(30):
        tables += [f"include/l{n}", f":include:l{n + 1}\n:include:l{n + 1}\n"]
    world = _world(*tables, "include/l30", "a@z.example\n", "aliases", "list: :include:l0\n")
    world.submit("list@local.example")
    world.run()
    assert _sent(world) == [("a@z.example", SENDER)]


def test_more_than_the_limit_is_refused_and_nothing_goes_out() -> None:
    """max_expansion_count bounds what one submission becomes."""
    members = "".join(f"u{n}@z.example\n" for n in range(2501))
    world = _world("include/l", members, "aliases", "list: :include:l\n", max_expansion_count="2500")
    with pytest.raises(Rejected, match="more than 2500 recipients"):
        world.submit("list@local.example")
    assert not world.queues.items["delivery"]


# Lists


OWNED = "list: a@a.example, missing@b.example\nowner-list: boss@o.example\n"


def test_list_members_get_it_from_the_owner_and_the_owner_hears_of_failures() -> None:
    """owner-: another reverse-path, another message, one body; and the sender's own recipients stay apart."""
    world = _world("aliases", OWNED, script={"missing@b.example": [MISSING]})
    world.submit("list@local.example", "direct@c.example")
    world.run()
    assert _sent(world) == [
        ("a@a.example", "boss@o.example"),
        ("boss@o.example", ""),
        ("direct@c.example", SENDER),
    ]
    assert b"missing@b.example" in _content(world, "boss@o.example")


@pytest.mark.parametrize(
    ("owner", "expected"),
    [("boss", "boss@local.example"), ("x@o.example, y@o.example", "owner-list@local.example")],
)
def test_owner_is_its_single_target_or_itself(owner: str, expected: str) -> None:
    """As sendmail does; a name is qualified."""
    world = _world("aliases", f"list: a@a.example\nowner-list: {owner}\nboss: z@z.example\n")
    world.submit("list@local.example")
    world.run()
    assert _sent(world) == [("a@a.example", expected)]


def test_report_to_a_list_keeps_its_null_reverse_path() -> None:
    """Nothing answers a report (RFC 5321 6.1)."""
    world = _world("aliases", OWNED)
    world.submit("list@local.example", sender="")
    world.run()
    assert ("a@a.example", "") in _sent(world)


def test_dsn_parameters_go_on_to_an_aliass_members_and_end_at_a_list() -> None:
    """RFC 3461 5.2.7: an alias passes NOTIFY and ORCPT on, a list does not."""
    world = _world("aliases", "al: a@a.example\n" + OWNED)
    world.submit(Recipient("al@local.example", ("SUCCESS",)), Recipient("list@local.example", ("SUCCESS",), "rfc822;q"))
    kept = {
        recipient.forward_path: (recipient.notify, recipient.orcpt, recipient.origin)
        for octets in world.spool.envelopes.values()
        for recipient in decode_qf(octets)[0].recipients
    }
    assert kept["a@a.example"] == (("SUCCESS",), "rfc822;al@local.example", "al@local.example")
    assert kept["missing@b.example"] == ((), "", "list@local.example")


@pytest.mark.parametrize("size", [2500, 30_000])
def test_large_list_is_split_and_shares_one_body(size: int) -> None:
    """At most a thousand recipients a message, each once, and memory stays bounded."""
    members = "".join(f"u{n}@z.example\n" for n in range(size))
    world = _world("include/l", members, "aliases", "list: :include:l\nowner-list: boss@o.example\n")
    del members
    tracemalloc.start()
    receipt = world.submit("list@local.example", idempotency_key="k")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert receipt.recipient_count == size
    envelopes = [decode_qf(octets)[0] for octets in world.spool.envelopes.values()]
    kept = sum(len(octets) for octets in world.spool.envelopes.values())
    assert max(len(envelope.recipients) for envelope in envelopes) <= 1000
    paths = [recipient.forward_path for envelope in envelopes for recipient in envelope.recipients]
    assert len(paths) == len(set(paths)) == size
    assert len(world.spool.bodies) == 1
    assert {envelope.df_id for envelope in envelopes} == {receipt.queue_id}
    assert len(world.queues.items["delivery"]) == sum(envelope.chunk_count for envelope in envelopes)
    # What the in-memory spool and queue keep is not the expansion's.
    assert peak - kept < 18_000_000


# virtusertable


VIRTUAL = """
info@v.example       alice@a.example
shop+*@v.example     shop%3@b.example
++@w.example         plus@p.example
@w.example           %1@c.example
gone@v.example       error:nouser Moved away
later@v.example      error:4.2.1:450 come back
team@v.example       team
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("info@v.example", "alice@a.example"), ("INFO@V.example", "alice@a.example"),
        ("info+x@v.example", "alice@a.example"), ("shop+orders@v.example", "shop+orders@b.example"),
        ("any@w.example", "any@c.example"), ("any+d@w.example", "plus@p.example"),
        ("team@v.example", "t@t.example"), ("other@v.example", "other@v.example"),
    ],
)  # fmt: skip
def test_virtual_user_is_rewritten(given: str, expected: str) -> None:
    """Exact, with detail, catch-all, on to an alias; others are left alone."""
    world = _world("virtusertable", VIRTUAL, "aliases", "team: t@t.example\n")
    world.submit(given)
    world.run()
    assert [path for path, _ in _sent(world)] == [expected]


@pytest.mark.parametrize(
    ("given", "code", "status", "exit_"),
    [("gone@v.example", 550, "5.1.1", 67), ("later@v.example", 450, "4.2.1", 75)],
)
def test_virtual_error_refuses_the_recipient(given: str, code: int, status: str, exit_: int) -> None:
    """error: in its own words and codes."""
    world = _world("virtusertable", VIRTUAL)
    with pytest.raises(Rejected) as caught:
        world.submit(given)
    row = caught.value.status
    assert (row.smtp, row.enhanced, row.exit) == (code, status, exit_)
    assert given in caught.value.detail


def test_virtual_error_of_a_member_is_a_bounce_of_that_member() -> None:
    """One dead member does not stop a list; its owner hears."""
    world = _world("virtusertable", VIRTUAL, "aliases", "l: gone@v.example, a@a.example\nowner-l: o@o.example\n")
    world.submit("l@local.example")
    world.run()
    assert ("a@a.example", "o@o.example") in _sent(world)
    assert b"Moved away" in _content(world, "o@o.example")


def test_virtual_loop_is_refused() -> None:
    """Recursion ends."""
    world = _world("virtusertable", "a@v.example b@v.example\nb@v.example a@v.example\n")
    with pytest.raises(Rejected, match="loop"):
        world.submit("a@v.example")


# access


ACCESS = """
From:spam.example       REJECT
From:ok@spam.example    OK
To:closed@z.example     ERROR:5.7.2:553 closed group
To:void@z.example       DISCARD
From:quiet@z.example    DISCARD
Connect:192.0.2         REJECT
Connect:192.0.2.9       OK
root@                   REJECT
"""


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"sender": "x@sub.spam.example"}, "5.7.1", "sender x@sub.spam.example"),
        ({"to": "closed@z.example"}, "5.7.2", "closed group"),
        ({"client": "[192.0.2.7]"}, "5.7.1", "client 192.0.2.7"),
        ({"to": "root@any.example"}, "5.7.1", "root@"),
    ],
)
def test_access_refuses(fields: dict, status: str, text: str) -> None:
    """Sender, recipient and client; a domain stands for those below it."""
    world = _world("access", ACCESS)
    to = fields.pop("to", "a@a.example")
    with pytest.raises(Rejected) as caught:
        world.submit(to, **fields)
    assert caught.value.status.enhanced == status
    assert text in caught.value.detail
    assert not world.spool.envelopes


def test_access_takes_what_it_names_ok() -> None:
    """The longer key wins."""
    world = _world("access", ACCESS)
    world.submit("a@a.example", sender="ok@spam.example", client="[192.0.2.9]")
    world.run()
    assert _sent(world) == [("a@a.example", "ok@spam.example")]


def test_access_discards_with_a_record() -> None:
    """Accepted, and gone; others of the submission get theirs."""
    world = _world("access", ACCESS)
    assert world.submit("void@z.example", "a@a.example").recipient_count == 1
    assert world.submit("a@a.example", sender="quiet@z.example").recipient_count == 0
    world.run()
    assert len(world.transport.accepted) == 1
    assert [name for name, _ in world.event_log.records].count("Discard") == 2


# Senders


def test_senders_are_known_by_their_public_names() -> None:
    """genericstable in envelope, From, Sender and Reply-To; the other fields keep their octets."""
    world = _world(
        "genericstable", "me Me.Public@p.example\nsec@local.example office@p.example\n", masquerade_as="m.example"
    )
    content = (
        b'From: "Me, Myself" <me@local.example>,\r\n x@local.example\r\nSender: sec@LOCAL.example (comment)\r\n'
        b"Reply-To: root@local.example, y@elsewhere.example\r\nX-Same:  me@local.example\r\n\r\nme@local.example\r\n"
    )
    world.submit("a@a.example", sender="me@local.example", content=content)
    world.run()
    assert _sent(world) == [("a@a.example", "Me.Public@p.example")]
    sent = _content(world, "a@a.example")
    assert b'From: "Me, Myself" <Me.Public@p.example>,\r\n x@m.example\r\n' in sent
    assert b"Sender: office@p.example\r\n" in sent
    assert b"Reply-To: root@local.example, y@elsewhere.example\r\n" in sent
    assert b"X-Same:  me@local.example\r\n" in sent
    assert sent.endswith(b"\r\n\r\nme@local.example\r\n")


def test_identity_is_that_of_the_new_name() -> None:
    """Who a mail is from in the end decides whether it may go out."""
    world = _world("genericstable", "me@local.example boss@o.example\n", identity_check="created")
    with pytest.raises(Rejected, match=r"boss@o\.example"):
        world.submit("a@a.example", sender="me@local.example", content=b"From: me@local.example\r\n\r\n")


def test_without_tables_nothing_changes() -> None:
    """One message, no further field."""
    world = _world()
    world.submit("team@local.example", "b@b.example")
    world.run()
    assert len(world.spool.envelopes) == 1
    assert b"Delivered-To" not in _content(world, "b@b.example")
