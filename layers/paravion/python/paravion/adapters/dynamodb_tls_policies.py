"""
MTA-STS policies in the ledger's table: pk `mta-sts#<domain>`, sk `policy`, forgotten by TTL when they expire.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from paravion.adapters.aws_errors import as_unavailable
from paravion.domain.mta_sts import KeptPolicy, StsMode, StsPolicy
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class DynamoTlsPolicies:
    """
    ports.TlsPolicies.

    Args:
        clock: Seconds since the epoch; the table's TTL may lag by days.
    """

    def __init__(self, client: Any, table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def get(self, domain: str) -> KeptPolicy | None:
        """See ports.TlsPolicies."""
        with as_unavailable(LedgerUnavailable, "mta-sts"):
            # Eventually consistent: at half the price, and what it may miss is fetched once more.
            answer: Any = self._client.get_item(TableName=self._table, Key=_key(domain))
        item = answer.get("Item")
        if item is None:
            return None
        policy = StsPolicy(StsMode(item["mode"]["S"]), tuple(item["mx"]["S"].split()), int(item["max_age_s"]["N"]))
        kept = KeptPolicy(item["policy_id"]["S"], policy, float(item["fetched_at"]["N"]))
        return kept if kept.is_valid(self._clock()) else None

    def put(self, domain: str, policy: KeptPolicy) -> None:
        """See ports.TlsPolicies."""
        item = {
            **_key(domain),
            "policy_id": {"S": policy.policy_id},
            "mode": {"S": policy.policy.mode},
            "mx": {"S": " ".join(policy.policy.mx)},
            "max_age_s": {"N": str(policy.policy.max_age_s)},
            "fetched_at": {"N": repr(policy.fetched_at)},
            "expires_at": {"N": str(math.ceil(policy.expires_at))},
        }
        with as_unavailable(LedgerUnavailable, "mta-sts"):
            self._client.put_item(TableName=self._table, Item=item)


def _key(domain: str) -> dict[str, Any]:
    return {"pk": {"S": f"mta-sts#{domain}"}, "sk": {"S": "policy"}}
