"""A Service's report as text of 80 columns. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction

from netsim_proxy import names
from netsim_proxy.explain import duration
from netsim_proxy.names import join_address
from netsim_proxy.nftables.names import MARK
from netsim_proxy.report import ChainView, OutcomeView, PortReport, WalkView, Way

COLUMNS = 80
WAYS = {"clusterip": "ClusterIP", "nodeport": "node port", "lb": "load balancer", "external": "external IP"}
_FATES = {
    "refused": "refused at once (ICMP port unreachable)",
    "dropped": "dropped: the client waits in vain",
    "passed": "no rule of the Service: on to the address itself",
}
_ALL_GONE = "The kernel has none of these rules: is the proxy running? See `netsim status`."
_SOME_GONE = "of these rules are not in the kernel (gone!); the proxy puts them back within its sync period."
_ONCE = "In table nat a packet is a new connection: the kernel asks for the first packet of each only."
_MARKING = (names.MARK_MASQ, MARK)
_JUMP = re.compile(r"(?:-j (?=KUBE-)|\bjump )(\S+)")
_ONCE_NFTABLES = (
    "In maps of endpoints and chains a packet is a new connection: the kernel asks for the first packet of each only. "
    "Sets do not count."
)
_MANY = "This table has too many elements for each to have a counter."


def render_port(report: PortReport, *, detailed: bool) -> str:
    """Endpoints, rules with their packets, and what connections meet; `detailed` with every rule on their way."""
    lines = [_title(report), *_endpoints(report), "", *_chains(report), *_differences(report)]
    if report.walks:
        right = not (report.missing or report.unexpected or report.broken)
        lines += ["", f"What a new connection {'meets' if right else 'meets if the rules are as they should be'}, from"]
        lines += _trails(report.walks) if detailed else _summary(report.walks)
    return "\n".join(lines)


def _title(report: PortReport) -> str:
    port = report.port
    parts = [f"Port {port.port_name or '(unnamed)'}: {port.port}/{port.protocol} on {port.cluster_ip}"]
    parts += [f"node port {port.node_port}"] if port.node_port else []
    parts += [f"load balancer {' '.join(port.vips)}"] if port.vips else []
    parts += [f"external IP {' '.join(port.external_ips)}"] if port.external_ips else []
    parts += ["internalTrafficPolicy Local"] if port.internal_local else []
    parts += ["externalTrafficPolicy Local"] if port.external_local else []
    parts += [f"sessionAffinity ClientIP ({duration(port.affinity_seconds)})"] if port.affinity_seconds else []
    return "\n".join(_wrapped(", ".join(parts), 2, first=0))


def _endpoints(report: PortReport) -> Iterator[str]:
    if not report.endpoints:
        yield "  no endpoints: its selector finds no pod, or it has no selector"
    name_width = max((len(each.name) for each in report.endpoints), default=0)
    address_width = max((len(each.address) for each in report.endpoints), default=0)
    for each in report.endpoints:
        use = "" if each.used else ", not used here"
        yield f"  {each.name:<{name_width}}  {each.address:<{address_width}}  {each.node}  {each.state}{use}".rstrip()


def _chains(report: PortReport) -> Iterator[str]:
    yield " packets  rules"
    for chain in report.chains:
        yield from _chain(chain)
    tables = {chain.table for chain in report.chains}
    yield from _wrapped(_ONCE if "nat" in tables else _ONCE_NFTABLES, 10)
    maps = [rule for chain in report.chains if chain.table == "map" for rule in chain.rules]
    if any(rule.packets is None and not rule.missing for rule in maps):
        yield from _wrapped(_MANY, 10)


def _chain(chain: ChainView) -> Iterator[str]:
    what = f": {chain.what}" if chain.what else ""
    yield from _wrapped(f"{chain.table} {chain.chain}{what}", 12, first=10)
    for rule in chain.rules:
        number = "gone!" if rule.missing else "" if rule.packets is None else f"{rule.packets}"
        yield from _wrapped(rule.says, 14, head=f"{number:>8}    ")


def _differences(report: PortReport) -> Iterator[str]:
    if report.missing:
        all_gone = report.missing == sum(len(chain.rules) for chain in report.chains)
        yield from _wrapped(_ALL_GONE if all_gone else f"{report.missing} {_SOME_GONE}", 2, first=0)
    for rule in report.unexpected:
        yield from _wrapped(f"Not the proxy's, beside the rules of this Service: {rule}", 2, first=0)
    for part in report.broken:
        yield from _wrapped(f"Not as the proxy makes it, and all Services need it: {part}", 2, first=0)


def _summary(walks: Sequence[WalkView]) -> Iterator[str]:
    """By source: ways that end alike in one line."""
    for source in dict.fromkeys((view.way.who, view.way.source) for view in walks):
        yield "  {} ({})".format(*source)
        alike: dict[str, list[str]] = {}
        for view in walks:
            if (view.way.who, view.way.source) == source:
                alike.setdefault(_results(view), []).append(f"{WAYS[view.way.way]} {_address(view.way)}")
        for result, ways in alike.items():
            yield from _wrapped(f"to {', '.join(ways)}: {result}", 6, first=4)


def _address(way: Way) -> str:
    return join_address(way.destination, way.port)


def _results(view: WalkView) -> str:
    groups: dict[tuple[str, str], list[OutcomeView]] = {}
    for outcome in view.outcomes:
        groups.setdefault((outcome.fate, outcome.sees), []).append(outcome)
    shares = [sum(each.probability for each in outcomes) for outcomes in groups.values()]
    results = [_reached(fate, sees, outcomes, view.way) for (fate, sees), outcomes in groups.items()]
    if len(results) == 1:
        return results[0]
    return "; ".join(f"{_chance(share)} {result}" for share, result in zip(shares, results, strict=True))


def _reached(fate: str, sees: str, outcomes: Sequence[OutcomeView], way: Way) -> str:
    if fate != "endpoint":
        return _FATES[fate]
    found = list(dict.fromkeys(each.name or each.endpoint for each in outcomes))
    whom = "this node's address" if sees == "node" else way.source
    return f"{found[0] if len(found) == 1 else f'one of {len(found)} endpoints'}, which sees {whom}"


def _trails(walks: Sequence[WalkView]) -> Iterator[str]:
    """Every outcome with its way; rules that an earlier outcome came by are not told again."""
    for view in walks:
        yield f"  {view.way.who} ({view.way.source}) to {WAYS[view.way.way]} {_address(view.way)}"
        told: set[str] = set()
        for outcome in view.outcomes:
            result = _reached(outcome.fate, outcome.sees, [outcome], view.way)
            but = ", as above but" if told else ""
            yield from _wrapped(f"{_chance(outcome.probability)}: {result}{but}", 6, first=4)
            steps = [step for step in _steps(outcome) if step not in told]
            yield from (line for step in steps for line in _wrapped(step, 10, first=8))
            told.update(steps)


def _steps(outcome: OutcomeView) -> Iterator[str]:
    """The rules on the way, without jumps into chains where nothing matched, nor the one that sets the mark."""
    for step, following in zip(outcome.trail, (*outcome.trail[1:], ("", "", "", "")), strict=True):
        table, chain, rule, says = step
        target = _JUMP.search(rule)
        if chain not in _MARKING and (target is None or target[1] == following[1]):
            yield f"{table} {chain}: {says}"


def _chance(probability: float) -> str:
    if probability > 1 - 1e-9:
        return "always"
    share = Fraction(probability).limit_denominator(1000)
    return f"{share.numerator} in {share.denominator}"


def _wrapped(text: str, later: int, *, first: int | None = None, head: str = "") -> list[str]:
    """Lines of 80 columns: the first begins with `head` or is indented by `first`, the others by `later`."""
    start = head or " " * (later if first is None else first)
    return textwrap.wrap(
        text, COLUMNS, initial_indent=start, subsequent_indent=" " * later, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
