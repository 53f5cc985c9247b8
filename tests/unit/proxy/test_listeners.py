"""Ports that are taken, and what becomes of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from netsim.host.netlink import NetlinkError
from netsim.http.types import Request, Response
from netsim_proxy import doors, listeners
from netsim_proxy.config import ProxyConfig
from netsim_proxy.doors import ServiceHealthServers, keep_health_servers, metrics_handler
from netsim_proxy.health import Answer


async def hello(_request: Request) -> Response:
    return Response(200, [], b"hello")


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def until_answered(port: int) -> bytes:
    async with asyncio.timeout(5):
        while True:
            try:
                return await ask(port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def test_a_taken_address_is_told_once_and_tried_again(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "RETRY_SECONDS", 0.01)
    port, told = taken.getsockname()[1], list[str]()
    serving = listeners.serve_for_ever("healthz", ("127.0.0.1", port), hello, told.append, hard_fail=False)
    task = asyncio.create_task(serving)
    await asyncio.sleep(0.05)
    taken.close()
    assert (await until_answered(port)).endswith(b"hello")
    assert told == [f"healthz cannot listen on 127.0.0.1:{port}: Address already in use"]
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(ConnectionRefusedError):
        await ask(port)


async def test_a_hard_failure_ends_the_proxy(taken: socket.socket) -> None:
    port, told = taken.getsockname()[1], list[str]()
    with pytest.raises(listeners.CannotListen, match="metrics cannot listen on"):
        await listeners.serve_for_ever("metrics", ("127.0.0.1", port), hello, told.append, hard_fail=True)
    assert len(told) == 1


async def test_health_checks_open_and_close_and_the_taken_one_is_tried_with_each_update(taken: socket.socket) -> None:
    def answer(key: str, local: int) -> Answer:
        return 200, [], f"{key} {local}".encode()

    failed: list[tuple[str, int, str]] = []
    port = taken.getsockname()[1]
    servers = ServiceHealthServers(answer, lambda *what: failed.append(what))
    for _ in range(3):
        await servers.update({"ns/a": (port, 1)}, ["127.0.0.1"])
    assert failed == [("ns/a", port, "Address already in use")]
    taken.close()
    await servers.update({"ns/a": (port, 1)}, ["127.0.0.1"])
    assert (await ask(port)).endswith(b"ns/a 1")
    await servers.update({"ns/a": (port, 2)}, ["127.0.0.1"])
    assert (await ask(port)).endswith(b"ns/a 2")
    await servers.update({}, ["127.0.0.1"])
    with pytest.raises(ConnectionRefusedError):
        await ask(port)
    await servers.close()


async def test_addresses_that_cannot_be_read_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "RETRY_SECONDS", 0.01)
    failures = [NetlinkError(105, "RTM_GETADDR"), NetlinkError(4, "RTM_GETADDR")]

    async def addresses() -> Sequence[str]:
        if failures:
            raise failures.pop()
        return ["127.0.0.1"]

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    changed = asyncio.Event()
    changed.set()
    telemetry: Any = SimpleNamespace(health_changed=changed, health_checks={"ns/a": (port, 1)})
    servers = ServiceHealthServers(lambda key, local: (200, [], f"{key} {local}".encode()), lambda *what: None)
    task = asyncio.ensure_future(keep_health_servers(telemetry, servers, addresses))
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await ask(port)).endswith(b"ns/a 1")
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert not failures


async def test_indicators_count_how_often_health_was_asked_for() -> None:
    async def render() -> str:
        return ""

    handler = metrics_handler(ProxyConfig("node1"), render)
    assert (await handler(Request("GET", "/metrics/slis"))).body == b""
    for _ in range(2):
        await handler(Request("GET", "/healthz"))
    lines = (await handler(Request("GET", "/metrics/slis"))).body.decode().splitlines()
    assert 'kubernetes_healthcheck{name="ping",type="healthz"} 1' in lines
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 2' in lines
