"""Addresses: what passes and in which form, what is refused and in which words, and that time stays linear."""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paravion.domain import address
from paravion.domain.address import (
    Mailbox,
    check_envid,
    check_notify,
    check_orcpt,
    parse_mailboxes,
    parse_path,
    plain_path,
    shown,
    split_address,
    xtext_decode,
    xtext_encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

ATEXT = "abcXYZ019!#$%&'*+/=?^_`{|}~-"
LONG_DOMAIN = ".".join(["d" * 63] * 3)  # 191 octets


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("a@b", "a@b", id="shortest"),
        pytest.param("A.B@Example.ORG", "A.B@example.org", id="domain_lower_case_local_kept"),
        pytest.param("a@example.org.", "a@example.org", id="trailing_dot"),
        pytest.param("!#$%&'*+/=?^_`{|}~-@b.c", "!#$%&'*+/=?^_`{|}~-@b.c", id="all_atext"),
        pytest.param("SRS0=x=y=z=u+tag@b.c", "SRS0=x=y=z=u+tag@b.c", id="srs"),
        pytest.param('"a b"@b.c', '"a b"@b.c', id="quoted_space"),
        pytest.param('"a@b"@c.d', '"a@b"@c.d', id="quoted_at"),
        pytest.param(r'"a\"\\b"@c.d', r'"a\"\\b"@c.d', id="quoted_pairs"),
        pytest.param('"a"@b.c', '"a"@b.c', id="needless_quotes_stay"),
        pytest.param('""@b.c', '""@b.c', id="empty_quoted"),
        pytest.param('"<>,;:()"@b.c', '"<>,;:()"@b.c', id="quoted_specials"),
        pytest.param("a@1.example", "a@1.example", id="digit_label"),
        pytest.param("a@x--y.example", "a@x--y.example", id="hyphens"),
        pytest.param("a@[192.0.2.1]", "a@[192.0.2.1]", id="ipv4"),
        pytest.param("a@[IPv6:2001:DB8:0:0::1]", "a@[IPv6:2001:db8::1]", id="ipv6"),
        pytest.param("a@[ipv6:::ffff:192.0.2.1]", "a@[IPv6:::ffff:192.0.2.1]", id="ipv6_mapped"),
        pytest.param("a@Bücher.example", "a@xn--bcher-kva.example", id="u_label"),
        pytest.param("a@例え。テスト", "a@xn--r8jz45g.xn--zckzah", id="ideographic_dot"),
        pytest.param("a@\U0001f4a9.la", "a@xn--ls8h.la", id="emoji"),
        pytest.param("l" * 64 + "@b.c", "l" * 64 + "@b.c", id="local_64"),
        pytest.param("a@" + "d" * 63 + ".c", "a@" + "d" * 63 + ".c", id="label_63"),
        pytest.param("l" * 62 + "@" + LONG_DOMAIN, "l" * 62 + "@" + LONG_DOMAIN, id="path_254"),
    ],
)
def test_path_is_taken_and_normalised(text: str, path: str) -> None:
    """RFC 5321 4.1.2: the local part stays as it is, the domain gets its one form."""
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "address is empty", id="empty"),
        pytest.param("root", "no @ in 'root'", id="no_domain"),
        pytest.param("@b.c", "local part is empty", id="no_local"),
        pytest.param("a@", "domain is empty", id="empty_domain"),
        pytest.param("a@.", "domain is empty", id="only_a_dot"),
        pytest.param("<a@b.c>", "'<' at position 1 of the local part needs quotes", id="brackets"),
        pytest.param("a b@c.d", "' ' at position 2 of the local part needs quotes", id="space"),
        pytest.param("a@b@c.d", "'@' at position 2 of the local part needs quotes", id="two_ats"),
        pytest.param("a(x)@b.c", "'(' at position 2", id="comment"),
        pytest.param(".a@b.c", "local part has a dot at its start", id="leading_dot"),
        pytest.param("a.@b.c", "local part has a dot at its start, at its end", id="trailing_dot"),
        pytest.param("a..b@c.d", "beside another dot", id="two_dots"),
        pytest.param('"a@b.c', "opens a quote that is not closed", id="open_quote"),
        pytest.param('"a\\"@b.c', "opens a quote that is not closed", id="escaped_closing_quote"),
        pytest.param('"a"b@c.d', "goes on after its closing quote, at position 4", id="after_quote"),
        pytest.param("a@b..c", "empty label, at position 5", id="empty_label"),
        pytest.param("a@.b", "empty label, at position 3", id="leading_dot_domain"),
        pytest.param("a@b.c..", "empty label, at position 7", id="two_trailing_dots"),
        pytest.param("a@b_c.d", "'_' at position 4 does not belong in a domain", id="underscore"),
        pytest.param("a@b c", "' ' at position 4 does not belong in a domain", id="space_in_domain"),
        pytest.param("a@-b.c", "label '-b' of the domain begins or ends with a hyphen", id="hyphen_first"),
        pytest.param("a@b-.c", "begins or ends with a hyphen", id="hyphen_last"),
        pytest.param("a@192.0.2.1", "IP address is written in brackets", id="bare_ip"),
        pytest.param("a@[192.0.2.256]", "neither [IPv4] nor [IPv6:...]", id="bad_ipv4"),
        pytest.param("a@[192.0.2.01]", "neither [IPv4] nor", id="ipv4_leading_zero"),
        pytest.param("a@[2001:db8::1]", "neither [IPv4] nor", id="ipv6_without_tag"),
        pytest.param("a@[IPv6:fe80::1%eth0]", "neither [IPv4] nor", id="zone"),
        pytest.param("a@[X400:c=gb]", "neither [IPv4] nor", id="general_literal"),
        pytest.param("a@[]", "address literal is empty", id="empty_literal"),
        pytest.param("a@[192.0.2.1", "does not end with a bracket", id="open_literal"),
        pytest.param("a@b\r\nRCPT TO:<x@y>", "control character \\x0d at position 4", id="crlf_injection"),
        pytest.param('"a\n"@b.c', "control character \\x0a at position 3", id="quoted_lf"),
        pytest.param("a\x00@b.c", "control character \\x00 at position 2", id="nul"),
        pytest.param("a\x85@b.c", "control character \\x85", id="c1"),
        pytest.param("\ud800@b.c", "control character \\ud800", id="surrogate"),
        pytest.param("jörg@b.c", "the message needs SMTPUTF8", id="utf8_local"),
        pytest.param("l" * 65 + "@b.c", "local part is longer than 64 octets", id="local_65"),
        pytest.param("a@" + "d" * 64 + ".c", "is longer than 63 octets", id="label_64"),
        pytest.param("a@" + "d." * 128 + "d", "domain is longer than 255 octets", id="domain_255"),
        pytest.param("l" * 63 + "@" + LONG_DOMAIN, "address is longer than 254 octets", id="path_255"),
        pytest.param("a@" + "ü" * 5000, "address is longer than 254 octets", id="huge"),
        pytest.param("a@" + "ü" * 70 + ".c", "is longer than 63 octets", id="u_label_70"),
        pytest.param("a@straße.de", "U+00DF LATIN SMALL LETTER SHARP S", id="deviation_sharp_s"),
        pytest.param("a@βόλος.com", "U+03C2 GREEK SMALL LETTER FINAL SIGMA", id="deviation_sigma"),
        pytest.param("a@x\u200cy.com", "U+200C ZERO WIDTH NON-JOINER", id="deviation_zwnj"),
        pytest.param("a@x\u200dy.com", "U+200D ZERO WIDTH JOINER", id="deviation_zwj"),
        pytest.param("a@\u2100.com", "does not belong in a domain", id="maps_to_slash"),
        pytest.param("a@evil\u2024com", "hides a dot", id="maps_to_dot"),
        pytest.param("a@\u0627a.la", "is no IDNA label", id="bidi"),
    ],
)
def test_bad_path_is_refused_with_what_and_where(text: str, reason: str) -> None:
    """The caller reads which character at which place; the text is printable ASCII."""
    with pytest.raises(ValueError) as caught:
        parse_path(text)
    assert reason in str(caught.value)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_utf8_local_part_passes_with_smtputf8() -> None:
    """RFC 6531 3.3: characters beyond ASCII are allowed, their octets count against the 64."""
    assert parse_path("jörg@b.c", smtputf8=True) == "jörg@b.c"
    assert parse_path('"jörg ü"@b.c', smtputf8=True) == '"jörg ü"@b.c'
    with pytest.raises(ValueError, match="local part is longer"):
        parse_path("ü" * 33 + "@b.c", smtputf8=True)
    with pytest.raises(ValueError, match="254"):
        parse_path("ü" * 31 + "xx@" + LONG_DOMAIN, smtputf8=True)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        pytest.param("a@b", ("a", "b"), id="plain"),
        pytest.param('"a@b"@c', ('"a@b"', "c"), id="quoted_at"),
        pytest.param("a@[IPv6:::1]", ("a", "[IPv6:::1]"), id="literal"),
    ],
)
def test_address_splits_at_its_last_at(path: str, parts: tuple[str, str]) -> None:
    """A domain never holds an @, a quoted local part may."""
    assert split_address(path) == parts


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("bob@x.example", "bob@x.example"),
        ('"bob"@x.example', "bob@x.example"),
        ('"Bob.B+c"@x.example', "Bob.B+c@x.example"),
        (r'"b\ob"@x.example', "bob@x.example"),
        (r'"b\o\ b"@x.example', '"bo b"@x.example'),
        ('"bob."@x.example', '"bob."@x.example'),
        (r'"b\"o\\b\c"@x.example', r'"b\"o\\bc"@x.example'),
        (r'"\"bob\""@x.example', r'"\"bob\""@x.example'),
        ('"b@b"@x.example', '"b@b"@x.example'),
        ('""@x.example', '""@x.example'),
        ('"b\u00fcb"@x.example', "b\u00fcb@x.example"),
        ("", ""),
        ('"', '"'),
    ],
)
def test_mailbox_has_one_form(path: str, plain: str) -> None:
    """RFC 5321 4.1.2: quotes and backslashes that are not needed say nothing."""
    assert plain_path(path) == plain
    assert plain_path(plain) == plain
    assert not path or len(path) == 1 or parse_path(plain, smtputf8=True) == plain


def test_address_without_at_does_not_split() -> None:
    """The null reverse-path has no parts; asking is a bug."""
    with pytest.raises(ValueError, match="no @"):
        split_address("")


ATOMS = st.text(ATEXT, min_size=1, max_size=10)
QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
LOCALS = st.one_of(st.lists(ATOMS, min_size=1, max_size=4).map(".".join), QUOTED)
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
DOMAINS = st.one_of(
    st.tuples(LABELS, st.from_regex(r"[a-z]{2,6}", fullmatch=True)).map(".".join),
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.builds(ipaddress.IPv6Address, st.integers(0, 2**128 - 1))
    .filter(lambda ip: ip.ipv4_mapped is None)
    .map(lambda ip: f"[IPv6:{ip}]"),
)
PATHS = st.tuples(LOCALS, DOMAINS).map("@".join)


@given(PATHS)
def test_path_round_trip(path: str) -> None:
    """What is normal stays as it is, in an envelope and in any header form."""
    assert parse_path(path) == path
    assert "@".join(split_address(path)) == path
    octets = path.encode()
    assert parse_mailboxes(octets) == [Mailbox(b"", path)]
    assert parse_mailboxes(b"Some One <" + octets + b">, g: " + octets + b";") == [
        Mailbox(b"Some One", path),
        Mailbox(b"", path),
    ]


def _unless_refused(call: Callable[[], T]) -> T | None:
    """Call it; None when it refuses, in printable ASCII."""
    try:
        return call()
    except ValueError as exc:
        reason = str(exc)
    assert reason.isascii()
    assert reason.isprintable()
    return None


@given(st.one_of(st.text(max_size=80), st.text(max_size=20).map("a@{}.com".format)), st.booleans())
@example("a@\u3002", False)
@example("a@[IPv6:]", False)
def test_path_parser_raises_nothing_but_value_error(text: str, smtputf8: bool) -> None:
    """Whatever comes in, the result is stable and harmless, or there is a reason."""
    path = _unless_refused(lambda: parse_path(text, smtputf8=smtputf8))
    if path is None:
        return
    assert parse_path(path, smtputf8=smtputf8) == path
    assert not set(path) & set("\r\n\0")
    assert split_address(path)[1].isascii()


@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        pytest.param(b"a@b.c", [(b"", "a@b.c")], id="addr_spec"),
        pytest.param(b"<a@b.c>", [(b"", "a@b.c")], id="angle"),
        pytest.param(b"John Doe <a@b.c>", [(b"John Doe", "a@b.c")], id="phrase"),
        pytest.param(b'"Doe, John" <a@b.c>', [(b"Doe, John", "a@b.c")], id="quoted_phrase"),
        pytest.param(b'"a \\"b\\" \\\\" <a@b.c>', [(b'a "b" \\', "a@b.c")], id="quoted_pairs"),
        pytest.param(b"John Q. Public <a@b.c>", [(b"John Q. Public", "a@b.c")], id="obs_phrase_dot"),
        pytest.param(b'Giant; "Big" Box', None, id="semicolon_without_group"),
        pytest.param(b"a@b.c,d@e.f", [(b"", "a@b.c"), (b"", "d@e.f")], id="two"),
        pytest.param(b",, a@b.c ,\r\n\t,d@e.f,", [(b"", "a@b.c"), (b"", "d@e.f")], id="empty_elements"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b" , ", [], id="only_commas"),
        pytest.param(b"undisclosed-recipients:;", [], id="empty_group"),
        pytest.param(b"A Group: Ed <e@x.y>, j@x.y ;, z@x.y", [(b"Ed", "e@x.y"), (b"", "j@x.y"), (b"", "z@x.y")], id="group"),
        pytest.param(b"g:,,a@b.c,;", [(b"", "a@b.c")], id="group_with_empty_elements"),
        pytest.param(b"a@b.c (John (the \\) \\( other) Doe)", [(b"", "a@b.c")], id="comment_after"),
        pytest.param(b"(x)a(x)@(x)b(x).(x)c(x)", [(b"", "a@b.c")], id="comments_everywhere"),
        pytest.param(b"John(x)Doe <a@b.c>(y)", [(b"John Doe", "a@b.c")], id="comment_in_phrase"),
        pytest.param(b'(a@b.c, "<) x@y.z', [(b"", "x@y.z")], id="specials_in_comment"),
        pytest.param(b"John\r\n Doe\r\n <a@b.c>", [(b"John Doe", "a@b.c")], id="folded"),
        pytest.param(b'"a\r\n b"@c.d', [(b"", '"a b"@c.d')], id="folded_in_quotes"),
        pytest.param(b"X <@a.b,@c.d:e@f.g>", [(b"X", "e@f.g")], id="route"),
        pytest.param(b"<,@a.b:e@f.g>", [(b"", "e@f.g")], id="route_with_empty_element"),
        pytest.param(b"a . b @ c . d", [(b"", "a.b@c.d")], id="obs_spaces"),
        pytest.param(b'"a"."b"@c.d', [(b"", "a.b@c.d")], id="obs_local_words"),
        pytest.param(b'"a x".b@c.d', [(b"", '"a x.b"@c.d')], id="obs_local_quoted"),
        pytest.param(b'"a\\"".b@c.d', [(b"", '"a\\".b"@c.d')], id="obs_local_escaped"),
        pytest.param(b'"a b@c"@d.e', [(b"", '"a b@c"@d.e')], id="quoted_local_with_at"),
        pytest.param(b"a@[ 192.0.2.1 ]", [(b"", "a@[192.0.2.1]")], id="literal_with_space"),
        pytest.param(b"=?utf-8?Q?J=C3=B6rg?= =?x?B?eA==?= <a@b.c>", [(b"=?utf-8?Q?J=C3=B6rg?= =?x?B?eA==?=", "a@b.c")], id="encoded_words_stay"),
        pytest.param("Jörg <jörg@bücher.de>".encode(), [("Jörg".encode(), "jörg@xn--bcher-kva.de")], id="utf8"),
        pytest.param(b"J\xf6rg <a@b.c>", [(b"J\xf6rg", "a@b.c")], id="latin1_display"),
        pytest.param(b'"" <a@b.c>', [(b"", "a@b.c")], id="empty_display"),
        pytest.param(b"undisclosed-recipients: ", [], id="empty_group_without_end"),
        pytest.param(b"a@x.y, nobody:", [(b"", "a@x.y")], id="empty_group_without_end_after_another"),
        pytest.param(b"a@x.y <b@z.w>", [(b"a@x.y", "b@z.w")], id="at_in_display"),
        pytest.param(b"a@x.y, c@d.e <b@z.w>", [(b"", "a@x.y"), (b"c@d.e", "b@z.w")], id="comma_ends_a_display"),
        pytest.param(b"[x] y <b@z.w>", [(b"[x] y", "b@z.w")], id="bracket_in_display"),
        pytest.param(b"(" * 100 + b")" * 100 + b"a@b.c", [(b"", "a@b.c")], id="comment_depth_100"),
    ],
)  # fmt: skip
def test_address_list_is_read(value: bytes, mailboxes: list[tuple[bytes, str]] | None) -> None:
    """RFC 5322 3.4 with the obsolete forms of 4.4 and the groups of RFC 6854."""
    if mailboxes is None:
        with pytest.raises(ValueError, match="ends no group"):
            parse_mailboxes(value)
        return
    assert parse_mailboxes(value) == [Mailbox(*pair) for pair in mailboxes]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"root", "no domain in 'root' at position 1", id="unqualified"),
        pytest.param(b"<>", "no address in the angle brackets at position 1", id="null_path"),
        pytest.param(b"x <@a.b:>", "no address in the angle brackets", id="route_alone"),
        pytest.param(b"x <@a.b>", "no address in the angle brackets", id="route_without_colon"),
        pytest.param(b"<a@b.c", "'<' at position 1 is not closed", id="open_angle"),
        pytest.param(b"a@b.c>", "'>' at position 6 without '<'", id="closing_angle"),
        pytest.param(b"<a@b.c> <d@e.f>", "no comma before '<' at position 9", id="no_comma"),
        pytest.param(b"<a@b.c> x", "no comma before 'x' at position 9", id="text_after_angle"),
        pytest.param(b"a@b.c d@e.f", "'d' at position 7 does not belong in an address", id="space_separated"),
        pytest.param(b"a b@c.d", "'b' at position 3 does not belong", id="two_words"),
        pytest.param(b"a@x.y: b@z.w;", "':' at position 6 opens no group", id="at_in_group_name"),
        pytest.param(b"a@x.y, <b@z.w> <c@d.e>", "no comma before '<'", id="two_angle_addresses"),
        pytest.param(b"g: a@b.c", "group is not ended", id="open_group"),
        pytest.param(b"g: h: a@b.c;;", "':' at position 5 opens no group", id="nested_group"),
        pytest.param(b": a@b.c;", "':' at position 1 opens no group", id="nameless_group"),
        pytest.param(b"a@b.c;", "';' at position 6 ends no group", id="semicolon"),
        pytest.param(b"g:; a@b.c", "no comma before 'a'", id="after_group"),
        pytest.param(b'"x <a@b.c>', "quote at position 1 is not closed", id="open_quote"),
        pytest.param(b"a@[1.2.3.4", "bracket at position 3 is not closed", id="open_literal"),
        pytest.param(b"(x a@b.c", "comment at position 1 is not closed", id="open_comment"),
        pytest.param(b"(x\\) a@b.c", "comment at position 1 is not closed", id="escaped_closing_paren"),
        pytest.param(b"x) a@b.c", "')' at position 2 must be quoted", id="closing_paren"),
        pytest.param(b"a\\b@c.d", "'\\' at position 2 must be quoted", id="backslash"),
        pytest.param(b"(" * 101 + b")" * 101, "nested deeper than 100 at position 101", id="comment_depth_101"),
        pytest.param(b"a@b.c\r\nBcc: x@y.z", "control character \\x0d at position 6", id="crlf"),
        pytest.param(b'"a\nb" <a@b.c>', "control character \\x0a", id="bare_lf"),
        pytest.param(b"a\x00@b.c", "control character \\x00", id="nul"),
        pytest.param(b"a@b..c", "address at position 1: domain has an empty label", id="bad_domain"),
        pytest.param(b"ok@b.c, a..b@c.d", "address at position 9: local part has a dot", id="second_is_bad"),
        pytest.param(b"\xff@b.c", "address at position 1 is not UTF-8", id="not_utf8"),
        pytest.param(b"[1]@b.c", "'[' must be quoted in a local part", id="literal_as_local"),
        pytest.param(b"a@[192.0.2.1].x", "address literal does not end with a bracket", id="literal_with_tail"),
        pytest.param(b'a@"b"', "'b' at position 3 must not be quoted in a domain", id="quoted_domain"),
    ],
)  # fmt: skip
def test_bad_address_list_is_refused_with_what_and_where(value: bytes, reason: str) -> None:
    """No address is guessed; the text names the place."""
    with pytest.raises(ValueError) as caught:
        parse_mailboxes(value)
    assert reason in str(caught.value)
    assert str(caught.value).isascii()


HOSTILE = st.one_of(
    st.binary(max_size=60),
    st.text('ab@.<>:;,()[]"\\ \t\r\n', max_size=60).map(str.encode),
)


@given(HOSTILE)
def test_list_parser_raises_nothing_but_value_error(value: bytes) -> None:
    """Whatever comes in: addresses that pass as paths, or a reason in printable ASCII."""
    for mailbox in _unless_refused(lambda: parse_mailboxes(value)) or []:
        assert parse_path(mailbox.address, smtputf8=True) == mailbox.address
        assert not set(mailbox.display) & set(b"\r\n\0")


def _lines_run(value: bytes) -> int:
    """Count the parser's lines that Python runs: a measure that no busy machine and no collected garbage disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: object) -> object:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == address.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        parse_mailboxes(value)
    except ValueError:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(b"a@b.c,", id="addresses"),
        pytest.param(b"a ", id="words"),
        pytest.param(b"a.", id="dots"),
        pytest.param(b"(x)", id="comments"),
        pytest.param(b"()(", id="comments_that_nest"),
        pytest.param(b"<", id="angles"),
        pytest.param(b"g:;,", id="groups"),
        pytest.param(b'"\\""', id="quotes"),
        pytest.param(b"<@a,", id="routes"),
        pytest.param(b"[", id="brackets"),
        pytest.param(b'"', id="quote_marks"),
    ],
)
def test_list_parser_is_linear(unit: bytes) -> None:
    """Twice the input is at most about twice the work, for whatever is repeated."""
    once, twice = _lines_run(unit * 500), _lines_run(unit * 1000)
    assert twice <= 2 * once + 50


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=40))
def test_xtext_round_trip(text: str) -> None:
    """RFC 3461 4: what was encoded is ASCII without space, + and =, and decodes to itself."""
    encoded = xtext_encode(text)
    assert all("!" <= c <= "~" and c != "=" for c in encoded)
    assert xtext_decode(encoded) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("a b", "' ' at position 2 is not xtext", id="space"),
        pytest.param("a=b", "'=' at position 2", id="equals"),
        pytest.param("a+2", "'+' at position 2", id="short_hex"),
        pytest.param("a+2b", "'+' at position 2", id="lower_case_hex"),
        pytest.param("ü", "at position 1 is not xtext", id="not_ascii"),
        pytest.param("a+0D+0Ab", "hides control character \\x0d", id="hidden_crlf"),
        pytest.param("a+FF", "not UTF-8", id="not_utf8"),
    ],
)
def test_bad_xtext_is_refused(text: str, reason: str) -> None:
    """A hidden CR or LF would end up in a DSN's fields."""
    with pytest.raises(ValueError) as caught:
        xtext_decode(text)
    assert reason in str(caught.value)


def test_control_characters_are_not_encoded() -> None:
    """They have no business in an address or an id, encoded or not."""
    with pytest.raises(ValueError, match="control character"):
        xtext_encode("a\r\nb")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("rfc822;a@b.c", "", id="plain"),
        pytest.param("rfc822;a+2Bb@b.c", "", id="encoded_plus"),
        pytest.param("utf-8;j+C3+B6rg@b.c", "", id="utf8_xtext"),
        pytest.param(r"utf-8;j\x{F6}rg@b.c", "", id="utf8_addr_xtext"),
        pytest.param("rfc822;" + "a" * 493, "", id="500"),
        pytest.param("rfc822;" + "a" * 494, "longer than 500", id="501"),
        pytest.param("a@b.c", "not of the form addr-type;address", id="no_type"),
        pytest.param(";a@b.c", "not of the form", id="empty_type"),
        pytest.param("rfc 822;a", "not of the form", id="bad_type"),
        pytest.param("rfc822;", "ORCPT has no address", id="no_address"),
        pytest.param("rfc822;a b", "ORCPT: ' ' at position 2", id="space"),
        pytest.param("rfc822;a\r\nb", "ORCPT: '\\x0d' at position 2", id="injection"),
        pytest.param("rfc822;a+0A", "hides control character", id="hidden_injection"),
    ],
)
def test_orcpt(text: str, reason: str) -> None:
    """RFC 3461 4.2: it comes back as given, or the refusal says why."""
    if not reason:
        assert check_orcpt(text) == text
        return
    with pytest.raises(ValueError) as caught:
        check_orcpt(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("words", "checked"),
    [
        pytest.param([], (), id="default"),
        pytest.param(["NEVER"], ("NEVER",), id="never"),
        pytest.param(["never", "NEVER"], ("NEVER",), id="never_twice"),
        pytest.param(["delay", "Success", "delay"], ("SUCCESS", "DELAY"), id="order_and_case"),
    ],
)
def test_notify(words: list[str], checked: tuple[str, ...]) -> None:
    """RFC 3461 4.1: words compare without case, order means nothing."""
    assert check_notify(words) == checked


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["NEVER", "DELAY"], "NEVER stands alone", id="never_and_more"),
        pytest.param(["SOMETIMES"], "'SOMETIMES' is none of", id="unknown"),
        pytest.param([""], "'' is none of", id="empty_word"),
    ],
)
def test_bad_notify_is_refused(words: list[str], reason: str) -> None:
    """The refusal names the word."""
    with pytest.raises(ValueError, match=reason):
        check_notify(words)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "", id="none"),
        pytest.param("QQ314159", "", id="plain"),
        pytest.param("x" * 100, "", id="100"),
        pytest.param("x" * 101, "longer than 100", id="101"),
        pytest.param("a b", "ENVID: ' ' at position 2", id="space"),
        pytest.param("+C3+BC", "not ASCII", id="hidden_utf8"),
    ],
)
def test_envid(text: str, reason: str) -> None:
    """RFC 3461 4.4: at most 100 characters of xtext around printable ASCII."""
    if not reason:
        assert check_envid(text) == text
        return
    with pytest.raises(ValueError, match=reason):
        check_envid(text)


@given(st.one_of(st.text(), st.binary()))
def test_shown_text_is_harmless(text: str | bytes) -> None:
    """An error's detail is printable ASCII of bounded length."""
    result = shown(text, 20)
    assert result.isascii()
    assert result == "" or result.isprintable()
    assert len(result) <= 20 * 10 + 3


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_line_separator_in_a_local_part_is_refused(separator: str) -> None:
    """Found by fuzzing: RFC 6531 admits U+2028, and whoever splits a log or a list into lines would see two."""
    with pytest.raises(ValueError, match="control character"):
        parse_path(f"a{separator}b@x.example", smtputf8=True)
