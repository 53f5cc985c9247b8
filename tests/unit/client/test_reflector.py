from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netsim.api.errors import StatusError, forbidden
from netsim.api.kinds import CONFIG_MAPS, Obj
from netsim.client.cache import Cache
from netsim.client.reflector import LAST_DELAY, Backoff, Reflector
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer, Request, Response

Change = tuple[str, str | None, str | None]


@asynccontextmanager
async def reflecting(api: Any, **options: Any) -> AsyncIterator[Cache]:
    cache = Cache()
    client = Client(InProcessTransport(api, Peer(trusted=True)))
    task = asyncio.ensure_future(Reflector(client, CONFIG_MAPS, cache, **options).run())
    try:
        await asyncio.wait_for(cache.wait_synced(), 5)
        yield cache
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def value(obj: Obj | None) -> str | None:
    return None if obj is None else obj["data"]["v"]


def record(cache: Cache) -> list[Change]:
    changes: list[Change] = []
    cache.on_change(lambda key, old, new: changes.append((key, value(old), value(new))))
    return changes


def versions(objects: dict[str, Obj]) -> dict[str, str]:
    return {key: obj["metadata"]["resourceVersion"] for key, obj in objects.items()}


def agrees(api: Any, cache: Cache) -> bool:
    return versions({f"d/{name}": obj for name, obj in api.objects.items()}) == versions(dict(cache.items()))


async def test_list_then_watch_calls_back_with_old_and_new(api: Any) -> None:
    api.put("a", "1")
    async with reflecting(api) as cache:
        changes = record(cache)
        assert changes == [("d/a", None, "1")]
        api.put("a", "2")
        api.put("b", "3")
        api.remove("a")
        await until(lambda: len(changes) == 4)
        assert changes[1:] == [("d/a", "1", "2"), ("d/b", None, "3"), ("d/a", "2", None)]
        assert cache.revision == str(api.revision)
        assert cache.get("d/b") is not None


async def test_list_items_get_the_kind_that_lists_leave_out(api: Any) -> None:
    api.put("a")
    async with reflecting(api) as cache:
        found = cache.get("d/a")
        assert found is not None
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


async def test_requests_carry_selectors_bookmarks_and_a_timeout(api: Any) -> None:
    async with reflecting(api, namespace="d", label_selector="a=b", field_selector="metadata.name!=x"):
        await until(lambda: len(api.seen) == 2)
    listing, watch = api.seen
    for request in (listing, watch):
        assert request.path == "/api/v1/namespaces/d/configmaps"
        assert request.param("labelSelector") == "a=b"
        assert request.param("fieldSelector") == "metadata.name!=x"
    assert (watch.param("watch"), watch.param("allowWatchBookmarks")) == ("true", "true")
    assert watch.param("resourceVersion") == "100"
    assert 300 <= int(watch.param("timeoutSeconds")) <= 600


async def test_watch_resumes_without_listing_again(api: Any) -> None:
    api.put("a", "1")
    api.cut_after = 1
    async with reflecting(api) as cache:
        changes = record(cache)
        for n in range(10):
            api.put("a", str(n))
        await until(lambda: len(changes) == 11)
        assert [new for _, _, new in changes[1:]] == [str(n) for n in range(10)]
    assert sum(request.param("watch") == "" for request in api.seen) == 1


async def test_bookmark_moves_the_point_of_resumption(api: Any) -> None:
    async with reflecting(api) as cache:
        await until(lambda: len(api.seen) == 2)
        api.revision += 50
        api.bookmark()
        await until(lambda: cache.revision == "150")
        api.disconnect()
        await until(lambda: len(api.seen) == 3)
        assert api.seen[-1].param("resourceVersion") == "150"


async def test_gone_relists_and_synthesizes_what_was_missed(api: Any) -> None:
    for name in ("kept", "changed", "removed", "replaced"):
        api.put(name, "1")
    async with reflecting(api) as cache:
        changes = record(cache)
        del changes[:]
        await until(lambda: len(api.seen) == 2)
        # All of this happens while nobody watches, and is forgotten.
        api.disconnect()
        api.put("changed", "2")
        api.remove("removed")
        api.remove("replaced")
        api.put("replaced", "2", uid="another")
        api.put("new", "1")
        api.compact()
        await until(lambda: agrees(api, cache))
        assert sorted(changes[:1]) == [("d/removed", "1", None)]
        assert sorted(changes[1:], key=str) == sorted(
            [("d/changed", "1", "2"), ("d/replaced", "1", None), ("d/replaced", None, "2"), ("d/new", None, "1")],
            key=str,
        )
        assert changes.index(("d/replaced", "1", None)) < changes.index(("d/replaced", None, "2"))
        api.put("new", "2")
        await until(lambda: agrees(api, cache))


async def test_failures_are_retried_and_nothing_is_lost(api: Any) -> None:
    api.put("a", "1")
    refusal = forbidden(CONFIG_MAPS, "", "not yet")
    api.failures = [ConnectionRefusedError("no server"), refusal]
    async with reflecting(api) as cache:
        await until(lambda: len(api.seen) == 4)
        api.failures = [ConnectionResetError("gone"), StatusError(500, "InternalError", "oops"), TimeoutError("slow")]
        api.put("a", "2")
        api.disconnect()
        api.put("a", "3")
        await until(lambda: agrees(api, cache))
    assert sum(request.param("watch") == "" for request in api.seen) == 3


async def test_server_with_a_shorter_history_is_listed_again(api: Any) -> None:
    api.put("a", "1")
    async with reflecting(api) as cache:
        await until(lambda: len(api.seen) == 2)
        too_large = StatusError(504, "Timeout", "x", {"causes": [{"reason": "ResourceVersionTooLarge", "message": ""}]})
        api.failures = [too_large]
        api.revision = 5
        api.put("b", "1")
        del api.objects["a"]
        api.log.clear()
        api.disconnect()
        await until(lambda: agrees(api, cache))


@pytest.mark.parametrize("seed", range(5))
async def test_any_history_of_changes_and_cuts_arrives_once_and_in_order(api: Any, seed: int) -> None:
    rng = random.Random(seed)
    names = "abcde"
    async with reflecting(api) as cache:
        last: dict[str, int] = {}

        def check(key: str, old: Obj | None, new: Obj | None) -> None:
            revision = int((new or old or {})["metadata"]["resourceVersion"])
            assert old is not new
            assert revision > last.get(key, 0) or new is None, "an event was repeated or came out of order"
            last[key] = revision

        cache.on_change(check)
        for _ in range(300):
            name = rng.choice(names)
            action = rng.random()
            if name in api.objects and action < 0.3:
                api.remove(name)
            elif action < 0.9:
                api.put(name, str(action))
            elif action < 0.94:
                api.bookmark()
            elif action < 0.98:
                api.disconnect()
            else:
                api.compact()
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        await until(lambda: agrees(api, cache))


def test_backoff_grows_from_20_ms_to_one_second() -> None:
    backoff = Backoff()
    delays = [backoff.delay() for _ in range(12)]
    assert 0.01 <= delays[0] <= 0.02
    assert all(low <= delay <= high for delay, low, high in zip(delays[-3:], [0.5] * 3, [LAST_DELAY] * 3, strict=True))
    backoff.reset()
    assert backoff.delay() <= 0.02


async def test_metadata_alone_is_kept_where_asked(api: Any) -> None:
    api.put("a", "1")
    async with reflecting(api, metadata_only=True) as cache:
        api.put("b", "2")
        await until(lambda: len(cache) == 2)
        for obj in cache.values():
            assert obj.keys() == {"apiVersion", "kind", "metadata"} and obj["kind"] == "ConfigMap"
        assert agrees(api, cache)


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, {"1000"}),
        ({"label_selector": "a=b"}, {""}),
        ({"label_selector": "a=b", "metadata_only": True}, {"1000"}),
        ({"label_selector": "a=b", "keep": dict}, {"1000"}),
    ],
)
async def test_a_selection_comes_in_pages_where_little_is_kept_of_it(
    api: Any, options: dict[str, Any], limits: set[str]
) -> None:
    asked: set[str] = set()

    async def listening(request: Request) -> Response:
        if "watch" not in dict(request.query):
            asked.add(dict(request.query).get("limit", ""))
        return await api(request)  # type: ignore[no-any-return]

    async with reflecting(listening, **options):
        assert asked == limits
