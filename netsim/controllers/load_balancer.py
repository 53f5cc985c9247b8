"""Gives Services of type LoadBalancer addresses out of a pool, never one that another Service has.

All Services are one work key, so that two of them are never given addresses side by side. What their statuses say is
the only record of what is taken: after a restart, or when somebody has written into a status, the plan puts right what
does not fit. An address is free again when its Service is gone, changes its type, or chooses another implementation
with loadBalancerClass.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from itertools import chain

import orjson

from netsim.api.kinds import SERVICES, Obj
from netsim.api.load_balancer import Address, Range, balancer_addresses, is_balanced
from netsim.api.objects import key_of, metadata, spec_of, status_of, uid_of
from netsim.controllers.controller import Controller
from netsim.controllers.view import BALANCED, View
from netsim.controllers.writes import Note, Write, Writes, status_of_object, typed

ALL = "services"
OWN_CLASS = "netsim.io/layer2"
"""A Service with another loadBalancerClass is left to who implements that."""


def controller(pool: tuple[Range, ...]) -> Controller:
    """The allocator of one pool."""
    told: dict[str, str] = {}

    def reconcile(key: str, view: View) -> Writes:
        return list(_once(plan_addresses(pool, view.by_index(SERVICES, BALANCED, BALANCED)), told))

    return Controller("service-lb-controller", reconcile, ((SERVICES, _wake),))


def _wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    return (ALL,) if _relevant(old) != _relevant(new) else ()


def _relevant(service: Obj | None) -> tuple[object, ...] | None:
    """What of a Service an allocation depends on; None if it has no part in it."""
    if service is None or not is_balanced(service):
        return None
    spec = spec_of(service)
    asked = (spec.get(name) for name in ("type", "loadBalancerClass", "loadBalancerIP", "ipFamilies"))
    return (*asked, uid_of(service), status_of(service).get("loadBalancer"))


def is_ours(service: Obj) -> bool:
    """Whether it is for us to give this Service addresses."""
    spec = spec_of(service)
    return spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") in (None, "", OWN_CLASS)


def _once(writes: Iterable[Write], told: dict[str, str]) -> Iterator[Write]:
    """The same complaint about one Service only once, until it changes or is over."""
    failing: set[str] = set()
    for write in writes:
        if isinstance(write, Note) and write.type == "Warning":
            uid = uid_of(write.about)
            failing.add(uid)
            if told.get(uid) == write.message:
                continue
            told[uid] = write.message
        yield write
    for uid in told.keys() - failing:
        del told[uid]


class _Plan:
    """Who has which address: the Services' keys by address, and the addresses by the Services' keys."""

    def __init__(self, pool: tuple[Range, ...]) -> None:
        self.pool = pool
        self.owners: dict[Address, str] = {}
        self.held: dict[str, list[Address]] = {}
        self._unseen = {
            family: chain.from_iterable([part for part in pool if part.family == family]) for family in ("IPv4", "IPv6")
        }

    def take(self, key: str, address: Address) -> None:
        self.owners[address] = key
        self.held.setdefault(key, []).append(address)

    def next_free(self, family: str) -> Address | None:
        """Every address is looked at once: what is taken stays so within one plan."""
        return next((address for address in self._unseen[family] if address not in self.owners), None)


def plan_addresses(pool: tuple[Range, ...], services: Iterable[Obj]) -> list[Write]:
    """The statuses to write, and Events about them. What fits is kept; of two Services with one address the older keeps
    it; wishes (loadBalancerIP) come before what is free."""
    every = sorted(services, key=_age)
    mine = [service for service in every if is_ours(service)]
    plan = _Plan(pool)
    for service in every:
        _keep(plan, service, ours=is_ours(service))
    refused = {key_of(service): why for service in mine if (why := _grant_wish(plan, service))}
    for service in mine:
        if key_of(service) not in refused and (why := _complete(plan, service)):
            refused[key_of(service)] = why
    return [write for service in every for write in _writes(plan, service, refused.get(key_of(service), ""))]


def _age(service: Obj) -> tuple[str, str]:
    return str(metadata(service).get("creationTimestamp", "")), key_of(service)


def _families(service: Obj) -> list[str]:
    return list(spec_of(service).get("ipFamilies") or ["IPv4"])


def _wish(service: Obj) -> str:
    """The address asked for, in its one form; as it stands if it is none."""
    text = str(spec_of(service).get("loadBalancerIP") or "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _keep(plan: _Plan, service: Obj, *, ours: bool) -> None:
    """Note the addresses a Service may keep: of ours one of each family, out of the pool, as wished."""
    key, families = key_of(service), _families(service)
    for address in balancer_addresses(service):
        family = f"IPv{address.version}"
        wish = _wish(service)
        unwished = bool(wish) and (":" in wish) == (address.version == 6) and str(address) != wish
        if address in plan.owners or (ours and (family not in families or unwished or not _in_pool(plan, address))):
            continue
        if ours or (spec_of(service).get("type") == "LoadBalancer" and _in_pool(plan, address)):
            plan.take(key, address)
            families = [each for each in families if each != family]


def _in_pool(plan: _Plan, address: Address) -> bool:
    return any(address in part for part in plan.pool)


def _grant_wish(plan: _Plan, service: Obj) -> str:
    """Take the address that a Service asks for; why not, if so."""
    wish, key = _wish(service), key_of(service)
    if not wish or wish in map(str, plan.held.get(key, ())):
        return ""
    try:
        address = ipaddress.ip_address(wish)
    except ValueError:
        return f"{wish!r} (spec.loadBalancerIP) is no IP address; mend it, or leave it out"
    if not _in_pool(plan, address):
        return f"{wish} (spec.loadBalancerIP) is not in the pool {show_pool(plan.pool)}"
    if address in plan.owners:
        return f"{wish} (spec.loadBalancerIP) is in use by {plan.owners[address]}"
    plan.take(key, address)
    return ""


def _complete(plan: _Plan, service: Obj) -> str:
    """Take a free address for each family that lacks one; why not, if there is none at all."""
    key = key_of(service)
    has = {f"IPv{address.version}" for address in plan.held.get(key, ())}
    for family in _families(service):
        if family not in has and (address := plan.next_free(family)) is not None:
            plan.take(key, address)
    if plan.held.get(key):
        return ""
    return f"no address of family {' or '.join(_families(service))} is left in the pool {show_pool(plan.pool)}"


def _writes(plan: _Plan, service: Obj, refused: str) -> Iterator[Write]:
    key, about = key_of(service), typed(SERVICES, service)
    if refused:
        yield Note(about, "AllocationFailed", f'Failed to allocate IP for "{key}": {refused}', "Warning")
    before = balancer_addresses(service)
    if is_ours(service):
        wanted = plan.held.get(key, [])
    elif spec_of(service).get("type") == "LoadBalancer" or not any(_in_pool(plan, a) for a in before):
        return  # somebody else's
    else:
        wanted = []
    if wanted == before:
        return
    yield status_of_object(SERVICES, service, {**status_of(service), "loadBalancer": render_status(wanted)})
    if wanted:
        texts = orjson.dumps([str(address) for address in wanted]).decode()
        yield Note(about, "IPAllocated", f"Assigned IP {texts}")


def render_status(addresses: Iterable[Address]) -> Obj:
    """status.loadBalancer of a Service whose packets carry these addresses."""
    ingress = [{"ip": str(address), "ipMode": "VIP"} for address in addresses]
    return {"ingress": ingress} if ingress else {}


def show_pool(pool: Iterable[Range]) -> str:
    """The pool as people write it."""
    return ",".join(f"{part.first}-{part.last}" for part in pool)
