"""
The composition root: reads the environment once and gives each function its dependencies.

The only module that knows both ports and adapters. Handlers wrap these in `functools.cache`, so that each
execution environment builds them once; `warm` does it in Lambda's init phase, where the CPU is largest.

botocore's session makes the clients: boto3 adds resources and transfers that nothing here uses, and and its
own imports to the cold start (docs/decisions.md).
"""

from __future__ import annotations

import os
import secrets
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.config import Config

from paravion import settings
from paravion.adapters.dns_look_ups import look_up_next_hop, look_up_txt
from paravion.adapters.dynamodb_identities import CACHE_S, DynamoIdentities
from paravion.adapters.dynamodb_ledger import DynamoLedger
from paravion.adapters.dynamodb_records import DynamoRecords
from paravion.adapters.dynamodb_suppression import DynamoSuppression
from paravion.adapters.dynamodb_tables import DynamoTables
from paravion.adapters.event_log import PowertoolsEventLog
from paravion.adapters.in_parallel import InParallel
from paravion.adapters.s3_spool import S3Spool, S3Uploads
from paravion.adapters.s3_transcripts import S3Transcripts
from paravion.adapters.sqs_queues import SqsQueues
from paravion.adapters.ssm_secrets import SsmSecrets
from paravion.domain.schedule import lifetimes
from paravion.ports import QueueName
from paravion.services.commit import CommitDeps
from paravion.services.signing import Signer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from paravion.adapters.dynamodb_counters import DynamoCounters
    from paravion.adapters.dynamodb_hosts import DynamoHosts
    from paravion.adapters.webhook_events import WebhookEvents
    from paravion.domain.configuration_set import EventDestination
    from paravion.domain.outcome import Outcome
    from paravion.ports import EventLog, Handover, Management, Parked, Resolver, Targets
    from paravion.services.admin import AdminDeps
    from paravion.services.bounce import BounceDeps
    from paravion.services.deliver import DeliverDeps
    from paravion.services.mta_sts import StsFinder
    from paravion.services.publish import PublishDeps
    from paravion.services.retry import RetryDeps
    from paravion.services.validate import ValidateDeps

_THREADS: Final = 16
"""AWS calls under way at once in one environment: a batch of ten jobs with a little to spare."""

_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=_THREADS,
    tcp_keepalive=True,
    # Presigned uploads: botocore would sign their URLs by version 2 in the oldest regions, and name the global
    # endpoint, which newer regions refuse.
    signature_version="v4",
    s3={"addressing_style": "virtual"},
)

_LEDGER_CONFIG: Final = _CONFIG.merge(Config(connect_timeout=1, read_timeout=2))
"""An outcome must be written, and written again, within what is kept of the invocation for it."""


def warm(deps: Callable[[], object]) -> None:
    """Build the dependencies now if this is Lambda's init phase; elsewhere they wait for the first call."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        deps()


def new_runner() -> asyncio.Runner:
    """
    Give a runner whose loop lives as long as the environment: connections outlive an invocation.

    Its threads are for the blocking AWS calls of a batch.
    """
    import asyncio  # dear, and not every function has a loop

    runner = asyncio.Runner()
    loop = runner.get_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    # Lambda ends the process; local mode drops the environment, and its loop goes with it.
    weakref.finalize(runner, loop.close)
    return runner


def validate() -> ValidateDeps:
    """What functions/validate.py needs."""
    from paravion.services.validate import ValidateDeps

    own = settings.from_env(settings.ValidateSettings, os.environ)
    clients = _Clients()
    s3: Any = clients.make("s3")
    dynamodb: Any = clients.make("dynamodb")
    store = SsmSecrets(clients.make("ssm"), own.secrets, time.monotonic)
    return ValidateDeps(
        settings=own,
        to_commit=_commit_deps(
            S3Spool(s3, own.spool),
            SqsQueues(
                clients.make("sqs"),
                {
                    QueueName.DELIVERY: own.delivery_queue,
                    QueueName.RETRY: own.retry_queue,
                    QueueName.EVENT: own.event_queue,
                },
            ),
        ),
        secrets=store,
        signer=Signer(store, time.monotonic),
        identities=DynamoIdentities(dynamodb, own.ledger, cache_s=CACHE_S, clock=time.monotonic),
        tables=_tables(dynamodb, own.ledger),
        uploads=S3Uploads(s3, clients.presigning(own.upload_endpoint) or s3, own.spool, time.time),
        event_log=PowertoolsEventLog("validate", own.log_level),
        clock=time.time,
        entropy=secrets.token_bytes,
        records=_records(dynamodb, own.ledger),
        counters=_counters(dynamodb, own.ledger),
        management=_management(clients, own.admin_function) if own.admin_function else None,
        side_by_side=InParallel(_THREADS),
    )


def deliver() -> DeliverDeps:
    """What functions/deliver.py needs."""
    from paravion.bootstrap_smtp import new_resolver, new_transport, paced
    from paravion.domain.next_hop import route
    from paravion.services.deliver import DeliverDeps

    own = settings.from_env(settings.DeliverSettings, os.environ)
    clients = _Clients()
    resolver = new_resolver(own)
    dynamodb: Any = clients.make("dynamodb")
    s3: Any = clients.make("s3")
    tables = _tables(dynamodb, own.ledger)
    event_log = PowertoolsEventLog("deliver", own.log_level)
    transport = new_transport(
        own, resolver, lambda: SsmSecrets(clients.make("ssm"), own.secrets, time.monotonic), tables
    )
    return DeliverDeps(
        spool=S3Spool(s3, own.spool),
        queues=SqsQueues(
            clients.make("sqs"),
            {
                QueueName.DELIVERY: own.delivery_queue,
                QueueName.BOUNCE: own.bounce_queue,
                QueueName.EVENT: own.event_queue,
            },
        ),
        ledger=DynamoLedger(dynamodb, own.ledger),
        resolver=resolver,
        transport=paced(transport, _hosts(dynamodb, own.ledger), event_log),
        event_log=event_log,
        smarthost=route(own.relay, own.relay_tls, own.relay_credential),
        tables=tables,
        targets=_Targets(own, clients, resolver),
        suppression=_suppression(dynamodb, own.ledger),
        suppression_reasons=own.suppression_reasons,
        simulator_domain=own.simulator_domain,
        counters=_counters(dynamodb, own.ledger) if own.statistics == "on" else None,
        clock=time.time,
        new_token=partial(secrets.token_hex, 8),
        transcripts=S3Transcripts(s3, own.spool) if own.transcripts == "on" else None,
        mta_sts=_sts_finder(own, dynamodb, resolver, event_log) if own.mta_sts == "on" else None,
    )


def retry() -> RetryDeps:
    """What functions/retry.py needs."""
    from paravion.services.retry import RetryDeps

    own = settings.from_env(settings.RetrySettings, os.environ)
    clients = _Clients()
    draws = secrets.SystemRandom()
    dynamodb: Any = clients.make("dynamodb")
    return RetryDeps(
        spool=S3Spool(clients.make("s3"), own.spool),
        queues=SqsQueues(
            clients.make("sqs"),
            {
                QueueName.DELIVERY: own.delivery_queue,
                QueueName.RETRY: own.retry_queue,
                QueueName.BOUNCE: own.bounce_queue,
                QueueName.EVENT: own.event_queue,
                QueueName.PARKED: own.parked_queue,
            },
        ),
        ledger=DynamoLedger(dynamodb, own.ledger),
        counters=_counters(dynamodb, own.ledger) if own.statistics == "on" else None,
        event_log=PowertoolsEventLog("retry", own.log_level),
        plan=own.plan(),
        sweep_grace_s=own.sweep_grace_s,
        in_parallel=InParallel(_THREADS),
        clock=time.time,
        jitter=draws.random,
    )


def bounce() -> BounceDeps:
    """What functions/bounce.py needs."""
    from paravion.services.bounce import BounceDeps
    from paravion.services.suppress import SuppressDeps

    own = settings.from_env(settings.BounceSettings, os.environ)
    clients = _Clients()
    event_log = PowertoolsEventLog("bounce", own.log_level)
    dynamodb: Any = clients.make("dynamodb")
    return BounceDeps(
        to_commit=_commit_deps(
            S3Spool(clients.make("s3"), own.spool),
            SqsQueues(
                clients.make("sqs"),
                {
                    QueueName.DELIVERY: own.delivery_queue,
                    QueueName.BOUNCE: own.bounce_queue,
                    QueueName.PARKED: own.parked_queue,
                },
            ),
        ),
        ledger=DynamoLedger(dynamodb, own.ledger),
        to_suppress=SuppressDeps(
            _suppression(dynamodb, own.ledger), own.suppression_reasons, own.suppression_expiry_s, event_log
        ),
        signer=Signer(SsmSecrets(clients.make("ssm"), own.secrets, time.monotonic), time.monotonic),
        event_log=event_log,
        hostname=own.hostname,
        postmaster=own.postmaster,
        return_s=own.queue_return_s,
        return_by_priority=lifetimes(own.queue_return_s, own.queue_return_by_priority),
        clock=time.time,
        tables=_tables(dynamodb, own.ledger),
        local_domains=own.local_domains,
        max_expansion_count=own.max_expansion_count,
        language=own.report_language,
    )


def publish() -> PublishDeps:
    """What functions/publish.py needs."""
    from paravion.adapters.event_destinations import AllEventDestinations
    from paravion.domain.allowed_destinations import AllowedDestinations
    from paravion.domain.ses_event import Origin
    from paravion.domain.target import AllowedTargets
    from paravion.services.publish import PublishDeps

    own = settings.from_env(settings.PublishSettings, os.environ)
    clients = _Clients()
    dynamodb: Any = clients.make("dynamodb")
    origin = Origin(own.hostname, own.credential_region, own.account_id, own.outgoing_ip)
    webhooks = AllowedTargets((), own.webhook_hosts, own.webhook_private_hosts)

    def new_webhooks() -> WebhookEvents:
        from paravion.adapters.dns_resolver import DnsResolver
        from paravion.adapters.webhook_events import WebhookEvents

        store = SsmSecrets(clients.make("ssm"), own.secrets, time.monotonic)
        timeout_s = own.connect_timeout_s
        return WebhookEvents(webhooks, DnsResolver, store, time.time, origin, connect_timeout_s=timeout_s)

    allowed = AllowedDestinations(own.event_destination_arns, own.event_metric_namespace, webhooks)
    return PublishDeps(
        spool=S3Spool(clients.make("s3"), own.spool),
        queues=SqsQueues(clients.make("sqs"), {QueueName.EVENT: own.event_queue, QueueName.PARKED: own.parked_queue}),
        ledger=DynamoLedger(dynamodb, own.ledger),
        records=_records(dynamodb, own.ledger),
        destinations=AllEventDestinations(allowed, origin, clients.make_for_destination, new_webhooks, time.time),
        event_log=PowertoolsEventLog("publish", own.log_level),
        origin=origin,
        return_s=own.queue_return_s,
        return_by_priority=lifetimes(own.queue_return_s, own.queue_return_by_priority),
        retry_s=own.event_retry_s,
        intervals_s=own.event_retry_intervals_s,
        in_parallel=InParallel(_THREADS),
        clock=time.time,
        jitter=secrets.SystemRandom().random,
    )


def admin() -> AdminDeps:
    """What functions/admin.py needs."""
    from paravion.adapters.dkim_keygen import new_private_key
    from paravion.services.admin import AdminDeps

    own = settings.from_env(settings.AdminSettings, os.environ)
    clients = _Clients()
    dynamodb: Any = clients.make("dynamodb")
    s3: Any = clients.make("s3")
    return AdminDeps(
        settings=own,
        spool=S3Spool(s3, own.spool),
        ledger=DynamoLedger(dynamodb, own.ledger),
        secrets=SsmSecrets(clients.make("ssm"), own.secrets, time.monotonic),
        identities=DynamoIdentities(dynamodb, own.ledger, cache_s=0.0, clock=time.monotonic),
        tables=_tables(dynamodb, own.ledger, cache_s=0.0),
        hosts=_hosts(dynamodb, own.ledger),
        suppression=_suppression(dynamodb, own.ledger, cache_s=0.0),
        uploads=S3Uploads(s3, s3, own.spool, time.time),
        records=_records(dynamodb, own.ledger, cache_s=0.0),
        counters=_counters(dynamodb, own.ledger),
        has_statistics=own.statistics == "on",
        next_hop=look_up_next_hop,
        resolver_txt=look_up_txt,
        event_log=PowertoolsEventLog("admin", own.log_level),
        clock=time.time,
        new_token=partial(secrets.token_hex, 16),
        new_private_key=new_private_key,
        transcripts=S3Transcripts(s3, own.spool),
        new_queues=lambda: SqsQueues(clients.make("sqs"), {QueueName.EVENT: own.event_queue}),
        destination_problem=_destination_problem(own),
        settings_given=settings.given(os.environ),
        to_commit=_commit_deps(
            S3Spool(s3, own.spool),
            SqsQueues(
                clients.make("sqs"),
                {
                    QueueName.DELIVERY: own.delivery_queue,
                    QueueName.RETRY: own.retry_queue,
                    QueueName.EVENT: own.event_queue,
                },
            ),
        ),
        new_parked=lambda: _parked(clients.make("sqs"), own.parked_queue),
    )


def _parked(sqs: Any, url: str) -> Parked:
    from paravion.adapters.sqs_parked import SqsParked

    return SqsParked(sqs, url)


def _destination_problem(own: settings.AdminSettings) -> Callable[[EventDestination], str]:
    def problem(destination: EventDestination) -> str:
        from paravion.domain.allowed_destinations import AllowedDestinations  # few make any
        from paravion.domain.target import AllowedTargets

        webhooks = AllowedTargets((), own.webhook_hosts, own.webhook_private_hosts)
        allowed = AllowedDestinations(own.event_destination_arns, own.event_metric_namespace, webhooks)
        return allowed.problem(destination)

    return problem


def _sts_finder(own: settings.DeliverSettings, dynamodb: Any, resolver: Resolver, event_log: EventLog) -> StsFinder:
    from paravion.adapters.dynamodb_tls_policies import DynamoTlsPolicies
    from paravion.adapters.sts_policy_host import HttpsPolicyHost
    from paravion.services.mta_sts import StsFinder

    host = HttpsPolicyHost(resolver, ca_file=own.tls_ca_file)
    return StsFinder(resolver, host, DynamoTlsPolicies(dynamodb, own.ledger, time.time), event_log, time.time)


def _management(clients: _Clients, function: str) -> Management:
    from paravion.adapters.lambda_admin import LambdaAdmin

    # It answers within its time-out, and validate must end within its own.
    once = Config(read_timeout=25, retries={"mode": "standard", "total_max_attempts": 1})
    return LambdaAdmin(lambda: clients.make("lambda", once), function)


class _Targets:
    """ports.Targets whose modules and clients are made when the first message needs them: few aliases name any."""

    def __init__(self, own: settings.DeliverSettings, clients: _Clients, resolver: Resolver) -> None:
        self._own = own
        self._clients = clients
        self._resolver = resolver
        self._made: Targets | None = None

    async def hand_over(self, handover: Handover, deadline: float) -> Outcome:
        """See ports.Targets."""
        if self._made is None:
            self._made = self._make()
        return await self._made.hand_over(handover, deadline)

    def _make(self) -> Targets:
        from paravion.adapters.targets import AllTargets
        from paravion.domain.target import AllowedTargets

        own = self._own
        allowed = AllowedTargets(own.alias_target_arns, own.webhook_hosts, own.webhook_private_hosts)

        def new_webhooks() -> Targets:
            from paravion.adapters.webhook_client import WebhookClient
            from paravion.adapters.webhook_targets import WebhookTargets

            store = SsmSecrets(self._clients.make("ssm"), own.secrets, time.monotonic)
            timeout_s = own.connect_timeout_s
            return WebhookTargets(WebhookClient(allowed, self._resolver, store, time.time, connect_timeout_s=timeout_s))

        return AllTargets(allowed, self._clients.make_for_target, new_webhooks, own.spool)


class _Clients:
    """AWS clients from one session: credentials and endpoint rules are read once."""

    def __init__(self) -> None:
        self._session = botocore.session.get_session()

    def make(self, service: str, other: Config | None = None) -> Any:
        config = _LEDGER_CONFIG if service == "dynamodb" else _CONFIG
        return self._session.create_client(service, config=config.merge(other) if other else config)

    def make_for_target(self, service: str, region: str) -> Any:
        """A client for handing mail over: of the target's region, and without repeats, for `retry` repeats."""
        config = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
        return self._session.create_client(service, region_name=region, config=config)

    def make_for_destination(self, service: str, region: str) -> Any:
        """A client for publishing events: of the destination's region, and quick to give up, for others wait."""
        retries: Any = {"mode": "standard", "total_max_attempts": 2}
        config = _CONFIG.merge(Config(retries=retries, connect_timeout=2, read_timeout=5))
        return self._session.create_client(service, region_name=region or None, config=config)

    def presigning(self, endpoint: str) -> Any | None:
        """A client for presigned URLs at another endpoint than the spool's own; it makes no calls."""
        if not endpoint:
            return None
        config = _CONFIG.merge(Config(s3={"addressing_style": "path"}))
        return self._session.create_client("s3", config=config, endpoint_url=endpoint)


def _hosts(dynamodb: Any, table: str) -> DynamoHosts:
    from paravion.adapters.dynamodb_hosts import DynamoHosts

    return DynamoHosts(dynamodb, table, clock=time.time, sleep=time.sleep, draw=secrets.SystemRandom().random)


def _tables(dynamodb: Any, table: str, *, cache_s: float = CACHE_S) -> DynamoTables:
    return DynamoTables(dynamodb, table, cache_s=cache_s, clock=time.monotonic, sleep=time.sleep)


def _records(dynamodb: Any, table: str, *, cache_s: float = CACHE_S) -> DynamoRecords:
    return DynamoRecords(dynamodb, table, cache_s=cache_s, clock=time.monotonic, sleep=time.sleep)


def _counters(dynamodb: Any, table: str) -> DynamoCounters:
    from paravion.adapters.dynamodb_counters import DynamoCounters

    return DynamoCounters(dynamodb, table, sleep=time.sleep, draw=secrets.SystemRandom().random)


def _suppression(dynamodb: Any, table: str, *, cache_s: float = CACHE_S) -> DynamoSuppression:
    return DynamoSuppression(dynamodb, table, cache_s=cache_s, clock=time.monotonic, sleep=time.sleep)


def _commit_deps(spool: S3Spool, queues: SqsQueues) -> CommitDeps:
    # Threads are made as they are needed: two for one message, more only for a bulk call.
    return CommitDeps(spool, queues, InParallel(_THREADS))
