"""
`make demo`: the main job, shown and checked: three mails, by three doors, to three ends.

Local mode starts on free ports with its clock shortened by settings. One mail goes by an unmodified boto3
(only `endpoint_url` differs), one by smtplib with STARTTLS and AUTH, one by the `sendmail` command; to a
recipient that takes it, one that is busy at first, one that does not exist. Each message's timeline, the
report that the third one's sender gets, and the AWS calls of each are printed. Exit 0 only if every
outcome is right.

It runs on the embedded engine, in a directory that is gone afterwards; `--engine moto` runs it on the template.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import importlib
import io
import os
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config as SdkConfig

from infra.local.options import Options, read_options
from paravion.cli import show
from paravion.cli.client import ApiAway, ApiError, Client
from paravion.cli.config import Config
from paravion.cli.up import ENGINES
from paravion.domain.ses_smtp_password import smtp_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from infra.local.embedded import EmbeddedEngine
    from infra.local.engine import LocalEngine
    from infra.local.inbox import CaughtMail

ROOT: Final = Path(__file__).resolve().parents[2]
SENDER: Final = "shop@example.com"
GOOD: Final = "ann@example.net"
BUSY: Final = "busy-once@example.net"
MISSING: Final = "missing@example.net"

PATIENCE_S: Final = 60.0
"""How long a message may take to its end; far above the few seconds that it takes."""

SETTINGS: Final = (
    "retry_intervals_s=2",
    "retry_jitter_ratio=0",
    "sweep_interval_s=0.5",
    "hostname=mail.example.com",
)


class Demo:
    """One run; `problems` says what came out wrong."""

    def __init__(self, engine: EmbeddedEngine | LocalEngine, options: Options) -> None:
        self.engine = engine
        self.options = options
        self.client = Client(Config(engine.api_url, options.access_key, options.secret_key))
        self.problems: list[str] = []
        self.questions = 0
        self._groups = 0

    def check(self, fact: str, *, holds: bool) -> None:
        """Print a fact with its verdict."""
        print(f"  {'ok  ' if holds else 'FAIL'}  {fact}")
        if not holds:
            self.problems.append(fact)

    def tell(self, title: str, send: Callable[[], str], states: dict[str, str]) -> dict[str, Any]:
        """Send one mail, wait for its end, print its timeline and what it cost, check its outcome."""
        print(f"\n── {title}")
        self.engine.calls.clear()
        self.groups()
        self.questions = 0
        queue_id = send()
        print(f"  accepted as {queue_id}\n")
        message = self.wait_for_end(queue_id)
        cost = Counter(self.engine.calls)
        for line in show.render(message):
            print(f"  {line}")
        print(f"\n  {_bill(cost, self.questions) if cost else self.groups()}\n")
        found = {recipient["forward_path"]: recipient["state"] for recipient in message["recipients"]}
        self.check(", ".join(f"{path} is {state}" for path, state in states.items()), holds=found == states)
        return message

    def groups(self) -> str:
        """Say how often the embedded engine went to the disk since the last call."""
        data = getattr(self.engine, "data", None)
        if data is None:
            return ""
        since, self._groups = self._groups, data.database.groups
        return f"Written to the disk {self._groups - since} times, each with all that came together"

    def wait_for_end(self, queue_id: str) -> dict[str, Any]:
        """Ask for the message until it is done and owes nothing."""
        until = time.monotonic() + PATIENCE_S
        message: dict[str, Any] = {"recipients": [], "queue_id": queue_id, "state": "unknown"}
        while time.monotonic() < until:
            message = self.client.get(f"/v1/messages/{queue_id}")
            self.questions += 1
            if message["state"] == "done" and not message["notices_owed"]:
                return message
            time.sleep(0.2)
        self.problems.append(f"{queue_id} came to no end within {PATIENCE_S:g} s")
        return message

    def mail_to(self, recipient: str) -> list[CaughtMail]:
        """Give what the inbox holds for a recipient, once there is something or patience ends."""
        inbox = self.engine.inbox
        if inbox is None:
            raise RuntimeError("the demo runs with its inbox")

        def mine(mails: Iterable[CaughtMail]) -> list[CaughtMail]:
            return [mail for mail in mails if recipient in mail.rcpt_tos]

        return mine(inbox.wait(lambda mails: bool(mine(mails)), PATIENCE_S))

    def by_ses(self) -> str:
        """Send with the AWS SDK."""
        ses = boto3.client(
            "sesv2",
            endpoint_url=self.engine.api_url,
            region_name="us-east-1",
            aws_access_key_id=self.options.access_key,
            aws_secret_access_key=self.options.secret_key,
            config=SdkConfig(retries={"total_max_attempts": 2}),
        )
        answer = ses.send_email(
            FromEmailAddress=f"Shop <{SENDER}>",
            Destination={"ToAddresses": [GOOD]},
            Content={
                "Simple": {
                    "Subject": {"Data": "Your invoice 2026-117"},
                    "Body": {"Text": {"Data": "Dear Ann,\nyour invoice: 12,50 €.\n", "Charset": "UTF-8"}},
                }
            },
        )
        message_id: str = answer["MessageId"]
        return message_id

    def by_smtp(self) -> str:
        """Send with SMTP, STARTTLS and the credentials that SES would take."""
        host, _, port = (self.engine.smtp_address or "").rpartition(":")
        context = ssl.create_default_context()
        # The door's certificate was made a second ago; nobody could have signed it.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP(host, int(port), timeout=30) as smtp:
            smtp.starttls(context=context)
            smtp.login(self.options.access_key, smtp_password(self.options.secret_key, "us-east-1"))
            smtp.mail(SENDER)
            smtp.rcpt(BUSY)
            content = f"From: {SENDER}\r\nTo: {BUSY}\r\nSubject: Your parcel\r\n\r\nIt is on its way.\r\n.\r\n"
            _, reply = smtp.data(content)
        return reply.decode().split()[-1]

    def by_sendmail(self) -> str:
        """Send with the command, as cron would."""
        content = f"From: {SENDER}\nTo: {MISSING}\nSubject: Reset your password\n\nFollow this link.\n"
        environ = {
            **os.environ,
            "PARAVION_ENDPOINT": self.engine.api_url,
            "PARAVION_QUEUE": "off",
            "PARAVION_ACCESS_KEY": self.options.access_key,
            "PARAVION_SECRET_KEY": self.options.secret_key,
        }
        done = subprocess.run(  # noqa: S603 (our own command)
            [sys.executable, "-m", "paravion.cli.sendmail", "-v", "-t", "-f", SENDER],
            input=content.encode(),
            env=environ,
            capture_output=True,
            timeout=60,
            check=False,
        )
        output = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"sendmail exited with {done.returncode}: {output}")
        return output.partition("queued as ")[2].partition(",")[0]

    def run(self) -> None:
        """All three mails, and the report."""
        self.tell(f"1. SES v2 API, boto3 → {GOOD}, who takes it", self.by_ses, {GOOD: "delivered"})
        caught = self.mail_to(GOOD)
        self.check("it arrived once, with its body", holds=len(caught) == 1 and b"=E2=82=AC" in caught[0].content)

        message = self.tell(
            f"2. SMTP, STARTTLS and AUTH → {BUSY}, who is busy at first", self.by_smtp, {BUSY: "delivered"}
        )
        events = [entry["event"] for entry in message["timeline"]]
        self.check("it was deferred, then delivered", holds=events.count("deferred") == 1 and "delivered" in events)
        self.check("it arrived once", holds=len(self.mail_to(BUSY)) == 1)

        self.tell(f"3. sendmail -t → {MISSING}, who does not exist", self.by_sendmail, {MISSING: "failed"})
        reports = self.mail_to(SENDER)
        self.check(
            "its sender got one report, from the null reverse-path", holds=[m.mail_from for m in reports] == [""]
        )
        if reports:
            self.read_report(reports[0])

    def read_report(self, mail: CaughtMail) -> None:
        """Print the report as its recipient reads it, and check what a program reads in it."""
        report = email.message_from_bytes(mail.content, policy=email.policy.default)
        first = next(part for part in report.walk() if part.get_content_type() == "text/plain")
        print("\n── The report in the sender's mailbox\n")
        for name in ("From", "To", "Subject", "Auto-Submitted"):
            print(f"  {name}: {report[name]}")
        print()
        for line in first.get_content().splitlines():
            print(f"  {line}".rstrip())
        print()
        self.check("it is an RFC 3464 report", holds=report.get_content_type() == "multipart/report")
        self.check(
            "it says 5.1.1 for the right address",
            holds=b"Status: 5.1.1" in mail.content and MISSING.encode() in mail.content,
        )


def _bill(calls: Counter[str], questions: int) -> str:
    """
    Say what the mail itself cost.

    Left out: the sweep's look at its index twice a second, our own questions (each reads one qf), secrets
    read once, and boto3's call of our own API.
    """
    calls["s3.GetObject"] -= questions
    ignored = {"dynamodb.Query", "ssm.GetParameter", "sesv2.SendEmail"}
    told = (f"{count} {name}" for name, count in sorted(calls.items()) if count > 0 and name not in ignored)
    return "AWS calls: " + ", ".join(told)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the functions' log is shown only if something went wrong."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="embedded")
    engine_name = parser.parse_args(argv).engine
    with tempfile.TemporaryDirectory(prefix="paravion-demo-") as folder:
        words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0", "relay": "inbox"}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PARAVION_")}
        words |= {"engine": engine_name, "data": folder if engine_name == "embedded" else ""}
        options = read_options(ROOT / "template.yaml", words, SETTINGS, environ)
        what = "a fresh directory" if engine_name == "embedded" else "moto, from template.yaml"
        print(f"Starting paravion on {what} …", flush=True)
        log = io.StringIO()
        # Each engine has its own libraries, and moto's take seconds to load.
        with importlib.import_module(ENGINES[engine_name]).make_engine(options, log) as engine:
            problems = _show(engine, options)
    if problems:
        print(log.getvalue(), file=sys.stderr)
        print("\nWrong: " + "; ".join(problems))
        return 1
    print(f"\nAll came out right, in {time.monotonic() - began:.0f} s.  Next: make up")
    return 0


def _show(engine: EmbeddedEngine | LocalEngine, options: Options) -> list[str]:
    """Run all of it on a running engine; gives what came out wrong."""
    print(f"  api {engine.api_url}  smtp {engine.smtp_address}  inbox {engine.inbox_url}")
    demo = Demo(engine, options)
    try:
        demo.run()
    except (ApiAway, ApiError, OSError, RuntimeError, smtplib.SMTPException) as exc:
        demo.problems.append(f"{type(exc).__name__}: {exc}")
    parked = engine.queue_depths()["ParkedQueue"]
    print()
    demo.check("nothing is parked", holds=not any(parked.values()))
    return demo.problems


if __name__ == "__main__":
    sys.exit(main())
