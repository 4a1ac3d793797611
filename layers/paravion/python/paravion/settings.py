"""
Every setting, once: name, type, default, unit and what it is for.

`docs/settings.md` has a heading for each (tests/unit/test_docs.py), template.yaml sets them
(tests/unit/test_template.py), `paravion up --set` and `PARAVION_…` variables reach them. Pure: the
environment is an argument, and every bad value is reported at once.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from paravion.domain.suppression import Reason, read_reasons
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.domain.priority import Span
    from paravion.domain.schedule import Plan


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting.

    Attributes:
        parse: Text → value; raises ValueError with what is wrong.
        default: As text, or None when it must be set.
        unit: "" where the name says all.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None
    unit: str
    help: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"PARAVION_{self.name.upper()}"


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be {low} to {high}")
        return value

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be {low:g} to {high:g}")
        return value

    return parse


def _day_limit(text: str) -> float:
    from paravion.domain.account import day_limit  # few have any

    return -1.0 if text == "-1" else day_limit(float(text))


def _rate_limit(text: str) -> float:
    from paravion.domain.account import rate_limit  # as above

    return -1.0 if text == "-1" else rate_limit(float(text))


def _intervals(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if not all(value > 0 for value in values):
        raise ValueError("every interval must be above 0")
    if list(values) != sorted(values):
        raise ValueError("intervals must not decrease")
    return values


def _queue_delays(text: str) -> tuple[float, ...]:
    values = _intervals(text)
    if values[-1] > _MAX_DELAY_S:
        raise ValueError(f"a queue keeps nothing back for longer than {_MAX_DELAY_S:g} seconds")
    return values


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _text(text: str) -> str:
    return text


_MAX_DELAY_S: Final = 900.0
"""As ports.MAX_DELAY_S."""

_NAME_OCTETS: Final = 253
"""Longest host name as text; RFC 1035 2.3.4 counts 255 on the wire."""


def _hostname(text: str) -> str:
    labels = text.split(".")
    if len(text) > _NAME_OCTETS or not all(
        re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label) for label in labels
    ):
        raise ValueError("must be a host name of letters, digits, hyphens and dots")
    return text.lower()


def _public_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]{1,200}(/[A-Za-z0-9._~/-]{0,100})?", text):
        raise ValueError("must be https://HOST, without a query")
    return text.rstrip("/")


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _domains(text: str) -> tuple[str, ...]:
    return tuple(_hostname(part.strip()) for part in text.split(",") if part.strip())


def _domain_or_none(text: str) -> str:
    return _hostname(text) if text else ""


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def _reasons(text: str) -> tuple[Reason, ...]:
    return read_reasons(part.strip().upper() for part in text.split(",") if part.strip())


def _relay(text: str) -> str:
    if text == "mx":
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004 (16 bits)
        raise ValueError("must be mx or HOST:PORT")
    return text


def _credential_or_none(text: str) -> str:
    from paravion.domain.next_hop import credential_name  # most have none

    return credential_name(text) if text else text


def _name_server(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, port = text, "53"
    if text.startswith("[") or text.count(":") == 1:
        host, colon, given = text.rpartition(":")
        host, port = (host, given) if colon and not text.endswith("]") else (text, "53")
        host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:  # noqa: PLR2004 (16 bits)
        raise ValueError("must be an IP address, or one and a port")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError as exc:
        raise ValueError("must be an IP address, or one and a port") from exc


def _arns(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from paravion.domain.target import parse_arn  # few installations name any, and every cold start reads settings

    return tuple(parse_arn(part.strip()) for part in text.split(",") if part.strip())


def _destination_arns(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from paravion.domain.allowed_destinations import parse_destination_arn  # as above

    return tuple(parse_destination_arn(part.strip()) for part in text.split(",") if part.strip())


def _account_id(text: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", text):
        raise ValueError("must be 12 digits")
    return text


def _webhook_hosts(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from paravion.domain.target import parse_host

    return tuple(parse_host(part.strip()) for part in text.split(",") if part.strip())


def _spans(units: str, *, never: bool = False, longest_s: float = math.inf) -> Callable[[str], Mapping[str, Span]]:
    def parse(text: str) -> Mapping[str, Span]:
        from paravion.domain.priority import read_spans

        return read_spans(text, units=units, never=never, longest_s=longest_s)

    return parse


MEBI: Final = 1 << 20

SETTINGS: Final = (
    Setting("spool", _text, None, "", "Where headers and bodies lie: the bucket's name."),
    Setting("ledger", _text, None, "", "Where jobs are recorded: the table's name."),
    Setting("delivery_queue", _text, None, "", "URL of the delivery queue."),
    Setting("retry_queue", _text, None, "", "URL of the retry queue, the delivery queue's dead-letter queue."),
    Setting("bounce_queue", _text, None, "", "URL of the bounce queue."),
    Setting("event_queue", _text, "", "", "URL of the event queue."),
    Setting("parked_queue", _text, None, "", "URL of the parked queue, where what nobody can handle is kept."),
    Setting("secrets", _text, None, "", "Path under which secrets are kept, with a leading slash."),
    Setting("hostname", _hostname, "paravion.invalid", "", "Our name in EHLO, Received, Message-ID and reports."),
    Setting("log_level", _choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "", "Lowest level that is logged."),
    Setting("admin_function", _text, "", "", "Function that SES v1's management actions are handed to; empty: none."),
    Setting("max_message_octets", _count(1024, 40 * MEBI), str(10 * MEBI), "octets", "Largest message taken."),
    Setting("max_recipients_count", _count(1, 1000), "1000", "recipients", "Most recipients of one submission."),
    Setting("bare_lf", _choice("normalise", "refuse"), "normalise", "", "What becomes of a bare LF in a submission."),
    Setting("max_24_hour_send", _day_limit, "-1", "recipients", "Most that a tenant sends in 24 hours; -1: no limit."),
    Setting("max_send_rate", _rate_limit, "-1", "recipients/s", "Most that a tenant sends in a second; -1: no limit."),
    Setting(
        "statistics", _choice("auto", "on", "off"), "auto", "", "Whether sending is counted; auto: on one machine."
    ),
    Setting("max_expansion_count", _count(1, 100_000), "100000", "recipients", "Most recipients after expansion."),
    Setting("local_domains", _domains, "", "", "Domains whose addresses are looked up in the aliases."),
    Setting("masquerade_as", _domain_or_none, "", "", "Domain that local senders are given; empty: they keep theirs."),
    Setting("masquerade_exposed", _names, "root", "", "Local senders that keep their domain."),
    Setting("identity_check", _choice("off", "created", "verified"), "verified", "", "Who may send."),
    Setting(
        "alignment_check",
        _choice("off", "warn", "reject"),
        "warn",
        "",
        "What becomes of mail whose From DMARC would not find aligned.",
    ),
    Setting("alias_target_arns", _arns, "", "", "Functions, topics and queues that aliases may name: ARNs."),
    Setting(
        "webhook_hosts",
        _webhook_hosts,
        "",
        "",
        "Hosts of webhooks that aliases and events may name: host or host:port.",
    ),
    Setting(
        "webhook_private_hosts",
        _webhook_hosts,
        "",
        "",
        "The same, of webhooks that may have private addresses.",
    ),
    Setting(
        "event_destination_arns",
        _destination_arns,
        "",
        "",
        "Topics, event buses and Firehose streams that events may be published to: ARNs, * for any characters.",
    ),
    Setting("event_metric_namespace", _text, "", "", "CloudWatch namespace of events' metrics; empty: there are none."),
    Setting("event_retry_s", _seconds(0, 1_209_600), "86400", "seconds", "An event is tried at a destination so long."),
    Setting(
        "event_retry_intervals_s",
        _queue_delays,
        "30,60,120,240,480,900",
        "seconds",
        "Waits between the tries of an event; the last repeats.",
    ),
    Setting("account_id", _account_id, "000000000000", "", "The account that ARNs and events tell: 12 digits."),
    Setting("outgoing_ip", _text, "", "", "The address that hosts see of us, for events to tell; empty: not told."),
    Setting("simulator_domain", _domain_or_none, "", "", "Domain of the mailbox simulator, beside Amazon's."),
    Setting("credential_region", _text, "us-east-1", "", "Region that SES SMTP passwords were derived for."),
    Setting(
        "public_url", _public_url, "", "", "Base URL of links in mails; empty: the one that the API was reached by."
    ),
    Setting("upload_endpoint", _text, "", "", "Base URL for presigned uploads; empty: the spool's own."),
    Setting("relay", _relay, "mx", "", "Where all mail goes: mx, or HOST:PORT of a smarthost."),
    Setting("relay_tls", _choice("", "none", "may", "encrypt", "verify"), "", "", "TLS to the smarthost of `relay`."),
    Setting("relay_credential", _credential_or_none, "", "", "What the smarthost of `relay` is logged in to with."),
    Setting("chunking", _choice("on", "off"), "on", "", "Whether small messages go by BDAT where it is offered."),
    Setting("transcripts", _choice("on", "off"), "on", "", "Whether what is said in each attempt is kept for 14 days."),
    Setting("tls", _choice("none", "may", "encrypt", "verify"), "may", "", "How much TLS a host must show."),
    Setting("tls_fallback", _choice("yes", "no"), "yes", "", "With tls may: in clear when the handshake breaks."),
    Setting("tls_ca_file", _text, "", "", "Trusted roots, a file in PEM; empty: the system's."),
    Setting("mta_sts", _choice("on", "off"), "on", "", "Whether domains' MTA-STS policies are asked for and enforced."),
    Setting("dane_resolver", _name_server, "", "", "Validating name server, ADDRESS or ADDRESS:PORT; empty: no DANE."),
    Setting("connect_timeout_s", _seconds(1, 300), "30", "seconds", "Longest wait for a connection to open."),
    Setting("host_concurrency", _count(1, 1000), "20", "connections", "Most connections of one function to one host."),
    Setting(
        "retry_intervals_s",
        _intervals,
        "300,600,1200,2400,4800,9600,14400",
        "seconds",
        "Waits between attempts; the last repeats.",
    ),
    Setting(
        "retry_intervals_by_priority",
        _spans("x"),
        "urgent=0.5x,bulk=2x",
        "",
        "Multiples of these waits, of priorities that have their own.",
    ),
    Setting("retry_jitter_ratio", _seconds(0, 1), "0.1", "ratio", "Share of a wait that is drawn at random."),
    Setting("queue_warn_s", _seconds(0, 1_209_600), "14400", "seconds", "The sender is told of a delay after this."),
    Setting(
        "queue_warn_by_priority",
        _spans("smhdx", never=True),
        "urgent=0.25x,non-urgent=3x,bulk=never,dsn=never",
        "",
        "When the sender is told, of priorities that have their own time.",
    ),
    Setting("queue_return_s", _seconds(1, 1_209_600), "432000", "seconds", "Undelivered mail is returned after this."),
    Setting(
        "queue_return_by_priority",
        _spans("smhdx", longest_s=1_209_600),
        "",
        "",
        "When mail is returned, of priorities that have their own time.",
    ),
    Setting("fault_backoff_s", _seconds(0.1, 900), "30", "seconds", "First wait after a fault of our own; doubles."),
    Setting(
        "sweep_grace_s",
        _seconds(1, 21_600),
        "3600",
        "seconds",
        "A job sent back to the queue is looked for again then.",
    ),
    Setting("sweep_interval_s", _seconds(0.1, 3600), "60", "seconds", "How often the sweep runs (local mode)."),
    Setting(
        "max_queue_jobs_count",
        _count(1, 1_000_000_000),
        "1000000",
        "jobs",
        "No more mail is taken while so many jobs are queued or wait (one machine).",
    ),
    Setting(
        "min_free_octets",
        _count(0, 1 << 50),
        str(64 * MEBI),
        "octets",
        "No more mail is taken while less is free on the data directory's disk (one machine).",
    ),
    Setting("max_sessions_count", _count(1, 100_000), "1000", "sessions", "Most sessions of a door (local mode)."),
    Setting("postmaster", _text, "", "", "Who gets reports about reports; empty: they are dropped with a record."),
    Setting(
        "report_language",
        _choice("en", "de", "fr", "es"),
        "en",
        "",
        "Language of reports to senders whose mail names none that we have.",
    ),
    Setting(
        "suppression_reasons",
        _reasons,
        "BOUNCE,COMPLAINT",
        "",
        "For which reasons addresses are suppressed, until the API says otherwise; empty: for none.",
    ),
    Setting(
        "suppression_expiry_s",
        _seconds(0, 315_360_000),
        "0",
        "seconds",
        "A bounce or complaint is forgotten by the suppression list after this; 0: never.",
    ),
    Setting("trusted_networks", _networks, "", "", "Networks that may submit by SMTP without AUTH."),
)
"""All settings, in the order of docs/settings.md."""

BY_NAME: Final[dict[str, Setting]] = {setting.name: setting for setting in SETTINGS}


_OF_THE_PLACE: Final = frozenset({
    "spool", "ledger", "delivery_queue", "retry_queue", "bounce_queue", "event_queue", "parked_queue", "secrets",
    "upload_endpoint", "account_id", "admin_function",
})  # fmt: skip
"""Settings that name the things of one installation."""

NO_PARAMETER: Final = frozenset({
    "retry_jitter_ratio", "fault_backoff_s", "sweep_grace_s", "sweep_interval_s", "tls_ca_file", "trusted_networks",
    "max_queue_jobs_count", "min_free_octets", "max_sessions_count",
})  # fmt: skip
"""Settings that the template has no parameter for (tests/unit/test_template.py)."""


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the settings whose text in the environment is not the default, but for those of the place."""
    return {
        name: text
        for name, setting in BY_NAME.items()
        if name not in _OF_THE_PLACE and (text := environ.get(setting.variable)) is not None and text != setting.default
    }


T = TypeVar("T")


def from_env(kind: type[T], environ: Mapping[str, str]) -> T:
    """
    Fill a settings dataclass, whose fields are names of SETTINGS, from the environment.

    Raises:
        Misconfigured: With a line for each missing or bad value, not only the first.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in fields(kind):  # type: ignore[arg-type]  # only dataclasses come here
        setting = BY_NAME[field.name]
        text = environ.get(setting.variable, setting.default)
        if text is None:
            problems.append(f"{setting.variable} is not set")
            continue
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as exc:
            problems.append(f"{setting.variable}={text!r}: {exc}")
    if problems:
        raise Misconfigured(problems)
    return kind(**values)


@dataclass(frozen=True, slots=True)
class ValidateSettings:
    """What `validate` reads."""

    spool: str
    ledger: str
    delivery_queue: str
    retry_queue: str
    event_queue: str
    secrets: str
    hostname: str
    log_level: str
    max_message_octets: int
    max_recipients_count: int
    max_24_hour_send: float
    max_send_rate: float
    simulator_domain: str
    bare_lf: str
    max_expansion_count: int
    local_domains: tuple[str, ...]
    masquerade_as: str
    masquerade_exposed: tuple[str, ...]
    identity_check: str
    alignment_check: str
    credential_region: str
    account_id: str
    public_url: str
    upload_endpoint: str
    admin_function: str


@dataclass(frozen=True, slots=True)
class DeliverSettings:
    """What `deliver` reads."""

    spool: str
    ledger: str
    delivery_queue: str
    bounce_queue: str
    event_queue: str
    secrets: str
    hostname: str
    log_level: str
    relay: str
    relay_tls: str
    relay_credential: str
    chunking: str
    transcripts: str
    tls: str
    tls_fallback: str
    tls_ca_file: str
    mta_sts: str
    dane_resolver: tuple[str, int] | None
    connect_timeout_s: float
    host_concurrency: int
    alias_target_arns: tuple[str, ...]
    webhook_hosts: tuple[str, ...]
    webhook_private_hosts: tuple[str, ...]
    suppression_reasons: tuple[Reason, ...]
    simulator_domain: str
    statistics: str


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """What `retry` reads."""

    spool: str
    ledger: str
    delivery_queue: str
    retry_queue: str
    bounce_queue: str
    event_queue: str
    parked_queue: str
    log_level: str
    retry_intervals_s: tuple[float, ...]
    retry_intervals_by_priority: Mapping[str, Span]
    retry_jitter_ratio: float
    queue_warn_s: float
    queue_warn_by_priority: Mapping[str, Span]
    queue_return_s: float
    queue_return_by_priority: Mapping[str, Span]
    fault_backoff_s: float
    sweep_grace_s: float
    statistics: str

    def plan(self) -> Plan:
        """Give the retry policy that they make together."""
        from paravion.domain.schedule import Plan, with_priorities

        return with_priorities(
            Plan(
                intervals_s=self.retry_intervals_s,
                jitter_ratio=self.retry_jitter_ratio,
                warn_s=self.queue_warn_s,
                return_s=self.queue_return_s,
                fault_backoff_s=self.fault_backoff_s,
            ),
            self.retry_intervals_by_priority,
            self.queue_warn_by_priority,
            self.queue_return_by_priority,
        )


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """What `bounce` reads."""

    spool: str
    ledger: str
    delivery_queue: str
    bounce_queue: str
    parked_queue: str
    secrets: str
    hostname: str
    log_level: str
    postmaster: str
    report_language: str
    queue_return_s: float
    queue_return_by_priority: Mapping[str, Span]
    local_domains: tuple[str, ...]
    max_expansion_count: int
    suppression_reasons: tuple[Reason, ...]
    suppression_expiry_s: float


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """What `publish` reads."""

    spool: str
    ledger: str
    event_queue: str
    parked_queue: str
    secrets: str
    hostname: str
    log_level: str
    credential_region: str
    account_id: str
    outgoing_ip: str
    queue_return_s: float
    queue_return_by_priority: Mapping[str, Span]
    connect_timeout_s: float
    event_retry_s: float
    event_retry_intervals_s: tuple[float, ...]
    event_destination_arns: tuple[str, ...]
    event_metric_namespace: str
    webhook_hosts: tuple[str, ...]
    webhook_private_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """What `admin` reads."""

    spool: str
    ledger: str
    event_queue: str
    delivery_queue: str
    retry_queue: str
    parked_queue: str
    secrets: str
    hostname: str
    log_level: str
    identity_check: str
    credential_region: str
    account_id: str
    outgoing_ip: str
    public_url: str
    max_24_hour_send: float
    max_send_rate: float
    statistics: str
    max_message_octets: int
    max_recipients_count: int
    max_expansion_count: int
    relay: str
    relay_tls: str
    relay_credential: str
    local_domains: tuple[str, ...]
    masquerade_as: str
    masquerade_exposed: tuple[str, ...]
    alias_target_arns: tuple[str, ...]
    webhook_hosts: tuple[str, ...]
    webhook_private_hosts: tuple[str, ...]
    event_destination_arns: tuple[str, ...]
    event_metric_namespace: str
    queue_return_s: float
    queue_return_by_priority: Mapping[str, Span]
    simulator_domain: str
    suppression_expiry_s: float
    suppression_reasons: tuple[Reason, ...]
    sweep_grace_s: float


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What the host of the embedded engine reads."""

    max_queue_jobs_count: int
    min_free_octets: int
    max_sessions_count: int
