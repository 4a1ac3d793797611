"""
The engine with a small template and tiny functions of its own: AWS's semantics, none of paravion's mail.

Two tests run the real template with the real functions.
"""

import base64
import concurrent.futures
import http.client
import io
import json
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from infra.local import gateway
from infra.local.engine import LocalEngine, overridden
from infra.local.environments import FunctionFailed
from infra.local.options import Options, read_options
from infra.local.template import FunctionSpec, TemplateError
from paravion.domain.ses_smtp_password import smtp_password

ROOT = Path(__file__).parents[2]

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Relay: {Type: String, Default: mx}
  Batch: {Type: Number, Default: 10}
Conditions:
  Never: !Equals [a, b]
Globals:
  Function:
    Runtime: python3.13
    CodeUri: code/
    Timeout: 1
    Environment:
      Variables:
        QUEUE_URL: !Ref WorkQueue
        BUCKET: !Ref SpoolBucket
Resources:
  HttpApi:
    Type: AWS::Serverless::HttpApi
  SpoolBucket:
    Type: AWS::S3::Bucket
  ParkedQueue:
    Type: AWS::SQS::Queue
  SecondQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1
      RedrivePolicy: {deadLetterTargetArn: !GetAtt ParkedQueue.Arn, maxReceiveCount: 3}
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1
      RedrivePolicy: {deadLetterTargetArn: !GetAtt SecondQueue.Arn, maxReceiveCount: 1}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmName: x}
  FrontFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: front.handler
      Environment:
        Variables:
          PARAVION_RELAY: !Ref Relay
          PARAVION_SECRETS: !Sub /x/${AWS::StackName}
          ENDPOINT: !Sub "https://${HttpApi}/${SpoolBucket}"
          CHOSEN: !If [Never, a, !Join ["-", [b, !Ref AWS::Region]]]
      Events:
        Front: {Type: HttpApi, Properties: {ApiId: !Ref HttpApi, Path: /front, Method: POST}}
        Rest: {Type: HttpApi, Properties: {ApiId: !Ref HttpApi}}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: work.handler
      Events:
        Jobs:
          Type: SQS
          Properties:
            Queue: !GetAtt WorkQueue.Arn
            BatchSize: !Ref Batch
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 2}
  SecondFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: second.handler
      Events:
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt SecondQueue.Arn, BatchSize: 10}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute), Input: '{"sweep": true}'}}
"""

FUNCTIONS = {
    "front": """
        import json, os, time
        SEEN = {name: os.environ.get(name) for name in (
            "PARAVION_RELAY", "PARAVION_SECRETS", "ENDPOINT", "CHOSEN", "AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION",
            "AWS_ACCESS_KEY_ID")}
        SERVED = []
        def handler(event, context):
            path = event["rawPath"]
            if path == "/raise":
                raise RuntimeError("on purpose")
            if path == "/exit":
                raise SystemExit(3)
            if path == "/slow":
                time.sleep(1.5)
            if path == "/big":
                return {"statusCode": 200, "body": "x" * (7 << 20)}
            if path == "/bytes":
                return {"statusCode": 200, "body": b"x"}
            if path == "/seen":
                SERVED.append(1)
                return {"seen": SEEN, "served": len(SERVED), "context": [
                    context.function_name, len(context.aws_request_id), context.get_remaining_time_in_millis()]}
            return {"statusCode": 201, "body": json.dumps(event)}
        """,
    "work": """
        import json, sys, time
        LOG = sys.stdout
        def handler(event, context):
            bodies = [json.loads(record["body"]) for record in event["Records"]]
            if any(body.get("raise") for body in bodies):
                raise RuntimeError("on purpose")
            if any(body.get("sleep") for body in bodies):
                time.sleep(1.5)
            if any(body.get("malformed") for body in bodies):
                return {"batchItemFailures": [{"itemIdentifier": ""}]}
            print("work", len(bodies), file=LOG)
            return {"batchItemFailures": [
                {"itemIdentifier": record["messageId"]}
                for record, body in zip(event["Records"], bodies) if body.get("fail")]}
        """,
    "second": """
        import json, sys
        LOG = sys.stdout
        def handler(event, context):
            if event == {"sweep": True}:
                print("tick", file=LOG)
                return
            for record in event["Records"]:
                print("record", json.dumps(record), file=LOG)
                if json.loads(record["body"]).get("park"):
                    raise RuntimeError("on purpose")
        """,
}


class Log(io.StringIO):
    """What functions print, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def write(self, text: str) -> int:
        with self.changed:
            self.changed.notify_all()
            return super().write(text)

    def clear(self) -> None:
        """Forget what was printed."""
        with self.changed:
            self.seek(0)
            self.truncate()

    def wait(self, pattern: str, count: int = 1, timeout_s: float = 10) -> list[str]:
        """Wait for `count` matches."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(re.findall(pattern, self.getvalue())) >= count, timeout_s), (
                self.getvalue()
            )
            return re.findall(pattern, self.getvalue())


def make(folder: Path, settings=None, **changes) -> tuple[LocalEngine, Log]:
    """Write a system to a folder and give its engine, not started, and its log."""
    (folder / "code").mkdir()
    (folder / "template.yaml").write_text(changes.pop("template", TEMPLATE))
    for name, code in {**FUNCTIONS, **changes.pop("functions", {})}.items():
        (folder / "code" / f"{name}.py").write_text(textwrap.dedent(code))
    log = Log()
    options = Options(
        folder / "template.yaml",
        api=("127.0.0.1", 0),
        settings={"sweep_interval_s": "0.2", **(settings or {})},
        front_door=False,
        **changes,
    )
    return LocalEngine(options, log), log


# One engine at a time: these come before the one that the others share.


def ask(engine, path, method="GET", body=None, headers=None):
    """Ask the API; gives status and body."""
    connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def is_empty(engine, queue) -> bool:
    """Say whether a queue holds nothing, in flight or delayed."""
    return not any(engine.queue_depths()[queue].values())


def wait_for(condition, timeout_s=10.0) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_settings_override_what_has_them(tmp_path) -> None:
    """A setting reaches the functions whose variables or settings class have it, and no other."""
    spec = FunctionSpec("DeliverFunction", tmp_path, "x.y", 1, 128, {"PARAVION_POSTMASTER": ""})
    settings = {"relay": "mx", "postmaster": "p@x", "identity_check": "off"}
    assert {"PARAVION_RELAY": "mx", "PARAVION_POSTMASTER": "p@x"} == overridden(spec, settings)


def test_function_that_can_not_start_ends_the_start(tmp_path) -> None:
    """A function that can't be initialised is told at the start, by name, and everything is undone."""
    engine, log = make(tmp_path, functions={"work": "raise RuntimeError('no settings')"})
    with pytest.raises(FunctionFailed, match=r"WorkFunction.*no settings"):
        engine.start()
    assert "Traceback" in log.getvalue()


def test_template_that_is_none(tmp_path) -> None:
    """What is no template is told as such."""
    engine, _ = make(tmp_path, template="just: text")
    with pytest.raises(TemplateError, match="not a template"):
        engine.start()


def test_real_system_delivers(tmp_path) -> None:
    """The real template and functions: good, busy once, missing, by HTTP, SMTP and upload."""
    words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0"}
    options = read_options(ROOT / "template.yaml", words, ["retry_intervals_s=0.2", "sweep_interval_s=0.2"], {})
    password = smtp_password(options.secret_key, "us-east-1")
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{options.access_key}:{password}".encode()).decode(),
        "Content-Type": "application/json",
    }
    content = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: hi\r\n\r\n.dot\r\n"
    with LocalEngine(options, io.StringIO()) as engine:
        message = {
            "reverse_path": "a@example.org",
            "recipients": ["good@example.net", "busy-once@example.net", "missing@example.net"],
            "content": base64.b64encode(content).decode(),
        }
        status, _ = ask(engine, "/v1/messages", "POST", json.dumps(message), headers)
        assert status == 202
        # SES v1's one path is validate's; what manages is handed to admin.
        action = "Action=ListConfigurationSets&Version=2010-12-01"
        status, answer = ask(engine, "/", "POST", action, headers)
        assert (status, b"<ConfigurationSets>" in answer) == (200, True), answer
        assert engine.calls["lambda.Invoke"] == 1
        host, port = engine.smtp_address.rsplit(":", 1)
        with smtplib.SMTP(host, int(port), timeout=10) as client:
            client.starttls(context=ssl._create_unverified_context())
            client.login(options.access_key, password)
            client.sendmail("a@example.org", ["smtp@example.net"], content)
        caught = engine.inbox.wait(lambda messages: len(messages) >= 4, 20)
        wait_for(lambda: all(is_empty(engine, queue) for queue in engine.queue_depths()))
    found = {mail.rcpt_tos: mail for mail in caught}
    assert {("good@example.net",), ("busy-once@example.net",), ("a@example.org",), ("smtp@example.net",)} == set(found)
    assert "" == found["a@example.org",].mail_from
    assert found["good@example.net",].content.endswith(b"\r\n\r\n.dot\r\n")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One engine for the tests that do not mind each other."""
    engine, log = make(tmp_path_factory.mktemp("system"))
    # front, and only front, works on the whole process's environment: see that nothing of it stays behind.
    with engine:
        engine.queue = boto3.client("sqs", region_name="us-east-1")
        yield engine, log
    assert "PARAVION_RELAY" not in os.environ


def send(engine, queue, *bodies) -> list[str]:
    """Send one batch; gives the message ids."""
    entries = [{"Id": str(number), "MessageBody": json.dumps(body)} for number, body in enumerate(bodies)]
    answer = engine.queue.send_message_batch(QueueUrl=engine.system.resources[queue], Entries=entries)
    return [entry["MessageId"] for entry in answer["Successful"]]


def test_variables_are_resolved(running) -> None:
    """A function sees its variables with every intrinsic function resolved, and Lambda's own."""
    engine, _ = running
    status, body = ask(engine, "/seen")
    found = json.loads(body)
    bucket = engine.system.resources["SpoolBucket"]
    assert status == 200
    assert found["seen"].pop("PARAVION_RELAY").startswith("127.0.0.1:")
    assert {
        "PARAVION_SECRETS": "/x/paravion",
        "ENDPOINT": f"https://HttpApi/{bucket}",
        "CHOSEN": "b-us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "FrontFunction",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIALOCALENGINE00000",
    } == found["seen"]
    name, id_length, remaining_ms = found["context"]
    assert ("FrontFunction", 36) == (name, id_length)
    assert 500 < remaining_ms <= 1000


def test_first_credential_is_stored(running) -> None:
    """The first credential lies under the stack's secrets path."""
    parameter = boto3.client("ssm", region_name="us-east-1").get_parameter(
        Name="/x/paravion/credentials/AKIAPARAVIONLOCAL000", WithDecryption=True
    )["Parameter"]
    assert {
        "secret_key": "paravion-local-secret-key-not-for-production",
        "enabled": True,
        "operator": True,
    } == json.loads(parameter["Value"])


def test_routes_reach_functions(running) -> None:
    """A request becomes an event by the template's routes, its answer HTTP."""
    engine, _ = running
    status, body = ask(engine, "/front", "POST", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    event = json.loads(body)
    assert (201, "POST /front", base64.b64encode(b"a=b").decode(), True) == (
        status,
        event["routeKey"],
        event["body"],
        event["isBase64Encoded"],
    )
    assert json.loads(ask(engine, "/other")[1])["routeKey"] == "$default"


def test_idle_environment_serves_again(running) -> None:
    """One request after the other is served by one environment."""
    engine, _ = running
    first, second = (json.loads(ask(engine, "/seen")[1])["served"] for _ in range(2))
    assert second == first + 1


@pytest.mark.parametrize("path", ["/raise", "/exit", "/slow", "/big", "/bytes"])
def test_function_failure_is_500(running, path) -> None:
    """A function that raises, exits, times out or gives no valid answer is a 500."""
    engine, _ = running
    assert (500, b'{"message": "Internal Server Error"}') == ask(engine, path)
    assert ask(engine, "/seen")[0] == 200


@pytest.mark.parametrize(
    ("octets", "content_type", "expected"),
    [
        (5 << 20, "text/plain", 500),  # taken; the answer, which repeats it, passes Lambda's limit in turn
        ((6 << 20) + 1, "text/plain", 413),
        (5 << 20, "message/rfc822", 413),
        ((10 << 20) + 1, "text/plain", 413),
    ],
    ids=["fits", "Lambda's limit", "Lambda's limit as base64", "the API's limit"],
)
def test_request_limits(running, octets, content_type, expected) -> None:
    """10 MB are the API's limit, 6 MB Lambda's, base64 counted."""
    engine, _ = running
    headers = {"Content-Type": content_type, "Expect": "100-continue"}
    connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
    connection.putrequest("POST", "/raise" if expected == 500 else "/front")
    for name, value in {**headers, "Content-Length": str(octets)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    if octets <= 10 << 20:
        connection.send(b"x" * octets)
    assert expected == connection.getresponse().status
    connection.close()


def test_integration_time_out_is_503(running, monkeypatch) -> None:
    """API Gateway waits 30 s (here: less) for a function, then answers 503."""
    engine, _ = running
    monkeypatch.setattr(gateway, "INTEGRATION_S", 0.2)
    assert (503, b'{"message": "Service Unavailable"}') == ask(engine, "/slow")


def test_requests_are_served_side_by_side(running) -> None:
    """The pool of a function grows with the requests that come at once."""
    engine, _ = running
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        list(pool.map(lambda _: ask(engine, "/slow"), range(2)))
    assert time.monotonic() - began < 1.9


def test_success_is_deleted(running) -> None:
    """What a function succeeded with is deleted; nothing is redriven."""
    engine, _ = running
    engine.calls.clear()
    send(engine, "WorkQueue", *({} for _ in range(10)))
    wait_for(lambda: engine.calls["sqs.DeleteMessageBatch"] >= 1 and is_empty(engine, "WorkQueue"))
    assert is_empty(engine, "SecondQueue")


@pytest.mark.parametrize(
    ("bodies", "failing"),
    [
        ([{"n": 1}, {"fail": 1}, {"n": 2}], [1]),
        ([{"n": 1}, {"raise": 1}], [0, 1]),
        ([{"n": 1}, {"malformed": 1}], [0, 1]),
        ([{"n": 1}, {"sleep": 1}], [0, 1]),
    ],
    ids=["partial", "raise", "malformed", "time-out"],
)
def test_failed_items_are_redriven(running, bodies, failing) -> None:
    """
    What failed, and only that, is redriven when its visibility ends; the record has SQS's shape.

    maxReceiveCount is 1, so that the second receive moves it to the next queue.
    """
    engine, log = running
    log.clear()
    ids = send(engine, "WorkQueue", *bodies)
    lines = log.wait(r"record (.+)\n", len(failing))
    records = {record["messageId"]: record for record in map(json.loads, lines)}
    assert {ids[number] for number in failing} == set(records)
    record = records[ids[failing[0]]]
    assert bodies[failing[0]] == json.loads(record["body"])
    assert {
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
        "eventSourceARN", "awsRegion",
    } == set(record)  # fmt: skip
    assert ("aws:sqs", "us-east-1") == (record["eventSource"], record["awsRegion"])
    assert record["eventSourceARN"].startswith("arn:aws:sqs:us-east-1:123456789012:paravion-SecondQueue-")
    assert {
        "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
    } == set(record["attributes"])  # fmt: skip
    wait_for(lambda: is_empty(engine, "SecondQueue") and is_empty(engine, "WorkQueue"))


def test_hopeless_item_is_parked(running) -> None:
    """After maxReceiveCount of the second queue, an item lies in the third, which nobody polls."""
    engine, _ = running
    send(engine, "SecondQueue", {"park": "me"})
    wait_for(lambda: json.dumps({"park": "me"}) in engine.queue_bodies("ParkedQueue"))
    assert is_empty(engine, "SecondQueue")


def test_item_released_at_once_is_redriven_at_once(running) -> None:
    """ChangeMessageVisibility 0 wakes the poller: no waiting for the visibility time-out."""
    engine, _ = running
    url = engine.system.resources["ParkedQueue"]
    engine.queue.send_message(QueueUrl=url, MessageBody="{}")
    received = engine.queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    view = engine._cloud.queue(url.rpartition("/")[2])
    assert view.next_visible_in() > 1
    for message in received:
        engine.queue.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    wait_for(lambda: view.next_visible_in() == 0, 1)
    engine.queue.purge_queue(QueueUrl=url)


def test_schedule_fires(running) -> None:
    """The schedule invokes its function with its input, at the setting's interval."""
    _, log = running
    log.clear()
    log.wait("tick", 3, 3)


def test_calls_are_counted_once(running) -> None:
    """Each AWS call is made, and counted, once."""
    engine, _ = running
    engine.calls.clear()
    client = boto3.client("s3", region_name="us-east-1")
    client.put_object(Bucket=engine.system.resources["SpoolBucket"], Key="k", Body=b"x")
    assert {"s3.PutObject": 1} == dict(engine.calls)
    assert json.loads(ask(engine, "/calls")[1]) == {"s3.PutObject": 1}


def test_invoke(running) -> None:
    """A function can be invoked directly; its failure is raised."""
    engine, _ = running
    assert engine.invoke("WorkFunction", {"Records": []}) == {"batchItemFailures": []}
    with pytest.raises(FunctionFailed, match="rawPath"):
        engine.invoke("FrontFunction", {})


def test_depth_costs_little(running) -> None:
    """A receive from a deep queue stays quick (moto's own takes a second at this depth)."""
    engine, _ = running
    url = engine.system.resources["ParkedQueue"]
    for _ in range(60):
        send(engine, "ParkedQueue", *({} for _ in range(10)))
    view = engine._cloud.queue(url.rpartition("/")[2])
    began = time.process_time()
    assert len(view.receive(10)) == 10
    assert time.process_time() - began < 0.3


def test_one_engine_at_a_time(running, tmp_path) -> None:
    """A second engine in the process is refused, and leaves the first as it is."""
    with pytest.raises(RuntimeError, match="one local engine"):
        make(tmp_path)[0].start()
    assert ask(running[0], "/seen")[0] == 200


def test_busy_port_is_named(running, tmp_path) -> None:
    """A port that is taken is told with the option that chose it."""
    port = int(running[0].api_url.rpartition(":")[2])
    found = subprocess.run(
        [*UP, *MOTO, "--api", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (69, "") == (found.returncode, found.stdout)
    assert f"--api 127.0.0.1:{port}: " in found.stderr.splitlines()[-1]


UP = [sys.executable, "-c", "import sys; from paravion.cli.main import main; sys.exit(main(sys.argv[1:]))", "up"]
MOTO = ["--engine", "moto"]


def environ() -> dict[str, str]:
    """Give this process's environment without what paravion or AWS would read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARAVION_", "AWS_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "layers/paravion/python")}


READY = re.compile(r"paravion ready api=(http://\S+) smtp=(\S+:\d+) smtps=(\S+:\d+) inbox=(\S+)\n\Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_is_ready_and_stops_cleanly(number) -> None:
    """`paravion up` prints one ready line when all doors are open, and ends with 0 on a signal."""
    words = ["--api", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0"]
    with subprocess.Popen(
        [*UP, *MOTO, *words], cwd=ROOT, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            match = READY.match(line)
            assert match, line + process.stderr.read()
            connection = http.client.HTTPConnection(urlsplit(match[1]).netloc, timeout=10)
            connection.request("GET", "/v1/health")
            assert connection.getresponse().status == 200
            connection.close()
            host, port = match[2].rsplit(":", 1)
            with smtplib.SMTP(host, int(port), timeout=10) as door:
                assert door.noop()[0] == 250
            process.send_signal(number)
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert (0, "") == (process.returncode, out)
    assert "lost" in err
    assert "Traceback" not in err
