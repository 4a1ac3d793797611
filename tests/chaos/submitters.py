"""
Clients of the campaign, that try again as real ones do, and write down what they were told.

    native   POST /v1/messages with an idempotency key: every repeat has the same one, and is the same mail
    ses      an AWS SDK, which repeats by itself under one invocation id; when it gives up, its caller begins anew
    smtp     the front door; a client that got no answer, or 4yz, begins a new transaction

A new beginning is another mail on the wire, so each has addresses of its own here: what becomes of one that was never
answered (it may be delivered or not) is told from what becomes of one that was (it must).
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import random
import smtplib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import botocore.config
import botocore.exceptions
import botocore.session

from paravion.domain.ses_smtp_password import smtp_password

KEY, SECRET = "AKIAPARAVIONLOCAL000", "paravion-local-secret-key-not-for-production"
PAUSE_S: Final = 0.1
LARGE_OCTETS: Final = 200_000
"""A body that the spool keeps as a file."""


class Told(StrEnum):
    """What a client knows of one beginning."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOTHING = "nothing"


@dataclass
class Begun:
    """One beginning of a mail: its own envelope, and what its client was told."""

    door: str
    sender: str
    recipients: list[str]
    told: Told = Told.NOTHING


@dataclass
class Submitted:
    """What all clients did; safe for threads."""

    begun: list[Begun] = field(default_factory=list)
    repeats: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, door: str, number: int, serial: int, draws: random.Random, *, busy: bool) -> Begun:
        """Write down a beginning before it is made."""
        tag = f"{number}-{serial}"
        recipients = [f"r{tag}-{n}@example.net" for n in range(draws.choice((1, 1, 1, 2, 4)))]
        if busy:
            recipients.append(f"r{tag}-busy@example.net")
        made = Begun(door, f"s{tag}@example.org", recipients)
        with self.lock:
            self.begun.append(made)
            self.repeats += serial > 0
        return made


def content_of(begun: Begun, draws: random.Random) -> bytes:
    """Give a message: mostly short, now and then one that lies in a file."""
    octets = draws.choices((1000, 10_000, LARGE_OCTETS), (80, 17, 3))[0]
    body = "".join(f"{n} {begun.sender}\r\n" for n in range(octets // (len(begun.sender) + 6) + 1))
    return f"From: {begun.sender}\r\nSubject: chaos\r\n\r\n{body}".encode()


class Native:
    """POST /v1/messages."""

    def __init__(self, places: dict[str, str]) -> None:
        self._place = places["api"]
        token = base64.b64encode(f"{KEY}:{smtp_password(SECRET, 'us-east-1')}".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}

    def submit(self, submitted: Submitted, number: int, draws: random.Random, *, busy: bool) -> None:
        """Repeat one request until it is answered 2xx."""
        begun = submitted.begin("native", number, 0, draws, busy=busy)
        body = json.dumps({
            "reverse_path": begun.sender,
            "recipients": begun.recipients,
            "content": base64.b64encode(content_of(begun, draws)).decode(),
        })  # fmt: skip
        headers = {**self._headers, "Idempotency-Key": f"chaos-{number}"}
        for turn in itertools.count():
            try:
                status = self._ask(body, headers)
            except (OSError, http.client.HTTPException):
                status = 0
            if status // 100 == 2:
                begun.told = Told.ACCEPTED
                return
            assert status in {0, 429} or status >= 500, status
            with submitted.lock:
                submitted.repeats += 1
                submitted.refused += status > 0
            time.sleep(min(PAUSE_S * (turn + 1), 1.0))

    def _ask(self, body: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(self._place, timeout=20)
        try:
            connection.request("POST", "/v1/messages", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


class Ses:
    """SES v2 by an SDK."""

    def __init__(self, places: dict[str, str]) -> None:
        config = botocore.config.Config(
            retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=20
        )
        self._client: Any = botocore.session.get_session().create_client(
            "sesv2", "us-east-1", endpoint_url=f"http://{places['api']}", aws_access_key_id=KEY,
            aws_secret_access_key=SECRET, config=config,
        )  # fmt: skip

    def submit(self, submitted: Submitted, number: int, draws: random.Random, *, busy: bool) -> None:
        """Call until one call succeeds."""
        for serial in itertools.count():
            begun = submitted.begin("ses", number, serial, draws, busy=busy)
            try:
                self._client.send_email(
                    FromEmailAddress=begun.sender,
                    Destination={"ToAddresses": begun.recipients},
                    Content={"Raw": {"Data": content_of(begun, draws)}},
                )
            except botocore.exceptions.ClientError as exc:
                status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
                if status != 429 and status < 500:
                    raise
                # An earlier try of the SDK's may have had no answer: it keeps that to itself.
                tries = exc.response["ResponseMetadata"].get("RetryAttempts", 0)
                begun.told = Told.NOTHING if tries else Told.REFUSED
                with submitted.lock:
                    submitted.refused += 1
            except botocore.exceptions.BotoCoreError:
                begun.told = Told.NOTHING
            else:
                begun.told = Told.ACCEPTED
                return
            time.sleep(PAUSE_S)


class Smtp:
    """The front door, some mails a session."""

    def __init__(self, places: dict[str, str]) -> None:
        self._host, _, self._port = places["smtp"].rpartition(":")
        self._session: smtplib.SMTP | None = None
        self._left = 0

    def submit(self, submitted: Submitted, number: int, draws: random.Random, *, busy: bool) -> None:
        """Begin transactions until one is answered 250."""
        for serial in itertools.count():
            begun = submitted.begin("smtp", number, serial, draws, busy=busy)
            try:
                refused = self._open(draws).sendmail(begun.sender, begun.recipients, content_of(begun, draws))
                assert not refused, refused
            except smtplib.SMTPServerDisconnected:
                self._close()
            except smtplib.SMTPResponseException as exc:
                # smtplib gives -1 for a line that is no reply.
                if exc.smtp_code >= 500:
                    raise
                begun.told = Told.REFUSED if exc.smtp_code >= 400 else Told.NOTHING
                with submitted.lock:
                    submitted.refused += begun.told is Told.REFUSED
                self._close()
            except (OSError, smtplib.SMTPException):
                self._close()
            else:
                begun.told = Told.ACCEPTED
                return
            time.sleep(PAUSE_S)

    def _open(self, draws: random.Random) -> smtplib.SMTP:
        if self._session is None or not self._left:
            self._close()
            self._session = smtplib.SMTP(self._host, int(self._port), timeout=60)
            self._left = draws.randint(1, 10)
        self._left -= 1
        return self._session

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


DOORS: Final[dict[str, Callable[[dict[str, str]], Native | Ses | Smtp]]] = {"native": Native, "ses": Ses, "smtp": Smtp}
