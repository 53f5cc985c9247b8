"""The difference between EndpointSlices as they are and as they should be."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.kinds import Obj
from netsim.controllers.slices import Group, diff


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 260), min_size=1, max_size=5))
def test_slices_converge_keep_what_they_can_and_are_stable(seed: int, sizes: list[int]) -> None:
    """Any sequence of endpoint sets: all are there exactly once, at most 100 a slice, kept slices keep order, and
    the same again changes nothing."""
    rand = random.Random(seed)
    existing: list[Obj] = []
    for size in sizes:
        wanted = [endpoint(number) for number in sorted(rand.sample(range(300), size))]
        groups = [Group("IPv4", ({"name": "", "port": 80, "protocol": "TCP"},), wanted)] if wanted else []
        existing = follow(existing, diff(existing, groups, ["IPv4"]))
        found = [e["addresses"][0] for item in existing for e in item["endpoints"]]
        assert sorted(found) == sorted(e["addresses"][0] for e in wanted)
        assert all(len(item["endpoints"]) <= 100 for item in existing)
        assert len(existing) >= 1
        again = diff(existing, groups, ["IPv4"])
        assert not (again.created or again.updated or again.deleted)


def endpoint(number: int) -> Obj:
    return {"addresses": [f"10.0.{number // 250}.{number % 250 + 1}"], "targetRef": {"uid": f"u{number}"}}


def follow(existing: list[Obj], change: Any) -> list[Obj]:
    gone = [item["metadata"]["name"] for item in [*change.deleted, *change.updated]]
    kept = [item for item in existing if item["metadata"]["name"] not in gone]
    number = max((int(item["metadata"]["name"]) for item in existing), default=0)
    fresh = [{**item, "metadata": {"name": str(number + i + 1)}} for i, item in enumerate(change.created)]
    return [*kept, *change.updated, *fresh]


def slice_of(count: int, start: int = 0, name: str = "s") -> Obj:
    endpoints = [{"addresses": [f"10.1.{n // 250}.{n % 250}"], "conditions": {}} for n in range(start, start + count)]
    return {"metadata": {"name": name}, "addressType": "IPv4", "ports": [], "endpoints": endpoints}


def test_a_remainder_goes_into_the_slice_it_fits_best() -> None:
    old = [slice_of(90, 0, "a"), slice_of(50, 200, "b")]
    known = [e for item in old for e in item["endpoints"]]
    fresh = slice_of(30, 1000)["endpoints"]
    change = diff(old, [Group("IPv4", (), [*known, *fresh])], ["IPv4"])
    assert [(i["metadata"]["name"], len(i["endpoints"])) for i in change.updated] == [("b", 80)]
    assert (change.created, change.deleted) == ([], [])


def test_a_remainder_is_not_spread_over_several_slices() -> None:
    old = [slice_of(90, 0, "a"), slice_of(90, 200, "b")]
    known = [e for item in old for e in item["endpoints"]]
    fresh = slice_of(15, 1000)["endpoints"]
    change = diff(old, [Group("IPv4", (), [*known, *fresh])], ["IPv4"])
    assert (change.updated, change.deleted) == ([], [])
    assert [len(body["endpoints"]) for body in change.created] == [15]


def test_a_slice_that_would_go_is_used_for_one_to_be_made() -> None:
    ports = ({"name": "", "port": 1, "protocol": "TCP"},)
    change = diff([slice_of(3, 0, "a")], [Group("IPv4", ports, slice_of(2, 50)["endpoints"])], ["IPv4"])
    (item,) = change.updated
    assert (item["metadata"]["name"], item["ports"], len(item["endpoints"])) == ("a", list(ports), 2)
    assert (change.created, change.deleted) == ([], [])
