"""The clock set a day ahead and back under a running server of its own process, controllers included."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netsim.api.kinds import CONFIG_MAPS, LEASES, NODES, SERVICE_ACCOUNTS, Kind, Obj
from netsim.api.objects import dig, is_true
from netsim.api.times import format_micro_time, parse_time
from netsim.client.rest import Client
from netsim.client.state import Event, LineSplitter, WatchState
from netsim.http.client import HttpClient

DAY = timedelta(days=1)
JUMPS = (signal.SIGUSR1, DAY), (signal.SIGUSR2, timedelta()), (signal.SIGUSR2, -DAY), (signal.SIGUSR1, timedelta())
"""Signals, and how far the clock is off after each."""
_SERVER = """
import datetime, signal, sys

class Clock(datetime.datetime):
    off = datetime.timedelta()

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + cls.off

def jump(number, frame):
    Clock.off += datetime.timedelta(days=1 if number == signal.SIGUSR1 else -1)

signal.signal(signal.SIGUSR1, jump)
signal.signal(signal.SIGUSR2, jump)
datetime.datetime = Clock  # before anything takes it from there

import asyncio, pathlib, secrets, socket
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.controllers.run import ControllerConfig, run_controllers
from netsim.http.server import serve
from netsim.http.types import Peer
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.server.serve import utc_now
from netsim.store.sqlite import SqliteStore

async def dial(host, port):
    raise OSError("no kubelets here")

async def main(directory):
    store = await SqliteStore.open(directory / "store.db")
    app = ApiServer(store, ServerConfig(pki_dir=directory / "pki"), clock=utc_now, rand=secrets.randbelow,
                    dial_node=dial)
    await app.start()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(directory / "socket"))
    await serve(app, sock, trusted=True)
    print("ready", flush=True)
    await run_controllers(Client(InProcessTransport(app, Peer(trusted=True))), ControllerConfig())

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[int, Client]]:
    """The server's pid, and a client."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVER, str(directory), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        client = Client(HttpClient(f"unix:{directory}/socket"))
        yield process.pid, client
        await client.close()
    finally:
        process.kill()
        await process.wait()


async def watch(client: Client, kind: Kind, namespace: str | None, seen: list[Event], problems: list[str]) -> None:
    """Take down every event of one watch, which is to end with the test and no sooner."""
    state, splitter = WatchState("1"), LineSplitter()
    async for chunk in await client.watch(kind, namespace, resource_version="1"):
        for line in splitter.feed(chunk):
            event = state.feed(line)
            if isinstance(event, Event):
                seen.append(event)
            else:
                problems.append(f"at {state.revision}: {line[:200]!r}")
    problems.append("the watch ended")


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await question():
            await asyncio.sleep(0.02)


async def accepts(client: Client, token: str) -> bool:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = await client.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    return bool(dig(answer, "status", "authenticated"))


async def new_token(client: Client) -> str:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(dig(await client.post(path, body), "status", "token"))


def stamped(obj: Obj, off: timedelta) -> bool:
    """Whether an object was made by a clock that is so far off."""
    return abs(parse_time(obj["metadata"]["creationTimestamp"]) - datetime.now(UTC) - off) < DAY / 2


async def register(client: Client) -> None:
    """A ready Node with its Lease."""
    now = datetime.now(UTC)
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "is"}]
    await client.create(NODES, {"metadata": {"name": "n"}, "status": {"conditions": conditions}})
    held = {"holderIdentity": "n", "leaseDurationSeconds": 40, "renewTime": format_micro_time(now)}
    await client.create(LEASES, {"metadata": {"name": "n"}, "spec": held}, "kube-node-lease")


async def test_the_clock_jumps_under_writes(tmp_path: Path) -> None:
    maps: list[Event] = []
    nodes: list[Event] = []
    problems: list[str] = []
    async with running(tmp_path) as (pid, client):

        async def settled() -> bool:
            return bool((await client.list(SERVICE_ACCOUNTS, "default"))["items"])

        await until(settled)
        await register(client)
        watches = [
            asyncio.create_task(watch(client, CONFIG_MAPS, "default", maps, problems)),
            asyncio.create_task(watch(client, NODES, None, nodes, problems)),
        ]
        first, written = await new_token(client), list[str]()
        try:
            for number, (signalled, off) in enumerate(JUMPS):
                os.kill(pid, signalled)
                made: Obj = {}
                while not made or not stamped(made, off):
                    made = await client.create(CONFIG_MAPS, {"metadata": {"generateName": f"m{number}-"}}, "default")
                    written.append(made["metadata"]["uid"])
                stamp = {"spec": {"renewTime": format_micro_time(datetime.now(UTC) + off)}}
                await client.patch(LEASES, "n", stamp, "kube-node-lease")
                await client.patch(NODES, "n", {"metadata": {"labels": {"jump": f"j{number}"}}})
                # a day ahead it has run out, a day back it is not valid yet
                assert await accepts(client, first) == (not off)
                assert await accepts(client, await new_token(client))

            async def all_seen() -> bool:
                labels = [dig(event.object, "metadata", "labels", "jump") for event in nodes]
                return f"j{len(JUMPS) - 1}" in labels and len([e for e in maps if e.type == "ADDED"]) > len(written)

            await until(all_seen)
        finally:
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
    assert not problems
    assert [event.object["metadata"]["uid"] for event in maps if event.object["metadata"]["name"][0] == "m"] == written
    assert nodes and all(is_true(event.object, "Ready") for event in nodes)
