"""Servers killed at random instants under load, and clients that remember what they were told.

A nursery process has everything imported and forks a server for each round, so that a round takes a fraction of a
second. Writers keep a counter in each of their objects; the watcher follows every counter through all crashes, so that
a lost, repeated or reordered event shows as a counter that does not follow its predecessor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS, SERVICES, Obj
from netsim.client.rest import Client
from netsim.client.state import Event, LineSplitter, WatchState
from netsim.http.client import HttpClient

RETRY = 0.005
WRITERS, OBJECTS = 6, 3
_NURSERY = """
import asyncio, os, pathlib, secrets, signal, socket, sys
from datetime import UTC, datetime
import netsim.server.apply, netsim.server.openapi
from netsim.http.server import serve
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.etcd import EtcdStore
from netsim.store.etcd_config import EtcdConfig
from netsim.store.sqlite import SqliteStore

async def dial(host, port):
    raise OSError("no kubelets here")

async def main(directory, etcd):
    if etcd:
        store = await EtcdStore.open(EtcdConfig((etcd,)), patience=20)
    else:
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

directory = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(main(directory, sys.argv[2]))
        finally:
            os._exit(1)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


class Nursery:
    """Starts one server at a time in `directory`, on SQLite or on the etcd of a URL."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path, etcd: str = "") -> AsyncIterator[Nursery]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _NURSERY, str(directory), etcd,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.wait_for(process.wait(), 30)

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 60)).strip()

    @asynccontextmanager
    async def server(self) -> AsyncIterator[None]:
        """A running server, killed with SIGKILL at the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"start\n")
        lines = [await self._line()]  # the pid and "ready", in either order
        pid = 0
        try:
            lines.append(await self._line())
            assert b"ready" in lines, lines
            pid = int(next(line for line in lines if line != b"ready"))
            yield
        finally:
            pid = pid or int(next((line for line in lines if line.isdigit()), b"0"))
            if pid:
                os.kill(pid, signal.SIGKILL)
                while await self._line() != b"ended":
                    pass


@dataclass(slots=True)
class Known:
    """What a writer knows of one of its objects: its uid and counter ("" and -1 when there is none), and how a write
    that was not answered would leave it (the same when there is none)."""

    uid: str = ""
    count: int = -1
    pending: str = ""


@dataclass(slots=True)
class Clients:
    """Writers and a watcher over all crashes. `problems` collects what must not be; `acknowledged` counts."""

    directory: Path
    acknowledged: int = 0
    events: int = 0
    problems: list[str] = field(default_factory=list)
    last_write: int = 0
    state: WatchState = field(default_factory=lambda: WatchState("1"))
    chain: dict[str, tuple[str, int]] = field(default_factory=dict)
    stop: bool = False
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(HttpClient(f"unix:{self.directory}/socket", connections=16))

    # writers

    async def write(self, number: int) -> None:
        """Create, count up and delete objects of our own, until told to stop."""
        known = {f"w{number}-{k}": Known() for k in range(OBJECTS)}
        rng = random.Random()
        while not self.stop:
            name = rng.choice(list(known))
            try:
                if known[name].pending:
                    await self._find_out(name, known[name])
                await self._step(name, known[name], rng.random())
            except OSError:
                await asyncio.sleep(RETRY)
            except StatusError as error:
                self.problems.append(f"{name}: {error.message}")
                return

    async def _step(self, name: str, known: Known, chance: float) -> None:
        if not known.uid:
            known.pending = "create"
            made = await self.client.create(CONFIG_MAPS, counter(name, 0), "default")
        elif chance < 0.1:
            known.pending = "delete"
            await self.client.delete(CONFIG_MAPS, name, "default")
            self.acknowledged += 1
            known.uid, known.count, known.pending = "", -1, ""
            return
        else:
            known.pending = "update"
            made = await self.client.update(CONFIG_MAPS, counter(name, known.count + 1))
        self._acknowledge(known, made)

    def _acknowledge(self, known: Known, made: Obj) -> None:
        self.acknowledged += 1
        self.last_write = max(self.last_write, int(made["metadata"]["resourceVersion"]))
        known.uid, known.count, known.pending = made["metadata"]["uid"], int(made["data"]["n"]), ""

    async def _find_out(self, name: str, known: Known) -> None:
        """After a crash: the object is as it was acknowledged, or as the unanswered write would have it."""
        try:
            found = await self.client.get(CONFIG_MAPS, name, "default")
            uid, count = found["metadata"]["uid"], int(found["data"]["n"])
        except StatusError as error:
            if error.code != 404:
                raise
            uid, count = "", -1
        acknowledged, new = (uid, count) == (known.uid, known.count), False
        if known.pending == "create":
            new = bool(uid) and not known.uid and count == 0
        elif known.pending == "update":
            new = uid == known.uid and count == known.count + 1
        elif known.pending == "delete":
            new = not uid
        if not acknowledged and not new:
            self.problems.append(f"{name}: {known} became {uid} {count}")
        known.uid, known.count, known.pending = uid, count, ""

    async def expose(self) -> None:
        """Create and delete Services with node ports."""
        names: list[str] = []
        number = 0
        while not self.stop:
            number += 1
            try:
                await self.client.create(SERVICES, service(f"s{number}"), "default")
                names.append(f"s{number}")
                if len(names) > 20:
                    await self.client.delete(SERVICES, names.pop(0), "default")
            except OSError:
                await asyncio.sleep(RETRY)
            except StatusError as error:
                if error.code != 404:  # a deletion whose answer was lost
                    self.problems.append(f"service {number}: {error.message}")

    # the watcher

    async def watch(self) -> None:
        """Follow every counter, resuming after each crash where the last event was."""
        while True:
            with contextlib.suppress(OSError):  # the server was killed
                chunks = await self.client.watch(CONFIG_MAPS, "default", resource_version=self.state.revision)
                splitter = LineSplitter()
                async for chunk in chunks:
                    for line in splitter.feed(chunk):
                        self._see(line)
            await asyncio.sleep(RETRY)

    def _see(self, line: bytes) -> None:
        before, event = int(self.state.revision), self.state.feed(line)
        if not isinstance(event, Event) or int(self.state.revision) <= before:
            self.problems.append(f"the watch at {before} brought {line[:200]!r}")
            return
        name = event.object["metadata"]["name"]
        if not name.startswith("w"):
            return
        self.events += 1
        now = (event.object["metadata"]["uid"], int(event.object["data"]["n"]))
        uid, count = self.chain.get(name, ("", -1))
        expected = {"ADDED": ("", 0), "MODIFIED": (uid, count + 1), "DELETED": (uid, count)}[event.type]
        if (now if uid else ("", now[1])) != expected:
            self.problems.append(f"{name}: {event.type} {now} at {self.state.revision} follows {(uid, count)}")
        self.chain[name] = ("", -1) if event.type == "DELETED" else now

    # the whole

    async def caught_up(self) -> None:
        """Wait until the watcher has seen the last acknowledged write."""
        async with asyncio.timeout(30):
            while int(self.state.revision) < self.last_write and not self.problems:
                await asyncio.sleep(0.01)

    async def check_services(self) -> None:
        """No address and no port twice."""
        services = (await self.client.list(SERVICES, "default"))["items"]
        ports = [p["nodePort"] for s in services for p in s["spec"]["ports"] if "nodePort" in p]
        for values in ([s["spec"]["clusterIP"] for s in services], ports):
            if len(values) != len(set(values)):
                self.problems.append(f"given twice: {sorted(values)}")


def counter(name: str, count: int) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"n": str(count)}}


def service(name: str) -> Obj:
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}


async def kill_rounds(directory: Path, rounds: int, etcd: str = "", report: int = 0) -> Clients:
    """Kill a server `rounds` times under load, each up to 150 ms after a write of its own was acknowledged."""
    clients = Clients(directory)
    rng = random.Random()
    async with Nursery.open(directory, etcd) as nursery:
        async with nursery.server():
            found = await clients.client.list(CONFIG_MAPS, "default")
            clients.state.revision = found["metadata"]["resourceVersion"]
        tasks = [*map(clients.write, range(WRITERS)), clients.expose(), clients.watch()]
        running = [asyncio.ensure_future(task) for task in tasks]
        try:
            for round_ in range(1, rounds + 1):
                async with nursery.server():
                    before = clients.acknowledged
                    async with asyncio.timeout(60):
                        while clients.acknowledged == before and not clients.problems:
                            await asyncio.sleep(0.001)
                    await asyncio.sleep(rng.uniform(0, 0.15))
                if report and round_ % report == 0:
                    print(
                        f"{round_} kills, {clients.acknowledged} writes acknowledged, {clients.events} events seen",
                        flush=True,
                    )
                if clients.problems:
                    break
            async with nursery.server():
                clients.stop = True
                await asyncio.wait(running[:-1], timeout=30)
                await clients.caught_up()
                await clients.check_services()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await clients.client.close()
    return clients
