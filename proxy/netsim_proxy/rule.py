"""The typed rules that a Service compiles to: matches, targets and a rule made of them.

Only what kube-proxy's rules need is here. Values are in the kernel's terms; text is made in `iptables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from netsim_proxy.config import Family

Place = tuple[str, str]
"""A chain: table (mangle, nat or filter) and chain name."""


@dataclass(frozen=True, slots=True)
class Comment:
    text: str


@dataclass(frozen=True, slots=True)
class ConnState:
    """Connection tracking state is (or, negated, is not) one of `states`."""

    states: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """The source or destination address belongs to this machine."""

    side: Literal["src", "dst"]


@dataclass(frozen=True, slots=True)
class Transport:
    """The rule's protocol, with its destination port unless 0."""

    port: int = 0


@dataclass(frozen=True, slots=True)
class MarkSet:
    """All bits of `mark` are set (or, negated, not)."""

    mark: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class RecentCheck:
    """The source address is in list `name` and was seen at most `seconds` ago; older entries are dropped."""

    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class RecentSet:
    """Always matches, and notes the source address in list `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class OneIn:
    """Matches one packet in `count`, by chance."""

    count: int


Match = Comment | ConnState | LocalAddress | Transport | MarkSet | RecentCheck | RecentSet | OneIn


@dataclass(frozen=True, slots=True)
class Jump:
    chain: str


@dataclass(frozen=True, slots=True)
class Final:
    """ACCEPT, DROP, RETURN, or REJECT (ICMP port unreachable)."""

    action: Literal["ACCEPT", "DROP", "RETURN", "REJECT"]


@dataclass(frozen=True, slots=True)
class SetMark:
    """Set the bits of `mark`, or flip them."""

    mark: int
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Dnat:
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    random_fully: bool = True


Target = Jump | Final | SetMark | Dnat | Masquerade


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `source` and `destination` are CIDRs; `interface` is the incoming one; `+` ends a prefix."""

    target: Target | None
    matches: tuple[Match, ...] = ()
    source: str = ""
    not_source: bool = False
    destination: str = ""
    not_destination: bool = False
    interface: str = ""
    not_interface: bool = False
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything one family of the proxy wants in the kernel.

    `chains` are wholly ours; their order is the order of declaration. `hooks` are our rules in the kernel's own
    chains, in the order they are put at the head, so that the last one given comes first.
    `local_addresses` are the machine's own addresses at compile time, which `walk` needs to know.
    """

    family: Family
    mark: int
    chains: Mapping[Place, tuple[Rule, ...]]
    hooks: tuple[tuple[Place, Rule], ...] = ()
    local_addresses: tuple[str, ...] = field(default=())
