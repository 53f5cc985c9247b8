"""The controllers' reading door: what the server itself says, where caches may be too early or too late to judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import KINDS, NAMESPACES, NODES, Kind, Obj
from netsim.api.objects import deletion_timestamp, uid_of
from netsim.client.rest import Client
from netsim.controllers.controller import Observe
from netsim.controllers.served import Served
from netsim.controllers.view import View

_GONE_KNOWN = 1000
PRESENT, ABSENT, CONTENTS, NODES_NOW = "present", "absent", "contents", "nodes"

NAMESPACED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.namespaced and kind.stored and not kind.view_of)
"""Every kind of which a namespace may hold objects; Events are one store with two views."""


async def all_nodes(client: Client, key: str, view: View) -> Mapping[str, Any]:
    """NODES_NOW: all Nodes, if one of the cached ones has no pod CIDR."""
    if all(node["spec"].get("podCIDR") for node in view.values(NODES)):
        return {}
    return {NODES_NOW: (await client.list(NODES)).get("items") or []}


async def node_presence(client: Client, key: str, view: View) -> Mapping[str, Any]:
    """PRESENT: whether the server has a Node which the cache has not (yet)."""
    if view.get(NODES, key) is not None:
        return {}
    return {PRESENT: await _find(client, NODES, key) is not None}


def contents_of(served: Served) -> Observe:
    """CONTENTS: (kind, object) of everything in a namespace that is being deleted, of the built-in and custom kinds."""

    async def observe(client: Client, key: str, view: View) -> Mapping[str, Any]:
        namespace = view.get(NAMESPACES, key)
        if namespace is None or not deletion_timestamp(namespace):
            return {}
        kinds = [*NAMESPACED, *(kind for kind in served.custom.values() if kind.namespaced)]
        lists = await asyncio.gather(*(_list(client, kind, key) for kind in kinds))
        return {CONTENTS: [(kind, obj) for kind, items in zip(kinds, lists, strict=True) for obj in items]}

    return observe


def absent_owners(served: Served, absent: Callable[[str, View], list[tuple[str, Obj]]]) -> Observe:
    """uid -> PRESENT or ABSENT, as the server says, for each owner reference which `absent(key, view)` gives with the
    namespace of who has it. An owner of a kind that is not served here cannot be judged and counts as there.

    An owner that was once not to be found never comes back, as no uid is given twice: the server is asked for it once,
    not for each of its thousand dependents."""
    gone: dict[tuple[str, ...], None] = {}

    async def present(client: Client, namespace: str, reference: Obj) -> bool:
        identity = (namespace, *(str(reference.get(field)) for field in ("apiVersion", "kind", "name", "uid")))
        if identity in gone:
            return False
        found = await _has_owner(client, served, namespace, reference)
        if not found:
            gone[identity] = None
            if len(gone) > _GONE_KNOWN:
                del gone[next(iter(gone))]
        return found

    async def observe(client: Client, key: str, view: View) -> Mapping[str, Any]:
        facts: dict[str, str] = {}
        for namespace, reference in absent(key, view):
            uid = reference["uid"]
            if facts.get(uid) != PRESENT:
                facts[uid] = PRESENT if await present(client, namespace, reference) else ABSENT
        return facts

    return observe


async def _has_owner(client: Client, served: Served, namespace: str, reference: Obj) -> bool:
    kind = served.of_reference(reference)
    if kind is None:
        return True
    owner = await _find(client, kind, reference["name"], namespace if kind.namespaced else "")
    return owner is not None and uid_of(owner) == reference["uid"]


async def _find(client: Client, kind: Kind, name: str, namespace: str = "") -> Obj | None:
    try:
        return await client.get(kind, name, namespace or None)
    except StatusError as error:
        if error.code == 404:
            return None
        raise


async def _list(client: Client, kind: Kind, namespace: str) -> list[Obj]:
    try:
        return list((await client.list(kind, namespace)).get("items") or [])
    except StatusError as error:
        if error.code == 404:  # the server does not serve this kind
            return []
        raise
