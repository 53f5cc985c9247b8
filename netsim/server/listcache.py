"""The bytes of whole lists, kept for as long as their items are the same: most lists are asked for again."""

from __future__ import annotations

from collections import OrderedDict

from netsim.api.kinds import Kind
from netsim.server.codec import wire_list
from netsim.store.types import Item

_FEWEST = 16
_LARGEST = 8 << 20
_TOTAL = 16 << 20
_END = b"]}\n"


class ListCache:
    """Bodies by kind and first key, the most recently used ones, bounded in bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Kind, str], tuple[list[Item], bytes, bytes]] = OrderedDict()
        self._size = 0

    def body(self, kind: Kind, head: bytes, items: list[Item]) -> bytes:
        """A List: `head` up to its items, which are joined by commas, and its end."""
        if len(items) < _FEWEST:
            return b"".join((head, *wire_list(kind, items), _END))
        place = (kind, items[0].key)
        known = self._known.get(place)
        # Items that did not change are the same Python objects, so this compares pointers.
        if known is None or known[0] != items:
            body = b"".join((head, *wire_list(kind, items), _END))
        elif known[1] == head:
            self._known.move_to_end(place)
            return known[2]
        else:  # Other kinds have changed, and with them the revision in the head.
            body = b"".join((head, memoryview(known[2])[len(known[1]) :]))
        self._keep(place, items, head, body)
        return body

    def _keep(self, place: tuple[Kind, str], items: list[Item], head: bytes, body: bytes) -> None:
        before = self._known.pop(place, None)
        self._size -= len(before[2]) if before is not None else 0
        if len(body) <= _LARGEST:
            self._known[place] = (items, head, body)
            self._size += len(body)
        while self._size > _TOTAL:
            self._size -= len(self._known.popitem(last=False)[1][2])
