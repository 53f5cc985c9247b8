"""Gives every Node without one its pod CIDR out of the cluster's, never one that another Node has.

All Nodes are one work key, so that two of them are never given addresses side by side. What the Nodes say is the only
record of what is taken: it is read from the server itself (`observe`) before the first addresses are given, and when a
write has failed; after that the cache shows all that this allocator, the only one, has written. When nothing is left,
the Nodes without a pod CIDR are told so once, and nobody looks again before a Node has gone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from netsim.api.kinds import NODES, Obj
from netsim.api.objects import name_of, uid_of
from netsim.controllers.controller import Controller
from netsim.controllers.facts import NODES_NOW, all_nodes
from netsim.controllers.view import View
from netsim.controllers.writes import Note, Patch, Write, Writes, typed

if TYPE_CHECKING:
    from netsim.client.rest import Client

ALL = "nodes"
_MOST_NOTES = 100
"""So many Nodes without a pod CIDR are told so; where thousands have none, nobody reads thousands of Events."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def controller(cluster_cidrs: Iterable[str], node_masks: Iterable[int]) -> Controller:
    """The allocator for one cluster CIDR a family, and the prefix length of a Node's part of each. Raises
    ValueError for a mask that does not fit its CIDR."""
    pools = [_pool(cidr, mask) for cidr, mask in zip(cluster_cidrs, node_masks, strict=True)]
    told: set[str] = set()
    looked = False

    async def observe(client: Client, key: str, view: View) -> Mapping[str, Any]:
        nonlocal looked
        if looked and not view.failure:
            return {}
        facts = await all_nodes(client, key, view)
        looked = looked or NODES_NOW in facts
        return facts

    def reconcile(key: str, view: View) -> Writes:
        writes = plan_cidrs(pools, view.facts.get(NODES_NOW) or view.values(NODES))
        without = [uid_of(write.about) for write in writes if isinstance(write, Note)]
        fresh = [
            w for w in writes if not isinstance(w, Note) or (uid_of(w.about) not in told and len(told) < _MOST_NOTES)
        ]
        told.intersection_update(without)
        told.update(without[:_MOST_NOTES])
        return fresh

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None:
            return (ALL,) if told and cidrs_of(old or {}) else ()
        known = uid_of(new) in told or len(told) >= _MOST_NOTES
        return () if new["spec"].get("podCIDR") or known else (ALL,)

    return Controller("node-ipam-controller", reconcile, ((NODES, wake),), observe=observe, reporter="cidrAllocator")


def _pool(cidr: str, mask: int) -> tuple[Network, int]:
    network = ipaddress.ip_network(cidr)
    if not network.prefixlen <= mask <= network.max_prefixlen:
        raise ValueError(f"node mask /{mask} does not fit the cluster CIDR {cidr}: give one between the two lengths")
    return network, mask


def plan_cidrs(pools: list[tuple[Network, int]], nodes: Iterable[Obj]) -> list[Write]:
    """A patch for each Node without a pod CIDR, by name order; an Event for one for which nothing is left."""
    every = sorted(nodes, key=name_of)
    if all((node.get("spec") or {}).get("podCIDR") for node in every):
        return []
    taken = [network for node in every for network in cidrs_of(node)]
    free = [_free(cluster, mask, taken) for cluster, mask in pools]
    writes: list[Write] = []
    for node in every:
        if (node.get("spec") or {}).get("podCIDR"):
            continue
        chosen = [next(subnets, None) for subnets in free]
        cidrs = [str(subnet) for subnet in chosen if subnet is not None]
        if len(cidrs) < len(free):
            text = f"Node {name_of(node)} has no pod CIDR: the cluster CIDR is used up; widen it or remove nodes"
            writes.append(Note(typed(NODES, node), "CIDRNotAvailable", text, "Warning"))
        else:
            head = {"resourceVersion": node["metadata"]["resourceVersion"]}
            writes.append(Patch(NODES, name_of(node), "", _spec(head, cidrs)))
    return writes


def _spec(head: Obj, cidrs: list[str]) -> Obj:
    return {"metadata": head, "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}


def cidrs_of(node: Obj) -> list[Network]:
    """The pod CIDRs a Node already has, of all families."""
    spec = node.get("spec") or {}
    texts = dict.fromkeys([*([spec["podCIDR"]] if spec.get("podCIDR") else []), *(spec.get("podCIDRs") or [])])
    return [_network(text) for text in texts]


@lru_cache(16_384)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _free(cluster: Network, mask: int, taken: list[Network]) -> Iterator[Network]:
    """Subnets in order that overlap none taken. The very first is left out where there is room, so that node-1
    gets .1.0/24 as the lab's documents show."""
    same_family = [network for network in taken if network.version == cluster.version]
    step = 1 << (cluster.max_prefixlen - mask)
    ranges = {(int(network.network_address) // step, int(network.broadcast_address) // step) for network in same_family}
    used = {index for low, high in ranges for index in (range(low, high + 1) if high - low < 65536 else ())}
    first = int(cluster.network_address) // step
    last = int(cluster.broadcast_address) // step
    for index in [*range(first + 1, last + 1), first]:
        if index not in used:
            yield type(cluster)((index * step, mask))
