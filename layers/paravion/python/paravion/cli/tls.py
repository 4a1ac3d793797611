"""
TLS for one connection by the interpreter's own parts: `import ssl` and the whole bundle of authorities, which
`ssl.create_default_context` reads, take three times as long as all else that a call does.

The context is that of ssl's PROTOCOL_TLS_CLIENT, which verifies certificate and name by itself. Authorities are looked
up in the system's directory by their hash; only where that does not verify, the bundle is read, as ssl does it. Where
those parts are not to be had or not as they are known here, ssl does all of it.

RFC: 8446, 6125.
"""

from __future__ import annotations

import os
import sys

_KNOWN = ((3, 11), (3, 12), (3, 13))
"""Interpreters whose parts were tried; any other takes ssl, whose API is a promise."""

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any


class Connection:
    """What client.py needs of a socket."""

    def __init__(self, plain: Any, session: Any, ends: tuple[type[Exception], ...]) -> None:
        self._plain = plain  # which the session does not keep alive
        self._session = session
        self._ends = ends

    def sendall(self, octets: bytes | bytearray) -> None:
        """Send all of it. Raises OSError."""
        view = memoryview(octets)
        while view:
            view = view[self._session.write(view[: 1 << 20]) :]

    def recv(self, most: int) -> bytes:
        """Give what is there, b"" at the end, also at one without a farewell: HTTP has its own. Raises OSError."""
        try:
            octets: bytes = self._session.read(most)
        except self._ends:
            return b""
        return octets

    def close(self) -> None:
        """Close it, without a farewell: the answer is there."""
        self._plain.close()


def secure(connect: Callable[[], Any], host: str, timeout_s: float) -> Connection | socket.socket:
    """
    Connect and verify.

    Args:
        connect: Gives a connected socket; called again where the first look did not find the authority.
        host: Whose certificate it must be: a name or an address.
        timeout_s: Of each step.

    Raises:
        OSError: No connection, or it is not that host.
    """
    try:
        import _ssl
    except ImportError:
        return _by_ssl(connect(), host, timeout_s)
    folder = _hashed_folder(_ssl)
    if folder:
        context = _context(_ssl)
        if context is not None:
            context.load_verify_locations(None, folder, None)
            try:
                return _wrapped(_ssl, context, connect(), host, timeout_s)
            except _ssl.SSLCertVerificationError:
                pass  # It may stand in the bundle alone.
    context = _context(_ssl)
    if context is None:
        return _by_ssl(connect(), host, timeout_s)
    context.set_default_verify_paths()
    return _wrapped(_ssl, context, connect(), host, timeout_s)


def _context(_ssl: Any) -> Any:
    """Give a context without authorities that verifies all; None if it is not what it is known to be."""
    if sys.version_info[:2] not in _KNOWN:
        return None
    try:
        context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)  # noqa: SLF001 (the module's docstring)
        if sys.version_info >= (3, 13):  # as ssl.create_default_context
            context.verify_flags |= _ssl.VERIFY_X509_PARTIAL_CHAIN | _ssl.VERIFY_X509_STRICT
        verifies = context.check_hostname is True and context.verify_mode == _ssl.CERT_REQUIRED
    except (AttributeError, TypeError):
        return None
    return context if verifies else None


def _hashed_folder(_ssl: Any) -> str:
    """Give the directory of authorities by their hash, "" if there is none or the caller has named other ones."""
    try:
        file_variable, _, folder_variable, folder = _ssl.get_default_verify_paths()
        if os.environ.get(file_variable) or os.environ.get(folder_variable):
            return ""
        return folder if any(name.endswith(".0") for name in os.listdir(folder)) else ""  # noqa: PTH208
    except (AttributeError, ValueError, OSError):
        return ""


def _wrapped(_ssl: Any, context: Any, plain: Any, host: str, timeout_s: float) -> Connection:
    import _socket

    class Plain(_socket.socket):
        __slots__ = ("__weakref__",)  # by which the session holds it

    kept = Plain(fileno=plain.detach())
    try:
        kept.settimeout(timeout_s)
        session = context._wrap_socket(kept, server_side=False, server_hostname=host)  # noqa: SLF001
        session.do_handshake()
    except BaseException:
        kept.close()
        raise
    return Connection(kept, session, (_ssl.SSLZeroReturnError, _ssl.SSLEOFError))


def _by_ssl(plain: Any, host: str, timeout_s: float) -> socket.socket:
    import socket
    import ssl

    whole = socket.socket(fileno=plain.detach())
    whole.settimeout(timeout_s)
    return ssl.create_default_context().wrap_socket(whole, server_hostname=host)
