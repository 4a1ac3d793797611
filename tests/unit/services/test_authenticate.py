"""Who asks."""

from __future__ import annotations

import base64
import json

import pytest

from paravion.adapters.memory import MemorySecrets
from paravion.domain import sigv4
from paravion.domain.credential import Scope
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.sigv4 import SignedRequest
from paravion.domain.status import Rejected
from paravion.errors import Misconfigured
from paravion.services.authenticate import Principal, authenticate

NOW = 1_770_000_000.0
KEY, SECRET = "AKIATEST", "test-secret"


def secrets_with(key=KEY, **fields):
    """Give a store with one credential."""
    secrets = MemorySecrets()
    secrets.put(f"credentials/{key}", json.dumps({"secret_key": SECRET, "enabled": True, **fields}))
    return secrets


def basic(key=KEY, password=None, region="us-east-1"):
    """Give a request with Basic authentication."""
    text = f"{key}:{smtp_password(SECRET, region) if password is None else password}"
    return SignedRequest("GET", "/", "", {"authorization": "bAsIc " + base64.b64encode(text.encode()).decode()}, b"")


def signed(key=KEY, secret=SECRET, region="eu-west-3"):
    """Give a request that we signed."""
    request = SignedRequest("POST", "/", "", {"host": "h"}, b"x")
    added = sigv4.sign(request, key, secret, region, now=NOW)
    headers = {"host": "h", **{name.lower(): value for name, value in added.items()}}
    return SignedRequest("POST", "/", "", headers, b"x")


def ask(request, secrets):
    """Authenticate."""
    return authenticate(request, secrets, now=NOW, credential_region="us-east-1")


@pytest.mark.parametrize(
    "request_", [basic(), signed(), signed(region="us-east-1")], ids=["basic", "sigv4", "other region"]
)
def test_a_good_credential_is_its_principal(request_):
    """By either proof, SigV4 in any region."""
    assert Principal(KEY) == ask(request_, secrets_with())


def test_an_operator_is_marked():
    """Only the stored credential says so."""
    assert Principal(KEY, is_operator=True) == ask(basic(), secrets_with(operator=True))


BASIC = {
    "wrong password": (basic(password="x"), secrets_with()),
    "another region's password": (basic(region="eu-west-1"), secrets_with()),
    "unknown key": (basic(key="AKIANOBODY"), secrets_with()),
    "disabled": (basic(), secrets_with(enabled=False)),
    "no key": (basic(key=""), secrets_with()),
    "a path as key": (basic(key="../x"), secrets_with()),
    "a key that is not ASCII": (basic(key="é"), secrets_with()),
}


@pytest.mark.parametrize(("request_", "secrets"), BASIC.values(), ids=BASIC)
def test_every_bad_password_is_the_same_error(request_, secrets):
    """Nobody learns which keys exist or are disabled."""
    with pytest.raises(Rejected) as caught:
        ask(request_, secrets)
    assert (caught.value.status.key, caught.value.detail) == ("auth_invalid", "")


SIGNED = {
    "wrong secret": (signed(secret="x"), secrets_with(), "signature_invalid"),
    "unknown key": (signed(key="AKIANOBODY"), secrets_with(), "auth_invalid"),
    "disabled": (signed(), secrets_with(enabled=False), "auth_invalid"),
    "nobody's secret": (signed(key="AKIANOBODY", secret="nobody has this secret key; it makes an unknown key cost what a known one does"), secrets_with(), "auth_invalid"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "secrets", "key"), SIGNED.values(), ids=SIGNED)
def test_signatures_that_prove_nothing(request_, secrets, key):
    """An unknown and a disabled key are one error; so is the stand-in's secret, which proves nothing."""
    with pytest.raises(Rejected) as caught:
        ask(request_, secrets)
    assert key == caught.value.status.key


def test_the_stand_in_password_is_nobodys():
    """The password derived from the stand-in secret opens no unknown key."""
    stand_in = "nobody has this secret key; it makes an unknown key cost what a known one does"
    with pytest.raises(Rejected):
        ask(basic(key="AKIANOBODY", password=smtp_password(stand_in, "us-east-1")), secrets_with())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"secret_key": ""}', '{"secret_key": 1}', '{"secret_key": "x", "enabled": "no"}']
)
def test_a_credential_that_cannot_be_read_is_our_fault(text):
    """Not a refusal: the caller may be right."""
    secrets = MemorySecrets()
    secrets.put(f"credentials/{KEY}", text)
    with pytest.raises(Misconfigured, match=f"credentials/{KEY}"):
        ask(basic(), secrets)


@pytest.mark.parametrize("tenant", ["a b", "a/b", "x" * 65, 7, None], ids=repr)
def test_a_tenant_that_could_be_another_kind_is_a_broken_credential(tenant):
    """It stands before the kind of every record, with a slash."""
    with pytest.raises(Misconfigured, match="tenant"):
        ask(basic(), secrets_with(tenant=tenant))


def test_a_credential_is_of_its_tenant():
    """Only the stored credential says so, and what its scope is."""
    assert Principal(KEY, tenant="acme") == ask(basic(), secrets_with(tenant="acme"))
    scope = {"identities": ["acme.example"], "operations": ["smtp"]}
    assert Principal(KEY, tenant="acme", scope=Scope(("acme.example",), ("smtp",))) == ask(
        basic(), secrets_with(tenant="acme", scope=scope)
    )


def test_records_of_a_tenant_are_of_a_kind_of_their_own():
    """None has the names that all had before there were tenants."""
    assert Principal("A").kind("template") == "template"
    assert Principal("A", tenant="acme").kind("template") == "@acme/template"
