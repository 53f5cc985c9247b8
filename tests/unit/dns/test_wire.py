"""Bytes in, bytes out: malformed input, limits, compression, and agreement with an independent parser."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from dnslib import DNSRecord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsim_dns.reply import asker_of, build_body, render
from netsim_dns.responder import Responder
from netsim_dns.types import Answer, Question
from netsim_dns.wire import Malformed, parse_query

from .conftest import rows

NAME = b"\x04svc1\x06testns\x03svc\x07cluster\x05local\x00"
A_IN = b"\x00\x01\x00\x01"


def message(counts: tuple[int, int, int, int] = (1, 0, 0, 0), body: bytes = NAME + A_IN, flags: int = 0x0100) -> bytes:
    return struct.pack("!HHHHHH", 0xBEEF, flags, *counts) + body


def head(reply: bytes | None) -> tuple[int, int, int]:
    """rcode, number of questions, length"""
    assert reply is not None
    return reply[3] & 15, int.from_bytes(reply[4:6], "big"), len(reply)


OPT = b"\0\x00\x29\x04\xd0\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message((0, 0, 0, 0), b""), (1, 0, 12)),
        (message((0, 0, 0, 1), OPT + b"\0\0"), (1, 0, 12)),
        (message((2, 0, 0, 0), NAME + A_IN + NAME + A_IN), (1, 0, 12)),
        (message(body=b""), (2, 0, 12)),
        (message(body=NAME[:7]), (1, 0, 12)),
        (message(body=b"\x40" + b"a" * 64 + b"\0" + A_IN), (1, 0, 12)),
        (message(body=b"\x80a\0" + A_IN), (1, 0, 12)),
        (message(body=b"\xc0\x0c" + A_IN), (1, 0, 12)),
        (message(body=(b"\x3f" + b"a" * 63) * 4 + b"\0" + A_IN), (1, 0, 12)),
        (message((1, 2, 0, 0)), (1, 0, 12)),
        (message((1, 0, 2, 0)), (1, 0, 12)),
        (message((1, 0, 0, 3)), (1, 0, 12)),
        (message((1, 0, 0, 1), NAME + A_IN + OPT + b"\0\x09"), (1, 1, 12 + len(NAME) + 4)),
        (message((1, 0, 0, 1), NAME + A_IN + OPT + b"\0\x08\0\x08\0\x04\0\x09\0\0"), (1, 1, 12 + len(NAME) + 4)),
        (message(flags=0x2900, counts=(0, 0, 0, 0), body=b""), (4, 0, 12)),
    ],
    ids=str,
)
def test_malformed(data: bytes, expected: tuple[int, int, int], responders: dict[str, Responder]) -> None:
    reply = responders["p1"].udp(data)
    assert head(reply) == expected
    assert reply is not None
    assert reply[:2] == data[:2]
    assert reply[2] & 0x79 == data[2] & 0x79, "opcode and RD come back"


@pytest.mark.parametrize(
    "data",
    [
        message((1, 1, 0, 0), NAME + A_IN + NAME + A_IN + b"\0\0\0\1\0\4\1\2\3\4"),
        message((1, 0, 0, 1)),
        message(body=NAME + A_IN + b"trailing"),
        message(body=NAME + b"\0\1"),
        message((1, 0, 0, 2), NAME + A_IN + (OPT + b"\0\0") * 2),
        message((1, 0, 0, 1), NAME + A_IN + b"\x01x" + OPT + b"\0\0"),
        message(flags=0x0110 | 0x0400 | 0x0280 | 0x0045),
    ],
    ids=["rr in answer", "absent additional", "trailing", "no class", "two OPT", "OPT with owner", "odd flags"],
)
def test_tolerated(data: bytes, responders: dict[str, Responder]) -> None:
    reply = responders["p1"].udp(data)
    assert reply is not None
    assert head(reply)[:2] == (0, 1)
    assert reply[7] == 1, "one answer"
    assert reply[2:4] in (b"\x85\x00", b"\x85\x10"), "QR AA RD, and CD if asked"


@pytest.mark.parametrize("data", [b"", b"\0" * 11, message(flags=0x8100)])
def test_silence(data: bytes, responders: dict[str, Responder]) -> None:
    assert responders["p1"].udp(data) is None
    assert responders["p1"].tcp(data) is None


def test_name_of_255_bytes_is_answered_and_256_is_not(responders: dict[str, Responder]) -> None:
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == 255
    assert head(responders["p1"].udp(message(body=longest + A_IN)))[:2] == (2, 1)
    assert head(responders["p1"].udp(message(body=longest[:192] + b"\x3e" + b"a" * 62 + b"\0" + A_IN)))[:2] == (1, 0)


NAMES = sorted({row.name for source in ("p0", "p1") for row in rows(source)})


def randomly_cased(text: str, upper: list[bool]) -> str:
    return "".join(c.upper() if upper[i % len(upper)] else c for i, c in enumerate(text)) if upper else text


queries = st.builds(
    lambda name, upper, qtype, edns, size, do: dns.message.make_query(
        randomly_cased(name, upper), qtype, use_edns=edns, payload=size if edns >= 0 else None, ednsflags=do
    ).to_wire(),
    st.sampled_from(NAMES),
    st.lists(st.booleans(), max_size=7),
    st.sampled_from(["A", "AAAA", "SRV", "TXT", "NS", "SOA", "PTR", "CNAME", "ANY", "MX"]),
    st.sampled_from([-1, -1, 0, 0, 1]),
    st.sampled_from([0, 512, 600, 1232, 4096, 65535]),
    st.sampled_from([0, 0x8000]),
)


@settings(max_examples=250, deadline=None)
@given(queries)
def test_every_answer_parses_fits_and_belongs_to_its_question(wire: bytes) -> None:
    responder = fixture_responder()
    question = dns.message.from_wire(wire)
    for respond, limit in ((responder.udp, limit_of(question)), (responder.tcp, 65535)):
        for _ in range(2):
            data = respond(wire)
            assert data is not None
            assert len(data) <= limit
            reply = dns.message.from_wire(data)
            assert reply.id == question.id
            assert data[12 : 12 + len(wire) - 12][: question_length(wire)] == wire[12 : 12 + question_length(wire)]
            assert (reply.edns >= 0) == (question.edns >= 0)
            if len(data) < 16000:
                DNSRecord.parse(data)
            if not reply.flags & dns.flags.TC:
                check_negative(reply)


WARM: dict[str, Responder] = {}


@settings(max_examples=500, deadline=None)
@given(queries)
def test_kept_answers_are_those_of_a_fresh_responder(wire: bytes) -> None:
    """Whatever was asked before, in whatever spelling; only the order of addresses may differ."""
    warm = WARM.setdefault("", fixture_responder())
    for _ in range(2):
        kept, fresh = warm.udp(wire), fixture_responder().udp(wire)
        assert kept is not None
        assert fresh is not None
        assert (len(kept), kept[:12], kept[12 : 12 + question_length(wire)]) == (
            len(fresh),
            fresh[:12],
            fresh[12 : 12 + question_length(wire)],
        )
        one, two = dns.message.from_wire(kept), dns.message.from_wire(fresh)
        if not one.flags & dns.flags.TC:
            assert spelled(one) == spelled(two)


def spelled(message: dns.message.Message) -> list[list[str]]:
    sections = (message.question, message.answer, message.authority, message.additional)
    return [sorted(line for rrset in section for line in str(rrset).splitlines()) for section in sections]


def test_names_in_mixed_case_are_kept_once(responders: dict[str, Responder]) -> None:
    responder = fixture_responder()
    for number in range(200):
        name = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("svc1.testns"))
        data = responder.udp(dns.message.make_query(f"{name}.svc.cluster.local.", "A").to_wire())
        assert data is not None
        assert name.partition(".")[0].encode() in data
    assert len(responder.kept) == 1


def limit_of(question: dns.message.Message) -> int:
    return min(max(512, question.payload), 4096) if question.edns >= 0 else 512


def question_length(wire: bytes) -> int:
    return wire.index(b"\0", 12) + 5 - 12


def check_negative(reply: dns.message.Message) -> None:
    """7.1: a negative answer of ours is authoritative, with one SOA and nothing else."""
    if reply.flags & dns.flags.AA and not reply.answer:
        assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.SOA]
        assert len(reply.authority[0]) == 1
        assert not reply.additional


def fixture_responder() -> Responder:
    from .conftest import P1, fixture_index

    return Responder(fixture_index(), P1)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=120), st.tuples(queries, st.data()).map(lambda pair: pair[0])), st.data())
@example(message(), None)
def test_any_bytes_are_survived(data: bytes, more: st.DataObject | None) -> None:
    if more is not None:
        for _ in range(more.draw(st.integers(0, 4))):
            if data:
                at = more.draw(st.integers(0, len(data) - 1))
                data = data[:at] + more.draw(st.binary(max_size=2)) + data[at + 1 :]
    responder = fixture_responder()
    for reply in (responder.udp(data), responder.tcp(data)):
        if len(data) < 12 or data[2] & 0x80:
            assert reply is None
            continue
        assert reply is not None, "every well-formed header gets an answer"
        assert reply[:2] == data[:2]
        assert reply[2] & 0x80
    written = responder.udp(data)
    assert written is None or len(written) <= 4096


def test_answers_past_16_kib_are_readable_with_no_pointer_out_of_reach(responders: dict[str, Responder]) -> None:
    wire = dns.message.make_query("huge.testns.svc.cluster.local.", "SRV").to_wire()
    data = responders["p1"].tcp(wire)
    assert data is not None
    reply = dns.message.from_wire(data)
    assert 60_000 < len(data) <= 65535
    assert reply.flags & dns.flags.TC
    assert sum(len(rrset) for rrset in reply.answer) > 1000


def test_additional_addresses_follow_large_srv_answers(responders: dict[str, Responder]) -> None:
    """60 SRV and 60 addresses: every target's address is there, found through pointers into the SRV data."""
    data = responders["p1"].tcp(dns.message.make_query("big.testns.svc.cluster.local.", "SRV").to_wire())
    assert data is not None
    reply = dns.message.from_wire(data)
    targets = {record.target for record in reply.answer[0]}
    assert len(targets) == 60
    assert {rrset.name for rrset in reply.additional} == targets


def test_srv_targets_are_written_whole(responders: dict[str, Responder]) -> None:
    """RFC 2782: no compression of the target."""
    query = dns.message.make_query("svc1.testns.svc.cluster.local.", "SRV").to_wire()
    data = responders["p1"].udp(query)
    assert data is not None
    assert data.count(NAME) == 2, "question and target"


def test_addresses_change_places(responders: dict[str, Responder]) -> None:
    """17.1: any of five addresses comes first about as often as any other."""
    wire = dns.message.make_query("hdls.testns.svc.cluster.local.", "A").to_wire()
    first: dict[bytes, int] = {}
    for _ in range(500):
        reply = responders["p1"].udp(wire)
        assert reply is not None
        address = reply[-68:-64]
        first[address] = first.get(address, 0) + 1
    assert len(first) == 5
    assert min(first.values()) > 50


def test_kept_answers_are_those_of_a_fresh_responder_after_a_change(index: object) -> None:
    from netsim_dns.index import Index

    from .conftest import P1

    assert isinstance(index, Index)
    responder = Responder(index, P1)
    wire = dns.message.make_query("svc1.testns.svc.cluster.local.", "A").to_wire()
    assert head(responder.udp(wire))[0] == 0
    gone = {"kind": "Service", "metadata": {"namespace": "testns", "name": "svc1"}}
    assert index.apply("Service", gone, None, 2_000_000_000)
    reply = responder.udp(wire)
    assert head(reply)[0] == 3
    assert reply is not None
    assert (2_000_000_000).to_bytes(4, "big") in reply


def test_a_failing_answer_is_servfail_to_that_client_only(
    responders: dict[str, Responder], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Answer:
        raise RuntimeError("boom")

    wire = dns.message.make_query("never-asked.testns.svc.cluster.local.", "A").to_wire()
    with monkeypatch.context() as patch:
        patch.setattr("netsim_dns.responder.answer_context", broken)
        assert head(responders["p1"].udp(wire))[0] == 2
    assert "boom" in caplog.text


def test_kept_answers_are_bounded(responders: dict[str, Responder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim_dns.kept.GENERATION_MAX", 10)
    responder = fixture_responder()
    for i in range(50):
        responder.udp(dns.message.make_query(f"n{i}.testns.svc.cluster.local.", "A").to_wire())
    assert 10 <= len(responder.kept) <= 20
    assert len(responder.kept.udp.kept) <= 10


def test_parse_query_keeps_labels_of_any_bytes() -> None:
    query = parse_query(message(body=b"\x03a.b\x02\x00\xff\x00" + A_IN))
    assert query is not None
    assert query.question == Question((b"a.b", b"\x00\xff"), 1, 1)


def test_reply_is_built_from_any_answer_to_a_question() -> None:
    query = parse_query(message())
    assert query is not None
    body = build_body(query.question, Answer(5, authoritative=False), ())
    assert render(body, asker_of(query, 512, stream=False), bytes(4), list)[:2] == b"\x81\x05"
    with pytest.raises(Malformed):
        parse_query(message((2, 0, 0, 0)))
