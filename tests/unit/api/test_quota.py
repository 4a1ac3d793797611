"""Quotas and statistics through unmodified boto3 clients, and the native resource."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from paravion.adapters.memory import MemoryQueues
from paravion.domain.quota import Quota, Want
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.statistics import Tally
from paravion.services.commit import CommitDeps
from paravion.services.signing import Signer
from paravion.services.validate import submit
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY

FROM = "me@example.org"
BODY = {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}


@pytest.fixture
def house(served):
    """A world whose submissions are kept for real, with an operator's credential and a clock that stands."""
    served.put_credential(operator=True)
    served.settings.identity_check = "off"
    served.signer = Signer(served.secrets, served.clock)
    served.to_commit = CommitDeps(served.spool, MemoryQueues(served.clock), lambda calls: [call() for call in calls])
    served.submit = partial(submit, deps=served)
    served.now = served.clock()
    served.clock = lambda: served.now
    serial = iter(range(1, 1000))
    served.entropy = lambda count: next(serial).to_bytes(count, "big")
    return served


def native(house, method, path, fields=None, *, key=ACCESS_KEY, secret=SECRET_KEY):
    """Ask the native API; gives status, headers and JSON."""
    connection = HTTPConnection(urlsplit(house.url).netloc)
    token = b64encode(f"{key}:{smtp_password(secret, 'us-east-1')}".encode()).decode()
    connection.request(method, path, json.dumps(fields) if fields is not None else None,
                       {"authorization": f"Basic {token}", "content-type": "application/json"})  # fmt: skip
    answer = connection.getresponse()
    octets = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(octets)


def send(house, version, to, attempts=1):
    """Send by an SDK."""
    if version == "v2":
        content = {"Simple": BODY}
        return house.client("sesv2", attempts=attempts).send_email(
            FromEmailAddress=FROM, Destination={"ToAddresses": to}, Content=content
        )
    return house.client("ses", attempts=attempts).send_email(Source=FROM, Destination={"ToAddresses": to}, Message=BODY)


@pytest.mark.parametrize(("limits", "version", "code", "http", "text"), [
    ({"max_send_rate": 1}, "v2", "TooManyRequestsException", 429, "Maximum sending rate exceeded."),
    ({"max_send_rate": 1}, "v1", "Throttling", 400, "Maximum sending rate exceeded."),
    ({"max_24_hour_send": 3}, "v2", "LimitExceededException", 400, "Daily message quota exceeded."),
    ({"max_24_hour_send": 3}, "v1", "Throttling", 400, "Daily message quota exceeded."),
])  # fmt: skip
def test_throttled_in_ses_words(house, limits, version, code, http, text):
    """The names that SDKs know; nothing is kept of what is refused."""
    assert native(house, "PUT", "/v1/quota", limits)[0] == 200
    send(house, version, ["a@example.com", "b@example.com", "c@example.com"])
    with pytest.raises(ClientError) as caught:
        send(house, version, ["d@example.com"])
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == (code, text)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == http
    # An SDK may wait for as long as it is told: never for a day.
    waits = answer["ResponseMetadata"]["HTTPHeaders"].get("retry-after")
    assert waits is None if "max_24_hour_send" in limits else 0 < int(waits) <= 20
    assert len(house.spool.envelopes) == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_sdk_repeats_and_gets_through(house, version):
    """It waits by itself; here the clock moves with each request."""
    native(house, "PUT", "/v1/quota", {"max_send_rate": 0.5})
    send(house, version, ["a@example.com"])
    house.clock = lambda: house.now + 1.5 * (len(house.requests) >= 4)
    assert send(house, version, ["b@example.com"], attempts=3)["MessageId"]
    assert len(house.requests) == 4
    assert house.counters.sent("", house.now) == 2


@pytest.mark.parametrize(("limits", "v2", "v1"), [
    ({"max_send_rate": 1}, "ACCOUNT_THROTTLED", "AccountThrottled"),
    ({"max_24_hour_send": 2}, "ACCOUNT_DAILY_QUOTA_EXCEEDED", "AccountDailyQuotaExceeded"),
])  # fmt: skip
def test_bulk_entries_each_have_their_answer(house, limits, v2, v1):
    """Some go, others are told."""
    client, older = house.client("sesv2"), house.client("ses")
    client.create_email_template(TemplateName="t", TemplateContent={"Subject": "s", "Text": "t"})
    native(house, "PUT", "/v1/quota", limits)
    to = [{"Destination": {"ToAddresses": [f"{n}@example.com"]}} for n in range(4)]
    told = client.send_bulk_email(
        FromEmailAddress=FROM,
        BulkEmailEntries=to,
        DefaultContent={"Template": {"TemplateName": "t", "TemplateData": "{}"}},
    )["BulkEmailEntryResults"]
    assert [entry["Status"] for entry in told] == ["SUCCESS", "SUCCESS", v2, v2]
    told = older.send_bulk_templated_email(Source=FROM, Template="t", DefaultTemplateData="{}", Destinations=to)[
        "Status"
    ]
    assert {entry["Status"] for entry in told} == {v1}


def test_native_door_and_what_smtp_doors_say_of_it(house):
    """429 with how long to wait; code and words for SMTP stand in the answer."""
    native(house, "PUT", "/v1/quota", {"max_send_rate": 0.1})
    send(house, "v2", ["a@example.com"])
    token = b64encode(f"{ACCESS_KEY}:{smtp_password(SECRET_KEY, 'us-east-1')}".encode()).decode()
    connection = HTTPConnection(urlsplit(house.url).netloc)
    connection.request("POST", "/v1/messages", b"From: me@example.org\r\nTo: b@example.com\r\n\r\nx\r\n",
                       {"authorization": f"Basic {token}", "content-type": "message/rfc822"})  # fmt: skip
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "9")
    assert (error["key"], error["smtp"], error["status"]) == ("rate_exceeded", 454, "4.7.0")
    assert f"{error['message']}: {error['detail']}" == "Throttling failure: Maximum sending rate exceeded."


def test_quota_is_told_by_all(house):
    """The limits, and what was sent; by the statistics where there is no limit."""
    client, older = house.client("sesv2"), house.client("ses")
    native(house, "PUT", "/v1/quota", {"max_24_hour_send": 200, "max_send_rate": 14})
    house.counters.take("", Want(7, 7), Quota(200), house.now)
    expected = {"Max24HourSend": 200.0, "MaxSendRate": 14.0, "SentLast24Hours": 7.0}
    assert client.get_account()["SendQuota"] == expected
    told = older.get_send_quota()
    assert {name: told[name] for name in expected} == expected
    native(house, "PUT", "/v1/quota", {"max_24_hour_send": None, "max_send_rate": -1})
    assert "SentLast24Hours" not in client.get_account()["SendQuota"]
    house.has_statistics = True
    house.counters.count("", Tally(5, 1), house.now)
    house.counters.count("", Tally(5, 1), house.now - 100_000)
    assert client.get_account()["SendQuota"] == {"Max24HourSend": -1.0, "MaxSendRate": 1000.0, "SentLast24Hours": 5.0}


def test_statistics_are_told(house):
    """Two weeks, one's own, in order."""
    older = house.client("ses")
    assert older.get_send_statistics()["SendDataPoints"] == []
    start = house.now // 900 * 900
    for back, tally in ((0, Tally(5, 1, 2)), (90_000, Tally(3)), (15 * 86_400, Tally(9))):
        house.counters.count("", tally, start - back)
    house.counters.count("red", Tally(9), start)
    assert older.get_send_statistics()["SendDataPoints"] == [
        {
            "Timestamp": datetime.fromtimestamp(at, UTC),
            "DeliveryAttempts": a,
            "Bounces": b,
            "Complaints": c,
            "Rejects": 0,
        }
        for at, a, b, c in ((start - 90_000, 3, 0, 0), (start, 5, 1, 2))
    ]


@pytest.mark.parametrize("fields", [
    {}, {"max_send_rate": 0}, {"max_send_rate": "1"}, {"max_24_hour_send": 1.5}, {"max_24_hour_send": -2},
    {"max_24_hour_send": True}, {"max_send_rate": 1, "tenant": "a b"}, {"max_send_rate": 1, "burst": 2}, {"tenant": "x"},
])  # fmt: skip
def test_what_is_no_quota_is_refused(house, fields):
    """And nothing is set."""
    assert native(house, "PUT", "/v1/quota", fields)[0] == 400
    assert house.records.items == {}


def test_quotas_are_an_operators(house):
    """Everybody sees his own; another's, and setting any, is for an operator."""
    assert native(house, "PUT", "/v1/quota", {"tenant": "red", "max_send_rate": 3})[2] == {
        "tenant": "red", "max_24_hour_send": -1, "max_send_rate": 3, "sent_last_24_hours": 0,
    }  # fmt: skip
    house.secrets.put("credentials/AKIARED", json.dumps({"secret_key": "s3cret", "tenant": "red"}))
    reds = {"key": "AKIARED", "secret": "s3cret"}
    assert native(house, "GET", "/v1/quota", **reds)[2]["max_send_rate"] == 3
    assert native(house, "GET", "/v1/quota?tenant=", **reds)[0] == 403
    assert native(house, "PUT", "/v1/quota", {"tenant": "red", "max_send_rate": -1}, **reds)[0] == 403
    assert native(house, "GET", "/v1/quota?tenant=red")[2]["tenant"] == "red"
    assert native(house, "GET", "/v1/quota?tenant=a&tenant=b")[0] == 400
    assert native(house, "GET", "/v1/quota")[2]["max_send_rate"] == -1
