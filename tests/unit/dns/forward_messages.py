"""Queries, and upstreams' messages as they are read."""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from netsim_dns.forward.message import Message, parse_message
from netsim_dns.wire import Query, parse_query

from .false_upstream import reply

SOA = "example.test. {} IN SOA ns.example.test. h.example.test. 1 2 3 4 {}"


def asked(name: str = "www.example.test.", qtype: str = "A", **options: object) -> tuple[dns.message.Message, Query]:
    message = dns.message.make_query(name, qtype, **options)  # type: ignore[arg-type]
    query = parse_query(message.to_wire())
    assert query is not None
    return message, query


def message(*records: str, rcode: int = 0, authority: tuple[str, ...] = (), flags: int = 0) -> Message:
    return parse_message(reply(asked()[0], *records, rcode=rcode, authority=authority, flags=flags).to_wire())
