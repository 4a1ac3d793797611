"""The `admin` function, asked by its synchronous Invoke: ports.Management on AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from paravion.adapters.aws_errors import as_unavailable
from paravion.errors import ManagementFailed, ManagementUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class LambdaAdmin:
    """
    ports.Management.

    Args:
        new_client: Makes a client of Lambda, at the first call: most functions never ask. It must not repeat calls:
            the caller's SDK does, and knows what may be repeated.
        function: Name or ARN.
    """

    def __init__(self, new_client: Callable[[], Any], function: str) -> None:
        self._new_client = new_client
        self._function = function
        self._client: Any = None

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """See ports.Management."""
        if self._client is None:
            self._client = self._new_client()
        with as_unavailable(ManagementUnavailable, "admin"):
            answer = self._client.invoke(
                FunctionName=self._function, InvocationType="RequestResponse", Payload=json.dumps(event).encode()
            )
            octets = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise ManagementFailed(f"admin: {answer['FunctionError']}")
        try:
            value = json.loads(octets)
        except ValueError as exc:
            raise ManagementFailed("admin: its answer is no JSON") from exc
        if not (isinstance(value, dict) and isinstance(value.get("statusCode"), int)):
            raise ManagementFailed("admin: its answer is none of an HTTP API's")
        return value
