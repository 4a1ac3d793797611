"""
moto in this process: started, guarded, counted, and stopped.

moto's backends are not safe for threads: two receivers can take one message, a delete can lose one that is
being sent. So every request passes a guard in front of moto, which holds one lock for each service, counts
the call, and tells the pollers when something may have become visible in their queue.

Credentials and endpoints of the user's own environment are put aside while moto is active, so that nothing
can reach a real account.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import botocore.handlers
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import DEFAULT_ACCOUNT_ID, botocore_stubber
from moto.core.utils import unix_time_millis
from moto.sqs.models import sqs_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from botocore.awsrequest import AWSPreparedRequest

REGION: Final = "us-east-1"
ACCESS_KEY: Final = "AKIALOCALENGINE00000"
SECRET_KEY: Final = "local-engine"  # noqa: S105 (it opens nothing but moto)
"""moto asks for no credentials; presigned uploads are checked against these."""

_ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
}
_PUT_ASIDE: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")
_WAKING: Final = frozenset(
    {"SendMessage", "SendMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch"}
)
_MOTO_HANDLER: Final = ("before-send", botocore_stubber)
_QUEUE_URL: Final = re.compile(rb'"QueueUrl":\s*"[^"]*/([^"/]+)"')


@dataclass(slots=True)
class Received:
    """One received item, as an event source mapping hands it on."""

    id: str
    receipt: str
    record: dict[str, Any]


class Cloud:
    """
    moto, active between `start` and `stop`; one at a time in a process.

    Attributes:
        calls: Counts by `service.Operation` of every request that functions and tests made. The pollers'
            own receives (those that got something) and deletes are in it, as AWS would charge for them.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.environment: Mapping[str, str] = _ENVIRONMENT
        self._mock = mock_aws(config={"core": {"mock_credentials": False, "reset_boto3_session": True}})
        self._guard: tuple[str, Callable[..., Any]] = ("before-send", self._on_request)
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        self._listeners: dict[str, Callable[[], None]] = {}
        self._saved: dict[str, str | None] = {}
        self._active = False
        self._invoke: Callable[[str, bytes], tuple[bytes, bool] | None] | None = None

    def start(self) -> None:
        """
        Activate moto, empty.

        Raises:
            RuntimeError: Another Cloud is active.
        """
        if _MOTO_HANDLER not in botocore.handlers.BUILTIN_HANDLERS:
            raise RuntimeError("one local engine at a time in a process")
        for name in (*_ENVIRONMENT, *_PUT_ASIDE):
            self._saved[name] = os.environ.pop(name, None)
        os.environ.update(_ENVIRONMENT)
        # In the place of moto's own handler: botocore calls all of them, and two would do everything twice.
        self._replace_handler(_MOTO_HANDLER, self._guard)
        self._mock.start()
        self._active = True

    def stop(self) -> None:
        """Drop all that moto holds and give the environment back."""
        self._active = False
        self._mock.stop()
        self._replace_handler(self._guard, _MOTO_HANDLER)
        for name, value in self._saved.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    @staticmethod
    def _replace_handler(old: tuple[str, Callable[..., Any]], new: tuple[str, Callable[..., Any]]) -> None:
        handlers: list[Any] = botocore.handlers.BUILTIN_HANDLERS
        handlers[handlers.index(old)] = new

    def lock(self, service: str) -> threading.RLock:
        """Give the lock that every use of a service's backend holds."""
        with self._locks_lock:
            return self._locks.setdefault(service, threading.RLock())

    def listen(self, queue: str, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, when items of a queue may have become visible."""
        self._listeners[queue] = wake

    def wake(self, queue: str) -> None:
        """Tell a queue's listener, if it has one."""
        listener = self._listeners.get(queue)
        if listener:
            listener()

    def answer_invocations(self, invoke: Callable[[str, bytes], tuple[bytes, bool] | None]) -> None:
        """
        Let invocations of functions be answered by `invoke`: name, event → answer, whether it failed.

        None from it is a function that the template has not: moto says what Lambda does then.
        """
        self._invoke = invoke

    def queue(self, name: str) -> QueueView:
        """Give the pollers' view of a queue."""
        return QueueView(self, name)

    def queue_names(self) -> list[str]:
        """Give the names of all queues."""
        return list(sqs_backends[DEFAULT_ACCOUNT_ID][REGION].queues)

    def _on_request(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> Any:
        service, operation = event_name.split(".")[1:]
        response: Any
        if not self._active:
            # A handler that outlived its engine holds a client of ours: it must not reach the network.
            raise EndpointConnectionError(endpoint_url=request.url)
        if (service, operation) == ("lambda", "Invoke") and self._invoke is not None:
            response = _invoked(request, self._invoke)
            if response is not None:
                with self.lock(service):
                    self.calls["lambda.Invoke"] += 1
                return response
        with self.lock(service):
            self.calls[f"{service}.{operation}"] += 1
            response = botocore_stubber(event_name, request)
        if service == "sqs" and operation in _WAKING:
            content: Any = request.body
            if match := _QUEUE_URL.search(content if isinstance(content, bytes) else str(content).encode()):
                self.wake(match[1].decode())
        return response


@dataclass(slots=True)
class QueueView:
    """
    A queue as AWS's own pollers see it: straight at moto's backend, without the cost of botocore.

    moto redrives as SQS does: an item that was received maxReceiveCount times goes to the dead-letter queue
    at the next receive that would hand it out.
    """

    cloud: Cloud
    name: str
    _backend: Any = field(init=False)

    def __post_init__(self) -> None:
        self._backend = sqs_backends[DEFAULT_ACCOUNT_ID][REGION]

    @property
    def arn(self) -> str:
        """The queue's ARN."""
        return str(self._backend.get_queue(self.name).queue_arn)

    def receive(self, count: int) -> list[Received]:
        """Receive up to `count` <= 10 items, without waiting."""
        with self.cloud.lock("sqs"):
            queue = self._backend.get_queue(self.name)
            dead_letters = queue.dead_letter_queue
            before = len(dead_letters._messages) if dead_letters else 0  # noqa: SLF001 (moto has no cheaper count)
            messages = self._backend.receive_message(self.name, count, 0, queue.visibility_timeout, ["All"])
            redriven = dead_letters is not None and len(dead_letters._messages) > before  # noqa: SLF001
            if messages:
                self.cloud.calls["sqs.ReceiveMessage"] += 1
        if redriven:
            self.cloud.wake(dead_letters.name)
        return [Received(message.id, message.receipt_handle, _record(message, queue)) for message in messages]

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete up to 10 items; those that are gone already are no error."""
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        with self.cloud.lock("sqs"):
            self.cloud.calls["sqs.DeleteMessageBatch"] += 1
            self._backend.delete_message_batch(self.name, entries)

    def next_visible_in(self) -> float | None:
        """Give the seconds until the next item is visible: 0 when one is, None when the queue is empty."""
        with self.cloud.lock("sqs"):
            messages = self._backend.get_queue(self.name)._messages  # noqa: SLF001
            if not messages:
                return None
            earliest = min(max(message.visible_at, message.delayed_until) for message in messages)
        # moto calls an item visible only after its millisecond has passed.
        return max(0.0, (earliest - unix_time_millis() + 1) / 1000) if earliest else 0.0

    def depth(self) -> dict[str, int]:
        """Count the items that can be received now, that are in flight, and that are delayed."""
        with self.cloud.lock("sqs"):
            queue = self._backend.get_queue(self.name)
            return {
                "visible": queue.approximate_number_of_messages,
                "in_flight": queue.approximate_number_of_messages_not_visible,
                "delayed": queue.approximate_number_of_messages_delayed,
            }

    def bodies(self) -> list[str]:
        """Give the bodies of all items, without receiving them."""
        with self.cloud.lock("sqs"):
            return [message.body for message in self._backend.get_queue(self.name)._messages]  # noqa: SLF001


def _invoked(
    request: AWSPreparedRequest, invoke: Callable[[str, bytes], tuple[bytes, bool] | None]
) -> AWSResponse | None:
    """Answer Lambda's Invoke, `POST /2015-03-31/functions/{name}/invocations`, without moto, which needs Docker."""
    name = unquote(urlsplit(request.url).path.split("/")[3]).rpartition(":")[2]
    content: Any = request.body
    answer = invoke(name, content if isinstance(content, bytes) else str(content).encode())
    if answer is None:
        return None
    octets, failed = answer
    headers: Any = {"x-amz-function-error": "Unhandled"} if failed else {}
    return AWSResponse(request.url, HTTPStatus.OK, headers, MockRawResponse(octets))


def _record(message: Any, queue: Any) -> dict[str, Any]:
    """Give the item in the form of a Lambda event's record."""
    record: dict[str, Any] = {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "SentTimestamp": str(message.sent_timestamp),
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
        },
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "binaryValue": value.get("BinaryValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.get("DataType"),
            }
            for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.queue_arn,
        "awsRegion": queue.region,
    }
    if message.message_attributes:
        record["md5OfMessageAttributes"] = message.attribute_md5
    return record
