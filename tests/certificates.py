"""Certificates that are good for nothing but a test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LONG = timedelta(days=36_500)


class Authority:
    """Vouches for servers. `file`: what a client trusts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), 1, BEGIN, BEGIN + LONG)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def certificate(self, name: str, lasts: timedelta = LONG) -> Path:
        """For a server of that name, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _kept(
            self._folder / f"{name}.pem",
            key,
            _certificate(name, lasts, key, self._name).sign(self._key, hashes.SHA256()),
        )


def self_signed(folder: Path) -> Path:
    """A certificate for localhost that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    return _kept(
        folder / "self-signed.pem", key, _certificate("localhost", LONG, key, issuer).sign(key, hashes.SHA256())
    )


def _certificate(
    name: str, lasts: timedelta, key: ec.EllipticCurvePrivateKey, issuer: x509.Name
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), BEGIN, BEGIN + lasts
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)


def _kept(file: Path, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> Path:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return file
