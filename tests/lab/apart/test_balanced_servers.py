"""Two `netsim server` processes on one etcd behind one address: what clients see is one API server, also when one of
the two goes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.etcds import ETCD
from support.labs import until
from support.machines import Machine, switch

FIRST, SECOND = "192.168.56.10", "192.168.56.11"
BALANCED = "https://127.0.0.1:7000"
BALANCER = f"""
import asyncio, itertools

turns = itertools.cycle([["{FIRST}", "{SECOND}"], ["{SECOND}", "{FIRST}"]])

async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def serve(reader, writer):
    for address in next(turns):
        try:
            there = await asyncio.open_connection(address, 6443)
        except OSError:
            continue
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
        return
    writer.close()

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", 7000) as server:
        await server.serve_forever()

asyncio.run(main())
"""
WEB = json.dumps(
    {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}], "tolerations": [{"operator": "Exists"}]},
            },
        },
    }
)  # fmt: skip
pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Machine]:
    """The first of two machines with a server each; etcd, the balancer and three fake nodes are on it, too."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert ETCD, "no etcd: apt-get install etcd-server (scripts/install --test does)"
    with switch(tmp_path, f"two-{os.getpid()}") as plugged:
        one, other = plugged.plug("one", FIRST), plugged.plug("other", SECOND)
        store = f"http://{FIRST}:2379"
        urls = ["--listen-client-urls", store, "--advertise-client-urls", store]
        one.start("etcd", ETCD, "--data-dir", "/var/lib/etcd", *urls, "--logger", "zap", "--log-level", "error")
        until(lambda: "true" in one.run("curl", "-s", f"{store}/health", check=False).stdout, 10, "no etcd")
        for machine, address in ((one, FIRST), (other, SECOND)):
            keys = ["--pki-dir", str(tmp_path / "pki")] if machine is other else []
            url = f"etcd://{FIRST}:2379"
            machine.start("netsim", "netsim", "server", "--advertise-address", address, "--store", url, *keys)
            until(lambda machine=machine: "API server" in machine.output(), 20, "no server")
            shutil.copytree(f"/proc/{one.pid}/root/var/lib/netsim/{one.lab}/pki", tmp_path / "pki", dirs_exist_ok=True)
        one.start("balancer", sys.executable, "-c", BALANCER)
        config = Path(f"/proc/{one.pid}/root/var/lib/netsim/{one.lab}/admin.conf")
        config.write_text(config.read_text().replace("https://127.0.0.1:6443", BALANCED))
        one.start("nodes", "netsim", "node", "--fake", "3", "--kubeconfig", f"/var/lib/netsim/{one.lab}/admin.conf")
        yield one
        print(one.output(), other.output())


def test_two_servers_are_one_to_their_clients(servers: Machine) -> None:
    one = servers
    assert BALANCED in one.kubectl("config", "view")
    one.kubectl("apply", "-f", "-", input=WEB)
    one.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    for turn in range(4):
        one.kubectl("annotate", "deployment", "web", "--overwrite", f"turn={turn}")
        shown = one.kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.annotations.turn}")
        assert shown == str(turn)
    one.stop("netsim")
    one.kubectl("scale", "deployment/web", "--replicas=5")
    one.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert one.kubectl("get", "pods", "--field-selector", "status.phase=Running", "-o", "name").count("pod/") == 5
