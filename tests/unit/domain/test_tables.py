"""Table files: what each line means, and that a bad one names itself and stops all."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain import table_pages, tables
from paravion.domain.refusal import Refusal
from paravion.domain.tables import BadTable, parse_table
from paravion.domain.target import AllowedTargets


def _parse(kind: str, text: str) -> dict[str, str]:
    return parse_table(kind, [("file", text.encode())], ("local.example",))


def test_aliases_in_all_their_forms() -> None:
    """aliases(5): comments, continuation, quoting, names with display, includes, owners."""
    found = _parse(
        "aliases",
        "# comment\nMAILER-DAEMON: postmaster\n\npostmaster : root,\n\t Admin@EXAMPLE.org ,\n  wise@x.org\n"
        '"quoted+name": "Doe, J." <j@x.org>, \\j, a@x.org (comment, here)\nlist: :include:/etc/mail/list\r\nowner-list: j\n',
    )
    assert found == {
        "mailer-daemon": "postmaster",
        "postmaster": "root\nAdmin@example.org\nwise@x.org",
        "quoted+name": "j@x.org\n\\j\na@x.org",
        "list": ":include:etc/mail/list",
        "owner-list": "j",
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("name", "no colon"),
        ("a@b.org: c", "belongs into the virtusertable"),
        ("a b: c", "not a local name"),
        ("a:", "no target"),
        ("a: , ,", "no target"),
        ("a: |/bin/x", "programs are never run here"),
        ('a: "|/bin/x -y, z"', "programs are never run here"),
        ("a: /var/mail/x", "never written to files"),
        ("a: |/bin/x", r"lambda:NAME.*sqs:ARN.*sns:ARN.*webhook"),
        ("a: /var/mail/x", r"lambda:NAME.*sqs:ARN.*sns:ARN.*webhook"),
        ("a: lambda:f", "alias_target_arns"),
        ("a: lambda:", "a function is lambda:NAME or"),
        ("a: lambda:f\nb: lambda:arn:aws:lambda:eu-west-1:1:function:f", "file:2: .*a function is lambda:NAME or"),
        ("a: sns:arn:aws:sns:x", "a topic is sns:ARN"),
        ("a: sns:arn:aws:sns:eu-west-1:123456789012:t", "alias_target_arns"),
        ("a: sqs:https://q", "a queue is sqs:ARN or sqs:URL"),
        ("a: x@y.org\nb: c, sqs:https://sqs.eu-west-1.amazonaws.com/123456789012/q", "file:2: .*alias_target_arns"),
        ("a: https://h/x", "webhook_hosts"),
        ("a: https://u:p@h/x", "scheme://host"),
        ("a: http://h/x", "must be https://"),
        ("a: b@", "domain is empty"),
        ("a: b c", "'b c'"),
        ('a: "b', "not closed"),
        ("a: <b@c.org", "not closed"),
        ("a: :include:", "':include:'"),
        ("a: :include:../../x", "include"),
        ('"a: b', "quoted name"),
        ("a: b\na: c", "there already, at file:1"),
        (" a: b", "continues nothing"),
        ("a: b\x01", "control character"),
        ("a: " + "b@c.org, " * 3000, "longer than 16384"),
        ("a: b@c.org,\n" + " d@e.org,\n" * 3000, "longer than 16384"),
        ("a: b\nb: c\nc: a", "alias loop: a -> b -> c -> a"),
        ("a: b@local.example\nb: x@y.org, a", "alias loop"),
    ],
)
def test_bad_alias_names_file_line_and_reason(line: str, words: str) -> None:
    """One clear line; nothing of the table."""
    with pytest.raises(BadTable, match=words) as caught:
        _parse("aliases", line)
    assert all(problem.startswith("file:") for problem in caught.value.problems)
    assert all(problem.isascii() and problem.isprintable() for problem in caught.value.problems)


ALLOWED = AllowedTargets(
    ("arn:aws:lambda:eu-west-1:123456789012:function:f", "arn:aws:sqs:eu-west-1:123456789012:q"), ("h.example:8443",)
)


def test_allowed_targets_are_read_in_their_normal_form() -> None:
    """In aliases and in lists; a comma in a URL is quoted."""
    text = b'a: LAMBDA:f, b@c.org, sqs:https://sqs.eu-west-1.amazonaws.com/123456789012/q\nh: "HTTPS://H.example:8443/X?y=1,2"\n'
    assert parse_table("aliases", [("file", text)], ("local.example",), allowed=ALLOWED) == {
        "a": "lambda:f\nb@c.org\nsqs:arn:aws:sqs:eu-west-1:123456789012:q",
        "h": "https://h.example:8443/X?y=1,2",
    }
    members = parse_table("include/x", [("file", b"lambda:f\nx@y.org\n")], allowed=ALLOWED)
    assert list(members.values()) == ["lambda:f", "x@y.org"]
    with pytest.raises(BadTable, match="file:2: 'lambda:g': it is not in the setting alias_target_arns"):
        parse_table("include/x", [("file", b"x@y.org\nlambda:g\n")], allowed=ALLOWED)


@pytest.mark.parametrize("value", ["lambda:f", "https://h.example:8443/", "sqs:arn:aws:sqs:eu-west-1:123456789012:q"])
def test_targets_stand_in_aliases_only(value: str) -> None:
    """A virtual user names a local name, which then may be an alias."""
    with pytest.raises(BadTable, match="a target stands in the aliases"):
        parse_table("virtusertable", [("file", f"x@y.org {value}".encode())], allowed=ALLOWED)


def test_one_bad_line_among_many_is_found_and_nothing_is_taken() -> None:
    """10^5 lines, one bad: named by its number, in linear time."""
    lines = [f"user{n}: someone{n}@example.org" for n in range(100_000)]
    lines[77_776] = "this is no alias"
    began = time.process_time()
    with pytest.raises(BadTable) as caught:
        _parse("aliases", "\n".join(lines))
    assert caught.value.problems == ("file:77777: no colon after the alias's name",)
    assert time.process_time() - began < 15


def test_many_problems_are_counted_and_the_first_told() -> None:
    """A wrong file must not become a megabyte of errors."""
    with pytest.raises(BadTable, match="and 980 more") as caught:
        _parse("aliases", "bad\n" * 1000)
    assert (len(caught.value.problems), caught.value.count) == (20, 1000)


def test_list_of_a_million_members_is_refused_by_its_limit() -> None:
    """Bounded: told at the first line too many."""
    octets = b"".join(b"u%d@example.org\n" % n for n in range(1_000_000))
    with pytest.raises(BadTable, match="file:1001: more than 1000 members"):
        parse_table("include/x", [("file", octets)], (), 1000)


def test_long_alias_chains_are_checked_without_recursion() -> None:
    """Far more aliases, each leading to the next, than a stack is deep."""
    text = "".join(f"a{n}: a{n + 1}\n" for n in range(20_000))
    assert len(_parse("aliases", text)) == 20_000
    with pytest.raises(BadTable, match=r"alias loop: .*\.\.\."):
        _parse("aliases", text + "a20000: a0\n")


def test_several_files_are_one_table() -> None:
    """A key twice is told with both places."""
    with pytest.raises(BadTable, match="two:1: a is there already, at one:2"):
        parse_table("aliases", [("one", b"x: y\na: b\n"), ("two", b"a: c\n")])


@pytest.mark.parametrize(
    ("kind", "line", "entry"),
    [
        ("virtusertable", "A@B.org\tc@d.org", ("a@b.org", "c@d.org")),
        ("virtusertable", "@b.org %1%3@d.org", ("@b.org", "%1%3@d.org")),
        ("virtusertable", "x++*@b.org y", ("x++@b.org", "y")),
        ("virtusertable", "x@b.org error:5.7.0:550 Go away", ("x@b.org", "error:550 5.7.0 Go away")),
        ("virtusertable", "x@b.org error:5.1.1 Gone", ("x@b.org", "error:550 5.1.1 Gone")),
        ("virtusertable", "x@b.org error:nouser No such user", ("x@b.org", "error:550 5.1.1 No such user")),
        ("virtusertable", "x@b.org error:nouser 553 Never", ("x@b.org", "error:553 5.1.1 Never")),
        ("virtusertable", "x@bücher.example y", ("x@xn--bcher-kva.example", "y")),
        ("genericstable", "joe Joe.Doe@x.org", ("joe", "Joe.Doe@x.org")),
        ("genericstable", "joe@H.x.org j@x.org", ("joe@h.x.org", "j@x.org")),
        ("access", "Connect:192.0.2 REJECT", ("connect:192.0.2", "REJECT")),
        ("access", "IPv6:2001:db8 reject", ("ipv6:2001:db8", "REJECT")),
        ("access", "To:a@b.org ERROR:5.7.1:550 no", ("to:a@b.org", "ERROR:550 5.7.1 no")),
        ("access", 'x.org ERROR:"4.2.1:450 later"', ("x.org", "ERROR:450 4.2.1 later")),
        ("access", "spam@ 550 No spam", ("spam@", "ERROR:550 5.7.1 No spam")),
        ("access", "From:x.org OK", ("from:x.org", "OK")),
        ("mailertable", ".x.org esmtp:[h.y.org]:2525", (".x.org", "smtp:[h.y.org]:2525")),
        ("mailertable", ". smtp:hub.y.org", (".", "smtp:hub.y.org")),
        ("mailertable", "x.org relay:[10.0.0.1]", ("x.org", "smtp:[10.0.0.1]")),
        ("mailertable", "x.org discard:", ("x.org", "discard:")),
        ("mailertable", "x.org error:5.1.2 no", ("x.org", "error:550 5.1.2 no")),
    ],
)  # fmt: skip
def test_line_of_each_table(kind: str, line: str, entry: tuple[str, str]) -> None:
    """cf/README's forms, normalised."""
    assert dict([entry]) == _parse(kind, line)


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("virtusertable", "a b", "no @"),
        ("virtusertable", "a@b.org", "nothing on the right"),
        ("virtusertable", " a@b.org c", "begins with white space"),
        ("virtusertable", "a@b.org c d", "one address"),
        ("virtusertable", "a@b.org %4@c.org", "after %"),
        ("virtusertable", "a@b.org error:whatever", "must be error:"),
        ("virtusertable", "a@b.org error:5.1.1:450 x", "different classes"),
        ("virtusertable", "a@b.org |x", "programs"),
        ("virtusertable", "a@-b.org x", "not a domain"),
        ("genericstable", "a b", "whole address"),
        ("genericstable", "@x.org a@b.org", "user or user@domain"),
        ("access", "x.org MAYBE", "OK, RELAY, REJECT"),
        ("access", "x.org QUARANTINE:", "printable ASCII"),
        ("access", "Server:x.org QUARANTINE:why", "held before it is routed"),
        ("access", "Spam:x.org FRIEND", "only Connect:"),
        ("access", "From: REJECT", "nothing after the tag"),
        ("mailertable", "x.org host", "must be mailer:host"),
        ("mailertable", "x.org local:", "not offered"),
        ("mailertable", "x.org smtp:h:99999", "must be host"),
        ("mailertable", "x.org smtp:", "must be host"),
    ],
)
def test_bad_line_of_each_table(kind: str, line: str, words: str) -> None:
    """What can't be honoured is refused when it is loaded."""
    with pytest.raises(BadTable, match=words):
        _parse(kind, line)


def test_unknown_kind_is_the_callers_fault() -> None:
    """No file could be right."""
    with pytest.raises(ValueError, match="no kind"):
        parse_table("nosuch", [("f", b"")])


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='ab@.:,"<>()\\|/%+*# \t123errotomin', max_size=60).map(str.encode),
        st.sampled_from([b"a: b", b"x@y.org z", b"From:x.org REJECT", b". smtp:h", b"a: :include:/x", b" c,"]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("kind", [*tables.KINDS, "include/x"])
@settings(max_examples=300, deadline=None)
@given(lines=_LINES)
def test_any_octets_give_a_table_or_the_one_error(kind: str, lines: list[bytes]) -> None:
    """Never another exception; and what is taken can be stored, found and read again."""
    try:
        entries = parse_table(kind, [("f", b"\n".join(lines))], ("local.example",))
    except BadTable as exc:
        bad = exc
    else:
        bad = None
    if bad is not None:
        assert bad.problems
        assert all(text.isascii() and text.isprintable() for text in bad.problems)
        return
    pages = table_pages.paginate(kind, entries)
    merged: dict[str, str] = {}
    for page in pages:
        merged |= page
    assert merged == entries
    for value in entries.values():
        if value.startswith(("error:", "ERROR:")):
            Refusal.parse(value[6:])


def test_pages_stay_small_whatever_the_entries() -> None:
    """Large entries that meet in a page make more pages."""
    entries = {f"k{n}": "x" * 16_000 for n in range(400)}
    for page in table_pages.paginate("aliases", entries):
        assert sum(len(k) + len(v) for k, v in page.items()) <= table_pages.LARGEST_PAGE


def test_parser_is_linear_in_hostile_lines() -> None:
    """Quotes, brackets and commas without end."""
    for piece in ('"', "(", "<", ",", "\\", "a,", '"",', "%1"):
        text = "a: " + piece * 16_000
        for kind in tables.KINDS:
            began = time.process_time()
            with suppress(BadTable):
                _parse(kind, text)
            assert time.process_time() - began < 2


def test_route_whose_credential_is_not_there_is_refused_by_line():
    """Each name is asked about once; nothing is asked while no route names one."""
    asked = []

    def has(name):
        asked.append(name)
        return name == "ses"

    text = b"a.org smtp:[a.org] auth=ses\nb.org smtp:[a.org] auth=no, [b.org] auth=ses\nc.org smtp:[c.org] auth=no\n"
    with pytest.raises(BadTable) as caught:
        parse_table("mailertable", [("f", text)], has_credential=has)
    assert [problem.partition(" auth")[0] for problem in caught.value.problems] == ["f:2:", "f:3:"]
    assert asked == ["ses", "no"]
    assert parse_table("mailertable", [("f", b"a.org smtp:[a.org] auth=ses\n")], has_credential=has)
    assert parse_table("mailertable", [("f", text)])
    asked.clear()
    parse_table("mailertable", [("f", b"a.org smtp:[a.org]\n")], has_credential=has)
    assert not asked
