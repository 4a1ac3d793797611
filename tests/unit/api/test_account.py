"""The account through unmodified boto3 clients, v2 and v1."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from paravion.services.configuration import find_account


@pytest.fixture
def clients(served):
    """Both versions with an operator's credential."""
    served.put_credential(operator=True)
    return served.client("sesv2"), served.client("ses")


def test_sending_is_paused_and_goes_on_by_both_versions(clients, served):
    """They speak of one switch, which the mail's road reads."""
    v2, v1 = clients
    assert v2.get_account()["SendingEnabled"]
    v2.put_account_sending_attributes(SendingEnabled=False)
    assert v1.get_account_sending_enabled()["Enabled"] is False
    assert not find_account(served.records, "").sending_enabled
    v1.update_account_sending_enabled(Enabled=True)
    assert v2.get_account()["SendingEnabled"]
    v2.put_account_sending_attributes()
    assert not v2.get_account()["SendingEnabled"]


def test_no_quota_is_told_as_ses_tells_it(clients):
    """-1 for the day; without statistics what was sent is not counted, and not told."""
    v2, v1 = clients
    told = v1.get_send_quota()
    assert (told["Max24HourSend"], told["MaxSendRate"]) == (-1.0, 1000.0)
    assert "SentLast24Hours" not in told
    assert v2.get_account()["SendQuota"] == {"Max24HourSend": -1.0, "MaxSendRate": 1000.0}


def test_details_are_kept(clients):
    """Without a sandbox there is nothing to leave or to go back to."""
    v2, _ = clients
    assert "Details" not in v2.get_account()
    details = {"MailType": "TRANSACTIONAL", "WebsiteURL": "https://example.org", "ContactLanguage": "EN"}
    v2.put_account_details(**details, ProductionAccessEnabled=True)
    assert v2.get_account()["Details"] == details
    with pytest.raises(v2.exceptions.BadRequestException, match="ProductionAccessEnabled"):
        v2.put_account_details(**details, ProductionAccessEnabled=False)


def test_account_is_its_tenants_and_its_managers(served):
    """A plain credential may look; another tenant's switch is another."""
    served.put_credential(operator=False)
    plain, older = served.client("sesv2"), served.client("ses")
    for call, given in (
        (plain.put_account_sending_attributes, {"SendingEnabled": False}),
        (plain.put_account_details, {"MailType": "MARKETING", "WebsiteURL": "x"}),
        (older.update_account_sending_enabled, {"Enabled": False}),
    ):
        with pytest.raises(ClientError) as caught:
            call(**given)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    served.secrets.put("credentials/AKIARED", json.dumps({"secret_key": "s3cret", "tenant": "red"}))
    served.client("sesv2", key="AKIARED", secret="s3cret").put_account_sending_attributes(SendingEnabled=False)
    assert plain.get_account()["SendingEnabled"]
    assert not find_account(served.records, "red").sending_enabled
