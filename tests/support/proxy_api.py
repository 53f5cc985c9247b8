"""The service proxy in a thread, against an API of three kinds that a test fills."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.host import netns
from netsim.http.types import Peer, Request, Response
from netsim_proxy.config import ProxyConfig
from netsim_proxy.sync import Proxy

PATHS = {"Service": "/services", "EndpointSlice": "/endpointslices", "Node": "/nodes"}


class Api:
    """Lists and watches of three kinds, as far as the proxy asks, and the events it tells; everything runs in the
    proxy's event loop."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.hold = threading.Event()
        self.events: list[dict[str, Any]] = []
        self._watchers: list[tuple[str, asyncio.Queue[bytes]]] = []

    async def __call__(self, request: Request) -> Response:
        if request.path.endswith("/events"):
            self.events.append(json.loads(request.body))
            return Response(201, [("content-type", "application/json")], request.body)
        kind = next(kind for kind, end in PATHS.items() if request.path.endswith(end))
        self.requests.append(f"{kind} {request.param('labelSelector')} {request.param('fieldSelector')}")
        if request.param("watch"):
            return Response(body=self._watch(kind))
        while kind == "EndpointSlice" and self.hold.is_set():
            await asyncio.sleep(0.01)
        items = [obj for (owner, _), obj in self.objects.items() if owner == kind]
        body = {"kind": f"{kind}List", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(headers=[("content-type", "application/json")], body=json.dumps(body).encode())

    async def _watch(self, kind: str) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        watcher = (kind, queue)
        self._watchers.append(watcher)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(watcher)

    def put(self, obj: dict[str, Any], *, delete: bool = False) -> None:
        """Create, change or delete an object; to be called in the event loop, or before it runs."""
        self.revision += 1
        key = (obj["kind"], f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}")
        event = "DELETED" if delete else "MODIFIED" if key in self.objects else "ADDED"
        obj = json.loads(json.dumps(obj))
        obj["metadata"] |= {"resourceVersion": str(self.revision), "uid": key[1]}
        if delete:
            del self.objects[key]
        else:
            self.objects[key] = obj
        for kind, queue in self._watchers:
            if kind == key[0]:
                queue.put_nowait(json.dumps({"type": event, "object": obj}).encode() + b"\n")


class ProxyThread:
    """A proxy in the node's namespace, in a thread of its own."""

    def __init__(self, path: str, api: Api, config: ProxyConfig) -> None:
        self.api, self._config, self._path = api, config, path
        self._started, self._synced = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._main)
        self._thread.start()
        assert self._started.wait(10)

    def _main(self) -> None:
        netns.enter(self._path)
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        client = Client(InProcessTransport(self.api, Peer(trusted=True)))
        proxy = Proxy(self._config, client)
        task = asyncio.create_task(proxy.run())
        waiter = asyncio.create_task(proxy.wait_synced())
        waiter.add_done_callback(lambda done: None if done.cancelled() else self._synced.set())
        self._started.set()
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        for each in (task, waiter, stopping):
            each.cancel()
        await asyncio.wait([task, waiter, stopping])
        await client.close()

    def wait_synced(self) -> None:
        assert self._synced.wait(20), "the proxy did not sync"

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    def put(self, obj: dict[str, Any], *, delete: bool = False) -> None:
        done = threading.Event()

        def change() -> None:
            self.api.put(obj, delete=delete)
            done.set()

        self._loop.call_soon_threadsafe(change)
        assert done.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
