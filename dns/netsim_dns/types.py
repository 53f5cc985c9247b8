"""Questions, answers and the numbers of the DNS registries (RFC 1035, 2136, 2782, 6895).

Tuples, because they are made for every new question, and frozen dataclasses take three times as long to make.
"""

from __future__ import annotations

from typing import NamedTuple

from .names import Labels

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, SRV, OPT, IXFR, AXFR, ANY = 1, 2, 5, 6, 12, 13, 16, 28, 33, 41, 251, 252, 255
IN = 1
NAMES_IN = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), SOA: (0, 2), 15: (2, 1), SRV: (6, 1)}
"""Of types whose data has names that may be compressed: bytes before them, and how many there are (15 is MX)."""


class Question(NamedTuple):
    """What is asked; labels in the client's case."""

    qname: Labels
    qtype: int
    qclass: int = IN


class Record(NamedTuple):
    """A resource record. Its data is `prefix`, then `names`, then `suffix`; `compress` allows pointers in the names."""

    owner: Labels
    rtype: int
    prefix: bytes = b""
    names: tuple[Labels, ...] = ()
    suffix: bytes = b""
    compress: bool = True


class Answer(NamedTuple):
    """An answer before it is written; `ttl` (seconds) is that of all its records.

    `elsewhere`: the name is not ours; this answer is for a server that has no upstream. `follow` is the name outside
    our zones that the answer's last CNAME leads to, whose records an upstream may add.
    """

    rcode: int
    authoritative: bool = True
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    ttl: int = 0
    elsewhere: bool = False
    follow: Labels | None = None
