"""What the elements of nftables' sets and maps mean, and the rules of session affinity, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from netsim_proxy.names import join_address
from netsim_proxy.nftables import names
from netsim_proxy.nftables.language import Dnat, Goto, Incoming, InNetwork, InSet, Jump, Local, OneIn, Remember, Rule
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
    """What a chain of a Service with session affinity is for; `endpoint` names that of an `endpoint-` chain."""
    prefix = name.partition("-")[0]
    return f"endpoint {endpoint(name)}" if prefix == "endpoint" else _CHAINS[prefix]


def explain_rule(rule: Rule, endpoint: Callable[[str], str]) -> str:
    """Words for a rule of such a chain: "CONDITION: ACTION", or the action alone where everything matches."""
    action = _action(rule, endpoint)
    if any(isinstance(match, OneIn) for match in rule.matches):
        return f"{', '.join(_conditions(rule))} {action}"
    return ": ".join(filter(None, (", ".join(_conditions(rule)), action)))


def _action(rule: Rule, endpoint: Callable[[str], str]) -> str:
    match rule.action:
        case Jump(names.MARK):
            return "mark it, to be masqueraded"
        case Goto(chain):
            return f"to {endpoint(chain) if chain.startswith('endpoint-') else explain_chain(chain, endpoint)}"
        case Remember():
            return "remember the client"
        case Dnat(_, address, port):
            return f"rewrite the destination to {join_address(address, port)}"
    raise ValueError(f"no rule of a Service does this: {rule}")


def _conditions(rule: Rule) -> Iterator[str]:
    for match in rule.matches:
        match match:
            case OneIn(count):
                yield f"1 in {count}"
            case InSet():
                yield "a client sent there before"
            case InNetwork(_, cidr):
                yield f"from a pod ({cidr})"
            case Incoming(interface):
                yield f"in through {interface}"
            case Local():
                yield "from this node itself"


def _destination(key: list[str]) -> str:
    """`ADDRESS . PROTOCOL . PORT`, or `PROTOCOL . PORT` of a node port."""
    if len(key) == 2:
        return f"node port {key[1]}/{key[0]}"
    return f"{_join([key[0], key[2]])}/{key[1]}"


def _join(parts: list[str]) -> str:
    return join_address(parts[0], int(parts[1]))
