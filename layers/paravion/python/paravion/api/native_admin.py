"""Native resources of `admin`: messages, the queue, identities, one's own credential, health."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion import __version__
from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import NativeDoor, read_count, read_json, refuse_unknown, timestamped
from paravion.api.ses_identities import base_url
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.services import admin, identity_keys
from paravion.services.authenticate import require_manager

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

ADMIN_DOOR: Final = NativeDoor()

_ATTEMPT_MAX: Final = 1_000_000
_JOBS: Final = 100
_JOBS_MAX: Final = 1000
_IDENTITIES: Final = 100
_IDENTITIES_MAX: Final = 1000


@ADMIN_DOOR.route("GET", "/v1/health", is_open=True)
def health(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Say that we are there, and to doors before us what they may let through."""
    settings = call.deps.settings
    limits = {
        "max_message_octets": settings.max_message_octets,
        "max_recipients_count": settings.max_recipients_count,
    }
    return json_answer(HTTPStatus.OK, {"status": "ok", "version": __version__, **limits})


@ADMIN_DOOR.route("GET", "/v1/credentials/self", operations=())
def own_credential(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Say whose credential it is; being here proves that it is good."""
    return json_answer(HTTPStatus.OK, {"access_key": call.principal.access_key})


@ADMIN_DOOR.route("GET", "/v1/messages/{queue_id}")
def show_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Tell where a message stands. Raises Rejected, Unavailable."""
    return json_answer(HTTPStatus.OK, timestamped(admin.show_message(labels["queue_id"], call.principal, call.deps)))


@ADMIN_DOOR.route("GET", "/v1/messages/{queue_id}/transcript")
def show_message_transcript(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Tell what was said in a message's attempts. Raises Rejected, Unavailable."""
    from paravion.services.transcripts import show_transcript  # seldom asked for

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"attempt"}), "query parameter")
    attempt = read_count(parameters["attempt"], "attempt", default=1, high=_ATTEMPT_MAX) if parameters else None
    told = show_transcript(labels["queue_id"], attempt, call.principal, call.deps)
    return json_answer(HTTPStatus.OK, timestamped(told))


@ADMIN_DOOR.route("GET", "/v1/queue")
def show_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List waiting jobs. Raises Rejected, Unavailable."""
    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"limit", "held"}), "query parameter")
    limit = read_count(parameters.get("limit"), "limit", default=_JOBS, high=_JOBS_MAX)
    held = parameters.get("held", ["false"])
    if held not in (["true"], ["false"]):
        raise Rejected(BAD_REQUEST, "held must be true or false")
    view = admin.show_queue(limit, call.principal, call.deps, held_only=held == ["true"])
    return json_answer(HTTPStatus.OK, timestamped(view))


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/hold")
def hold_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Hold a message. Raises Rejected, Unavailable."""
    from paravion.services import hold  # seldom used

    given = read_json(call.request)
    refuse_unknown(given, frozenset({"reason"}), "member")
    reason = given.get("reason")
    if not isinstance(reason, str):
        raise Rejected(BAD_REQUEST, "reason must be a text")
    return json_answer(HTTPStatus.OK, hold.hold(labels["queue_id"], reason, call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/release")
def release_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Release a message. Raises Rejected, Unavailable."""
    from paravion.services import hold

    given = read_json(call.request) if call.request.body.strip() else {}
    refuse_unknown(given, frozenset({"reason"}), "member")
    reason = given.get("reason", "")
    if not isinstance(reason, str):
        raise Rejected(BAD_REQUEST, "reason must be a text")
    return json_answer(HTTPStatus.OK, hold.release(labels["queue_id"], call.principal, call.deps, reason=reason))


@ADMIN_DOOR.route("DELETE", "/v1/messages/{queue_id}")
def remove_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Take a message out of the queue. Raises Rejected, Unavailable."""
    from paravion.services import hold

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"reason"}), "query parameter")
    reason = " ".join(parameters.get("reason", []))
    return json_answer(HTTPStatus.OK, hold.remove(labels["queue_id"], call.principal, call.deps, reason=reason))


@ADMIN_DOOR.route("GET", "/v1/identities")
def list_identities(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List identities by name. Raises Rejected, Unavailable."""
    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"limit", "after"}), "query parameter")
    limit = read_count(parameters.get("limit"), "limit", default=_IDENTITIES, high=_IDENTITIES_MAX)
    after = parameters.get("after", [""])
    if len(after) > 1:
        raise Rejected(BAD_REQUEST, "after is given more than once")
    page, go_on = admin.list_identities(limit, after[0], call.deps, tenant=call.principal.tenant)
    return json_answer(
        HTTPStatus.OK, {"identities": [_identity(identity, call.deps) for identity in page], "after": go_on or None}
    )


@ADMIN_DOOR.route("PUT", "/v1/identities/{name}")
def put_identity(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Make an identity; one that exists stays as it is. Raises Rejected, Unavailable."""
    if call.request.body.strip() not in {b"", b"{}"}:
        raise Rejected(BAD_REQUEST, "an identity has nothing to set: the body must be empty")
    require_manager(call.principal, "identities are")
    identity, is_new = admin.ensure_identity(
        labels["name"], call.deps, tenant=call.principal.tenant, base_url=base_url(call)
    )
    return json_answer(HTTPStatus.CREATED if is_new else HTTPStatus.OK, _with_keys(identity, call.deps, in_dns=False))


@ADMIN_DOOR.route("GET", "/v1/identities/{name}")
def get_identity(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Show an identity; what waits for the DNS is looked up first. Raises Rejected, Unavailable."""
    return json_answer(
        HTTPStatus.OK,
        _with_keys(admin.find_identity(labels["name"], call.deps, tenant=call.principal.tenant), call.deps),
    )


@ADMIN_DOOR.route("POST", "/v1/identities/{name}/rotation")
def rotate_identity(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Take the next step of rotating the DKIM keys. Raises Rejected, Unavailable."""
    given = read_json(call.request) if call.request.body.strip() else {}
    refuse_unknown(given, frozenset({"force"}), "member")
    force = given.get("force", False)
    if not isinstance(force, bool):
        raise Rejected(BAD_REQUEST, "force must be true or false")
    require_manager(call.principal, "identities are")
    identity, keys = admin.rotate_identity(labels["name"], force=force, deps=call.deps, tenant=call.principal.tenant)
    shown = _identity(identity, call.deps)
    return json_answer(HTTPStatus.OK, {**shown, "dkim": timestamped(identity_keys.view(keys))})


@ADMIN_DOOR.route("DELETE", "/v1/identities/{name}")
def delete_identity(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Remove an identity. Raises Rejected, Unavailable."""
    require_manager(call.principal, "identities are")
    admin.delete_identity(labels["name"], call.deps, tenant=call.principal.tenant)
    return HttpAnswer(HTTPStatus.NO_CONTENT)


def _with_keys(identity: Identity, deps: AdminDeps, *, in_dns: bool = True) -> dict[str, Any]:
    shown = _identity(identity, deps)
    if not admin.is_address(identity.name):
        shown["dkim"] = timestamped(identity_keys.view(identity_keys.look(identity.name, deps, in_dns=in_dns)))
    return shown


def _identity(identity: Identity, deps: AdminDeps) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": identity.name,
        "verified": identity.verified,
        "may_send": admin.may_send(identity, deps),
        "created_at": identity.created_at,
    }
    if not admin.is_address(identity.name):
        shown["record"] = {"type": "TXT", "name": admin.txt_name(identity.name), "value": identity.token}
    return dict(timestamped(shown))
