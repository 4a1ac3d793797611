"""SASL's client side against the vectors of its RFCs, and against hosts that lie."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.sasl import (
    MECHANISMS,
    Credential,
    SaslError,
    begin,
    choose,
    credential,
    parse_credential,
    saslprep,
)

WHO = Credential("user", "pencil")
NONCE = "rOprNGfwEbeRWgbNEkqO"
FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
PROOF = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
LAST = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_scram_says_what_rfc_7677_says():
    """RFC 7677 3: the whole exchange."""
    exchange = begin("SCRAM-SHA-256", WHO, NONCE)
    assert exchange.initial == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.answer(FIRST) == PROOF
    assert not exchange.is_proved
    assert exchange.answer(LAST) == b""
    assert exchange.is_proved
    with pytest.raises(SaslError):
        exchange.answer(LAST)


BAD_FIRST = {
    "nonce_not_ours": FIRST.replace(b"rOprN", b"xOprN"),
    "nonce_not_extended": b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "too_few_iterations": FIRST.replace(b"4096", b"4095"),
    "too_many_iterations": FIRST.replace(b"4096", b"600001"),
    "absurd_iterations": FIRST.replace(b"4096", b"9" * 40),
    "salt_malformed": FIRST.replace(b"gQ==", b"gQ="),
    "extension": b"m=x," + FIRST,
    "empty": b"",
    "garbage": b"\xff\x00",
}


@pytest.mark.parametrize("key", BAD_FIRST)
def test_scram_refuses_a_first_message_that_is_none(key):
    """RFC 5802 5.1: the nonce goes on from ours, `m=` is refused; RFC 7677 4: at least 4096 iterations."""
    with pytest.raises(SaslError) as caught:
        begin("SCRAM-SHA-256", WHO, NONCE).answer(BAD_FIRST[key])
    assert "pencil" not in str(caught.value)


@pytest.mark.parametrize("last", [b"", b"v=", LAST.replace(b"6", b"7"), b"v=AAAA", b"x", b"\xff"])
def test_scram_refuses_a_host_that_does_not_know_the_password(last):
    """RFC 5802 3: the host's signature is checked."""
    exchange = begin("SCRAM-SHA-256", WHO, NONCE)
    exchange.answer(FIRST)
    with pytest.raises(SaslError, match="did not prove"):
        exchange.answer(last)
    assert not exchange.is_proved


def test_scram_lets_the_host_say_its_error():
    """RFC 5802 7 server-error: the refusal comes as a reply of SMTP, after an empty answer."""
    exchange = begin("SCRAM-SHA-256", WHO, NONCE)
    exchange.answer(FIRST)
    assert (exchange.answer(b"e=invalid-proof"), exchange.is_proved) == (b"", False)


def test_scram_escapes_the_user():
    """RFC 5802 5.1: `,` and `=` of a name are written =2C and =3D."""
    assert begin("SCRAM-SHA-256", Credential("a=b,c", "x"), "n").initial == b"n,,n=a=3Db=2Cc,r=n"


def test_plain_says_what_rfc_4616_says():
    """RFC 4616 4: an empty authorisation identity, user, password."""
    exchange = begin("PLAIN", Credential("tim", "tanstaaftanstaaf"), "")
    assert exchange.initial == b"\0tim\0tanstaaftanstaaf"
    assert exchange.is_proved
    with pytest.raises(SaslError):
        exchange.answer(b"")


def test_login_answers_two_questions():
    """The host speaks first, in whatever words."""
    exchange = begin("LOGIN", WHO, "")
    assert exchange.initial is None
    assert [exchange.answer(b"User Name\0"), exchange.answer(b"")] == [b"user", b"pencil"]
    with pytest.raises(SaslError):
        exchange.answer(b"Password:")


def test_xoauth2_says_what_google_says():
    """The example of Google's description; an error challenge gets one empty answer."""
    exchange = begin(
        "XOAUTH2", Credential("someuser@example.com", token="vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="), ""
    )
    expected = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ=="
    assert expected == base64.b64encode(exchange.initial).decode()
    assert exchange.answer(b'{"status":"401"}') == b""
    with pytest.raises(SaslError):
        exchange.answer(b"again")


TOKEN = Credential("u", token="t")
CHOICES = {
    "strongest": (WHO, ["LOGIN", "PLAIN", "SCRAM-SHA-256"], "SCRAM-SHA-256"),
    "plain_before_login": (WHO, ["LOGIN", "PLAIN"], "PLAIN"),
    "login": (WHO, ["GSSAPI", "LOGIN"], "LOGIN"),
    "none": (WHO, ["GSSAPI", "CRAM-MD5", "XOAUTH2"], ""),
    "nothing_offered": (WHO, [], ""),
    "forced": (Credential("u", "p", mechanism="LOGIN"), ["PLAIN", "LOGIN", "SCRAM-SHA-256"], "LOGIN"),
    "forced_not_offered": (Credential("u", "p", mechanism="SCRAM-SHA-256"), ["PLAIN"], ""),
    "token": (TOKEN, ["PLAIN", "XOAUTH2"], "XOAUTH2"),
    "token_never_as_password": (TOKEN, ["PLAIN", "LOGIN", "SCRAM-SHA-256"], ""),
}


@pytest.mark.parametrize("key", CHOICES)
def test_mechanism_is_chosen_strongest_first(key):
    """Of what the host offers and the credential can use; a forced one or none."""
    who, offered, expected = CHOICES[key]
    assert expected == choose(who, offered)


PREPARED = {
    "mapped_to_nothing": ("I\u00adX", "IX"),
    "ascii": ("user", "user"),
    "case_stays": ("USER", "USER"),
    "nfkc": ("\u00aa", "a"),
    "nfkc_roman": ("\u2168", "IX"),
    "space": ("a\u00a0b", "a b"),
    "right_to_left": ("\u0627\u0628", "\u0627\u0628"),
}


@pytest.mark.parametrize("key", PREPARED)
def test_saslprep_gives_what_rfc_4013_gives(key):
    """RFC 4013 3, examples."""
    text, expected = PREPARED[key]
    assert expected == saslprep(text)


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "\u0627a\u0627", "\ue000", "\u200ex"])
def test_saslprep_refuses_what_rfc_4013_refuses(text):
    """RFC 4013 2.3 and 2.4."""
    with pytest.raises(SaslError):
        saslprep(text)


BAD = {
    "no_user": {"password": "x"},
    "no_secret": {"user": "u"},
    "both": {"user": "u", "password": "secret", "token": "t"},
    "unknown_mechanism": {"user": "u", "password": "secret", "mechanism": "CRAM-MD5"},
    "token_by_plain": {"user": "u", "token": "secret", "mechanism": "PLAIN"},
    "password_by_xoauth2": {"user": "u", "password": "secret", "mechanism": "XOAUTH2"},
    "nul": {"user": "u", "password": "secret\0"},
    "line_end": {"user": "u\r\n", "password": "secret"},
    "surrogate": {"user": "u", "password": "secret\udc80"},
    "not_text": {"user": "u", "password": 7},
    "long": {"user": "u", "password": "secret" * 700},
    "token_with_space": {"user": "u", "token": "secret secret"},
}


@pytest.mark.parametrize("key", BAD)
def test_credential_that_is_none_is_refused_without_showing_it(key):
    """What is wrong is told, the secret is not."""
    with pytest.raises(ValueError, match=r".") as caught:
        credential(**{"user": "", **BAD[key]})
    assert "secret" not in str(caught.value)


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50),
    st.sampled_from(["", *MECHANISMS[:3]]),
)
def test_credential_survives_the_store(user, password, mechanism):
    """Encoded and parsed it is the same, and its representation holds no secret."""
    made = credential(user, password, "", mechanism)
    assert made == parse_credential(made.encode())
    assert "password" not in repr(made)
    assert made.kind == "password"


@pytest.mark.parametrize("text", ["", "[]", "{}", "x", '{"user":"u"}', "null"])
def test_stored_text_that_is_no_credential_is_a_value_error(text):
    """Whatever lies in the store."""
    with pytest.raises(ValueError, match=r"."):
        parse_credential(text)
