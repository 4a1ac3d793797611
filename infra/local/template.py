"""
Read template.yaml as AWS would: translate SAM, split it into moto's part and ours, create moto's part.

moto creates the stores and the queues. The functions, the event source mappings (moto's own would run Docker
from inside `send_message`), the HTTP API and the schedules are ours: they come out as plain specs. Everything
else (roles, layers, alarms, dashboards, networks) has no effect on one machine and is left out.

moto's CloudFormation resolves the intrinsic functions in what is ours too: each expression becomes an output
of the reduced stack. A reference to a resource that was left out becomes a name of the same form.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STACK_NAME: Final = "paravion"

CREATED: Final = frozenset({"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SSM::Parameter"})
"""What moto creates. Policies of buckets and queues are not among them: nobody but us calls."""

_SAM_TAGS: Final = "Transform"
_ELSEWHERE: Final = "s3://local/code"
_ATTRIBUTE: Final = re.compile(r"\$\{([A-Za-z0-9]+)(\.[A-Za-z0-9.]+)?\}")
_DEFAULT_TIMEOUT_S: Final = 3  # AWS::Lambda::Function Timeout
_DEFAULT_BATCH: Final = 10  # AWS::Lambda::EventSourceMapping BatchSize for SQS


class TemplateError(Exception):
    """The template can't be read, translated or created."""


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """
    One function.

    Attributes:
        name: The logical id.
        code: The folder that holds the handler's module.
        handler: `module.callable`.
        variables: Its environment.
    """

    name: str
    code: Path
    handler: str
    timeout_s: float
    memory_mb: int
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """One event source mapping: queue → function. `concurrency` is None without a maximum."""

    name: str
    queue_arn: str
    function: str
    batch_size: int
    window_s: float
    report_items: bool
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """One schedule: it invokes `function` with `payload`."""

    name: str
    function: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API; method and path are "" for $default."""

    key: str
    method: str
    path: str
    function: str


@dataclass(frozen=True, slots=True)
class System:
    """The template, as it was created. `resources`: physical ids by logical id."""

    functions: Mapping[str, FunctionSpec]
    mappings: tuple[MappingSpec, ...]
    schedules: tuple[ScheduleSpec, ...]
    routes: tuple[Route, ...]
    resources: Mapping[str, str]


@dataclass(slots=True)
class _Reduced:
    """moto's part, and the expressions that it resolves for us."""

    template: dict[str, Any]
    kept: frozenset[str]
    outputs: dict[str, Any] = field(default_factory=dict)

    def output(self, value: Any) -> Any:
        """Replace each intrinsic function in `value` by a marker, and make it an output."""
        if isinstance(value, dict):
            if len(value) == 1 and (key := next(iter(value))) and (key == "Ref" or key.startswith("Fn::")):
                name = f"Local{len(self.outputs)}"
                self.outputs[name] = {"Value": self.without_dropped(value)}
                return _Marker(name)
            return {key: self.output(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.output(item) for item in value]
        return value

    def without_dropped(self, value: Any) -> Any:
        """Replace references to resources that moto does not create by plain names."""
        if isinstance(value, list):
            return [self.without_dropped(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"} and self._is_dropped(value["Ref"]):
            return value["Ref"]
        if set(value) == {"Fn::GetAtt"}:
            target = value["Fn::GetAtt"]
            logical_id, attribute = target.split(".", 1) if isinstance(target, str) else target
            if self._is_dropped(logical_id):
                return f"{logical_id}.{attribute}"
        if set(value) == {"Fn::Sub"}:
            return {"Fn::Sub": self._sub(value["Fn::Sub"])}
        return {key: self.without_dropped(item) for key, item in value.items()}

    def _sub(self, value: Any) -> Any:
        if isinstance(value, list):
            text, names = value
            return [self._sub_text(text, frozenset(names)), self.without_dropped(names)]
        return self._sub_text(value, frozenset())

    def _sub_text(self, text: str, names: frozenset[str]) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1] in names or not self._is_dropped(match[1]):
                return match[0]
            return match[1] + (match[2] or "")

        return _ATTRIBUTE.sub(replace, text)

    def _is_dropped(self, logical_id: str) -> bool:
        known = self.kept | frozenset(self.template.get("Parameters", {}))
        return not logical_id.startswith("AWS::") and logical_id not in known


@dataclass(frozen=True, slots=True)
class _Marker:
    """Stands for the value of an output."""

    output: str


def translate(path: Path, parameters: Mapping[str, str], region: str) -> tuple[dict[str, Any], dict[str, Path]]:
    """
    Translate a SAM template to CloudFormation.

    Returns:
        The template, and the code folder of each function by logical id.

    Raises:
        TemplateError: It can't be read or is not a SAM template.
    """
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse

    try:
        document = yaml_parse(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise TemplateError(f"{path}: {exc}") from exc
    if not isinstance(document, dict) or "Resources" not in document:
        raise TemplateError(f"{path} is not a template")
    folders = _take_code(document, path.parent)
    session = boto3.Session(region_name=region)
    try:
        translated = Translator({}, Parser(), boto_session=session).translate(document, dict(parameters))
    except InvalidDocumentException as exc:
        raise TemplateError(f"{path}: {exc.message}") from exc
    return json.loads(json.dumps(translated)), folders


def _take_code(document: dict[str, Any], root: Path) -> dict[str, Path]:
    """Point code at S3, as `sam package` does and the translator demands, and remember where it was."""
    common = document.get("Globals", {}).get("Function", {})
    default = common.pop("CodeUri", None)
    folders = {}
    for logical_id, resource in document["Resources"].items():
        properties = resource.setdefault("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            folders[logical_id] = root / (properties.get("CodeUri") or default or ".")
            properties["CodeUri"] = _ELSEWHERE
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = _ELSEWHERE
    return folders


def create(path: Path, parameters: Mapping[str, str], region: str) -> System:
    """
    Create moto's part of the template as a stack, and give the rest as specs. moto must be active.

    Parameters that `parameters` does not name keep their defaults.

    Raises:
        TemplateError: It can't be read, translated or created.
    """
    translated, folders = translate(path, parameters, region)
    resources = translated["Resources"]
    kept = frozenset(name for name, resource in resources.items() if resource["Type"] in CREATED)
    reduced = _Reduced({key: value for key, value in translated.items() if key not in {"Outputs", _SAM_TAGS}}, kept)
    ours = {name: resource for name, resource in resources.items() if name not in kept}
    plans = {
        name: reduced.output(_relevant(resource))
        for name, resource in ours.items()
        if resource["Type"] in _RELEVANT_PROPERTIES
    }
    stack = {
        **reduced.template,
        "Resources": {
            name: _without_dropped_dependencies(reduced.without_dropped(resources[name]), kept) for name in kept
        },
        "Outputs": reduced.outputs,
    }
    values, physical = _create_stack(stack, parameters, region)
    filled = {name: (ours[name]["Type"], _fill(plan, values)) for name, plan in plans.items()}
    return _system(filled, ours, folders, physical)


def template_parameters(path: Path) -> dict[str, Mapping[str, Any]]:
    """
    Give the template's parameters by name, with their types, defaults and allowed values.

    Raises:
        TemplateError: It can't be read.
    """
    from samtranslator.yaml_helper import yaml_parse

    try:
        document = yaml_parse(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise TemplateError(f"{path}: {exc}") from exc
    return dict((document or {}).get("Parameters") or {})


_RELEVANT_PROPERTIES: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS::Lambda::Function": ("Handler", "Timeout", "MemorySize", "Environment"),
    "AWS::Lambda::EventSourceMapping": (
        "EventSourceArn",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "FunctionResponseTypes",
        "ScalingConfig",
        "Enabled",
    ),
    "AWS::Events::Rule": ("ScheduleExpression", "State"),
    "AWS::Scheduler::Schedule": ("ScheduleExpression", "State"),
}


def _relevant(resource: Mapping[str, Any]) -> dict[str, Any]:
    names = _RELEVANT_PROPERTIES[resource["Type"]]
    properties = resource.get("Properties", {})
    return {name: properties[name] for name in names if name in properties}


def _without_dropped_dependencies(resource: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    depends = resource.pop("DependsOn", [])
    wanted = [name for name in ([depends] if isinstance(depends, str) else depends) if name in kept]
    return {**resource, "DependsOn": wanted} if wanted else resource


def _create_stack(
    stack: Mapping[str, Any], parameters: Mapping[str, str], region: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Create the stack in moto. Returns its outputs, and the physical ids of its resources."""
    client = boto3.client("cloudformation", region_name=region)
    try:
        client.create_stack(
            StackName=STACK_NAME,
            TemplateBody=json.dumps(stack),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )
        described = client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        listed = client.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    except Exception as exc:  # moto raises anything from ClientError to KeyError on what it can't do
        raise TemplateError(f"moto can't create the stack: {exc}") from exc
    if described["StackStatus"] != "CREATE_COMPLETE":
        raise TemplateError(f"moto can't create the stack: {described['StackStatus']}")
    outputs = {output["OutputKey"]: output.get("OutputValue", "") for output in described.get("Outputs", [])}
    return outputs, {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in listed}


def _fill(plan: Any, values: Mapping[str, str]) -> Any:
    if isinstance(plan, _Marker):
        return values.get(plan.output, "")
    if isinstance(plan, dict):
        return {key: _fill(item, values) for key, item in plan.items()}
    if isinstance(plan, list):
        return [_fill(item, values) for item in plan]
    return plan


def _system(
    filled: Mapping[str, tuple[str, dict[str, Any]]],
    ours: Mapping[str, Any],
    folders: Mapping[str, Path],
    physical: Mapping[str, str],
) -> System:
    functions: dict[str, FunctionSpec] = {}
    mappings: list[MappingSpec] = []
    schedules: list[ScheduleSpec] = []
    for name, (type_, plan) in filled.items():
        properties = ours[name]["Properties"]
        if type_ == "AWS::Lambda::Function":
            variables = plan.get("Environment", {}).get("Variables", {})
            functions[name] = FunctionSpec(
                name,
                folders[name],
                plan["Handler"],
                float(plan.get("Timeout") or _DEFAULT_TIMEOUT_S),
                int(plan.get("MemorySize") or 128),
                {key: str(value) for key, value in variables.items()},
            )
        elif type_ == "AWS::Lambda::EventSourceMapping":
            if str(plan.get("Enabled", True)).lower() == "true":
                mappings.append(_mapping(name, plan, _target(properties["FunctionName"])))
        elif plan.get("State", "ENABLED") == "ENABLED" and plan.get("ScheduleExpression"):
            targets = properties["Targets"] if type_ == "AWS::Events::Rule" else [properties["Target"]]
            schedules += [
                ScheduleSpec(name, _target(target["Arn"]), json.loads(target.get("Input", "{}"))) for target in targets
            ]
    routes = [
        route
        for resource in ours.values()
        if resource["Type"] == "AWS::ApiGatewayV2::Api"
        for route in _routes(resource["Properties"].get("Body", {}))
    ]
    return System(functions, tuple(mappings), tuple(schedules), tuple(routes), dict(physical))


def _mapping(name: str, plan: Mapping[str, Any], function: str) -> MappingSpec:
    maximum = plan.get("ScalingConfig", {}).get("MaximumConcurrency")
    return MappingSpec(
        name,
        plan["EventSourceArn"],
        function,
        int(plan.get("BatchSize") or _DEFAULT_BATCH),
        float(plan.get("MaximumBatchingWindowInSeconds") or 0),
        "ReportBatchItemFailures" in plan.get("FunctionResponseTypes", []),
        int(maximum) if maximum else None,
    )


def _target(value: Any) -> str:
    """Give the logical id that a Ref, GetAtt or Sub of a function names."""
    if isinstance(value, dict):
        if "Ref" in value:
            return str(value["Ref"])
        if "Fn::GetAtt" in value:
            target = value["Fn::GetAtt"]
            return str(target.split(".")[0] if isinstance(target, str) else target[0])
        if "Fn::Sub" in value:
            value = value["Fn::Sub"]
    for match in _ATTRIBUTE.finditer(str(value)):
        if match[2] == ".Arn":
            return match[1]
    raise TemplateError(f"{value!r} names no function of the template")


def _routes(body: Mapping[str, Any]) -> list[Route]:
    routes = []
    for path, methods in body.get("paths", {}).items():
        for method, operation in methods.items():
            integration = operation.get("x-amazon-apigateway-integration")
            if not integration:
                continue
            function = _target(integration["uri"])
            if path == "$default":
                routes.append(Route("$default", "", "", function))
                continue
            verb = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
            routes.append(Route(f"{verb} {path}", verb, path, function))
    return routes
