"""The joined bytes of whole lists, kept for as long as their items are the same: most lists are asked for again."""

from __future__ import annotations

from collections import OrderedDict

from netsim.api.kinds import Kind
from netsim.server.codec import wire_list
from netsim.store.types import Item

_FEWEST = 16
_LARGEST = 8 << 20
_TOTAL = 16 << 20


class ListCache:
    """Bodies by kind and first key, the most recently used ones, bounded in bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Kind, str], tuple[list[Item], bytes]] = OrderedDict()
        self._size = 0

    def joined(self, kind: Kind, items: list[Item]) -> bytes:
        """The items of a list, joined by commas."""
        if len(items) < _FEWEST:
            return b"".join(wire_list(kind, items))
        place = (kind, items[0].key)
        known = self._known.get(place)
        # Items that did not change are the same Python objects, so this compares pointers.
        if known is not None and known[0] == items:
            self._known.move_to_end(place)
            return known[1]
        body = b"".join(wire_list(kind, items))
        self._keep(place, items, body)
        return body

    def _keep(self, place: tuple[Kind, str], items: list[Item], body: bytes) -> None:
        before = self._known.pop(place, None)
        self._size -= len(before[1]) if before is not None else 0
        if len(body) <= _LARGEST:
            self._known[place] = (items, body)
            self._size += len(body)
        while self._size > _TOTAL:
            self._size -= len(self._known.popitem(last=False)[1][1])
