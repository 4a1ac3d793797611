"""Whose keys sign, what is kept of them, and what an outage does."""

from __future__ import annotations

import pytest

from paravion.adapters.memory import MemoryEventLog, MemorySecrets
from paravion.domain import dkim_keys
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import Rejected
from paravion.errors import Misconfigured, SecretsUnavailable
from paravion.services.signing import ABSENT_S, Signer, check_alignment
from tests.support.dkim_keys import active_ring, fixed_private_key, txt_of, verified
from tests.support.world import World

RING = active_ring()
TEXT = dkim_keys.encode(RING)
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")


class CountingSecrets(MemorySecrets):
    def __init__(self, **values):
        super().__init__(**values)
        self.asked = []

    def get(self, name, *, fresh=False):
        self.asked.append(name)
        return super().get(name)


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def secrets():
    return CountingSecrets()


@pytest.fixture
def signer(secrets, now):
    return Signer(secrets, lambda: now[0])


@pytest.mark.parametrize(
    ("held", "author", "expected"),
    [
        (["example.org"], "example.org", "example.org"),
        (["example.org"], "a.b.example.org", "example.org"),
        (["example.org", "b.example.org"], "a.b.example.org", "b.example.org"),
        (["b.example.org"], "example.org", ""),
        (["org"], "example.org", ""),
        ([], "example.org", ""),
        (["example.org"], "[192.0.2.1]", ""),
    ],
)
def test_nearest_domain_with_keys_signs(secrets, signer, held, author, expected):
    """The author's own, else the one next above; never a top-level domain, nor one below."""
    for domain in held:
        secrets.put(f"dkim/{domain}", TEXT)
    keys = signer.keys_for(author)
    assert {key.domain for key in keys} == ({expected} if expected else set())


def test_keys_that_wait_do_not_sign_and_the_domain_above_goes_on(secrets, signer):
    """A new identity's unpublished keys don't take its parent's signature away."""
    pairs = {algorithm: fixed_private_key(algorithm) for algorithm in ("rsa-sha256", "ed25519-sha256")}
    secrets.put("dkim/a.example.org", dkim_keys.encode(dkim_keys.with_next((), pairs, 1.0)))
    secrets.put("dkim/example.org", TEXT)
    assert {key.domain for key in signer.keys_for("a.example.org")} == {"example.org"}


def test_keys_are_loaded_once_and_absence_is_kept_a_minute(secrets, signer, now):
    """The same key objects as long as the secret's text is the same; a new text is loaded."""
    secrets.put("dkim/example.org", TEXT)
    first = signer.keys_for("example.org")
    assert signer.keys_for("example.org") is first
    secrets.put("dkim/example.org", dkim_keys.encode(active_ring(1_500_000_000.0)))
    assert signer.keys_for("example.org")[0].selector != first[0].selector
    secrets.asked.clear()
    for _ in range(5):
        assert signer.keys_for("other.example") == ()
    assert secrets.asked == ["dkim/other.example"]
    now[0] += ABSENT_S
    secrets.put("dkim/other.example", TEXT)
    assert signer.keys_for("other.example")
    secrets.delete("dkim/other.example")
    assert signer.keys_for("other.example") == ()


@pytest.mark.parametrize("text", ["", "{}", TEXT.replace("MII", "AAA")], ids=["empty", "no ring", "no key"])
def test_a_secret_that_is_no_key_is_misconfigured(secrets, signer, text):
    """Never unsigned by accident; and the error does not tell the text."""
    secrets.put("dkim/example.org", text)
    with pytest.raises(Misconfigured) as caught:
        signer.keys_for("example.org")
    assert TEXT[60:90] not in str(caught.value)


def test_what_is_remembered_is_bounded(secrets, signer, monkeypatch):
    """Strangers' From addresses don't fill the memory."""
    monkeypatch.setattr("paravion.services.signing._ENTRIES", 3)
    for n in range(10):
        signer.keys_for(f"n{n}.example")
        secrets.put(f"dkim/k{n}.example", TEXT)
        assert signer.keys_for(f"k{n}.example")
    assert len(signer._absent) <= 3
    assert len(signer._loaded) <= 3


def test_mail_and_its_report_are_signed():
    """Two signatures on each that verify: the author's domain's, and the hostname's."""
    world = World({"missing@c.example": [MISSING]})
    world.now = 1_600_000_000.0  # verifiers refuse signatures of the future
    for domain in ("example.org", "example.net"):
        world.secrets.put(f"dkim/{domain}", TEXT)
    world.submit("good@a.example", "missing@c.example")
    world.run()
    mail, report = world.accepted_by("good@a.example"), world.accepted_by("me@example.org")
    assert verified(mail[0], txt_of("example.org", RING)) == [True, True]
    assert verified(report[0], txt_of("example.net", RING)) == [True, True]
    assert mail[0].index(b"DKIM-Signature") < mail[0].index(b"Received:")
    (reception,) = [fields for name, fields in world.event_log.records if name == "Reception"]
    assert reception["signed_by"] == "example.org"


def test_mail_of_a_domain_without_keys_is_unsigned():
    """No identity, no signature, no refusal."""
    world = World()
    world.submit("good@a.example")
    world.run()
    assert b"DKIM-Signature" not in world.accepted_by("good@a.example")[0]


def test_outage_of_the_secrets_is_no_promise():
    """4yz and 503, nothing stored; not unsigned mail."""
    world = World()

    def fail(name, *, fresh=False):
        raise SecretsUnavailable(name)

    world.secrets.get = fail
    with pytest.raises(SecretsUnavailable):
        world.submit("good@a.example")
    assert world.spool.envelopes == {}


ALIGNMENT = [
    ("example.org", "example.org", "", True),
    ("example.org", "bounces.example.org", "", True),
    ("example.org", "other.example", "", False),
    ("example.org", "other.example", "example.org", True),
    ("a.example.org", "b.example.org", "", False),
    ("a.example.org", "b.example.org", "example.org", True),
]


@pytest.mark.parametrize("policy", ["off", "warn", "reject"])
@pytest.mark.parametrize(("author", "return_domain", "signer_domain", "good"), ALIGNMENT)
def test_alignment_policy(policy, author, return_domain, signer_domain, good):
    """Refused or recorded, the From domain named, unless a signature or the reverse-path is aligned."""
    log = MemoryEventLog()
    keys = dkim_keys.signing_keys(signer_domain, RING) if signer_domain else ()
    if policy == "reject" and not good:
        with pytest.raises(Rejected, match=f"From: {author} is neither signed") as caught:
            check_alignment([author], return_domain, keys, policy, log)
        assert caught.value.status.key == "not_aligned"
    else:
        check_alignment([author], return_domain, keys, policy, log)
    warned = [{"from_domain": author, "return_domain": return_domain}] if policy == "warn" and not good else []
    assert [fields for _, fields in log.records] == warned


@pytest.mark.parametrize(
    ("sender", "from_", "refused"),
    [
        ("me@example.org", b"me@example.org", False),
        ("me@example.org", b"me@other.example", True),
        ("", b"me@mail.example.net", False),
        ("", b"me@example.org", True),
        ("me@example.org", b"me@example.org, you@other.example\r\nSender: me@example.org", True),
    ],
)
def test_submission_is_held_to_alignment(sender, from_, refused):
    """Every author's domain; a null reverse-path stands for our hostname (RFC 7208 2.4)."""
    world = World(alignment_check="reject")
    content = b"From: " + from_ + b"\r\n\r\nx\r\n"
    if refused:
        with pytest.raises(Rejected, match="neither signed"):
            world.submit("you@a.example", sender=sender, content=content)
    else:
        world.submit("you@a.example", sender=sender, content=content)
