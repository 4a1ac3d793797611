"""A certificate authority of the tests' own, and servers' certificates by it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _certificate(name: str, key: Any, issuer: str, signer: Any, *, ca: bool, days: int) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        try:
            san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            san = x509.DNSName(name)
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@cache
def _authority() -> tuple[Any, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate("Test CA", key, "Test CA", key, ca=True, days=10)


def ca_pem() -> bytes:
    """The authority's certificate."""
    return _authority()[1].public_bytes(serialization.Encoding.PEM)


def client_context() -> ssl.SSLContext:
    """Trusts the tests' authority and nobody else."""
    return ssl.create_default_context(cadata=ca_pem().decode())


def server_context(folder: Path, name: str = "127.0.0.1", *, days: int = 5, trusted: bool = True) -> ssl.SSLContext:
    """
    Give a server's context with a certificate for `name`.

    Args:
        days: Until it expires; negative: it has.
        trusted: By the tests' authority; else by itself.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signer = _authority()[0] if trusted else key
    certificate = _certificate(name, key, "Test CA" if trusted else name, signer, ca=False, days=days)
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context
