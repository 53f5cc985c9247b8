"""Kept answers while the cluster changes: never another answer than one made anew, and dnslib's reading of both."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dns.edns
import dns.message
import dns.opcode
import pytest
from dnslib import CLASS, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_dns.config import DnsConfig
from netsim_dns.index import Index, build_index
from netsim_dns.kept import COPIES_MAX, NOT_READY, VOLATILE, Keeper, Kept
from netsim_dns.names import Labels
from netsim_dns.reply import Body
from netsim_dns.responder import Responder, shuffled
from netsim_dns.shapes import Shape
from netsim_dns.types import AAAA, SRV, TXT, A, Question, Record

from .conftest import answer
from .test_records import Obj, identity, namespace, service, slice_of

LOCAL = frozenset((bytes((10, 0, 0, 3)),))
CONFIG = DnsConfig(cluster_cidrs=("10.0.0.0/8",), pods="verified")

ips = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
http = [{"name": "http", "port": 80}]
specs = st.one_of(
    ips.map(lambda ip: {"clusterIPs": [ip], "ports": http}),
    ips.map(lambda ip: {"clusterIPs": [ip, "fd00::1"], "ports": http}),
    st.just({"clusterIP": "None", "clusterIPs": ["None"]}),
    st.sampled_from(["www.example.test", "y.a.svc.cluster.local", "X.b.svc.cluster.local"]).map(
        lambda name: {"type": "ExternalName", "externalName": name}
    ),
    st.just({"clusterIP": ""}),
)
pods = st.builds(
    lambda name, ip, phase: {
        "kind": "Pod",
        "metadata": {"namespace": "a", "name": name},
        "status": {"podIP": ip, "phase": phase},
    },
    st.sampled_from(["p", "q"]),
    ips,
    st.sampled_from(["Running", "Failed"]),
)
objects = st.one_of(
    st.builds(service, st.sampled_from(["x", "y"]), specs, st.sampled_from(["a", "b"])),
    st.builds(
        lambda name, svc, addresses, ns: slice_of(name, svc, addresses, ns, ports=http),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(["x", "y"]),
        st.lists(ips, max_size=3, unique=True),
        st.sampled_from(["a", "b"]),
    ),
    st.sampled_from(["a", "b"]).map(namespace),
    pods,
)
changes = st.tuples(objects, st.sampled_from([True, True, False]))

NAMES = [
    *(f"{name}.{ns}.svc.cluster.local." for name in ("x", "Y", "_http._tcp.x", "10-0-0-1.y", "z") for ns in ("a", "b")),
    *(f"{number}.0.0.10.in-addr.arpa." for number in (1, 2, 3)),
    *("cluster.local.", "a.svc.cluster.local.", "b.pod.cluster.local.", "ns.dns.cluster.local."),
    *("10-0-0-1.a.pod.cluster.local.", "10-0-0-2.A.pod.Cluster.local."),
]
QUERIES = [
    dns.message.make_query(name, qtype, use_edns=0 if qtype == "SRV" else -1).to_wire()
    for name in NAMES
    for qtype in (("PTR",) if name.endswith("arpa.") else ("A", "AAAA", "SRV", "NS", "TXT"))
]


def same(one: bytes, other: bytes) -> bool:
    """Equal but for the order of records, which are then made of the same bytes."""
    return one[:12] == other[:12] and Counter(one) == Counter(other)


@settings(max_examples=40, deadline=None)
@given(st.lists(changes, min_size=6, max_size=16), st.randoms(use_true_random=False))
def test_what_is_kept_is_what_would_be_answered_now(steps: list[tuple[Obj, bool]], random: Any) -> None:
    index, present = Index(), dict[tuple[str, str, str], Obj]()
    warm, queries = Responder(index, CONFIG, LOCAL), random.sample(QUERIES, 16)
    for serial, (obj, keep) in enumerate(steps):
        old = present.pop(identity(obj), None)
        if keep:
            present[identity(obj)] = obj
        if keep or old:
            index.apply(obj["kind"], old, obj if keep else None, serial)
        if serial == 1:
            index.set_synced()
        fresh = Responder(index, CONFIG, LOCAL)
        for query in queries:
            kept, new = warm.udp(query), fresh.udp(query)
            assert isinstance(kept, bytes)
            assert isinstance(new, bytes)
            assert same(kept, new), dns.message.from_wire(query).question
            ((at_hand,), _, others) = warm.udp_all([query[2:]])
            assert others if not at_hand else same(query[:2] + at_hand, new), "what is at hand is no other"


def test_only_what_a_change_touches_is_forgotten() -> None:
    world = [namespace("a"), *(service(f"s{i}", {"clusterIPs": [f"10.0.1.{i}"]}) for i in range(20))]
    index = build_index(world, 1)
    responder = Responder(index, CONFIG)
    for i in range(20):
        responder.udp(dns.message.make_query(f"s{i}.a.svc.cluster.local.", "A").to_wire())
    index.apply("Service", world[3], service("s2", {"clusterIPs": ["10.0.2.2"]}), 2)
    responder.udp(dns.message.make_query("cluster.local.", "SOA").to_wire())
    assert len(responder.kept) == 20, "19 Services and the zone"
    index.apply("Namespace", world[0], None, 3)
    responder.udp(dns.message.make_query("cluster.local.", "SOA").to_wire())
    assert len(responder.kept) == 1


def test_a_denial_says_when_the_cluster_last_changed() -> None:
    index = build_index([namespace("a")], 1_000)
    responder = Responder(index, CONFIG)
    query = dns.message.make_query("nosuch.a.svc.cluster.local.", "A").to_wire()
    for serial in (1_000, 2_000, 3_000):
        index.apply("Service", None, service(f"s{serial}", {"clusterIPs": ["10.0.0.1"]}), serial)
        for respond in (responder.udp, responder.udp, responder.tcp):
            reply = respond(query)
            assert isinstance(reply, bytes)
            assert dns.message.from_wire(reply).authority[0][0].serial == serial


def test_two_hundred_changes_among_five_thousand_queries() -> None:
    """25 answers between one change and the next: each is true at its time, and a deleted Service is gone at once."""
    names = [f"s{i}" for i in range(20)]
    index = build_index([namespace("a")], 1)
    responder = Responder(index, CONFIG)
    asked = [dns.message.make_query(f"{name}.a.svc.cluster.local.", "A").to_wire() for name in names]
    true: dict[int, bytes] = {}
    for change in range(200):
        number, address = change * 7 % 20, bytes((10, 0, change % 250, 9))
        if change % 3 == 2 and number in true:
            del true[number]
            index.apply("Service", service(names[number], {}), None, change)
        else:
            true[number] = address
            text = ".".join(map(str, address))
            index.apply("Service", None, service(names[number], {"clusterIPs": [text]}), change)
        for query in (number, *range(20), *range(4)):
            reply = responder.udp(asked[query])
            assert isinstance(reply, bytes)
            expected = (0, true[query]) if query in true else (3, change.to_bytes(4, "big"))
            assert (reply[3] & 15, reply[-4:] if query in true else reply[-20:-16]) == expected


KEY = b"\1a\0\0\1\0\1"
READY = (b"answer", Shape((b"", 0, 0, 0)), 0)


def test_a_full_generation_becomes_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim_dns.kept.GENERATION_MAX", 3)
    keeper = Keeper(shuffled)
    first = Kept(Body(0), touched=(b"ns", b"svc"))
    keeper.add(KEY, first)
    keeper.add_ready(KEY, first, False, b"query", READY)
    assert keeper.udp[b"query"] == READY and keeper.tcp[b"query"] == NOT_READY
    for number in range(3):
        keeper.add(KEY + bytes([number]), Kept(Body(0)))
    assert not keeper.udp.kept and keeper.udp[b"query"] == NOT_READY, "what was at hand is let go"
    assert keeper.find(KEY) is first, "and the answer taken over"
    keeper.drop((b"ns", b"other"))
    keeper.drop(VOLATILE)
    assert keeper.find(KEY) is first
    keeper.drop((b"ns", None))
    assert keeper.find(KEY) is None
    for number in range(3, 9):
        keeper.add(KEY + bytes([number]), Kept(Body(0)))
    assert len(keeper) <= 6
    last = keeper.find(KEY + b"\x08")
    assert last is not None
    for number in range(4):
        keeper.add_ready(KEY + b"\x08", last, False, bytes([number]), READY)
    assert not keeper.udp.kept, "a full table makes room as well"
    assert keeper.find(KEY + b"\x08") is last


def test_dropping_takes_what_is_at_hand_with_it() -> None:
    keeper = Keeper(shuffled)
    for stream in (False, True):
        kept = Kept(Body(0), touched=(None, b"address"))
        keeper.add(KEY, kept)
        keeper.add_ready(KEY, kept, stream, b"query", READY)
        messages = keeper.tcp if stream else keeper.udp
        assert messages[b"query"] == READY
        keeper.drop((None, b"address"))
        assert (keeper.find(KEY), messages.kept, messages[b"query"]) == (None, {}, NOT_READY)


WAYS = {
    "options": {"use_edns": 0, "options": [dns.edns.GenericOption(10, b"8 bytes.")]},
    "notify": {},
    "sizes": {"use_edns": 0, "payload": 1400},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_gone_is_denied_however_it_was_asked_for(way: str) -> None:
    gone = service("x", {"clusterIPs": ["10.0.0.1"]})
    index = build_index([namespace("a"), gone], 1)
    responder = Responder(index, CONFIG)
    plain, other = (dns.message.make_query("x.a.svc.cluster.local.", "A", **how) for how in ({}, WAYS[way]))
    if way == "notify":
        other.set_opcode(dns.opcode.NOTIFY)
    queries = [plain.to_wire(), other.to_wire(), plain.to_wire(), other.to_wire()]
    assert {reply[3] & 15 for reply in map(responder.udp, queries) if isinstance(reply, bytes)} == {0}
    index.apply("Service", gone, None, 2)
    assert {reply[3] & 15 for reply in map(responder.udp, queries) if isinstance(reply, bytes)} == {3}


def test_one_question_in_very_many_ways_is_not_kept_in_each() -> None:
    responder = Responder(build_index([namespace("a")], 1), CONFIG)
    for size in range(512, 612):
        responder.udp(dns.message.make_query("x.a.svc.cluster.local.", "A", use_edns=0, payload=size).to_wire())
    assert len(responder.kept.udp.kept) == COPIES_MAX


def test_a_spelling_that_comes_again_is_kept_by_its_bytes_and_one_that_does_not_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("netsim_dns.kept.ONCE_MAX", 50)
    responder = Responder(build_index([namespace("a"), service("x", {"clusterIPs": ["10.0.0.9"]})], 1), CONFIG)
    again = dns.message.make_query("X.a.svc.Cluster.local.", "SRV").to_wire()
    answers = [responder.udp(again) for _ in range(4)]
    assert set(answers) == {answers[0]} and list(responder.kept.udp.kept) == [again[2:]]
    for number in range(120):
        name = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("xabcdefg"))
        responder.udp(dns.message.make_query(f"{name}.a.svc.cluster.local.", "A").to_wire())
    assert len(responder.kept.udp.kept) == 2, "that and the one in lower case"
    assert not responder.kept.comes_again(again[2:]), "what is remembered of others is bounded"


# The plain path: dnslib reads the query, builds the answer from the records, and reads both answers


def plain(record: Record, ttl: int) -> tuple[Any, ...]:
    """A record as dnslib's reading of it is compared: owner, type, TTL, and its data."""
    data: tuple[Any, ...] = (record.prefix, record.names, record.suffix)
    if record.rtype == SRV:
        data = (*(int.from_bytes(record.prefix[i : i + 2], "big") for i in (0, 2, 4)), record.names[0])
    elif record.rtype in (A, AAAA):
        data = tuple(record.prefix)
    elif record.rtype == TXT:
        data = (record.prefix[1:],)
    elif record.names and record.suffix:
        numbers = tuple(int.from_bytes(record.suffix[i : i + 4], "big") for i in range(0, 20, 4))
        data = (*record.names, numbers)
    elif record.names:
        data = record.names
    return (record.owner, record.rtype, ttl, data)


def read(rr: Any) -> tuple[Any, ...]:
    data, label = rr.rdata, lambda name: tuple(name.label)
    if rr.rtype == SRV:
        found: tuple[Any, ...] = (data.priority, data.weight, data.port, label(data.target))
    elif rr.rtype in (A, AAAA) or rr.rtype == TXT:
        found = tuple(data.data)
    elif hasattr(data, "mname"):
        found = (label(data.mname), label(data.rname), tuple(data.times))
    else:
        found = (label(data.label),)
    return (label(rr.rname), rr.rtype, rr.ttl, found)


def spelled(labels: Labels, upper: list[bool]) -> Labels:
    return tuple(label.upper() if upper[i % len(upper)] else label for i, label in enumerate(labels))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(objects, min_size=4, max_size=14),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.sampled_from([0, 600, 4096]),
    st.randoms(use_true_random=False),
)
def test_bytes_and_dnslib_agree(world: list[Obj], upper: list[bool], size: int, random: Any) -> None:
    index = build_index(world, 77)
    responder = Responder(index, CONFIG, LOCAL)
    for query in random.sample(QUERIES, 12):
        asked = DNSRecord.parse(query)
        asked.q.qname.label = spelled(asked.q.qname.label, upper)
        if size and not asked.ar:
            asked.add_ar(dns_opt(size))
        question = Question(tuple(asked.q.qname.label), asked.q.qtype, CLASS.IN)
        wanted = answer(question, index, CONFIG, LOCAL)
        for _ in range(2):
            reply = responder.udp(bytes(asked.pack()))
            assert isinstance(reply, bytes)
            assert len(reply) <= max(size, 512)
            given_ = DNSRecord.parse(reply)
            assert given_.header.rcode == wanted.rcode
            assert given_.q.qname.label == asked.q.qname.label
            if not given_.header.tc:
                for ours, theirs in ((wanted.answer, given_.rr), (wanted.authority, given_.auth)):
                    assert Counter(plain(r, wanted.ttl) for r in ours) == Counter(map(read, theirs))
                extra = [rr for rr in given_.ar if rr.rtype != 41]
                assert Counter(plain(r, wanted.ttl) for r in wanted.additional) == Counter(map(read, extra))


def dns_opt(size: int) -> Any:
    from dnslib import EDNS0

    return EDNS0(udp_len=size)
