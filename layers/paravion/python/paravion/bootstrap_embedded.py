"""
The composition root of one machine: PARAVION_ENGINE=embedded, PARAVION_DATA=DIR.

What bootstrap.py is for functions on AWS: the same services' dependencies on an open data directory
(adapters/embedded_data.py). All of them share it, in one process; infra/local/embedded.py runs them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from paravion import settings
from paravion.adapters.dns_look_ups import look_up_next_hop, look_up_txt
from paravion.adapters.in_parallel import InParallel
from paravion.adapters.json_event_log import JsonEventLog
from paravion.domain.schedule import lifetimes
from paravion.errors import Misconfigured
from paravion.services.commit import CommitDeps
from paravion.services.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from paravion.adapters.embedded_data import EmbeddedData
    from paravion.adapters.smtp_client import SmtpTransport
    from paravion.adapters.webhook_events import WebhookEvents
    from paravion.domain.allowed_destinations import AllowedDestinations
    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.ports import EventLog, Resolver, Targets, Transaction
    from paravion.services.admin import AdminDeps
    from paravion.services.blocking import InThread
    from paravion.services.bounce import BounceDeps
    from paravion.services.deliver import DeliverDeps
    from paravion.services.mta_sts import StsFinder
    from paravion.services.pacing import PacedTransport
    from paravion.services.publish import PublishDeps
    from paravion.services.retry import RetryDeps
    from paravion.services.validate import ValidateDeps

S = TypeVar("S")

_WIRING: Final = (
    "spool", "ledger", "delivery_queue", "retry_queue", "bounce_queue", "event_queue", "parked_queue", "secrets",
)  # fmt: skip
"""Settings that name a cloud's things; here the data directory is all of them."""

_SWEEP_THREADS: Final = 16
_BULK_THREADS: Final = 16


class Root:
    """
    Gives each service its dependencies.

    Args:
        data: Open; stays its owner's.
        environ: Variables, as settings.py names them.
        log: Where events go.
        inner: Variables that the host sets for itself, which mean nothing elsewhere.
        in_thread: How services on the host's loop call the directory's ports.
    """

    def __init__(
        self,
        data: EmbeddedData,
        environ: Mapping[str, str],
        log: TextIO,
        inner: Collection[str] = (),
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._in_thread = in_thread
        self._data = data
        self._inner = frozenset(inner)
        self._environ = {settings.BY_NAME[name].variable: "embedded" for name in _WIRING} | dict(environ)
        self._log = log
        self._in_parallel = InParallel(_SWEEP_THREADS)
        self._side_by_side = InParallel(_BULK_THREADS)
        # One for all doors and reports: it keeps the keys that it read.
        self._signer = Signer(data.secrets, time.monotonic)

    def close(self) -> None:
        """End the threads."""
        self._in_parallel.close()
        self._side_by_side.close()

    def validate(self) -> ValidateDeps:
        """What services/validate.py needs."""
        from paravion.services.validate import ValidateDeps

        own = self._settings(settings.ValidateSettings)
        data = self._data
        return ValidateDeps(
            settings=own,
            to_commit=self._commit_deps(),
            secrets=data.secrets,
            signer=self._signer,
            identities=data.identities,
            tables=data.tables,
            uploads=data.uploads,
            event_log=self._event_log("validate", own.log_level),
            clock=time.time,
            entropy=secrets.token_bytes,
            records=data.records,
            counters=data.counters,
            # Side by side, so that a bulk call's messages go with one group of the database.
            side_by_side=self._side_by_side,
        )

    def deliver(self) -> DeliverDeps:
        """What services/deliver.py needs; its transport belongs to the loop that uses it."""
        from paravion.bootstrap_smtp import new_resolver, new_transport, paced
        from paravion.domain.next_hop import route
        from paravion.services.deliver import DeliverDeps

        own = self._settings(settings.DeliverSettings)
        data = self._data
        resolver = new_resolver(own)
        event_log = self._event_log("deliver", own.log_level)
        transport = new_transport(own, resolver, lambda: data.secrets, data.tables)
        limited = paced(transport, data.hosts, event_log, self._in_thread)
        return DeliverDeps(
            spool=data.spool,
            queues=data.queues,
            ledger=data.ledger,
            resolver=resolver,
            transport=AwakeTransport(limited, transport),
            event_log=event_log,
            smarthost=route(own.relay, own.relay_tls, own.relay_credential),
            tables=data.tables,
            targets=self._targets(own, resolver),
            suppression=data.suppression,
            suppression_reasons=own.suppression_reasons,
            simulator_domain=own.simulator_domain,
            counters=data.counters if own.statistics != "off" else None,
            clock=time.time,
            new_token=partial(secrets.token_hex, 8),
            transcripts=data.transcripts if own.transcripts == "on" else None,
            mta_sts=self._sts_finder(own, resolver, event_log) if own.mta_sts == "on" else None,
            in_thread=self._in_thread,
        )

    def retry(self) -> RetryDeps:
        """What services/retry.py needs."""
        from paravion.services.retry import RetryDeps

        own = self._settings(settings.RetrySettings)
        data = self._data
        return RetryDeps(
            spool=data.spool,
            queues=data.queues,
            ledger=data.ledger,
            counters=data.counters if own.statistics != "off" else None,
            event_log=self._event_log("retry", own.log_level),
            plan=own.plan(),
            sweep_grace_s=own.sweep_grace_s,
            in_parallel=self._in_parallel,
            clock=time.time,
            jitter=secrets.SystemRandom().random,
        )

    def bounce(self) -> BounceDeps:
        """What services/bounce.py needs."""
        from paravion.services.bounce import BounceDeps
        from paravion.services.suppress import SuppressDeps

        own = self._settings(settings.BounceSettings)
        event_log = self._event_log("bounce", own.log_level)
        return BounceDeps(
            to_commit=self._commit_deps(),
            ledger=self._data.ledger,
            to_suppress=SuppressDeps(
                self._data.suppression, own.suppression_reasons, own.suppression_expiry_s, event_log
            ),
            signer=self._signer,
            event_log=event_log,
            hostname=own.hostname,
            postmaster=own.postmaster,
            return_s=own.queue_return_s,
            return_by_priority=lifetimes(own.queue_return_s, own.queue_return_by_priority),
            clock=time.time,
            tables=self._data.tables,
            local_domains=own.local_domains,
            max_expansion_count=own.max_expansion_count,
            language=own.report_language,
        )

    def publish(self) -> PublishDeps:
        """What services/publish.py needs."""
        from paravion.adapters.event_destinations import AllEventDestinations
        from paravion.domain.ses_event import Origin
        from paravion.services.publish import PublishDeps

        own = self._settings(settings.PublishSettings)
        data = self._data
        origin = Origin(own.hostname, own.credential_region, own.account_id, own.outgoing_ip)
        allowed = self._allowed_destinations(own)

        def new_webhooks() -> WebhookEvents:
            from paravion.adapters.dns_resolver import DnsResolver
            from paravion.adapters.webhook_events import WebhookEvents

            hosts, timeout_s = allowed.webhooks, own.connect_timeout_s
            return WebhookEvents(hosts, DnsResolver, data.secrets, time.time, origin, connect_timeout_s=timeout_s)

        return PublishDeps(
            spool=data.spool,
            queues=data.queues,
            ledger=data.ledger,
            records=data.records,
            destinations=AllEventDestinations(allowed, origin, _client_for_destination, new_webhooks, time.time),
            event_log=self._event_log("publish", own.log_level),
            origin=origin,
            return_s=own.queue_return_s,
            return_by_priority=lifetimes(own.queue_return_s, own.queue_return_by_priority),
            retry_s=own.event_retry_s,
            intervals_s=own.event_retry_intervals_s,
            in_parallel=self._in_parallel,
            clock=time.time,
            jitter=secrets.SystemRandom().random,
        )

    def _allowed_destinations(self, own: settings.PublishSettings | settings.AdminSettings) -> AllowedDestinations:
        from paravion.domain.allowed_destinations import AllowedDestinations
        from paravion.domain.target import AllowedTargets

        webhooks = AllowedTargets((), own.webhook_hosts, own.webhook_private_hosts)
        wants_aws = bool(own.event_destination_arns or own.event_metric_namespace)
        no_aws = "" if wants_aws and _has_aws() else "on one machine destinations of AWS's need AWS credentials, and"
        if no_aws:
            no_aws += " none are configured" if wants_aws else " no setting allows any"
        return AllowedDestinations(own.event_destination_arns, own.event_metric_namespace, webhooks, no_aws)

    def admin(self) -> AdminDeps:
        """What services/admin.py needs."""
        from paravion.adapters.dkim_keygen import new_private_key
        from paravion.adapters.embedded_parked import EmbeddedParked
        from paravion.services.admin import AdminDeps

        own = self._settings(settings.AdminSettings)
        data = self._data
        return AdminDeps(
            settings=own,
            spool=data.spool,
            ledger=data.ledger,
            secrets=data.secrets,
            identities=data.identities,
            tables=data.tables,
            hosts=data.hosts,
            suppression=data.suppression,
            uploads=data.uploads,
            records=data.records,
            counters=data.counters,
            has_statistics=own.statistics != "off",
            next_hop=look_up_next_hop,
            resolver_txt=look_up_txt,
            event_log=self._event_log("admin", own.log_level),
            clock=time.time,
            new_token=partial(secrets.token_hex, 16),
            new_private_key=new_private_key,
            transcripts=data.transcripts,
            new_queues=lambda: data.queues,
            new_parked=lambda: EmbeddedParked(data.database),
            destination_problem=lambda destination: self._allowed_destinations(own).problem(destination),
            to_commit=self._commit_deps(),
            settings_given=settings.given(
                {name: self._environ[name] for name in self._environ if name not in self._inner}
            ),
        )

    def _sts_finder(self, own: settings.DeliverSettings, resolver: Resolver, event_log: EventLog) -> StsFinder:
        from paravion.adapters.sts_policy_host import HttpsPolicyHost
        from paravion.services.mta_sts import StsFinder

        host = HttpsPolicyHost(resolver, ca_file=own.tls_ca_file)
        return StsFinder(resolver, host, self._data.tls_policies, event_log, time.time)

    def _targets(self, own: settings.DeliverSettings, resolver: Resolver) -> Targets:
        from paravion.adapters.targets import AllTargets
        from paravion.domain.target import AllowedTargets

        if own.alias_target_arns:
            # A large message is handed over by its place in the spool, which nobody there could read.
            setting = settings.BY_NAME["alias_target_arns"].variable
            raise Misconfigured([f"{setting}: on one machine aliases may name webhooks, nothing of AWS's"])
        allowed = AllowedTargets((), own.webhook_hosts, own.webhook_private_hosts)

        def new_webhooks() -> Targets:
            from paravion.adapters.webhook_client import WebhookClient
            from paravion.adapters.webhook_targets import WebhookTargets

            timeout_s = own.connect_timeout_s
            client = WebhookClient(allowed, resolver, self._data.secrets, time.time, connect_timeout_s=timeout_s)
            return WebhookTargets(client)

        return AllTargets(allowed, _no_client, new_webhooks, "")

    def _commit_deps(self) -> CommitDeps:
        return CommitDeps(self._data.spool, self._data.queues, _in_turn)

    def _settings(self, kind: type[S]) -> S:
        return settings.from_env(kind, self._environ)

    def _event_log(self, service: str, level: str) -> JsonEventLog:
        return JsonEventLog(service, level, self._log, time.time)


class AwakeTransport:
    """
    ports.Transport of a process that is never frozen: what goes on behind the answers ends by itself.

    A function settles at the end of each batch, when nobody else sends. Here others always do: waiting for all that
    goes on behind them could last for ever.
    """

    def __init__(self, paced: PacedTransport, transport: SmtpTransport) -> None:
        self._paced = paced
        self._transport = transport

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """See ports.Transport."""
        return await self._paced.send(hop, transaction, deadline)

    async def settle(self) -> None:
        """See ports.Transport."""

    async def close(self) -> None:
        """Finish what goes on, once nobody sends any more, and take leave of the hosts."""
        await self._paced.settle()
        await self._transport.close()


def _has_aws() -> bool:
    """Say whether AWS credentials are configured on this machine; no call is made to find out."""
    import botocore.session

    return botocore.session.get_session().get_credentials() is not None


def _client_for_destination(service: str, region: str) -> Any:
    import botocore.session
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    config = Config(retries=retries, connect_timeout=2, read_timeout=5)
    return botocore.session.get_session().create_client(service, region_name=region or None, config=config)


def _no_client(service: str, region: str) -> Any:
    raise NotImplementedError(f"no {service} in {region}: nothing of AWS's is allowed here")


def _in_turn(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """A small object is in memory after its put: threads would cost more than they save."""
    return [call() for call in calls]
