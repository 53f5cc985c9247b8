"""Stored bytes and wire bytes of objects: encoded once, the resourceVersion spliced in.

A stored value is the object's JSON in the order kind, apiVersion, metadata, rest, without resourceVersion; metadata
begins with managedFields, where there are any, and name. The head
up to `"metadata":{` is the same for all objects of a kind, so a GET, a LIST or a watch event is the stored bytes with
`"resourceVersion":"N",` put in at a known place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import cast

import orjson

from netsim.api.kinds import Kind, Obj, by_kind, split_api_version
from netsim.store.types import Item

ROOT = "/registry/"
_ENTRIES = "managedFields"
_AT_HAND = 64
"""Objects before and after their writes: watchers are told of some thirty writes at once at most."""
_METADATA = b'"metadata":{'
_FIRST = b'"managedFields":['
_NEXT = b'],"name":'
"""What follows the entries. It cannot stand inside them: there every quote behind `],` ends a string or is escaped."""


def stored_kind(kind: Kind) -> Kind:
    """The kind whose storage is used: events.k8s.io/v1 Events are stored as v1 Events. A version of a kind that is
    not in the table is stored as the same kind in another version."""
    return _stored_view(kind) if kind.view_of else kind


@lru_cache(256)
def _stored_view(kind: Kind) -> Kind:
    group, version = split_api_version(kind.view_of)
    return by_kind(group, version, kind.kind) or replace(kind, group=group, version=version, view_of="")


@lru_cache(1024)
def prefix_of(kind: Kind, namespace: str = "") -> str:
    """Key prefix of a kind, or of its objects in one namespace."""
    kind = stored_kind(kind)
    prefix = f"{ROOT}{kind.group or 'core'}/{kind.plural}/"
    return f"{prefix}{namespace}/" if kind.namespaced and namespace else prefix


def key_of(kind: Kind, namespace: str, name: str) -> str:
    return prefix_of(kind, namespace) + name


def shown_key(kind: Kind, key: str) -> str:
    """A key as kube-apiserver would name it: the groups of built-in kinds are not in it."""
    return key if kind.custom else ROOT + key.removeprefix(ROOT).partition("/")[2]


def _head(kind: Kind) -> bytes:
    return f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}","metadata":{{'.encode()


def encode(kind: Kind, obj: Obj) -> bytes:
    """The bytes to store. The object must have a name and a uid."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", _ENTRIES)}
    if obj["metadata"].get(_ENTRIES):
        metadata = {_ENTRIES: obj["metadata"][_ENTRIES], "name": metadata["name"], **metadata}
    rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
    text = orjson.dumps({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **rest})
    return bytes(memoryview(text))  # copied to its size: the encoder's buffer, 4 KiB at least, would stay as large


def wire(kind: Kind, value: bytes, revision: int) -> bytes:
    """A stored value as clients see it: with its resourceVersion."""
    head = _head(kind)
    return b'%s"resourceVersion":"%d",%s' % (head, revision, value[len(head) :])


def wire_list(kind: Kind, items: Iterable[Item]) -> list[bytes | memoryview]:
    """The items of a list in pieces to be joined: without kind and apiVersion, as Kubernetes writes lists. The pieces
    are views of the stored bytes, so that a list's body is copied once."""
    start = len(_head(kind))
    pieces: list[bytes | memoryview] = []
    for item in items:
        pieces.append(b'%s{"metadata":{"resourceVersion":"%d",' % (b"," if pieces else b"", item.revision))
        pieces.append(memoryview(item.value)[start:])
    return pieces


def decode(value: bytes, revision: int) -> Obj:
    """A fresh object with its resourceVersion, free to be changed."""
    obj = cast(Obj, orjson.loads(value))
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj


def decode_lean(value: bytes, revision: int) -> Obj:
    """An object whose managedFields stay the bytes they are: they would make up most of what it takes to keep it."""
    start, end = _entries_span(value)
    if not end:
        return decode(value, revision)
    obj = decode(value[:start] + value[end + 1 :], revision)
    obj["metadata"][_ENTRIES] = orjson.Fragment(value[start + len(_FIRST) - 1 : end])
    return obj


def _lean(item: Item, obj: Obj) -> Obj:
    """What `decode_lean` makes of an item that is known to be this object."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != _ENTRIES}
    metadata["resourceVersion"] = str(item.revision)
    start, end = _entries_span(item.value)
    if end:
        metadata[_ENTRIES] = orjson.Fragment(item.value[start + len(_FIRST) - 1 : end])
    return {**obj, "metadata": metadata}


def _decode_entries(value: bytes) -> list[Obj]:
    """The managedFields of a stored value, fresh."""
    start, end = _entries_span(value)
    return cast(list[Obj], orjson.loads(value[start + len(_FIRST) - 1 : end])) if end else []


def _entries_span(value: bytes) -> tuple[int, int]:
    """From the field's name to behind its list; (…, 0) when there are none."""
    start = value.find(_METADATA) + len(_METADATA)
    return start, value.index(_NEXT, start) + 1 if value.startswith(_FIRST, start) else 0


class Decoder:
    """Decoded objects by key and revision, the most recently used ones kept. What it returns must not be changed;
    its managedFields can be written as JSON but not read."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._known: OrderedDict[str, tuple[int, Obj]] = OrderedDict()
        self._at_hand: OrderedDict[tuple[str, int], Obj] = OrderedDict()

    def __call__(self, item: Item) -> Obj:
        known = self._known.get(item.key)
        if known is not None and known[0] == item.revision:
            self._known.move_to_end(item.key)
            return known[1]
        obj = self._at_hand.get((item.key, item.revision)) or decode_lean(item.value, item.revision)
        if known is None or known[0] < item.revision:
            self._keep(item.key, item.revision, obj)
        return obj

    def whole(self, item: Item) -> Obj:
        """As a call, with managedFields that can be read, for what is about to be out of date: it is not kept if it was
        not. Thousands of Leases that are renewed would drive out what is read again."""
        known = self.kept(item)
        if known is None or _ENTRIES not in known["metadata"]:
            return known or decode(item.value, item.revision)
        return {**known, "metadata": {**known["metadata"], _ENTRIES: _decode_entries(item.value)}}

    def kept(self, item: Item) -> Obj | None:
        """The object of just this version, if it is still kept."""
        known = self._known.get(item.key)
        if known is not None and known[0] == item.revision:
            return known[1]
        return self._at_hand.get((item.key, item.revision))

    def hand_over(self, item: Item, obj: Obj) -> None:
        """Tell what an item is, which its writer knows, for those who are told of the write in a moment and would have
        to decode it."""
        if self.kept(item) is None:
            self._have_at_hand(item.key, item.revision, _lean(item, obj))

    def _have_at_hand(self, key: str, revision: int, obj: Obj) -> None:
        self._at_hand[key, revision] = obj
        if len(self._at_hand) > _AT_HAND:
            self._at_hand.popitem(last=False)

    def _keep(self, key: str, revision: int, obj: Obj) -> None:
        self._known[key] = (revision, obj)
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def drop(self, key: str) -> None:
        """Keep no longer what is gone, but for those who are told of that in a moment."""
        known = self._known.pop(key, None)
        if known is not None:
            self._have_at_hand(key, *known)
