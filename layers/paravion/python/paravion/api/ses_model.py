"""
SES's operations, read from botocore's own service models, and the functions that we have for them.

Adding an operation is adding one function:

    @SES_V2.operation("GetAccount")
    def get_account(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]: ...

`given` is the operation's input as boto3 takes it, already checked against the model (api/ses_shapes.py); what
it returns is the output as boto3 gives it. The model is loaded at the first SES request, not at import.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.model import OperationModel, ServiceModel

    from paravion.api.doors import Call

    Operation = Callable[[dict[str, Any], Call[Any]], Mapping[str, Any]]


MOVED: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "ListConfigurationSets": (
        ("GET", "/v2/email/configuration-sets"),
        ("POST", "/v2/email/list-configuration-sets"),
    ),
    "ListContacts": (
        ("GET", "/v2/email/contact-lists/{ContactListName}/contacts"),
        ("POST", "/v2/email/contact-lists/{ContactListName}/contacts/list"),
    ),
    "ListEmailIdentities": (("GET", "/v2/email/identities"), ("POST", "/v2/email/list-identities")),
    "ListImportJobs": (("GET", "/v2/email/import-jobs"), ("POST", "/v2/email/import-jobs/list")),
    "PutEmailIdentityDkimSigningAttributes": (
        ("PUT", "/v1/email/identities/{EmailIdentity}/dkim/signing"),
        ("PUT", "/v2/email/identities/{EmailIdentity}/dkim/signing"),
    ),
}
"""
Every path that an operation of SES v2 has had (botocore 1.31 of 2023, 1.34 of 2024, 1.44 of 2026): SDKs of all these
years are in use. Where a list went from GET to POST, its page members went from the query string to the body.
"""


class Service:
    """
    One service model and our operations of it.

    Args:
        path: botocore's name of the model: service and API version.
        moved: Further routes of its operations; one that the model has is no further one.
    """

    def __init__(self, path: str, moved: Mapping[str, tuple[tuple[str, str], ...]] | None = None) -> None:
        self.path = path
        self.moved = moved or {}
        self._functions: dict[str, Operation] = {}

    def operation(self, name: str) -> Callable[[Operation], Operation]:
        """Register the function for an operation."""

        def register(function: Operation) -> Operation:
            self._functions[name] = function
            return function

        return register

    def function(self, name: str) -> Operation | None:
        """Give the registered function, or None: not offered."""
        return self._functions.get(name)

    @property
    def offered(self) -> tuple[str, ...]:
        """Names of the operations that are registered in this process."""
        return tuple(sorted(self._functions))

    @cached_property
    def model(self) -> ServiceModel:
        """The service model; loaded once, which costs tens of milliseconds."""
        from botocore.loaders import Loader
        from botocore.model import ServiceModel

        # By its path: load_service_model lists every service first, a thousand file look-ups.
        return ServiceModel(Loader().load_data(self.path), self.path.partition("/")[0])

    @cached_property
    def error_http(self) -> dict[str, int]:
        """HTTP status by name of every error shape."""
        return {
            shape.name: int(shape.metadata["error"]["httpStatusCode"])
            for shape in self.model.error_shapes
            if "httpStatusCode" in shape.metadata.get("error", {})
        }

    @cached_property
    def error_codes(self) -> dict[str, str]:
        """The wire's code by shape name, where the two differ."""
        return {
            shape.name: shape.metadata["error"]["code"]
            for shape in self.model.error_shapes
            if "code" in shape.metadata.get("error", {})
        }

    def named(self, name: str) -> OperationModel | None:
        """Find an operation by its name."""
        return self.model.operation_model(name) if name in self._names else None

    def routed(self, method: str, path: str) -> tuple[OperationModel, dict[str, str]] | None:
        """
        Find an operation by method and path.

        Returns:
            The operation and its labels' values by their name in the template, decoded; None: no such route.
        """
        segments = path.split("/")[1:]
        for template, name in self._routes.get((method, len(segments)), ()):
            labels: dict[str, str] = {}
            for expected, segment in zip(template, segments, strict=True):
                if expected.startswith("{"):
                    labels[expected[1:-1]] = unquote(segment)
                elif expected != segment:
                    break
            else:
                if all(labels.values()):
                    return self.model.operation_model(name), labels
        return None

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.model.operation_names)

    @cached_property
    def _routes(self) -> dict[tuple[str, int], list[tuple[list[str], str]]]:
        """By method and number of segments: templates, those with the most literal segments first."""
        routes: dict[tuple[str, int], list[tuple[list[str], str]]] = {}
        for name in self.model.operation_names:
            http = self.model.operation_model(name).http
            own = (http["method"], http["requestUri"].partition("?")[0])
            for method, uri in dict.fromkeys((own, *self.moved.get(name, ()))):
                template = uri.split("/")[1:]
                routes.setdefault((method, len(template)), []).append((template, name))
        for candidates in routes.values():
            candidates.sort(key=lambda route: sum(segment.startswith("{") for segment in route[0]))
        return routes


def action_name(operation: str) -> str:
    """Give the name by which IAM, and a credential's scope, knows an operation; both versions share `ses:`."""
    return f"ses:{operation}"


def names_of_content(operation: str, given: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """
    Give the names by which a call of v2 is known, of which one must be allowed.

    Raw content is `ses:SendRawEmail`, as in SES; `ses:SendEmail` is taken for it, too.

    Args:
        given: The input; None: not read yet, which leaves both.
    """
    if operation == "SendEmail" and given is None:
        return action_name("SendEmail"), action_name("SendRawEmail")
    if operation == "SendEmail" and given and "Raw" in given["Content"]:
        return action_name("SendRawEmail"), action_name("SendEmail")
    return (action_name(operation),)


SES_V2: Final = Service("sesv2/2019-09-27/service-2", MOVED)
SES_V1: Final = Service("ses/2010-12-01/service-2")
