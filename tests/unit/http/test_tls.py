from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from netsim.http.types import ByteStream, Request, Response
from support.authority import Authority, client_context, server_context


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
