"""cli/sendmail.py against an API that answers as told: what is sent, and the exit codes."""

import io
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from paravion.cli import client, sendmail, tls
from paravion.domain import http1
from paravion.domain.sigv4 import SignedRequest, parse_claim, verify
from tests.support.authority import Authority, pem, self_signed, server_context
from tests.unit.cli.fake_api import QUEUE_ID, FakeApi, error

ACCESS, SECRET = "AKIATEST", "secret"


@pytest.fixture
def api():
    """An API that answers as told."""
    with FakeApi() as api:
        yield api


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Retry at once."""
    monkeypatch.setattr(client, "RETRY_WAITS_S", (0.0, 0.0))


def environ(api, **more):
    """A complete configuration."""
    url = api if isinstance(api, str) else api.url
    return {
        "PARAVION_ENDPOINT": url, "PARAVION_ACCESS_KEY": ACCESS, "PARAVION_SECRET_KEY": SECRET,
        "PARAVION_HOSTNAME": "host.example", "PARAVION_SENDER": "me@x.example", "HOME": "/nonexistent", "PARAVION_QUEUE": "off", **more,
    }  # fmt: skip


def run(api, *words, stdin=b"To: b@y.example\nSubject: hi\n\nhello\n", **more):
    """Call sendmail; gives its exit code."""
    return sendmail.run(words, environ(api, **more), io.BytesIO(stdin))


def test_a_message_is_handed_in_and_exits_0(api):
    """Envelope by the words, From added, content otherwise as it came."""
    assert 0 == run(api, "-i", "-f", "a@x.example", "b@y.example", "root")
    (submission,) = api.submissions
    assert b"From: a@x.example\nTo: b@y.example\nSubject: hi\n\nhello\n" == submission.content
    assert {"reverse_path": "a@x.example", "recipients": ["b@y.example", "root@host.example"], "door": "sendmail"} == {
        name: value for name, value in submission.fields.items() if name != "content"
    }
    assert submission.headers["Idempotency-Key"].startswith("sendmail-")


def test_the_request_is_signed(api):
    """SigV4, as the API verifies it (domain/sigv4.py); the secret key does not travel."""
    run(api, "b@y.example")
    (submission,) = api.submissions
    headers = {name.lower(): value for name, value in submission.headers.items()}
    request = SignedRequest("POST", "/v1/messages", "", headers, submission.body)
    claim = parse_claim(request)
    assert ACCESS == claim.access_key
    import time

    verify(request, claim, SECRET, now=time.time())
    assert SECRET not in str(submission.headers)


def test_t_leaves_the_header_to_the_api(api):
    """-t: recipients are read, and Bcc is taken out, where the message is checked."""
    assert 0 == run(api, "-t")
    fields = api.submissions[0].fields
    assert (True, []) == (fields["recipients_from_header"], fields["recipients"])


def test_t_with_n_names_the_recipients(api):
    """-N holds for recipients of the header too."""
    assert 0 == run(api, "-t", "-N", "never", stdin=b"To: B <b@y.example>\nBcc: c@y.example, root\n\nx\n")
    fields = api.submissions[0].fields
    assert fields["recipients_from_header"]
    assert [
        {"forward_path": "b@y.example", "notify": ["NEVER"]},
        {"forward_path": "c@y.example", "notify": ["NEVER"]},
        {"forward_path": "root@host.example", "notify": ["NEVER"]},
    ] == fields["recipients"]


def test_t_with_n_of_a_message_sent_on_by_hand(api):
    """RFC 5322 3.6.6: who got the original does not get it again."""
    assert 0 == run(api, "-t", "-N", "never", stdin=b"Resent-To: new@y.example\nTo: b@y.example\n\nx\n")
    assert [{"forward_path": "new@y.example", "notify": ["NEVER"]}] == api.submissions[0].fields["recipients"]


def test_dsn_and_body_options_are_sent(api):
    """-N, -R, -V, -B, -U (RFC 3461, 6152, 6531)."""
    run(api, "-N", "success,delay", "-R", "hdrs", "-V", "id1", "-B", "8BITMIME", "-U", "b@y.example")
    fields = api.submissions[0].fields
    assert ("HDRS", "id1", "8BITMIME", True) == tuple(
        fields[name] for name in ("ret", "envid", "body_type", "smtputf8")
    )
    assert [{"forward_path": "b@y.example", "notify": ["SUCCESS", "DELAY"]}] == fields["recipients"]


def test_aliasing_and_origin_are_sent(api):
    """-n, and -p with and without a host."""
    assert 0 == run(api, "-n", "-pesmtps:h.example", "b@y.example")
    assert 0 == run(api, "-pSMTP", "b@y.example")
    first, second = (submission.fields for submission in api.submissions)
    assert (first["aliasing"], first["protocol"], first["client"]) == (False, "ESMTPS", "h.example")
    assert (second.get("aliasing"), second["protocol"], second.get("client")) == (None, "SMTP", None)


@pytest.mark.parametrize("value", ["", "<>"])
def test_the_null_sender(api, value):
    """-f '' and -f '<>' are RFC 5321's null reverse-path; no From is made of it."""
    assert 0 == run(api, "-f", value, "b@y.example")
    assert "" == api.submissions[0].fields["reverse_path"]
    assert b"From:" not in api.submissions[0].content


def test_without_f_the_caller_is_the_sender(api):
    """PARAVION_SENDER, else the login name at our host name."""
    run(api, "b@y.example")
    run(api, "b@y.example", PARAVION_SENDER="")
    first, second = (submission.fields["reverse_path"] for submission in api.submissions)
    assert "me@x.example" == first
    assert second.endswith("@host.example")
    assert len(second) > len("@host.example")


@pytest.mark.parametrize(
    ("words", "stdin", "body"),
    [
        ([], b"S: x\n\none\n.\ntwo\n", b"one\n"),
        ([], b"S: x\r\n\r\none\r\n.\r\ntwo\r\n", b"one\r\n"),
        (["-i"], b"S: x\n\none\n.\ntwo\n", b"one\n.\ntwo\n"),
        ([], b"S: x\n\n..\n.x\n", b"..\n.x\n"),
        ([], b"S: x\n\n\xff\x01no newline", b"\xff\x01no newline"),
    ],
)
def test_a_lone_dot_ends_the_message_unless_i(api, words, stdin, body):
    """sendmail(8) -i; octets stay octets."""
    assert 0 == run(api, *words, "b@y.example", stdin=stdin)
    assert api.submissions[0].content.endswith(b"\n" + body)


def test_a_message_without_a_header_gets_one(api):
    """As `echo hello | sendmail b@y` has it."""
    run(api, "-FCron", "b@y.example", stdin=b"hello\n")
    assert b"From: Cron <me@x.example>\n\nhello\n" == api.submissions[0].content


EXITS = {
    "no such user": (error(422, "no_such_user", 550, "5.1.1", "No such user"), 67),
    "no such domain": (error(422, "no_such_domain", 550, "5.1.2"), 68),
    "bad recipient": (error(422, "recipient_syntax", 501, "5.1.3", "Bad recipient", "b@"), 65),
    "no credential": (error(403, "auth_invalid", 535, "5.7.8"), 77),
    "not verified": (error(403, "relay_denied", 550, "5.7.1"), 77),
    "too big": (error(413, "message_too_big", 552, "5.3.4"), 69),
    "rate": (error(429, "rate_limited", 451, "4.4.5"), 75),
    "busy": (error(503, "system_busy", 421, "4.3.2"), 75),
    "their fault": (error(500, "internal", 451, "4.3.0"), 75),
    "their misconfiguration": (error(500, "misconfigured", 451, "4.3.5"), 75),
    "gateway 403": ((403, {"message": "Forbidden"}), 77),
    "gateway 404": ((404, b"nothing here"), 69),
    "gateway 429": ((429, {}), 75),
    "unknown key": (error(422, "from_the_future", 550, "5.9.9"), 69),
    "no queue id": ((202, {}), 75),
    "no JSON": ((202, b"ok"), 75),
}


@pytest.mark.parametrize(("script", "code"), EXITS.values(), ids=EXITS)
def test_exit_codes(api, capsys, script, code):
    """By sysexits and the API's error; 75 only if the mail was not accepted and may be tried again."""
    api.script.append(script)
    assert code == run(api, "b@y.example")
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("sendmail: ")
    assert 1 == err.count("\n")
    assert 1 == len(api.submissions)


@pytest.mark.parametrize("fault", ["lost", "cut", (502, {}), (504, {})], ids=str)
def test_a_lost_answer_is_asked_for_again_under_the_same_key(api, fault):
    """The same octets, one message."""
    api.script.append(fault)
    assert 0 == run(api, "b@y.example")
    first, again = api.submissions
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert first.body == again.body


def test_an_api_that_is_away_exits_75(capsys):
    """EX_TEMPFAIL, with words."""
    assert 75 == run("http://127.0.0.1:9", "b@y.example")
    assert "not accepted, try again later" in capsys.readouterr().err


def test_an_api_that_hangs_exits_75(api, monkeypatch):
    """The time for one answer is bounded, and so is the number of tries."""
    api.script.extend(["hang"] * 3)
    monkeypatch.setattr(
        client.Client.__init__, "__kwdefaults__", {**client.Client.__init__.__kwdefaults__, "answer_timeout_s": 0.1}
    )
    assert 75 == run(api, "b@y.example")
    assert 1 == len({submission.headers["Idempotency-Key"] for submission in api.submissions})


def test_a_refused_upload_exits_75(api):
    """The store's word is not the API's: nothing was accepted, and another try gets another ticket."""
    api.script.append((201, {"upload_id": "u", "url": f"{api.url}/other", "method": "PUT", "headers": {}}))
    api.script.append((403, b"<Error/>"))
    assert 75 == run(api, "b@y.example", stdin=b"x" * 4_000_000)
    assert [] == api.submissions


def test_large_mail_is_uploaded(api):
    """Above what fits into a request, by POST /v1/uploads."""
    stdin = b"From: a@x.example\n\n" + b"x" * 4_000_000
    assert 0 == run(api, "b@y.example", stdin=stdin)
    assert stdin == api.uploads["up0"]
    assert "up0" == api.submissions[0].fields["upload_id"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 64),
        (["-z", "b@y"], 64),
        (["-bt"], 64),
        (["-bp", "x"], 64),
        (["-q", "x"], 64),
        (["-Ac", "-q"], 64),
        (["-q5m"], 64),
        (["a b"], 65),
    ],
)
def test_wrong_calls(api, capsys, words, code):
    """Nothing is sent, and one line says why."""
    assert code == run(api, *words)
    assert 1 == capsys.readouterr().err.count("\n")
    assert [] == api.requests


@pytest.mark.parametrize("words", [[], ["-t", "-N", "never"]], ids=["cron", "-t"])
def test_bare_names_in_the_header_get_our_host_name(api, words):
    """Cron's From and To: the API takes addresses only."""
    stdin = b"From: root (Cron Daemon)\nTo: root\nSubject: x\n\n10%\r20%\n"
    assert 0 == run(api, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", *words, *([] if words else ["root"]), stdin=stdin)
    (submission,) = api.submissions
    header = b"From: root@host.example (Cron Daemon)\nTo: root@host.example\nSubject: x\n"
    assert header + b"\n10%\n20%\n" == submission.content
    assert "root@host.example" in str(submission.fields["recipients"])


@pytest.mark.parametrize(
    ("words", "asked"), [(["-bp", "-Ac"], 0), (["-bP", "-Ac"], 0), (["-bp", "-Am"], 1), (["-bh"], 1)]
)
def test_halves(api, capsys, tmp_path, words, asked):
    """-Ac is this machine's queue and asks nobody; -Am the service's; a -C of its own counts in every mode."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    api.answers["/v1/hosts?limit=1000"] = {"hosts": [], "after": ""}
    path = tmp_path / "c.toml"
    path.write_text(f'endpoint = "{api.url}"\naccess_key = "A"\nsecret_key = "s"\n')
    assert 0 == sendmail.run([*words, "-C", str(path)], {"HOME": str(tmp_path)}, None)
    assert asked == len(api.requests)


def test_quiet_says_nothing(api, capsys):
    """-oeq: the exit code alone."""
    api.script.append(error(422, "no_such_user", 550, "5.1.1"))
    assert 67 == run(api, "-oeq", "b@y.example")
    assert ("", "") == capsys.readouterr()


def test_verbose_prints_the_queue_id(api, capsys):
    """-v."""
    run(api, "-v", "b@y.example")
    assert QUEUE_ID in capsys.readouterr().out


def test_without_configuration_it_exits_78(capsys):
    """Every missing value is named."""
    assert 78 == sendmail.run(["b@y.example"], {"HOME": "/nonexistent"}, io.BytesIO(b""))
    err = capsys.readouterr().err
    assert all(name in err for name in ("PARAVION_ENDPOINT", "PARAVION_ACCESS_KEY", "PARAVION_SECRET_KEY"))


def test_the_configuration_file(api, tmp_path):
    """-C names one; variables beat it; HOST:PORT will do for the API."""
    path = tmp_path / "client.toml"
    path.write_text(f'api = "{api.url.removeprefix("http://")}"\naccess_key = "AKIAFILE"\nsecret_key = "s"\n')
    assert 0 == sendmail.run(["-C", str(path), "b@y.example"], {"PARAVION_ACCESS_KEY": "AKIAENV"}, io.BytesIO(b"x\n"))
    assert "Credential=AKIAENV/" in api.submissions[0].headers["Authorization"]


@pytest.mark.parametrize("text", ["api = 1", "nonsense", 'apl = "x"'])
def test_a_bad_configuration_file_exits_78(tmp_path, capsys, text):
    """Named by its path."""
    (tmp_path / "paravion").mkdir()
    (tmp_path / "paravion" / "client.toml").write_text(text)
    assert 78 == sendmail.run(["b@y.example"], {"XDG_CONFIG_HOME": str(tmp_path)}, io.BytesIO(b""))
    assert "client.toml" in capsys.readouterr().err


def test_a_bad_url_exits_78(capsys):
    """PARAVION_API."""
    assert 78 == run("ftp://x", "b@y.example")
    assert "PARAVION_ENDPOINT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [("mailq", 0, "is empty"), ("smtpd", 64, "-bd"), ("purgestat", 64, "-bH"), ("newaliases", 66, "/nonexistent")],
)
def test_names(api, monkeypatch, capsys, name, code, told):
    """sendmail(8): what it is called by says what it does."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    for variable, value in environ(api, PARAVION_ALIASES="/nonexistent").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", [f"/usr/sbin/{name}"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert code == sendmail.main()
    assert told in "".join(capsys.readouterr())


AUTHORITIES = ("bundle", "folder, then bundle", "hashed folder", "ssl module")


@pytest.mark.parametrize("way", AUTHORITIES)
def test_over_tls(api, monkeypatch, tmp_path, way):
    """The production's way: https, with the certificate and its name verified, however the authorities are found."""
    authority, other = Authority("root"), Authority("other")
    context = server_context(authority.issue("localhost"))
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)
    (tmp_path / "root.pem").write_bytes(pem(authority.certificate))
    folder = tmp_path / "certs"
    folder.mkdir()
    if way == "hashed folder":
        openssl = shutil.which("openssl") or pytest.skip("no openssl here")
        words = [openssl, "x509", "-hash", "-noout", "-in", tmp_path / "root.pem"]
        digest = subprocess.run(words, capture_output=True, check=True).stdout.decode().strip()
        (folder / f"{digest}.0").write_bytes(pem(authority.certificate))
    if way == "ssl module":
        monkeypatch.setattr(tls, "_KNOWN", ())
    monkeypatch.setattr(tls, "_hashed_folder", lambda _: "" if way in {"bundle", "ssl module"} else str(folder))
    api.base = "https://localhost"
    url = api.url
    (tmp_path / "other.pem").write_bytes(pem(other.certificate))
    if way != "hashed folder":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        assert 75 == run(url, "b@y.example")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    assert 0 == run(url, "b@y.example")
    large = b"x" * 4_000_000
    assert 0 == run(url, "b@y.example", stdin=large)
    assert 75 == run(url.replace("localhost", "127.0.0.1"), "b@y.example")
    assert 2 == len(api.submissions)


def _serves(certificate):
    return server_context(certificate)


def _old(certificate):
    context = server_context(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


BAD_SERVERS = {
    "expired": lambda root: _serves(root.issue("localhost", expired=True)),
    "another's": lambda root: _serves(root.issue("localhost.example")),
    "of a label above": lambda root: _serves(root.issue("*.localhost")),
    "of its own making": lambda _: _serves(self_signed("localhost")),
    "by no authority": lambda root: _serves(Authority("leaf", root, ca=False).issue("localhost")),
    "TLS 1.1": lambda root: _old(root.issue("localhost")),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("way", ["parts", "ssl module"])
@pytest.mark.parametrize("server", BAD_SERVERS)
def test_no_message_is_given_to_a_host_that_is_not_it(api, monkeypatch, tmp_path, server, way):
    """As ssl's default context says, whichever of the two is used."""
    root = Authority("root")
    api.server.socket = BAD_SERVERS[server](root).wrap_socket(api.server.socket, server_side=True)
    api.base = "https://localhost"
    if way == "ssl module":
        monkeypatch.setattr(tls, "_KNOWN", ())
    monkeypatch.setenv("SSL_CERT_FILE", root.trusted(tmp_path))
    assert 75 == run(api.url, "b@y.example")
    assert [] == api.submissions


@pytest.mark.parametrize("greets", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silence", "no TLS"])
def test_host_without_tls_is_no_answer(monkeypatch, greets):
    """Within the time for each step."""
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = http1.Target(f"https://127.0.0.1:{server.getsockname()[1]}")

        def answer():
            with server.accept()[0] as connection:
                connection.sendall(greets)
                connection.recv(1)
                if greets:
                    return
                connection.settimeout(10)
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError):
            client.exchange(target, "GET", "/", {}, b"", 0.2)
        thread.join()


def test_authorities_named_in_the_environment_are_the_only_ones(monkeypatch):
    """OpenSSL's own variables: then nothing is looked up in the system's directory."""
    import _ssl

    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        with monkeypatch.context() as changed:
            changed.setenv(variable, "/nonexistent")
            assert "" == tls._hashed_folder(_ssl)


@pytest.mark.parametrize("words", [["b@y.example"], ["-odq", "b@y.example"]], ids=["to the API", "to the queue"])
def test_the_command_imports_little(api, tmp_path, words):
    """Cron and PHP start it for each mail: nothing that takes long to import, and no ssl for a plain API."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(sendmail.__file__).parents[2])!r})\n"
        f"from paravion.cli import sendmail; sys.argv = ['sendmail', *{words!r}]\n"
        "code = sendmail.main(); print(code, *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", script], input=b"x\n",
                          env=environ(api, HOME=str(tmp_path), PARAVION_QUEUE=""), capture_output=True, check=True)  # fmt: skip
    code, *modules = done.stdout.decode().split()
    assert "0" == code
    assert set() == {"boto3", "botocore", "asyncio", "email", "http.client", "argparse", "ssl", "urllib.request", "re", "json",
                     "socket", "hashlib", "typing", "dataclasses", "encodings.idna", "pathlib"} & set(modules)  # fmt: skip
