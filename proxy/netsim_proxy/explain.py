"""What a rule does, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim_proxy import names
from netsim_proxy.names import join_address
from netsim_proxy.rule import (
    Comment,
    ConnState,
    Dnat,
    Final,
    Jump,
    LocalAddress,
    MarkSet,
    Masquerade,
    OneIn,
    Place,
    RecentCheck,
    RecentSet,
    Rule,
    Target,
    Transport,
)

Endpoints = Callable[[str], str]
"""Name of the endpoint that a KUBE-SEP chain is for."""

_CHAINS = {
    ("nat", names.SERVICES): "by destination address and port",
    ("nat", names.NODE_PORTS): "by port, for the node's own addresses",
    ("filter", names.SERVICES): "what has no endpoint is refused",
    ("filter", names.EXTERNAL_SERVICES): "what has no endpoint, from outside, is refused",
    ("filter", names.PROXY_FIREWALL): "what no source range let in is dropped",
    ("filter", names.NODE_PORTS): "health checks of load balancers are let in",
    ("filter", names.FORWARD): "what is forwarded",
    ("filter", names.FIREWALL): "nobody else may reach what listens on loopback",
    ("nat", names.MARK_MASQ): "marks for masquerading",
    ("nat", names.POSTROUTING): "masquerading of what is marked",
}
_PREFIXES = {
    names.CLUSTER_PREFIX: "a choice among all endpoints",
    names.LOCAL_PREFIX: "a choice among this node's endpoints",
    names.EXTERNAL_PREFIX: "traffic for the outside addresses",
    names.FIREWALL_PREFIX: "source ranges of the load balancer",
}
FATES = {
    "ACCEPT": "let it through",
    "DROP": "drop it: the client waits in vain",
    "RETURN": "leave this chain",
    "REJECT": "refuse it: the client is told at once (ICMP)",
}


def explain_chain(place: Place, endpoint: Endpoints) -> str:
    """What a chain is for."""
    if place in _CHAINS:
        return _CHAINS[place]
    if place[1].startswith(names.ENDPOINT_PREFIX):
        return f"endpoint {endpoint(place[1])}"
    return next((what for prefix, what in _PREFIXES.items() if place[1].startswith(prefix)), "the kernel's own chain")


def explain_rule(rule: Rule, endpoint: Endpoints) -> str:
    """ "CONDITION: ACTION", or the action alone where everything matches."""
    if rule.target == Final("RETURN") and any(isinstance(match, MarkSet) for match in rule.matches):
        return "not marked: the source stays as it is"
    action = explain_target(rule.target, endpoint)
    if any(isinstance(match, RecentSet) for match in rule.matches):
        action += ", and remember the client"
    if any(isinstance(match, OneIn) for match in rule.matches):
        return f"{', '.join(_conditions(rule))} {action}"
    conditions = ", ".join(_conditions(rule))
    return f"{conditions}: {action}" if conditions else action


def explain_target(target: Target | None, endpoint: Endpoints) -> str:  # noqa: PLR0911  # one line for each kind
    match target:
        case None:
            return "no range matched: KUBE-PROXY-FIREWALL drops it"
        case Jump(names.MARK_MASQ):
            return "mark it, to be masqueraded"
        case Jump(chain) if chain.startswith(names.ENDPOINT_PREFIX):
            return f"to {endpoint(chain)}"
        case Jump(chain):
            return f"to {chain}"
        case Final(action):
            return FATES[action]
        case Dnat(address, port):
            return f"rewrite the destination to {join_address(address, port)}"
        case Masquerade():
            return "masquerade: the source becomes this node's address"
    return "take the mark off" if target.flip else "set the mark"


def _conditions(rule: Rule) -> Iterator[str]:
    if rule.destination:
        yield f"{'not ' if rule.not_destination else ''}to {_to(rule)}"
    if rule.source:
        yield f"{'not ' if rule.not_source else ''}from {_from(rule)}"
    if rule.interface:
        yield f"{'not ' if rule.not_interface else ''}in through {rule.interface}"
    for match in rule.matches:
        match match:
            case Transport(port) if port and not rule.destination:
                yield f"to port {port}/{rule.protocol}"
            case LocalAddress(side):
                yield "to an address of this node" if side == "dst" else "from this node itself"
            case ConnState(states, negated):
                words = " or ".join(state.lower() for state in states)
                yield f"not of a connection that is {words}" if negated else f"{words} connection"
            case MarkSet(_, negated):
                yield "not marked" if negated else "marked"
            case RecentCheck(_, seconds):
                yield f"a client sent there in the last {duration(seconds)}"
            case OneIn(count):
                yield f"1 in {count}"
            case Comment() | Transport() | RecentSet():
                pass


def _to(rule: Rule) -> str:
    port = next((match.port for match in rule.matches if isinstance(match, Transport)), 0)
    address = bare(rule.destination)
    return f"{join_address(address, port)}/{rule.protocol}" if port else address


def _from(rule: Rule) -> str:
    """Whose source a rule looks for: pods are told by a network, and only an endpoint's own chain by one address."""
    source, target = bare(rule.source), rule.target
    if "/" not in source and target == Jump(names.MARK_MASQ):
        return "the endpoint itself"
    if isinstance(target, Jump) and target.chain.startswith((names.MARK_MASQ, names.CLUSTER_PREFIX)):
        return f"a pod ({source})"
    return source


def bare(cidr: str) -> str:
    """A single address without its prefix length."""
    return cidr.removesuffix("/128" if ":" in cidr else "/32")


def duration(seconds: int) -> str:
    """In the largest unit that divides it: "3 h", "90 s"."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
