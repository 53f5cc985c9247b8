"""Recorded questions through the bytes path give the recorded answers.

Normalised as the recordings allow: message id, SOA serial, order of records. Where an answer was cut, or the
recording abbreviated, the records shown must be among all those there are and the counts must agree.
"""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from dns.edns import ECSOption, GenericOption

from netsim_dns.responder import Responder
from netsim_dns.types import SRV, Question

from .conftest import Row, answer, query_of, rows

FORWARDED = "needs an upstream"
NO_CLUSTER_IP = "a Service without cluster IP is denied, not `CNAME .` (2.9)"
FQDN_SLICE = "FQDN slices are ignored (3.17)"
UNLABELLED = "a slice of no Service gives no record instead of no reply (5.8)"
OWNER_CASE = "the owner has the asker's case, not that of an earlier asker (12.4)"
Z_FLAGS = "EDNS flags other than DO are cleared (13.9)"
LARGE_UDP = "UDP answers are cut at udp_max instead of lost (14.7)"
# What this server does not do yet, or does otherwise on purpose: how many rows each reason covers, and no others.
UNCOVERED = {
    "p0": {NO_CLUSTER_IP: 3, FQDN_SLICE: 3},
    "p1": {FORWARDED: 51, OWNER_CASE: 1, UNLABELLED: 1, Z_FLAGS: 1, LARGE_UDP: 1},
}
# The recordings show EDNS options only as addresses of objects; these are those sent, in order.
OPTIONS = [
    GenericOption(3, b""),
    GenericOption(10, b"12345678"),
    GenericOption(10, b"123"),
    GenericOption(100, b"abc"),
    ECSOption("192.0.2.0", 24),
    GenericOption(11, b""),
    GenericOption(12, bytes(20)),
    GenericOption(9, b""),
]


def uncovered(row: Row) -> str:
    """Why a row is not compared; empty if it is."""
    if row.source == "p0":
        return {"noip": NO_CLUSTER_IP, "fqdnslice": FQDN_SLICE}.get(row.name.partition(".")[0], "")
    upstream = any(re.search(r"example\.test\. \d+ IN (A|AAAA|SOA) ", line) for line in row.lines)
    cut_upstream = row.name.startswith("extbig.") and "TC" in row.head
    if upstream or cut_upstream or row.name.endswith((".test.", "bind.")) or " RA]" in row.head:
        return FORWARDED
    if row.head.startswith("EXC Timeout"):
        return LARGE_UDP if row.name.startswith("huge.") else UNLABELLED
    if any("IN-ADDR.arpa. 30" in line for line in row.lines) and "IN-ADDR" not in row.name:
        return OWNER_CASE
    return Z_FLAGS if "16384" in row.options else ""


def ask(responder: Responder, row: Row) -> dns.message.Message:
    query = query_of(row)
    if "options" in row.options:
        option_rows = [r for r in rows(row.source) if "'options'" in r.options and r.name == row.name]
        query.use_edns(0, 0, 1232, options=[OPTIONS[option_rows.index(row)]])
    wire = query.to_wire()
    reply = responder.tcp(wire) if "tcp=True" in row.options else responder.udp(wire)
    assert reply is not None
    assert reply[:2] == wire[:2]
    return dns.message.from_wire(reply)


def shown(section: list[dns.rrset.RRset]) -> list[str]:
    """Records as the recordings write them."""
    heads = [
        (s, f"{s.name} {s.ttl} {dns.rdataclass.to_text(s.rdclass)} {dns.rdatatype.to_text(s.rdtype)}") for s in section
    ]
    return [normal(f"{head} {record}") for rrset, head in heads for record in rrset]


def normal(record: str) -> str:
    return re.sub(r"(IN SOA \S+ \S+) \d+ ", r"\1 SERIAL ", record)


def opt_of(reply: dns.message.Message) -> list[str]:
    if reply.edns < 0:
        return []
    options = [(int(option.otype), option.to_generic().data.hex()) for option in reply.options]
    flags = reply.ednsflags | (reply.rcode() >> 4 << 24)
    return [f"v={reply.edns} size={reply.payload} eflags={flags:#x} opts={options}"]


def all_records(responder: Responder, row: Row) -> set[str]:
    """Every record of an answer of addresses or SRV, as text, without the wire: what cut answers are cut from."""
    question = query_of(row).question[0]
    found = answer(Question(question.name.labels[:-1], question.rdtype), responder.index, responder.config)
    texts = set()
    for record in found.answer + found.additional:
        owner = b".".join(record.owner).decode()
        if record.rtype == SRV:
            numbers = [int.from_bytes(record.prefix[i : i + 2], "big") for i in (0, 2, 4)]
            data = f"{numbers[0]} {numbers[1]} {numbers[2]} {b'.'.join(record.names[0]).decode()}."
        else:
            data = str(ip_address(record.prefix))
        texts.add(f"{owner}. {found.ttl} IN {dns.rdatatype.to_text(record.rtype)} {data}")
    return texts


def cut_differences(title: str, recorded: list[str], ours: list[str], total: int, every: set[str]) -> list[str]:
    """Which records are kept is chance, and by their lengths so is, by a little, how many."""
    wrong = [f"{title}: unknown {r}" for r in [*recorded, *ours] if r not in every and not r.startswith("... ")]
    if abs(total - len(ours)) > max(1, total // 50):
        wrong.append(f"{title}: {total} records, ours {len(ours)}")
    return wrong


def differences(row: Row, responder: Responder) -> list[str]:
    if row.head.startswith("EXC FormError"):
        with pytest.raises(dns.exception.FormError):
            ask(responder, row)
        return []
    reply, wrong = ask(responder, row), []
    flags = dns.flags.to_text(reply.flags & 0x87FF)
    head = f"{dns.rcode.to_text(reply.rcode())} [{flags}]"
    if head != row.head.partition(" opcode")[0]:
        wrong.append(f"{row.head} != {head}")
    for title, section in (("AN", reply.answer), ("NS", reply.authority), ("AR", reply.additional)):
        recorded, ours = [normal(r) for r in row.records(title)], shown(section)
        total = next((int(m[1]) for r in recorded if (m := re.match(r"\.\.\. (\d+) rrs", r))), 0)
        if total or "TC" in row.head:
            wrong += cut_differences(title, recorded, ours, total or len(recorded), all_records(responder, row))
        elif Counter(recorded) != Counter(ours):
            wrong.append(f"{title}: {recorded} != {ours}")
    if row.records("OPT") != opt_of(reply):
        wrong.append(f"OPT {row.records('OPT')} != {opt_of(reply)}")
    question = " ".join(
        f"{q.name} {dns.rdataclass.to_text(q.rdclass)} {dns.rdatatype.to_text(q.rdtype)}" for q in reply.question
    )
    if f"q={question or None}" not in row.lines[-1]:
        wrong.append(f"question {question} != {row.lines[-1]}")
    return wrong


@pytest.mark.parametrize("source", ["p0", "p1"])
def test_recorded_answers(source: str, responders: dict[str, Responder]) -> None:
    skipped: Counter[str] = Counter()
    failures = []
    for row in rows(source):
        reason = uncovered(row)
        if reason:
            skipped[reason] += 1
        else:
            failures += [f"{row}: {why}" for why in differences(row, responders[source])]
    assert not failures, "\n".join(failures)
    assert skipped == UNCOVERED[source]


def test_every_recording_is_read() -> None:
    assert {source: len(rows(source)) for source in ("p0", "p1")} == {"p0": 453, "p1": 302}
