"""The current items and the bounded history of changes, in memory (pure)."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from netsim.store.keys import Keys
from netsim.store.types import Compacted, Event, Item, Page, StoreError

# Lists of at least so many items are kept, so many of them, for the next one who asks.
_LONG = 64
_KEPT = 16


def _revision(event: Event) -> int:
    return event.revision


class State:
    """Everything up to `revision`. The history holds every event after `floor`, in the order of revisions.

    Revisions may be missing from it: a database that others use too gives some of them to its other keys.
    """

    def __init__(self, floor: int) -> None:
        self.floor = self.revision = floor
        self._items: dict[str, Item] = {}
        self._keys = Keys()
        self._history: deque[Event] = deque()
        self._lists: dict[str, list[Item]] = {}

    def __len__(self) -> int:
        return len(self._history)

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def restore(self, items: dict[str, Item], history: Iterable[Event]) -> None:
        """Take over the state that a database held."""
        self._items, self._keys = items, Keys(items)
        self._lists.clear()
        self._history = deque(history)
        self.revision = self._history[-1].revision if self._history else self.floor

    def advance(self, revision: int) -> None:
        """Nothing has changed up to `revision`."""
        self.revision = max(self.revision, revision)

    def apply(self, events: Sequence[Event]) -> None:
        """Take in events that are durable; the first must be later than `revision`."""
        for event in events:
            if event.item is None:
                del self._items[event.key]
                self._keys.remove(event.key)
            else:
                if event.previous is None:
                    self._keys.add(event.key)
                self._items[event.key] = event.item
            self._history.append(event)
            self.revision = event.revision
            for prefix in [prefix for prefix in self._lists if event.key.startswith(prefix)]:
                del self._lists[prefix]

    def since(self, prefix: str, after: int) -> list[Event]:
        """Kept events of a prefix later than `after`; raises Compacted when some are gone."""
        self._check(after)
        late = islice(self._history, bisect_right(self._history, after, key=_revision), None)
        return [event for event in late if event.key.startswith(prefix)]

    def page(self, prefix: str, limit: int, start: str, revision: int) -> Page:
        """See types.Store.list."""
        if revision in (0, self.revision):
            if not (limit or start):
                return Page(self._all(prefix), self.revision)
            keys, items = self._keys.within(prefix, start), self._items
            revision = self.revision
        else:
            items = self._as_of(prefix, revision)
            keys = sorted(key for key in items if key >= start)
        chosen = keys[:limit] if limit else keys
        return Page([items[key] for key in chosen], revision, len(keys) - len(chosen))

    def _all(self, prefix: str) -> list[Item]:
        """The items of a prefix now; not to be changed."""
        found = self._lists.get(prefix)
        if found is None:
            found = [self._items[key] for key in self._keys.within(prefix)]
            if len(found) >= _LONG:
                if len(self._lists) == _KEPT:
                    del self._lists[next(iter(self._lists))]
                self._lists[prefix] = found
        return found

    def _as_of(self, prefix: str, revision: int) -> dict[str, Item]:
        """Items of a prefix at an earlier revision: the present, with the later events undone."""
        if revision > self.revision:
            raise StoreError(f"revision {revision} does not exist yet; the newest is {self.revision}")
        later = self.since(prefix, revision)
        items = {key: self._items[key] for key in self._keys.within(prefix)}
        for event in reversed(later):
            if event.previous is None:
                items.pop(event.key, None)
            else:
                items[event.key] = event.previous
        return items

    def _check(self, revision: int) -> None:
        if revision < self.floor:
            raise Compacted(self.floor)

    def forget(self, floor: int) -> list[int]:
        """Drop the history up to `floor`; revisions of versions that nothing refers to any more."""
        garbage: list[int] = []
        self.floor = min(max(floor, self.floor), self.revision)
        while self._history and self._history[0].revision <= self.floor:
            event = self._history.popleft()
            if event.previous is not None:
                garbage.append(event.previous.revision)
            if event.item is None:
                garbage.append(event.revision)
        return garbage
