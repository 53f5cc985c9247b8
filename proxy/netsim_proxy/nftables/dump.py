"""What the kernel says of our table, recognised against what it should be. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netsim_proxy.config import Family
from netsim_proxy.nftables.expressions import GOTO, encode_rule, text
from netsim_proxy.nftables.language import TABLE, Chain, Data, Final, Hook, Nftables, Rule, SetSpec, Verdict
from netsim_proxy.nftables.wire import ANONYMOUS, encode_chain, encode_set

GET_TABLE, GET_CHAIN, GET_RULE, GET_SET, GET_ELEMENTS = 1, 4, 7, 10, 13
STRANGE = Chain((Rule(Final("return"), comment="rules of somebody else"),))
"""Stands for a chain whose rules are not those that it should have."""
_STRANGE_SET = SetSpec(())
_ELSEWHERE = Hook("filter", "input", 0)
_SET_ATTRIBUTES = (3, 4, 5, 6, 7, 11, 13, 18)
"""Flags, types and lengths of key and data, timeout, comment, several statements."""


class Count(NamedTuple):
    packets: int
    bytes: int


def pairs(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, value) of every attribute."""
    offset = 0
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _name(attributes: Mapping[int, bytes], kind: int) -> str:
    return attributes[kind].rstrip(b"\0").decode(errors="replace")


def _number(attributes: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(attributes.get(kind, b""))


def is_dormant(tables: Iterable[bytes]) -> bool | None:
    """Whether our table is there but switched off; None without one."""
    for body in tables:
        found = dict(pairs(body))
        if _name(found, 1) == TABLE:
            return bool(_number(found, 2) & 1)
    return None


def of_table(bodies: Iterable[bytes]) -> list[dict[int, bytes]]:
    """Attributes of the chains, rules or sets that are in our table."""
    found = (dict(pairs(body)) for body in bodies)
    return [attributes for attributes in found if _name(attributes, 1) == TABLE]


def recognise_chains(
    chains: Iterable[bytes], rules: Iterable[bytes], desired: Nftables, family: Family
) -> dict[str, Chain]:
    """The chains in the kernel; those that have the desired rules as they are in `desired`."""
    kept = of_table(chains)
    by_chain: dict[str, list[bytes]] = {_name(chain, 3): [] for chain in kept}
    for rule in of_table(rules):
        by_chain.setdefault(_name(rule, 2), []).append(rule.get(4, b""))
    hooks = {(name := _name(chain, 3)): _hook(chain, desired.chains.get(name)) for chain in kept}
    found: dict[str, Chain] = {}
    for name, expressions in by_chain.items():
        wanted = desired.chains.get(name)
        same = wanted is not None and _same_rules(wanted, expressions, family)
        rest = wanted.rules if same and wanted else STRANGE.rules if expressions else ()
        found[name] = Chain(rest, hooks.get(name))
    return found


def _hook(chain: Mapping[int, bytes], wanted: Chain | None) -> Hook | None:
    """The wanted hook if that is where the chain is, another one if it is elsewhere, None if it is no base chain."""
    if 4 not in chain:
        return None
    ours = dict(pairs(encode_chain("", wanted))) if wanted and wanted.hook else {}
    hook = dict(pairs(chain[4]))
    same = ours and dict(pairs(ours[4])) == hook and all(chain.get(kind) == ours[kind] for kind in (5, 7))
    return wanted.hook if wanted and same else _ELSEWHERE


def _same_rules(wanted: Chain, found: list[bytes], family: Family) -> bool:
    return len(found) == len(wanted.rules) and all(
        _same(encode_rule(rule, family), expressions) for rule, expressions in zip(wanted.rules, found, strict=True)
    )


def count_rules(
    name: str, wanted: Chain, rules: Iterable[bytes], family: Family
) -> tuple[list[tuple[bool, Count | None]], list[int]]:
    """Of each rule that a chain should have whether it is there and what it counted, and the handles of other rules."""
    left = [rule for rule in of_table(rules) if _name(rule, 2) == name]
    found: list[tuple[bool, Count | None]] = []
    for rule in wanted.rules:
        ours = encode_rule(rule, family)
        same = next((each for each in left if _same(ours, each.get(4, b""))), None)
        if same is not None:
            left.remove(same)
        counts = (parse_count(expression) for _, expression in pairs(same.get(4, b"") if same else b""))
        found.append((same is not None, next((count for count in counts if count), None)))
    return found, [_number(rule, 3) for rule in left]


def _same(wanted: bytes, found: bytes) -> bool:
    """Whether the same expressions follow each other. The kernel adds attributes that it has defaults for."""
    ours, theirs = (list(pairs(each)) for each in (wanted, found))
    return len(ours) == len(theirs) and all(
        _same_expression(dict(pairs(one)), dict(pairs(other)))
        for (_, one), (_, other) in zip(ours, theirs, strict=True)
    )


def _same_expression(wanted: Mapping[int, bytes], found: Mapping[int, bytes]) -> bool:
    if wanted[1] != found.get(1):
        return False
    given = dict(pairs(found.get(2, b"")))
    return all(given.get(kind) == value for kind, value in pairs(wanted[2]))


def set_names(sets: Iterable[bytes]) -> list[str]:
    """Of the sets in our table that have a name of their own."""
    return [_name(attributes, 2) for attributes in of_table(sets) if not _number(attributes, 3) & ANONYMOUS]


def recognise_sets(sets: Iterable[bytes], desired: Nftables, family: Family) -> dict[str, SetSpec]:
    """The sets in the kernel; those made as they should be as they are in `desired`.

    Sets without a name of their own are left out: they come and go with their rule.
    """
    found: dict[str, SetSpec] = {}
    for attributes in of_table(sets):
        name = _name(attributes, 2)
        if _number(attributes, 3) & ANONYMOUS:
            continue
        wanted = desired.sets.get(name)
        ours = dict(pairs(encode_set(name, wanted, 0, family))) if wanted else {}
        same = all(attributes.get(kind) == ours.get(kind) for kind in _SET_ATTRIBUTES)
        same = same and _expression_name(attributes) == _expression_name(ours)
        found[name] = wanted if wanted and same else _STRANGE_SET
    return found


def _expression_name(attributes: Mapping[int, bytes]) -> bytes | None:
    """Of the statement that each element of a set has a copy of."""
    return dict(pairs(attributes[17]))[1] if 17 in attributes else None


def parse_elements(bodies: Iterable[bytes]) -> dict[bytes, Data]:
    """The elements of one set, from its dump."""
    return {_element_key(entry): _element_data(entry) for entry in _entries(bodies)}


def parse_counts(bodies: Iterable[bytes]) -> dict[bytes, Count]:
    """What the elements of one set have counted, from its dump; those that do not count are left out."""
    counts = ((_element_key(entry), parse_count(entry.get(7, b""))) for entry in _entries(bodies))
    return {key: count for key, count in counts if count is not None}


def parse_count(expression: bytes) -> Count | None:
    """Of an expression's attributes; None if it is no counter."""
    attributes = dict(pairs(expression))
    if attributes.get(1) != b"counter\0":
        return None
    values = dict(pairs(attributes[2]))
    return Count(_number(values, 2), _number(values, 1))


def _entries(bodies: Iterable[bytes]) -> Iterator[dict[int, bytes]]:
    for body in bodies:
        for kind, elements in pairs(body):
            if kind == 3:
                yield from (dict(pairs(entry)) for _, entry in pairs(elements))


def _element_key(attributes: Mapping[int, bytes]) -> bytes:
    """With its end if it is a range; b"" for the element that stands for all other keys."""
    return attributes.get(1, b"")[4:] + attributes.get(10, b"")[4:]


def _element_data(attributes: Mapping[int, bytes]) -> Data:
    if 2 not in attributes:
        return None
    [(kind, value)] = pairs(attributes[2])
    if kind == 1:
        return value
    verdict = dict(pairs(value))
    chain = _name(verdict, 2) if struct.unpack(">i", verdict[1])[0] == GOTO else ""
    return Verdict(chain, _comment(attributes.get(6, b"")))


def _comment(user_data: bytes) -> str:
    return user_data[2 : 2 + user_data[1]].rstrip(b"\0").decode(errors="replace") if len(user_data) > 2 else ""


def elements_request(name: str) -> bytes:
    """Attributes that ask for the elements of a set."""
    return text(1, TABLE) + text(2, name)
