"""SES v2's suppression operations through an unmodified boto3 client."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from paravion.domain.suppression import Reason, Suppressed
from paravion.errors import LedgerUnavailable


@pytest.fixture
def ses(served):
    """A client with an operator's credential."""
    served.put_credential(operator=True)
    return served.client("sesv2")


def fill(served, count=5):
    """Put entries there, a day apart from 1970-01-01 on; the even ones complained."""
    for n in range(count):
        reason = Reason.COMPLAINT if n % 2 == 0 else Reason.BOUNCE
        served.suppression.put(Suppressed(f"u{n}@x.example", reason, n * 86_400.0, "bounce", f"q{n}"))


def addresses(answer):
    """Give the addresses of a page."""
    return [summary["EmailAddress"] for summary in answer["SuppressedDestinationSummaries"]]


def refused(call, **given):
    """Give the error's code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_address_is_put_got_and_deleted(ses, served):
    """Whatever its case; what an operator put has no message."""
    before = datetime.now(UTC).replace(microsecond=0)
    ses.put_suppressed_destination(EmailAddress="Joe@X.example", Reason="COMPLAINT")
    found = ses.get_suppressed_destination(EmailAddress="joe@x.EXAMPLE")["SuppressedDestination"]
    assert (found["EmailAddress"], found["Reason"]) == ("joe@x.example", "COMPLAINT")
    assert before <= found["LastUpdateTime"] <= datetime.now(UTC)
    assert "Attributes" not in found
    ses.put_suppressed_destination(EmailAddress="joe@x.example", Reason="BOUNCE")
    assert addresses(ses.list_suppressed_destinations()) == ["joe@x.example"]
    assert served.suppression.items["joe@x.example"].reason is Reason.BOUNCE
    ses.delete_suppressed_destination(EmailAddress="JOE@x.example")
    assert addresses(ses.list_suppressed_destinations()) == []


def test_bounced_address_names_its_message(ses, served):
    """The id that SendEmail gave."""
    fill(served)
    found = ses.get_suppressed_destination(EmailAddress="u1@x.example")["SuppressedDestination"]
    assert found["Attributes"] == {"MessageId": "q1"}
    assert found["LastUpdateTime"] == datetime(1970, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("address", ["o'neil+a%c@x.example", "jörg@bücher.example", '"a b"@x.example'])
def test_unusual_address_finds_its_way_through_path_and_body(ses, address):
    """It stands in a JSON body once, and in a path twice."""
    ses.put_suppressed_destination(EmailAddress=address, Reason="BOUNCE")
    assert ses.get_suppressed_destination(EmailAddress=address)
    ses.delete_suppressed_destination(EmailAddress=address)
    assert addresses(ses.list_suppressed_destinations()) == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_pages_are_followed_to_their_end(ses, served, size):
    """NextToken until there is none."""
    fill(served)
    found, token = [], {}
    while True:
        answer = ses.list_suppressed_destinations(PageSize=size, **token)
        assert len(answer["SuppressedDestinationSummaries"]) <= size
        found += addresses(answer)
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == [f"u{n}@x.example" for n in range(5)]


def test_without_a_page_size_a_thousand_come(ses, served):
    """As from SES."""
    fill(served, 1001)
    answer = ses.list_suppressed_destinations()
    assert len(addresses(answer)) == 1000
    assert len(addresses(ses.list_suppressed_destinations(NextToken=answer["NextToken"]))) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"Reasons": ["COMPLAINT"]}, [0, 2, 4]),
        ({"Reasons": ["BOUNCE"]}, [1, 3]),
        ({"Reasons": ["BOUNCE", "COMPLAINT"]}, [0, 1, 2, 3, 4]),
        ({"StartDate": datetime(1970, 1, 4, tzinfo=UTC)}, [3, 4]),
        ({"EndDate": datetime(1970, 1, 3, tzinfo=UTC)}, [0, 1]),
        ({"StartDate": datetime(1970, 1, 2, tzinfo=UTC), "EndDate": datetime(1970, 1, 4, tzinfo=UTC)}, [1, 2]),
        ({"StartDate": datetime(1970, 1, 2, tzinfo=UTC), "Reasons": ["COMPLAINT"], "PageSize": 1}, [2]),
    ],
)
def test_list_is_filtered(ses, served, wanted, expected):
    """By reasons, and by when the entry was last changed."""
    fill(served)
    assert addresses(ses.list_suppressed_destinations(**wanted)) == [f"u{n}@x.example" for n in expected]


def test_unlisted_address_is_not_found(ses):
    """SES's own words."""
    for call in (ses.get_suppressed_destination, ses.delete_suppressed_destination):
        assert refused(call, EmailAddress="nobody@x.example") == ("NotFoundException", 404)
        with pytest.raises(ses.exceptions.NotFoundException, match="does not exist on your suppression list"):
            call(EmailAddress="nobody@x.example")


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("put_suppressed_destination", {"EmailAddress": "nobody", "Reason": "BOUNCE"}),
        ("put_suppressed_destination", {"EmailAddress": "a@x.example\r\nB", "Reason": "BOUNCE"}),
        ("put_suppressed_destination", {"EmailAddress": "a@x.example", "Reason": "WHIM"}),
        ("put_suppressed_destination", {"EmailAddress": "a@x.example", "Reason": "BOUNCE", "TenantName": "t"}),
        ("get_suppressed_destination", {"EmailAddress": "nobody"}),
        ("get_suppressed_destination", {"EmailAddress": "a@x.example", "TenantName": "t"}),
        ("delete_suppressed_destination", {"EmailAddress": "nobody"}),
        ("delete_suppressed_destination", {"EmailAddress": "a@x.example", "TenantName": "t"}),
        ("list_suppressed_destinations", {"PageSize": 0}),
        ("list_suppressed_destinations", {"PageSize": 1001}),
        ("list_suppressed_destinations", {"Reasons": ["WHIM"]}),
        ("list_suppressed_destinations", {"TenantName": "t"}),
        ("list_suppressed_destinations", {"StartDate": datetime(2026, 1, 2, tzinfo=UTC),
                                          "EndDate": datetime(2026, 1, 1, tzinfo=UTC)}),
        ("put_account_suppression_attributes", {"SuppressedReasons": ["WHIM"]}),
        ("put_account_suppression_attributes", {
            "ValidationAttributes": {"ConditionThreshold": {"ConditionThresholdEnabled": "ENABLED"}}}),
    ],
)  # fmt: skip
def test_bad_request(ses, served, operation, given):
    """Addresses, reasons, sizes, instants; and what is not offered is refused, not ignored."""
    assert refused(getattr(ses, operation), **given) == ("BadRequestException", 400)
    assert served.suppression.items == {}
    assert served.suppression.set_to is None


@pytest.mark.parametrize(
    "token", ["x", "ä", "====", base64.urlsafe_b64encode(b"no place").decode(), base64.b64encode(b"\xff\xfe").decode()]
)
def test_token_that_no_page_gave(ses, token):
    """InvalidNextTokenException."""
    assert refused(ses.list_suppressed_destinations, NextToken=token) == ("InvalidNextTokenException", 400)


def test_accounts_reasons_are_put_and_told(ses):
    """GetAccount tells those of the setting until there are others; none is an answer, too."""

    def told():
        return ses.get_account()["SuppressionAttributes"]["SuppressedReasons"]

    assert told() == ["BOUNCE", "COMPLAINT"]
    for reasons in (["COMPLAINT"], [], ["BOUNCE"]):
        ses.put_account_suppression_attributes(SuppressedReasons=reasons)
        assert told() == reasons
    ses.put_account_suppression_attributes()
    assert told() == []


def test_only_an_operator_may(served):
    """A sender's credential neither reads nor changes the list."""
    ses = served.client("sesv2")
    fill(served)
    one = {"EmailAddress": "u1@x.example"}
    for call, given in (
        (ses.get_suppressed_destination, one),
        (ses.delete_suppressed_destination, one),
        (ses.put_suppressed_destination, {**one, "Reason": "COMPLAINT"}),
        (ses.list_suppressed_destinations, {}),
        (ses.put_account_suppression_attributes, {"SuppressedReasons": []}),
    ):
        assert refused(call, **given) == ("AccessDeniedException", 403)
    assert len(served.suppression.items) == 5
    assert served.suppression.items["u1@x.example"].reason is Reason.BOUNCE
    assert served.suppression.set_to is None


def test_outage_is_transient(ses, served, monkeypatch):
    """An SDK comes again."""

    def away(*_, **__):
        raise LedgerUnavailable("throttled")

    monkeypatch.setattr(served.suppression, "find", away)
    assert refused(ses.get_suppressed_destination, EmailAddress="u1@x.example")[1] == 503
