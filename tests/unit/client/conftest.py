"""A small API server for one collection of ConfigMaps, kept in a dict, with an honest watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest

from netsim.api.errors import StatusError, expired
from netsim.api.kinds import Obj
from netsim.http.types import Request, Response


def answer_error(error: StatusError) -> Response:
    return Response(error.code, [("Content-Type", "application/json")], orjson.dumps(error.status()))


@dataclass
class FakeApi:
    """A Handler. `floor` is the oldest revision a watch may resume from; requests are kept in `seen`."""

    objects: dict[str, Obj] = field(default_factory=dict)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    revision: int = 100
    floor: int = 0
    seen: list[Request] = field(default_factory=list)
    failures: list[StatusError | OSError] = field(default_factory=list)
    cut_after: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)

    def _record(self, kind: str, obj: Obj) -> None:
        self.log.append((self.revision, orjson.dumps({"type": kind, "object": obj}) + b"\n"))
        self.changed.set()

    def put(self, name: str, value: str = "", *, uid: str = "") -> None:
        self.revision += 1
        old = self.objects.get(name)
        metadata = {"name": name, "namespace": "d", "resourceVersion": str(self.revision)}
        metadata["uid"] = uid or (old["metadata"]["uid"] if old else f"uid-{self.revision}")
        self.objects[name] = {"metadata": metadata, "data": {"v": value}}
        self._record("MODIFIED" if old else "ADDED", self._full(self.objects[name]))

    def remove(self, name: str) -> None:
        self.revision += 1
        old = self._full(self.objects.pop(name))
        self._record("DELETED", {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.revision)}})

    def bookmark(self) -> None:
        self._record("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(self.revision)}})

    def _full(self, obj: Obj) -> Obj:
        return {"apiVersion": "v1", "kind": "ConfigMap", **obj}

    def compact(self) -> None:
        """Forget the history, as etcd does, and break off the watches."""
        self.floor = self.revision
        self.log.clear()
        self.disconnect()

    def disconnect(self) -> None:
        self.hang_up.set()
        self.changed.set()

    async def __call__(self, request: Request) -> Response:
        self.seen.append(request)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, OSError):
                raise failure
            return answer_error(failure)
        if request.param("watch") == "true":
            return Response(
                200, [("Content-Type", "application/json")], self._stream(int(request.param("resourceVersion")))
            )
        items = list(self.objects.values())
        body = {"kind": "ConfigMapList", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(200, [("Content-Type", "application/json")], orjson.dumps(body))

    async def _stream(self, after: int) -> AsyncIterator[bytes]:
        self.hang_up = hang_up = asyncio.Event()
        sent = 0
        if after < self.floor:
            yield orjson.dumps({"type": "ERROR", "object": expired("too old").status()}) + b"\n"
            return
        while not hang_up.is_set():
            self.changed.clear()
            for revision, line in list(self.log):
                if revision > after:
                    after = revision
                    # Cut every event in two: lines need not arrive whole.
                    yield line[:7]
                    yield line[7:]
                    sent += 1
                    if self.cut_after and sent >= self.cut_after:
                        return
            await self.changed.wait()


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()
