"""What etcd holds at a revision, read a page at a time, and how far back its history goes."""

from __future__ import annotations

from netsim.store import etcd_wire as wire
from netsim.store.etcd_client import EtcdClient, EtcdLost, EtcdRefused
from netsim.store.etcd_wire import Keys
from netsim.store.types import Item

ROOT = "/registry/"
MARK = "/registry/.netsim-mark"
"""Written when etcd's newest revision belongs to somebody else's key, so that the watch tells how far it is."""

_PAGE = 2000


async def newest_revision(client: EtcdClient, keys: Keys) -> int:
    """etcd's newest revision, as the quorum knows it."""
    return wire.revision_of(await client.ask("kv/range", wire.revision_body(keys, MARK)))


async def kept_since(client: EtcdClient, keys: Keys, revision: int) -> int:
    """`revision`, or what etcd has been compacted to if that is later."""
    try:
        await client.ask("kv/range", wire.range_body(keys, MARK, revision=revision, limit=1))
        return revision
    except EtcdRefused as error:
        if not error.compacted:
            raise
    async for messages in client.watch(wire.watch_body(keys, ROOT, revision)):
        compacted = [int(m["compact_revision"]) for m in messages if "compact_revision" in m]
        if compacted:
            return compacted[0]
    raise EtcdLost("etcd: the watch ended")


async def items_at(client: EtcdClient, keys: Keys, revision: int) -> dict[str, Item]:
    """All items at a revision, by key; without the mark."""
    items: dict[str, Item] = {}
    start = ""
    while True:
        answer = await client.ask("kv/range", wire.range_body(keys, ROOT, start, revision=revision, limit=_PAGE))
        page = wire.items_of(keys, answer)
        items |= {item.key: item for item in page if item.key != MARK}
        if not answer.get("more"):
            return items
        start = page[-1].key + "\0"
