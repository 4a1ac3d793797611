"""
Mail programs that we did not write, at our doors: SMTP with TLS and AUTH, and the `sendmail` command.

Each verifies the door's certificate, logs in, and sends one message, which is read at the sink. What is not on this
machine, nor unpacked by `.ci/foreign-servers`, is skipped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import smtplib
import ssl
import subprocess
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from paravion.domain.ses_smtp_password import smtp_password
from tests.e2e.conftest import ROOT, House
from tests.support import foreign

BODY = "Grüße, one line\n.\n..and dots\n"
"""With what a door could get wrong: UTF-8, a lone dot, a line that begins with dots."""

SENDER = "me@example.org"


class Kit(NamedTuple):
    """What every client needs to know."""

    house: House
    folder: Path
    ca: Path
    user: str
    password: str
    sendmail: Path
    environ: dict[str, str]

    def address(self, kind: str) -> tuple[str, str]:
        """Host and port of the door with STARTTLS ("smtp") or TLS at once ("smtps")."""
        engine = self.house.engine
        host, _, port = ((engine.smtp_address if kind == "smtp" else engine.smtps_address) or "").rpartition(":")
        return host, port

    def message(self, to: str) -> EmailMessage:
        """The message as Python makes it."""
        message = EmailMessage(policy.SMTP)
        message["From"], message["To"], message["Subject"] = SENDER, to, "Grüße"
        message.set_content(BODY, cte="8bit")
        return message

    def file(self, to: str) -> Path:
        """The message in a file."""
        path = self.folder / f"{to}.eml"
        path.write_bytes(self.message(to).as_bytes())
        return path

    def run(self, *words: object, stdin: bytes | None = None, **environ: str) -> None:
        """Run a client; its words are shown if it fails."""
        done = subprocess.run(
            [str(word) for word in words], input=stdin, env={**self.environ, **environ}, cwd=self.folder,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def kit(house: House, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """The clients' home: the door's certificate as authority, and our sendmail installed."""
    folder = tmp_path_factory.mktemp("clients")
    host, _, port = (house.engine.smtps_address or "").rpartition(":")
    ca = folder / "door.pem"
    ca.write_text(ssl.get_server_certificate((host, int(port))))
    password = smtp_password(house.options.secret_key, "us-east-1")
    environ = {
        **foreign.ENVIRON, "HOME": str(folder), "PERL5LIB": str(foreign.ROOT / "usr/share/perl5"),
        "PARAVION_ENDPOINT": house.engine.api_url, "PARAVION_ACCESS_KEY": house.options.access_key,
        "PARAVION_SECRET_KEY": house.options.secret_key, "LANG": "C.UTF-8",
        "PYTHONPATH": f"{ROOT / 'layers/paravion/python'}{os.pathsep}{ROOT}",
    }  # fmt: skip
    command = [sys.executable, "-m", "paravion.cli.main", "install", str(folder)]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return Kit(house, folder, ca, house.options.access_key, password, folder / "sendmail", environ)


def program(name: str) -> Path:
    """Find a client, or skip the test."""
    unpacked = [foreign.ROOT / "usr/bin" / name, foreign.ROOT / "usr/lib/git-core" / name]
    found = next((path for path in unpacked if path.exists()), None) or shutil.which(name)
    if not found:
        pytest.skip(f"no {name} here")
    return Path(found)


def context(kit: Kit) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(kit.ca))


def by_smtplib(kit: Kit, to: str) -> None:
    host, port = kit.address("smtp")
    with smtplib.SMTP(host, int(port), timeout=30) as session:
        session.starttls(context=context(kit))
        session.login(kit.user, kit.password)
        session.send_message(kit.message(to), mail_options=["BODY=8BITMIME"])


def by_smtplib_tls(kit: Kit, to: str) -> None:
    host, port = kit.address("smtps")
    with smtplib.SMTP_SSL(host, int(port), timeout=30, context=context(kit)) as session:
        session.login(kit.user, kit.password)
        session.send_message(kit.message(to), mail_options=["BODY=8BITMIME"])


def by_aiosmtplib(kit: Kit, to: str) -> None:
    import aiosmtplib

    host, port = kit.address("smtp")
    asyncio.run(
        aiosmtplib.send(
            kit.message(to).as_bytes(),
            sender=SENDER,
            recipients=[to],
            hostname=host,
            port=int(port),
            start_tls=True,
            tls_context=context(kit),
            username=kit.user,
            password=kit.password,
            timeout=30,
        )
    )


def by_curl(kit: Kit, to: str) -> None:
    host, port = kit.address("smtp")
    _curl(kit, to, f"smtp://{host}:{port}", "--ssl-reqd")


def by_curl_tls(kit: Kit, to: str) -> None:
    host, port = kit.address("smtps")
    _curl(kit, to, f"smtps://{host}:{port}")


def _curl(kit: Kit, to: str, *words: str) -> None:
    curl = program("curl")
    kit.run(curl, *words, "-sS", "--cacert", kit.ca, "--user", f"{kit.user}:{kit.password}", "--mail-from", SENDER,
            "--mail-rcpt", to, "-T", kit.file(to))  # fmt: skip


def by_swaks(kit: Kit, to: str) -> None:
    host, port = kit.address("smtp")
    kit.run(program("swaks"), "--server", host, "--port", port, "--tls", "--tls-verify", "--tls-ca-path", kit.ca,
            "--auth", "LOGIN", "-au", kit.user, "-ap", kit.password, "--from", SENDER, "--to", to,
            "--data", f"@{kit.file(to)}")  # fmt: skip


def by_msmtp(kit: Kit, to: str) -> None:
    _msmtp(kit, to, "smtp", "on")


def by_msmtp_tls(kit: Kit, to: str) -> None:
    _msmtp(kit, to, "smtps", "off")


def _msmtp(kit: Kit, to: str, kind: str, starttls: str) -> None:
    msmtp = program("msmtp")
    host, port = kit.address(kind)
    path = kit.folder / f"msmtprc-{kind}"
    path.write_text(
        f"account default\nhost {host}\nport {port}\ntls on\ntls_starttls {starttls}\ntls_trust_file {kit.ca}\n"
        f"auth on\nuser {kit.user}\npassword {kit.password}\nfrom {SENDER}\n"
    )
    path.chmod(0o600)
    kit.run(msmtp, "-C", path, "--", to, stdin=kit.message(to).as_bytes())


def by_nodemailer(kit: Kit, to: str) -> None:
    modules = foreign.FOLDER / "nodemailer/node_modules"
    if not modules.exists():
        pytest.skip("no nodemailer here")
    host, port = kit.address("smtp")
    script = """
        const [host, port, user, pass, ca, from, to, file] = process.argv.slice(1);
        const fs = require("fs");
        require("nodemailer").createTransport({
            host, port: Number(port), requireTLS: true, auth: {user, pass}, tls: {ca: fs.readFileSync(ca)},
        }).sendMail({envelope: {from, to}, raw: fs.readFileSync(file)}).then(
            (info) => process.exit(info.accepted.length === 1 ? 0 : 1),
            (error) => { console.error(error); process.exit(1); });
    """
    kit.run(program("node"), "-e", script, "--", host, port, kit.user, kit.password, kit.ca, SENDER, to, kit.file(to),
            NODE_PATH=str(modules))  # fmt: skip


def by_s_nail(kit: Kit, to: str) -> None:
    _, port = kit.address("smtp")
    # It compares names only, no addresses.
    url = f"smtp://{kit.user}:{quote(kit.password, safe='')}@localhost:{port}"
    kit.run(program("s-nail"), "-:/", "-Sv15-compat", f"-Smta={url}", "-Ssmtp-use-starttls", "-Ssmtp-auth=plain",
            f"-Stls-ca-file={kit.ca}", "-Stls-ca-no-defaults", "-Stls-verify=strict", f"-Sfrom={SENDER}", "-r", SENDER,
            "-Sttycharset=utf-8", "-Ssendwait", "-s", "Grüße", to, stdin=BODY.encode(), DEAD=os.devnull)  # fmt: skip


def by_mutt(kit: Kit, to: str) -> None:
    host, port = kit.address("smtp")
    path = kit.folder / "muttrc"
    path.write_text(
        f'set smtp_url="smtp://{kit.user}@{host}:{port}/"\nset smtp_pass="{kit.password}"\nset ssl_force_tls=yes\n'
        f'set ssl_starttls=yes\nset certificate_file="{kit.ca}"\nset ssl_usesystemcerts=no\nset from="{SENDER}"\n'
        f'set use_envelope_from=yes\nset envelope_from_address="{SENDER}"\nset copy=no\nset charset="utf-8"\n'
        'set smtp_authenticators="plain"\n'
    )
    kit.run(program("mutt"), "-n", "-F", path, "-s", "Grüße", "--", to, stdin=BODY.encode())


def by_git(kit: Kit, to: str) -> None:
    host, port = kit.address("smtp")
    _git(kit, to, f"--smtp-server={host}", f"--smtp-server-port={port}", "--smtp-encryption=tls",
         f"--smtp-user={kit.user}", f"--smtp-pass={kit.password}", f"--smtp-ssl-cert-path={kit.ca}")  # fmt: skip


def by_git_sendmail(kit: Kit, to: str) -> None:
    _git(kit, to, f"--sendmail-cmd={kit.sendmail} -i")


def _git(kit: Kit, to: str, *words: str) -> None:
    script = program("git-send-email")
    program("git")
    patch = kit.folder / f"{to}.patch"
    patch.write_text(
        f"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: Me <{SENDER}>\n"
        "Date: Mon, 2 Nov 2026 10:00:00 +0000\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\n"
        f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{BODY}"
    )
    perl = ["perl", script] if script.is_relative_to(foreign.ROOT) else ["git", "send-email"]
    modules = "use Git; use IO::Socket::SSL; use Authen::SASL; use Net::SMTP;"
    if subprocess.run(["perl", "-e", modules], env=kit.environ, capture_output=True, check=False).returncode:
        pytest.skip("git send-email's Perl modules are not here")
    kit.run(*perl, *words, "--quiet", "--confirm=never", "--suppress-cc=all", f"--from=Me <{SENDER}>",
            f"--envelope-sender={SENDER}", f"--to={to}", "--no-validate", "--transfer-encoding=8bit", patch,
            GIT_CONFIG_NOSYSTEM="1", GIT_COMMITTER_NAME="Me", GIT_COMMITTER_EMAIL=SENDER,
            GIT_AUTHOR_NAME="Me", GIT_AUTHOR_EMAIL=SENDER)  # fmt: skip


def by_php(kit: Kit, to: str) -> None:
    unpacked = sorted((foreign.ROOT / "usr/bin").glob("php*.[0-9]"))
    php = unpacked[0] if unpacked else program("php")
    script = (
        f'exit(mail("{to}", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", {BODY.encode()!r}, '.replace("b'", '"').replace("',", '",')
        + f'"From: {SENDER}\\nMIME-Version: 1.0\\nContent-Type: text/plain; charset=utf-8\\n'
        f'Content-Transfer-Encoding: 8bit", "-f{SENDER}") ? 0 : 1);'
    )
    kit.run(php, "-n", "-d", f"sendmail_path={kit.sendmail} -t -i", "-r", script)


def by_mutt_sendmail(kit: Kit, to: str) -> None:
    path = kit.folder / "muttrc-sendmail"
    path.write_text(
        f'set sendmail="{kit.sendmail} -oem -oi"\nset from="{SENDER}"\nset use_envelope_from=yes\n'
        f'set envelope_from_address="{SENDER}"\nset copy=no\nset charset="utf-8"\n'
    )
    kit.run(program("mutt"), "-n", "-F", path, "-s", "Grüße", "--", to, stdin=BODY.encode())


def by_s_nail_sendmail(kit: Kit, to: str) -> None:
    kit.run(program("s-nail"), "-:/", f"-Smta={kit.sendmail}", f"-Sfrom={SENDER}", "-r", SENDER, "-Sttycharset=utf-8",
            "-Ssendwait", "-s", "Grüße", to, stdin=BODY.encode(), DEAD=os.devnull)  # fmt: skip


def by_bsd_mailx(kit: Kit, to: str) -> None:
    path = kit.folder / "mailrc"
    path.write_text(f"set sendmail={kit.sendmail}\n")
    kit.run(program("bsd-mailx"), "-s", "Grüße", "-r", SENDER, to, stdin=BODY.encode(), MAILRC=str(path),
            PARAVION_SENDER=SENDER)  # fmt: skip


def by_mime_lite(kit: Kit, to: str) -> None:
    if subprocess.run(["perl", "-MMIME::Lite", "-e", ""], env=kit.environ, capture_output=True, check=False).returncode:
        pytest.skip("no MIME::Lite here")
    script = """
        my ($from, $to, $body, $sendmail) = @ARGV;
        my $message = MIME::Lite->new(From => $from, To => $to, Subject => "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", Data => $body,
                                      Type => "text/plain; charset=utf-8", Encoding => "8bit");
        MIME::Lite->send("sendmail", "$sendmail -t -oi -oem -f $from");
        exit($message->send ? 0 : 1);
    """
    kit.run("perl", "-MMIME::Lite", "-e", script, SENDER, to, BODY, kit.sendmail)


def by_cron(kit: Kit, to: str) -> None:
    header = f"From: root (Cron Daemon)\nTo: {to.partition('@')[0]}\nSubject: Cron <root@h> Grüße\n"
    header += "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <HOME=/root>\n\n"
    words = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "-f", SENDER, to]
    kit.run(kit.sendmail, *words, stdin=f"{header}{BODY}".encode(), PARAVION_HOSTNAME="clients.example")


def by_paravion(kit: Kit, to: str) -> None:
    kit.run(sys.executable, "-m", "paravion.cli.main", "send", "--from", SENDER, "--to", to, "--subject", "Grüße",
            "--text", "-", "--wait", stdin=BODY.encode())  # fmt: skip


SMTP = {
    "smtplib": by_smtplib, "smtplib-tls": by_smtplib_tls, "aiosmtplib": by_aiosmtplib, "curl": by_curl,
    "curl-tls": by_curl_tls, "swaks": by_swaks, "msmtp": by_msmtp, "msmtp-tls": by_msmtp_tls,
    "nodemailer": by_nodemailer, "s-nail": by_s_nail, "mutt": by_mutt, "git": by_git,
}  # fmt: skip
COMMAND = {
    "php": by_php, "git-sendmail": by_git_sendmail, "mutt-sendmail": by_mutt_sendmail,
    "s-nail-sendmail": by_s_nail_sendmail, "bsd-mailx": by_bsd_mailx, "mime-lite": by_mime_lite, "cron": by_cron, "paravion-send": by_paravion,
}  # fmt: skip


OVER_HTTP = {"swaks", "msmtp-tls", "nodemailer"}
"""Also where the door has the API behind HTTP, as a deployed one has; the commands speak HTTP on both engines."""


@pytest.mark.parametrize(("name", "send"), [*SMTP.items(), *COMMAND.items()], ids=[*SMTP, *COMMAND])
def test_client(kit: Kit, name: str, send: Any) -> None:
    """One message, once, with its envelope, its words and its dots; over SMTP after TLS and AUTH (RFC 3848)."""
    if kit.house.options.engine != "embedded" and name not in OVER_HTTP:
        pytest.skip("not on this engine")
    to = f"{name}@clients.example"
    send(kit, to)
    (octets,) = kit.house.mail_to(to)
    message = message_from_bytes(octets, policy=policy.default)
    assert "Grüße" in message["Subject"]
    assert BODY.strip() in message.get_content().replace("\r\n", "\n")
    (mail,) = [mail for mail in kit.house.inbox.messages() if to in mail.rcpt_tos]
    assert (SENDER, (to,)) == (mail.mail_from, mail.rcpt_tos)
    received = str(message.get_all("Received")[0])
    assert ("with ESMTPSA" in received) == (name in SMTP)


def test_client_queue_hands_in_once(kit: Kit) -> None:
    """Kept without network, handed in later; a machine that forgot that it was handed in makes no second message."""
    if kit.house.options.engine != "embedded":
        pytest.skip("not on this engine")
    to = "queue@clients.example"
    kit.run(kit.sendmail, "-i", to, stdin=kit.message(to).as_bytes(), PARAVION_ENDPOINT="http://127.0.0.1:9")
    state = kit.folder / ".local/state"
    shutil.copytree(state, kit.folder / "before")
    kit.run(kit.sendmail, "-q")
    shutil.rmtree(state)
    shutil.copytree(kit.folder / "before", state)
    kit.run(kit.sendmail, "-q")
    last = "last@clients.example"
    kit.run(kit.sendmail, "-i", last, stdin=kit.message(last).as_bytes())
    kit.house.mail_to(last)
    assert len(kit.house.mail_to(to)) == 1


def test_later(kit: Kit) -> None:
    """`paravion send --at` is kept, and not sent before."""
    if kit.house.options.engine != "embedded":
        pytest.skip("not on this engine")
    words = ["--from", SENDER, "--to", "later@clients.example", "--subject", "later", "--text", "x", "--at", "in 1 day"]
    environ = {**kit.environ, "PARAVION_SENDER": SENDER}
    done = subprocess.run(
        [sys.executable, "-m", "paravion.cli.main", "send", *words], env=environ, check=True, capture_output=True
    )
    queue_id = done.stdout.decode().removeprefix("queued as ").partition(",")[0]
    message = kit.house.message(queue_id)
    assert [recipient["state"] for recipient in message["recipients"]] in ([], ["queued"])
    assert message["state"] != "done"
