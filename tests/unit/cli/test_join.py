"""Whether a node may go on with the credentials of an earlier join."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from netsim.cli import join
from netsim.client.kubeconfig import render_kubeconfig
from netsim.server.pki import Pki, ensure_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"), ("127.0.0.1",))


@pytest.fixture(scope="module")
def url(pki: Pki) -> Iterator[str]:
    """A TLS server with the cluster's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server_certificate, pki.server_key)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    async def serve() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)  # the last connections' close

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    yield f"https://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(5)
    loop.close()


def kubeconfig(directory: Path, pki: Pki, url: str) -> str:
    pair = pki.issue_client("system:node:n", ("system:nodes",))
    identity = {"certificate_pem": pair.certificate.decode(), "key_pem": pair.key.decode()}
    path = directory / "kubelet.conf"
    path.write_text(render_kubeconfig(url, pki.ca_pem.decode(), **identity))
    return str(path)


def test_they_are_good_for_the_cluster_that_gave_them(tmp_path: Path, pki: Pki, url: str):
    assert join.credentials_trouble(kubeconfig(tmp_path, pki, url), url) == ""


def test_they_are_good_while_the_server_is_away(tmp_path: Path, pki: Pki):
    assert join.credentials_trouble(kubeconfig(tmp_path, pki, "https://127.0.0.1:9"), "https://127.0.0.1:9") == ""


def test_another_cluster_at_the_same_address_is_noticed(tmp_path: Path, url: str):
    other = ensure_pki(tmp_path / "other", ("127.0.0.1",))
    trouble = join.credentials_trouble(kubeconfig(tmp_path, other, url), url)
    assert trouble.startswith(f"{url} does not show a certificate of the cluster that this node joined")


def test_another_server_is_noticed(tmp_path: Path, pki: Pki, url: str):
    path = kubeconfig(tmp_path, pki, url)
    assert join.credentials_trouble(path, "https://192.0.2.1:6443") == f"{path} is for {url}"


def test_a_damaged_file_is_noticed(tmp_path: Path):
    (tmp_path / "kubelet.conf").write_text("half a fi")
    assert "is not a node's kubeconfig" in join.credentials_trouble(str(tmp_path / "kubelet.conf"), "https://x:1")


def test_a_certificate_near_its_end_is_noticed(tmp_path: Path, pki: Pki, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(join, "_MARGIN", timedelta(days=400))
    assert "is at its end" in join.credentials_trouble(kubeconfig(tmp_path, pki, url), url)


@pytest.mark.parametrize(("address", "fits"), [("192.0.2.7", True), ("192.0.2.8", False)])
def test_a_serving_certificate_must_name_the_address(tmp_path: Path, pki: Pki, address: str, fits: bool):
    file = tmp_path / "kubelet.crt"
    file.write_bytes(pki.issue_server("system:node:n", ("n", "192.0.2.7"), ("system:nodes",)).certificate)
    assert join._serves(str(file), address) is fits
    assert not join._serves(str(tmp_path / "missing.crt"), address)
