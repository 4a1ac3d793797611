"""
A self-signed certificate for a front door that was given none: for local mode and for trying out.

Clients can't verify it. Its key touches no disk where the system has files in memory, and lies elsewhere in a temporary
directory of mode 0700 only for as long as it takes to load it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIFETIME = dt.timedelta(days=365)


def make_context(certfile: str | None, keyfile: str | None, hostname: str, pem: str | None = None) -> ssl.SSLContext:
    """
    Give the server's TLS context: TLS 1.2 and above.

    Args:
        certfile: PEM chain; None: a self-signed certificate is made.
        keyfile: PEM key; None: it is in certfile.
        hostname: For the self-signed certificate.
        pem: Chain and key as text, instead of the files.

    Raises:
        OSError: A file can't be read, or is no certificate; it is named.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pem is None and certfile is not None:
        _load(context, certfile, keyfile, " and ".join(filter(None, (certfile, keyfile))))
        return context
    with _as_file(pem.encode() if pem is not None else make_self_signed(hostname)) as path:
        _load(context, path, None, "PARAVION_TLS_PEM")
    return context


def _load(context: ssl.SSLContext, certfile: str, keyfile: str | None, name: str) -> None:
    try:
        context.load_cert_chain(certfile, keyfile)
    except ssl.SSLError as exc:  # OpenSSL tells where in itself it was, not what it read
        raise OSError(f"{name}: no certificate with its key in PEM ({exc.reason or exc.strerror})") from exc
    except OSError as exc:
        raise OSError(f"{name}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """OpenSSL reads files only: one in memory, where the system has that, else in a directory of mode 0700."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory(prefix="paravion-") as directory:  # mkdtemp: 0700
        path = Path(directory) / "self-signed.pem"
        path.write_bytes(pem)
        yield str(path)


def make_self_signed(hostname: str) -> bytes:
    """
    Make a P-256 key and a certificate for a host name and for loopback.

    Args:
        hostname: At most 64 characters for the common name (RFC 5280 A.1); longer ones only in the SAN.

    Returns:
        PEM: the key, then the certificate.
    """
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname[:64])])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(hostname), x509.DNSName("localhost")]
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
