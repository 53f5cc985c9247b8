"""A server killed under load: watches resume without gap or repeat, no acknowledged write is lost, nothing is
allocated twice."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, SERVICES, Obj
from netsim.client.rest import Client
from netsim.client.state import Event, LineSplitter, WatchState
from netsim.http.client import HttpClient

KILLS = 3
BATCH = 60
RETRY = 0.02
CHILD = """
import asyncio, pathlib, secrets, socket, sys
from datetime import UTC, datetime
from netsim.http.server import serve
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

async def dial(host, port):
    raise OSError("no kubelets here")

async def main(directory):
    store = await SqliteStore.open(directory / "store.db")
    app = ApiServer(store, ServerConfig(pki_dir=directory / "pki"), clock=lambda: datetime.now(UTC),
                    rand=secrets.randbelow, dial_node=dial)
    await app.start()
    (directory / "socket").unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(directory / "socket"))
    await serve(app, sock, trusted=True)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server of its own process, killed with SIGKILL at the end if not before."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(directory), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        assert await asyncio.wait_for(child.stdout.readline(), 30) == b"ready\n"
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


class Clients:
    """Writers that remember what was acknowledged, and a watcher that remembers what it saw, over all crashes."""

    def __init__(self, directory: Path) -> None:
        self.client = Client(HttpClient(f"unix:{directory}/socket"))
        self.acknowledged: dict[int, str] = {}
        self.seen: list[tuple[int, str]] = []
        self.state = WatchState("1")

    async def write(self, number: int) -> None:
        for round_ in itertools.count():
            name = f"m{number}-{round_}"
            try:
                made = await self.client.create(CONFIG_MAPS, {"metadata": {"name": name}}, "default")
                self.acknowledged[int(made["metadata"]["resourceVersion"])] = name
                await self.client.create(SERVICES, service(name), "default")
            except OSError:
                await asyncio.sleep(RETRY)

    async def watch(self) -> None:
        while True:
            try:
                chunks = await self.client.watch(CONFIG_MAPS, "default", resource_version=self.state.revision)
                splitter = LineSplitter()
                async for chunk in chunks:
                    for line in splitter.feed(chunk):
                        before, event = int(self.state.revision), self.state.feed(line)
                        assert isinstance(event, Event) and int(self.state.revision) > before, line
                        self.seen.append((int(self.state.revision), event.object["metadata"]["name"]))
            except OSError:
                await asyncio.sleep(RETRY)


def service(name: str) -> Obj:
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}


async def until_written(clients: Clients, count: int) -> None:
    async with asyncio.timeout(30):
        while len(clients.acknowledged) < count:
            await asyncio.sleep(0.01)


async def test_killed_under_load(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    async with server(tmp_path):
        clients.state.revision = (await clients.client.list(CONFIG_MAPS, "default"))["metadata"]["resourceVersion"]
    tasks = [asyncio.ensure_future(work) for work in (*map(clients.write, range(4)), clients.watch())]
    for round_ in range(1, KILLS + 1):
        async with server(tmp_path):
            await until_written(clients, BATCH * round_)
    async with server(tmp_path):
        for task in tasks[:-1]:
            task.cancel()
        async with asyncio.timeout(30):
            while not clients.seen or clients.seen[-1][0] < max(clients.acknowledged):
                assert not tasks[-1].done(), tasks[-1].exception()
                await asyncio.sleep(0.01)
        listed = await clients.client.list(CONFIG_MAPS, "default")
        services = (await clients.client.list(SERVICES, "default"))["items"]
        tasks[-1].cancel()
        problems = [e for e in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(e, Exception)]
        await clients.client.close()
    assert not problems, [e.message if isinstance(e, StatusError) else e for e in problems]
    seen = dict(clients.seen)
    assert len(seen) == len(clients.seen) and clients.acknowledged.items() <= seen.items()
    stored = {int(o["metadata"]["resourceVersion"]): o["metadata"]["name"] for o in listed["items"]}
    assert {k: v for k, v in stored.items() if v in seen.values()} == seen
    for values in (
        [s["spec"]["clusterIP"] for s in services],
        [p["nodePort"] for s in services for p in s["spec"]["ports"] if "nodePort" in p],
    ):
        assert len(values) == len(set(values))
