"""Watches: order, selector transitions, initial events, history, Tables, timeouts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netsim.api.kinds import CONFIG_MAPS
from netsim.server.hub import WARM, Hub
from netsim.server.selection import compile_selection
from netsim.store.types import Event, Item

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def line(event: dict[str, Any]) -> tuple[str, str, Any]:
    metadata = event["object"]["metadata"]
    return event["type"], metadata["name"], metadata.get("labels")


async def change_three_times(api: Any) -> None:
    """As in the recording: created with x=1, relabelled x=2, deleted."""
    await api.post(MAPS, {"metadata": {"name": "w2", "labels": {"x": "1"}}})
    await api.merge(f"{MAPS}/w2", {"metadata": {"labels": {"x": "2"}}})
    await api.ok("DELETE", f"{MAPS}/w2")


async def revision(api: Any) -> int:
    return int((await api.get(MAPS))["metadata"]["resourceVersion"])


async def test_from_a_revision_in_order(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={start}", 3)
    assert [line(event) for event in events] == [
        ("ADDED", "w2", {"x": "1"}),
        ("MODIFIED", "w2", {"x": "2"}),
        ("DELETED", "w2", {"x": "2"}),
    ]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == [start + 1, start + 2, start + 3]
    assert all(event["object"]["kind"] == "ConfigMap" for event in events)


async def test_leaving_the_selector_is_deleted_with_old_labels_and_new_revision(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    events = await api.watch(f"{MAPS}?watch=True&labelSelector=x=1&resourceVersion={start}", 2)
    assert [line(event) for event in events] == [("ADDED", "w2", {"x": "1"}), ("DELETED", "w2", {"x": "1"})]
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) == start + 2
    events = await api.watch(f"{MAPS}?watch=1&labelSelector=x=2&resourceVersion={start}", 2)
    assert [line(event) for event in events] == [("ADDED", "w2", {"x": "2"}), ("DELETED", "w2", {"x": "2"})]


async def test_by_name_alone_tells_the_same_as_when_every_field_is_compared(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    await api.post(MAPS, {"metadata": {"name": "other"}})
    await change_three_times(api)
    watch = f"{MAPS}?watch=1&resourceVersion={start}&fieldSelector=metadata.name%3Dw2"
    told = await api.watch(watch, 6)
    assert [line(event) for event in told] == 2 * [
        ("ADDED", "w2", {"x": "1"}),
        ("MODIFIED", "w2", {"x": "2"}),
        ("DELETED", "w2", {"x": "2"}),
    ]
    assert told == await api.watch(f"{watch}%2Cmetadata.namespace%3Ddefault", 6)
    names = ("metadata.name=w2", "metadata.name=w2,metadata.name=other")
    selections = [compile_selection(CONFIG_MAPS, "default", "", fields) for fields in names]
    assert [selection.single for selection in selections] == [True, False], "no object has two names"


async def test_a_nodes_pods_come_with_their_binding(api: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    spec = {"containers": [{"name": "c", "image": "nginx", "env": [{"name": "nodeName", "value": "n1"}]}]}
    start = await revision(api)
    for name, node in (("here", "n1"), ("there", "n2"), ("nowhere", "")):
        labels = {"nodeName": "n1"}  # says the same, and is something else
        await api.post(pods, {"metadata": {"name": name, "labels": labels}, "spec": spec})
        if node:
            binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
            await api.ok("POST", f"{pods}/{name}/binding", binding)
    await api.merge(f"{pods}/here", {"metadata": {"labels": {"x": "1"}}})
    await api.ok("DELETE", f"{pods}/here?gracePeriodSeconds=0")
    events = await api.watch(f"{pods}?watch=1&fieldSelector=spec.nodeName=n1&resourceVersion={start}", 3)
    found = [(event["type"], event["object"]["metadata"]["name"]) for event in events]
    assert found == [("ADDED", "here"), ("MODIFIED", "here"), ("DELETED", "here")]
    other = await api.watch(f"{pods}?watch=1&fieldSelector=spec.nodeName=n2&resourceVersion={start}", 1)
    assert [event["object"]["metadata"]["name"] for event in other] == ["there"]


async def test_without_revision_what_is_there_comes_first(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "w1"}})
    for query in ("watch=1", "watch=true&resourceVersion=0"):
        events = await api.watch(f"{MAPS}?{query}", 3, lambda: change_three_times(api))
        names = [event["object"]["metadata"]["name"] for event in events]
        assert {"kube-root-ca.crt", "w1"} <= set(names)
        assert events[0]["type"] == "ADDED"


async def test_watch_list_ends_its_initial_events_with_a_bookmark(api: Any) -> None:
    await api.post(MAPS, {"metadata": {"name": "w1"}})
    base = f"{MAPS}?watch=1&fieldSelector=metadata.name=w1"
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    now = await revision(api)
    events = await api.watch(f"{base}&{query}&allowWatchBookmarks=true", 2)
    assert events[0]["type"] == "ADDED"
    bookmark = events[1]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) == now
    status = await api.refused("GET", f"{base}&sendInitialEvents=true&allowWatchBookmarks=true")
    assert (status["code"], status["message"]) == (
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    )
    assert status["details"]["causes"][0]["field"] == "resourceVersionMatch"


async def test_history_that_is_gone_is_410(api: Any) -> None:
    api.app.core.hub.oldest = 5
    (event,) = await api.watch(f"{MAPS}?watch=1&resourceVersion=1", 2)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (5)")
    body = (await api.send("GET", f"{MAPS}?watch=1&resourceVersion=1")).body
    told = asyncio.Event()
    body.listen(told.set)
    assert b'"code":410' in body.poll()
    async with asyncio.timeout(5):
        await told.wait()  # else a server would not ask for the end
    assert body.poll() is None


async def test_timeout_ends_the_stream(api: Any) -> None:
    start, before = await revision(api), api.app.core.hub.watchers
    response = await api.send("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={start}")
    async with asyncio.timeout(5):
        assert [chunk async for chunk in response.body] == []
    assert api.app.core.hub.watchers == before  # those of the server's own controllers


async def test_table_watch_sends_columns_once(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={start}", 3, accept=TABLE)
    tables = [event["object"] for event in events]
    assert [table["kind"] for table in tables] == ["Table"] * 3
    assert [column["name"] for column in tables[0]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert tables[1]["columnDefinitions"] is None
    assert tables[2]["rows"][0]["cells"] == ["w2", 0, "0s"]
    assert tables[2]["rows"][0]["object"]["metadata"]["resourceVersion"] == str(start + 3)


async def test_future_revision_waits(api: Any) -> None:
    start = await revision(api)
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={start + 1}", 2, lambda: change_three_times(api))
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]


async def test_deprecated_watch_path_and_single_object(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    path = f"/api/v1/watch/namespaces/default/configmaps?resourceVersion={start}"
    assert [event["type"] for event in await api.watch(path, 3)] == ["ADDED", "MODIFIED", "DELETED"]
    await api.post(MAPS, {"metadata": {"name": "w1"}})
    assert (await api.get(f"{MAPS}/w1?watch=1"))["metadata"]["name"] == "w1"


async def test_watchers_share_one_encoding(api: Any) -> None:
    start = await revision(api)
    await api.post(MAPS, {"metadata": {"name": "one"}})
    subscriptions = [api.app.core.hub.subscribe("/registry/core/configmaps/", start) for _ in range(3)]
    lines = {id((await s.take())[0].line(CONFIG_MAPS, "ADDED")) for s in subscriptions}
    assert len(lines) == 1


async def test_a_watcher_that_falls_behind_is_cut_off(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.server.feeds.BACKLOG", 2)
    start = await revision(api)
    subscription = api.app.core.hub.subscribe("/registry/core/configmaps/", start)
    await change_three_times(api)
    async with asyncio.timeout(5):
        while not subscription.closed:
            await asyncio.sleep(0)
    assert len(await subscription.take()) == 3
    api.app.core.hub.unsubscribe(subscription)


PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


async def test_metadata_watch(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    events = await api.watch(f"{MAPS}?watch&resourceVersion={start}", 3, accept=PARTIAL)
    assert {event["object"]["kind"] for event in events} == {"PartialObjectMetadata"}
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    listed = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    bookmark = (await api.watch(f"{MAPS}?{listed}", 2, accept=PARTIAL))[-1]
    assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "PartialObjectMetadata")


async def test_bookmarks_come_to_those_who_ask(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.server.watch.BOOKMARK_SECONDS", 0.02)
    start = await revision(api)
    for accept in ("", TABLE):
        [event] = await api.watch(f"{MAPS}?watch=1&allowWatchBookmarks=1&resourceVersion={start}", 1, accept=accept)
        assert (event["type"], event["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
        assert int(event["object"]["metadata"]["resourceVersion"]) >= start
    events = await api.watch(
        f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={start}", 3, lambda: change_three_times(api)
    )
    assert "BOOKMARK" not in {event["type"] for event in events}


async def test_forms_of_the_switch(api: Any) -> None:
    start = await revision(api)
    forms = {"watch=false": False, "watch=0": False, "watch=True": True, "watch=t": True, "watch=": True}
    for query, streams in forms.items():
        response = await api.send("GET", f"{MAPS}?{query}&resourceVersion={start}")
        assert isinstance(response.body, bytes) is not streams, query


async def test_what_was_made_of_an_old_event_is_made_anew_for_who_comes_late(api: Any) -> None:
    start = await revision(api)
    await change_three_times(api)
    watch = f"{MAPS}?watch=1&resourceVersion={start}"
    selected = f"{watch}&labelSelector=x%3D2"
    early = [await api.watch(watch, 3), await api.watch(selected, 2)]
    for n in range(WARM):
        await api.post(MAPS, {"metadata": {"name": f"later-{n}"}})
    assert [(await api.watch(watch, 3))[:3], await api.watch(selected, 2)] == early


class Pressed:
    """A store as the hub sees it; `writing` is set by the test."""

    revision, writing = 0, False

    def __init__(self) -> None:
        self.events: asyncio.Queue[list[Event]] = asyncio.Queue()

    async def watch(self, prefix: str, after: int) -> AsyncIterator[list[Event]]:
        while True:
            yield await self.events.get()

    def change(self) -> None:
        self.revision += 1
        key = f"/registry/core/configmaps/default/c{self.revision}"
        item = Item(key, b"{}", self.revision, self.revision)
        self.events.put_nowait([Event("ADDED", key, self.revision, item, None)])


def _take_as_long_as_telling_many() -> None:
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("writing", [False, True])
async def test_under_many_writes_watchers_are_told_of_several_at_once(writing: bool) -> None:
    """Otherwise of every change by itself, before the next."""
    store, told = Pressed(), list[int]()
    hub = Hub(store)  # type: ignore[arg-type]
    await hub.start()
    subscription = hub.subscribe("/registry/core/configmaps/", 0)
    assert subscription is not None

    def wake() -> None:
        told.append(len(subscription.take_now()))
        _take_as_long_as_telling_many()

    subscription.wake = wake
    store.writing = writing
    async with asyncio.timeout(5):
        for number in range(100):
            store.change()
            while sum(told) <= number and not (writing and hub.revision == store.revision):
                await asyncio.sleep(0)
        while sum(told) < 100:
            await asyncio.sleep(0.001)
    assert told == [1] * 100 if not writing else len(told) < 20
    await hub.close()


async def test_a_writer_that_waits_for_the_watchers_is_not_taken_for_many() -> None:
    """Its next write comes as soon as they are told, but none comes while they wait: they are told at once."""
    store, turns = Pressed(), list[int]()
    hub = Hub(store)  # type: ignore[arg-type]
    await hub.start()
    subscription = hub.subscribe("/registry/core/configmaps/", 0)
    assert subscription is not None

    def wake() -> None:
        subscription.take_now()
        _take_as_long_as_telling_many()
        store.writing = True

    subscription.wake = wake
    async with asyncio.timeout(5):
        for _ in range(100):
            store.change()
            store.writing = False
            turns.append(0)
            while not store.writing:
                await asyncio.sleep(0)
                turns[-1] += 1
            for _ in range(10):
                await asyncio.sleep(0)
    assert sum(count > 20 for count in turns) < 10
    await hub.close()
