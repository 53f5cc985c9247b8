"""Sorted keys, kept by directory: most of what is asked for is one directory, and often a small one beside large ones
(pure)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable


def prefix_end(prefix: str) -> str:
    """The first key after all that start with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"


def _directory(text: str) -> str:
    return text[: text.rfind("/") + 1]


class Keys:
    """A set of keys. A key's directory is what it has up to its last slash, and may lie in others."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys: dict[str, list[str]] = {}
        self._outer: Counter[str] = Counter()
        for key in sorted(keys):
            self._of(_directory(key)).append(key)

    def _of(self, directory: str) -> list[str]:
        """The keys just in that directory."""
        keys = self._keys.get(directory)
        if keys is None:
            keys = self._keys[directory] = []
            self._outer.update(_around(directory))
        return keys

    def add(self, key: str) -> None:
        """`key` must not be there."""
        insort(self._of(_directory(key)), key)

    def remove(self, key: str) -> None:
        """`key` must be there."""
        directory = _directory(key)
        keys = self._keys[directory]
        del keys[bisect_left(keys, key)]
        if not keys:
            del self._keys[directory]
            self._outer -= Counter(_around(directory))

    def within(self, prefix: str, start: str = "") -> list[str]:
        """The keys with a prefix, from `start` on, sorted."""
        if prefix[-1:] == "/" and prefix not in self._outer:
            found = self._keys.get(prefix, [])
            return found[bisect_left(found, start) :] if start else found.copy()
        low, end = max(prefix, start), prefix_end(prefix)
        near = self._keys.get(_directory(prefix), [])
        below = [keys for name, keys in self._keys.items() if name.startswith(prefix) and keys is not near]
        found = near[bisect_left(near, low) : bisect_left(near, end)]
        for keys in below:
            found += keys[bisect_left(keys, low) :]
        found.sort()
        return found


def _around(directory: str) -> list[str]:
    """The directories that one lies in."""
    outer, found = _directory(directory[:-1]), []
    while outer:
        found.append(outer)
        outer = _directory(outer[:-1])
    return found
