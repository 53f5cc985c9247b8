"""Rules as the kernel takes them: nested netlink attributes (linux/netfilter/nf_tables.h). Pure.

The expressions are those that the nft command makes of the same rules, so that it prints ours as `text` does.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Iterator

from netsim_proxy.config import Family
from netsim_proxy.nftables.language import (
    PROTOCOLS,
    Choice,
    Dnat,
    DnatMap,
    Final,
    Goto,
    Incoming,
    InNetwork,
    InSet,
    Jump,
    KeyPart,
    Local,
    Masquerade,
    Match,
    NewConnection,
    OneIn,
    Remember,
    Rule,
    SetMark,
    Translated,
    Unmarked,
    VerdictMap,
    pack_address,
)

GOTO, JUMP, RETURN, DROP = -4, -3, -5, 0
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
_META_MARK, _META_IIFNAME, _META_PROTOCOL = 3, 6, 16
_CT_STATE, _CT_STATUS, _STATE_NEW, _STATUS_DNAT = 0, 2, 8, 32
_EQUAL, _UNEQUAL = 0, 1
_INTERFACE_BYTES = 16


def attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, filled to a multiple of four bytes."""
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def number(kind: int, value: int) -> bytes:
    """An attribute with 32 bits in network order."""
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value & 0xFFFFFFFF)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def verdict(code: int, chain: str = "") -> bytes:
    """Contents of a data attribute that is a verdict."""
    return attribute(2, number(1, code) + (text(2, chain) if chain else b""))


def _expression(name: str, *attributes: bytes) -> bytes:
    return attribute(1, text(1, name) + attribute(2, b"".join(attributes)))


COUNTER = text(1, "counter") + attribute(2, b"")
"""An expression that counts packets and bytes from 0."""


def _register(offset: int) -> int:
    """Number of the register that starts after `offset` bytes."""
    return 1 + offset // 16 if offset % 16 == 0 else 8 + offset // 4


def _payload(base: int, offset: int, length: int, at: int) -> bytes:
    return _expression("payload", number(1, _register(at)), number(2, base), number(3, offset), number(4, length))


def _meta(key: int, at: int) -> bytes:
    return _expression("meta", number(2, key), number(1, _register(at)))


def _value(kind: int, data: bytes) -> bytes:
    return attribute(kind, attribute(1, data))


def _compare(operator: int, data: bytes) -> bytes:
    return _expression("cmp", number(1, 1), number(2, operator), _value(3, data))


def _bitwise(mask: bytes, flip: bytes) -> bytes:
    return _expression("bitwise", number(1, 1), number(2, 1), number(3, len(mask)), _value(4, mask), _value(5, flip))


def _verdict(code: int, chain: str = "") -> bytes:
    return _expression("immediate", number(1, 0), attribute(2, verdict(code, chain)))


def _host(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, sys.byteorder)


def _numgen(count: int, at: int) -> bytes:
    return _expression("numgen", number(1, _register(at)), number(2, count), number(3, 1), number(4, 0))


def _address(side: str, family: Family, at: int) -> bytes:
    length = 16 if family == 6 else 4
    first = 8 if family == 6 else 12
    return _payload(_NETWORK, first if side == "saddr" else first + length, length, at)


def _load(key: tuple[KeyPart, ...], family: Family) -> Iterator[bytes]:
    """The parts of a key, one after the other in the registers."""
    at = 0
    for part in key:
        match part:
            case "saddr" | "daddr":
                yield _address(part, family, at)
                at += 16 if family == 6 else 4
                continue
            case "proto":
                yield _meta(_META_PROTOCOL, at)
            case "dport":
                yield _payload(_TRANSPORT, 2, 2, at)
            case Choice(count):
                yield _numgen(count, at)
        at += 4


def _lookup(name: str, *, into: int | None = None, negated: bool = False) -> bytes:
    target = () if into is None else (number(3, into),)
    return _expression("lookup", text(1, name), number(2, 1), *target, number(5, int(negated)))


def _match(match: Match, family: Family) -> Iterator[bytes]:
    match match:
        case InSet(key, name, negated):
            yield from _load(key, family)
            yield _lookup(name, negated=negated)
        case InNetwork(side, cidr, negated):
            network = ipaddress.ip_network(cidr)
            yield _address(side, family, 0)
            if network.prefixlen < network.max_prefixlen:
                yield _bitwise(network.netmask.packed, bytes(len(network.netmask.packed)))
            yield _compare(_UNEQUAL if negated else _EQUAL, network.network_address.packed)
        case Incoming(interface, negated):
            yield _meta(_META_IIFNAME, 0)
            whole = interface.encode().ljust(_INTERFACE_BYTES, b"\0")
            pattern = interface[:-1].encode() if interface.endswith("+") else whole
            yield _compare(_UNEQUAL if negated else _EQUAL, pattern)
        case NewConnection() | Translated():
            new = isinstance(match, NewConnection)
            yield _expression("ct", number(1, 1), number(2, _CT_STATE if new else _CT_STATUS))
            yield _bitwise(_host(_STATE_NEW if new else _STATUS_DNAT), bytes(4))
            yield _compare(_UNEQUAL, bytes(4))
        case Local(side):
            yield _expression("fib", number(1, 1), number(2, 3), number(3, 1 if side == "saddr" else 2))
            yield _compare(_EQUAL, _host(2))
        case Unmarked(mark):
            yield _meta(_META_MARK, 0)
            yield _bitwise(_host(mark), bytes(4))
            yield _compare(_EQUAL, bytes(4))
        case OneIn(count):
            yield _numgen(count, 0)
            yield _compare(_EQUAL, bytes(4))


def _destination(family: Family, port_register: int) -> bytes:
    kind = number(2, 10 if family == 6 else 2)
    address = (number(3, 1), number(4, 1))
    return _expression("nat", number(1, 1), kind, *address, number(5, port_register), number(6, port_register))


def _action(rule: Rule, family: Family) -> Iterator[bytes]:
    match rule.action:
        case Jump(chain):
            yield _verdict(JUMP, chain)
        case Goto(chain):
            yield _verdict(GOTO, chain)
        case Final("reject"):
            yield _expression("reject", number(1, 0), attribute(2, bytes((4 if family == 6 else 3,))))
        case Final(action):
            yield _verdict(RETURN if action == "return" else DROP)
        case SetMark(mark, flip):
            yield _meta(_META_MARK, 0)
            yield _bitwise(_host(~0 if flip else ~mark), _host(mark))
            yield _expression("meta", number(2, _META_MARK), number(3, 1))
        case VerdictMap(key, name):
            yield from _load(key, family)
            yield _lookup(name, into=0)
        case DnatMap(key, name):
            yield from _load(key, family)
            yield _lookup(name, into=1)
            yield _destination(family, _register(16 if family == 6 else 4))
        case Dnat(protocol, address, port):
            yield _meta(_META_PROTOCOL, 0)
            yield _compare(_EQUAL, bytes((PROTOCOLS[protocol],)))
            yield _expression("immediate", number(1, 1), attribute(2, attribute(1, pack_address(address))))
            yield _expression("immediate", number(1, 2), attribute(2, attribute(1, port.to_bytes(2))))
            yield _destination(family, 2)
        case Remember(name):
            yield _address("saddr", family, 0)
            yield _expression("dynset", text(1, name), number(3, 1), number(4, 1))
        case Masquerade(random_fully):
            yield _expression("masq", *((number(1, 16),) if random_fully else ()))


def encode_rule(rule: Rule, family: Family) -> bytes:
    """The rule's expressions: contents of NFTA_RULE_EXPRESSIONS."""
    matches = b"".join(part for match in rule.matches for part in _match(match, family))
    return matches + (attribute(1, COUNTER) if rule.counted else b"") + b"".join(_action(rule, family))
