"""Mail of an identity, and the report about it, leave with two signatures that a verifier takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.dkim_keys import verified

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = ("identity_check=off",)
MAIL = b"From: me@news.example.org\r\nTo: you@example.com\r\nSubject: hello\r\nList-Unsubscribe: <https://u>\r\n\r\nbody \t x\r\n"


def _records(shown: dict) -> dict[str, str]:
    return {key["record"]["name"]: key["record"]["value"] for key in shown["dkim"]["keys"]}


def test_mail_and_its_report_are_signed(house: House) -> None:
    """By the key of the domain above the author's, and of the domain above the hostname's (mail.example.net)."""
    records: dict[str, str] = {}
    for name in ("example.org", "example.net"):
        records |= _records(house.client.put(f"/v1/identities/{name}"))
    house.ended(house.submit(MAIL, "good+dkim@example.com", "missing+dkim@example.com", sender="me@example.org"))
    (mail,) = house.mail_to("good+dkim@example.com")
    assert verified(_sent(mail), records) == [True, True]
    (report,) = house.mail_to("me@example.org")
    assert verified(_sent(report), records) == [True, True]
    assert b"d=example.net;" in report.partition(b"\r\n\r\n")[0]


def _sent(content: bytes) -> bytes:
    """Give the content without what the inbox put on top."""
    return content[content.index(b"DKIM-Signature:") :]
