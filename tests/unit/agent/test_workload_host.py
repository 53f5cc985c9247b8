"""The workload host in this process: what a container that is told to finish still does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from netsim.agent.runtime.workload_client import WorkloadClient
from netsim.agent.runtime.workload_server import serve_control
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
    host.drain(host.running["c1"])
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


async def test_a_container_that_nobody_asks_is_finished_after_the_quiet_time(host: WorkloadHost):
    begun = time.monotonic()
    assert await host.finish("c1", 0.02, 30) == {"stopped": True}
    assert 0.02 <= time.monotonic() - begun < 30
    assert await host.finish("c1", 30, 30) == {"stopped": False}


async def test_a_container_is_not_finished_while_it_is_asked(host: WorkloadHost, port: int):
    finishing = asyncio.create_task(host.finish("c1", 5, 60))
    while not host.running["c1"].draining:
        await asyncio.sleep(0)
    begun = time.perf_counter_ns()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b"Connection: close" in await ask(reader, writer)
    writer.close()
    assert host.running["c1"].meter.used_ns > begun, "the quiet time begins anew with each request"
    assert not finishing.done()
    finishing.cancel()


async def test_a_container_that_is_always_asked_is_finished_all_the_same(host: WorkloadHost, port: int):
    finishing = asyncio.create_task(host.finish("c1", 5, 0.1))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await ask(reader, writer)
    writer.close()
    assert await finishing == {"stopped": True}


async def test_a_container_that_finishes_holds_up_no_other_request(tmp_path: Path, host: WorkloadHost):
    def no_list(_: list[dict[str, object]]) -> None:
        connected.set()

    connected = asyncio.Event()
    path = str(tmp_path / "socket")
    server = await asyncio.start_unix_server(partial(serve_control, host), path)
    client = WorkloadClient(path, no_list)
    running = asyncio.create_task(client.run())
    await connected.wait()
    finishing = asyncio.create_task(client.finish("c1", 60, 60))
    assert (await client.stats())["containers"].keys() == {"c1"}
    await client.stop("c1")
    assert not finishing.done()
    for task in (finishing, running):
        task.cancel()
    server.close()
