"""host-local's ranges: which address is next."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_cni.errors import CniError
from netsim_cni.ranges import Ip, Range, assign_requested, candidates, choose, following, parse_range_sets, range_of


def sets(*texts: str, **more: str) -> Any:
    return parse_range_sets({"ranges": [[{"subnet": text, **more}] for text in texts]})


@st.composite
def range_sets(draw: st.DrawFn) -> tuple[Range, ...]:
    """One to three ranges in subnets of their own."""
    ranges = []
    for number in range(draw(st.integers(1, 3))):
        net = ip_network(f"10.{number}.0.0/{draw(st.integers(24, 29))}")
        low = draw(st.integers(1, net.num_addresses - 2))
        high = draw(st.integers(low, net.num_addresses - 2))
        gateway = draw(st.integers(1, net.num_addresses - 2))
        ranges.append(
            {"subnet": str(net), "rangeStart": str(net[low]), "rangeEnd": str(net[high]), "gateway": str(net[gateway])}
        )
    return parse_range_sets({"ranges": [ranges]})[0]


def usable(ranges: tuple[Range, ...]) -> set[Ip]:
    every = {ip_address(number) for one in ranges for number in range(int(one.start), int(one.end) + 1)}
    return every - {one.gateway for one in ranges}


@given(range_sets(), st.data())
def test_candidates_are_every_usable_address_once(ranges: tuple[Range, ...], data: st.DataObject) -> None:
    addresses = sorted(usable(ranges), key=int)
    last = data.draw(st.none() | st.sampled_from(addresses)) if addresses else None
    found = list(candidates(ranges, last))
    assert len(found) == len(set(found))
    assert set(found) == usable(ranges)
    if last is not None and len(found) > 1:
        assert found[-1] == last or last not in found[:-1]


@given(range_sets(), st.data())
def test_what_follows_is_the_first_candidate(ranges: tuple[Range, ...], data: st.DataObject) -> None:
    addresses = sorted(usable(ranges), key=int)
    last = data.draw(st.sampled_from(addresses)) if addresses else ranges[0].start
    found, wanted = following(ranges, last), next(candidates(ranges, last), None)
    if found is not None:
        assert (found.ip, found.range) == (wanted, range_of(ranges, found.ip))
    elif wanted is not None:
        assert int(wanted) != int(last) + 1 or range_of(ranges, wanted) != range_of(ranges, last)


def test_a_gateway_of_another_range_does_not_follow() -> None:
    ranges = [
        {"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.20"},
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.30", "gateway": "10.1.0.6"},
    ]
    (both,) = parse_range_sets({"ranges": [ranges]})
    assert (
        following(both, ip_address("10.1.0.5")) is None
        and next(candidates(both, ip_address("10.1.0.5"))) == both[0].subnet[7]
    )
    for outside in ("10.1.0.20", "10.9.0.1", "::a01:2"):
        assert following(both, ip_address(outside)) is None


def test_nothing_follows_the_last_address_of_all() -> None:
    (ranges,) = parse_range_sets({"ranges": [[{"subnet": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:0/112"}]]})
    found = following(ranges, ip_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"))
    assert found is not None and following(ranges, found.ip) is None


@given(range_sets(), st.data())
def test_none_is_used_again_before_the_others_were(ranges: tuple[Range, ...], data: st.DataObject) -> None:
    """Take and give back at random: before an address comes again, every other one was held at some time since."""
    held: set[Ip] = set()
    held_since: dict[Ip, set[Ip]] = {}
    last = None
    for _ in range(data.draw(st.integers(1, 40))):
        if held and data.draw(st.booleans()):
            held.discard(data.draw(st.sampled_from(sorted(held, key=int))))
        ip = choose(ranges, last, held.__contains__)
        if ip is None:
            assert held == usable(ranges)
            continue
        assert ip not in held
        if ip in held_since:
            assert held_since[ip] | {ip} == usable(ranges)
        for others in held_since.values():
            others.add(ip)
        held_since[ip] = set(held)
        held.add(ip)
        last = ip


def test_defaults_of_a_subnet() -> None:
    ((one,),) = sets("10.244.1.0/24")
    assert [str(ip) for ip in (one.start, one.end, one.gateway)] == ["10.244.1.1", "10.244.1.254", "10.244.1.1"]
    assert str(choose((one,), None, lambda _: False)) == "10.244.1.2"


def test_older_subnet_beside_ranges() -> None:
    ipam = {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "ranges": [[{"subnet": "fd00::/64"}]]}
    first, second = parse_range_sets(ipam)
    assert str(first[0].start) == "10.1.0.9"
    assert str(choose(second, None, lambda _: False)) == "fd00::2"


@pytest.mark.parametrize(
    ("ipam", "words"),
    [
        ({}, "ipam has no range"),
        ({"ranges": [[]]}, "non-empty lists"),
        ({"ranges": [[{"subnet": "10.1.0.0/33"}]]}, "is no network"),
        ({"ranges": [[{"subnet": "10.1.0.1/24"}]]}, "is no network"),
        ({"ranges": [[{"subnet": "10.1.0.0/31"}]]}, "at most /30"),
        ({"ranges": [[{"gateway": "10.1.0.1"}]]}, 'an object with "subnet"'),
        ({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}, "an address in 10.1.0.0/24"),
        ({"subnet": "10.1.0.0/24", "gateway": "x"}, "an IP address"),
        ({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}, "not after rangeEnd"),
        ({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.128/25"}]]}, "do not overlap"),
        ({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]]}, "one IP family"),
    ],
)
def test_wrong_ranges_name_the_field(ipam: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_range_sets(ipam)
    assert words in str(caught.value)
    assert caught.value.code == 7


def test_requested_addresses_go_to_their_sets() -> None:
    both = sets("10.1.0.0/24", "fd00::/64")
    v4, v6 = ip_address("10.1.0.9"), ip_address("fd00::9")
    assert assign_requested(both, [v6, v4]) == [v4, v6]
    assert assign_requested(both, [v6]) == [None, v6]
    for wrong in ("10.2.0.1", "10.1.0.1"):
        with pytest.raises(CniError, match="requested address"):
            assign_requested(both, [ip_address(wrong)])
