"""Typed-by-table REST client of the Kubernetes API; objects are plain JSON dicts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import orjson

from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import name_of, namespace_of
from netsim.client.transport import Transport
from netsim.http.types import Request, Response

PatchType = Literal["merge", "json", "strategic", "apply"]

_PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_JSON = ("content-type", "application/json")
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired"}


def _query(**values: str | int | bool | None) -> list[tuple[str, str]]:
    """Query pairs of the values that are set, in camelCase."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None or value == "" or value is False:
            continue
        first, *rest = name.split("_")
        text = "true" if value is True else str(value)
        pairs.append((first + "".join(map(str.capitalize, rest)), text))
    return pairs


def error_of(status: int, body: bytes) -> StatusError:
    """The StatusError of a refusal, also when its body is no Status object (a proxy's page, plain text)."""
    try:
        obj = orjson.loads(body)
    except orjson.JSONDecodeError:
        obj = None
    if isinstance(obj, dict) and obj.get("kind") == "Status":
        return StatusError.from_status({"code": status, **obj})
    text = body[:500].decode("utf-8", "replace").strip()
    return StatusError.from_status(
        {"code": status, "reason": _REASONS.get(status, ""), "message": text or f"the server answered {status}"}
    )


class Client:
    """Every call raises StatusError for a refusal, OSError when the server cannot be reached.

    `agent` is the name it writes under: its User-Agent, which managedFields name.
    """

    def __init__(self, transport: Transport, agent: str = "netsim") -> None:
        self.transport = transport
        self._head = [("accept", "application/json"), ("user-agent", agent)]

    async def _call(self, method: str, path: str, query: list[tuple[str, str]], body: Any = None) -> Obj:
        headers = self._head if body is None else [*self._head, _JSON]
        return await self._send(Request(method, path, query, headers, b"" if body is None else orjson.dumps(body)))

    async def _send(self, request: Request) -> Obj:
        body = await self._ask(request)
        obj: Obj = orjson.loads(body) if body else {}
        return obj

    async def _ask(self, request: Request) -> bytes:
        response = await self.transport(request)
        body = response.body
        assert isinstance(body, bytes)
        if response.status >= 400:
            raise error_of(response.status, body)
        return body

    async def get(self, kind: Kind, name: str, namespace: str | None = None, sub: str = "") -> Obj:
        return await self._call("GET", kind.path(namespace, name, sub), [])

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_: str = "",
    ) -> Obj:
        """The List object; with `limit`, one page of it (the next with `continue_` = metadata.continue)."""
        query = _query(
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            limit=limit or None,
        )
        query += [("continue", continue_)] if continue_ else []
        return await self._call("GET", kind.path(namespace), query)

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        """POST; the namespace is `namespace`, else the object's own."""
        return await self._call("POST", kind.path(namespace or namespace_of(obj) or None), [], obj)

    async def update(self, kind: Kind, obj: Obj, sub: str = "") -> Obj:
        """PUT of a whole object; metadata.resourceVersion, if set, must be the current one (else 409)."""
        return await self._call("PUT", kind.path(namespace_of(obj) or None, name_of(obj), sub), [], obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        sub: str = "",
        field_manager: str = "netsim",
    ) -> Obj:
        query = _query(field_manager=field_manager, force=True) if type == "apply" else []
        headers = [*self._head, ("content-type", _PATCH_TYPES[type])]
        return await self._send(Request("PATCH", kind.path(namespace, name, sub), query, headers, orjson.dumps(patch)))

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
    ) -> None:
        """DELETE; `grace` in seconds, `propagation` Background, Foreground or Orphan, `uid` a precondition.

        The answer, the object or a Status, is not decoded: nobody asks what it was that goes.
        """
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        await self._ask(Request("DELETE", kind.path(namespace, name), [], [*self._head, _JSON], orjson.dumps(options)))

    async def post(self, path: str, obj: Obj) -> Obj:
        """POST to any path: bindings, tokens, evictions, reviews."""
        return await self._call("POST", path, [], obj)

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncIterator[bytes]:
        """Raw chunks of a watch after `resource_version`, with bookmarks; `aclose` the iterator to hang up."""
        query = _query(
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )
        response = await self.transport.stream(Request("GET", kind.path(namespace), query, self._head))
        if response.status >= 400:
            raise error_of(response.status, await read_all(response))
        assert not isinstance(response.body, bytes)
        return response.body

    async def close(self) -> None:
        await self.transport.close()


async def read_all(response: Response) -> bytes:
    """The whole body of a streamed response."""
    body = response.body
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])
