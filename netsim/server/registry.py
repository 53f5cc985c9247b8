"""Everything served at one moment: the table of kinds and those that CustomResourceDefinitions add (pure).

A registry never changes; when a definition does, another one takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from netsim.api.kinds import KINDS, Kind

T = TypeVar("T")

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


def version_rank(version: str) -> tuple[Any, ...]:
    """Sorts versions as Kubernetes does: v2, v1, v1beta2, v1beta1, v1alpha1, then what is no such version by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (1, version)
    return (0, -_STAGES[found[2]], -int(found[1]), -int(found[3] or 0))


class Registry:
    """The kinds in discovery order: those of the table, then custom groups by name, versions by rank. `closed` are the
    resources ("crontabs.example.com") whose definition is being deleted: nothing is created any more."""

    def __init__(self, custom: Iterable[Kind] = (), closed: Iterable[str] = (), extra: tuple[Kind, ...] = ()) -> None:
        self.closed = frozenset(closed)
        self.custom = tuple(sorted(custom, key=lambda k: (k.group, version_rank(k.version), k.plural)))
        self.kinds: tuple[Kind, ...] = KINDS + self.custom + extra
        self._by_plural = {(k.group, k.version, k.plural): k for k in reversed(self.kinds)}
        self._by_version: dict[tuple[str, str], list[Kind]] = {}
        for kind in self.kinds:
            self._by_version.setdefault((kind.group, kind.version), []).append(kind)
        self._documents: dict[Any, Any] = {}

    def by_plural(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind of that group ("" for core), version and plural name."""
        return self._by_plural.get((group, version, plural))

    def serves(self, kind: Kind) -> bool:
        """Whether just this kind is served: its definition has not changed since it was looked up."""
        return self.by_plural(kind.group, kind.version, kind.plural) is kind

    def groups(self) -> list[str]:
        """Named groups."""
        return list(dict.fromkeys(group for group, _ in self._by_version if group))

    def has_group(self, group: str) -> bool:
        return any(group == found for found, _ in self._by_version)

    def versions(self, group: str) -> list[str]:
        return [version for found, version in self._by_version if found == group]

    def group_versions(self) -> list[tuple[str, str]]:
        """(group, version) pairs."""
        return list(self._by_version)

    def kinds_of(self, group: str, version: str) -> list[Kind]:
        return self._by_version.get((group, version), [])

    def beside(self, extra: tuple[Kind, ...]) -> Registry:
        """The same with further kinds, which come last."""
        return self.remember(extra, lambda: Registry(self.custom, self.closed, extra))

    def remember(self, key: Any, make: Callable[[], T]) -> T:
        """A document that follows from the registry, made on first use."""
        if key not in self._documents:
            self._documents[key] = make()
        return cast(T, self._documents[key])


STATIC = Registry()
"""The kinds of the table alone."""
