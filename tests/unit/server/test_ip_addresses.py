"""IPAddresses follow the Services that have them; the ServiceCIDR `kubernetes` is always there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

Obj = dict[str, Any]
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"
SERVICES = "/api/v1/namespaces/default/services"
LIMIT = 5.0


def service(name: str, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def come(api: Any, url: str, wanted: int) -> Obj:
    """What a GET finds once it has that code."""
    async with asyncio.timeout(LIMIT):
        while (await api.send("GET", url)).status != wanted:
            await asyncio.sleep(0.01)
    found: Obj = await api.get(url) if wanted == 200 else {}
    return found


@asynccontextmanager
async def served(api: Any, store: SqliteStore, directory: Path, cidrs: str = "10.96.0.0/16") -> AsyncIterator[Any]:
    """Another server, with the helpers and the clock of `api`."""
    config = ServerConfig(pki_dir=directory / "pki", service_cidr=cidrs)
    rand = random.Random(2).randrange
    app = ApiServer(store, config, clock=api.clock, rand=rand, dial_node=api.app.core.dial_node)
    await app.start()
    try:
        yield type(api)(app, api.clock)
    finally:
        await app.close()


async def test_a_service_has_its_address_written_down(api: Any) -> None:
    made = await api.post(SERVICES, service("web"))
    found = await come(api, f"{ADDRESSES}/{made['spec']['clusterIP']}", 200)
    assert found["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}}
    assert found["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"
    }  # fmt: skip
    own = await come(api, f"{ADDRESSES}/10.96.0.1", 200)
    assert own["spec"]["parentRef"]["name"] == "kubernetes"


async def test_it_goes_with_the_service_and_when_the_service_gives_it_up(api: Any) -> None:
    first, second = [await api.post(SERVICES, service(name)) for name in ("a", "b")]
    urls = [f"{ADDRESSES}/{made['spec']['clusterIP']}" for made in (first, second)]
    for url in urls:
        await come(api, url, 200)
    await api.send("DELETE", f"{SERVICES}/a")
    outside = {**second, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    await api.send("PUT", f"{SERVICES}/b", outside)
    for url in urls:
        await come(api, url, 404)


async def test_the_next_service_of_an_address_gets_its_record(api: Any) -> None:
    ip = (await api.post(SERVICES, service("a")))["spec"]["clusterIP"]
    await api.send("DELETE", f"{SERVICES}/a")
    await api.post(SERVICES, service("b", clusterIP=ip))
    async with asyncio.timeout(LIMIT):
        while (await come(api, f"{ADDRESSES}/{ip}", 200))["spec"]["parentRef"]["name"] != "b":
            await asyncio.sleep(0.01)


async def test_what_is_deleted_comes_back_while_it_is_held(api: Any) -> None:
    ip = (await api.post(SERVICES, service("a")))["spec"]["clusterIP"]
    before = await come(api, f"{ADDRESSES}/{ip}", 200)
    await api.send("DELETE", f"{ADDRESSES}/{ip}")
    after = await come(api, f"{ADDRESSES}/{ip}", 200)
    assert after["metadata"]["uid"] != before["metadata"]["uid"] and after["spec"] == before["spec"]


async def test_an_address_made_by_hand_is_left_alone(api: Any) -> None:
    parent = {"resource": "services", "namespace": "default", "name": "nobody"}
    await api.post(ADDRESSES, {"metadata": {"name": "192.0.2.7"}, "spec": {"parentRef": parent}})
    made = await api.post(SERVICES, service("nobody"))
    await come(api, f"{ADDRESSES}/{made['spec']['clusterIP']}", 200)
    await api.send("DELETE", f"{SERVICES}/nobody")
    await come(api, f"{ADDRESSES}/{made['spec']['clusterIP']}", 404)
    assert (await api.get(f"{ADDRESSES}/192.0.2.7"))["spec"]["parentRef"] == parent


async def test_the_servers_own_range_is_there_and_ready_and_comes_back(api: Any) -> None:
    found = await come(api, f"{CIDRS}/kubernetes", 200)
    assert found["spec"] == {"cidrs": ["10.96.0.0/16"]}
    assert [(c["type"], c["status"], c["reason"]) for c in found["status"]["conditions"]] == [("Ready", "True", "")]
    await api.send("DELETE", f"{CIDRS}/kubernetes")
    async with asyncio.timeout(LIMIT):
        while (await come(api, f"{CIDRS}/kubernetes", 200))["metadata"]["uid"] == found["metadata"]["uid"]:
            await asyncio.sleep(0.01)


async def test_an_address_made_by_hand_gives_way_to_the_services_when_it_is_deleted(api: Any) -> None:
    url = f"{ADDRESSES}/10.96.9.9"
    parent = {"resource": "services", "namespace": "default", "name": "nobody"}
    await api.post(ADDRESSES, {"metadata": {"name": "10.96.9.9"}, "spec": {"parentRef": parent}})
    await api.post(SERVICES, service("web", clusterIP="10.96.9.9"))
    await come(api, f"{ADDRESSES}/{(await api.post(SERVICES, service('next')))['spec']['clusterIP']}", 200)
    assert (await api.get(url))["spec"]["parentRef"] == parent
    await api.send("DELETE", url)
    assert (await come(api, url, 200))["spec"]["parentRef"]["name"] == "web"


async def test_a_start_gives_an_address_to_the_service_that_has_it_now(api: Any, tmp_path: Path) -> None:
    """The server ended after another Service had got the address, and before the first one's IPAddress was removed."""
    (tmp_path / "other").mkdir()
    store = await SqliteStore.open(str(tmp_path / "other" / "state.db"))
    try:
        async with served(api, store, tmp_path / "other") as first:
            ip = (await first.post(SERVICES, service("a")))["spec"]["clusterIP"]
            await come(first, f"{ADDRESSES}/{ip}", 200)
            await first.app._housekeeper.close()
            await first.send("DELETE", f"{SERVICES}/a")
            await first.post(SERVICES, service("b", clusterIP=ip))
            assert (await first.get(f"{ADDRESSES}/{ip}"))["spec"]["parentRef"]["name"] == "a"
        async with served(api, store, tmp_path / "other") as second:
            assert (await second.get(f"{ADDRESSES}/{ip}"))["spec"]["parentRef"]["name"] == "b"
    finally:
        await store.close()


async def test_addresses_are_named_canonically(api: Any, tmp_path: Path) -> None:
    """As a Service writes an IPv6 address and an option a range, an IPAddress or a ServiceCIDR may not."""
    (tmp_path / "other").mkdir()
    store = await SqliteStore.open(str(tmp_path / "other" / "state.db"))
    try:
        cidrs = "10.96.0.0/255.255.0.0,FD00:10:96::/112"
        async with served(api, store, tmp_path / "other", cidrs) as dual:
            made = await dual.post(SERVICES, service("a", clusterIP="FD00:10:96::A", ipFamilyPolicy="RequireDualStack"))
            assert made["spec"]["clusterIPs"][0] == "FD00:10:96::A"
            for ip in ("fd00:10:96::a", made["spec"]["clusterIPs"][1]):
                assert (await come(dual, f"{ADDRESSES}/{ip}", 200))["spec"]["parentRef"]["name"] == "a"
            assert (await dual.get(f"{CIDRS}/kubernetes"))["spec"]["cidrs"] == ["10.96.0.0/16", "fd00:10:96::/112"]
            await dual.send("DELETE", f"{SERVICES}/a")
            await come(dual, f"{ADDRESSES}/fd00:10:96::a", 404)
    finally:
        await store.close()
