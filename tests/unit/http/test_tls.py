from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netsim.http.types import ByteStream, Request, Response


class Authority:
    """A throw-away CA."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        self.pem = self._sign(self._name, self._key, ca=True)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool = False) -> str:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, common_name: str, *organizations: str) -> str:
        """Path of a PEM file with a certificate and its key."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.directory / f"{common_name}.pem"
        path.write_text(self._sign(x509.Name(attributes), key) + secret.decode())
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.pem)
    return context


def client_context(authority: Authority, certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem)
    if certificate:
        context.load_cert_chain(certificate)
    return context


async def who(request: Request) -> Response:
    peer = request.peer
    name = f"{peer.common_name} {peer.organizations}"
    return Response(200, [], f"{peer.address} {name} {peer.trusted} {peer.fingerprint}".encode())


async def test_peer_comes_from_the_client_certificate(doors: Any, authority: Authority) -> None:
    server = await doors.serve(who, ssl=server_context(authority))
    certificate = authority.issue("kubernetes-admin", "system:masters", "dev")
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=client_context(authority, certificate))
    response = await client(Request("GET", "/"))
    shown = x509.load_pem_x509_certificate(Path(certificate).read_bytes()).fingerprint(hashes.SHA256()).hex()
    assert response.body == f"127.0.0.1 kubernetes-admin ('system:masters', 'dev') False {shown}".encode()


async def test_without_a_certificate_the_peer_has_no_name(doors: Any, authority: Authority) -> None:
    server = await doors.serve(who, ssl=server_context(authority))
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=client_context(authority))
    assert (await client(Request("GET", "/"))).body == b"127.0.0.1 None () False "


async def test_unknown_server_is_refused(doors: Any, authority: Authority) -> None:
    server = await doors.serve(who, ssl=server_context(authority))
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        await client(Request("GET", "/"))


async def test_upgrade_over_tls(doors: Any, authority: Authority) -> None:
    async def echo(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data)

    async def handler(request: Request) -> Response:
        return Response(101, [("Upgrade", "SPDY/3.1")], upgrade=echo)

    server = await doors.serve(handler, ssl=server_context(authority))
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=client_context(authority))
    request = Request("POST", "/", headers=[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])
    response = await client.upgrade(request)
    assert response.status == 101
    assert response.stream is not None
    big = bytes(range(256)) * 8000

    async def read_all(size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await response.stream.read()
        return data

    async with asyncio.timeout(10):
        reader = asyncio.ensure_future(read_all(len(big)))
        await response.stream.write(big)
        assert await reader == big
        await response.stream.close()
