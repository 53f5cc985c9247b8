from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.store.batch import Write, plan_batch
from netsim.store.state import State
from netsim.store.types import Event, Item, KeyExists, RevisionMismatch, StoreError

Wish = tuple[str, bool, int]
wishes = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 12)), max_size=25)


def write_of(wish: Wish) -> Write:
    key, keep, expected = wish
    return Write(key, b"v" if keep or expected == 0 else None, expected)


def plan_one_by_one(writes: list[Write]) -> list[Event | StoreError]:
    state = State(0)
    outcomes: list[Event | StoreError] = []
    for write in writes:
        outcomes += plan_batch([write], state.get, state.revision)
        state.apply([outcome for outcome in outcomes[-1:] if isinstance(outcome, Event)])
    return outcomes


def told(outcome: Event | StoreError) -> object:
    if isinstance(outcome, RevisionMismatch):
        return outcome.key, outcome.current
    return outcome if isinstance(outcome, Event) else type(outcome)


@given(wishes)
def test_a_batch_comes_to_what_its_writes_one_by_one_come_to(wanted: list[Wish]) -> None:
    writes = [write_of(wish) for wish in wanted]
    together = plan_batch(writes, State(0).get, 0)
    assert [told(outcome) for outcome in together] == [told(outcome) for outcome in plan_one_by_one(writes)]


@given(wishes)
def test_revisions_are_gapless(wanted: list[Wish]) -> None:
    outcomes = plan_batch([write_of(wish) for wish in wanted], State(0).get, 41)
    revisions = [outcome.revision for outcome in outcomes if isinstance(outcome, Event)]
    assert revisions == list(range(42, 42 + len(revisions)))


def test_refusals_name_what_is_there() -> None:
    item = Item("k", b"v", 7, 3)
    outcomes = plan_batch([Write("k", b"w", 0), Write("k", b"w", 6)], {"k": item}.get, 9)
    assert isinstance(outcomes[0], KeyExists)
    assert "revision 7" in str(outcomes[0])
    assert isinstance(outcomes[1], RevisionMismatch)
    assert outcomes[1].current == item
