"""The workload host in this process: what a container that is told to finish still does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netsim.agent.runtime.workload_spec import WorkloadSpec
from netsim.agent.runtime.workloads import WorkloadHost

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def host(tmp_path: Path, port: int) -> AsyncIterator[WorkloadHost]:
    found = WorkloadHost()
    log = str(tmp_path / "pod" / "logs" / "c" / "0.log")
    (tmp_path / "pod").mkdir()
    await found.start(
        WorkloadSpec("c1", "http", "", "web", "shop", "node-1", "c", "nginx", log, ((port, "TCP"),), ("127.0.0.1",))
    )
    yield found
    found.stop("c1")
    await asyncio.sleep(0)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return head


async def test_a_draining_container_answers_and_ends_each_connection(host: WorkloadHost, port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b"Connection: keep-alive" in await ask(reader, writer)
    assert host.drain("c1") == {"draining": True}
    assert b"Connection: close" in await ask(reader, writer)
    assert await reader.read() == b""
    writer.close()
    later, other = await asyncio.open_connection("127.0.0.1", port)
    assert b"200 OK" in await ask(later, other)
    other.close()


async def test_a_stopped_container_ends_idle_connections_and_listens_no_more(host: WorkloadHost, port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await ask(reader, writer)
    assert host.stop("c1") == {"stopped": True}
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    assert host.drain("c1") == {"draining": False}
