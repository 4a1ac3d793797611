"""infra/front_door/commands.py: the arguments of MAIL and RCPT."""

import pytest

from infra.front_door.commands import Refusal, parse_mail, parse_rcpt

MAIL = {
    "plain": ("FROM:<a@x.example>", "a@x.example", {}),
    "null": ("FROM:<>", "", {}),
    "blank after the colon": ("from: <a@x.example>", "a@x.example", {}),
    "source route": ("FROM:<@r.example,@s.example:a@x.example>", "a@x.example", {}),
    "quoted with a bracket": ('FROM:<"a>b"@x.example>', '"a>b"@x.example', {}),
    "all parameters": (
        "FROM:<a@x.example> SIZE=10 BODY=8bitmime RET=hdrs ENVID=Ab+2B1 AUTH=<> SMTPUTF8",
        "a@x.example",
        {"body_type": "8BITMIME", "ret": "HDRS", "envid": "Ab+2B1", "smtputf8": True},
    ),
    "utf-8": ("FROM:<ä@x.example> SMTPUTF8", "ä@x.example", {"smtputf8": True}),
}


@pytest.mark.parametrize(("argument", "path", "options"), MAIL.values(), ids=MAIL)
def test_mail_is_read(argument, path, options):
    """Path and parameters, whose values keep their case (RFC 3461 4.4)."""
    transaction = parse_mail(argument, max_message_octets=100, extended=True)
    assert (path, options) == (transaction.reverse_path, transaction.options)


BY = {
    "return": ("60;R", {"deliver_by": "2026-01-02T03:05:05Z", "deliver_by_mode": "return"}),
    "notify": ("+60;n", {"deliver_by": "2026-01-02T03:05:05Z", "deliver_by_mode": "notify"}),
    "traced": ("60;rt", {"deliver_by": "2026-01-02T03:05:05Z", "deliver_by_mode": "return", "deliver_by_trace": True}),
    "over": ("-5;N", {"deliver_by": "2026-01-02T03:04:00Z", "deliver_by_mode": "notify"}),
    "now": ("0;N", {"deliver_by": "2026-01-02T03:04:05Z", "deliver_by_mode": "notify"}),
    "the longest": ("999999999;R", {"deliver_by": "2057-09-10T04:50:44Z", "deliver_by_mode": "return"}),
}


@pytest.mark.parametrize(("value", "options"), BY.values(), ids=BY)
def test_by_is_a_deadline_from_mail_on(value, options):
    """RFC 2852 4: the time runs from the command."""
    found = parse_mail(f"FROM:<a@x.example> BY={value}", max_message_octets=100, extended=True, now=1767323045.0)
    assert options == found.options


def test_requiretls_is_for_who_came_by_tls():
    """RFC 8689 2: a parameter without a value, of a session that has TLS; elsewhere it is none."""
    found = parse_mail("FROM:<a@x.example> requiretls", max_message_octets=100, extended=True, secure=True)
    assert {"tls": "requiretls"} == found.options
    for argument, secure, reply in (
        ("FROM:<a@x.example> REQUIRETLS", False, "555 5.5.4"),
        ("FROM:<a@x.example> REQUIRETLS=yes", True, "501 5.5.4"),
    ):
        with pytest.raises(Refusal) as refusal:
            parse_mail(argument, max_message_octets=100, extended=True, secure=secure)
        assert refusal.value.reply.startswith(reply + " ")


BAD_MAIL = {
    "by without value": ("FROM:<a@x.example> BY", "501 5.5.4"),
    "by without mode": ("FROM:<a@x.example> BY=60", "501 5.5.4"),
    "by of another mode": ("FROM:<a@x.example> BY=60;Q", "501 5.5.4"),
    "by of ten digits": ("FROM:<a@x.example> BY=1000000000;R", "501 5.5.4"),
    "by with more": ("FROM:<a@x.example> BY=60;RTT", "501 5.5.4"),
    "by to return, over": ("FROM:<a@x.example> BY=-1;R", "501 5.5.4"),
    "by to return, at once": ("FROM:<a@x.example> BY=0;R", "501 5.5.4"),
    "by before it is sent": ("FROM:<a@x.example> BY=60;R HOLDFOR=60", "501 5.5.4"),
    "no brackets": ("FROM:a@x.example", "501 5.1.7"),
    "no keyword": ("<a@x.example>", "501 5.5.4"),
    "no domain": ("FROM:<a>", "501 5.1.7"),
    "two paths": ("FROM:<a@x.example><b@x.example>", "501 5.1.7"),
    "bad parameter": ("FROM:<a@x.example> =x", "501 5.5.4"),
    "unknown parameter": ("FROM:<a@x.example> XYZ=1", "555 5.5.4"),
    "parameter of RCPT": ("FROM:<a@x.example> NOTIFY=NEVER", "555 5.5.4"),
    "twice": ("FROM:<a@x.example> SIZE=1 size=1", "501 5.5.4"),
    "size no number": ("FROM:<a@x.example> SIZE=-1", "501 5.5.4"),
    "size not ASCII digits": ("FROM:<a@x.example> SIZE=٣", "501 5.5.4"),
    "size over the limit": ("FROM:<a@x.example> SIZE=101", "552 5.3.4"),
    "body unknown": ("FROM:<a@x.example> BODY=BINARYMIME", "501 5.5.4"),
    "ret unknown": ("FROM:<a@x.example> RET=SOME", "501 5.5.4"),
    "envid no xtext": ("FROM:<a@x.example> ENVID=a+zz", "501 5.5.4"),
    "envid empty": ("FROM:<a@x.example> ENVID", "501 5.5.4"),
    "envid too long": ("FROM:<a@x.example> ENVID=" + "a" * 101, "501 5.5.4"),
    "smtputf8 with value": ("FROM:<a@x.example> SMTPUTF8=1", "501 5.5.4"),
    "size of UTF-8": ("FROM:<a@x.example> SMTPUTF8 SIZE=\u0663", "501 5.5.4"),
    "auth of UTF-8 without SMTPUTF8": ("FROM:<a@x.example> AUTH=\u00fc@x.example", "501 5.5.4"),
    "utf-8 without SMTPUTF8": ("FROM:<ä@x.example>", "553 5.6.7"),
}


@pytest.mark.parametrize(("argument", "reply"), BAD_MAIL.values(), ids=BAD_MAIL)
def test_bad_mail_is_refused_by_what_is_wrong(argument, reply):
    """Each refusal carries the enhanced status of its cause (RFC 3463)."""
    with pytest.raises(Refusal) as refusal:
        parse_mail(argument, max_message_octets=100, extended=True)
    assert refusal.value.reply.startswith(reply + " ")


RCPT = {
    "plain": ("TO:<b@y.example>", "b@y.example"),
    "postmaster at a domain": ("TO:<Postmaster@y.example>", "Postmaster@y.example"),
    "our postmaster": ("TO:<Postmaster>", "Postmaster@door.example"),
    "our postmaster in small letters": (
        "TO:<postmaster> NOTIFY=NEVER",
        {"forward_path": "postmaster@door.example", "notify": ("NEVER",)},
    ),
    "notify": (
        "TO:<b@y.example> NOTIFY=delay,success",
        {"forward_path": "b@y.example", "notify": ("SUCCESS", "DELAY")},
    ),
    "never": ("TO:<b@y.example> NOTIFY=NEVER", {"forward_path": "b@y.example", "notify": ("NEVER",)}),
    "orcpt": (
        "TO:<b@y.example> ORCPT=rfc822;Bob+2Bx@y.example",
        {"forward_path": "b@y.example", "orcpt": "rfc822;Bob+2Bx@y.example"},
    ),
}


@pytest.mark.parametrize(("argument", "recipient"), RCPT.values(), ids=RCPT)
def test_rcpt_is_read(argument, recipient):
    """A recipient in the form of POST /v1/messages."""
    assert recipient == parse_rcpt(argument, hostname="door.example", smtputf8=False, extended=True)


def test_orcpt_may_be_utf8_once_smtputf8_is_said():
    """RFC 6533 3: unitext, which goes on in its ASCII form; without SMTPUTF8 it is a bad parameter."""
    argument = "TO:<\u00fc@y.example> ORCPT=utf-8;\u00fc\u4f8b@\U0001f600.example NOTIFY=NEVER"
    assert {
        "forward_path": "\u00fc@y.example", "orcpt": r"utf-8;\x{FC}\x{4F8B}@\x{1F600}.example", "notify": ("NEVER",),
    } == parse_rcpt(argument, hostname="door.example", smtputf8=True, extended=True)  # fmt: skip
    assert r"utf-8;\x{FC}@y.example" == parse_rcpt(
        r"TO:<b@y.example> ORCPT=utf-8;\x{FC}@y.example", hostname="d.example", smtputf8=False, extended=True
    )["orcpt"]  # fmt: skip
    with pytest.raises(Refusal) as refusal:
        parse_rcpt("TO:<b@y.example> ORCPT=utf-8;\u00fc@y.example", hostname="d.example", smtputf8=False, extended=True)
    assert refusal.value.reply == "501 5.5.4 ORCPT must be ASCII"


@pytest.mark.parametrize("parameters", ["SMTPUTF8 AUTH=\u00fc@x.example", "AUTH=\u00fc@x.example smtputf8"])
def test_auth_of_mail_may_be_utf8(parameters):
    """RFC 6531 3.4: in whatever order; it says nothing to us (RFC 4954 5)."""
    found = parse_mail(f"FROM:<a@x.example> {parameters}", max_message_octets=100, extended=True)
    assert {"smtputf8": True} == found.options


BAD_RCPT = {
    "null": ("TO:<>", "501 5.1.3"),
    "no domain": ("TO:<webmaster>", "501 5.1.3"),
    "postmaster with an empty domain": ("TO:<postmaster@>", "501 5.1.3"),
    "postmaster without brackets": ("TO:postmaster", "501 5.1.3"),
    "never with another": ("TO:<b@y.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
    "notify unknown": ("TO:<b@y.example> NOTIFY=OFTEN", "501 5.5.4"),
    "orcpt without type": ("TO:<b@y.example> ORCPT=b@y.example", "501 5.5.4"),
    "parameter of MAIL": ("TO:<b@y.example> SIZE=1", "555 5.5.4"),
    "orcpt of UTF-8 and another type": ("TO:<b@y.example> ORCPT=rfc822;\u00fc@y.example", "501 5.5.4"),
    "orcpt of UTF-8 and no type": ("TO:<b@y.example> ORCPT=\u00fc@y.example", "501 5.5.4"),
    "orcpt that hides a control character": ("TO:<b@y.example> ORCPT=utf-8;\u0085@y.example", "501 5.5.4"),
    "orcpt that grows too long": ("TO:<b@y.example> ORCPT=utf-8;" + "\u00fc" * 100 + "@y.example", "501 5.5.4"),
    "notify of UTF-8": ("TO:<b@y.example> NOTIFY=N\u00c9VER", "501 5.5.4"),
    "a space of UTF-8": ("TO:<b@y.example> NOTIFY=NEVER\u3000ORCPT=rfc822;b", "501 5.5.4"),
    "control character": ("TO:<b\x01@y.example>", "501 5.1.3"),
}


@pytest.mark.parametrize(("argument", "reply"), BAD_RCPT.values(), ids=BAD_RCPT)
def test_bad_rcpt_is_refused_by_what_is_wrong(argument, reply):
    """As for MAIL."""
    for smtputf8 in (False, True):
        with pytest.raises(Refusal) as refusal:
            parse_rcpt(argument, hostname="door.example", smtputf8=smtputf8, extended=True)
        assert refusal.value.reply.startswith(reply + " ")


def test_parameters_are_for_ehlo():
    """A client that said HELO knows no parameters (RFC 5321 2.2.1)."""
    with pytest.raises(Refusal):
        parse_mail("FROM:<a@x.example> SIZE=1", max_message_octets=100, extended=False)
