"""What is kept of upstreams' answers and for how long, by a clock that is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_dns.forward import cache as cache_module
from netsim_dns.forward.cache import Cache, Use
from netsim_dns.forward.config import (
    CacheConfig,
)
from netsim_dns.forward.message import Message

from .forward_messages import SOA, message


def sized(body: int) -> Message:
    return replace(message("@ 300 IN A 203.0.113.1"), body=bytes(body))


def test_ttls_count_down_in_whole_seconds_and_never_reach_zero() -> None:
    cache = Cache(CacheConfig())
    assert cache.put(b"k", message("@ 10 IN A 203.0.113.1"), 100.0)
    assert [hit.ttl if (hit := cache.get(b"k", now)) else None for now in (100.0, 100.9, 101, 109.9, 110)] == [
        10,
        10,
        9,
        1,
        None,
    ]
    assert not cache.success, "what is over is dropped"
    kept = Cache(CacheConfig(keep_ttl=True))
    kept.put(b"k", message("@ 10 IN A 203.0.113.1"), 100.0)
    assert (hit := kept.get(b"k", 109.0)) and hit.ttl == 10


def test_kinds_have_their_own_tables_and_the_last_word_counts() -> None:
    cache = Cache(CacheConfig())
    cache.put(b"k", message(rcode=3, authority=(SOA.format(60, 60),)), 0)
    assert (len(cache.success), len(cache.denial)) == (0, 1)
    cache.put(b"k", message("@ 10 IN A 203.0.113.1"), 1)
    assert (len(cache.success), len(cache.denial)) == (1, 0)
    assert not cache.put(b"k", message(rcode=2), 2), "a failure does not displace an answer"
    assert not cache.put(b"k", message(rcode=5), 2)
    assert (hit := cache.get(b"k", 2)) and hit.message.rcode == 0
    assert not Cache(CacheConfig(success_ttl=0)).put(b"k", message("@ 10 IN A 203.0.113.1"), 0)


def test_prefetch_is_for_what_is_asked_often_and_once_at_a_time() -> None:
    cache = Cache(CacheConfig(prefetch=3, prefetch_window=10, prefetch_percent=20, success_ttl=100))
    cache.put(b"k", message("@ 100 IN A 203.0.113.1"), 0)

    def use(now: float) -> Use | None:
        hit = cache.get(b"k", now)
        return hit.use if hit else None

    assert [use(now) for now in (75, 78)] == [Use.SERVE] * 2, "too early, and too seldom"
    assert use(90) == Use.SERVE, "a pause: counted from the start again"
    assert [use(now) for now in (91, 92, 93)] == [Use.SERVE, Use.SERVE_AND_FETCH, Use.SERVE]
    cache.fetched(b"k")
    assert use(94) == Use.SERVE_AND_FETCH, "the fetch failed"
    cache.put(b"k", message("@ 100 IN A 203.0.113.1"), 95)
    assert [use(now) for now in (96, 176)] == [Use.SERVE] * 2


def test_what_is_left_for_prefetch_are_whole_seconds() -> None:
    cache = Cache(CacheConfig(prefetch=1, prefetch_percent=50))
    cache.put(b"k", message("@ 6 IN A 203.0.113.1"), 0)
    found = [cache.get(b"k", now) for now in (2.9, 3.0)]
    assert [hit and (hit.ttl, hit.use) for hit in found] == [(4, Use.SERVE), (3, Use.SERVE_AND_FETCH)]


@pytest.mark.parametrize("verify", [False, True])
def test_stale_entries_are_served_for_a_while(verify: bool) -> None:
    cache = Cache(CacheConfig(serve_stale=100, stale_verify=verify))
    cache.put(b"k", message("@ 10 IN A 203.0.113.1"), 0)
    cache.put(b"f", message(rcode=2), 0)
    first, second = cache.get(b"k", 50), cache.get(b"k", 51)
    assert first and second and (first.ttl, second.ttl) == (0, 0)
    expected = (Use.FETCH_OR_SERVE,) * 2 if verify else (Use.SERVE_AND_FETCH, Use.SERVE)
    assert (first.use, second.use) == expected
    assert cache.get(b"f", 50) is None, "a failure is not worth it"
    assert cache.get(b"k", 110) is None


PUTS = st.lists(
    st.tuples(
        st.integers(0, 30), st.sampled_from(("success", "denial", "failure")), st.integers(0, 20), st.integers(0, 9000)
    ),
    max_size=60,
)


@settings(max_examples=50, deadline=None)
@given(PUTS)
def test_a_cache_stays_within_its_bounds(puts: list[tuple[int, str, int, int]]) -> None:
    made = {
        "success": message("@ 300 IN A 203.0.113.1"),
        "denial": message(rcode=3, authority=(SOA.format(60, 60),)),
        "failure": message(rcode=2),
    }
    cache, now, newest = Cache(CacheConfig(success_capacity=7, denial_capacity=5)), 0.0, {}
    for number, kind, pause, size in puts:
        now += pause
        key = bytes((number,))
        if cache.put(key, replace(made[kind], body=bytes(size)), now):
            newest[key] = (kind, now)
        assert len(cache.success) <= 7 and len(cache.denial) <= 5
        assert not cache.success.keys() & cache.denial.keys()
        entries = [*cache.success.values(), *cache.denial.values()]
        assert cache.size == sum(len(entry.message.body) for entry in entries)
        hit = cache.get(key, now)
        assert hit and hit.ttl <= 30 and hit.message.kind.value == newest[key][0]


def test_a_cache_holds_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "BYTES_MAX", 1000)
    cache = Cache(CacheConfig())
    cache.put(b"d", replace(message(rcode=2), body=bytes(300)), 0)
    for number in range(10):
        cache.put(bytes((number,)), sized(250), 0)
        assert cache.size <= 1000
    assert (len(cache.success), len(cache.denial), cache.evicted) == (2, 1, {"success": 8, "denial": 0})
    cache.put(b"big", sized(900), 0)
    assert (list(cache.success), cache.size, cache.evicted["denial"]) == ([b"big"], 900, 1)
