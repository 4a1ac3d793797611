"""
Native resources of `admin` for an operator's acts on the queue, of a message or of many, and the record of them.

Importing it registers them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from paravion.api.http_event import HttpAnswer, json_answer
from paravion.api.native import read_count, read_json, refuse_unknown, timestamped
from paravion.api.native_admin import ADMIN_DOOR
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.domain.selection import Selection
    from paravion.services.acts import Act
    from paravion.services.admin import AdminDeps

_OPERATIONS: Final = 100
_OPERATIONS_MAX: Final = 1000
_JOBS: Final = 200
_SELECTION: Final = frozenset({"recipient", "sender", "host", "all", "limit", "after", "dry_run"})


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/flush")
def flush_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Try a message now. Raises Rejected, Unavailable."""
    from paravion.services import flush  # seldom used, like all of this module's services

    given = read_body(call, frozenset({"reason"}))
    told = flush.flush(labels["queue_id"], call.principal, call.deps, reason=read_text(given, "reason"))
    return json_answer(HTTPStatus.OK, told)


@ADMIN_DOOR.route("POST", "/v1/queue/flush")
def flush_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Try now what waits of a sender, for a recipient or a host. Raises Rejected, Unavailable."""
    from paravion.services.flush import Flush

    given = read_body(call, _SELECTION | {"reason", "texts"})
    return _on_selection(call, given, Flush(read_text(given, "reason"), call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/requeue")
def requeue_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Try a message now, as if it came now. Raises Rejected, Unavailable."""
    from paravion.services import flush

    given = read_body(call, frozenset({"reason"}))
    told = flush.requeue(labels["queue_id"], call.principal, call.deps, reason=read_text(given, "reason"))
    return json_answer(HTTPStatus.OK, told)


@ADMIN_DOOR.route("POST", "/v1/messages/{queue_id}/cancel")
def cancel_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Return a message to its sender, or take one's own back. Raises Rejected, Unavailable."""
    from paravion.services import cancel, hold

    given = read_body(call, frozenset({"reason", "tell"}))
    reason, is_operator = read_text(given, "reason"), call.principal.is_operator
    tell = read_flag(given, "tell", default=is_operator)
    if tell and not is_operator:
        raise Rejected(ACCESS_DENIED, "returning mail with a report is an operator's: leave tell out to take it back")
    act = cancel.cancel if tell else hold.remove if is_operator else cancel.withdraw
    return json_answer(HTTPStatus.OK, act(labels["queue_id"], call.principal, call.deps, reason=reason))


@ADMIN_DOOR.route("POST", "/v1/queue/requeue")
def requeue_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Try by selection as if it came now. Raises Rejected, Unavailable."""
    from paravion.services.flush import Requeue

    given = read_body(call, _SELECTION | {"reason"})
    return _on_selection(call, given, Requeue(read_text(given, "reason"), call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/queue/hold")
def hold_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Hold by selection. Raises Rejected, Unavailable."""
    from paravion.services.hold import Hold

    given = read_body(call, _SELECTION | {"reason"})
    return _on_selection(call, given, Hold(read_text(given, "reason"), call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/queue/release")
def release_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Release by selection. Raises Rejected, Unavailable."""
    from paravion.services.hold import Release

    given = read_body(call, _SELECTION | {"reason"})
    return _on_selection(call, given, Release(read_text(given, "reason"), call.principal, call.deps))


@ADMIN_DOOR.route("POST", "/v1/queue/cancel")
def cancel_queue(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Return by selection to the senders, or remove. Raises Rejected, Unavailable."""
    from paravion.services.cancel import Cancel
    from paravion.services.hold import Remove

    given = read_body(call, _SELECTION | {"reason", "tell"})
    act = Cancel if read_flag(given, "tell", default=True) else Remove
    return _on_selection(call, given, act(read_text(given, "reason"), call.principal, call.deps))


@ADMIN_DOOR.route("GET", "/v1/operations")
def list_operations(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List what operators did, newest first. Raises Rejected, Unavailable."""
    from paravion.services import operations

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"limit", "after"}), "query parameter")
    limit = read_count(parameters.get("limit"), "limit", default=_OPERATIONS, high=_OPERATIONS_MAX)
    after = parameters.get("after", [""])
    if len(after) > 1:
        raise Rejected(BAD_REQUEST, "after is given more than once")
    return json_answer(
        HTTPStatus.OK, timestamped(operations.list_operations(limit, after[0], call.principal, call.deps))
    )


def read_body(call: Call[AdminDeps], members: frozenset[str]) -> dict[str, Any]:
    """Read a request's JSON object of known members; an empty body has none. Raises Rejected."""
    given = read_json(call.request) if call.request.body.strip() else {}
    refuse_unknown(given, members, "member")
    return given


def read_text(given: dict[str, Any], name: str, default: str = "") -> str:
    """Read a member that is a text. Raises Rejected."""
    value = given.get(name, default)
    if not isinstance(value, str):
        raise Rejected(BAD_REQUEST, f"{name} must be a text")
    return value


def read_flag(given: dict[str, Any], name: str, *, default: bool = False) -> bool:
    """Read a member that is true or false. Raises Rejected."""
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise Rejected(BAD_REQUEST, f"{name} must be true or false")
    return value


def _on_selection(call: Call[AdminDeps], given: dict[str, Any], act: Act) -> HttpAnswer:
    from paravion.services.select import MAX_JOBS, act_on_selection

    limit = _limit(given, _JOBS, MAX_JOBS)
    told = act_on_selection(
        act,
        _selection(given),
        call.principal,
        call.deps,
        limit=limit,
        after=read_text(given, "after"),
        dry_run=read_flag(given, "dry_run"),
    )
    return json_answer(HTTPStatus.OK, told)


def _selection(given: dict[str, Any]) -> Selection:
    from paravion.domain.selection import parse

    try:
        selection = parse(
            **{name: read_text(given, name) for name in ("recipient", "sender", "host")}, texts=_texts(given)
        )
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, str(exc)) from exc
    if selection.is_everything != read_flag(given, "all"):
        raise Rejected(BAD_REQUEST, "give recipient, sender or host; or all, and none of them")
    return selection


def _texts(given: dict[str, Any]) -> list[tuple[str, str, bool]]:
    texts = given.get("texts", [])
    if not isinstance(texts, list) or not all(isinstance(item, dict) for item in texts):
        raise Rejected(BAD_REQUEST, "texts must be a list of objects")
    for item in texts:
        refuse_unknown(item, frozenset({"of", "text", "negated"}), "field of a text")
    return [(read_text(item, "of"), read_text(item, "text"), read_flag(item, "negated")) for item in texts]


@ADMIN_DOOR.route("GET", "/v1/parked")
def list_parked(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Tell what lies in the parked queue. Raises Rejected, Unavailable."""
    from paravion.services import parked

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"limit"}), "query parameter")
    limit = read_count(parameters.get("limit"), "limit", default=_OPERATIONS, high=parked.MAX_ITEMS)
    return json_answer(HTTPStatus.OK, timestamped(parked.list_parked(limit, call.principal, call.deps)))


@ADMIN_DOOR.route("POST", "/v1/parked/redrive")
def redrive_parked(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Give parked items back to where they are worked on. Raises Rejected, Unavailable."""
    from paravion.services import parked

    given = read_body(call, frozenset({"ids", "queue_id", "all", "limit", "reason"}))
    ids, queue_id = given.get("ids", []), read_text(given, "queue_id")
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise Rejected(BAD_REQUEST, "ids must be a list of texts")
    if bool(ids or queue_id) == read_flag(given, "all"):
        raise Rejected(BAD_REQUEST, "give ids or queue_id; or all, and none of them")
    limit = _limit(given, _JOBS, parked.MAX_ITEMS)
    told = parked.redrive(ids, queue_id, limit, call.principal, call.deps, reason=read_text(given, "reason"))
    return json_answer(HTTPStatus.OK, told)


@ADMIN_DOOR.route("DELETE", "/v1/parked/{item_id}")
def drop_parked(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Drop one parked item. Raises Rejected, Unavailable."""
    from paravion.services import parked

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"reason"}), "query parameter")
    reason = " ".join(parameters.get("reason", []))
    told = parked.drop(labels["item_id"], call.principal, call.deps, reason=reason)
    return json_answer(HTTPStatus.OK, timestamped(told))


@ADMIN_DOOR.route("DELETE", "/v1/parked")
def drop_parked_message(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """Drop all parked items of one message. Raises Rejected, Unavailable."""
    from paravion.services import parked

    parameters = call.request.parameters()
    refuse_unknown(parameters, frozenset({"queue_id", "reason"}), "query parameter")
    (queue_id,) = parameters.get("queue_id", [""])[:1]
    if not queue_id or len(parameters["queue_id"]) > 1:
        raise Rejected(BAD_REQUEST, "give one queue_id, or name an item")
    told = parked.drop_message(queue_id, call.principal, call.deps, reason=" ".join(parameters.get("reason", [])))
    return json_answer(HTTPStatus.OK, timestamped(told))


def _limit(given: dict[str, Any], default: int, most: int) -> int:
    limit = given.get("limit", default)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise Rejected(BAD_REQUEST, f"limit must be a number from 1 to {most}")
    return limit


@ADMIN_DOOR.route("GET", "/v1/holds")
def list_holds(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:  # noqa: ARG001
    """List the rules by which new mail is held. Raises Rejected, Unavailable."""
    from paravion.services import standing_holds

    return json_answer(HTTPStatus.OK, timestamped(standing_holds.list_holds(call.principal, call.deps)))


@ADMIN_DOOR.route("PUT", "/v1/holds/{name}")
def put_hold(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Hold new mail from now on. Raises Rejected, Unavailable."""
    from paravion.services import standing_holds

    reason = read_text(read_body(call, frozenset({"reason"})), "reason")
    told = standing_holds.put_hold(labels["name"], reason, call.principal, call.deps)
    return json_answer(HTTPStatus.OK, timestamped(told))


@ADMIN_DOOR.route("DELETE", "/v1/holds/{name}")
def delete_hold(call: Call[AdminDeps], labels: dict[str, str]) -> HttpAnswer:
    """Hold new mail no longer. Raises Rejected, Unavailable."""
    from paravion.services import standing_holds

    standing_holds.delete_hold(labels["name"], call.principal, call.deps)
    return HttpAnswer(HTTPStatus.NO_CONTENT)
