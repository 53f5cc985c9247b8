"""Servers that share one etcd: no stale answers, nothing given twice, one set of controllers; a backup restored."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netsim.api.errors import StatusError
from netsim.api.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    ENDPOINTS,
    LEASES,
    NAMESPACES,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    Obj,
)
from netsim.client.leader import Candidate, Timing
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.controllers.run import ControllerConfig, run_controllers
from netsim.http.types import Peer, Request
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.server.pki import ensure_pki
from netsim.store.backup import restore_file, restore_store
from netsim.store.etcd import EtcdStore
from netsim.store.etcd_config import EtcdConfig
from netsim.store.sqlite import SqliteStore
from netsim.store.types import Store

ROOT = Peer(trusted=True)


async def _no_kubelet(host: str, port: int) -> socket.socket:
    raise OSError("no kubelets here")


@asynccontextmanager
async def serving(store: Store, pki: Path, port: int = 6443) -> AsyncIterator[tuple[ApiServer, Client]]:
    """A server on a store, and root's client of it."""
    config = ServerConfig(pki_dir=pki, advertise_port=port)
    app = ApiServer(store, config, clock=lambda: datetime.now(UTC), rand=secrets.randbelow, dial_node=_no_kubelet)
    await app.start()
    client = Client(InProcessTransport(app, ROOT))
    try:
        yield app, client
    finally:
        await client.close()
        await app.close()
        await store.close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    ensure_pki(directory, ("127.0.0.1", "10.96.0.1"))
    return directory


@pytest.fixture
async def servers(etcd: Any, tmp_path: Path, pki: Path) -> AsyncIterator[list[Client]]:
    """Clients of two servers that were started at the same moment."""
    config = EtcdConfig((etcd.url,), root=f"/{tmp_path.name}")
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(*(_started(stack, config, pki, port) for port in (6443, 6444)))
        yield [client for _, client in started]


async def _started(stack: AsyncExitStack, config: EtcdConfig, pki: Path, port: int) -> tuple[ApiServer, Client]:
    return await stack.enter_async_context(serving(await EtcdStore.open(config), pki, port))


def config_map(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def test_what_one_acknowledged_the_other_shows(servers: list[Client]) -> None:
    one, other = servers
    for n in range(20):
        made = await one.create(CONFIG_MAPS, config_map(f"m{n}"), "default")
        assert await other.get(CONFIG_MAPS, f"m{n}", "default") == made
        listed = await other.list(CONFIG_MAPS, "default", resource_version=made["metadata"]["resourceVersion"])
        assert f"m{n}" in [item["metadata"]["name"] for item in listed["items"]]
        changed = await other.update(CONFIG_MAPS, {**made, "data": {"n": str(n)}})
        with pytest.raises(StatusError, match="modified"):
            await one.update(CONFIG_MAPS, {**made, "data": {"n": "late"}})
        assert (await one.get(CONFIG_MAPS, f"m{n}", "default"))["data"] == changed["data"]


async def test_a_namespace_is_good_for_all_at_once(servers: list[Client]) -> None:
    one, other = servers
    for n in range(10):
        await one.create(NAMESPACES, {"metadata": {"name": f"n{n}"}})
        await other.create(CONFIG_MAPS, config_map("m"), f"n{n}")


async def test_no_address_is_given_twice(servers: list[Client]) -> None:
    """Out of a range that is nearly used up, so that they meet."""

    async def create(client: Client, name: str) -> Obj | StatusError:
        ports = [{"port": 80, "nodePort": 30000 + int(name[1:]) % 20}] if name[0] == "p" else [{"port": 80}]
        try:
            return await client.create(
                SERVICES, {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": ports}}, "default"
            )
        except StatusError as error:
            return error

    asked = [(client, f"{letter}{n}{'ab'[i]}") for n in range(20) for i, client in enumerate(servers) for letter in "x"]
    asked += [(client, f"p{n + 20 * i}") for n in range(20) for i, client in enumerate(servers)]
    made = await asyncio.gather(*(create(client, name) for client, name in asked))
    kept = [service for service in made if not isinstance(service, StatusError)]
    assert len(kept) >= 60
    assert all("already allocated" in refusal.message for refusal in made if isinstance(refusal, StatusError))
    for values in (
        [service["spec"]["clusterIP"] for service in kept],
        [port["nodePort"] for service in kept for port in service["spec"]["ports"]],
    ):
        assert len(values) == len(set(values))
    await servers[0].delete(SERVICES, kept[0]["metadata"]["name"], "default")
    again = {"metadata": {"name": "again"}, "spec": {"clusterIP": kept[0]["spec"]["clusterIP"], "ports": [{"port": 1}]}}
    assert (await until_made(servers[1], again))["spec"]["clusterIP"] == kept[0]["spec"]["clusterIP"]


async def until_made(client: Client, service: Obj) -> Obj:
    """Addresses come back a moment after their Service is gone."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await client.create(SERVICES, service, "default")
            except StatusError:
                await asyncio.sleep(0.02)


async def test_a_quota_holds_against_both_at_once(servers: list[Client]) -> None:
    """With the controller that counts anew at work, and room that comes back meanwhile."""
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/secrets": "10"}}}
    await servers[0].create(RESOURCE_QUOTAS, quota, "default")
    made: set[str] = set()
    refused: list[str] = []

    async def create(client: Client, name: str) -> None:
        try:
            await client.create(SECRETS, {"metadata": {"name": name}}, "default")
            made.add(name)
        except StatusError as error:
            refused.append(error.message)

    async def round_of(prefix: str) -> None:
        names = [(client, f"{prefix}{n}{i}") for n in range(20) for i, client in enumerate(servers)]
        await asyncio.gather(*(create(client, name) for client, name in names))
        there = await servers[1].list(SECRETS, "default")
        assert {secret["metadata"]["name"] for secret in there["items"]} == made
        assert len(made) <= 10 and refused
        assert all("exceeded quota: few" in why or "has been modified" in why for why in refused), refused

    controllers = asyncio.create_task(run_controllers(servers[1], ControllerConfig()))
    try:
        await round_of("a")
        assert len(made) == 10
        for name in sorted(made)[:5]:
            await servers[0].delete(SECRETS, name, "default")
            made.remove(name)
        await round_of("b")
        async with asyncio.timeout(10):
            while (await servers[0].get(RESOURCE_QUOTAS, "few", "default"))["status"]["used"] != {
                "count/secrets": str(len(made))
            }:
                await asyncio.sleep(0.02)
    finally:
        controllers.cancel()
        await asyncio.gather(controllers, return_exceptions=True)


async def test_both_are_endpoints_until_one_goes(etcd: Any, tmp_path: Path, pki: Path) -> None:
    config = EtcdConfig((etcd.url,), root=f"/{tmp_path.name}")

    async def ports(client: Client) -> list[int]:
        subsets = (await client.get(ENDPOINTS, "kubernetes", "default"))["subsets"]
        return [subset["ports"][0]["port"] for subset in subsets]

    async with AsyncExitStack() as stack:
        _, one = await _started(stack, config, pki, 6443)
        async with serving(await EtcdStore.open(config), pki, 6444) as (_, other):
            assert await ports(other) == await ports(one) == [6443, 6444]
        assert await ports(one) == [6443]


FAST = Timing(lease=1.0, deadline=0.6, retry=0.1)


async def test_one_leads_and_the_next_takes_over(servers: list[Client]) -> None:
    acting: list[str] = []
    most = 0

    def work(name: str) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            nonlocal most
            acting.append(name)
            most = max(most, len(acting))
            try:
                await asyncio.Event().wait()
            finally:
                acting.remove(name)

        return act

    candidates = [Candidate(client, "kube-test", f"c{n}", FAST) for n, client in enumerate(servers)]
    tasks = [asyncio.ensure_future(c.run(work(f"c{n}"))) for n, c in enumerate(candidates)]
    try:
        async with asyncio.timeout(10):
            while not acting:
                await asyncio.sleep(0.01)
            first = int(acting[0][1])
            tasks[first].cancel()  # gives the lease back
            while acting != [f"c{1 - first}"]:
                await asyncio.sleep(0.01)
            lease = await servers[0].get(LEASES, "kube-test", "kube-system")
            assert lease["spec"]["holderIdentity"] == f"c{1 - first}" and lease["spec"]["leaseTransitions"] >= 1
            stolen = {**lease, "spec": {**lease["spec"], "holderIdentity": "thief", "leaseDurationSeconds": 60}}
            while acting:
                try:
                    await servers[0].update(LEASES, stolen)
                except StatusError:  # it was renewed meanwhile
                    stolen["metadata"] = (await servers[0].get(LEASES, "kube-test", "kube-system"))["metadata"]
                await asyncio.sleep(0.01)
            with pytest.raises(ConnectionAbortedError):
                await candidates[1 - first].fence(_unreachable)(Request("GET", "/"))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 1


async def _unreachable(request: Request) -> Any:
    raise AssertionError("a request came through")


async def test_backup_and_restore(tmp_path: Path, etcd: Any, pki: Path) -> None:
    """SQLite to SQLite and to etcd; with the objects, uids and data of the moment, and later revisions."""
    async with serving(await SqliteStore.open(tmp_path / "store.db"), pki) as (app, client):
        made = await client.create(SECRETS, config_map("kept") | {"stringData": {"a": "b"}}, "default")
        response = await app(Request("GET", "/netsim/backup", peer=ROOT))
        assert response.status == 200 and isinstance(response.body, bytes)
        (tmp_path / "backup.db").write_bytes(response.body)
        late = await client.create(CONFIG_MAPS, config_map("late"), "default")
        assert (await app(Request("GET", "/netsim/backup", peer=Peer()))).status == 403
    await asyncio.to_thread(restore_file, tmp_path / "backup.db", tmp_path / "store.db")
    etcd_store = await EtcdStore.open(EtcdConfig((etcd.url,), root=f"/{tmp_path.name}"))
    await etcd_store.create("/registry/core/configmaps/default/stranger", b"{}")
    await restore_store(tmp_path / "backup.db", etcd_store)
    for store in (await SqliteStore.open(tmp_path / "store.db"), etcd_store):
        async with serving(store, pki) as (_, client):
            found = await client.get(SECRETS, "kept", "default")
            assert found["metadata"]["uid"] == made["metadata"]["uid"]
            names = [item["metadata"]["name"] for item in (await client.list(CONFIG_MAPS, "default"))["items"]]
            assert "late" not in names and "stranger" not in names and "kube-root-ca.crt" in names
            if not store.shared:
                assert store.revision > int(late["metadata"]["resourceVersion"])
                assert (await watched_from(client, late["metadata"]["resourceVersion"])) == 410


async def watched_from(client: Client, version: str) -> int:
    """The code that a watch from a revision ends with."""
    async for chunk in await client.watch(CONFIG_MAPS, "default", resource_version=version):
        event = json.loads(chunk)
        assert event["type"] == "ERROR"
        return int(event["object"]["code"])
    raise AssertionError("the watch ended without a word")


async def test_a_definition_and_a_role_count_for_both(servers: list[Client]) -> None:
    """What servers keep compiled follows what others write."""
    one, other = servers
    names = {"plural": "stones", "singular": "stone", "kind": "Stone", "listKind": "StoneList"}
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }  # fmt: skip
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    await one.create(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "stones.example.org"}, "spec": spec})
    stone = {"apiVersion": "example.org/v1", "kind": "Stone", "metadata": {"name": "s"}}
    path = "/apis/example.org/v1/namespaces/default/stones"
    async with asyncio.timeout(10):
        while True:
            try:
                await other.post(path, stone)
                break
            except StatusError as error:
                assert error.code in (404, 405, 503), error
                await asyncio.sleep(0.02)
    review = {
        "spec": {"user": "eve", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    }
    asked = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert not (await other.post(asked, review))["status"]["allowed"]
    binding = {
        "metadata": {"name": "eve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await one.create(CLUSTER_ROLE_BINDINGS, binding)
    async with asyncio.timeout(10):
        while not (await other.post(asked, review))["status"]["allowed"]:
            await asyncio.sleep(0.02)
