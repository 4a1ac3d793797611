"""
Alias targets that are no addresses: a function, a topic, a queue, a webhook.

    as it is written                          normal form                 handed over by
    ----------------------------------------  --------------------------  ---------------------------
    `lambda:NAME`, `lambda:NAME:QUALIFIER`    the same                    adapters/lambda_targets.py
    `lambda:ARN`                              the same                    adapters/lambda_targets.py
    `sns:ARN`                                 the same                    adapters/sns_targets.py
    `sqs:ARN`, `sqs:URL`                      `sqs:ARN`                   adapters/sqs_targets.py
    `https://host[:port]/path?query`          the same, host lower case   adapters/webhook_targets.py

Nothing is allowed that the operator has not named in a setting (`AllowedTargets`): asked when a table is loaded,
and again at each delivery, for settings change while tables stay. A name of a function alone means the one of
that name among those.

Only a table can say a target: none of these is an address (RFC 5321 4.1.2 has no unquoted colon in a path), so
that no caller can name one.

Next: domain/tables.py reads them, domain/expand.py makes recipients of them, services/deliver.py hands over.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from paravion.domain.http1 import Target as Url
from paravion.domain.next_hop import is_refused

LAMBDA: Final = "lambda"
SNS: Final = "sns"
SQS: Final = "sqs"
WEBHOOK: Final = "https"

FIFO: Final = ".fifo"

_STARTS: Final = ("lambda:", "sns:", "sqs:", "https://")
_REGION: Final = r"[a-z]{2}(?:-[a-z]+)+-[0-9]+"
_FUNCTION: Final = r"[A-Za-z0-9_-]{1,64}(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?"
_ARNS: Final = {
    LAMBDA: re.compile(rf"arn:aws[a-z-]*:lambda:{_REGION}:[0-9]{{12}}:function:({_FUNCTION})"),
    SNS: re.compile(rf"arn:aws[a-z-]*:sns:{_REGION}:[0-9]{{12}}:[A-Za-z0-9_-]{{1,256}}(?:\.fifo)?"),
    SQS: re.compile(rf"arn:aws[a-z-]*:sqs:{_REGION}:[0-9]{{12}}:[A-Za-z0-9_-]{{1,80}}(?:\.fifo)?"),
}
_QUEUE_URL: Final = re.compile(
    rf"https://sqs\.({_REGION})\.amazonaws\.com(\.cn)?/([0-9]{{12}})/([A-Za-z0-9_-]{{1,80}}(?:\.fifo)?)"
)
_HOST_LABELS: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?")
_IP_LITERAL: Final = re.compile(r"[0-9.]+|\[[0-9a-f:.]+\]")
_URL_CHARACTERS: Final = 2000
_HOST_CHARACTERS: Final = 253

HTTPS_PORT: Final = 443


def is_target(text: str) -> bool:
    """Say whether a table's value begins as a target does; whether it is a good one says `parse_target`."""
    return text[:8].lower().startswith(_STARTS)


def parse_target(text: str) -> str:
    """
    Give a target's normal form.

    Raises:
        ValueError: What is wrong with it.
    """
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme == WEBHOOK:
        return _webhook(text)
    if scheme == SQS and (match := _QUEUE_URL.fullmatch(rest)):
        region, china, account, name = match.groups()
        rest = f"arn:aws{'-cn' if china else ''}:sqs:{region}:{account}:{name}"
    if scheme == LAMBDA and re.fullmatch(_FUNCTION, rest):
        return f"{LAMBDA}:{rest}"
    if scheme not in _ARNS or not _ARNS[scheme].fullmatch(rest):
        raise ValueError(_EXPECTED.get(scheme, "no such kind of target"))
    return f"{scheme}:{rest}"


_EXPECTED: Final = {
    LAMBDA: "a function is lambda:NAME or lambda:ARN",
    SNS: "a topic is sns:ARN",
    SQS: "a queue is sqs:ARN or sqs:URL (https://sqs.REGION.amazonaws.com/ACCOUNT/NAME)",
}


def _webhook(text: str) -> str:
    if len(text) > _URL_CHARACTERS:
        raise ValueError(f"a webhook's URL has at most {_URL_CHARACTERS} characters")
    url = Url(text)
    if not url.secure:
        raise ValueError("a webhook must be https://")
    netloc = parse_host(text.partition("://")[2].partition("/")[0])
    return f"https://{netloc}{url.path or '/'}"


def parse_host(text: str) -> str:
    """
    Give a webhook's `host` or `host:port` in normal form: lower case, without https' own port.

    Raises:
        ValueError: What is wrong with it.
    """
    if "/" in text:
        raise ValueError(f"'{text}' is no host or host:port")
    url = Url(f"https://{text}/")
    netloc = url.netloc.lower()
    host = netloc if url.port == HTTPS_PORT else netloc.removesuffix(f":{url.port}")
    if len(host) > _HOST_CHARACTERS or not _is_host(host):
        raise ValueError(f"'{host}' is no host name of letters, digits, hyphens and dots")
    return netloc


def _is_host(text: str) -> bool:
    """A name, an IPv4 address, an IPv6 one in brackets; what looks like an address and is none is no name either."""
    try:
        if _IP_LITERAL.fullmatch(text):
            return bool(IPv6Address(text[1:-1]) if text.startswith("[") else IPv4Address(text))
    except ValueError:
        return False
    return bool(_HOST_LABELS.fullmatch(text))


def parse_arn(text: str) -> str:
    """
    Check the ARN of a function, topic or queue.

    Raises:
        ValueError: It is none.
    """
    if not any(pattern.fullmatch(text) for pattern in _ARNS.values()):
        raise ValueError(f"{text!r} is no ARN of a Lambda function, an SNS topic or an SQS queue")
    return text


def scheme_of(target: str) -> str:
    """Give LAMBDA, SNS, SQS or WEBHOOK of a target in normal form."""
    return target.partition(":")[0]


def webhook_host(target: str) -> str:
    """Give the host of a webhook, or of its `host:port`, without port and brackets: what its secret is kept under."""
    return Url(target if target.startswith("https://") else f"https://{target}/").host


def webhook_secret_name(host: str) -> str:
    """Give the name under which the secret store keeps a webhook host's secrets."""
    # An IPv6 address has colons, which the store's names have not.
    return f"webhooks/{host.replace(':', '-')}"


def arn_part(arn: str, number: int) -> str:
    """Give a part of an ARN: 1 partition, 3 region, 4 account, 5 the resource."""
    return arn.split(":", 5)[number]


def queue_url(arn: str) -> str:
    """Give the URL of the queue with this ARN."""
    suffix = "amazonaws.com.cn" if arn_part(arn, 1) == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{arn_part(arn, 3)}.{suffix}/{arn_part(arn, 4)}/{arn_part(arn, 5)}"


def idempotency_key(queue_id: str, target: str) -> str:
    """
    Name one message's handing over to one target: the same at every attempt, another for every other pair.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(f"{queue_id}\0{target}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AllowedTargets:
    """
    What the operator lets aliases name; nothing else is.

    Attributes:
        arns: Of functions, topics and queues: the setting alias_target_arns.
        hosts: Of webhooks, `host` or `host:port`: webhook_hosts.
        private_hosts: The same; these may have private addresses: webhook_private_hosts.
    """

    arns: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()

    def problem(self, target: str) -> str:
        """Say why a target in normal form is not allowed, "" if it is."""
        scheme = scheme_of(target)
        if scheme == WEBHOOK:
            return self._webhook_problem(target)
        found = self._arns_of(scheme, target)
        if len(found) > 1:
            return "several of that name are in the setting alias_target_arns: write its ARN"
        return "" if found else "it is not in the setting alias_target_arns"

    def resource(self, target: str) -> str:
        """Give what an allowed target means: an ARN, or the URL of a webhook."""
        return target if scheme_of(target) == WEBHOOK else self._arns_of(scheme_of(target), target)[0]

    def may_be_private(self, target: str) -> bool:
        """Say whether a webhook's host may have a private address: the operator named it."""
        return Url(target).netloc in self.private_hosts

    def _arns_of(self, scheme: str, target: str) -> list[str]:
        rest = target.partition(":")[2]
        if rest in self.arns:
            return [rest]
        matches = [(arn, _ARNS[LAMBDA].fullmatch(arn)) for arn in self.arns] if scheme == LAMBDA else []
        return [arn for arn, match in matches if match and match[1] == rest]

    def _webhook_problem(self, target: str) -> str:
        url = Url(target)
        if url.netloc in self.private_hosts:
            return ""
        if url.netloc not in self.hosts:
            return f"'{url.netloc}' is not in the setting webhook_hosts"
        if re.fullmatch(r"[0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*", url.host) and is_refused(url.host):
            return f"'{url.netloc}' is a private address: only the setting webhook_private_hosts allows one"
        return ""
