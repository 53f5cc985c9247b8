"""Which managedFields a write leaves behind: who wrote, to what part of which type (the algebra is netsim.api's)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson

from netsim.api import kinds
from netsim.api.apply import Applier
from netsim.api.empty_objects import empty_object
from netsim.api.fieldset import SELF, FieldSet, difference, only, union, without
from netsim.api.fieldtypes import FieldType, built_in_type, custom_type
from netsim.api.kind import Custom
from netsim.api.kinds import Kind, Obj
from netsim.api.managed import UPDATE, Entry, Scope, Writer, after_update, choose_entries
from netsim.server.pod_specs import SPECS, metadata_key
from netsim.server.strategy import with_status

_STATUS = "f:status"
_UNRECORDED = ("binding",)
_RESIZED = frozenset((SELF, "f:resources", "f:resizePolicy"))
_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_LABELS: FieldSet = {"f:labels": {SELF: {}, **{f"f:{name}": {} for name in _JOB_LABELS}}}
_SERVERS_OWN: dict[str, FieldSet] = {
    "v1/Pod": {"f:spec": {"f:tolerations": {}, "f:priority": {}, "f:preemptionPolicy": {}}},
    "v1/Service": {"f:spec": {"f:clusterIP": {}, "f:clusterIPs": {}, "f:ipFamilies": {}, "f:ipFamilyPolicy": {}}},
    "batch/v1/Job": {"f:metadata": _LABELS, "f:spec": {"f:selector": {}, "f:template": {"f:metadata": _LABELS}}},
}
"""What the server adds to new objects in a client's place: nobody owns it, unless the client gave it."""


class Manager(NamedTuple):
    """Who writes, as managedFields names it. `applies`: the object brings the entries that its apply came to.
    `subresource` is what the write is recorded under, where that is not the one written to."""

    name: str = "kube-apiserver"
    applies: bool = False
    subresource: str = ""


SERVER = Manager()


def writable(kind: Kind, sub: str) -> Scope:
    """What of a kind's fields a write to a subresource ("": the object) can own."""
    if sub == "scale":
        return partial(_only, path=tuple(f"f:{name}" for name in replicas_path(kind)))
    if sub == "status":
        return partial(_status_only, metadata=with_status(kind))
    if sub in _SCOPES:
        return _SCOPES[sub]
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS:
        return _without_spec
    if kind is kinds.NAMESPACES:
        return partial(_only, path=("f:spec",)) if sub == "finalize" else _without_spec
    return _without_status if kind.status else _everything


def replicas_path(kind: Kind) -> tuple[str, ...]:
    """The names that lead to the number a Scale of the kind is about."""
    path = (kind.custom.scale or {}).get("specReplicasPath", "") if kind.custom is not None else ""
    return tuple(name for name in path.split(".") if name) or ("spec", "replicas")


def _only(fields: FieldSet, path: tuple[str, ...]) -> FieldSet:
    return only(fields, *path)


def _resources_only(fields: FieldSet) -> FieldSet:
    """Of a pod's containers what a resize may change."""
    spec = fields.get("f:spec", {})
    groups = {name: _resized(spec[name]) for name in ("f:containers", "f:initContainers") if spec.get(name)}
    groups = {name: found for name, found in groups.items() if found}
    return {"f:spec": groups} if groups else {}


def _resized(containers: FieldSet) -> FieldSet:
    cut = {key: {name: facts[name] for name in facts if name in _RESIZED} for key, facts in containers.items()}
    return {key: found for key, found in cut.items() if found}


def _status_only(fields: FieldSet, metadata: tuple[str, ...] = ()) -> FieldSet:
    """The status, and those fields of the metadata."""
    parts = {f"f:{name}": fields.get("f:metadata", {}).get(f"f:{name}") for name in metadata}
    owned = {name: part for name, part in parts.items() if part is not None}
    return only(fields, _STATUS) | ({"f:metadata": owned} if owned else {})


def _everything(fields: FieldSet) -> FieldSet:
    return fields


def _without_status(fields: FieldSet) -> FieldSet:
    return without(fields, _STATUS)


def _without_spec(fields: FieldSet) -> FieldSet:
    """What neither /finalize and /status of a namespace own, nor whoever asks for a certificate, which is for good."""
    return without(_without_status(fields), "f:spec")


_SCOPES: dict[str, Scope] = {
    "approval": _status_only,
    "ephemeralcontainers": partial(_only, path=("f:spec", "f:ephemeralContainers")),
    "resize": _resources_only,
}


def applier(kind: Kind, manager: Manager, sub: str, operation: str, now: str) -> Applier:
    """One write of `manager` to a subresource of the kind."""
    return _applier(kind, manager.name, manager.subresource or sub, operation)._replace(now=now)


@lru_cache(maxsize=512)
def _applier(kind: Kind, name: str, sub: str, operation: str) -> Applier:
    writer = Writer(name, kind.api_version, operation, sub)
    return Applier(field_type(kind), empty_object(kind), writer, writable(kind, sub), "")


def field_type(kind: Kind) -> FieldType:
    """How values of the kind merge."""
    if kind.custom is not None:
        return _custom_type(kind.custom)
    return built_in_type((kind.group, kind.version, kind.kind))


@lru_cache(maxsize=256)
def _custom_type(custom: Custom) -> FieldType:
    return custom_type(custom.schema)


def entries_of(obj: Obj) -> list[Entry]:
    """The object's managedFields."""
    return obj["metadata"].get("managedFields") or []


def after_create(kind: Kind, given: Obj, new: Obj, manager: Manager, now: str) -> list[Entry]:
    """The entries of a new object; `given` is what the client sent, `new` that with its defaults."""
    if manager.applies:
        return entries_of(given)
    write = applier(kind, manager, "", UPDATE, now)
    changed = union(_new_fields(kind, write, given, new), write.scope(_empty_lists(given, empty_object(kind))))
    entries = choose_entries([], given["metadata"].get("managedFields"), "")
    return after_update(entries, write.writer, changed, {}, now)


def _empty_lists(given: Obj, empty: Obj) -> FieldSet:
    """The lists that a client gave without items where the type always writes one: they are its own, though they are
    stored and shown as null, which is what the type writes by itself."""
    found: FieldSet = {}
    for key, value in empty.items():
        if value is None and given.get(key) == []:
            found[f"f:{key}"] = {}
        elif value and isinstance(given.get(key), dict) and (below := _empty_lists(given[key], value)):
            found[f"f:{key}"] = below
    return found


_RECENT: dict[str, tuple[Obj, FieldSet]] = {}
"""By built-in kind the last new object but for its metadata, and its fields: a ReplicaSet makes its pods in a row, and
telling that two have the same costs a tenth of finding out what is in one."""


def _new_fields(kind: Kind, write: Applier, given: Obj, new: Obj) -> FieldSet:
    """All fields of a new object but those the server has added in the client's place."""
    if kind.custom is not None:
        return write.changes({}, new)[0]
    known = SPECS.known(new.get("spec")) if kind is kinds.PODS else None
    if known is not None:
        if known.fields is None:
            known.fields = _of_client(kind, given, write.changes({}, {"spec": new["spec"]})[0])
        return union(known.fields, _metadata_fields(kind, write, new))
    left: Obj = {key: new[key] for key in ("metadata", "status") if key in new}
    return _of_client(kind, given, union(_lasting_fields(kind, write, new), write.changes({}, left)[0]))


def _metadata_fields(kind: Kind, write: Applier, new: Obj) -> FieldSet:
    """The fields of a new object's metadata."""
    key = metadata_key(new)
    return _remembered_fields(kind, key) if key else write.changes({}, {"metadata": new["metadata"]})[0]


@lru_cache(maxsize=256)
def _remembered_fields(kind: Kind, metadata: bytes) -> FieldSet:
    return _applier(kind, "", "", UPDATE).changes({}, {"metadata": orjson.loads(metadata)})[0]


def _of_client(kind: Kind, given: Obj, fields: FieldSet) -> FieldSet:
    return difference(fields, _not_given(_SERVERS_OWN.get(f"{kind.api_version}/{kind.kind}", {}), given))


def _lasting_fields(kind: Kind, write: Applier, new: Obj) -> FieldSet:
    """The fields of a new object but for its metadata and status."""
    name = f"{kind.api_version}/{kind.kind}"
    rest = {key: value for key, value in new.items() if key not in ("metadata", "status")}
    known = _RECENT.get(name)
    if known is None or not _same_fields(known[0], rest):
        known = _RECENT[name] = (rest, write.changes({}, rest)[0])
    return known[1]


def _same_fields(one: Any, other: Any) -> bool:
    """Whether two new values surely have the same fields: those of maps are their keys, as long as none has the value,
    one that counts as nothing, that its type always writes; items of lists may be named by their values."""
    if type(one) is dict:
        if type(other) is not dict or one.keys() != other.keys():
            return False
        return all(_same_fields(value, other[key]) for key, value in one.items())
    if type(one) is list or not one or not other:
        return bool(one == other)
    return type(one) is type(other)


def _not_given(fields: FieldSet, given: Any) -> FieldSet:
    """The part of a set that an object has no values for."""
    below = {key: given.get(key[2:]) if isinstance(given, dict) else None for key in fields if key != SELF}
    left = {key: _not_given(fields[key], value) for key, value in below.items() if fields[key] or value is None}
    left = {key: node for key, node in left.items() if node or not fields[key]}
    return {SELF: {}, **left} if SELF in fields and not given else left


def after_change(
    kind: Kind, live: list[Entry], given: Any, old: Obj, new: Obj, manager: Manager, sub: str, now: str
) -> list[Entry]:
    """The entries after a change from `old` to `new`; `given` are those the wanted object has. Objects without any
    are not tracked until somebody applies."""
    if manager.applies:
        return _settled(given or [], live, old, new)
    entries = choose_entries(live, given, manager.subresource or sub)
    if sub in _UNRECORDED or not entries:
        return entries
    write = applier(kind, manager, sub, UPDATE, now)
    if sub == "status":  # which owns little else, and is little beside the rest
        old, new = _status_parts(kind, old, new), _status_parts(kind, new, old)
    changed, removed = write.changes(old, new)
    when = "" if manager.subresource == "scale" else now  # of which a Scale has no part
    return after_update(entries, write.writer, changed, removed, when) if changed or removed else entries


def _status_parts(kind: Kind, obj: Obj, other: Obj) -> Obj:
    """What a write to the status can change: it, and what differs of some metadata."""
    metadata, others = obj["metadata"], other["metadata"]
    changed = {
        name: metadata[name] for name in with_status(kind) if name in metadata and metadata[name] != others.get(name)
    }
    return ({"metadata": changed} if changed else {}) | ({"status": obj["status"]} if "status" in obj else {})


def _settled(entries: list[Entry], live: list[Entry], old: Obj, new: Obj) -> list[Entry]:
    """The live entries when an apply changed nothing but their times."""
    if list(map(_timeless, entries)) == list(map(_timeless, live)) and without_entries(new) == without_entries(old):
        return live
    return entries


def _timeless(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if key != "time"}


def without_entries(obj: Obj) -> Obj:
    """The object without managedFields and resourceVersion."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    return {**obj, "metadata": metadata}


def with_entries(obj: Obj, entries: list[Entry]) -> Obj:
    """The object with these managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": {**metadata, "managedFields": entries} if entries else metadata}
