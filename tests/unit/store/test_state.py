from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.store.batch import Write, plan_batch
from netsim.store.database import replay, row_of
from netsim.store.state import State
from netsim.store.types import Compacted, Event, Item

actions = st.lists(st.tuples(st.sampled_from(["p/a", "p/b", "p/c", "q/a"]), st.booleans()), min_size=1, max_size=40)


def grow(wanted: list[tuple[str, bool]]) -> tuple[State, list[dict[str, Item]], list[Event]]:
    """A state after some creations, updates and deletions, and the items after each of them."""
    state, snapshots, events = State(0), [{}], []
    for key, remove in wanted:
        current = state.get(key)
        value = None if remove and current is not None else b"%d" % state.revision
        (event,) = plan_batch([Write(key, value, current.revision if current else 0)], state.get, state.revision)
        assert isinstance(event, Event)
        state.apply([event])
        events.append(event)
        after = {k: v for k, v in snapshots[-1].items() if k != key}
        snapshots.append(after if event.item is None else {**after, key: event.item})
    return state, snapshots, events


@given(actions)
def test_every_earlier_revision_can_be_listed(wanted: list[tuple[str, bool]]) -> None:
    state, snapshots, _ = grow(wanted)
    for revision in range(1, state.revision + 1):
        page = state.page("p/", 0, "", revision)
        assert page.items == [item for key, item in sorted(snapshots[revision].items()) if key.startswith("p/")]


@given(actions, st.integers(1, 3))
def test_kept_lists_follow_every_change(wanted: list[tuple[str, bool]], kept: int) -> None:
    state = State(0)
    with patch("netsim.store.state._LONG", 1), patch("netsim.store.state._KEPT", kept):
        for key, remove in wanted:
            current = state.get(key)
            value = None if remove and current is not None else b"%d" % state.revision
            outcomes = plan_batch([Write(key, value, current.revision if current else 0)], state.get, state.revision)
            state.apply([event for event in outcomes if isinstance(event, Event)])
            found = sorted(filter(None, map(state.get, ("p/a", "p/b", "p/c", "q/a"))))
            for prefix in ("p/", "q/", "", "p/"):
                assert state.page(prefix, 0, "", 0).items == [item for item in found if item.key.startswith(prefix)]


@given(actions, st.data())
def test_forgetting_keeps_the_present_and_the_later_history(
    wanted: list[tuple[str, bool]], data: st.DataObject
) -> None:
    state, snapshots, events = grow(wanted)
    floor = data.draw(st.integers(0, state.revision))
    state.forget(floor)
    assert state.since("", floor) == events[floor:]
    for revision in range(max(floor, 1), state.revision + 1):
        assert state.page("", 0, "", revision).items == [item for _, item in sorted(snapshots[revision].items())]
    if floor:
        with pytest.raises(Compacted):
            state.since("", floor - 1)


@given(actions, st.lists(st.integers(0, 40), max_size=4))
def test_replaying_the_kept_rows_gives_the_same_state(wanted: list[tuple[str, bool]], floors: list[int]) -> None:
    state, snapshots, events = grow(wanted)
    rows = {event.revision: row_of(event) for event in events}
    for floor in floors:
        for revision in state.forget(floor):
            rows.pop(revision, None)
    items, history = replay(iter(sorted(rows.values())), state.floor)
    assert items == snapshots[-1]
    assert history == events[state.floor :]
    kept = len(snapshots[state.floor]) + len(history)
    assert len(rows) <= kept


@given(actions, st.integers(1, 5))
def test_pages_join_to_the_whole(wanted: list[tuple[str, bool]], limit: int) -> None:
    state, snapshots, _ = grow(wanted)
    items: list[Item] = []
    start = ""
    while True:
        page = state.page("", limit, start, 0)
        items += page.items
        assert len(items) + page.remaining == len(snapshots[-1])
        if not page.remaining:
            break
        start = page.items[-1].key + "\0"
    assert items == [item for _, item in sorted(snapshots[-1].items())]
