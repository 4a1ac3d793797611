"""
How much TLS a host must show before it gets a message: what each mode accepts, and which policy counts.

    mode     STARTTLS not offered   handshake fails        certificate
             or refused
    -------  ---------------------  ---------------------  -------------------------------------------------
    none     -  (not asked for)     -                      -
    may      goes on in clear       in clear, if fallback  not looked at
    encrypt  deferred 4.7.4         deferred 4.7.0         not looked at
    verify   deferred 4.7.4         deferred 4.7.0, 4.7.5  chain to a trusted root, the host's name, its dates
    dane     deferred 4.7.4         deferred 4.7.0, 4.7.5  as the host's TLSA records say

What is deferred for a host's TLS is offered to the next host of the hop at once; mail comes back to its sender
when none has shown what is asked for until the queue's lifetime is over.

Who says how much: the host's TLSA records before the domain's MTA-STS policy (RFC 8461 2) before the route's mode or
else the setting; but never less than any of these, nor than the message itself asks for. Of a domain in testing mode
only a record is made (RFC 8461 5): TLS is tried as if the policy held, and what fails is tried again without it.

Connects to nothing: adapters/smtp_client.py does, and domain/smtp_dialogue.py speaks.

A message with REQUIRETLS goes by `verify` or `dane`, to hosts that DNSSEC or a policy vouches for
(domain/next_hop.py), and fails for good where a host shows less. One with "TLS-Required: No" goes as if its
recipients' domains had asked for nothing: the operator's own mode is all that counts.

RFC: 7435 (opportunistic), 8461 4-5 (MTA-STS), 7672 2.2, 3 (DANE), 3207, 8689 2-4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

from paravion.domain.mta_sts import StsMode, StsPolicy
from paravion.domain.tls_facts import PolicyType, TlsFacts, TlsResult

if TYPE_CHECKING:
    from paravion.domain.tlsa import Tlsa


class TlsMode(StrEnum):
    """See the module's table. All but DANE can be chosen; DANE follows from the DNS."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    VERIFY = "verify"
    DANE = "dane"


MODES: Final = tuple(str(mode) for mode in TlsMode if mode is not TlsMode.DANE)
"""What a setting or a route may say."""

_STRICTNESS: Final = {mode: rank for rank, mode in enumerate(TlsMode)}


@dataclass(frozen=True, slots=True)
class StsFinding:
    """What is known of a domain's MTA-STS: its policy if there is one, else why it could not be had, "" for none."""

    policy: StsPolicy | None = None
    fault: str = ""


NO_STS: Final = StsFinding()


@dataclass(frozen=True, slots=True)
class DaneFinding:
    """
    What the DNS says about one host, as a validating resolver vouches for it.

    Attributes:
        base: The name under which the records were found; the name to ask for (SNI) and to be proved.
        records: Empty: there are none, or none that is secure; DANE does not apply.
        names: Under which the host may prove itself by DANE-TA (RFC 7672 3.2.2).
        failed: The look-up failed or is bogus: the host must not be used; says why, "" otherwise.
    """

    base: str = ""
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    failed: str = ""


NO_DANE: Final = DaneFinding()


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """
    What one host must show.

    Attributes:
        source: Whose policy this is, for the record.
        tlsa: Mode dane: usable records, at least one.
        server_name: Asked for in the handshake (SNI); "" the host's own name.
        names: Mode dane: see DaneFinding.
        noted: What failed already, whatever comes of this: a TlsResult or "".
        fallback: Tried over a new connection when TLS fails under this one; None: that is the end of it.
    """

    mode: TlsMode = TlsMode.MAY
    source: PolicyType = PolicyType.NONE
    tlsa: tuple[Tlsa, ...] = ()
    server_name: str = ""
    names: tuple[str, ...] = ()
    noted: str = ""
    fallback: TlsPolicy | None = None

    @property
    def is_required(self) -> bool:
        """Nothing goes out in clear."""
        return self.mode in (TlsMode.ENCRYPT, TlsMode.VERIFY, TlsMode.DANE)

    @property
    def facts(self) -> TlsFacts:
        """What can be recorded before anything happened."""
        return TlsFacts(policy=self.source, result=self.noted)

    def after(self, result: str) -> TlsPolicy | None:
        """Give what is tried next when TLS failed with `result`."""
        if self.fallback is None:
            return None
        return replace(self.fallback, source=self.source, noted=result or TlsResult.VALIDATION_FAILURE)


CLEAR: Final = TlsPolicy(TlsMode.NONE)
"""No TLS at all."""


@cache
def opportunistic(mode: TlsMode, *, fallback: bool) -> TlsPolicy:
    """Give the policy of a mode that the operator chose; `fallback` matters to `may` alone."""
    return TlsPolicy(mode, fallback=CLEAR if mode is TlsMode.MAY and fallback else None)


def stricter(one: TlsMode, other: TlsMode) -> TlsMode:
    """Give the mode that accepts less."""
    return max(one, other, key=_STRICTNESS.__getitem__)


def own_mode(setting: TlsMode, route: str, *, required: bool, verified: bool = False) -> TlsMode:
    """
    Give what the operator and the submitter ask for.

    Args:
        route: Mode of the route, which is more particular than the setting; "" for none.
        required: The message must not travel in clear.
        verified: Nor to a host that does not prove its name (RFC 8689 2).
    """
    mode = TlsMode(route) if route else setting
    if verified:
        return stricter(mode, TlsMode.VERIFY)
    return stricter(mode, TlsMode.ENCRYPT) if required else mode


def policy_for(
    host: str,
    own: TlsMode,
    *,
    fallback: bool = True,
    sts: StsFinding = NO_STS,
    dane: DaneFinding = NO_DANE,
) -> TlsPolicy | TlsFacts:
    """
    Give the policy for one host.

    Args:
        host: Its name, as the MX record has it.
        own: See own_mode.
        fallback: Mode may goes on in clear when the handshake fails.

    Returns:
        The policy; or, as facts for the record, why the host must not be used at all.
    """
    base = opportunistic(own, fallback=fallback)
    if dane.failed:
        return TlsFacts(PolicyType.TLSA, result=TlsResult.DNSSEC_INVALID)
    if dane.records:
        from paravion.domain.tlsa import usable  # few have a validating resolver

        counted = usable(dane.records)
        if counted:
            # RFC 8461 2: a DANE policy that can be checked is not overridden, nor replaced, by MTA-STS.
            return TlsPolicy(TlsMode.DANE, PolicyType.TLSA, counted, dane.base, dane.names)
        # RFC 7672 2.2: records none of which is usable still say that the host has TLS.
        base = TlsPolicy(stricter(own, TlsMode.ENCRYPT), PolicyType.TLSA, noted=TlsResult.TLSA_INVALID)
    if sts.policy is None or sts.policy.mode is StsMode.NONE:
        return replace(base, noted=sts.fault) if sts.fault and not base.noted else base
    return _under_sts(host, base, sts.policy)


def _under_sts(host: str, base: TlsPolicy, sts: StsPolicy) -> TlsPolicy | TlsFacts:
    """What a domain's policy makes of what would hold without it."""
    checked = replace(base, mode=stricter(base.mode, TlsMode.VERIFY), source=PolicyType.STS, noted="", fallback=None)
    if sts.mode is StsMode.ENFORCE:
        return checked if sts.allows(host) else TlsFacts(PolicyType.STS, result=TlsResult.VALIDATION_FAILURE)
    if not sts.allows(host):
        return replace(base, source=PolicyType.STS, noted=TlsResult.VALIDATION_FAILURE)
    return checked if base.mode is checked.mode else replace(checked, fallback=base)


def satisfies(policy: TlsPolicy, made_under: TlsPolicy, facts: TlsFacts) -> bool:
    """
    Say whether an open connection may carry a message of this policy.

    Args:
        policy: Of the message's host now.
        made_under: Of the connection, the last one that was tried.
        facts: What its handshake came to.
    """
    if policy.mode is TlsMode.DANE:
        # Other records than then: maybe the key was replaced because it is no longer to be trusted.
        enough = facts.verified and (made_under.tlsa, made_under.names) == (policy.tlsa, policy.names)
    elif policy.mode is TlsMode.VERIFY:
        enough = facts.verified and made_under.mode is TlsMode.VERIFY
    else:
        enough = bool(facts.version) or not policy.is_required
    return enough or (policy.fallback is not None and satisfies(policy.fallback, made_under, facts))


def seen_under(facts: TlsFacts, policy: TlsPolicy) -> TlsFacts:
    """Give a kept connection's facts as they are told of a message of another policy than it was made for."""
    is_policys = facts.policy == policy.source or facts.result == TlsResult.STARTTLS_NOT_SUPPORTED
    result = facts.result if is_policys else policy.noted
    if (facts.policy, facts.result) == (policy.source, result):
        return facts
    return replace(facts, policy=policy.source, result=result)
