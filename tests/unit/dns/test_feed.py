"""Served from an API: before the first sync, while objects come and go, when the API is lost."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from netsim.api.kinds import NAMESPACES, SERVICES
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer, Request, Response
from netsim_dns import process as process_module
from netsim_dns.config import DnsConfig
from netsim_dns.feed import WATCHED, Feed
from netsim_dns.index import Index
from netsim_dns.main import load_settings
from netsim_dns.origins import ApiOrigin
from netsim_dns.process import Process
from netsim_dns.responder import Responder
from netsim_dns.run import run_dns
from netsim_dns.server import DnsServer
from netsim_dns.settings import Settings
from netsim_dns.telemetry.metrics import Metrics

Obj = dict[str, Any]


class FakeApi:
    """Lists and watches of three kinds; `closed` paths answer 503 as if not ready."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[str, dict[str, Obj]] = {kind.path(): {} for kind in WATCHED}
        self.watchers: dict[str, list[asyncio.Queue[bytes]]] = {kind.path(): [] for kind in WATCHED}
        self.closed: set[str] = set()

    async def __call__(self, request: Request) -> Response:
        if request.path in self.closed:
            return Response(503, [], b"starting")
        if request.param("watch"):
            return Response(200, [], self._watch(request.path))
        items = list(self.objects[request.path].values())
        page = {"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(200, [], json.dumps(page).encode())

    async def _watch(self, path: str) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers[path].append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.watchers[path].remove(queue)

    def emit(self, path: str, event: str, obj: Obj) -> None:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        key = obj["metadata"].get("namespace", "") + "/" + obj["metadata"]["name"]
        if event == "DELETED":
            del self.objects[path][key]
        else:
            self.objects[path][key] = obj
        for queue in self.watchers[path]:
            queue.put_nowait(json.dumps({"type": event, "object": obj}).encode() + b"\n")


def namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name}}


def service(name: str, ip: str) -> Obj:
    meta = {"name": name, "namespace": "default", "uid": name}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIPs": [ip]}}


@pytest.fixture
def api() -> FakeApi:
    fake = FakeApi()
    fake.emit(NAMESPACES.path(), "ADDED", namespace("default"))
    fake.emit(SERVICES.path(), "ADDED", service("web", "10.96.0.20"))
    return fake


def client_of(api: Callable[[Request], Awaitable[Response]]) -> Client:
    return Client(InProcessTransport(api, Peer(trusted=True)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def ask(responder: Responder, name: str) -> tuple[str, list[str], bool]:
    """rcode, addresses, authoritative"""
    data = responder.udp(dns.message.make_query(f"{name}.default.svc.cluster.local.", "A").to_wire())
    assert data is not None
    reply = dns.message.from_wire(data)
    return dns.rcode.to_text(reply.rcode()), [str(r) for s in reply.answer for r in s], bool(data[2] & 4)


async def test_unknown_is_not_absent_until_all_is_synced(api: FakeApi) -> None:
    slices = next(k for k in WATCHED if k.kind == "EndpointSlice").path()
    api.closed.add(slices)
    index = Index()
    feed, responder = Feed(client_of(api), index), Responder(index, DnsConfig())
    await feed.start()
    try:
        assert not await feed.wait_synced(0.05)
        await until(lambda: ask(responder, "web")[0] == "NOERROR")
        assert ask(responder, "nosuch") == ("SERVFAIL", [], True)
        api.closed.clear()
        await until(lambda: index.synced)
        assert ask(responder, "nosuch") == ("NXDOMAIN", [], True)
    finally:
        await feed.close()


async def test_changes_are_answered_as_they_come(api: FakeApi) -> None:
    index = Index()
    feed, responder = Feed(client_of(api), index), Responder(index, DnsConfig())
    await feed.start()
    try:
        assert await feed.wait_synced(5)
        await until(lambda: all(api.watchers.values()))
        for number in range(100):
            name, ip = f"s{number}", f"10.96.7.{number}"
            assert ask(responder, name)[0] == "NXDOMAIN"
            api.emit(SERVICES.path(), "ADDED", service(name, ip))
            await until(lambda name=name, ip=ip: ask(responder, name)[1] == [ip])
            api.emit(SERVICES.path(), "DELETED", service(name, ip))
            await until(lambda name=name: ask(responder, name)[0] == "NXDOMAIN")
    finally:
        await feed.close()


async def test_no_answer_was_never_true(api: FakeApi) -> None:
    """A Service that moves between two addresses, and away and back, is never seen with both or a third."""
    index = Index()
    feed, responder = Feed(client_of(api), index), Responder(index, DnsConfig())
    await feed.start()
    try:
        assert await feed.wait_synced(5)
        await until(lambda: all(api.watchers.values()))
        seen = set()
        for number in range(300):
            event = "DELETED" if number % 3 == 2 else "MODIFIED"
            api.emit(SERVICES.path(), event, service("web", f"10.96.0.{20 + number % 3}"))
            for _ in range(5):
                rcode, addresses, _ = ask(responder, "web")
                seen.add((rcode, *addresses))
                await asyncio.sleep(0)
        assert seen == {("NOERROR", "10.96.0.20"), ("NOERROR", "10.96.0.21"), ("NXDOMAIN",)}
    finally:
        await feed.close()


async def test_the_last_data_is_served_on_when_the_api_is_lost(api: FakeApi) -> None:
    index = Index()
    feed, responder = Feed(client_of(api), index), Responder(index, DnsConfig())
    await feed.start()
    try:
        assert await feed.wait_synced(5)
        await until(lambda: all(api.watchers.values()))
        api.closed = set(api.objects)
        for queues in api.watchers.values():
            for queue in tuple(queues):
                queue.put_nowait(b"this is not JSON\n")
        await until(lambda: not any(api.watchers.values()))
        assert ask(responder, "web") == ("NOERROR", ["10.96.0.20"], True)
        assert ask(responder, "nosuch")[0] == "NXDOMAIN"
    finally:
        await feed.close()


async def test_run_dns_serves_until_told_to_stop(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[DnsServer] = []

    class Watched(DnsServer):
        async def start(self) -> None:
            await super().start()
            servers.append(self)

    monkeypatch.setattr(process_module, "DnsServer", Watched)
    config = DnsConfig(listen=(("127.0.0.1", 0),), lameduck=0.0, health_listen=None, ready_listen=None)
    running = asyncio.create_task(run_dns(Settings(config), client_of(api)))
    await until(lambda: bool(servers))
    query = dns.message.make_query("web.default.svc.cluster.local.", "A")
    reply = await dns.asyncquery.udp(query, "127.0.0.1", port=servers[0].ports[0], timeout=5)
    assert str(reply.answer[0][0]) == "10.96.0.20"
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        await running


@pytest.mark.parametrize("taken", [True, False])
async def test_other_objects_are_answered_from_once_they_are_there(api: FakeApi, taken: bool) -> None:
    api.emit(NAMESPACES.path(), "ADDED", namespace("other"))
    metrics, old = Metrics(), Index()
    origin = ApiOrigin(client_of(api), metrics)
    try:
        assert await (await origin.begin(old, DnsConfig())).wait_synced(5)
        api.closed = set(api.objects)
        filling = asyncio.create_task(origin.refill(DnsConfig(namespaces=("default",))))
        await until(lambda: metrics.values["kubernetes_rest_client_requests_total"].keys() >= {("503", "GET", "")})
        api.emit(SERVICES.path(), "ADDED", service("late", "10.96.0.21"))
        await until(lambda: (b"default", b"late") in old.services)
        assert not filling.done(), "until then the old one is kept up to date"
        api.closed.clear()
        new = await filling
        assert (new.namespaces, len(new.services), new.synced) == ({b"default"}, 2, True)
        await origin.settle(taken)
        await until(lambda: {len(queues) for queues in api.watchers.values()} == {1})
        api.emit(SERVICES.path(), "ADDED", service("later", "10.96.0.22"))
        await until(lambda: (b"default", b"later") in (new if taken else old).services)
        assert len((old if taken else new).services) == 2
    finally:
        await origin.close()


async def test_a_stop_before_the_first_sync_is_obeyed_at_once(api: FakeApi) -> None:
    api.closed = set(api.objects)
    settings = {"startup_timeout": 0.2, "lameduck": 60.0, "health_listen": None, "ready_listen": None}
    config = DnsConfig(listen=(("127.0.0.1", 0),), **settings)  # type: ignore[arg-type]
    running = asyncio.create_task(run_dns(Settings(config), client_of(api)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while not running.done():
            await asyncio.sleep(0.01)
            if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, None):
                signal.raise_signal(signal.SIGTERM)
        await running


async def test_a_watch_that_fails_for_good_is_logged(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError("no such luck")

    feed = Feed(client_of(broken), Index())
    await feed.start()
    try:
        async with asyncio.timeout(5):
            while "no such luck" not in caplog.text:
                await asyncio.sleep(0.005)
    finally:
        await feed.close()
    assert "the watch of services failed" in caplog.text


class Slow:
    """An origin whose objects are there when `listed` is set."""

    def __init__(self) -> None:
        self.asked, self.listed = asyncio.Event(), asyncio.Event()

    async def refill(self, dns: DnsConfig) -> Index:
        self.asked.set()
        await self.listed.wait()
        return Index()

    async def settle(self, taken: bool) -> None:
        self.taken = taken


async def test_a_broken_file_does_not_hold_up_the_settings_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dns.yaml"
    path.write_text("reload: 0.01")
    settings, config = load_settings({}, str(path))
    process = Process(settings, Index(), config)
    process.origin = slow = Slow()
    await process.open()
    try:
        path.write_text("namespaces: shop")
        await asyncio.wait_for(slow.asked.wait(), 5)
        path.write_text("namespace: shop")
        await until(lambda: "cannot be used" in caplog.text)
        slow.listed.set()
        await until(lambda: process.settings.dns.namespaces == ("shop",))
        assert slow.taken
    finally:
        await process.close()
