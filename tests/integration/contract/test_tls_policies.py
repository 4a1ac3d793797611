"""The contract of ports.TlsPolicies, in memory and on DynamoDB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paravion.domain.mta_sts import KeptPolicy, StsMode, StsPolicy

POLICY = StsPolicy(StsMode.ENFORCE, ("mx.a.example", "*.b.example"), 604_800)


@pytest.fixture
def domain(queue_id):
    return f"{queue_id}.example"


def test_kept_and_replaced(policy_bench, domain):
    """What was put last is what is there; every field survives."""
    kept = KeptPolicy("20160831085700Z", POLICY, policy_bench.now - 1.5)
    assert policy_bench.policies.get(domain) is None
    policy_bench.policies.put(domain, kept)
    assert policy_bench.policies.get(domain) == kept
    newer = replace(kept, policy_id="2", policy=StsPolicy(StsMode.NONE, (), 86_400), fetched_at=policy_bench.now)
    policy_bench.policies.put(domain, newer)
    assert policy_bench.policies.get(domain) == newer
    assert policy_bench.policies.get(f"other.{domain}") is None


def test_what_expired_is_not_there(policy_bench, domain):
    """Whether or not the store has removed it yet."""
    policy_bench.policies.put(domain, KeptPolicy("1", POLICY, policy_bench.now - 604_799))
    assert policy_bench.policies.get(domain) is not None
    policy_bench.now += 2
    assert policy_bench.policies.get(domain) is None
