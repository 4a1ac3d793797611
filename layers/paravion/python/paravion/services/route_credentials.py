"""
Credentials that routes log in with, as operators make, list and remove them.

They lie in the secret store as `routes/NAME`. Nothing ever shows a password or a token again. Which route names
which is domain/routes.py's. Next: services/route_login.py, which reads them for the transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain import sasl
from paravion.domain.address import shown
from paravion.domain.next_hop import credential_name
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

UNDER: Final = "routes"
"""Their path in the secret store."""


def put_credential(
    name: str, given: Mapping[str, object], principal: Principal, deps: AdminDeps
) -> tuple[dict[str, Any], bool]:
    """
    Keep a credential, in place of one that may be there.

    Args:
        given: `user`, and `password` or `token`; maybe `mechanism`.

    Returns:
        What may be shown of it, and whether there was none of that name.

    Raises:
        Rejected: access_denied, bad_request.
        SecretsUnavailable
    """
    key = _key(name, principal)
    try:
        made = sasl.credential(**{word: given.get(word, "") for word in ("user", "password", "token", "mechanism")})
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, str(exc)) from exc
    is_new = deps.secrets.get(key, fresh=True) is None
    deps.secrets.put(key, made.encode())
    deps.event_log.emit("RouteCredentialPut", {"credential": name, "principal": principal.access_key})
    return _shown(name, made), is_new


def show_credential(name: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Show whose credential it is and by which mechanism it goes, never its secret.

    Raises:
        Rejected: access_denied, bad_request, not_found.
        SecretsUnavailable
    """
    text = deps.secrets.get(_key(name, principal), fresh=True)
    if text is None:
        raise Rejected(NOT_FOUND, f"there is no credential {name}")
    try:
        return _shown(name, sasl.parse_credential(text))
    except ValueError:
        return {"name": name, "user": "", "kind": "malformed", "mechanism": ""}


def list_credentials(principal: Principal, deps: AdminDeps) -> list[str]:
    """Give the names. Raises Rejected (access_denied), SecretsUnavailable."""
    require_operator(principal, "credentials of routes are")
    return sorted(name.removeprefix(f"{UNDER}/") for name in deps.secrets.names(UNDER))


def remove_credential(name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Forget a credential; one that a route names stays.

    Raises:
        Rejected: access_denied, not_found; bad_request: the mailertable or the setting `relay_credential` names it.
        LedgerUnavailable, SecretsUnavailable
    """
    key = _key(name, principal)
    if deps.secrets.get(key, fresh=True) is None:
        raise Rejected(NOT_FOUND, f"there is no credential {name}")
    if deps.settings.relay_credential == name:
        raise Rejected(BAD_REQUEST, f"the setting relay_credential names {name}")
    if "mailertable" in deps.tables.loaded():
        from paravion.domain.routes import credentials_of

        for page in deps.tables.pages("mailertable"):
            for domain, value in page.items():
                if name in credentials_of(value):
                    raise Rejected(BAD_REQUEST, f"the mailertable names {name}, for {shown(domain)}")
    deps.secrets.delete(key)
    deps.event_log.emit("RouteCredentialRemoved", {"credential": name, "principal": principal.access_key})


def exists(name: str, deps: AdminDeps) -> bool:
    """Say whether there is a credential of the name. Raises SecretsUnavailable."""
    return deps.secrets.get(f"{UNDER}/{name}", fresh=True) is not None


def _key(name: str, principal: Principal) -> str:
    require_operator(principal, "credentials of routes are")
    try:
        return f"{UNDER}/{credential_name(name)}"
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, str(exc)) from exc


def _shown(name: str, made: sasl.Credential) -> dict[str, Any]:
    return {"name": name, "user": made.user, "kind": made.kind, "mechanism": made.mechanism}
