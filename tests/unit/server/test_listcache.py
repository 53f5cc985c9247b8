from __future__ import annotations

import orjson
import pytest

from netsim.api.kinds import CONFIG_MAPS
from netsim.server import listcache
from netsim.server.codec import encode
from netsim.server.listcache import ListCache
from netsim.store.types import Item

HEAD = b'{"metadata":{"resourceVersion":"20"},"items":['


def made(name: str, revision: int, size: int = 1) -> Item:
    obj = {"metadata": {"name": name, "namespace": "a", "uid": "u"}, "data": {"x": "y" * size}}
    return Item(f"/registry/core/configmaps/a/{name}", encode(CONFIG_MAPS, obj), revision, 1)


def versions(body: bytes) -> list[str]:
    return [item["metadata"]["resourceVersion"] for item in orjson.loads(body)["items"]]


def test_a_changed_item_is_a_new_body() -> None:
    cache, items = ListCache(), [made(f"m{n:02d}", n + 1) for n in range(20)]
    first = cache.body(CONFIG_MAPS, HEAD, list(items))
    assert cache.body(CONFIG_MAPS, HEAD, list(items)) is first
    items[7] = made("m07", 99)
    changed = cache.body(CONFIG_MAPS, HEAD, list(items))
    assert versions(changed) == [*versions(first)[:7], "99", *versions(first)[8:]]
    assert versions(cache.body(CONFIG_MAPS, HEAD, items[:-1])) == versions(changed)[:-1]


def test_a_new_revision_of_the_same_items_is_a_new_head() -> None:
    cache, items = ListCache(), [made(f"m{n:02d}", n + 1) for n in range(20)]
    first = cache.body(CONFIG_MAPS, HEAD, list(items))
    for revision in (b"100", b"7"):
        head = HEAD.replace(b"20", revision)
        assert cache.body(CONFIG_MAPS, head, list(items)) == head + first[len(HEAD) :]


def test_large_bodies_are_not_kept_and_the_total_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listcache, "_LARGEST", 5_000)
    monkeypatch.setattr(listcache, "_TOTAL", 7_000)
    cache = ListCache()
    small = [[made(f"{c}{n:02d}", n + 1, 50) for n in range(20)] for c in "abc"]
    bodies = [cache.body(CONFIG_MAPS, HEAD, items) for items in small]
    assert max(map(len, bodies)) < 5_000 and sum(map(len, bodies)) > 7_000
    assert cache.body(CONFIG_MAPS, HEAD, list(small[2])) is bodies[2]
    assert cache.body(CONFIG_MAPS, HEAD, list(small[0])) is not bodies[0]
    large = [made(f"l{n:02d}", n + 1, 500) for n in range(20)]
    assert cache.body(CONFIG_MAPS, HEAD, large) is not cache.body(CONFIG_MAPS, HEAD, large)
