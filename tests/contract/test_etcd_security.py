"""etcd with TLS that asks for certificates, and with users."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netsim.http.client import HttpClient
from netsim.http.types import Request
from netsim.server.pki import Pki, ensure_pki, write_private
from netsim.store.etcd import EtcdStore
from netsim.store.etcd_config import EtcdConfig
from netsim.store.types import Unavailable
from support.etcds import Etcd


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Etcd, Path]]:
    """An etcd with TLS, and the directory of its CA and of a client's certificate."""
    pki = ensure_pki(tmp_path / "pki", ("127.0.0.1",))
    pair = pki.issue_client("etcd-client")
    write_private(tmp_path / "pki/client.crt", pair.certificate)
    write_private(tmp_path / "pki/client.key", pair.key)
    certificate, key = both_usages(pki)
    write_private(tmp_path / "pki/etcd.crt", certificate)
    write_private(tmp_path / "pki/etcd.key", key)
    files = {"cert-file": "etcd.crt", "key-file": "etcd.key", "trusted-ca-file": "ca.crt"}
    options = [f"--{name}={tmp_path}/pki/{file}" for name, file in files.items()]
    etcd = Etcd(tmp_path, ["--unsafe-no-fsync", "--client-cert-auth", *options], "https")
    try:
        etcd.start()
        yield etcd, tmp_path / "pki"
    finally:
        etcd.stop()


def both_usages(pki: Pki) -> tuple[bytes, bytes]:
    """etcd's own certificate: its gateway shows it to its own server, so it must be good for clients, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")]))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = request.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pki.sign_request(pem, server=True, client=True), private


async def test_tls(secured: tuple[Etcd, Path]) -> None:
    etcd, pki = secured
    files = [str(pki / name) for name in ("ca.crt", "client.crt", "client.key")]
    store = await EtcdStore.open(EtcdConfig((etcd.url,), "", *files), patience=5)
    assert (await store.create("/registry/x", b"1")).revision == store.revision
    await store.close()
    with pytest.raises(Unavailable, match="does not answer"):
        await EtcdStore.open(EtcdConfig((etcd.url,), "", files[0]), patience=0)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await EtcdStore.open(EtcdConfig((etcd.url,)), patience=0)


async def call(client: HttpClient, path: str, **body: object) -> None:
    response = await client(Request("POST", f"/v3/auth/{path}", body=orjson.dumps(body)))
    assert response.status == 200, response.body


async def test_user_and_password(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path, ["--unsafe-no-fsync"])
    try:
        etcd.start()
        client = HttpClient(etcd.url)
        for name in ("root", "netsim"):
            await call(client, "user/add", name=name, password="geheim")
            await call(client, "role/add", name=name)
            await call(client, "user/grant", user=name, role=name)
        await call(
            client, "role/grant", name="netsim",
            perm={"permType": "READWRITE", "key": "L3JlZ2lzdHJ5Lw==", "range_end": "L3JlZ2lzdHJ5MA=="},
        )  # fmt: skip
        await call(client, "enable")
        await client.close()
        config = EtcdConfig((etcd.url,), user="netsim", password="geheim")
        store = await EtcdStore.open(config)
        made = await store.create("/registry/x", b"1")
        etcd.stop()  # which forgets the tokens it gave out
        await asyncio.to_thread(etcd.start)
        assert (await store.update(made.key, b"2", made.revision)).revision == store.revision
        await store.sync()
        await store.close()
        with pytest.raises(Unavailable, match="authentication failed"):
            await EtcdStore.open(EtcdConfig((etcd.url,), user="netsim", password="wrong"), patience=0)
        with pytest.raises(Unavailable, match="user name is empty"):
            await EtcdStore.open(EtcdConfig((etcd.url,)), patience=0)
    finally:
        etcd.stop()
