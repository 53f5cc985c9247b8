"""An API server over a real SQLite store, called without sockets."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from netsim.http.types import Peer, Request, Response
from netsim.server import freshness
from netsim.server.app import ApiServer
from netsim.server.codec import decode
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

Obj = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def no_kubelet(host: str, port: int) -> socket.socket:
    raise ConnectionRefusedError(f"no kubelet at {host}:{port}")


class Api:
    """Requests to a server as JSON in and out."""

    def __init__(self, app: ApiServer, clock: Clock) -> None:
        self.app, self.clock = app, clock

    async def send(
        self, method: str, url: str, body: Any = None, *, content_type: str = "application/json", accept: str = "",
        peer: Peer | None = None, token: str = "",
    ) -> Response:  # fmt: skip
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        headers = [("content-type", content_type), ("accept", accept), ("authorization", f"Bearer {token}")]
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(
            method, parts.path, query, [h for h in headers if h[1] not in ("", "Bearer ")], data,
            peer or Peer(trusted=not token),
        )  # fmt: skip
        return await self.app(request)

    async def ok(self, method: str, url: str, body: Any = None, **more: Any) -> Obj:
        """The answer's object; anything but 2xx fails the test."""
        response = await self.send(method, url, body, **more)
        assert isinstance(response.body, bytes)
        assert response.status < 300, f"{method} {url}: {response.body.decode()}"
        return json.loads(response.body)

    async def refused(self, method: str, url: str, body: Any = None, **more: Any) -> Obj:
        """The Status of a refusal."""
        response = await self.send(method, url, body, **more)
        assert isinstance(response.body, bytes)
        assert response.status >= 400, f"{method} {url} should have been refused: {response.body.decode()}"
        status = json.loads(response.body)
        assert status["code"] == response.status
        return status

    async def get(self, url: str, **more: Any) -> Obj:
        return await self.ok("GET", url, **more)

    async def post(self, url: str, body: Obj, **more: Any) -> Obj:
        return await self.ok("POST", url, body, **more)

    async def merge(self, url: str, patch: Obj, **more: Any) -> Obj:
        return await self.ok("PATCH", url, patch, content_type="application/merge-patch+json", **more)

    async def watch(self, url: str, count: int, act: Callable[[], Any] | None = None, **more: Any) -> list[Obj]:
        """The first `count` events of a watch; `act` is awaited once the watch is open."""
        response = await self.send("GET", url, **more)
        assert not isinstance(response.body, bytes), response.body
        events: list[Obj] = []
        async with asyncio.timeout(5), aclosing(response.body) as body:  # type: ignore[type-var]
            if act is not None:
                await act()
            async for chunk in body:
                events += [json.loads(line) for line in chunk.splitlines()]
                if len(events) >= count:
                    break
        return events


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for revisions of the future."""
    monkeypatch.setattr(freshness, "PATIENCE", 0.0)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    clock = Clock()
    store = await SqliteStore.open(str(tmp_path / "state.db"))
    config = ServerConfig(pki_dir=tmp_path / "pki")
    app = ApiServer(store, config, clock=clock, rand=random.Random(1).randrange, dial_node=no_kubelet)
    await app.start()
    try:
        yield Api(app, clock)
        for key, revision, obj in decoded(app):
            item = await store.get(key)
            gone = item is None or item.revision != revision
            assert gone or _plain(obj) == decode(item.value, revision), f"{key}: a shared object was changed"
    finally:
        await app.close()
        await store.close()


def decoded(app: ApiServer) -> list[tuple[str, int, Obj]]:
    """The objects that the server holds in its hands: (key, revision, object)."""
    if app.core is None:
        return []
    decoder = app.core.decoder
    kept = [(key, revision, obj) for key, (revision, obj) in decoder._known.items()]
    return kept + [(key, revision, obj) for (key, revision), obj in decoder._at_hand.items()]


def _plain(obj: Obj) -> Obj:
    """An object whose managedFields can be read."""
    plain: Obj = orjson.loads(orjson.dumps(obj))
    return plain


@pytest.fixture
def pod() -> Callable[..., Obj]:
    """A small pod; keywords go into its spec."""

    def build(name: str, labels: Obj | None = None, **spec: Any) -> Obj:
        metadata: Obj = {"name": name, **({"labels": labels} if labels else {})}
        return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}

    return build
