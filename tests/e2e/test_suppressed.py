"""An address that does not exist is mailed once: the bounce lists it, an operator takes it off, mail goes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from paravion.cli import main, sendmail

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SENDER = "author@example.org"
GONE = "missing+listed@example.com"


def _send(house: House, *to: str, sender: str = SENDER) -> dict[str, Any]:
    """Send by an unmodified SES client; gives the message once it is over."""
    content = {"Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}}
    ses = house.aws("sesv2")
    answer = ses.send_email(FromEmailAddress=sender, Destination={"ToAddresses": list(to)}, Content=content)
    return house.ended(answer["MessageId"])


def _recipient(message: dict[str, Any], path: str) -> dict[str, Any]:
    (found,) = [recipient for recipient in message["recipients"] if recipient["forward_path"] == path]
    return found  # type: ignore[no-any-return]


def test_bounce_lists_an_address_until_an_operator_takes_it_off(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By SES's API alone, and what the commands say meanwhile."""
    ses = house.aws("sesv2")
    first = _send(house, GONE, "good@example.com")
    assert _recipient(first, GONE)["code"] == 550
    listed = ses.get_suppressed_destination(EmailAddress=GONE.upper())["SuppressedDestination"]
    assert (listed["EmailAddress"], listed["Reason"]) == (GONE, "BOUNCE")
    assert listed["Attributes"]["MessageId"] == first["queue_id"]

    second = _send(house, GONE.replace("missing", "Missing"), "good@example.com")
    held = _recipient(second, GONE.replace("missing", "Missing"))
    assert (held["state"], held["status"], held["code"], held["command"]) == ("failed", "5.1.1", 0, "SUPPRESSION")
    assert _recipient(second, "good@example.com")["state"] == "delivered"
    reports = house.mail_to(SENDER, copies=2)
    assert b"550 5.1.1 No such user here" in reports[0]
    assert b"on the suppression list: BOUNCE, since" in reports[1]
    assert b"Final-Recipient: rfc822; good@example.com" not in reports[1]

    for name, value in (("API", house.engine.api_url), ("ACCESS_KEY", house.options.access_key),
                        ("SECRET_KEY", house.options.secret_key)):  # fmt: skip
        monkeypatch.setenv(f"PARAVION_{name}", value)
    assert sendmail.main(["-bv", GONE]) == 69
    assert "550 5.1.1 No such user here" in capsys.readouterr().out
    assert main.main(["suppression", "list"]) == 0
    assert GONE in capsys.readouterr().out

    ses.delete_suppressed_destination(EmailAddress=GONE)
    assert sendmail.main(["-bv", GONE]) == 0
    third = _send(house, GONE)
    assert _recipient(third, GONE)["code"] == 550, "asked again"
    assert main.main(["suppression", "remove", GONE]) == 0
    with pytest.raises(ClientError) as caught:
        ses.get_suppressed_destination(EmailAddress=GONE)
    assert caught.value.response["Error"]["Code"] == "NotFoundException"


def test_operators_entry_holds_mail_back_and_its_removal_lets_it_go(house: House) -> None:
    """Good mail to a good address."""
    ses = house.aws("sesv2")
    ses.put_suppressed_destination(EmailAddress="angry@example.com", Reason="COMPLAINT")
    assert _recipient(_send(house, "angry@example.com"), "angry@example.com")["state"] == "failed"
    ses.delete_suppressed_destination(EmailAddress="angry@example.com")
    assert _recipient(_send(house, "angry@example.com"), "angry@example.com")["state"] == "delivered"
    assert len(house.mail_to("angry@example.com")) == 1


def test_pages_over_the_real_table(house: House) -> None:
    """Filters and tokens, through the handlers and DynamoDB's model."""
    ses = house.aws("sesv2")
    names = {f"paged{n}@example.net" for n in range(12)}
    for name in names:
        ses.put_suppressed_destination(EmailAddress=name, Reason="COMPLAINT")
    found: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = ses.list_suppressed_destinations(PageSize=5, Reasons=["COMPLAINT"], **token)
        found += [summary["EmailAddress"] for summary in page["SuppressedDestinationSummaries"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert len(found) == len(set(found))
    assert {name for name in found if name.startswith("paged")} == names
    assert ses.get_account()["SuppressionAttributes"]["SuppressedReasons"] == ["BOUNCE", "COMPLAINT"]
    ses.put_account_suppression_attributes(SuppressedReasons=["COMPLAINT"])
    assert ses.get_account()["SuppressionAttributes"]["SuppressedReasons"] == ["COMPLAINT"]
