"""As much of the Kubernetes API as an agent uses."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from netsim.api.patch import merge_patch
from netsim.http.types import Request, Response

Obj = dict[str, Any]
NODE = "agenttest-node"


class FakeApi:
    """As much of the API as an agent uses: objects by (plural, key), watches, and every status it was sent."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.revision = 1
        self.watchers: list[tuple[str, asyncio.Queue[bytes]]] = []
        self.events: list[Obj] = []
        self.closing = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""
        parts = parts[2:] if namespace else parts
        plural, name, sub = ([*parts, "", ""])[:3]
        key = f"{namespace}/{name}" if namespace else name
        body = json.loads(request.body) if request.body else {}
        if request.method == "GET" and not name:
            return self.watch(plural) if request.param("watch") else self.list(plural)
        if request.method == "POST" and sub == "token":
            return self.answer({**body, "status": {"token": f"token-of-{name}"}}, 201)
        if request.method == "POST":
            return self.create(plural, namespace, body)
        found = self.objects.get((plural, key))
        if found is None:
            return self.answer(
                {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{plural} {key} not found"}, 404
            )
        if request.method == "PATCH":
            return self.answer(self.put(plural, key, merge_patch(found, body)))
        if request.method == "DELETE":
            self.drop(plural, key)
        return self.answer(found)

    @staticmethod
    def answer(obj: Obj, status: int = 200) -> Response:
        return Response(status, [("Content-Type", "application/json")], json.dumps(obj).encode())

    def create(self, plural: str, namespace: str, obj: Obj) -> Response:
        if plural == "events":
            self.events.append(obj)
        obj["metadata"].setdefault("uid", str(uuid.uuid4()))
        key = f"{namespace}/{obj['metadata']['name']}" if namespace else obj["metadata"]["name"]
        if (plural, key) in self.objects:
            return self.answer({"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": key}, 409)
        return self.answer(self.put(plural, key, obj), 201)

    def list(self, plural: str) -> Response:
        items = [o for (p, _), o in self.objects.items() if p == plural]
        return self.answer({"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items})

    def watch(self, plural: str) -> Response:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers.append((plural, queue))

        async def lines() -> AsyncIterator[bytes]:
            while True:
                yield await queue.get()

        return Response(200, [("Content-Type", "application/json")], lines())

    def put(self, plural: str, key: str, obj: Obj) -> Obj:
        kind = "MODIFIED" if (plural, key) in self.objects else "ADDED"
        self.revision += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[(plural, key)] = obj
        self.tell(plural, kind, obj)
        return obj

    def drop(self, plural: str, key: str) -> None:
        self.revision += 1
        obj = self.objects.pop((plural, key))
        self.tell(plural, "DELETED", {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}})

    def tell(self, plural: str, kind: str, obj: Obj) -> None:
        for watched, queue in self.watchers:
            if watched == plural:
                queue.put_nowait(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    # what tests use

    def pod(self, name: str, containers: list[Obj], **spec: Any) -> str:
        uid = str(uuid.uuid4())
        meta = {"name": name, "namespace": "default", "uid": uid}
        kind = {"apiVersion": "v1", "kind": "Pod"}
        self.put(
            "pods",
            f"default/{name}",
            {**kind, "metadata": meta, "spec": {"nodeName": NODE, "containers": containers, **spec}},
        )
        return uid

    def delete_pod(self, name: str, grace: int = 1) -> None:
        pod = self.objects[("pods", f"default/{name}")]
        mark = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
        self.put("pods", f"default/{name}", merge_patch(pod, {"metadata": mark}))

    def status(self, name: str) -> Obj:
        return self.objects.get(("pods", f"default/{name}"), {}).get("status") or {}

    def container(self, name: str, container: str) -> Obj:
        found = self.status(name).get("containerStatuses") or []
        return next((c for c in found if c["name"] == container), {"state": {}, "restartCount": -1})

    def ready(self, name: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or [])
