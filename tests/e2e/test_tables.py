"""sendmail's tables through every door, loaded as an operator loads them."""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from paravion.cli import newaliases, sendmail
from paravion.cli.client import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import House

SETTINGS = ("local_domains=local.example",)

CONTENT = b"From: me@example.org\r\nTo: someone@local.example\r\nSubject: x\r\n\r\nbody\r\n"


def _load(house: House, kind: str, text: str, **query: str) -> dict[str, Any]:
    return house.client.put(f"/v1/tables/{kind}", query, text.encode(), "application/octet-stream")


@pytest.fixture(scope="module", autouse=True)
def _tables(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The aliases by the command, the rest by the API; before the first mail, so that nothing is cached."""
    folder: Path = tmp_path_factory.mktemp("etc")
    (folder / "members").write_text("m1@z.example\nm2@z.example\n")
    (folder / "aliases").write_text(
        f"team: alice@a.example, bob\nbob: bob@b.example\nlist: :include:{folder}/members, unknown@refused.example\n"
        "owner-list: boss@o.example\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        _configure(house, patch)
        assert newaliases.main(["--aliases", str(folder / "aliases")]) == 0
    _load(house, "virtusertable", "info@v.example\tcarol@c.example\n@v.example\terror:nouser Nobody here\n")
    _load(house, "access", "From:spam.example\tREJECT\nTo:closed@z.example\tERROR:5.7.2:553 closed\n")
    _load(house, "mailertable", "refused.example\terror:5.1.1:550 no such member\nvoid.example discard:\n")


def _configure(house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PARAVION_API", house.engine.api_url)
    patch.setenv("PARAVION_ACCESS_KEY", house.options.access_key)
    patch.setenv("PARAVION_SECRET_KEY", house.options.secret_key)


def test_alias_expands(house: House) -> None:
    """team@<local domain> reaches its members, and nobody else."""
    house.submit(CONTENT, "team@local.example")
    for member in ("alice@a.example", "bob@b.example"):
        (content,) = house.mail_to(member)
        assert b"Delivered-To: team@local.example\r\n" in content
    house.quiet()
    assert not [mail for mail in house.inbox.messages() if "team@local.example" in mail.rcpt_tos]


def test_list_goes_out_from_its_owner_who_gets_the_bounce(house: House) -> None:
    """owner-: reverse-path of the members' copy, and of the report about a dead one."""
    house.submit(CONTENT, "list@local.example", sender="author@example.org")
    house.mail_to("m1@z.example")
    (mail,) = [mail for mail in house.inbox.messages() if "m1@z.example" in mail.rcpt_tos]
    assert mail.mail_from == "boss@o.example"
    (report,) = house.mail_to("boss@o.example")
    assert b"unknown@refused.example" in report
    house.quiet()
    assert not [mail for mail in house.inbox.messages() if "author@example.org" in mail.rcpt_tos]


def test_virtual_user_is_rewritten_at_the_smtp_door(house: House) -> None:
    """And an unknown one is refused by its own words."""
    with house.smtp() as session:
        session.sendmail("me@example.org", ["info@v.example"], CONTENT)
        with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused)) as refused:
            session.sendmail("me@example.org", ["other@v.example"], CONTENT)
    house.mail_to("carol@c.example")
    assert "5.1.1" in str(refused.value)


def test_access_refuses_at_each_door(house: House) -> None:
    """Native, SES v2, SES v1, SMTP."""
    with pytest.raises(ApiError, match="closed") as native:
        house.submit(CONTENT, "closed@z.example")
    assert native.value.exit == 77
    destination = {"ToAddresses": ["a@a.example"]}
    body = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
    with pytest.raises(ClientError, match="access table"):
        house.aws("sesv2").send_email(
            FromEmailAddress="x@spam.example", Destination=destination, Content={"Simple": body}
        )
    with pytest.raises(ClientError, match="access table"):
        house.aws("ses").send_email(Source="x@spam.example", Destination=destination, Message=body)
    with house.smtp() as session, pytest.raises(smtplib.SMTPException) as refused:
        session.sendmail("x@spam.example", ["a@a.example"], CONTENT)
    assert "5.7.1" in str(refused.value)


def test_discarded_route_delivers_to_nobody(house: House) -> None:
    """mailertable in deliver."""
    message = house.ended(house.submit(CONTENT, "x@void.example"))
    assert [recipient["state"] for recipient in message["recipients"]] == ["delivered"]
    assert not [mail for mail in house.inbox.messages() if "x@void.example" in mail.rcpt_tos]


def test_bv_tells_what_would_happen(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent; exit 67 for one that nobody is behind."""
    _configure(house, monkeypatch)
    before = len(house.inbox.messages())
    assert sendmail.main(["-bv", "-v", "list", "other@v.example"]) == 67
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "list... deliverable: 3 recipients"
    assert any(line.startswith("  m1@z.example: mailer smtp, host") and "boss@o.example" in line for line in lines)
    assert any(line.startswith("other@v.example... refused: 5.1.1") for line in lines)
    assert len(house.inbox.messages()) == before


def test_bad_table_is_refused_and_the_old_one_stays(house: House) -> None:
    """File and line; nothing half-loaded."""
    with pytest.raises(ApiError, match=r"virt:2: .*whole|virt:2: bad: "):
        _load(house, "virtusertable", "info@v.example x@y.example\nbad\n", file="virt")
    shown = house.client.get("/v1/tables/virtusertable", {"key": "info@v.example"})
    assert shown["entries"][0]["value"] == ["carol@c.example"]
