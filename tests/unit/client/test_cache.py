from __future__ import annotations

import pytest

from netsim.api.kinds import Obj
from netsim.client.cache import Cache


def pod(name: str, revision: int, node: str = "", uid: str = "") -> Obj:
    metadata = {"namespace": "d", "name": name, "resourceVersion": str(revision), "uid": uid or name}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}


def by_node(obj: Obj) -> list[str]:
    return [obj["spec"]["nodeName"]] if obj["spec"]["nodeName"] else []


def names(objects: list[Obj]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in objects)


def test_nothing_is_known_before_the_first_list() -> None:
    cache = Cache()
    assert not cache.synced
    cache.replace([], "7")
    assert cache.synced
    assert cache.revision == "7"


def test_unchanged_objects_cause_no_callback_on_relist() -> None:
    cache = Cache()
    cache.replace([pod("a", 1), pod("b", 2)], "2")
    keys: list[str] = []
    cache.on_change(lambda key, old, new: keys.append(key))
    del keys[:]
    cache.replace([pod("a", 1), pod("b", 3)], "3")
    assert keys == ["d/b"]


def test_index_follows_changes() -> None:
    cache = Cache()
    cache.replace([pod("a", 1, "n1")], "1")
    cache.add_index("node", by_node)
    assert names(cache.by_index("node", "n1")) == ["a"]
    cache.put(pod("b", 2, "n1"), "2")
    cache.put(pod("a", 3, "n2"), "3")
    assert names(cache.by_index("node", "n1")) == ["b"]
    assert names(cache.by_index("node", "n2")) == ["a"]
    cache.drop(pod("b", 4, "n1"), "4")
    assert cache.by_index("node", "n1") == []
    with pytest.raises(KeyError):
        cache.by_index("nothing", "x")


def test_callbacks_see_the_new_state_in_cache_and_index() -> None:
    cache = Cache()
    cache.add_index("node", by_node)
    seen: list[tuple[bool, list[str]]] = []
    cache.on_change(lambda key, old, new: seen.append((cache.get(key) is new, names(cache.by_index("node", "n1")))))
    cache.put(pod("a", 1, "n1"), "1")
    cache.drop(pod("a", 2, "n1"), "2")
    assert seen == [(True, ["a"]), (True, [])]


def test_a_new_object_under_an_old_name_is_first_a_deletion() -> None:
    cache = Cache()
    cache.put(pod("a", 1, uid="one"), "1")
    calls: list[tuple[str | None, str | None]] = []

    def uid(obj: Obj | None) -> str | None:
        return obj["metadata"]["uid"] if obj else None

    cache.on_change(lambda key, old, new: calls.append((uid(old), uid(new))))
    cache.put(pod("a", 2, uid="two"), "2")
    assert calls == [(None, "one"), ("one", None), (None, "two")]


def test_deletion_of_the_unknown_is_no_change() -> None:
    cache = Cache()
    calls: list[str] = []
    cache.on_change(lambda key, old, new: calls.append(key))
    cache.drop(pod("a", 2), "2")
    assert calls == []
    assert cache.revision == "2"


def test_failing_callback_is_logged_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache()
    calls: list[str] = []

    def broken(key: str, old: Obj | None, new: Obj | None) -> None:
        raise RuntimeError("boom")

    cache.on_change(broken)
    cache.on_change(lambda key, old, new: calls.append(key))
    cache.put(pod("a", 1), "1")
    assert calls == ["d/a"]
    assert "boom" in caplog.text
