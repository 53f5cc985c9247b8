"""CustomResourceDefinitions: the kinds they add, their conditions, their names' conflicts (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from netsim.api.jsonpath import parse_path
from netsim.api.kind import READ_WRITE, Custom, Kind, Obj, Subresource
from netsim.api.objects import condition, deletion_timestamp, set_condition
from netsim.api.structural import has_defaults, published
from netsim.api.validate_definitions import APPROVAL, is_protected
from netsim.server.registry import version_rank

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_NAMES = ("plural", "singular", "kind", "listKind")


def is_true(crd: Obj, kind: str) -> bool:
    """Whether the definition has that condition."""
    return (condition(crd, kind) or {}).get("status") == "True"


# --- kinds -------------------------------------------------------------------------------------------------------


def kinds_of(crd: Obj) -> list[Kind]:
    """The kinds an established definition adds: one for each served version."""
    if not is_true(crd, "Established"):
        return []
    return [_kind(crd, version) for version in crd["spec"]["versions"] if version.get("served")]


def stored_kind_of(crd: Obj) -> Kind:
    """The kind in its storage version, served or not."""
    return _kind(crd, _storage(crd))


def _storage(crd: Obj) -> Obj:
    return next(version for version in crd["spec"]["versions"] if version.get("storage"))


def _kind(crd: Obj, version: Obj) -> Kind:
    spec, status = crd["spec"], crd.get("status") or {}
    names = status.get("acceptedNames") or spec["names"]
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    storage = _storage(crd)["name"]
    plain = version["name"] == storage and status.get("storedVersions") == [storage] and not has_defaults(schema)
    subresources = version.get("subresources") or {}
    head = Kind(
        spec["group"], version["name"], names["kind"], names["plural"], names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced", short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()), status="status" in subresources, generation=True,
        subresources=_subresources(subresources, names["kind"]),
        view_of="" if plain else f"{spec['group']}/{storage}", list_name=names.get("listKind") or "",
    )  # fmt: skip
    custom = Custom(
        schema, published(schema, head), f"{spec['group']}/{storage}",
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        fields=tuple(_dotted(field["jsonPath"]) for field in version.get("selectableFields") or ()),
        scale=subresources.get("scale"), warning=_deprecation(crd, version),
    )  # fmt: skip
    return replace(head, custom=custom)


def _dotted(path: str) -> str:
    return ".".join(str(name) for _, name in parse_path(path))


def _subresources(given: Obj, kind: str) -> tuple[Subresource, ...]:
    found = []
    if "scale" in given:
        found.append(Subresource("scale", "Scale", READ_WRITE, "autoscaling", "v1"))
    if "status" in given:
        found.append(Subresource("status", kind, READ_WRITE))
    return tuple(found)


def _deprecation(crd: Obj, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    fresh = [v["name"] for v in crd["spec"]["versions"] if v.get("served") and not v.get("deprecated")]
    better = sorted((name for name in fresh if version_rank(name) < version_rank(version["name"])), key=version_rank)
    use = f"; use {group}/{better[0]} {kind}" if better else ""
    return f"{group}/{version['name']} {kind} is deprecated{use}"


# --- status ------------------------------------------------------------------------------------------------------


def settle(crd: Obj, others: Iterable[Obj], now: str) -> Obj:
    """The definition with the status that follows from it and from the names that others of its group hold."""
    status = {**(crd.get("status") or {})}
    names, conflict = _accepted(crd, others)
    status["acceptedNames"] = names
    conditions = status.get("conditions") or []
    accepted: Obj = {
        "type": "NamesAccepted",
        "status": "True",
        "reason": "NoConflicts",
        "message": "no conflicts found",
    }
    if conflict:
        accepted |= {"status": "False", "reason": conflict[0], "message": conflict[1]}
    for found in (accepted, *_established(crd, not conflict), *_approval(crd)):
        conditions = set_condition(conditions, found, now)
    stored = status.get("storedVersions") or []
    storage = _storage(crd)["name"]
    status["storedVersions"] = stored if storage in stored else [*stored, storage]
    return {**crd, "status": {**status, "conditions": conditions}}


def _established(crd: Obj, accepted: bool) -> list[Obj]:
    """Once established, a definition stays so."""
    if is_true(crd, "Established"):
        return []
    if accepted:
        message = "the initial names have been accepted"
        return [{"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": message}]
    message = "not all names are accepted"
    return [{"type": "Established", "status": "False", "reason": "NotAccepted", "message": message}]


def _approval(crd: Obj) -> list[Obj]:
    if not is_protected(crd["spec"]["group"]):
        return []
    text = (crd["metadata"].get("annotations") or {}).get(APPROVAL) or ""
    found = {"type": "KubernetesAPIApprovalPolicyConformant"}
    if text.startswith("unapproved"):
        return [found | {"status": "False", "reason": "UnapprovedAnnotation", "message": f'not approved: "{text}"'}]
    return [found | {"status": "True", "reason": "ApprovedAnnotation", "message": f"approved in {text}"}]


def _accepted(crd: Obj, others: Iterable[Obj]) -> tuple[Obj, tuple[str, str] | None]:
    """(names accepted so far, (reason, message) of the last conflict)."""
    wanted, held = crd["spec"]["names"], (crd.get("status") or {}).get("acceptedNames") or {}
    resources, kinds = _taken(crd, others)
    new, conflict = {**held}, None
    for field in _NAMES:
        name = wanted.get(field) or ""
        if name != held.get(field) and name in (kinds if "ind" in field else resources):
            conflict = (f"{field[0].upper()}{field[1:]}Conflict", f'"{name}" is already in use')
        elif name:
            new[field] = name
    short = [name for name in wanted.get("shortNames") or () if name in resources]
    if short:
        used = ", ".join(f'"{name}" is already in use' for name in short)
        conflict = conflict or ("ShortNamesConflict", used if len(short) == 1 else f"[{used}]")
    else:
        _set(new, "shortNames", wanted.get("shortNames"))
    _set(new, "categories", wanted.get("categories"))
    return new, conflict


def _set(names: Obj, field: str, value: Any) -> None:
    names.pop(field, None)
    if value:
        names[field] = value


def _taken(crd: Obj, others: Iterable[Obj]) -> tuple[set[str], set[str]]:
    """Resource names and kinds that other definitions of the group hold."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["metadata"]["name"] == crd["metadata"]["name"] or other["spec"]["group"] != crd["spec"]["group"]:
            continue
        held = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {held.get("plural", ""), held.get("singular", ""), *(held.get("shortNames") or ())}
        kinds |= {held.get("kind", ""), held.get("listKind", "")}
    return resources - {""}, kinds - {""}


# --- deletion ----------------------------------------------------------------------------------------------------

_PENDING = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
_DELETING = {
    "InstanceDeletionPending": ("True", _PENDING),
    "InstanceDeletionInProgress": ("True", "CustomResource deletion is in progress"),
    "InstanceDeletionCompleted": ("False", "removed all instances"),
}


def terminating(crd: Obj, reason: str, now: str) -> Obj:
    """The definition with the Terminating condition of a stage of its deletion."""
    value, message = _DELETING[reason]
    found = {"type": "Terminating", "status": value, "reason": reason, "message": message}
    status = crd.get("status") or {}
    return {**crd, "status": {**status, "conditions": set_condition(status.get("conditions") or [], found, now)}}


def marked(crd: Obj, now: str) -> Obj:
    """A definition just marked as deleted: its instances must go first."""
    metadata = crd["metadata"]
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        crd = {**crd, "metadata": {**metadata, "finalizers": [*finalizers, FINALIZER]}}
    return terminating(crd, "InstanceDeletionPending", now)


def released(crd: Obj) -> Obj:
    """The definition without the finalizer that held it."""
    rest = [name for name in crd["metadata"].get("finalizers") or () if name != FINALIZER]
    metadata = {key: value for key, value in crd["metadata"].items() if key != "finalizers"}
    return {**crd, "metadata": metadata | ({"finalizers": rest} if rest else {})}


def must_clean(crd: Obj) -> bool:
    """Whether the definition is going away and its instances are to be deleted."""
    return deletion_timestamp(crd) is not None and FINALIZER in (crd["metadata"].get("finalizers") or ())
