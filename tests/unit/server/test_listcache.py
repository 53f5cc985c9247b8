from __future__ import annotations

import orjson
import pytest

from netsim.api.kinds import CONFIG_MAPS
from netsim.server import listcache
from netsim.server.codec import encode
from netsim.server.listcache import ListCache
from netsim.store.types import Item


def made(name: str, revision: int, size: int = 1) -> Item:
    obj = {"metadata": {"name": name, "namespace": "a", "uid": "u"}, "data": {"x": "y" * size}}
    return Item(f"/registry/core/configmaps/a/{name}", encode(CONFIG_MAPS, obj), revision, 1)


def versions(body: bytes) -> list[str]:
    return [item["metadata"]["resourceVersion"] for item in orjson.loads(b"[" + body + b"]")]


def test_a_changed_item_is_a_new_body() -> None:
    cache, items = ListCache(), [made(f"m{n:02d}", n + 1) for n in range(20)]
    first = cache.joined(CONFIG_MAPS, list(items))
    assert cache.joined(CONFIG_MAPS, list(items)) is first
    items[7] = made("m07", 99)
    changed = cache.joined(CONFIG_MAPS, list(items))
    assert versions(changed) == [*versions(first)[:7], "99", *versions(first)[8:]]
    assert versions(cache.joined(CONFIG_MAPS, items[:-1])) == versions(changed)[:-1]


def test_large_bodies_are_not_kept_and_the_total_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listcache, "_LARGEST", 5_000)
    monkeypatch.setattr(listcache, "_TOTAL", 7_000)
    cache = ListCache()
    small = [[made(f"{c}{n:02d}", n + 1, 50) for n in range(20)] for c in "abc"]
    bodies = [cache.joined(CONFIG_MAPS, items) for items in small]
    assert max(map(len, bodies)) < 5_000 and sum(map(len, bodies)) > 7_000
    assert cache.joined(CONFIG_MAPS, list(small[2])) is bodies[2]
    assert cache.joined(CONFIG_MAPS, list(small[0])) is not bodies[0]
    large = [made(f"l{n:02d}", n + 1, 500) for n in range(20)]
    assert cache.joined(CONFIG_MAPS, large) is not cache.joined(CONFIG_MAPS, large)
