"""etcd v3 messages in the JSON form of its gateway (pure): requests from writes, items and events from answers.

Source: etcd's api/etcdserverpb/rpc.proto and the proto3 JSON mapping: bytes are base64, 64-bit numbers are strings,
fields that have their default are left out.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import orjson

from netsim.store.batch import Write
from netsim.store.keys import prefix_end
from netsim.store.types import Event, Item

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A key's deletion, which etcd tells without the value."""

    key: str
    revision: int


Change = Item | Deletion


def text64(value: str | bytes) -> str:
    return b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")


class Keys:
    """Store keys below a root of the etcd keyspace ("" by default)."""

    def __init__(self, root: str) -> None:
        self._root = root

    def encode(self, key: str) -> str:
        return text64(self._root + key)

    def end(self, prefix: str) -> str:
        """The end of the range of all keys that start with `prefix`."""
        return text64(prefix_end(self._root + prefix))

    def decode(self, key: str) -> str:
        return b64decode(key).decode().removeprefix(self._root)


def txn_body(keys: Keys, write: Write) -> bytes:
    """A write that takes effect only if the key's revision is the expected one, else the key's present state."""
    key = keys.encode(write.key)
    if write.value is None:
        success: Message = {"request_delete_range": {"key": key}}
    else:
        success = {"request_put": {"key": key, "value": text64(write.value)}}
    compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": write.expected}
    return orjson.dumps({"compare": [compare], "success": [success], "failure": [{"request_range": {"key": key}}]})


def put_body(keys: Keys, key: str) -> bytes:
    return orjson.dumps({"key": keys.encode(key)})


def range_body(keys: Keys, prefix: str, start: str = "", *, revision: int, limit: int) -> bytes:
    """One page of a prefix from key `start` on, as of a revision."""
    first = keys.encode(max(prefix, start))
    return orjson.dumps({"key": first, "range_end": keys.end(prefix), "revision": revision, "limit": limit})


def revision_body(keys: Keys, key: str) -> bytes:
    """A linearizable read of next to nothing; its answer's header has the newest revision."""
    return orjson.dumps({"key": keys.encode(key), "keys_only": True})


def watch_body(keys: Keys, prefix: str, start: int) -> bytes:
    """A watch of a prefix from revision `start` on."""
    wanted = {"key": keys.encode(prefix), "range_end": keys.end(prefix), "start_revision": start}
    return orjson.dumps({"create_request": wanted})


def revision_of(answer: Message) -> int:
    """The newest revision when the answer was made."""
    return int(answer["header"].get("revision", 0))


def item_of(keys: Keys, pair: Message) -> Item:
    return Item(
        keys.decode(pair["key"]),
        b64decode(pair.get("value", "")),
        int(pair["mod_revision"]),
        int(pair.get("create_revision", 0)),
    )


def items_of(keys: Keys, answer: Message) -> list[Item]:
    return [item_of(keys, pair) for pair in answer.get("kvs", ())]


def current_of(keys: Keys, answer: Message) -> Item | None:
    """The key's state that a refused write found."""
    found = items_of(keys, answer["responses"][0]["response_range"])
    return found[0] if found else None


def changes_of(keys: Keys, message: Message, after: int) -> list[Change]:
    """Changes of a watch message later than `after`, in order."""
    changes: list[Change] = []
    for event in message.get("events", ()):
        pair = event["kv"]
        revision = int(pair["mod_revision"])
        if revision <= after:
            continue  # before its value is decoded: one's own writes come here a second time
        if event.get("type") == "DELETE":
            changes.append(Deletion(keys.decode(pair["key"]), revision))
        else:
            changes.append(item_of(keys, pair))
    return changes


def event_of(change: Change, before: Item | None) -> Event | None:
    """The event that a change is, given the item before it; None for the deletion of what was not there. An item whose
    creation is not known (0) takes it from the one before."""
    if isinstance(change, Item):
        if not change.created:
            change = change._replace(created=before.created if before is not None else change.revision)
        return Event("ADDED" if before is None else "MODIFIED", change.key, change.revision, change, before)
    return Event("DELETED", change.key, change.revision, None, before) if before is not None else None


def messages(lines: Iterable[bytes]) -> list[Message]:
    """Parsed lines of a stream."""
    return [cast(Message, orjson.loads(line)) for line in lines if line]
