"""
Every port on each of its implementations: the in-memory model, the AWS adapter on moto, and the embedded one.

`embedded-files` is the embedded engine with every spooled object in a file. A new port gets a fixture here with one
line for each engine; the embedded one comes from `data`.

With PARAVION_TEST_AWS=1 the adapters talk to the account of the environment instead, in a bucket, table and
queues that PARAVION_SPOOL, PARAVION_LEDGER and PARAVION_DELIVERY_QUEUE name.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from paravion.adapters import memory
from paravion.adapters.dynamodb_counters import DynamoCounters
from paravion.adapters.dynamodb_hosts import DynamoHosts
from paravion.adapters.dynamodb_identities import DynamoIdentities
from paravion.adapters.dynamodb_ledger import DynamoLedger
from paravion.adapters.dynamodb_records import DynamoRecords
from paravion.adapters.dynamodb_suppression import DynamoSuppression
from paravion.adapters.dynamodb_tables import DynamoTables
from paravion.adapters.dynamodb_tls_policies import DynamoTlsPolicies
from paravion.adapters.embedded_data import EmbeddedData
from paravion.adapters.embedded_hosts import EmbeddedHosts
from paravion.adapters.embedded_parked import EmbeddedParked
from paravion.adapters.embedded_tls_policies import EmbeddedTlsPolicies
from paravion.adapters.s3_spool import S3Spool, S3Uploads
from paravion.adapters.s3_transcripts import S3Transcripts
from paravion.adapters.sqs_parked import SqsParked
from paravion.adapters.sqs_queues import SqsQueues, decode_job
from paravion.adapters.ssm_secrets import SsmSecrets
from paravion.domain.queue import Job, JobKey
from paravion.errors import LedgerUnavailable
from paravion.ports import QueueName

REAL = os.environ.get("PARAVION_TEST_AWS") == "1"
TABLE = os.environ.get("PARAVION_LEDGER", "ledger") if REAL else "ledger"
BUCKET = os.environ.get("PARAVION_SPOOL", "spool") if REAL else "spool"


@pytest.fixture(params=["memory", "aws", "embedded", "embedded-files"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Which implementation; the moto backends are fresh for each test."""
    if request.param != "aws" or REAL:
        yield request.param
        return
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind}
                for name, kind in (("pk", "S"), ("sk", "S"), ("due_shard", "S"), ("due_at", "N"))
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "due_shard", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
        yield request.param


@pytest.fixture
def data(engine: str, tmp_path: Path) -> Iterator[EmbeddedData | None]:
    """An open data directory, for the embedded engine."""
    if not engine.startswith("embedded"):
        yield None
        return
    inline = {"inline_octets": 0} if engine == "embedded-files" else {}
    with EmbeddedData(tmp_path / "data", time.time, **inline) as opened:
        yield opened


@pytest.fixture
def queue_id() -> str:
    """A fresh one: a real account keeps what earlier runs left."""
    return f"t{uuid.uuid4().hex[:25]}"


@pytest.fixture
def spool(engine: str, data: Any) -> Any:
    """ports.Spool."""
    if data:
        return data.spool
    return memory.MemorySpool() if engine == "memory" else S3Spool(boto3.client("s3"), BUCKET)


@pytest.fixture
def transcripts(engine: str, data: Any) -> Any:
    """ports.Transcripts."""
    if data:
        return data.transcripts
    return memory.MemoryTranscripts() if engine == "memory" else S3Transcripts(boto3.client("s3"), BUCKET)


@pytest.fixture
def uploads(engine: str, data: Any) -> Any:
    """ports.Uploads, and a way to put something there as its user would."""
    if data:
        data.endpoint = "http://127.0.0.1:1"
        return data.uploads
    if engine == "memory":
        return memory.MemoryUploads()
    client = boto3.client("s3")
    return S3Uploads(client, client, BUCKET, time.time)


@pytest.fixture
def ledger(engine: str, data: Any) -> Any:
    """ports.Ledger."""
    if data:
        return data.ledger
    return memory.MemoryLedger() if engine == "memory" else DynamoLedger(boto3.client("dynamodb"), TABLE)


@pytest.fixture
def spoil(engine: str, data: Any, ledger: Any) -> Callable[[JobKey], None]:
    """Make one of the ledger's records as a later version may have written it: it owes what nobody knows."""
    detail = '{"owed":[["of a later version",1]]}'

    def of_aws(key: JobKey) -> None:
        boto3.client("dynamodb").update_item(
            TableName=TABLE,
            Key={"pk": {"S": f"job#{key.queue_id}"}, "sk": {"S": f"{key.chunk:05}"}},
            UpdateExpression="SET detail = :detail",
            ExpressionAttributeValues={":detail": {"S": detail}},
        )

    def of_embedded(key: JobKey) -> None:
        update = "UPDATE job SET detail = ? WHERE queue_id = ? AND chunk = ?"
        values = (detail.encode(), key.queue_id, key.chunk)
        data.database.write(lambda connection: connection.execute(update, values).rowcount, LedgerUnavailable)

    def of_memory(key: JobKey) -> None:
        ledger.unreadable.add(key)

    return {"memory": of_memory, "aws": of_aws}.get(engine, of_embedded)


@pytest.fixture
def identities(engine: str, data: Any) -> Any:
    """ports.Identities, without a cache."""
    if data:
        return data.identities
    if engine == "memory":
        return memory.MemoryIdentities()
    return DynamoIdentities(boto3.client("dynamodb"), TABLE, cache_s=0.0, clock=time.monotonic)


@pytest.fixture
def records(engine: str, data: Any) -> Any:
    """ports.Records, without a cache."""
    if data:
        return data.records
    if engine == "memory":
        return memory.MemoryRecords()
    return DynamoRecords(boto3.client("dynamodb"), TABLE, cache_s=0.0, clock=time.monotonic, sleep=time.sleep)


@pytest.fixture
def counters(engine: str, data: Any) -> Any:
    """ports.Counters."""
    if data:
        return data.counters
    if engine == "memory":
        return memory.MemoryCounters()
    return DynamoCounters(boto3.client("dynamodb"), TABLE, sleep=time.sleep, draw=random.random)


@pytest.fixture
def tables(engine: str, data: Any) -> Any:
    """ports.Tables, without a cache."""
    if data:
        return data.tables
    if engine == "memory":
        return memory.MemoryTables()
    return DynamoTables(boto3.client("dynamodb"), TABLE, cache_s=0.0, clock=time.monotonic, sleep=time.sleep)


@pytest.fixture
def hosts(engine: str, data: Any) -> Any:
    """ports.Hosts, with a clock at 10,000."""
    if data:
        return EmbeddedHosts(data.database, lambda: 10_000.0)
    if engine == "memory":
        return memory.MemoryHosts(lambda: 10_000.0)
    return DynamoHosts(
        boto3.client("dynamodb"),
        TABLE,
        clock=lambda: 10_000.0,
        sleep=time.sleep,  # who lost a race must let the other finish, also where processors are few
        draw=random.random,
    )


@pytest.fixture
def suppression(engine: str, data: Any) -> Any:
    """ports.Suppression, without a cache."""
    if data:
        return data.suppression
    if engine == "memory":
        return memory.MemorySuppression()
    return DynamoSuppression(boto3.client("dynamodb"), TABLE, cache_s=0.0, clock=time.monotonic, sleep=time.sleep)


@pytest.fixture
def secret_store(engine: str, data: Any) -> Any:
    """ports.Secrets."""
    if data:
        return data.secrets
    return memory.MemorySecrets() if engine == "memory" else SsmSecrets(boto3.client("ssm"), "/t", time.monotonic)


@dataclass
class PolicyBench:
    """ports.TlsPolicies, and its clock."""

    policies: Any
    now: float


@pytest.fixture
def policy_bench(engine: str, data: Any) -> PolicyBench:
    """See PolicyBench."""
    bench = PolicyBench(None, time.time())
    if data:
        bench.policies = EmbeddedTlsPolicies(data.database, lambda: bench.now)
    elif engine == "memory":
        bench.policies = memory.MemoryTlsPolicies(lambda: bench.now)
    else:
        bench.policies = DynamoTlsPolicies(boto3.client("dynamodb"), TABLE, lambda: bench.now)
    return bench


@dataclass
class QueueBench:
    """
    ports.Queues, and a look at what lies in the delivery queue.

    Attributes:
        retry: Receives from its dead-letter queue; None where that is the cloud's affair.
    """

    queues: Any
    receive: Callable[[], list[tuple[str, Job | None]]]
    retry: Callable[[], list[Job | None]] | None = None


@pytest.fixture
def parked_bench(engine: str, data: Any) -> tuple[Any, Any]:
    """The queues and the parked queue of them."""
    if engine == "aws":
        client = boto3.client("sqs")
        url = os.environ["PARAVION_PARKED_QUEUE"] if REAL else client.create_queue(QueueName="parked")["QueueUrl"]
        return SqsQueues(client, {QueueName.PARKED: url}), SqsParked(client, url, wait_s=1 if REAL else 0)
    if data:
        return data.queues, EmbeddedParked(data.database)
    queues = memory.MemoryQueues(time.time)
    return queues, memory.MemoryParked(queues)


@pytest.fixture
def queue_bench(engine: str, data: Any) -> QueueBench:
    """See QueueBench."""
    if engine != "aws":
        queues = data.queues if data else memory.MemoryQueues(time.time)
        return QueueBench(
            queues,
            lambda: [(r.receipt, r.job) for r in queues.receive(QueueName.DELIVERY, 10)],
            lambda: [r.job for r in queues.receive(QueueName.RETRY, 10)],
        )
    client = boto3.client("sqs")
    url = os.environ["PARAVION_DELIVERY_QUEUE"] if REAL else client.create_queue(QueueName="delivery")["QueueUrl"]

    def receive() -> list[tuple[str, Job | None]]:
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [(m["ReceiptHandle"], decode_job(m["Body"])) for m in answer.get("Messages", [])]

    return QueueBench(SqsQueues(client, {QueueName.DELIVERY: url}), receive)
