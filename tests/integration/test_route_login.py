"""A route's credential from SSM, as `deliver` is put together."""

from __future__ import annotations

import subprocess
import sys

import boto3
import pytest
from moto import mock_aws

from paravion import bootstrap
from paravion.domain.outcome import Outcome
from paravion.domain.sasl import credential

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    "PARAVION_SPOOL": "spool", "PARAVION_LEDGER": "ledger", "PARAVION_DELIVERY_QUEUE": "q", "PARAVION_BOUNCE_QUEUE": "q",
    "PARAVION_SECRETS": "/paravion/t", "PARAVION_HOSTNAME": "us.test", "PARAVION_RELAY": "smart.test:587",
    "PARAVION_RELAY_CREDENTIAL": "ses",
}  # fmt: skip


@pytest.fixture
def environ(monkeypatch):
    """The function's."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def test_credential_is_read_when_a_host_is_logged_in_to(environ, monkeypatch):
    """From the path that the role allows, once for five minutes; the client is made then and not before."""
    made = []
    make = bootstrap._Clients.make
    monkeypatch.setattr(bootstrap._Clients, "make", lambda self, name: made.append(name) or make(self, name))
    with mock_aws():
        deps = bootstrap.deliver()
        assert (deps.smarthost.tls, deps.smarthost.credential) == ("verify", "ses")
        assert "ssm" not in made
        ssm = boto3.client("ssm")
        who = credential("AKIA", "pa55-wörd")
        ssm.put_parameter(Name="/paravion/t/routes/ses", Value=who.encode(), Type="SecureString")
        assert deps.transport._transport._opener._credential_of("ses") == who
        ssm.delete_parameter(Name="/paravion/t/routes/ses")
        assert deps.transport._transport._opener._credential_of("ses") == who
        assert isinstance(deps.transport._transport._opener._credential_of("gone"), Outcome)
    assert made.count("ssm") == 1


def test_function_without_such_a_route_loads_nothing_for_it(environ):
    """Its cold start pays for what it uses."""
    code = (
        "import sys; from paravion import bootstrap; bootstrap.deliver();"
        "print([name for name in sys.modules if name.rpartition('.')[2] in"
        " {'sasl', 'smtp_auth', 'stringprep', 'route_credentials', 'seven_bit'} or name == 'paravion.domain.routes'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
