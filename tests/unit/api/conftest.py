"""A small HTTP server that does as API Gateway does, in front of a handler with fakes."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote

import boto3
import pytest
from botocore.config import Config

from paravion.adapters.memory import (
    MemoryCounters,
    MemoryEventLog,
    MemoryHosts,
    MemoryIdentities,
    MemoryLedger,
    MemoryParked,
    MemoryQueues,
    MemoryRecords,
    MemorySecrets,
    MemorySpool,
    MemorySuppression,
    MemoryTables,
    MemoryTranscripts,
    MemoryUploads,
)
from paravion.api.admin_doors import ADMIN_DOORS
from paravion.api.doors import serve
from paravion.api.validate_doors import VALIDATE_DOORS
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.submission import Receipt
from paravion.domain.suppression import Reason
from paravion.services.admin import AdminDeps
from paravion.services.commit import CommitDeps
from paravion.services.validate import in_turn
from tests.support.dkim_keys import fixed_private_key

SESSION = boto3.session.Session()  # one, for it keeps the service models that it read
ACCESS_KEY, SECRET_KEY = "AKIATEST", "test-secret"
SUBMITTED = {
    ("POST", "/"),
    ("POST", "/v2/email/outbound-emails"),
    ("POST", "/v2/email/outbound-bulk-emails"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/uploads"),
}


@dataclass
class World:
    """The fakes behind the doors; `refusal` is raised by the next submissions."""

    submissions: list = field(default_factory=list)
    refusal: Exception | None = None
    clock_shift_s: float = 0.0
    txt: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    url: str = ""

    def put_credential(self, *, operator):
        """Store the credential that the tests' requests are made with."""
        stored = {"secret_key": SECRET_KEY, "enabled": True, "operator": operator}
        self.secrets.put(f"credentials/{ACCESS_KEY}", json.dumps(stored))

    def __post_init__(self):
        self.secrets = MemorySecrets()
        self.put_credential(operator=False)
        self.event_log = MemoryEventLog()
        self.uploads = MemoryUploads()
        self.records = MemoryRecords()
        self.counters = MemoryCounters()
        self.has_statistics = False
        self.tables = MemoryTables()
        self.transcripts = MemoryTranscripts()
        self.suppression = MemorySuppression()
        self.spool, self.ledger, self.identities = MemorySpool(), MemoryLedger(), MemoryIdentities()
        self.settings = SimpleNamespace(
            credential_region="us-east-1",
            max_message_octets=100_000,
            bare_lf="normalise",
            identity_check="verified",
            alignment_check="warn",
            max_recipients_count=1000,
            max_24_hour_send=-1.0,
            max_send_rate=-1.0,
            simulator_domain="",
            outgoing_ip="",
            max_expansion_count=100_000,
            hostname="local.example",
            public_url="https://api.example",
            account_id="123456789012",
            local_domains=(),
            masquerade_as="",
            relay="mx",
            relay_tls="",
            relay_credential="",
            masquerade_exposed=("root",),
            alias_target_arns=("arn:aws:lambda:eu-west-1:123456789012:function:tickets",),
            webhook_hosts=("hooks.example.org",),
            webhook_private_hosts=(),
            suppression_reasons=(Reason.BOUNCE, Reason.COMPLAINT),
            sweep_grace_s=3600.0,
        )
        self.clock = lambda: time.time() + self.clock_shift_s
        self.hosts = MemoryHosts(self.clock)
        self.queues = MemoryQueues(self.clock)
        self.to_commit = SimpleNamespace(queues=self.queues)
        self.new_token = lambda: "t0ken"
        self.destination_problem = lambda _: ""
        self.next_hop = lambda domain: NextHop(domain, (MxHost(f"mx.{domain}"),))
        self.entropy = lambda count: bytes(range(count))
        self.side_by_side = in_turn

    @property
    def admin_deps(self):
        return AdminDeps(
            self.settings, self.spool, self.ledger, self.secrets, self.identities,
            self.tables, self.hosts, self.suppression, self.uploads,
            self.next_hop,
            lambda name: self.txt.get(name, []), self.event_log, self.clock, self.new_token,
            fixed_private_key, self.transcripts, records=self.records,
            counters=self.counters, has_statistics=self.has_statistics,
            to_commit=CommitDeps(self.spool, self.queues, lambda calls: [call() for call in calls]),
            destination_problem=self.destination_problem, new_parked=lambda: MemoryParked(self.queues),
        )  # fmt: skip

    @property
    def management(self):
        """The function that manages, for `validate` to call."""
        return SimpleNamespace(invoke=lambda event: serve(event, self.admin_deps, ADMIN_DOORS).to_event())

    def submit(self, submission):
        self.submissions.append(submission)
        if self.refusal is not None:
            raise self.refusal
        return Receipt("q" * 26, max(1, len(submission.recipients)))

    def answer(self, event):
        """As API Gateway routes it."""
        http = event["requestContext"]["http"]
        if (http["method"], event["rawPath"]) in SUBMITTED:
            return serve(event, self, VALIDATE_DOORS, self.submit).to_event()
        return serve(event, self.admin_deps, ADMIN_DOORS).to_event()

    def client(self, service, *, key=ACCESS_KEY, secret=SECRET_KEY, token=None, attempts=1):
        return SESSION.client(
            service, endpoint_url=self.url, region_name="eu-west-1", aws_access_key_id=key, aws_secret_access_key=secret,
            aws_session_token=token, config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )  # fmt: skip


def to_event(method, target, headers, body, *, text=False):
    """An event as API Gateway makes it: the path decoded, the query not."""
    path, _, query = target.partition("?")
    return {
        "version": "2.0",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.7"}, "requestId": "r-1"},
        "body": body.decode() if text else base64.b64encode(body).decode(),
        "isBase64Encoded": not text,
    }


@pytest.fixture
def world():
    """Fakes, and a good credential."""
    return World()


@pytest.fixture
def served(world):
    """The world behind HTTP, for real clients."""

    class Handler(BaseHTTPRequestHandler):
        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            event = to_event(self.command, self.path, self.headers, body)
            world.requests.append(event)
            answer = world.answer(event)
            octets = answer["body"].encode()
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 (http.server's names)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    world.url = f"http://127.0.0.1:{server.server_port}"
    yield world
    server.shutdown()
    thread.join()
    server.server_close()
