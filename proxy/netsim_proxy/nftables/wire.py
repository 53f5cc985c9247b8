"""A Transaction as nfnetlink messages (linux/netfilter/nf_tables.h). Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from netsim_proxy.config import Family
from netsim_proxy.nftables.expressions import COUNTER, DROP, GOTO, attribute, encode_rule, number, text, verdict
from netsim_proxy.nftables.language import (
    TABLE,
    Chain,
    Data,
    FieldType,
    Rule,
    SetSpec,
    Verdict,
    field_length,
    key_length,
)
from netsim_proxy.nftables.names import SOURCE_RANGES
from netsim_proxy.nftables.plan import Transaction
from netsim_proxy.nftables.skeleton import find_spec
from netsim_proxy.nftables.text import key_text

NEW_TABLE, DEL_TABLE, NEW_CHAIN, DEL_CHAIN, NEW_RULE, DEL_RULE = 0, 2, 3, 5, 6, 8
NEW_SET, DEL_SET, NEW_ELEMENTS, DEL_ELEMENTS = 9, 11, 12, 14
CREATE, APPEND = 0x400, 0x800

HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
ANONYMOUS, INTERVAL, MAP, TIMEOUT, DYNAMIC, CONCATENATED = 0x1, 0x4, 0x8, 0x10, 0x20, 0x80
_VERDICT_TYPE = 0xFFFFFF00
_AFFINITY_SIZE = 65535
"""Clients that one endpoint's set remembers: what kube-proxy's have."""
_CATCH_ALL = 2  # NFT_SET_ELEM_CATCHALL
_MESSAGE_BYTES = 60_000
"""Of elements in one message: attributes have 16 bits for their length."""

_TABLE = text(1, TABLE)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a batch: type, flags, attributes, and what it is about, for errors."""

    kind: int
    flags: int
    body: bytes
    about: Callable[[int], str]
    """From the byte of the body at which the kernel points (0: none) to words."""


def _message(kind: int, flags: int, body: bytes, about: str) -> Message:
    return Message(kind, flags, _TABLE + body, lambda _: about)


def encode(plan: Transaction, family: Family) -> list[Message]:
    """The messages of a transaction in the order the kernel needs: what goes first, then what comes."""
    found: list[Message] = []
    if plan.rebuild:
        found.append(_message(DEL_TABLE, 0, b"", f"table {TABLE}"))
    for name, keys in plan.delete_elements.items():
        found += _elements(DEL_ELEMENTS, name, [(key, None) for key in keys], family)
    found += [_message(DEL_RULE, 0, text(2, name), f"rules of chain {name}") for name in plan.flush]
    found += [_message(DEL_SET, 0, text(2, name), f"set {name}") for name in plan.delete_sets]
    found += [_message(DEL_CHAIN, 0, text(3, name), f"chain {name}") for name in plan.delete_chains]
    if plan.create_table:
        body = number(2, 0) + attribute(6, _comment(0, "rules for kube-proxy"))
        found.append(_message(NEW_TABLE, CREATE, body, f"table {TABLE}"))
    sets = enumerate(plan.create_sets.items(), 1)
    found += [_message(NEW_SET, CREATE, encode_set(n, spec, i, family), f"set {n}") for i, (n, spec) in sets]
    found += [_message(NEW_CHAIN, CREATE, encode_chain(n, c), f"chain {n}") for n, c in plan.create_chains.items()]
    for name, items in plan.add_elements.items():
        found += _elements(NEW_ELEMENTS, name, list(items.items()), family)
    for name, chain in plan.rules.items():
        found += [_rule(name, rule, family) for rule in chain.rules]
    return found


def _comment(kind: int, words: str) -> bytes:
    """User data as the nft command keeps it: type, length, text."""
    data = words.encode()[:127] + b"\0"
    return bytes((kind, len(data))) + data


# --- chains and rules --------------------------------------------------------------------------------------------


def encode_chain(name: str, chain: Chain) -> bytes:
    """Attributes of a chain, without its table; a base chain accepts what its rules leave."""
    if chain.hook is None:
        return text(3, name)
    hook = attribute(4, number(1, HOOKS[chain.hook.hook]) + number(2, chain.hook.priority))
    return text(3, name) + hook + number(5, 1) + text(7, chain.hook.kind)


def _rule(chain: str, rule: Rule, family: Family) -> Message:
    comment = attribute(7, _comment(0, rule.comment)) if rule.comment else b""
    body = text(2, chain) + attribute(4, encode_rule(rule, family)) + comment
    return _message(NEW_RULE, CREATE | APPEND, body, f"a rule of chain {chain}")


# --- sets --------------------------------------------------------------------------------------------------------


def _type_number(fields: tuple[FieldType, ...], family: Family) -> int:
    """The nft command's number for a type: six bits for each field."""
    numbers = {"addr": 8 if family == 6 else 7, "proto": 12, "port": 13, "index": 4}
    result = 0
    for kind in fields:
        result = result << 6 | numbers[kind]
    return result


def encode_set(name: str, spec: SetSpec, identity: int, family: Family) -> bytes:
    """Attributes of a set, without its table; `identity` is its number within the batch."""
    flags = (MAP if spec.data else 0) | (INTERVAL | CONCATENATED if spec.interval else 0)
    flags |= TIMEOUT | DYNAMIC if spec.timeout else 0
    body = text(2, name) + (number(3, flags) if flags else b"") + number(4, _type_number(spec.key, family))
    body += number(5, key_length(spec.key, family)) + number(10, identity)
    if spec.data == "verdict":
        body += number(6, _VERDICT_TYPE) + number(7, 16)
    elif spec.data:
        body += number(6, _type_number(spec.data, family)) + number(7, key_length(spec.data, family))
    if spec.timeout:
        body += attribute(11, struct.pack(">Q", spec.timeout * 1000)) + attribute(9, number(1, _AFFINITY_SIZE))
    elif spec.interval:
        lengths = {"addr": field_length("addr", family), "proto": 1, "port": 2, "index": 4}
        fields = b"".join(attribute(1, number(1, lengths[kind])) for kind in spec.key)
        body += attribute(9, attribute(2, fields))
    if spec.counted:
        body += attribute(17, COUNTER)
    return body + attribute(13, _user_data(spec, family))


def _user_data(spec: SetSpec, family: Family) -> bytes:
    """What the nft command needs to print a set: byte order, the types of numbered keys, the comment."""
    data = struct.pack("=BBI", 0, 4, 2 if spec.key == ("addr",) else 0)
    if "index" in spec.key and isinstance(spec.data, tuple):
        data += struct.pack("=BBI", 1, 4, 0) + _typeof(3, spec.key, family) + _typeof(4, spec.data, family)
    return data + (_comment(7, spec.comment) if spec.comment else b"")


def _tlv(kind: int, data: bytes) -> bytes:
    return bytes((kind, len(data))) + data


def _numbers(*values: int) -> bytes:
    return b"".join(_tlv(index, struct.pack("=I", value)) for index, value in enumerate(values))


def _typeof(kind: int, fields: tuple[FieldType, ...], family: Family) -> bytes:
    """The expression whose type a key or data has: destination address, protocol, port, `numgen`."""
    expressions = {
        "addr": (7, _numbers(13, 9) if family == 6 else _numbers(12, 12)),
        "proto": (9, _numbers(16)),
        "port": (7, _numbers(11, 2)),
        "index": (23, _numbers(1, 2, 0)),
    }
    parts = ((index, *expressions[name]) for index, name in enumerate(fields))
    inner = b"".join(_tlv(i, _tlv(0, struct.pack("=I", number_)) + _tlv(1, data)) for i, number_, data in parts)
    return _tlv(kind, _tlv(0, struct.pack("=I", 13)) + _tlv(1, inner))


# --- elements ----------------------------------------------------------------------------------------------------


def _nested(kind: int, data: bytes) -> bytes:
    """A packed value, whose length is a multiple of four, in its two attributes."""
    return struct.pack("=HHHH", len(data) + 8, kind, len(data) + 4, 1) + data


def _key(key: bytes, *, ranged: bool) -> bytes:
    """What says which element it is: its key, the first and last of a range, or that it is for all other keys."""
    if not key:
        return number(3, _CATCH_ALL)
    half = len(key) // 2
    return _nested(1, key[:half]) + _nested(10, key[half:]) if ranged else _nested(1, key)


def _data(data: Data) -> bytes:
    if data is None:
        return b""
    if isinstance(data, bytes):
        return _nested(2, data)
    code = verdict(GOTO, data.chain) if data.chain else verdict(DROP)
    return attribute(2, code) + (attribute(6, _comment(0, data.comment)) if data.comment else b"")


def _frames(name: str, items: Sequence[tuple[bytes, Data]]) -> list[bytes]:
    """Each element as an entry of the list that messages carry.

    A hundred thousand endpoints have keys and data of the same length: their headers are made once.
    """
    key, data = items[0]
    if isinstance(data, bytes):
        middle = _nested(2, data)[:8]
        head = struct.pack("=HH", 4 + 8 + len(key) + 8 + len(data), 1) + _nested(1, key)[:8]
        return [head + key + middle + data for key, data in items if isinstance(data, bytes)]
    ranged = name == SOURCE_RANGES
    return [attribute(1, _key(key, ranged=ranged) + _data(data)) for key, data in items]


def _elements(kind: int, name: str, items: Sequence[tuple[bytes, Data]], family: Family) -> Iterator[Message]:
    """Elements of one set, in as few messages as their attributes' length allows."""
    frames = _frames(name, items)
    step = _MESSAGE_BYTES // max(map(len, frames))
    for start in range(0, len(frames), step):
        part = frames[start : start + step]
        head = text(2, name) + struct.pack("=HH", 4 + sum(map(len, part)), 3)
        find = partial(_find_element, name, items[start : start + step], part, len(_TABLE) + len(head), family)
        yield Message(kind, CREATE if kind == NEW_ELEMENTS else 0, _TABLE + head + b"".join(part), find)


def _find_element(
    name: str, items: Sequence[tuple[bytes, Data]], frames: Sequence[bytes], start: int, family: Family, offset: int
) -> str:
    """The element at a byte of a message."""
    spec = find_spec(name)
    for (key, data), frame in zip(items, frames, strict=True):
        if start <= offset < start + len(frame) and spec:
            comment = f" ({data.comment})" if isinstance(data, Verdict) and data.comment else ""
            return f"element {key_text(key, spec, family)}{comment} of {name}"
        start += len(frame)
    return f"elements of {name}"
