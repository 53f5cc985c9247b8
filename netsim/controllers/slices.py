"""The difference between the EndpointSlices that are there and the endpoints that should be, with as few and as
small changes as possible: every changed slice travels to every node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from netsim.api.kinds import Obj
from netsim.controllers.service_endpoints import Ports, ports_key

MAX_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class SliceDiff:
    """`updated` are existing slices with new endpoints, `created` bodies {addressType, ports, endpoints}."""

    created: list[Obj] = field(default_factory=list)
    updated: list[Obj] = field(default_factory=list)
    deleted: list[Obj] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one address type that share their ports: they go into slices together."""

    family: str
    ports: Ports
    endpoints: list[Obj]


def group(endpoints: Iterable[tuple[str, Ports, Obj]]) -> list[Group]:
    """(family, ports, endpoint) triples by family and ports, in order of appearance."""
    groups: dict[tuple[str, str], Group] = {}
    for family, ports, endpoint in endpoints:
        key = family, ports_key(ports)
        groups.setdefault(key, Group(family, ports, [])).endpoints.append(endpoint)
    return list(groups.values())


def diff(existing: Sequence[Obj], groups: Sequence[Group], families: Sequence[str]) -> SliceDiff:
    """Bring `existing` slices (of the Service) to `groups`. A family without endpoints keeps one empty slice."""
    by_key: dict[tuple[str, str], list[Obj]] = {}
    for item in existing:
        by_key.setdefault((item.get("addressType", ""), ports_key(item.get("ports") or [])), []).append(item)
    total = SliceDiff()
    for wanted in groups:
        part = _diff_group(by_key.pop((wanted.family, ports_key(wanted.ports)), []), wanted)
        total.created.extend(part.created)
        total.updated.extend(part.updated)
        total.deleted.extend(part.deleted)
    left = [item for items in by_key.values() for item in items]
    return _reused(_with_placeholders(total, left, groups, families))


def _reused(total: SliceDiff) -> SliceDiff:
    """A slice to be made takes the place of one to be deleted: one event for every watcher instead of two."""
    for body in list(total.created):
        spare = next((item for item in total.deleted if item.get("addressType") == body["addressType"]), None)
        if spare is not None:
            total.deleted.remove(spare)
            total.created.remove(body)
            total.updated.append({**spare, **body})
    return total


def _with_placeholders(
    total: SliceDiff, left: list[Obj], groups: Sequence[Group], families: Sequence[str]
) -> SliceDiff:
    """A family without any endpoint keeps one slice, empty: it tells clients that the Service is known."""
    for family in families:
        if any(wanted.family == family for wanted in groups):
            continue
        spare = next((item for item in left if item.get("addressType") == family), None)
        if spare is None:
            total.created.append({"addressType": family, "ports": [], "endpoints": []})
            continue
        left.remove(spare)
        if spare.get("endpoints") or spare.get("ports"):
            total.updated.append({**spare, "endpoints": [], "ports": []})
    total.deleted.extend(left)
    return total


def _diff_group(existing: Sequence[Obj], wanted: Group) -> SliceDiff:
    """Keep every endpoint in the slice where it is, and put new ones where a change is due anyway, the fullest of
    those first. What is left fills new slices; a remainder of less than a full slice goes into the one unchanged
    slice it fits best, if there is one. An emptied slice is deleted."""
    missing = {identity(endpoint): endpoint for endpoint in wanted.endpoints}
    kept = [(item, _keep(item, missing)) for item in existing]
    spare = list(missing.values())
    for _, endpoints in sorted((pair for pair in kept if pair[1] and _changed(*pair)), key=_fullest_first):
        _move(spare, endpoints)
    result = SliceDiff(created=_new_slices(wanted, _full_slices(spare)))
    if spare:
        target = _best_fit(kept, len(spare))
        if target is None:
            result.created.extend(_new_slices(wanted, [spare]))
        else:
            _move(spare, target)
    for item, endpoints in kept:
        if not endpoints:
            result.deleted.append(item)
        elif _changed(item, endpoints):
            result.updated.append({**item, "endpoints": endpoints})
    return result


def _changed(item: Obj, endpoints: list[Obj]) -> bool:
    return endpoints != (item.get("endpoints") or [])


def _fullest_first(pair: tuple[Obj, list[Obj]]) -> int:
    return -len(pair[1])


def _move(spare: list[Obj], endpoints: list[Obj]) -> None:
    room = MAX_ENDPOINTS - len(endpoints)
    endpoints.extend(spare[:room])
    del spare[:room]


def _full_slices(spare: list[Obj]) -> list[list[Obj]]:
    """As many full slices as the spare endpoints make; the rest stays in `spare`."""
    count = len(spare) // MAX_ENDPOINTS
    chunks = [spare[start * MAX_ENDPOINTS : (start + 1) * MAX_ENDPOINTS] for start in range(count)]
    del spare[: count * MAX_ENDPOINTS]
    return chunks


def _best_fit(kept: Sequence[tuple[Obj, list[Obj]]], count: int) -> list[Obj] | None:
    """The endpoints of the fullest slice that takes `count` more."""
    fitting = [endpoints for _, endpoints in kept if endpoints and len(endpoints) + count <= MAX_ENDPOINTS]
    return max(fitting, key=len, default=None)


def _keep(item: Obj, missing: dict[str, Obj]) -> list[Obj]:
    """The slice's endpoints that are still wanted, as they are wanted now; they are missing no more."""
    kept: list[Obj] = []
    for endpoint in item.get("endpoints") or []:
        wanted = missing.pop(identity(endpoint), None) if len(kept) < MAX_ENDPOINTS else None
        if wanted is not None:
            kept.append(wanted)
    return kept


def identity(endpoint: Obj) -> str:
    """What makes two endpoints the same one, whatever their state."""
    reference = endpoint.get("targetRef") or {}
    return f"{reference.get('uid', '')} {' '.join(endpoint.get('addresses') or [])}"


def _new_slices(wanted: Group, chunks: Iterable[list[Obj]]) -> list[Obj]:
    ports = list(wanted.ports)
    return [{"addressType": wanted.family, "ports": ports, "endpoints": list(chunk)} for chunk in chunks]
