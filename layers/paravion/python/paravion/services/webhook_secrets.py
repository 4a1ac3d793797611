"""
The secrets that requests to webhooks are signed with: each host has its own, shown to an operator alone.

    asked                 what is there       becomes                signatures of each request
    --------------------  ------------------  ---------------------  ---------------------------
    show                  nothing             a first secret         1
    rotate                one                 a new one before it    2: either secret verifies
    end the rotation      two                 the new one alone      1

A rotation that is never ended does no harm but that the old secret goes on to be good.
Delivery keeps what it read for five minutes: a receiver that is given the new secret then, and the old one is ended
after that, refuses nothing.

Used by: adapters/webhook_targets.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.target import parse_host, webhook_host, webhook_secret_name
from paravion.domain.webhook import MAX_SECRETS, decode_secrets, encode_secrets
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


def show_secrets(host: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give a host's secrets, the newest first; the first time, make one.

    Args:
        host: A webhook's host; its port is left out, for all its ports share the secrets.

    Raises:
        Rejected: access_denied, bad_request.
        SecretsUnavailable
    """
    name, host = _named(host, principal)
    kept = deps.secrets.get(name, fresh=True)
    if kept is not None:
        return _told(host, _decoded(kept))
    made: tuple[str, ...] = (_new(deps),)
    if not deps.secrets.put(name, encode_secrets(made), new=True):
        # Somebody was faster; theirs is the one.
        made = _decoded(deps.secrets.get(name, fresh=True) or "")
    deps.event_log.emit("WebhookSecret", {"host": host, "what": "made", "principal": principal.access_key})
    return _told(host, made)


def rotate_secret(host: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Make a new secret, and sign with it and the one before.

    Raises:
        Rejected: access_denied, not_found: there is none yet; bad_request: a rotation is under way.
        SecretsUnavailable
    """
    name, host = _named(host, principal)
    secrets = _kept(name, host, deps)
    if len(secrets) >= MAX_SECRETS:
        raise Rejected(BAD_REQUEST, f"{host} has two secrets already: end that rotation first")
    secrets = (_new(deps), *secrets)
    deps.secrets.put(name, encode_secrets(secrets))
    deps.event_log.emit("WebhookSecret", {"host": host, "what": "rotated", "principal": principal.access_key})
    return _told(host, secrets)


def end_rotation(host: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Sign with the newest secret alone.

    Raises:
        Rejected: access_denied, not_found.
        SecretsUnavailable
    """
    name, host = _named(host, principal)
    secrets = _kept(name, host, deps)[:1]
    deps.secrets.put(name, encode_secrets(secrets))
    deps.event_log.emit("WebhookSecret", {"host": host, "what": "rotation ended", "principal": principal.access_key})
    return _told(host, secrets)


def _named(host: str, principal: Principal) -> tuple[str, str]:
    require_operator(principal, "webhook secrets are")
    try:
        host = webhook_host(parse_host(host))
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, shown(str(exc), 300)) from exc
    return webhook_secret_name(host), host


def _kept(name: str, host: str, deps: AdminDeps) -> tuple[str, ...]:
    kept = deps.secrets.get(name, fresh=True)
    if kept is None:
        raise Rejected(NOT_FOUND, f"{shown(host)} has no secret yet")
    return _decoded(kept)


def _decoded(kept: str) -> tuple[str, ...]:
    try:
        return decode_secrets(kept)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, "what the secret store keeps for this host is no webhook secret") from exc


def _new(deps: AdminDeps) -> str:
    return f"whsec_{deps.new_token()}{deps.new_token()}"


def _told(host: str, secrets: tuple[str, ...]) -> dict[str, Any]:
    return {"host": host, "secrets": list(secrets)}
