"""Recorded questions and answers, and a responder over the objects they were recorded with."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import pytest

from netsim_dns.answer import answer_context, outside
from netsim_dns.config import DnsConfig, Quirks
from netsim_dns.context import make_context
from netsim_dns.index import Index, build_index
from netsim_dns.names import lower
from netsim_dns.responder import Responder
from netsim_dns.types import Answer, Question
from netsim_dns.zones import find_zone

GOLDEN = Path(__file__).parents[2] / "golden" / "dns"
DNS_POD = bytes((10, 244, 0, 53))
# the kubernetes plugin alone, and kubeadm's Corefile (the default)
P0 = DnsConfig(ttl=5, cache_ttl=0, fallthrough=False, quirks=Quirks(class_ignored=False))
P1 = DnsConfig()


def answer(question: Question, index: Index, config: DnsConfig, local: frozenset[bytes] = frozenset()) -> Answer:
    """The answer to a question of class IN, made without a responder; `local` are the server's own addresses."""
    zone = find_zone(lower(question.qname), config.zones)
    return outside(config) if zone is None else answer_context(make_context(question, index, config, zone), local)


@dataclass
class Row:
    """One recorded question, and the lines of its recorded answer."""

    source: str
    section: str
    name: str
    qtype: str
    options: str
    lines: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.lines[0].strip() if self.lines else ""

    def records(self, section: str) -> list[str]:
        return [line[len(section) + 1 :] for line in map(str.strip, self.lines) if line.startswith(section + " ")]

    def __str__(self) -> str:
        return f"{self.source} {self.section}: {self.name} {self.qtype} {self.options}"


def read_rows(source: str) -> Iterator[Row]:
    """The rows of one recording, in order."""
    section, row = "", None
    for line in (GOLDEN / f"answers-{source}.txt").read_text().splitlines():
        if line.startswith("### "):
            section, row = line[4:], None
        elif match := re.match(r">> (\S+) (\S+)(?: (.*))?$", line):
            row = Row(source, section, match[1], match[2], match[3] or "")
            yield row
        elif row and line.startswith("   "):
            row.lines.append(line)


@functools.cache
def rows(source: str) -> tuple[Row, ...]:
    return tuple(read_rows(source))


def query_of(row: Row) -> dns.message.Message:
    """The query that a row's text describes (its EDNS options, recorded only as object addresses, left out)."""
    query = dns.message.make_query(dns.name.from_text(row.name), row.qtype)
    if match := re.search(r"edns=(\{[^[]*?)(, 'options'.*)?\}?$", row.options):
        edns = ast.literal_eval(match[1].rstrip("}") + "}")
        query.use_edns(edns["edns"], edns.get("ednsflags", 0), edns["payload"])
    for key, value in re.findall(r"(flags|opcode|cls)=(\w+)", row.options):
        if key == "flags":
            query.flags = int(value)
        elif key == "opcode":
            query.flags = query.flags & ~0x7800 | int(value) << 11
        else:
            query.question[0].rdclass = dns.rdataclass.from_text(value)
    return query


@functools.cache
def fixture_index() -> Index:
    index = build_index([json.loads((GOLDEN / "fixture.json").read_text())], 1795381042)
    return index


@pytest.fixture
def index() -> Index:
    return build_index([json.loads((GOLDEN / "fixture.json").read_text())], 1795381042)


@pytest.fixture(scope="session")
def responders() -> dict[str, Responder]:
    local = frozenset((DNS_POD,))
    return {"p0": Responder(fixture_index(), P0, local), "p1": Responder(fixture_index(), P1, local)}
