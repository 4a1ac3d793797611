"""Logging in to a smarthost over sockets: the scriptable server, and servers that we did not write."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac

import aiosmtpd.smtp
import pytest
import scramp

from paravion.domain import sasl, status
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Result
from paravion.domain.sasl import Credential
from paravion.domain.verdict import our_outcome
from tests.integration.test_smtp_client import mail, transport
from tests.support.smtp_server import EXTENSIONS, SmtpServer, certificate

D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED
WHO = Credential("AKIAIOSFODNN7EXAMPLE", "s3cret-pässword")
CREDENTIALS = {
    "ses": WHO,
    "wrong": Credential("u", "wrong"),
    "token": Credential("u", token="t" * 700),
    "scram": Credential("u", "p", mechanism="SCRAM-SHA-256"),
    "login": Credential("u", "p", mechanism="LOGIN"),
}


def known(name):
    """What bootstrap's reader does, from a dictionary."""
    return CREDENTIALS.get(name) or our_outcome(status.MISCONFIGURED, f"There is no credential {name}", "AUTH")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"), "smart.test")


def hop(server, credential="", tls_mode=""):
    port = server if isinstance(server, int) else server.port
    host = MxHost("smart.test", port, ("127.0.0.1",), allow_private=True, by_route=True)
    return NextHop(f"smart.test:{port}", (host,), tls_mode, credential)


class AuthServer(SmtpServer):
    """Takes PLAIN, LOGIN, XOAUTH2 and SCRAM-SHA-256 of CREDENTIALS' passwords, after which it takes mail."""

    def __init__(self, offered, **options):
        super().__init__(extensions=(*EXTENSIONS, f"AUTH {offered}"), **options)


async def send(client, next_hop, transaction=None, within=5.0):
    deadline = asyncio.get_running_loop().time() + within
    outcomes = await client.send(next_hop, transaction or mail(), deadline)
    return outcomes[0]


def once(server, credential, tls_mode="", transaction=None, **options):
    async def go():
        async with server, transport(credential_of=known, **options) as client:
            return await send(client, hop(server, credential, tls_mode), transaction)

    return asyncio.run(go())


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("offered", ["PLAIN LOGIN", "PLAIN"])
def test_smarthost_on_587_takes_the_credential_after_starttls(offered, tls):
    """SES's way: nothing is offered before STARTTLS, AUTH PLAIN or LOGIN behind it."""
    server = AuthServer(offered, tls=tls)
    server.script["AUTH"] = "235 Authentication successful."
    outcome = once(server, "ses")
    assert (OK, True) == (outcome.result, server.messages[0].tls)
    commands = server.sessions[0].commands
    assert commands[:3] == ["EHLO us.test", "STARTTLS", "EHLO us.test"]
    assert commands[3] == "AUTH PLAIN " + b64(f"\0{WHO.user}\0{WHO.password}")


def test_login_is_asked_and_answered(tls):
    """The server's two questions."""
    server = AuthServer("LOGIN", tls=tls)
    server.script["AUTH"] = ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]
    assert once(server, "login").result is OK
    assert server.commands[3:6] == ["AUTH LOGIN", b64("u"), b64("p")]


def test_long_token_waits_for_its_334(tls):
    """RFC 4954 4 with RFC 5321 4.5.3.1.4."""
    server = AuthServer("XOAUTH2", tls=tls)
    server.script["AUTH"] = ["334 ", "235 ok"]
    assert once(server, "token").result is OK
    assert server.commands[3] == "AUTH XOAUTH2"


def test_refused_credential_makes_mail_wait(tls):
    """535 of our own smarthost: deferred, in the host's words, and nothing of the secret in it."""
    server = AuthServer("PLAIN", tls=tls)
    server.script["AUTH"] = "535 Authentication Credentials Invalid"
    outcome = once(server, "ses")
    assert (D, 535, "4.7.8", "AUTH", "smart.test") == (
        outcome.result,
        outcome.code,
        outcome.status,
        outcome.command,
        outcome.mx_host,
    )
    assert "Credentials Invalid" in outcome.text
    assert not any(command.startswith("MAIL") for command in server.commands)


def test_no_credential_where_one_is_wanted_makes_mail_wait(tls):
    """530 of a host that the operator named: a known gap until now."""
    server = AuthServer("PLAIN", tls=tls, script={"MAIL": "530 Authentication required"})
    outcome = once(server, "")
    assert (D, 530, "MAIL") == (outcome.result, outcome.code, outcome.command)


def test_mx_that_wants_authentication_refuses_for_good():
    """530 of somebody else's MX is a refusal like any other."""

    async def go():
        server = SmtpServer(script={"MAIL": "530 5.7.0 Authentication required"})
        async with server, transport() as client:
            host = MxHost("mx.test", server.port, ("127.0.0.1",), allow_private=True)
            return await send(client, NextHop("example.net", (host,)))

    assert asyncio.run(go()).result is F


@pytest.mark.parametrize(
    "script", [{}, {"STARTTLS": "454 not now"}, {"TLS": b"garbage"}], ids=["", "refused", "broken"]
)
def test_credential_is_never_sent_in_clear(script, tls):
    """Without STARTTLS, or with a broken one, mail waits; the fallback to clear is not for secrets."""
    server = AuthServer("PLAIN LOGIN", script=script, tls=tls if script else None)
    outcome = once(server, "ses")
    assert (D, "4.7.0") == (outcome.result, outcome.status)
    assert not any("AUTH" in command for command in server.commands)


def test_route_may_allow_clear_to_a_private_host():
    """`tls=none` and a loopback or private address: a tunnel, or the same machine."""
    server = AuthServer("PLAIN", script={"AUTH": "235 ok"})
    assert once(server, "ses", "none").result is OK
    assert server.commands[1].startswith("AUTH PLAIN ")


def test_unknown_credential_makes_mail_wait(tls):
    """Named by the route, gone from the store."""
    outcome = once(AuthServer("PLAIN", tls=tls), "gone")
    assert (D, "4.3.5", "There is no credential gone") == (outcome.result, outcome.status, outcome.text)


def test_secret_store_that_does_not_answer_costs_no_more_than_the_deadline(tls):
    """It is asked in a thread, and not waited for longer than the mail may take."""
    import threading

    stop = threading.Event()

    async def go():
        server = AuthServer("PLAIN", tls=tls)
        async with server, transport(credential_of=lambda _: stop.wait(5)) as client:
            outcome = await send(client, hop(server, "ses"), within=0.5)
            stop.set()
            return outcome

    outcome = asyncio.run(go())
    assert (D, "4.4.1", "AUTH") == (outcome.result, outcome.status, outcome.command)


def test_connections_are_shared_only_under_one_credential(tls):
    """What was logged in as one is not used for mail that goes as another, or as nobody."""

    async def go():
        server = AuthServer("PLAIN", tls=tls)
        server.script["AUTH"] = "235 ok"
        async with server, transport(credential_of=known) as client:
            for credential, mode in (("ses", ""), ("wrong", ""), ("", ""), ("ses", "encrypt"), ("ses", ""), ("", "")):
                assert (await send(client, hop(server, credential, mode))).result is OK
            return [message.session for message in server.messages], server.sessions

    used, sessions = asyncio.run(go())
    assert used == [0, 1, 2, 0, 0, 2]
    logins = [[c for c in session.commands if c.startswith("AUTH")] for session in sessions]
    assert [len(each) for each in logins] == [1, 1, 0]


@pytest.mark.parametrize("trusted", [True, False])
def test_credential_is_said_to_who_proves_its_name(trusted, tmp_path):
    """`verify`, which a route with a credential is unless it says otherwise: else nothing is said, mail waits."""
    server = AuthServer("PLAIN", tls=certificate(tmp_path, "smart.test"), script={"AUTH": "235 ok"})
    outcome = once(server, "ses", "verify", ca_file=str(tmp_path / "server.pem") if trusted else "")
    assert (OK if trusted else D) is outcome.result, outcome
    assert trusted == any("AUTH" in command for command in server.commands)


def test_scram_with_a_host_that_knows_the_password(tls):
    """RFC 5802 computed from the other side; the same host without the password proves nothing."""
    for password, expected in (("p", OK), ("x", D)):
        server = AuthServer("SCRAM-SHA-256", tls=tls)
        server.script["AUTH"] = _scram_host(password)
        outcome = once(server, "scram")
        assert expected is outcome.result, outcome
        assert bool(server.messages) == (expected is OK)


def _scram_host(password):
    """A SCRAM server that, knowing a password or not, always says yes in the end."""
    salt, count, said = b"salt1234", 4096, []

    def step(session, line):
        if line.startswith("AUTH"):
            bare = base64.b64decode(line.split()[2]).removeprefix(b"n,,")
            nonce = bare.partition(b"r=")[2] + b"theirs"
            first = b"r=" + nonce + b",s=" + base64.b64encode(salt) + b",i=%d" % count
            said[:] = [bare, first]
            return "334 " + base64.b64encode(first).decode()
        if line in ("", "*"):
            return "235 ok" if not line else "501 cancelled"
        final = base64.b64decode(line).rpartition(b",p=")[0]
        key = hmac.digest(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, count), b"Server Key", "sha256")
        signature = hmac.digest(key, b",".join((*said, final)), "sha256")
        return "334 " + base64.b64encode(b"v=" + base64.b64encode(signature)).decode()

    return step


@pytest.mark.parametrize("password", ["right", "wrong", "Gr\u00fc\u00dfe\u00a0\u2168"])
def test_scramp_takes_the_right_password_only(password, tls):
    """The host's side of SCRAM-SHA-256 as others wrote it; it prepares passwords (RFC 4013) itself."""
    stored = "wr\u00f6ng" if password == "wrong" else password.replace("\u2168", "IX").replace("\u00a0", " ")
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    kept = mechanism.make_auth_info(stored, iteration_count=4096)
    hosts = []

    def step(_, line):
        try:
            if line.startswith("AUTH"):
                hosts.append(mechanism.make_server(lambda user: kept if user == "us=er,x" else None))
                hosts[-1].set_client_first(base64.b64decode(line.split()[2]).decode())
                return "334 " + b64(hosts[-1].get_server_first())
            if not line:
                return "235 2.7.0 ok"
            hosts[-1].set_client_final(base64.b64decode(line).decode())
            return "334 " + b64(hosts[-1].get_server_final())
        except scramp.ScramException:
            return "535 5.7.8 no"

    who = sasl.credential("us=er,x", password)

    async def go():
        server = AuthServer("PLAIN SCRAM-SHA-256", tls=tls, script={"AUTH": step})
        async with server, transport(credential_of=lambda _: who) as client:
            return await send(client, hop(server, "x")), server.messages

    outcome, messages = asyncio.run(go())
    if password == "wrong":
        assert (D, 535, 0) == (outcome.result, outcome.code, len(messages))
    else:
        assert (OK, 1) == (outcome.result, len(messages)), outcome


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_aiosmtpd_takes_the_right_password_only(mechanism, password, tls):
    """A server that we did not write: STARTTLS required, AUTH required."""
    taken = []

    class Handler:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd's name)
            taken.append(envelope.rcpt_tos)
            return "250 ok"

    def authenticator(server, session, envelope, used, data):
        ok = used == mechanism and (data.login, data.password) == (b"u", b"right")
        return aiosmtpd.smtp.AuthResult(success=ok, handled=ok)

    def factory():
        return aiosmtpd.smtp.SMTP(
            Handler(), hostname="smart.test", tls_context=tls, require_starttls=True, auth_required=True,
            authenticator=authenticator, loop=asyncio.get_running_loop(),
        )  # fmt: skip

    async def go():
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            who = sasl.credential("u", password, "", mechanism)
            async with transport(credential_of=lambda _: who) as client:
                return await send(client, hop(port, "x"))
        finally:
            server.close()

    outcome = asyncio.run(go())
    if password == "right":
        assert (OK, [["b@example.net"]]) == (outcome.result, taken)
    else:
        assert (D, 535, []) == (outcome.result, outcome.code, taken)
