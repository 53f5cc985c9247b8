"""Hints of Services with the annotation `service.kubernetes.io/topology-mode: Auto` (KEP-2433): every zone with ready
nodes gets endpoints in proportion to its allocatable CPU, so that no endpoint carries more than a fifth above its
share. Slices that are fine as they are stay untouched. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import dig, is_true, labels_of, name_of
from netsim.api.quantity import milli
from netsim.controllers.slices import SliceDiff

ZONE = "topology.kubernetes.io/zone"
OVERLOAD = 0.2
"""An endpoint may get so much more than its fair part of the traffic."""
ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"
_EXCLUDED = frozenset(("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"))
_NO_INFO = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_NO_ZONE = "One or more endpoints do not have a zone specified"
_TOO_FEW = "Insufficient number of endpoints"
_TOO_UNEQUAL = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many endpoints a zone must, may and should have."""

    minimum: int
    maximum: int
    desired: float


@dataclass(frozen=True, slots=True)
class Hinted:
    """Slices with their hints. `refusal` says why they have none, "" if they have."""

    change: SliceDiff
    refusal: str = ""


def has_hints(items: Iterable[Obj]) -> bool:
    """Whether an endpoint of these slices has any."""
    return any(endpoint.get("hints") for item in items for endpoint in endpoints_of(item))


def endpoints_of(item: Obj) -> list[Obj]:
    return item.get("endpoints") or []


def capacity_of(node: Obj | None) -> tuple[str, int] | None:
    """(zone, thousandths of CPU) that a node counts with, "" and 0 if unknown; None if it does not count."""
    if node is None or _EXCLUDED & labels_of(node).keys() or not is_true(node, "Ready"):
        return None
    return labels_of(node).get(ZONE, ""), milli(dig(node, "status", "allocatable", "cpu") or 0)


def cpu_shares(nodes: Iterable[Obj]) -> dict[str, float]:
    """zone -> its part of the CPUs, {} if a node does not say or there is but one zone."""
    cpus: Counter[str] = Counter()
    for zone, cpu in filter(None, map(capacity_of, nodes)):
        if not zone or not cpu:
            return {}
        cpus[zone] += cpu
    total = cpus.total()
    return {zone: cpu / total for zone, cpu in sorted(cpus.items())} if len(cpus) > 1 else {}


def allocations_of(shares: Mapping[str, float], endpoints: int) -> dict[str, Allocation] | str:
    """What every zone gets of so many endpoints, or why that cannot be."""
    if not shares:
        return _NO_INFO
    numbers = f"({endpoints} endpoints, {len(shares)} zones)"
    if len(shares) > endpoints:
        return f"{_TOO_FEW} {numbers}"
    desired = {zone: share * endpoints for zone, share in shares.items()}
    minimum = {zone: math.ceil(number / (1 + OVERLOAD)) for zone, number in desired.items()}
    spare = endpoints - sum(minimum.values())
    if spare < 0:
        return f"{_TOO_UNEQUAL} {numbers}"
    return {zone: Allocation(low, low + spare, max(desired[zone], low)) for zone, low in minimum.items()}


def with_auto_hints(change: SliceDiff, owned: Sequence[Obj], shares: Mapping[str, float]) -> Hinted:
    """The change of one address type's slices with hints for the clients of zones. `owned` are the slices as they
    are; those whose hints hold stay as they are."""
    changed = {name_of(item) for item in [*change.updated, *change.deleted]}
    same = [item for item in owned if name_of(item) not in changed]
    touched = [*change.created, *change.updated]
    allocations = allocations_of(shares, sum(_is_ready(e) for item in [*touched, *same] for e in endpoints_of(item)))
    if isinstance(allocations, str):
        return Hinted(without_hints(change, same), allocations)
    kept, doubtful = _settled(same, allocations)
    touched += doubtful
    if any(_is_ready(e) and not e.get("zone") for item in touched for e in endpoints_of(item)):
        return Hinted(without_hints(change, same), _NO_ZONE)
    zones = _chosen_zones(touched, kept, allocations)
    made = [_with_zones(item, zones) for item in touched]
    return Hinted(_split(change, made, owned))


def without_hints(change: SliceDiff, same: Iterable[Obj]) -> SliceDiff:
    """The change with all hints gone, also from slices that would otherwise stay the `same`."""
    updated = [*change.updated, *(item for item in same if has_hints([item]))]
    return SliceDiff(_bare(change.created), _bare(updated), change.deleted)


def _bare(items: Iterable[Obj]) -> list[Obj]:
    return [item | {"endpoints": [_with_zone(e, "") for e in endpoints_of(item)]} for item in items]


def _is_ready(endpoint: Obj) -> bool:
    return bool(dig(endpoint, "conditions", "ready"))


def _zones_hinted(item: Obj) -> list[str]:
    """The zones the ready endpoints of a slice are meant for, "" for each that lacks a hint."""
    found = [dig(e, "hints", "forZones") or [{"name": ""}] for e in endpoints_of(item) if _is_ready(e)]
    return [zone["name"] for zones in found for zone in zones]


def _settled(same: Sequence[Obj], allocations: Mapping[str, Allocation]) -> tuple[Counter[str], list[Obj]]:
    """(hints by zone of the slices that may stay, the others): a zone that needs none or has too many is not right."""
    kept: Counter[str] = Counter()
    doubtful: list[Obj] = []
    for item in same:
        zones = Counter(_zones_hinted(item))
        if all(z in allocations and kept[z] + number <= allocations[z].maximum for z, number in zones.items()):
            kept += zones
        else:
            doubtful.append(item)
    return kept, doubtful


def _chosen_zones(touched: Sequence[Obj], kept: Counter[str], allocations: Mapping[str, Allocation]) -> dict[int, str]:
    """id(endpoint) -> the zone it is for: its own, or one that lacks endpoints if its own has too many."""
    ready = [endpoint for item in touched for endpoint in endpoints_of(item) if _is_ready(endpoint)]
    giving, receiving = transfers(allocations, kept + Counter(endpoint["zone"] for endpoint in ready))
    chosen: dict[int, str] = {}
    for endpoint in ready:
        zone = endpoint["zone"]
        if giving[zone] > 0:
            giving[zone] -= 1
            zone = next(receiving)
        chosen[id(endpoint)] = zone
    return chosen


def transfers(allocations: Mapping[str, Allocation], have: Mapping[str, int]) -> tuple[Counter[str], Iterator[str]]:
    """(endpoints to be given by zone, the zones that get them in turn): always from the fullest to the emptiest,
    as long as one of both is off by a whole endpoint and the other by half of one."""
    excess = {zone: have.get(zone, 0) - allocation.desired for zone, allocation in allocations.items()}
    over = {zone: number for zone, number in excess.items() if number > 0}
    under = {zone: -number for zone, number in excess.items() if number < 0}
    giving: Counter[str] = Counter()
    receiving: list[str] = []
    while over and under:
        giver, taker = max(over, key=over.__getitem__), max(under, key=under.__getitem__)
        if min(over[giver], under[taker]) < 0.5 or max(over[giver], under[taker]) < 1:
            break
        giving[giver] += 1
        receiving.append(taker)
        over[giver] -= 1
        under[taker] -= 1
    return giving, iter(receiving)


def _with_zones(item: Obj, zones: Mapping[int, str]) -> Obj:
    return item | {"endpoints": [_with_zone(e, zones.get(id(e), "")) for e in endpoints_of(item)]}


def _with_zone(endpoint: Obj, zone: str) -> Obj:
    bare = {name: value for name, value in endpoint.items() if name != "hints"}
    return bare | ({"hints": {"forZones": [{"name": zone}]}} if zone else {})


def _split(change: SliceDiff, made: Sequence[Obj], owned: Sequence[Obj]) -> SliceDiff:
    """The slices made are, in this order, those to be created and those to be updated; what came out as it was
    needs no write."""
    count = len(change.created)
    before = {name_of(item): item for item in owned}
    updated = [item for item in made[count:] if item != before.get(name_of(item))]
    return SliceDiff(list(made[:count]), updated, change.deleted)
