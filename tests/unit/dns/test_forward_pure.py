"""Forwarding's decisions alone: what is kept and for how long, which upstream is next, what a message says."""

from __future__ import annotations

import random
from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_dns.config import ConfigError
from netsim_dns.forward import cache as cache_module
from netsim_dns.forward.cache import Cache, Use, kept_for
from netsim_dns.forward.config import (
    CacheConfig,
    ForwardConfig,
    ForwardZone,
    parse_resolv_conf,
    parse_stub_domains,
    parse_upstream,
)
from netsim_dns.forward.message import BadMessage, Kind, Message, cut_message, parse_message
from netsim_dns.forward.policy import Tries, order
from netsim_dns.forward.render import answers, read_asked, render
from netsim_dns.wire import Query, parse_query

from .false_upstream import reply

UP = (("192.0.2.1", 53), ("192.0.2.2", 53), ("192.0.2.3", 53))
SOA = "example.test. {} IN SOA ns.example.test. h.example.test. 1 2 3 4 {}"


def asked(name: str = "www.example.test.", qtype: str = "A", **options: object) -> tuple[dns.message.Message, Query]:
    message = dns.message.make_query(name, qtype, **options)  # type: ignore[arg-type]
    query = parse_query(message.to_wire())
    assert query is not None
    return message, query


def message(*records: str, rcode: int = 0, authority: tuple[str, ...] = (), flags: int = 0) -> Message:
    return parse_message(reply(asked()[0], *records, rcode=rcode, authority=authority, flags=flags).to_wire())


def sized(body: int) -> Message:
    return replace(message("@ 300 IN A 203.0.113.1"), body=bytes(body))


# Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("dns://192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_upstreams(text: str, expected: tuple[str, int]) -> None:
    assert parse_upstream(text) == expected


@pytest.mark.parametrize(
    "text", ["", "dns.example", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:70000", "[::1", "tls://9.9.9.9"]
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


# What an upstream says


@pytest.mark.parametrize(
    ("made", "kind", "ttl"),
    [
        (message("@ 300 IN A 203.0.113.1", "@ 60 IN A 203.0.113.2"), Kind.SUCCESS, 60),
        (message("@ 300 IN CNAME a.test.", "a.test. 7 IN A 203.0.113.1"), Kind.SUCCESS, 7),
        (message(rcode=3, authority=(SOA.format(60, 20),)), Kind.DENIAL, 20),
        (message(authority=(SOA.format(10, 20),)), Kind.DENIAL, 10),
        (message("@ 300 IN CNAME a.test.", authority=(SOA.format(60, 20),)), Kind.SUCCESS, 60),
        (message(authority=("example.test. 60 IN NS ns.example.test.",)), Kind.SUCCESS, 60),
        (message(), Kind.SUCCESS, 5),
        (message(rcode=3), Kind.OTHER, 5),
        (message(rcode=2), Kind.FAILURE, 5),
        (message(rcode=4), Kind.FAILURE, 5),
        (message(rcode=5), Kind.OTHER, 5),
        (message("@ 300 IN A 203.0.113.1", flags=dns.flags.TC), Kind.OTHER, 5),
    ],
)
def test_kinds_and_times(made: Message, kind: Kind, ttl: int) -> None:
    assert (made.kind, made.ttl) == (kind, ttl)


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (message("@ 0 IN A 203.0.113.1"), 5),
        (message("@ 300 IN A 203.0.113.1"), 30),
        (message("@ 20 IN A 203.0.113.1"), 20),
        (message("@ 4294967295 IN A 203.0.113.1"), 5),
        (message(rcode=3, authority=(SOA.format(900, 900),)), 10),
        (message(rcode=2), 3),
    ],
)
def test_times_are_kept_within_bounds(made: Message, seconds: int) -> None:
    assert kept_for(made, CacheConfig(denial_ttl=10, servfail_ttl=3)) == seconds


RECORDS = st.lists(
    st.sampled_from(
        (
            "@ 60 IN A 203.0.113.{n}",
            "@ {n} IN AAAA 2001:db8::{n}",
            "a{n}.example.test. 60 IN A 203.0.113.{n}",
            "a{n}.example.test. 60 IN CNAME b{n}.example.test.",
            "@ 60 IN MX {n} mx.example.test.",
            "@ 60 IN SRV 0 0 {n} srv.example.test.",
            '@ 60 IN TXT "{n}"',
            "@ 60 IN TYPE65400 \\# 3 0102{n:02x}",
            "s{n}." + SOA.format("60", "{n}"),
        )
    ),
    max_size=20,
).map(lambda forms: tuple(dict.fromkeys(form.format(n=n + 1) for n, form in enumerate(forms))))


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    """Records, case aside: a pointer into the question takes the asker's spelling with it."""
    return sorted(f"{s.name} {s.rdtype} {record}".lower() for s in section for record in s)


@settings(max_examples=50, deadline=None)
@given(RECORDS, RECORDS, st.integers(512, 5000), st.booleans(), st.integers(0, 2**32))
def test_an_answer_is_passed_on_whole_or_cut_at_an_edge(
    first: tuple[str, ...], second: tuple[str, ...], limit: int, edns: bool, seed: int
) -> None:
    """Read by dnspython: same records, the asker's spelling, TTLs as told, never over the limit."""
    upstream_query, _ = asked(use_edns=0) if edns else asked()
    made = reply(upstream_query, *first, authority=second)
    client_query, query = asked("wWw.eXample.TEST.", use_edns=0, payload=limit) if edns else asked("wWw.eXample.TEST.")
    written = client_query.to_wire()[:2] + render(
        parse_message(made.to_wire(max_size=65535)), query, limit, 17, 0x0400, random.Random(seed).shuffle
    )
    assert len(written) <= limit
    shown = dns.message.from_wire(written)
    assert shown.question[0].name.to_text() == "wWw.eXample.TEST."
    assert {s.ttl for s in (*shown.answer, *shown.authority)} <= {17}
    assert {s.name.to_text() for s in shown.answer if s.name == shown.question[0].name} <= {"wWw.eXample.TEST."}
    assert (shown.edns == 0) == edns
    if shown.flags & dns.flags.TC:
        assert set(texts(shown.answer)) <= set(texts(made.answer))
        assert set(texts(shown.authority)) <= set(texts(made.authority))
    else:
        assert (texts(shown.answer), texts(shown.authority)) == (texts(made.answer), texts(made.authority))


def test_what_follows_the_opt_is_left_out() -> None:
    """Its pointers would no longer be right."""
    made = reply(asked(use_edns=0)[0], "@ 60 IN A 203.0.113.1").to_wire()
    extra = b"\xc0\x0c" + b"\0\1\0\1\0\0\0\x3c\0\4" + bytes((203, 0, 113, 9))
    read = parse_message(made[:10] + b"\0\2" + made[12:] + extra)
    assert read.counts == (1, 0, 0)


def test_an_extended_rcode_needs_an_opt() -> None:
    made = reply(asked(use_edns=0)[0])
    made.set_rcode(dns.rcode.Rcode(23))
    read = parse_message(made.to_wire())
    for query, expected in ((asked(use_edns=0)[1], 23), (asked()[1], 2)):
        assert dns.message.from_wire(b"\0\0" + render(read, query, 512, None, 0, list.reverse)).rcode() == expected


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mangled_messages_are_refused_or_readable(data: st.DataObject) -> None:
    """Nothing but BadMessage is raised, and what passes is read by dnspython if it could read what came."""
    wire = bytearray(
        reply(asked(use_edns=0)[0], "@ 60 IN CNAME b.example.test.", "b.example.test. 60 IN A 203.0.113.1").to_wire()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(12, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(wire[: data.draw(st.integers(0, len(wire)))]) if data.draw(st.booleans()) else bytes(wire)
    for read in (parse_message, cut_message):
        try:
            got = read(cut)
        except BadMessage:
            continue
        _, query = asked(use_edns=0, payload=4096)
        written = b"\0\0" + render(got, query, 4096, 9, 0, list.reverse)
        try:
            dns.message.from_wire(cut)
        except (dns.exception.DNSException, ValueError):
            continue
        dns.message.from_wire(written)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**256 - 1))
def test_another_question_is_not_answered(bits: int) -> None:
    _, query = asked("www.example.test.")
    asking = read_asked(query, 4096)
    mixed = asking.spelled(bits)
    assert (mixed.question.lower(), mixed.key, mixed.wire[:10]) == (
        asking.question.lower(),
        asking.key,
        asking.wire[:10],
    )
    for name, qtype, right in (
        ("WWW.example.test.", "A", True),
        ("www.example.test.", "AAAA", False),
        ("ww.example.test.", "A", False),
        ("www.example.tess.", "A", False),
    ):
        got = parse_message(reply(dns.message.make_query(name, qtype)).to_wire())
        assert answers(got, mixed.question) == right
        assert not answers(replace(got, flags=got.flags & 0x7FFF), mixed.question), "a query is no answer"


# What is kept


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


# Which upstream is next


def test_orders() -> None:
    def backwards(indexes: list[int]) -> None:
        indexes.reverse()

    assert order("random", 3, 5, backwards) == [2, 1, 0]
    assert order("sequential", 3, 5, backwards) == [0, 1, 2]
    assert [order("round_robin", 3, turn, backwards)[0] for turn in range(4)] == [1, 2, 0, 1]


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
