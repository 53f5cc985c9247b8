"""Forwarding's settings, and which upstream they choose next. No sockets, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_dns.config import ConfigError
from netsim_dns.corefile.plugins import read_corefile
from netsim_dns.forward.config import (
    CacheConfig,
    ForwardConfig,
    ForwardZone,
    Tls,
    parse_resolv_conf,
    parse_stub_domains,
    parse_upstream,
)
from netsim_dns.forward.policy import Tries, order

UP = (("192.0.2.1", 53), ("192.0.2.2", 53), ("192.0.2.3", 53))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("dns://192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("tls://192.0.2.1", ("192.0.2.1", 853)),
    ],
)
def test_upstreams(text: str, expected: tuple[str, int]) -> None:
    assert parse_upstream(text) == expected


@pytest.mark.parametrize(
    "text", ["", "dns.example", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:70000", "[::1", "https://9.9.9.9"]
)
def test_bad_upstreams_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="dns forward"):
        parse_upstream(text)


def test_resolv_conf_gives_upstreams() -> None:
    text = "# one\nsearch a b\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\noptions ndots:5\n"
    assert parse_resolv_conf(text) == (("192.0.2.1", 53), ("2001:db8::1", 53))
    assert parse_resolv_conf("search a\n") == ()


def test_stub_domains_are_zones() -> None:
    (zone,) = parse_stub_domains({"Corp.Test.": ["192.0.2.1", "192.0.2.2:5353"]})
    assert (zone.labels, zone.upstreams) == ((b"corp", b"test"), (("192.0.2.1", 53), ("192.0.2.2", 5353)))
    with pytest.raises(ConfigError, match=r"zone corp\.test is given twice"):
        ForwardConfig((zone, replace(zone, zone="corp.test")))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"upstreams": ()}, "0 upstreams, give 1 to 15"),
        ({"upstreams": UP * 6}, "18 upstreams, give 1 to 15"),
        ({"policy": "best"}, "policy: 'best' is not one, use random, round_robin, sequential"),
        ({"zone": "a..b"}, "zone: 'a..b' is not a domain name"),
        ({"excluded": ("a..b",)}, "zone: 'a..b' is not a domain name"),
        ({"max_concurrent": -1}, "max_concurrent: -1 is out of range"),
        ({"failover": (0,)}, "failover: .* are not rcodes of failures"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ForwardZone(**({"upstreams": UP} | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["success_ttl", "denial_ttl", "servfail_ttl", "prefetch_percent", "success_capacity"])
def test_bad_cache_settings_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"dns cache {name}: -1 is out of range"):
        CacheConfig(**{name: -1})


def test_orders() -> None:
    def backwards(indexes: list[int]) -> None:
        indexes.reverse()

    assert order("random", 3, 5, backwards) == [2, 1, 0]
    assert order("sequential", 3, 5, backwards) == [0, 1, 2]
    turns = [order("round_robin", 3, turn, backwards) for turn in range(4)]
    assert turns == [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]


UPS, DOWNS = (False,) * 3, (True,) * 3


def tries(**settings: object) -> Tries:
    return Tries(ForwardZone(upstreams=UP, **settings), (0, 1, 2), 100.0)  # type: ignore[arg-type]


def test_a_silent_upstream_is_tried_at_0_2_and_4_seconds() -> None:
    alone = Tries(ForwardZone(upstreams=UP[:1]), (0,), 100.0)
    assert [alone.next(now, (False,)) for now in (100.0, 102.0, 104.0, 106.0)] == [0, 0, 0, None]


def test_rounds_leave_out_who_refused_and_who_is_down() -> None:
    way = tries()
    assert [way.next(100, UPS) for _ in range(4)] == [0, 1, 2, 0]
    way.refused(1)
    assert [way.next(101, UPS) for _ in range(3)] == [2, 0, 2]
    assert way.next(101, (True, False, False)) == 2
    way.refused(0)
    way.refused(2)
    assert way.next(101, UPS) is None


def test_with_all_down_one_is_tried_once_or_none() -> None:
    way = tries()
    assert [way.next(100, DOWNS), way.next(101, UPS)] == [0, None]
    assert tries(failfast=True).next(100, DOWNS) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.lists(st.booleans(), min_size=3, max_size=3), st.booleans()), max_size=40))
def test_every_way_through_the_upstreams_ends(steps: list[tuple[list[bool], bool]]) -> None:
    """Each is passed over while down, never asked again after a refusal, and nobody is asked after the budget."""
    way, refused = tries(), set()
    for number, (down, refuses) in enumerate(steps):
        now = 100 + number * 0.2
        index = way.next(now, down)
        if index is None:
            assert way.next(now, down) is None
            continue
        assert now < 105
        assert index not in refused
        assert not down[index] or all(down)
        if refuses:
            refused.add(index)
            way.refused(index)


def test_forwards_of_one_block_follow_each_other() -> None:
    text = """.:53 {
    kubernetes cluster.local
    forward . 192.0.2.1 {
        next NXDOMAIN refused
        except lan.test
    }
    forward . 192.0.2.2
    forward corp.test 192.0.2.3
}
"""
    zones = read_corefile(text, {}, lambda path: "")["forward-config"].zones
    (first,) = zones
    assert (first.upstreams[0][0], first.next_rcodes, first.excluded) == ("192.0.2.1", (3, 5), ("lan.test",))
    assert (first.then.upstreams[0][0], first.then.then) == ("192.0.2.2", None)
    before = text.replace("    forward . 192.0.2.1", "    forward x.corp.test 192.0.2.4\n    forward . 192.0.2.1")
    own, others = read_corefile(before, {}, lambda path: "")["forward-config"].zones
    assert (own.zone, own.upstreams[0][0], own.then, others) == ("x.corp.test", "192.0.2.4", None, first)
    assert {own.block, others.block} == {"."}


def test_tls_upstreams_of_a_corefile() -> None:
    body = "{\n tls_servername dns.test\n tls /cert.pem /key.pem /ca.pem\n}"
    text = ".:53 {\n kubernetes cluster.local\n forward . tls://192.0.2.1 tls://192.0.2.2:8853 " + body + "\n}\n"
    (zone,) = read_corefile(text, {}, lambda path: "")["forward-config"].zones
    assert zone.upstreams == (("192.0.2.1", 853), ("192.0.2.2", 8853))
    assert zone.tls == Tls("dns.test", "/ca.pem", ("/cert.pem", "/key.pem"))
