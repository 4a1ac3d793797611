"""Signatures: what dkimpy verifies, what the canonical forms are, and what the field looks like."""

from __future__ import annotations

import hashlib
import re

import dkim as dkimpy
import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.adapters.dkim_keygen import new_private_key
from paravion.domain import dkim
from paravion.domain.headers import split_header
from tests.support.dkim_keys import answering, fixed_private_key, verified

NOW = 1_600_000_000.0
PRIVATE = {algorithm: fixed_private_key(algorithm) for algorithm in dkim.ALGORITHMS}
SELECTORS = {dkim.RSA: "r1", dkim.ED25519: "e1"}
KEYS = [dkim.load_key("example.org", SELECTORS[a], a, PRIVATE[a]) for a in dkim.ALGORITHMS]
RECORDS = {f"{SELECTORS[a]}._domainkey.example.org": dkim.public_record(a, PRIVATE[a]) for a in dkim.ALGORITHMS}
HEADER = b"From: me@example.org\r\nTo: a@b.example,\r\n\tc@d.example\r\nSubject:  x\t  y \r\nDate: now\r\n"


def signed(header: bytes, body: bytes) -> bytes:
    """Give the whole message with its signatures."""
    return dkim.sign(split_header(header), dkim.body_hash(body), KEYS, now=NOW) + header + b"\r\n" + body


def h_tag(content: bytes) -> list[bytes]:
    """Give the names that the first signature covers."""
    tag = re.search(rb"h=([^;]*);", content)
    return re.sub(rb"\s", b"", tag[1]).split(b":")


BODIES = {
    "empty": b"",
    "one line": b"hello\r\n",
    "white space at line ends": b"a \t \r\nb\t\r\n",
    "runs of white space": b"a  b\t\tc \t d\r\n",
    "empty lines at the end": b"a\r\n\r\n\r\n\r\n",
    "lines of white space at the end": b"a\r\n \t\r\n  \r\n",
    "empty lines only": b"\r\n\r\n",
    "white space lines only": b"  \r\n\t\r\n",
    "white space at a line's beginning": b"  a\r\n\t\tb\r\n",
    "octets over 127": "für\r\n".encode() + b"\xff\xfe\r\n",
    "dots": b".\r\n..\r\n",
    "a long run": b"a" + b" " * 3_000 + b"b\r\n",
    "empty lines across pieces": b"a\r\n" + b"\r\n" * 200_000 + b"b\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_both_signatures_are_verified(body):
    """RFC 6376 3.4.4's corners, by a verifier that is not ours."""
    assert verified(signed(HEADER, body), RECORDS) == [True, True]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_without_its_last_crlf_hashes_as_with_it(body):
    """DATA adds it on the way (RFC 5321 4.1.1.4)."""
    assert dkim.body_hash(body.removesuffix(b"\r\n")) == dkim.body_hash(body) or body.endswith(b"\r\n\r\n")


def test_empty_body_has_rfc_6376s_hash():
    """RFC 6376 3.4.4: the SHA-256 of the empty body in relaxed form."""
    assert dkim.body_hash(b"") == hashlib.sha256(b"").digest() == dkim.body_hash(b"\r\n \r\n")


LINES = st.lists(st.text(alphabet="ab \t.=é", max_size=8).map(str.encode), max_size=8)
SOUP = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"  \r\n", b"\r\n\r\n", b"\xc3", b"."]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(st.one_of(LINES.map(b"\r\n".join), SOUP.map(b"".join)), st.lists(st.integers(0, 60), max_size=8))
def test_body_hash_is_dkimpys_whatever_the_pieces(body, cuts):
    """The incremental form agrees with a whole-body implementation, at every cut."""
    hashed, start = dkim.BodyHash(), 0
    for cut in sorted(cuts):
        hashed.feed(body[start:cut])
        start = max(start, cut)
    hashed.feed(body[start:])
    expected = Relaxed.canonicalize_body(body + b"\r\n" if body else b"")
    expected = b"" if expected == b"\r\n" else expected
    assert hashed.digest() == hashlib.sha256(expected).digest()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b" ", b"\r\n"]), max_size=20), st.integers(0, 30))
def test_bare_cr_and_lf_are_text_whatever_the_pieces(parts, cut):
    """No message of ours holds them; a hash that depended on the pieces would hide that something went wrong."""
    body = b"".join(parts)
    hashed = dkim.BodyHash()
    hashed.feed(body[:cut])
    hashed.feed(body[cut:])
    one_by_one = dkim.BodyHash()
    for n in range(len(body)):
        one_by_one.feed(body[n : n + 1])
    assert dkim.body_hash(body) == hashed.digest() == one_by_one.digest()


NAMES = st.sampled_from(["From", "to", "SUBJECT", "X-Mine", "List-Unsubscribe", "List-Id", "Sender", "Received"])
WORDS = st.text(alphabet="ab:;=\t é<>@", min_size=0, max_size=12)
FOLDS = st.lists(WORDS.filter(lambda word: word.strip(" \t")), max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, FOLDS), max_size=10), SOUP)
def test_generated_messages_are_verified(fields, parts):
    """Folded, repeated and empty fields, any body: both signatures hold."""
    lines = [f"{name}:{separator.join(folds)}" for name, folds in fields for separator in ("\r\n ",)]
    header = "\r\n".join([*lines, "From: me@example.org", ""]).encode()
    assert verified(signed(header, b"".join(parts) + b"\r\n"), RECORDS) == [True, True]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Content-Type",
                        "MIME-Version", "List-Unsubscribe", "List-Unsubscribe-Post"]))  # fmt: skip
def test_added_field_breaks_both_signatures(name):
    """Oversigning: another From, Subject ... cannot be put above or below (RFC 6376 8.15)."""
    header = (
        HEADER + b"List-Unsubscribe: <https://e.example/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )
    content = signed(header, b"x\r\n")
    assert verified(content, RECORDS) == [True, True]
    added = f"{name}: more\r\n".encode()
    assert verified(added + content, RECORDS) == [False, False]
    assert verified(content.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1), RECORDS) == [False, False]


def test_what_is_signed_how_often():
    """From once more than it is there; other fields as they are; trace fields and unknown ones never."""
    header = b"Received: x\r\n" + HEADER + b"Sender: s@example.org\r\nX-Mine: 1\r\nList-Unsubscribe: <https://u>\r\n"
    names = h_tag(signed(header, b""))
    counts = {
        name: names.count(name) for name in (b"from", b"cc", b"sender", b"list-unsubscribe", b"list-unsubscribe-post")
    }
    assert {b"from": 2, b"cc": 1, b"sender": 1, b"list-unsubscribe": 2, b"list-unsubscribe-post": 0} == counts
    assert b"received" not in names
    assert b"x-mine" not in names


def test_fields_added_by_hops_do_not_break():
    """Received and unknown fields above, a list's own fields: the signatures live."""
    content = signed(HEADER, b"x\r\n")
    assert verified(b"Received: by b\r\nX-Spam: no\r\nList-Id: <l>\r\nSender: list@x\r\n" + content, RECORDS)[:2] == [
        True,
        True,
    ]


def test_changed_body_breaks_both():
    """The hash is of the body."""
    for content in (signed(HEADER, b"x\r\n") + b"y\r\n", signed(HEADER, b"pay 1\r\n").replace(b"pay 1", b"pay 9")):
        for n in (0, 1):
            with pytest.raises(dkimpy.ValidationError, match="body hash"):
                dkimpy.DKIM(content).verify(n, dnsfunc=answering(RECORDS))


@pytest.mark.parametrize(
    "body", [b"a" + b" " * 1_000_000 + b"b", b"\r\n" * 500_000 + b"a", b" \t" * 500_000, b" \r\n" * 300_000]
)
def test_hostile_bodies_take_linear_time(body):
    """A megabyte of white space, at which patterns go quadratic, is hashed like any other."""
    lines = [b" ".join(line.replace(b"\t", b" ").split(b" ")).rstrip(b" ") for line in body.split(b"\r\n")]
    text = re.sub(rb" +", b" ", b"\r\n".join(lines)).rstrip(b"\r\n ")
    assert dkim.body_hash(body) == hashlib.sha256(text + b"\r\n" if text else b"").digest()


def test_field_is_folded_and_says_what_it_is():
    """Lines below 78 columns, one field for each key in their order, t= from the given time."""
    keys = [
        dkim.load_key("a-rather-long-label." * 10 + "example.org", "s" * 60, a, PRIVATE[a]) for a in dkim.ALGORITHMS
    ]
    fields = dkim.sign(split_header(HEADER), dkim.body_hash(b""), keys, now=NOW + 0.9)
    assert [line for line in fields.split(b"\r\n") if len(line) > 77 and b"d=" not in line] == []
    assert re.findall(rb"a=([^;]+);", fields) == [b"rsa-sha256", b"ed25519-sha256"]
    assert fields.count(b"t=1600000000;") == 2
    assert fields.endswith(b"\r\n")
    short = dkim.sign(split_header(HEADER), dkim.body_hash(b""), KEYS, now=NOW)
    assert max(map(len, short.split(b"\r\n"))) <= 77


def test_signing_the_same_twice_gives_the_same():
    """Both algorithms are deterministic: a repeated report is the same octets."""
    assert signed(HEADER, b"x\r\n") == signed(HEADER, b"x\r\n")


def test_without_keys_there_is_no_field():
    """Nothing to put on top."""
    assert dkim.sign(split_header(HEADER), dkim.body_hash(b""), [], now=NOW) == b""


@pytest.mark.parametrize(("algorithm", "private"), [("rsa-sha1", b"x"), (dkim.RSA, b"x"), (dkim.ED25519, b"short")])
def test_what_is_no_key_is_refused(algorithm, private):
    """By a ValueError, whatever the library says."""
    with pytest.raises(ValueError):
        dkim.load_key("example.org", "s", algorithm, private)


def test_another_kind_of_key_is_no_rsa_key():
    """PKCS#8 of an elliptic curve under rsa-sha256."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="not an RSA key"):
        dkim.load_key("example.org", "s", dkim.RSA, private)
    with pytest.raises(ValueError, match="no algorithm"):
        new_private_key("rsa-sha1")


def test_key_does_not_show_itself():
    """A log line with a key in it tells nothing."""
    assert "sign" not in repr(KEYS[0])
