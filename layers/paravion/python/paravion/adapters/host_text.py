"""A host's state (domain/pacing.py) as JSON text: what storage keeps of it beside its name and version."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from paravion.domain.pacing import HostState, Limit


def encode_host(state: HostState) -> str:
    """Give the text; only what is set, without name and version."""
    fields = asdict(replace(state, leases={})) | {"leases": dict(state.leases)}
    detail = {name: value for name, value in fields.items() if value and name not in {"name", "version"}}
    return json.dumps(detail, ensure_ascii=False, separators=(",", ":"))


def decode_host(name: str, version: int, text: str) -> HostState:
    """Read it back."""
    detail = json.loads(text)
    for limit in ("rate", "slots"):
        if limit in detail:
            detail[limit] = Limit(**detail[limit])
    detail["leases"] = {holder: (count, until) for holder, (count, until) in detail.get("leases", {}).items()}
    return HostState(name=name, version=version, **detail)
