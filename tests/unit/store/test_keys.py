from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.store.keys import Keys, prefix_end

parts = st.sampled_from(["a", "ab", "b", "a-"])
keys = st.lists(parts, min_size=1, max_size=4).map("/".join)
prefixes = st.one_of(keys, keys.map(lambda key: f"{key}/"), st.just(""))


@given(st.lists(keys, unique=True, max_size=20), st.sets(keys), prefixes, st.one_of(keys, st.just("")))
def test_keys_are_found_as_in_one_sorted_list(known: list[str], gone: set[str], prefix: str, start: str) -> None:
    half = len(known) // 2
    found = Keys(known[:half])
    for key in known[half:]:
        found.add(key)
    for key in gone & set(known):
        found.remove(key)
    left = sorted(set(known) - gone)
    assert found.within(prefix, start) == [key for key in left if key.startswith(prefix) and key >= start]
    assert found.within(prefix) is not found.within(prefix), "what is given may be changed"
    for key in left:
        found.remove(key)
    assert not found._keys and not found._outer


def test_prefix_end_bounds_exactly_the_prefix() -> None:
    assert "p/zz" < prefix_end("p/") <= "p0"
    assert prefix_end("") > "\uffff"
