"""AUTH as tables: what goes out, what comes back, what it comes to."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.outcome import Result
from paravion.domain.reply import Malformed, Reply
from paravion.domain.sasl import Credential
from paravion.domain.smtp_auth import authenticate
from paravion.domain.smtp_dialogue import Extensions, Session, Step
from paravion.domain.verdict import Fault, FaultKind, Peer, Scope, Stage
from tests.unit.domain.test_sasl import FIRST, LAST, NONCE, PROOF, WHO

LOST = Fault(FaultKind.LOST)
TLS = Peer("smart.test", "192.0.2.1", "TLSv1.3", by_route=True)


def b64(octets):
    return base64.b64encode(octets).decode()


def session(offered, peer=TLS):
    return Session(peer, Extensions("smart.test", {"AUTH": offered} if offered else {}))


def play(dialogue, answers):
    """Drive it (text is a reply); give the lines that it wrote and what it returned."""
    wrote, answers, answer = [], iter(answers), None
    try:
        while True:
            step = dialogue.send(answer)
            assert isinstance(step, Step)
            assert step.stage is Stage.AUTH
            wrote.append(step.octets.decode().removesuffix("\r\n"))
            answer = next(answers)
            if isinstance(answer, str):
                answer = Reply(int(answer[:3]), (answer[4:],))
    except StopIteration as stop:
        assert next(answers, "none left") == "none left"
        return wrote, stop.value


PLAIN = "AUTH PLAIN AHVzZXIAcGVuY2ls"
LOGIN = Credential("user", "pencil", mechanism="LOGIN")
LONG = Credential("u", token="t" * 600)
LONG_64 = b64(b"user=u\x01auth=Bearer " + b"t" * 600 + b"\x01\x01")
SUCCESSES = {
    "scram": (
        WHO, "PLAIN SCRAM-SHA-256",
        ["334 " + b64(FIRST), "334 " + b64(LAST), "235 ok"],
        ["AUTH SCRAM-SHA-256 " + b64(b"n,,n=user,r=" + NONCE.encode()), b64(PROOF), ""],
    ),
    "plain": (WHO, "plain login", ["235 ok"], [PLAIN]),
    "login": (
        LOGIN, "PLAIN LOGIN",
        ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"], ["AUTH LOGIN", b64(b"user"), b64(b"pencil")],
    ),
    "login_in_words": (
        LOGIN, "LOGIN", ["334 Username:", "334 Password:", "235 ok"], ["AUTH LOGIN", b64(b"user"), b64(b"pencil")],
    ),
    "long_response_waits_for_334": (LONG, "XOAUTH2", ["334", "235 ok"], ["AUTH XOAUTH2", LONG_64]),
}  # fmt: skip


@pytest.mark.parametrize("key", SUCCESSES)
def test_login_succeeds(key):
    """RFC 4954 4: initial response where it fits 512 octets, a line for each 334, 235."""
    who, offered, answers, expected = SUCCESSES[key]
    opened = session(offered)
    wrote, result = play(authenticate(opened, who, NONCE), answers)
    assert expected == wrote
    assert result is opened


FAILURES = {
    "535": (WHO, "PLAIN", ["535 wrong"], [PLAIN], 535, "4.7.8"),
    "534": (WHO, "PLAIN", ["534 too weak"], [PLAIN], 534, "4.7.9"),
    "504": (WHO, "PLAIN", ["504 unknown"], [PLAIN], 504, "4.5.4"),
    "454": (WHO, "PLAIN", ["454 later"], [PLAIN], 454, "4.7.0"),
    "421": (WHO, "PLAIN", ["421 bye"], [PLAIN], 421, "4.3.2"),
    "lost": (WHO, "PLAIN", [LOST], [PLAIN], 0, "4.4.2"),
    "garbage": (WHO, "PLAIN", [Malformed("x")], [PLAIN], 0, "4.4.2"),
    "250": (WHO, "PLAIN", ["354 what"], [PLAIN], 0, "4.4.2"),
    "asks_more_of_plain": (WHO, "PLAIN", ["334 ", "501 ok"], [PLAIN, "*"], 0, "4.3.5"),
    "asks_more_and_dies": (WHO, "PLAIN", ["334 ", LOST], [PLAIN, "*"], 0, "4.3.5"),
    "xoauth2_error": (
        Credential("u", token="t"), "XOAUTH2",
        ["334 eyJzdGF0dXMiOiI0MDEifQ==", "535 bad token"],
        ["AUTH XOAUTH2 " + b64(b"user=u\x01auth=Bearer t\x01\x01"), ""], 535, "4.7.8",
    ),
    "scram_without_proof": (
        WHO, "SCRAM-SHA-256", ["334 " + b64(FIRST), "235 ok"],
        ["AUTH SCRAM-SHA-256 " + b64(b"n,,n=user,r=" + NONCE.encode()), b64(PROOF)], 0, "4.3.5",
    ),
    "scram_at_once": (
        WHO, "SCRAM-SHA-256", ["235 ok"], ["AUTH SCRAM-SHA-256 " + b64(b"n,,n=user,r=" + NONCE.encode())], 0, "4.3.5",
    ),
    "scram_wrong_proof": (
        WHO, "SCRAM-SHA-256", ["334 " + b64(FIRST), "334 " + b64(b"v=AAAA"), "501 ok"],
        ["AUTH SCRAM-SHA-256 " + b64(b"n,,n=user,r=" + NONCE.encode()), b64(PROOF), "*"], 0, "4.3.5",
    ),
    "scram_not_base64": (
        WHO, "SCRAM-SHA-256", ["334 r=x", "501 ok"],
        ["AUTH SCRAM-SHA-256 " + b64(b"n,,n=user,r=" + NONCE.encode()), "*"], 0, "4.3.5",
    ),
    "not_offered": (WHO, "", [], [], 0, "4.3.5"),
    "no_common_mechanism": (WHO, "GSSAPI CRAM-MD5", [], [], 0, "4.3.5"),
    "name_cannot_be_said": (Credential("\u0627a", "x"), "SCRAM-SHA-256", [], [], 0, "4.3.5"),
}  # fmt: skip


@pytest.mark.parametrize("key", FAILURES)
def test_login_fails_and_mail_waits(key):
    """Our own credential: never a bounce, always the host's own words or ours, never the secret."""
    who, offered, answers, expected, code, enhanced = FAILURES[key]
    wrote, refusal = play(authenticate(session(offered), who, NONCE), answers)
    assert expected == wrote
    outcome = refusal.verdict.outcome
    assert (Result.DEFERRED, code, enhanced, "AUTH") == (
        outcome.result,
        outcome.code,
        outcome.status,
        outcome.command,
    )
    assert (Scope.HOST, False) == (refusal.verdict.scope, refusal.tls_broken)
    assert "pencil" not in outcome.text


CLEAR = {
    "route_says_so_private": ("10.0.0.1", True, True),
    "route_says_so_loopback": ("127.0.0.1", True, True),
    "route_says_so_public": ("8.8.8.8", True, False),
    "private_but_route_is_silent": ("10.0.0.1", False, False),
    "public": ("8.8.8.8", False, False),
}


@pytest.mark.parametrize("key", CLEAR)
def test_nothing_is_said_in_clear_unless_the_route_says_so_for_a_private_host(key):
    """RFC 4954 4: PLAIN needs TLS; here every mechanism does."""
    address, clear, allowed = CLEAR[key]
    peer = Peer("smart.test", address)
    wrote, result = play(authenticate(session("PLAIN", peer), WHO, NONCE, clear=clear), ["235 ok"] if allowed else [])
    assert allowed == isinstance(result, Session) == bool(wrote)
    if not allowed:
        assert (Result.DEFERRED, "4.7.0") == (result.verdict.outcome.result, result.verdict.outcome.status)


@pytest.mark.parametrize(
    "echo", ["AUTH PLAIN AHVzZXIAcGVuY2ls", "pencil", b64(b"pencil")], ids=["command", "password", "base64"]
)
def test_host_that_repeats_our_secret_does_not_get_it_recorded(echo):
    """The reply becomes an outcome, which senders read."""
    for answer in (Reply(500, (f"unknown: {echo}",)), Malformed(f"not a reply: {echo}")):
        _, refusal = play(authenticate(session("PLAIN"), WHO, NONCE), [answer])
        assert not any(secret in refusal.verdict.outcome.text for secret in ("pencil", "cGVuY2ls", "AHVzZXI"))


ANSWERS = st.one_of(
    st.builds(Reply, st.sampled_from([235, 250, 334, 334, 334, 354, 421, 454, 500, 535]), st.tuples(st.text())),
    st.builds(lambda text: Reply(334, (b64(text),)), st.binary()),
    st.builds(Malformed, st.text(max_size=20)),
    st.builds(Fault, st.sampled_from(FaultKind)),
)


@settings(deadline=None)
@given(st.sampled_from(["SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2"]), st.lists(ANSWERS, min_size=12, max_size=12))
def test_whatever_the_host_answers_it_ends_in_a_session_or_a_deferral(mechanism, answers):
    """Law 7, and a bounded number of rounds."""
    who = Credential("u", token="t") if mechanism == "XOAUTH2" else WHO
    dialogue, answer = authenticate(session(mechanism), who, NONCE), None
    with pytest.raises(StopIteration) as stop:
        for each in answers:
            dialogue.send(answer)
            answer = each
    result = stop.value.value
    if not isinstance(result, Session):
        assert result.verdict.outcome.result is Result.DEFERRED
        assert result.verdict.outcome.status[0] == "4"


def test_host_that_asks_without_end_is_left():
    """A bounded number of rounds, whatever the mechanism."""
    who = Credential("u", token="t" * 600)
    wrote, refusal = play(authenticate(session("XOAUTH2"), who, NONCE), ["334 ", "334 ", "334 ", "501 "])
    assert wrote[-2:] == ["", "*"]
    assert refusal.verdict.outcome.result is Result.DEFERRED
