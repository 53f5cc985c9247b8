"""What is read of an upstream's message, and what a client gets of it. No sockets, no clock."""

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

from netsim_dns.forward.cache import kept_for
from netsim_dns.forward.config import (
    CacheConfig,
)
from netsim_dns.forward.message import BadMessage, Kind, Message, cut_message, parse_message
from netsim_dns.forward.render import answers, read_asked, render

from .false_upstream import reply
from .forward_messages import SOA, asked, message


@pytest.mark.parametrize(
    ("made", "kind", "ttl"),
    [
        (message("@ 300 IN A 203.0.113.1", "@ 60 IN A 203.0.113.2"), Kind.SUCCESS, 60),
        (message("@ 300 IN CNAME a.test.", "a.test. 7 IN A 203.0.113.1"), Kind.SUCCESS, 7),
        (message(rcode=3, authority=(SOA.format(60, 20),)), Kind.DENIAL, 60),
        (message(authority=(SOA.format(10, 20),)), Kind.DENIAL, 10),
        (message("@ 300 IN CNAME a.test.", authority=(SOA.format(60, 20),)), Kind.SUCCESS, 60),
        (message(authority=("example.test. 60 IN NS ns.example.test.",)), Kind.SUCCESS, 5),
        (message(), Kind.SUCCESS, 5),
        (message(rcode=3), Kind.OTHER, 5),
        (message(rcode=2), Kind.FAILURE, 5),
        (message(rcode=4), Kind.FAILURE, 5),
        (message(rcode=5), Kind.OTHER, 5),
        (message("@ 300 IN A 203.0.113.1", flags=dns.flags.TC), Kind.OTHER, 300),
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


def test_answers_and_denials_have_a_least_time_each() -> None:
    config = CacheConfig(success_ttl_min=7, denial_ttl_min=1)
    assert kept_for(message("@ 0 IN A 203.0.113.1"), config) == 7
    assert kept_for(message(rcode=3, authority=(SOA.format(0, 0),)), config) == 1


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


def test_mail_exchanges_come_in_any_order_and_last() -> None:
    """Their names, and their pointers into each other, may not suffer from it."""
    client_query, query = asked("Example.TEST.", "MX")
    made = reply(client_query, "@ 60 IN A 203.0.113.1", *(f"@ 60 IN MX {n} mx{n}.example.test." for n in range(4)))
    message, orders = parse_message(made.to_wire()), set()
    for seed in range(60):
        written = render(message, query, 512, 17, 0, random.Random(seed).shuffle)
        shown = dns.message.from_wire(client_query.to_wire()[:2] + written, one_rr_per_rrset=True)
        assert [(r.name.to_text(), r.rdtype, r.ttl) for r in shown.answer] == [
            ("Example.TEST.", 1, 17), *[("Example.TEST.", 15, 17)] * 4,
        ]  # fmt: skip
        orders.add(tuple(str(r[0]) for r in shown.answer[1:]))
    assert len(orders) > 15 and {frozenset(order) for order in orders} == {frozenset(next(iter(orders)))}
    cut = render(message, query, 100, 17, 0, random.shuffle)
    assert cut[1 - 1] & 0x02 and len(cut) <= 98


@pytest.mark.parametrize(
    ("rtype", "content"),
    [
        (1, b"123"),
        (28, bytes(15)),
        (16, b"\5abc"),
        (5, b"\3abc"),
        (15, b"\0\1\3abc\0x"),
        (6, b"\0\0abc"),
        (2, b"\xc0\xff"),
    ],
)
def test_records_of_known_types_must_be_well_formed(rtype: int, content: bytes) -> None:
    made = reply(asked()[0], "@ 60 IN TYPE65400 \\# 0").to_wire()
    wrong = made[:-10] + rtype.to_bytes(2, "big") + made[-8:-2] + len(content).to_bytes(2, "big") + content
    with pytest.raises(BadMessage):
        parse_message(wrong)


@pytest.mark.parametrize("rest", [b"", b"\3abc", b"\xc0", b"\3abc\xc0", b"\0\0\1"])
def test_a_question_cut_short_is_no_message(rest: bytes) -> None:
    for read in (parse_message, cut_message):
        with pytest.raises(BadMessage):
            read(reply(asked()[0]).to_wire()[:12] + rest)


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
