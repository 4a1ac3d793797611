"""
`paravion credentials`: make, list, narrow, disable and delete access keys, in the secret store itself.

The store is a deployed stack's (SSM, by the caller's AWS credentials) or a data directory's of one machine (its files,
also while paravion runs on it). A secret key exists in two places only: there, and on the terminal of whoever made it.
What stands in a credential is domain/credential.py's; a running paravion sees a change within five minutes, on one
machine at once.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from paravion.cli.client import EX_DATAERR, EX_OK, EX_UNAVAILABLE, EX_USAGE
from paravion.domain.credential import (
    ANYTHING,
    Credential,
    Scope,
    make_scope,
    matches,
    read_credential,
    write_credential,
)
from paravion.domain.ses_smtp_password import smtp_password
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from paravion.ports import Secrets

UNDER: Final = "credentials"
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "+/"
_SECRET_LENGTH: Final = 40  # that of AWS's own
_ID_OCTETS: Final = 10  # 16 characters of base32
_NOBODY: Final = "NONE"
"""The word for an empty list, which allows nothing."""

_ANYBODY: Final = "ANY"
"""The word for no list, which allows everything; whoever means that says it."""


class NoCredential(Exception):
    """There is none of that name, or it can't be read; the text says which."""


def create(
    store: Secrets, *, region: str, operator: bool, tenant: str = "", scope: Scope = ANYTHING, now: float = 0.0
) -> dict[str, str]:
    """
    Make a credential and store it.

    Args:
        store: Where services/authenticate.py will look.
        region: Of the SMTP password's derivation.
        operator: May see what others submitted.
        now: Seconds since the epoch, 0 for not known.

    Returns:
        access_key, secret_key and smtp_password.

    Raises:
        ValueError: What is asked for contradicts itself.
        SecretsUnavailable: Nothing is promised then; the half-made key is useless to everybody.
    """
    access_key = "AKIA" + base64.b32encode(secrets.token_bytes(_ID_OCTETS)).decode()
    secret_key = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    text = write_credential(Credential(secret_key, True, operator, tenant, scope, now))
    read_credential(text)
    store.put(f"{UNDER}/{access_key}", text)
    return {
        "access_key": access_key,
        "secret_key": secret_key,
        "smtp_password": smtp_password(secret_key, region),
    }


def read(store: Secrets, access_key: str) -> Credential:
    """Read one. Raises NoCredential, SecretsUnavailable."""
    text = (
        store.get(f"{UNDER}/{access_key}", fresh=True)
        if access_key.replace("_", "").replace("-", "").isalnum()
        else None
    )
    if text is None:
        raise NoCredential(f"there is no credential {access_key}")
    try:
        return read_credential(text)
    except ValueError as exc:
        raise NoCredential(f"{access_key} can't be read: {exc}") from exc


def change(store: Secrets, access_key: str, how: Callable[[Credential], Credential]) -> Credential:
    """Change one. Raises NoCredential, ValueError, SecretsUnavailable."""
    changed = how(read(store, access_key))
    text = write_credential(changed)
    read_credential(text)
    store.put(f"{UNDER}/{access_key}", text)
    return changed


def delete(store: Secrets, access_key: str) -> None:
    """Remove one, whatever stands in it. Raises NoCredential, SecretsUnavailable."""
    if f"{UNDER}/{access_key}" not in store.names(UNDER):
        raise NoCredential(f"there is no credential {access_key}")
    store.delete(f"{UNDER}/{access_key}")


def lines(store: Secrets) -> list[str]:
    """Give a line for each credential, without any secret. Raises SecretsUnavailable."""
    shown = []
    for name in sorted(store.names(UNDER)):
        access_key = name.removeprefix(f"{UNDER}/")
        try:
            shown.append(line(access_key, read(store, access_key)))
        except NoCredential as exc:
            shown.append(f"{access_key}  (unreadable: {exc})")
    return shown


def line(access_key: str, credential: Credential) -> str:
    """Give a credential's line."""
    words = ["enabled" if credential.enabled else "disabled"]
    if credential.created_at:
        words.append(f"made={datetime.fromtimestamp(credential.created_at, UTC):%Y-%m-%d}")
    if credential.operator:
        words.append("operator")
    if credential.tenant:
        words.append(f"tenant={credential.tenant}")
    for name, given in (("identities", credential.scope.identities), ("operations", credential.scope.operations)):
        if given is not None:
            words.append(f"{name}={','.join(given) or _NOBODY}")
    return "  ".join((access_key, *words))


def ssm_store(prefix: str) -> Secrets:
    """Give the stack's secret store, by the caller's AWS credentials and region."""
    import boto3

    from paravion.adapters.ssm_secrets import SsmSecrets

    return SsmSecrets(boto3.client("ssm"), prefix, time.monotonic)


def file_store(data: Path) -> Secrets:
    """Give the secret store of a data directory. Raises SecretsUnavailable: it is none."""
    from paravion.adapters.embedded_secrets import EmbeddedSecrets

    folder = data / "secrets"
    if not folder.is_dir():
        raise SecretsUnavailable(f"{data} is no data directory of paravion")
    return EmbeddedSecrets(folder)


def unknown_operations(patterns: Iterable[str]) -> list[str]:
    """Give the patterns that no operation of ours or of SES's matches: they would allow nothing."""
    # The doors and the service models: this command alone needs all their names.
    from paravion.api import admin_doors  # noqa: F401 (registers its operations)
    from paravion.api.native_admin import ADMIN_DOOR
    from paravion.api.native_messages import VALIDATE_DOOR
    from paravion.api.ses_model import SES_V1, SES_V2
    from paravion.services.authorise import SMTP

    ses = (f"ses:{name}" for service in (SES_V2, SES_V1) for name in service.model.operation_names)
    known = {SMTP, *ses, *ADMIN_DOOR.operations, *VALIDATE_DOOR.operations}
    return [pattern for pattern in patterns if not any(matches(pattern, name) for name in known)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    make = actions.add_parser("create", help="make an access key and show its secrets, once")
    _add_store(make)
    make.add_argument("--region", default="us-east-1", help="region of the SMTP password's derivation")
    make.add_argument("--operator", action="store_true", help="the key may see what others submitted and load tables")
    make.add_argument("--tenant", default="", metavar="T", help="whose things the key uses")
    _add_scope(make)
    make.set_defaults(run=_create)

    show = actions.add_parser("list", help="show the keys and what they may do, without secrets")
    _add_store(show)
    show.set_defaults(run=_list)

    for name, help_text, run in (
        ("disable", "refuse requests with a key", _disable),
        ("enable", "take a disabled key again", _enable),
        ("delete", "forget a key for good", _delete),
    ):
        action = actions.add_parser(name, help=help_text)
        action.add_argument("access_key", metavar="KEY")
        _add_store(action)
        action.set_defaults(run=run)

    scope = actions.add_parser("scope", help="show, or change, what a key is narrowed to; what is not named stays")
    scope.add_argument("access_key", metavar="KEY")
    _add_store(scope)
    _add_scope(scope)
    scope.add_argument("--none", action="store_true", help=f"narrow it no more: both are {_ANYBODY}")
    scope.set_defaults(run=_scope)

    password = actions.add_parser("smtp-password", help="derive the SMTP password of the configured secret key")
    password.add_argument("--region", default="us-east-1", help="region of the derivation")
    password.set_defaults(run=_smtp_password)


def _add_store(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--stack", help="name of the deployed stack")
    where.add_argument("--prefix", help="path of its secrets, if it is not /paravion/STACK")
    where.add_argument("--data", type=Path, metavar="DIR", help="data directory of a paravion on this machine")


def _add_scope(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--identity",
        action="append",
        metavar="NAME",
        help=f"may send as this domain or address only ({_NOBODY}: none, {_ANYBODY}: all)",
    )
    parser.add_argument(
        "--operation",
        action="append",
        metavar="NAME",
        help=f"may call this only: ses:Send*, native:*, smtp … ({_NOBODY}, {_ANYBODY})",
    )


class _Refused(Exception):
    """The command ends with a status and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _store(arguments: argparse.Namespace) -> Secrets:
    if arguments.data is not None:
        return file_store(arguments.data)
    prefix: str = arguments.prefix or f"/paravion/{arguments.stack}"
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise _Refused(EX_USAGE, f"{prefix!r}: a prefix begins with a slash and does not end in one")
    return ssm_store(prefix)


def _scope_of(arguments: argparse.Namespace) -> Scope:
    scope = make_scope(_list_of(arguments.identity), _list_of(arguments.operation))
    unknown = unknown_operations(scope.operations or ())
    if unknown:
        raise _Refused(EX_USAGE, f"{unknown[0]}: no operation is called so (docs/credentials.md)")
    return scope


def _list_of(given: list[str] | None) -> list[str] | None:
    words = {_NOBODY, _ANYBODY}.intersection(given or ())
    if given is None or not words:
        return given
    if len(given) > 1:
        raise _Refused(EX_USAGE, f"{min(words)} stands alone")
    return [] if given == [_NOBODY] else None


def _guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turn what can go wrong into a line and an exit status."""

    def guarded(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except _Refused as exc:
            return _fail(str(exc), exc.status)
        except NoCredential as exc:
            return _fail(str(exc), EX_DATAERR)
        except ValueError as exc:
            return _fail(str(exc), EX_USAGE)
        except SecretsUnavailable as exc:
            return _fail(f"the secret store refused: {exc}", EX_UNAVAILABLE)

    return guarded


@_guarded
def _create(arguments: argparse.Namespace) -> int:
    scope = _scope_of(arguments)
    made = create(
        _store(arguments),
        region=arguments.region,
        operator=arguments.operator,
        tenant=arguments.tenant,
        scope=scope,
        now=float(int(time.time())),
    )
    print(f"access key    {made['access_key']}")
    print(f"secret key    {made['secret_key']}")
    print(f"SMTP password {made['smtp_password']}")
    print("The SMTP user is the access key. These are shown only now.", file=sys.stderr)
    return EX_OK


@_guarded
def _list(arguments: argparse.Namespace) -> int:
    for text in lines(_store(arguments)):
        print(text)
    return EX_OK


@_guarded
def _disable(arguments: argparse.Namespace) -> int:
    return _switch(arguments, enabled=False)


@_guarded
def _enable(arguments: argparse.Namespace) -> int:
    return _switch(arguments, enabled=True)


def _switch(arguments: argparse.Namespace, *, enabled: bool) -> int:
    key = arguments.access_key
    print(line(key, change(_store(arguments), key, lambda kept: replace(kept, enabled=enabled))))
    return EX_OK


@_guarded
def _delete(arguments: argparse.Namespace) -> int:
    delete(_store(arguments), arguments.access_key)
    return EX_OK


@_guarded
def _scope(arguments: argparse.Namespace) -> int:
    key, store = arguments.access_key, _store(arguments)
    given: Any = arguments.identity is not None or arguments.operation is not None
    if given and arguments.none:
        raise _Refused(EX_USAGE, "--none goes with no --identity and no --operation")
    scope = ANYTHING if arguments.none else _scope_of(arguments)

    def edited(kept: Credential) -> Credential:
        """A limit that was not spoken of stays: it must not go by being forgotten."""
        identities = scope.identities if arguments.none or arguments.identity else kept.scope.identities
        operations = scope.operations if arguments.none or arguments.operation else kept.scope.operations
        return replace(kept, scope=Scope(identities, operations))

    print(line(key, change(store, key, edited) if given or arguments.none else read(store, key)))
    return EX_OK


def _smtp_password(arguments: argparse.Namespace) -> int:
    from paravion.cli.config import load

    print(smtp_password(load(os.environ).secret_key, arguments.region))
    return EX_OK


def _fail(text: str, status: int) -> int:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    print(f"paravion: {shown}", file=sys.stderr)
    return status
