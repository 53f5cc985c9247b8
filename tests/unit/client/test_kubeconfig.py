from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from netsim.api.kinds import NODES
from netsim.client.kubeconfig import KubeconfigError, in_cluster_client, load_client, render_kubeconfig
from netsim.client.transport import BearerTransport
from netsim.http.server import serve
from netsim.http.types import Request, Response


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def handler(request: Request) -> Response:
        return Response(200, [], b'{"metadata":{"name":"%s"}}' % request.header("authorization").encode())

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await serve(handler, sock)
    yield server.port
    await server.close()


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


async def identity(path: str, context: str = "") -> str:
    client = load_client(path, context)
    try:
        name: str = (await client.get(NODES, "x"))["metadata"]["name"]
        return name
    finally:
        await client.close()


async def test_rendered_kubeconfig_can_be_loaded(tmp_path: Path, port: int) -> None:
    text = render_kubeconfig(f"http://127.0.0.1:{port}", "", token="secret", name="lab")
    assert await identity(write(tmp_path / "k", text)) == "Bearer secret"


async def test_the_server_may_be_given_beside_the_file(tmp_path: Path, port: int) -> None:
    path = write(tmp_path / "k", render_kubeconfig("http://192.0.2.1:1", "", token="secret", name="lab"))
    client = load_client(path, server=f"http://127.0.0.1:{port}")
    assert (await client.get(NODES, "x"))["metadata"]["name"] == "Bearer secret"
    await client.close()


async def test_context_is_chosen_by_name(tmp_path: Path, port: int) -> None:
    one, two = (yaml.safe_load(render_kubeconfig(f"http://127.0.0.1:{port}", "", token=t, name=t)) for t in "ab")
    for section in ("clusters", "users", "contexts"):
        one[section] += two[section]
    path = write(tmp_path / "k", yaml.safe_dump(one))
    assert (await identity(path), await identity(path, "b")) == ("Bearer a", "Bearer b")
    with pytest.raises(KubeconfigError, match=r"no context 'c' \(there are: a, b\)"):
        load_client(path, "c")


async def test_token_file_beside_the_kubeconfig_is_read_again(tmp_path: Path, port: int) -> None:
    document = yaml.safe_load(render_kubeconfig(f"http://127.0.0.1:{port}", ""))
    document["users"][0]["user"] = {"tokenFile": "token"}
    (tmp_path / "token").write_text("first\n")
    client = load_client(write(tmp_path / "k", yaml.safe_dump(document)))
    transport = client.transport
    assert isinstance(transport, BearerTransport)
    assert (await client.get(NODES, "x"))["metadata"]["name"] == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    transport._read_at = -1e9
    assert (await client.get(NODES, "x"))["metadata"]["name"] == "Bearer second"
    await client.close()


def broken(**changes: dict[str, str]) -> str:
    document = yaml.safe_load(render_kubeconfig("https://127.0.0.1:1", ""))
    for section, fields in changes.items():
        document[f"{section}s"][0][section].update(fields)
    return yaml.safe_dump(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "is not a kubeconfig"),
        ("a: 1", "current-context is not set"),
        (broken(cluster={"server": "x"}), "server: 'x': a server address is"),
        (broken(cluster={"certificate-authority-data": "%%"}), "certificate-authority-data: is not base64"),
        (
            broken(cluster={"certificate-authority-data": base64.b64encode(b"junk").decode()}),
            "is not a PEM certificate",
        ),
        (broken(cluster={"certificate-authority": "nowhere.crt"}), "certificate-authority: cannot be read"),
        (broken(user={"exec": "x"}), "exec: is not supported"),
        (
            broken(user={"client-certificate-data": base64.b64encode(b"junk").decode()}),
            "client-certificate: does not fit its key",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(KubeconfigError, match=message):
        load_client(write(tmp_path / "k", text))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="cannot be read"):
        load_client(str(tmp_path / "none"))


def test_client_key_is_loaded_without_touching_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    seen: list[tuple[str, bytes]] = []

    def load(self: ssl.SSLContext, path: str) -> None:
        seen.append((path, Path(path).read_bytes()))

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    text = render_kubeconfig("https://127.0.0.1:1", "", certificate_pem="CERT", key_pem=key.decode())
    load_client(write(tmp_path / "k", text))
    ((path, content),) = seen
    assert path.startswith("/proc/self/fd/")
    assert content == b"CERT\n" + key


def test_in_cluster_needs_a_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigError, match="does not run in a pod"):
        in_cluster_client()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    with pytest.raises(KubeconfigError, match="no ServiceAccount token"):
        in_cluster_client(str(tmp_path))
