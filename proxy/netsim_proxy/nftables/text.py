"""The table in the nft command's language, as `nft list` prints it and `nft -f` takes it. Pure."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping

from netsim_proxy.config import Family
from netsim_proxy.names import join_address
from netsim_proxy.nftables.language import (
    TABLE,
    Chain,
    Choice,
    Data,
    Dnat,
    DnatMap,
    FieldType,
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
    Nftables,
    OneIn,
    Remember,
    Rule,
    SetMark,
    SetSpec,
    Translated,
    Unmarked,
    VerdictMap,
    key_length,
    unpack,
)


def _protocol(family: Family) -> str:
    return "ip6" if family == 6 else "ip"


def _key(key: tuple[KeyPart, ...], family: Family) -> str:
    words = {"saddr": f"{_protocol(family)} saddr", "daddr": f"{_protocol(family)} daddr"}
    words |= {"proto": "meta l4proto", "dport": "th dport"}
    return " . ".join(f"numgen random mod {part.count}" if isinstance(part, Choice) else words[part] for part in key)


def _unless(negated: bool) -> str:
    return "!= " if negated else ""


def _match(match: Match, family: Family) -> str:  # noqa: PLR0911  # one line for each kind
    match match:
        case InSet(key, name, negated):
            return f"{_key(key, family)} {_unless(negated)}@{name}"
        case InNetwork(side, cidr, negated):
            network = ipaddress.ip_network(cidr)
            shown = network if network.prefixlen < network.max_prefixlen else network.network_address
            return f"{_protocol(family)} {side} {_unless(negated)}{shown}"
        case Incoming(interface, negated):
            pattern = interface[:-1] + "*" if interface.endswith("+") else interface
            return f'iifname {_unless(negated)}"{pattern}"'
        case NewConnection():
            return "ct state new"
        case Translated():
            return "ct status dnat"
        case Local(side):
            return f"fib {side} type local"
        case Unmarked(mark):
            return f"meta mark & 0x{mark:08x} == 0x00000000"
        case OneIn(count):
            return f"numgen random mod {count} 0"


def _action(rule: Rule, family: Family) -> str:  # noqa: PLR0911  # one line for each kind
    match rule.action:
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case Final(action):
            return action
        case SetMark(mark, flip):
            return f"meta mark set meta mark {'^' if flip else '|'} 0x{mark:08x}"
        case VerdictMap(key, name):
            return f"{_key(key, family)} vmap @{name}"
        case DnatMap(key, name):
            return f"dnat {_protocol(family)} to {_key(key, family)} map @{name}"
        case Dnat(protocol, address, port):
            return f"meta l4proto {protocol} dnat to {join_address(address, port)}"
        case Remember(name):
            return f"update @{name} {{ {_protocol(family)} saddr }}"
        case Masquerade(random_fully):
            return "masquerade fully-random" if random_fully else "masquerade"


def rule_text(rule: Rule, family: Family) -> str:
    """One rule on one line."""
    counter = ["counter"] if rule.counted else []
    words = [*(_match(match, family) for match in rule.matches), *counter, _action(rule, family)]
    return " ".join(words) + (f" comment {json.dumps(rule.comment)}" if rule.comment else "")


def _fields(packed: bytes, fields: tuple[FieldType, ...], family: Family) -> str:
    return " . ".join(map(str, unpack(packed, fields, family)))


def key_text(key: bytes, spec: SetSpec, family: Family) -> str:
    """An element's key; the last field of a range as a network, or as first-last; * for all other keys."""
    if not key:
        return "*"
    if not spec.interval:
        return _fields(key, spec.key, family)
    half = key_length(spec.key, family)
    *same, first = unpack(key[:half], spec.key, family)
    last = unpack(key[half:], spec.key, family)[-1]
    networks = list(ipaddress.summarize_address_range(ipaddress.ip_address(first), ipaddress.ip_address(last)))
    shown = str(networks[0]) if len(networks) == 1 else f"{first}-{last}"
    return " . ".join([*map(str, same), shown.removesuffix("/128" if family == 6 else "/32")])


def element_text(key: bytes, data: Data, spec: SetSpec, family: Family) -> str:
    """One element with what it maps to."""
    shown = key_text(key, spec, family)
    if data is None:
        return shown
    if isinstance(data, bytes):
        assert isinstance(spec.data, tuple)
        return f"{shown} : {_fields(data, spec.data, family)}"
    comment = f" comment {json.dumps(data.comment)}" if data.comment else ""
    return f"{shown}{comment} : {f'goto {data.chain}' if data.chain else 'drop'}"


def _type(fields: tuple[FieldType, ...], family: Family) -> str:
    names = {"addr": "ipv6_addr" if family == 6 else "ipv4_addr", "proto": "inet_proto", "port": "inet_service"}
    return " . ".join(names[kind] for kind in fields)


def _typeof(fields: tuple[FieldType, ...], family: Family) -> str:
    parts: dict[FieldType, KeyPart] = {"addr": "daddr", "proto": "proto", "port": "dport", "index": Choice(2)}
    return _key(tuple(parts[kind] for kind in fields), family)


def _set_lines(spec: SetSpec, elements: Mapping[bytes, Data], family: Family) -> Iterator[str]:
    if spec.data == "verdict":
        yield f"type {_type(spec.key, family)} : verdict"
    elif spec.data:
        # Not "tcp dport" for the data: the nft command would take it for a rule that is for TCP alone.
        yield f"typeof {_typeof(spec.key, family)} : {_typeof(spec.data, family)}"
    else:
        yield f"type {_type(spec.key, family)}"
    if spec.interval:
        yield "flags interval"
    if spec.counted:
        yield "counter"
    if spec.timeout:
        yield "size 65535"
        yield "flags dynamic,timeout"
        yield f"timeout {spec.timeout}s"
    if spec.comment:
        yield f"comment {json.dumps(spec.comment)}"
    if elements:
        lines = ",\n\t\t\t     ".join(element_text(key, elements[key], spec, family) for key in sorted(elements))
        yield f"elements = {{ {lines} }}"


def _chain_lines(chain: Chain, family: Family) -> Iterator[str]:
    if chain.hook:
        hook = chain.hook
        yield f"type {hook.kind} hook {hook.hook} priority {hook.priority}; policy accept;"
    yield from (rule_text(rule, family) for rule in chain.rules)


def render_nftables(table: Nftables) -> str:
    """The whole table; what `nft -f` makes of it is what the proxy puts into the kernel."""
    lines = [f"table {_protocol(table.family)} {TABLE} {{", '\tcomment "rules for kube-proxy"']
    for name, spec in table.sets.items():
        lines += [f"\t{'map' if spec.data else 'set'} {name} {{"]
        lines += [f"\t\t{line}" for line in _set_lines(spec, table.elements.get(name, {}), table.family)]
        lines += ["\t}", ""]
    for name, chain in table.chains.items():
        lines += [f"\tchain {name} {{", *(f"\t\t{line}" for line in _chain_lines(chain, table.family)), "\t}", ""]
    return "\n".join([*lines[:-1], "}", ""])
