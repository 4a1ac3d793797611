"""
A certification authority of the suite's own: good, expired, wrong and self-signed certificates, and server contexts.

    root = Authority("root")
    middle = root.authority("middle")
    context = server_context(tmp_path, middle.issue("mx.test"), middle)
"""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
KEYS: dict[bytes, Any] = {}
"""Private keys of what was issued, by the certificate's DER."""


def new_key(kind: str = "ec") -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _build(subject: str, key: Any, issuer: x509.Name, signer: Any, extensions: list[Any], after: timedelta) -> Any:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 20 * DAY)
        .not_valid_after(now + after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = builder.sign(signer, digest)
    KEYS[der(made)] = key
    return made


class Authority:
    """
    One that signs.

    Attributes:
        certificate: Its own.
        above: Certificates from here to below the root.
    """

    def __init__(self, name: str, parent: Authority | None = None, *, ca: bool = True, expired: bool = False) -> None:
        self.key = new_key()
        issuer = parent.certificate.subject if parent else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent.key if parent else self.key
        extensions: list[Any] = [
            (x509.BasicConstraints(ca=ca, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
            (_usage(ca=ca), True),
        ]
        if parent:
            extensions.append((_identifier(parent), False))
        self.certificate = _build(name, self.key, issuer, signer, extensions, -DAY if expired else 10 * DAY)
        self.above: list[Any] = [self.certificate, *parent.above] if parent else []

    def authority(self, name: str, **options: bool) -> Authority:
        """Give one below this one."""
        return Authority(name, self, **options)

    def twin(self) -> Any:
        """Give another self-signed certificate of its own name and key."""
        name = self.certificate.subject
        extensions = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        common = name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return _build(str(common), self.key, name, self.key, extensions, 10 * DAY)

    def issue(self, *names: str, expired: bool = False, kind: str = "ec", common: str = "") -> Any:
        """Issue a server's certificate; without names it has only a common name."""
        key = new_key(kind)
        extensions: list[Any] = [(x509.BasicConstraints(ca=False, path_length=None), True), (_identifier(self), False)]
        if names:
            extensions.append((x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False))
        after = -DAY if expired else 10 * DAY
        return _build(common or (names or ("x",))[0], key, self.certificate.subject, self.key, extensions, after)

    def trusted(self, directory: Path) -> str:
        """Write its certificate to a file of roots, and give the path."""
        path = directory / f"ca-{self.certificate.serial_number}.pem"
        path.write_bytes(pem(self.certificate))
        return str(path)


def self_signed(name: str) -> Any:
    """Give a certificate that nobody vouches for."""
    key = new_key()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return _build(name, key, issuer, key, [(x509.SubjectAlternativeName([x509.DNSName(name)]), False)], 10 * DAY)


def server_context(certificate: Any, *above: Any) -> ssl.SSLContext:
    """Give a server's context; `above` are presented beside its own certificate."""
    key = KEYS[der(certificate)].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + pem(certificate, *above))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _identifier(authority: Authority) -> Any:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _usage(*, ca: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip
