"""What the elements of nftables' sets and maps mean, and its rules, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from netsim_proxy.explain import FATES
from netsim_proxy.names import join_address
from netsim_proxy.nftables import names
from netsim_proxy.nftables.language import (
    Action,
    Dnat,
    DnatMap,
    Final,
    Goto,
    Incoming,
    InNetwork,
    InSet,
    Jump,
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
)
from netsim_proxy.nftables.policies import parse_map_name

_COMMENT = re.compile(r' comment "(?:[^"\\]|\\.)*"')
_GOTO = {
    "external": "traffic for the outside addresses: masqueraded, all endpoints",
    "nodeport": "traffic for the outside addresses: masqueraded, all endpoints",
    "external-local": "traffic for the outside addresses, policy Local",
    "nodeport-local": "traffic for the outside addresses, policy Local",
    names.REJECT: "refused: the client is told at once (ICMP)",
}
_CHAINS = {
    "service": "a choice among all endpoints",
    "local": "a choice among this node's endpoints",
    "external": "traffic for the outside addresses",
}
_SETS = {
    names.CLUSTER_IPS: "to a ClusterIP",
    names.NODEPORT_IPS: "to an address that NodePorts answer on",
    names.HAIRPIN: "from a pod to itself",
    names.FIREWALL_IPS: "to an address with source ranges",
    names.SOURCE_RANGES: "from these ranges",
}


def explain_element(name: str, text: str, pod: Callable[[str], str]) -> str:
    """Words for an element as `nft` prints it; `pod` names who has an address, "" if nobody is known."""
    left, _, right = _COMMENT.sub("", text).partition(" : ")
    key, value = left.split(" . "), right.split(" . ")
    if (choice := parse_map_name(name)) is not None:
        whom = f" {pod(value[0])}".rstrip()
        return f"{_destination(key[:-1])}: choice {int(key[-1]) + 1} of {choice[1]} is {_join(value)}{whom}"
    match name:
        case names.CLUSTER_IPS:
            return f"{key[0]} is a ClusterIP: ports that no Service has are refused"
        case names.HAIRPIN:
            return f"{key[0]} {pod(key[0])}".rstrip() + " reaches itself: masqueraded"
        case names.FIREWALL_IPS:
            return f"{_destination(key)}: from the source ranges only, others are dropped"
        case names.SOURCE_RANGES:
            return f"{_destination(key[:-1])}: open to {key[-1]}"
    chain = right.removeprefix("goto ")
    what = "dropped: the client waits in vain" if right == "drop" else _GOTO.get(chain, f"goes to chain {chain}")
    return f"{_destination(key)}: {what}"


def explain_chain(name: str, endpoint: Callable[[str], str]) -> str:
    """What a chain is for; `endpoint` names that of an `endpoint-` chain. Chains of all Services have telling names."""
    prefix = name.partition("-")[0]
    if "/" not in name:
        return name
    return f"endpoint {endpoint(name)}" if prefix == "endpoint" else _CHAINS[prefix]


def explain_rule(rule: Rule, endpoint: Callable[[str], str]) -> str:
    """ "CONDITION: ACTION", or the action alone where everything matches."""
    if rule.action == Final("return") and any(isinstance(match, Unmarked) for match in rule.matches):
        return "not marked: the source stays as it is"
    action = _action(rule.action, endpoint)
    conditions = ", ".join(_condition(match) for match in rule.matches)
    if any(isinstance(match, OneIn) for match in rule.matches):
        return f"{conditions} {action}"
    return f"{conditions}: {action}" if conditions else action


def _action(action: Action, endpoint: Callable[[str], str]) -> str:  # noqa: PLR0911  # one line for each kind
    match action:
        case Jump(names.MARK):
            return "mark it, to be masqueraded"
        case Jump(chain) | Goto(chain):
            return f"to {endpoint(chain) if chain.startswith('endpoint-') else explain_chain(chain, endpoint)}"
        case Remember():
            return "remember the client"
        case Dnat(_, address, port):
            return f"rewrite the destination to {join_address(address, port)}"
        case VerdictMap(_, name) | DnatMap(_, name):
            return f"what map {name} says"
        case Masquerade():
            return "masquerade: the source becomes this node's address"
        case SetMark(_, flip):
            return "take the mark off" if flip else "set the mark"
        case Final(end):
            return FATES[end.upper()]


def _condition(match: Match) -> str:  # noqa: PLR0911  # one line for each kind
    match match:
        case OneIn(count):
            return f"1 in {count}"
        case InSet(_, name, negated):
            return _not(negated) + _SETS.get(name, "a client sent there before")
        case InNetwork("saddr", cidr, negated):
            return f"{_not(negated)}from a pod ({cidr})"
        case InNetwork(_, cidr, negated):
            return f"{_not(negated)}to {cidr}"
        case Incoming(interface, negated):
            return f"{_not(negated)}in through {interface}"
        case Local(side):
            return "from this node itself" if side == "saddr" else "to an address of this node"
        case NewConnection():
            return "new connection"
        case Translated():
            return "to a Service"
        case Unmarked():
            return "not marked"


def _not(negated: bool) -> str:
    return "not " if negated else ""


def _destination(key: list[str]) -> str:
    """`ADDRESS . PROTOCOL . PORT`, or `PROTOCOL . PORT` of a node port."""
    if len(key) == 2:
        return f"node port {key[1]}/{key[0]}"
    return f"{_join([key[0], key[2]])}/{key[1]}"


def _join(parts: list[str]) -> str:
    return join_address(parts[0], int(parts[1]))
