"""template.yaml against the code that it deploys: settings, policies, queues, layers; and cfn-lint on it."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from paravion import settings

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "layers/paravion/python/paravion"

FUNCTIONS = ("Validate", "Deliver", "Retry", "Bounce", "Publish", "Admin")
SOURCES = {"Deliver": "DeliveryQueue", "Retry": "RetryQueue", "Bounce": "BounceQueue", "Publish": "EventQueue"}
SETTINGS = {name: getattr(settings, f"{name}Settings") for name in FUNCTIONS}

# Lambda makes a VPC function's network interfaces under the function's role; their ids are not known beforehand.
# Metrics have no ARN: the statement's condition names their namespace.
MAY_SAY_STAR = {("NetworkPolicy", "Interfaces"), ("EventMetricsPolicy", "EventMetrics")}


# What the operator names is the operator's to say: neither of this stack nor known beforehand.
OPERATORS_ARNS = (
    ("AliasTargetsPolicy", {"Fn::Split": [",", {"Ref": "AliasTargetArns"}]}),
    ("EventDestinationsPolicy", {"Fn::Split": [",", {"Ref": "EventDestinationArns"}]}),
)


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which become their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def _load(path: str) -> dict[str, Any]:
    return yaml.load((ROOT / path).read_text(), Loader=_Loader)  # SafeLoader with more tags


TEMPLATE = _load("template.yaml")
RESOURCES = TEMPLATE["Resources"]
GLOBALS = TEMPLATE["Globals"]["Function"]


def _of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: r.get("Properties", {}) for name, r in RESOURCES.items() if r["Type"] == kind}


def _function(name: str) -> dict[str, Any]:
    return RESOURCES[f"{name}Function"]["Properties"]


def _variables(name: str) -> dict[str, Any]:
    return GLOBALS["Environment"]["Variables"] | _function(name)["Environment"]["Variables"]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _grants() -> list[tuple[str, dict[str, Any]]]:
    """Every Allow statement of an identity policy, with the logical id of its role or policy."""
    documents = [(n, p["PolicyDocument"]) for n, r in _of_type("AWS::IAM::Role").items() for p in r.get("Policies", [])]
    documents += [(n, p["PolicyDocument"]) for n, p in _of_type("AWS::IAM::ManagedPolicy").items()]
    return [(n, s) for n, document in documents for s in document["Statement"] if s["Effect"] == "Allow"]


def _actions(role: str) -> set[str]:
    return {action for name, s in _grants() if name == role for action in _as_list(s["Action"])}


def _camel(setting: str) -> str:
    return "".join(part.capitalize() for part in setting.split("_"))


# Functions


def test_functions_are_the_six_verbs():
    """Same word everywhere: template, handler file, settings dataclass."""
    assert {f"{name}Function" for name in FUNCTIONS} == set(_of_type("AWS::Serverless::Function"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_runs_on_our_python_and_arm64(name):
    """One runtime for all; each function chooses its own time-out and memory, and its handler exists."""
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Architectures"] == ["arm64"]
    assert _function(name).keys().isdisjoint({"Runtime", "Architectures", "CodeUri", "Layers"})
    assert {"Timeout", "MemorySize", "Handler", "Role", "LoggingConfig"} <= _function(name).keys()
    assert _function(name)["Handler"] == f"{name.lower()}.handler"
    assert (ROOT / GLOBALS["CodeUri"] / f"{name.lower()}.py").is_file()


@pytest.mark.parametrize("name", ["Validate", "Admin"])
def test_http_function_ends_before_the_api_gives_up(name):
    """API Gateway answers 503 in our name after 30 s; a time-out of ours must come first."""
    assert _function(name)["Timeout"] < 30


def test_no_function_reserves_concurrency():
    """Throttled receipts count towards the redrive: the pollers are capped instead."""
    assert not [name for name in FUNCTIONS if "ReservedConcurrentExecutions" in _function(name)]


# Settings


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variables_are_known_to_the_functions_settings(name):
    """A variable that the function doesn't read is a mistake: a setting parsed nowhere."""
    known = {settings.BY_NAME[field.name].variable for field in dataclasses.fields(SETTINGS[name])}
    if name == "Admin":
        known |= {setting.variable for setting in settings.SETTINGS}  # it tells them (settings.given)
    assert set() == set(_variables(name)) - known


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_setting_without_default_is_set(name):
    """A required setting that the template forgets would fail every cold start."""
    required = {
        settings.BY_NAME[field.name].variable
        for field in dataclasses.fields(SETTINGS[name])
        if settings.BY_NAME[field.name].default is None
    }
    assert set() == required - set(_variables(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators_choice_reaches_every_function_that_reads_it(name):
    """A parameter that becomes a setting is passed to each function whose settings hold it, as it is."""
    for field in dataclasses.fields(SETTINGS[name]):
        if _camel(field.name) in TEMPLATE["Parameters"]:
            assert {"Ref": _camel(field.name)} == _variables(name)[settings.BY_NAME[field.name].variable]


def test_export_tells_every_choice_of_the_operator():
    """`admin` gets all parameters that are settings, and settings without one are known as such."""
    of_parameters = {s for s in settings.SETTINGS if _camel(s.name) in TEMPLATE["Parameters"]}
    assert {s.variable: {"Ref": _camel(s.name)} for s in of_parameters}.items() <= _variables("Admin").items()
    of_the_place = {s.name for s in settings.SETTINGS if s.name not in settings.given({s.variable: "\0"})}
    rest = {s.name for s in settings.SETTINGS} - {s.name for s in of_parameters}
    assert rest - of_the_place == settings.NO_PARAMETER


@pytest.mark.parametrize(
    "setting", [s for s in settings.SETTINGS if _camel(s.name) in TEMPLATE["Parameters"]], ids=lambda s: s.name
)
def test_parameter_has_the_settings_default_and_range(setting):
    """One default, in settings.py; and the template refuses what settings.py would refuse."""
    parameter = TEMPLATE["Parameters"][_camel(setting.name)]
    assert setting.default == str(parameter["Default"])
    for value in (parameter["Default"], *parameter.get("AllowedValues", ())):
        setting.parse(str(value))
    for end, beyond in (("MinValue", -1), ("MaxValue", 1)):
        if end in parameter:
            setting.parse(str(parameter[end]))
            with pytest.raises(ValueError, match="must be"):
                setting.parse(str(parameter[end] + beyond))


def test_every_parameter_is_a_setting_or_shapes_the_stack():
    """A parameter with a misspelt setting's name would be read by nobody."""
    of_the_stack = {
        "ApiRate", "ApiBurst", "SubnetIds", "SecurityGroupIds", "DeliverConcurrency", "AlarmTopicArn", "LogRetentionDays",
    }  # fmt: skip
    assert of_the_stack == set(TEMPLATE["Parameters"]) - {_camel(s.name) for s in settings.SETTINGS}


def test_every_parameter_is_described_and_shown_in_one_group():
    """What an operator sees in the console is all of it, in order."""
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [parameter for group in groups for parameter in group["Parameters"]]
    assert sorted(TEMPLATE["Parameters"]) == sorted(shown)
    assert all(parameter["Description"] for parameter in TEMPLATE["Parameters"].values())


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("Hostname", ["mail.example.org", "a-b.c"], ["localhost", "-a.b", "a..b", "a.b\n", "a b.c", ""]),
        ("Relay", ["mx", "smtp.example.org:587", "[2001:db8::1]:25"], ["MX", "host", "host:", ":25", "a b:25"]),
        ("RelayCredential", ["", "ses", "a.b-c_1"], ["a b", "-a", "a/b", "x" * 65]),
        (
            "DaneResolver",
            ["", "10.0.0.2", "10.0.0.2:5353", "2001:db8::1", "[2001:db8::1]:53"],
            ["ns.example.org", "10.0.0.2:", "10.0.0.2:a", " "],
        ),
        ("RetryIntervalsS", ["300", "2,4,8", "0.5,1"], ["", "1,", "a", "1;2"]),
        ("Postmaster", ["", "postmaster@example.org"], ["postmaster", "<a@b>", "a@b@c"]),
        ("CredentialRegion", ["us-east-1", "ap-southeast-2", "us-gov-west-1"], ["us-east", "US-EAST-1"]),
        (
            "AliasTargetArns",
            [
                "",
                "arn:aws:sqs:eu-west-1:123456789012:q",
                "arn:aws:lambda:eu-west-1:123456789012:function:f:live,arn:aws:sns:eu-west-1:123456789012:t.fifo",
            ],
            [
                "q",
                "arn:aws:s3:::b",
                "arn:aws:sqs:eu-west-1:123456789012:q,",
                "arn:aws:sqs:eu-west-1:123456789012:q, x",
                "*",
            ],
        ),
        (
            "WebhookHosts",
            ["", "hooks.example.org", "a.example:8443,[2001:db8::1]"],
            ["https://a.example", "a,", "a b", "*"],
        ),
        ("WebhookPrivateHosts", ["", "127.0.0.1:8443"], ["https://a.example", "a,"]),
        ("AlarmTopicArn", ["", "arn:aws:sns:eu-west-1:123456789012:pager"], ["pager", "arn:aws:sqs:eu-west-1:1:x"]),
    ],
)
def test_pattern_takes_good_and_refuses_bad_values(parameter, good, bad):
    """A typing error is refused before anything is deployed, with words that say what is wrong."""
    pattern = re.compile(TEMPLATE["Parameters"][parameter]["AllowedPattern"])
    assert TEMPLATE["Parameters"][parameter]["ConstraintDescription"].startswith("must be")
    assert good == [value for value in good + bad if pattern.fullmatch(value)]


# Doors


def test_routes():
    """Submissions go to validate, everything else to admin; the stage adds nothing to a signed path."""
    routes = {
        (event["Properties"].get("Method", ""), event["Properties"].get("Path", "$default")): name
        for name in FUNCTIONS
        for event in _function(name).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    expected = {
        ("POST", "/"): "Validate",
        ("POST", "/v2/email/outbound-emails"): "Validate",
        ("POST", "/v2/email/outbound-bulk-emails"): "Validate",
        ("POST", "/v1/messages"): "Validate",
        ("POST", "/v1/uploads"): "Validate",
        ("", "$default"): "Admin",
    }
    assert expected == routes
    assert RESOURCES["HttpApi"]["Properties"]["StageName"] == "$default"


def test_access_log_is_json_without_addresses():
    """Query strings of SES v1 hold addresses, and those of presigned requests hold signatures."""
    form = RESOURCES["HttpApi"]["Properties"]["AccessLogSettings"]["Format"]
    json.loads(form)
    assert "query" not in form.lower()
    assert "$context.path" not in form


# Queues


def test_queue_sources_and_what_becomes_of_failures():
    """Each queue has one consumer, which reports failed items one by one and never more copies than capped."""
    sources = {}
    for name in FUNCTIONS:
        for event in _function(name).get("Events", {}).values():
            if event["Type"] == "SQS":
                sources[name] = event["Properties"]["Queue"]["Fn::GetAtt"][0]
                assert event["Properties"]["BatchSize"] == 10
                assert event["Properties"]["MaximumBatchingWindowInSeconds"] == 0
                assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
                assert "MaximumConcurrency" in event["Properties"]["ScalingConfig"]
    assert dict(SOURCES) == sources


@pytest.mark.parametrize("name", SOURCES)
def test_visibility_outlasts_the_function(name):
    """AWS asks for six times the function's time-out, or a slow batch is received twice."""
    queue = RESOURCES[SOURCES[name]]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * _function(name)["Timeout"]


def test_redrive_chain():
    """Every failure takes one road: delivery → retry → parked, bounce → parked, event → parked."""
    chain = {
        name: (
            queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0],
            queue["RedrivePolicy"]["maxReceiveCount"],
        )
        for name, queue in _of_type("AWS::SQS::Queue").items()
        if "RedrivePolicy" in queue
    }
    expected = {
        "DeliveryQueue": ("RetryQueue", 1),
        "RetryQueue": ("ParkedQueue", 300),
        "BounceQueue": ("ParkedQueue", 300),
        "EventQueue": ("ParkedQueue", 300),
    }
    assert expected == chain


@pytest.mark.parametrize("name", ["DeliveryQueue", "RetryQueue", "BounceQueue", "EventQueue"])
def test_dead_letter_queue_keeps_longer_than_its_source(name):
    """A redriven message keeps its enqueue time: the longer retention is what an operator has."""
    source = RESOURCES[name]["Properties"]
    target = RESOURCES[source["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]["Properties"]
    assert source["MessageRetentionPeriod"] < target["MessageRetentionPeriod"]


def test_delivery_queue_keeps_longer_than_mail_lives():
    """Mail that nobody could try is returned to its sender before the queue forgets it."""
    kept = RESOURCES["DeliveryQueue"]["Properties"]["MessageRetentionPeriod"]
    assert kept > TEMPLATE["Parameters"]["QueueReturnS"]["Default"]


def test_dead_letter_queues_take_from_their_sources_only():
    """RedriveAllowPolicy mirrors the redrive chain."""
    queues = _of_type("AWS::SQS::Queue")
    arn = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
    for name, queue in queues.items():
        sources = [
            arn + q["QueueName"]["Fn::Sub"]
            for q in queues.values()
            if q.get("RedrivePolicy", {}).get("deadLetterTargetArn") == {"Fn::GetAtt": [name, "Arn"]}
        ]
        allowed = [s["Fn::Sub"] for s in queue["RedriveAllowPolicy"].get("sourceQueueArns", ())]
        assert sources == allowed, name


def test_queues_are_encrypted_and_refuse_plain_http():
    """Jobs hold ids only, and even these stay private."""
    queues = _of_type("AWS::SQS::Queue")
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
    assert [{"Ref": name} for name in queues] == RESOURCES["QueuePolicy"]["Properties"]["Queues"]
    _assert_tls_only(RESOURCES["QueuePolicy"])


def test_sweep_runs_every_minute_and_is_not_repeated():
    """A failed sweep is not tried again: the next one does its work."""
    sweep = _function("Retry")["Events"]["Sweep"]["Properties"]
    assert sweep["Schedule"] == "rate(1 minute)"
    assert json.loads(sweep["Input"]) == {"sweep": True}
    assert sweep["RetryPolicy"] == {"MaximumRetryAttempts": 0}
    assert _function("Retry")["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


# Stores


def _assert_tls_only(policy: dict[str, Any]) -> None:
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_spool_is_private_encrypted_and_expires():
    """Envelopes and bodies outlive the longest queue lifetime; nothing stays for ever."""
    spool = RESOURCES["SpoolBucket"]["Properties"]
    assert set(spool["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(spool["PublicAccessBlockConfiguration"]) == 4
    assert spool["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert spool["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "VersioningConfiguration" not in spool
    days = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in spool["LifecycleConfiguration"]["Rules"]
        if "Prefix" in rule
    }
    expected = {"qf/": 16, "df/": 16, "up/": 1, "xf/": 14}
    assert expected == days
    assert days["qf/"] * 86400 > TEMPLATE["Parameters"]["QueueReturnS"]["MaxValue"]
    _assert_tls_only(RESOURCES["SpoolBucketPolicy"])


def test_ledger_has_the_keys_that_its_adapter_uses():
    """pk, sk; the due index by shard and time with keys only; records expire."""
    ledger = RESOURCES["LedgerTable"]["Properties"]
    (index,) = ledger["GlobalSecondaryIndexes"]

    def keys(schema: list[dict[str, str]]) -> dict[str, str]:
        return {key["KeyType"]: key["AttributeName"] for key in schema}

    assert keys(ledger["KeySchema"]) == {"HASH": "pk", "RANGE": "sk"}
    assert keys(index["KeySchema"]) == {"HASH": "due_shard", "RANGE": "due_at"}
    assert (index["IndexName"], index["Projection"]) == ("due", {"ProjectionType": "KEYS_ONLY"})
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert ledger["BillingMode"] == "PAY_PER_REQUEST"
    assert ledger["SSESpecification"] == {"SSEEnabled": True}
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize("name", ["SpoolBucket", "LedgerTable"])
def test_accepted_mail_outlives_the_stack(name):
    """Accepted means kept, also when somebody deletes the stack."""
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


# Policies


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_a_role_of_its_own_and_nothing_implicit(name):
    """With Role given SAM attaches nothing; no managed policy but the conditional one for the VPC."""
    assert _function(name)["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert "Policies" not in _function(name)
    managed = RESOURCES[f"{name}Role"]["Properties"].get("ManagedPolicyArns")
    vpc_only = {"Fn::If": ["InVpc", [{"Ref": "NetworkPolicy"}], {"Ref": "AWS::NoValue"}]}
    assert managed == (vpc_only if name == "Deliver" else None)


@pytest.mark.parametrize(("name", "statement"), _grants(), ids=lambda v: v if isinstance(v, str) else v["Sid"])
def test_grant_names_its_actions_and_resources(name, statement):
    """No wildcard action, no bare "*", no NotAction; every ARN derives from this stack."""
    # A condition only narrows.
    assert {"Sid", "Effect", "Action", "Resource"} == statement.keys() - {"Condition"}
    assert not [action for action in _as_list(statement["Action"]) if "*" in action]
    if (name, statement["Sid"]) in MAY_SAY_STAR:
        assert statement["Resource"] == "*"
        return
    if (name, statement["Resource"]) in OPERATORS_ARNS:
        return
    for resource in _as_list(statement["Resource"]):
        assert isinstance(resource, dict), resource
        (intrinsic,) = resource
        assert intrinsic in {"Fn::GetAtt", "Fn::Sub"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_writes_to_its_own_log_only(name):
    """One log group for each function, kept as long as the operator says, made before the function is."""
    own = {"Fn::GetAtt": [f"{name}Logs", "Arn"]}
    granted = [s["Resource"] for role, s in _grants() if role == f"{name}Role" and s["Sid"] == "Log"]
    assert [own] == granted
    assert _function(name)["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}
    assert all(
        group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in _of_type("AWS::Logs::LogGroup").values()
    )


def test_alias_targets_are_allowed_to_deliver_alone_and_only_if_named():
    """Deny by default: no parameter, no policy; and nothing but handing over."""
    policy = RESOURCES["AliasTargetsPolicy"]
    assert policy["Condition"] == "HasAliasTargets"
    assert TEMPLATE["Conditions"]["HasAliasTargets"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AliasTargetArns"}, ""]}]}
    assert policy["Properties"]["Roles"] == [{"Ref": "DeliverRole"}]
    assert _actions("AliasTargetsPolicy") == {"lambda:InvokeFunction", "sns:Publish", "sqs:SendMessage"}


def test_event_destinations_are_allowed_to_publish_alone_and_only_if_named():
    """The same of events."""
    for policy, condition, actions in (
        ("EventDestinationsPolicy", "HasEventDestinations", {"sns:Publish", "events:PutEvents", "firehose:PutRecordBatch"}),
        ("EventMetricsPolicy", "HasEventMetrics", {"cloudwatch:PutMetricData"}),
    ):  # fmt: skip
        assert RESOURCES[policy]["Condition"] == condition
        assert RESOURCES[policy]["Properties"]["Roles"] == [{"Ref": "PublishRole"}]
        assert _actions(policy) == actions


POLL = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}


@pytest.mark.parametrize("name", SOURCES)
def test_consumer_may_poll_its_own_queue_only(name):
    """What an event source mapping needs, and ChangeMessageVisibility to send failures on their way at once."""
    polls = [
        (_as_list(s["Action"]), s["Resource"]) for role, s in _grants() if role == f"{name}Role" and s["Sid"] == "Poll"
    ]
    # Only `deliver` releases items itself.
    needed = POLL if name == "Deliver" else set(POLL) - {"sqs:ChangeMessageVisibility"}
    assert [(sorted(needed), {"Fn::GetAtt": [SOURCES[name], "Arn"]})] == [(sorted(a), r) for a, r in polls]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_queues_that_a_function_knows_are_those_that_it_may_use(name):
    """A queue's URL in the environment and the right to its queue go together."""
    known = {value["Ref"] for key, value in _variables(name).items() if key.endswith("_QUEUE")}
    granted = {
        resource["Fn::GetAtt"][0]
        for role, s in _grants()
        if role == f"{name}Role" and s["Sid"] in {"Poll", "Enqueue", "Parked"}
        for resource in _as_list(s["Resource"])
    }
    assert known == granted


OPERATORS_POLICIES = ("AliasTargetsPolicy", "EventDestinationsPolicy", "EventMetricsPolicy")

# An adapter's call → the action that it needs, where these are not of one name.
ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "lambda:Invoke": "lambda:InvokeFunction",
    "sns:PublishBatch": "sns:Publish",
}
# `paravion credentials create` calls it, under the operator's own rights.
BY_OPERATOR = {"ssm:PutParameter"}


def _aws_adapters() -> dict[str, str]:
    """Each adapter that uses botocore, by its file's name, and its service: adapters are <technology>_<port>.py."""
    files = sorted((LIBRARY / "adapters").glob("*.py"))
    using = [path for path in files if re.search("botocore|_client: Any|client: Any", path.read_text())]
    using = [path for path in using if path.stem != "aws_errors"]
    return {path.name: path.name.split("_")[0] for path in using}


def _calls(adapter: str, service: str) -> set[str]:
    """The actions behind `….client.method(…)` and `get_paginator("method")` in an adapter."""
    found = set()
    for node in ast.walk(ast.parse((LIBRARY / "adapters" / adapter).read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, method = node.func.value, node.func.attr
        if not (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")).endswith("client"):
            continue
        if method == "get_paginator":
            method = node.args[0].value
        if not method.startswith("generate_"):
            action = f"{service}:{_camel(method)}"
            found.add(ACTIONS.get(action, action))
    return found


def _allowed() -> set[str]:
    return set().union(*map(_actions, (*(f"{name}Role" for name in FUNCTIONS), *OPERATORS_POLICIES)))


@pytest.mark.parametrize(("adapter", "service"), _aws_adapters().items())
def test_what_an_adapter_calls_some_function_may(adapter, service):
    """A call that no role allows works on moto and fails on AWS."""
    allowed = _allowed()
    calls = _calls(adapter, service)
    assert calls
    assert not calls - allowed - BY_OPERATOR


def test_no_right_is_left_over():
    """What no adapter calls no role allows, but for what Lambda itself does in a function's name."""
    called = set().union(*(_calls(*item) for item in _aws_adapters().items()))
    by_lambda = POLL | {"logs:CreateLogStream", "logs:PutLogEvents"}
    by_client = {"s3:PutObject"}
    tells_missing = {"s3:ListBucket"}
    allowed = _allowed()
    assert not allowed - called - by_lambda - by_client - tells_missing


# Alarms


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_trouble_is_an_alarm(name, metric):
    """Each function's errors and throttles."""
    alarm = RESOURCES[f"{name}{metric}Alarm"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": f"{name}Function"}}]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("AWS/Lambda", metric, 0)


@pytest.mark.parametrize("queue", ["Delivery", "Retry", "Bounce", "Event"])
def test_old_jobs_are_an_alarm(queue):
    """A queue that nobody drains is noticed by the age of its oldest job."""
    alarm = RESOURCES[f"{queue}AgeAlarm"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [f"{queue}Queue", "QueueName"]}}]
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"


def test_anything_parked_is_an_alarm():
    """Nothing consumes ParkedQueue: one job in it is one too many."""
    alarm = RESOURCES["ParkedAlarm"]["Properties"]
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["ParkedQueue", "QueueName"]}
    assert (alarm["MetricName"], alarm["Threshold"], alarm["ComparisonOperator"], alarm["EvaluationPeriods"]) == (
        "ApproximateNumberOfMessagesVisible", 0, "GreaterThanThreshold", 1,
    )  # fmt: skip


def test_sweep_that_stands_still_is_an_alarm():
    """Deferred mail moves by the sweep alone, so no data is trouble too."""
    assert RESOURCES["SweepAlarm"]["Properties"]["TreatMissingData"] == "breaching"


def test_alarms_tell_the_topic_if_there_is_one():
    """No topic, no action: the alarms still show."""
    action = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    for name, alarm in _of_type("AWS::CloudWatch::Alarm").items():
        assert (
            alarm["Namespace"] == {"FunctionName": "AWS/Lambda", "QueueName": "AWS/SQS"}[alarm["Dimensions"][0]["Name"]]
        )
        assert alarm["AlarmActions"] == alarm["OKActions"] == action, name
        assert alarm["AlarmDescription"], name


def test_dashboard_is_json_about_our_resources():
    """CloudWatch takes any text and then shows an empty page."""
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = set(re.findall(r"\$\{(\w+)(?:\.\w+)?\}", body))
    assert set() == names - set(RESOURCES)
    widgets = json.loads(body)["widgets"]
    assert {"metric"} == {widget["type"] for widget in widgets}
    places = {(w["x"], w["y"]): w["width"] for w in widgets}
    assert len(places) == len(widgets)
    assert all(x + width <= 24 for (x, _), width in places.items())


# Layers


PINS = re.compile(r"([A-Za-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def _layer_pins() -> dict[str, str]:
    lines = (ROOT / "layers/deps/requirements.txt").read_text().splitlines()
    matches = [PINS.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(matches), "every requirement is pinned with a hash, and no option stands beside"
    return {match[1]: match[2] for match in matches if match}


def test_layer_pins_are_the_packages_pins():
    """Tests, commands and Lambda run the same versions; boto3 is the commands' alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package = dict(requirement.split("==") for requirement in project["dependencies"])
    assert {"boto3"} == set(package) - set(_layer_pins())
    shared = package.keys() & _layer_pins().keys()
    assert {name: package[name] for name in shared} == {name: _layer_pins()[name] for name in shared}


def test_handlers_leave_boto3_alone():
    """It isn't in the layer: Lambda would find its own, beside our botocore of another version."""
    importing = []
    for path in [*(ROOT / "functions").glob("*.py"), *LIBRARY.rglob("*.py")]:
        if path.is_relative_to(LIBRARY / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importing += [path.name for name in names if name.split(".")[0] == "boto3"]
    assert not importing


def test_layer_keeps_the_models_that_handlers_need():
    """Without a service's model botocore knows no such service: those of the policies, and the two we speak."""
    makefile = (ROOT / "layers/deps/Makefile").read_text()
    kept = re.search(r"^MODELS = (.*)$", makefile, re.MULTILINE)
    policies = ("AliasTargetsPolicy", *(f"{name}Role" for name in FUNCTIONS))
    called = {action.split(":")[0] for name in policies for action in _actions(name)} - {"logs"}
    assert kept
    assert sorted(called | {"ses", "sesv2"}) == kept[1].split()


@pytest.mark.parametrize(("layer", "folder"), [("DepsLayer", "deps"), ("ParavionLayer", "paravion")])
def test_layer_is_built_by_its_makefile(layer, folder):
    """`sam build` looks for the target build-<logical id> in ContentUri's Makefile."""
    assert RESOURCES[layer]["Metadata"]["BuildMethod"] == "makefile"
    assert RESOURCES[layer]["Properties"]["ContentUri"] == f"layers/{folder}/"
    assert f"\nbuild-{layer}:\n" in (ROOT / "layers" / folder / "Makefile").read_text()


# The whole


def test_outputs_tell_what_users_and_commands_need():
    """The endpoint, the stores, the queues and where secrets are."""
    assert set(TEMPLATE["Outputs"]) == {
        "Endpoint", "SesEndpoint", "Spool", "Ledger", "Secrets",
        "DeliveryQueueUrl", "RetryQueueUrl", "BounceQueueUrl", "EventQueueUrl", "ParkedQueueUrl",
    }  # fmt: skip
    secrets = TEMPLATE["Outputs"]["Secrets"]["Value"]
    assert secrets == _variables("Validate")["PARAVION_SECRETS"] == _variables("Admin")["PARAVION_SECRETS"]


def test_network_fits_the_template():
    """infra/network.yaml's outputs are the values of two parameters; only what mail needs goes out."""
    network = _load("infra/network.yaml")
    assert {"SubnetIds", "SecurityGroupIds"} <= network["Outputs"].keys() & TEMPLATE["Parameters"].keys()
    group = network["Resources"]["DeliverSecurityGroup"]["Properties"]
    assert group["SecurityGroupIngress"] == []
    assert {25, 53, 443, 465, 587} == {rule["FromPort"] for rule in group["SecurityGroupEgress"]}
    assert all(rule["FromPort"] == rule["ToPort"] for rule in group["SecurityGroupEgress"])


def test_cfn_lint_is_clean():
    """All templates, no warning allowed."""
    templates = ["template.yaml", "infra/network.yaml", "infra/front_door/template.yaml"]
    command = [sys.executable, "-c", "from cfnlint.runner import main; main()", *templates]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout
