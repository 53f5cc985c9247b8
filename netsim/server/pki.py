"""The lab's certificate authority, the server's certificate, client certificates and the ServiceAccount key.

Everything is EC P-256. Files live in one directory, keys with mode 0600, each written to a temporary name
and renamed, and are used again when they are there and still fit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS_CA = 10
DAYS_LEAF = 365
BACKDATE = timedelta(minutes=5)

SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "localhost",
    "127.0.0.1",
)

PrivateKey = ec.EllipticCurvePrivateKey


def _pem_key(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem_cert(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def _load_key(path: Path) -> PrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: not an EC key; remove the file to have a new one made")
    return key


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, whole or not at all (temporary name, fsync, rename)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org) for org in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    def one(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    return x509.SubjectAlternativeName([one(name) for name in dict.fromkeys(names)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Pki:
    """What `ensure_pki` found or made. `directory` holds ca.crt, ca.key, server.crt, server.key, sa.key."""

    directory: Path
    ca_certificate: x509.Certificate
    ca_key: PrivateKey
    service_account_key: PrivateKey

    @property
    def ca_pem(self) -> bytes:
        return _pem_cert(self.ca_certificate)

    @property
    def server_certificate(self) -> Path:
        return self.directory / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.directory / "server.key"

    def issue_client(self, common_name: str, organizations: Sequence[str] = ()) -> KeyPair:
        """A fresh client certificate for CN and O, valid for a year."""
        return self._issue(common_name, organizations, (), (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def issue_server(self, common_name: str, names: Sequence[str], organizations: Sequence[str] = ()) -> KeyPair:
        """A fresh server certificate with the given DNS names and addresses as SANs."""
        return self._issue(common_name, organizations, names, (ExtendedKeyUsageOID.SERVER_AUTH,))

    def client_files(self, name: str, common_name: str, organizations: Sequence[str] = ()) -> tuple[Path, Path]:
        """Certificate and key files of a client, `NAME.crt` and `NAME.key`; made unless present and still fitting."""
        cert_path, key_path = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        if not self._fits(cert_path, key_path, _subject(common_name, organizations), ()):
            _write_pair(cert_path, key_path, self.issue_client(common_name, organizations))
        return cert_path, key_path

    def sign_request(
        self, request_pem: bytes, *, server: bool, client: bool, lifetime: timedelta | None = None
    ) -> bytes:
        """Sign a PEM certificate request with its own subject and SANs; returns the certificate in PEM."""
        request = x509.load_pem_x509_csr(request_pem)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = self._builder(request.subject, lifetime or timedelta(days=DAYS_LEAF)).public_key(request.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=False)
        return _pem_cert(builder.sign(self.ca_key, hashes.SHA256()))

    def _issue(
        self,
        common_name: str,
        organizations: Sequence[str],
        names: Sequence[str],
        usages: Sequence[x509.ObjectIdentifier],
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_subject(common_name, organizations), timedelta(days=DAYS_LEAF))
        builder = builder.public_key(key.public_key()).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(_alternative_names(names), critical=False)
        return KeyPair(_pem_cert(builder.sign(self.ca_key, hashes.SHA256())), _pem_key(key))

    def _builder(self, subject: x509.Name, lifetime: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.ca_certificate.subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + lifetime, self.ca_certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(authority, critical=False)
        )

    def _fits(self, cert_path: Path, key_path: Path, subject: x509.Name, names: Sequence[str]) -> bool:
        if not (cert_path.exists() and key_path.exists()):
            return False
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        if cert.issuer != self.ca_certificate.subject or cert.subject != subject:
            return False
        if cert.not_valid_after_utc < datetime.now(UTC) + timedelta(days=DAYS_LEAF // 4):
            return False
        return not names or set(_alternative_names(names)) <= _names_of(cert)


def _names_of(cert: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def _write_pair(cert_path: Path, key_path: Path, pair: KeyPair) -> None:
    write_private(key_path, pair.key)
    write_private(cert_path, pair.certificate)


def _make_ca(name: str) -> tuple[x509.Certificate, PrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = _subject(name, ())
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=365 * YEARS_CA))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert, key


def _ensure_ca(directory: Path) -> tuple[x509.Certificate, PrivateKey]:
    cert_path, key_path = directory / "ca.crt", directory / "ca.key"
    if cert_path.exists() and key_path.exists():
        return x509.load_pem_x509_certificate(cert_path.read_bytes()), _load_key(key_path)
    cert, key = _make_ca("kubernetes")
    _write_pair(cert_path, key_path, KeyPair(_pem_cert(cert), _pem_key(key)))
    return cert, key


def _ensure_signing_key(directory: Path) -> PrivateKey:
    path = directory / "sa.key"
    if path.exists():
        return _load_key(path)
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, _pem_key(key))
    return key


def ensure_pki(directory: Path | str, addresses: Iterable[str] = (), *, domain: str = "cluster.local") -> Pki:
    """Make, or take up again, the lab's keys and certificates in `directory`.

    `addresses` (IP addresses or DNS names) become SANs of the server's certificate besides the standard ones;
    a server certificate that lacks one of them, or is near its end, is made anew. Blocking (disk, a few ms of CPU).
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key = _ensure_ca(directory)
    pki = Pki(directory, certificate, key, _ensure_signing_key(directory))
    names = [*SERVER_NAMES, f"kubernetes.default.svc.{domain}", *addresses]
    subject = _subject("kube-apiserver", ())
    if not pki._fits(pki.server_certificate, pki.server_key, subject, names):
        _write_pair(pki.server_certificate, pki.server_key, pki.issue_server("kube-apiserver", names))
    return pki
