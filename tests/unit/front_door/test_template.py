"""infra/front_door/template.yaml and Dockerfile against the door that they run."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pytest

from infra.front_door import command
from infra.front_door.api import LIMITS_TIMEOUT_S
from infra.front_door.settings import FrontDoorSettings
from tests.unit.test_template import _load

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = _load("infra/front_door/template.yaml")
RESOURCES = TEMPLATE["Resources"]
CONTAINER = RESOURCES["Task"]["Properties"]["ContainerDefinitions"][0]
DOCKERFILE = (ROOT / "infra/front_door/Dockerfile").read_text()
VARIABLES = {item["Name"]: item["Value"] for item in CONTAINER["Environment"]}


def test_variables_are_the_doors_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one is read, and what the template says makes settings."""
    source = (ROOT / "infra/front_door/command.py").read_text()
    limits = {f"PARAVION_{field.upper()}" for field, _ in command._LIMITS.values()}
    known = set(re.findall(r"PARAVION_[A-Z_]+", source)) | limits | {"PARAVION_HOSTNAME", "PARAVION_MAX_MESSAGE_OCTETS"}
    assert VARIABLES.keys() | {secret["Name"] for secret in CONTAINER["Secrets"]} <= known
    given = {"ApiUrl": "https://api.example", "Hostname": "smtp.example.org", "MaxMessageOctets": "100000", "MaxRecipients": "7",
             "LoadBalancerCidr": "10.0.0.0/24,10.0.1.0/24"}  # fmt: skip
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else given[value["Ref"]])
    monkeypatch.setenv("PARAVION_TLS_PEM", "pem")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    settings = command._settings(parser.parse_args([]), dict(os.environ))
    assert (settings.port, settings.tls_port, settings.health, settings.pem) == (2525, 2465, ("0.0.0.0", 8080), "pem")
    assert len(settings.proxy_networks) == 2
    assert (settings.max_message_octets, settings.max_recipients_count) == (100_000, 7)
    # A content is there as it came, in base64 and in the request.
    assert 4 * settings.max_buffered_octets <= int(RESOURCES["Task"]["Properties"]["Memory"]) << 20


def test_container_may_do_little() -> None:
    """Not root, read-only, no capabilities, no AWS permissions of its own."""
    assert (CONTAINER["User"], CONTAINER["ReadonlyRootFilesystem"]) == ("10001", True)
    assert CONTAINER["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert "Policies" not in RESOURCES["TaskRole"]["Properties"]
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert "--uid 10001" in DOCKERFILE


def test_execution_role_fetches_the_image_and_the_key() -> None:
    """One star, for the one action that knows no resources."""
    statements = RESOURCES["ExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    maybe = next(statement for statement in statements if "Fn::If" in statement)
    assert maybe["Fn::If"][1]["Action"] == "kms:Decrypt"
    statements = [statement for statement in statements if statement is not maybe]
    stars = [statement["Action"] for statement in statements if statement["Resource"] == "*"]
    assert stars == ["ecr:GetAuthorizationToken"]
    (key,) = [s for s in statements if s["Action"] == "secretsmanager:GetSecretValue"]
    assert key["Resource"] == {"Ref": "TlsSecretArn"} == {"Ref": CONTAINER["Secrets"][0]["ValueFrom"]["Ref"]}


@pytest.mark.parametrize(("name", "outside", "inside"), [("Submission", 587, 2525), ("Submissions", 465, 2465)])
def test_ways_in(name: str, outside: int, inside: int) -> None:
    """TCP to the door, which ends TLS itself; the PROXY header says who it is; health is asked on its own port."""
    listener, targets = (RESOURCES[f"{name}{kind}"]["Properties"] for kind in ("Listener", "Targets"))
    assert (listener["Protocol"], listener["Port"], targets["Port"]) == ("TCP", outside, inside)
    attributes = {item["Key"]: item["Value"] for item in targets["TargetGroupAttributes"]}
    assert attributes["proxy_protocol_v2.enabled"] == "true"
    assert attributes["preserve_client_ip.enabled"] == "false"
    assert VARIABLES["PARAVION_HEALTH"].endswith(":" + targets["HealthCheckPort"])
    assert inside in {mapping["ContainerPort"] for mapping in CONTAINER["PortMappings"]}
    service = RESOURCES["Service"]["Properties"]["LoadBalancers"]
    assert {"ContainerName": "smtpd", "ContainerPort": inside, "TargetGroupArn": {"Ref": f"{name}Targets"}} in service


def test_only_the_balancer_reaches_the_containers() -> None:
    """Whoever could connect past it could say who he is."""
    rules = RESOURCES["TaskSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert {2525, 2465, 8080} == {rule["FromPort"] for rule in rules}
    assert all(rule["SourceSecurityGroupId"] == {"Ref": "LoadBalancerSecurityGroup"} for rule in rules)


def test_stop_loses_nothing_and_deployments_keep_the_count() -> None:
    """The balancer lets go first, then SIGTERM; a log that is away holds nothing up; Scaling alone says how many."""
    settings = FrontDoorSettings("https://api.example")
    # Whoever ends his message in the last moment hears of it before the host kills us.
    assert settings.unfinished_s + settings.submit_timeout_s + LIMITS_TIMEOUT_S < settings.drain_s
    assert settings.drain_s < CONTAINER["StopTimeout"] <= 120  # Fargate's most
    assert settings.api_timeout_s < settings.submit_timeout_s < 300  # clients wait 600 s, many of them half as long
    assert settings.command_timeout_s < 350  # the balancer's idle time-out, which says no 421
    assert "DesiredCount" not in RESOURCES["Service"]["Properties"]
    assert RESOURCES["Scaling"]["Properties"]["MinCapacity"] == {"Ref": "MinTasks"}
    assert CONTAINER["LogConfiguration"]["Options"]["mode"] == "non-blocking"
