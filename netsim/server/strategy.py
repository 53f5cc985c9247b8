"""What the server itself sets on objects: metadata, generation, the split of status and spec (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import annotations_of, dig
from netsim.api.schema import prune
from netsim.api.schema_fit import fits
from netsim.api.validate_claim_status import device_identity
from netsim.server import csr

_SERVER_METADATA = (
    "name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_DROPPED_METADATA = ("managedFields", "selfLink")
_NOT_GIVEN = frozenset((*_SERVER_METADATA, *_DROPPED_METADATA))
_NOT_FREE = _NOT_GIVEN | {"resourceVersion"}
_BATCH = "batch.kubernetes.io/"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_LONG_NUMBER = 19
_PHASE_TIME = "lastPhaseTransitionTime"
_NOT_SPEC = ("kind", "apiVersion", "metadata", "status")


class Stamp(NamedTuple):
    """What a new object gets from outside: its name, uid and creation time."""

    name: str
    uid: str
    now: str


def _compact(metadata: Obj) -> Obj:
    return {key: value for key, value in metadata.items() if value not in (None, "", {}, [])}


def prepare_create(kind: Kind, obj: Obj, namespace: str, stamp: Stamp) -> Obj:
    """A new object as the server takes it: own metadata set, status dropped where it has its own subresource."""
    given = {k: v for k, v in obj["metadata"].items() if k not in _NOT_GIVEN}
    given.pop("resourceVersion", None)
    metadata: Obj = {"name": stamp.name}
    if kind.namespaced:
        metadata["namespace"] = namespace
    metadata |= {"uid": stamp.uid, "creationTimestamp": stamp.now}
    if kind.generation and kind is not kinds.CSI_DRIVERS:  # of which only changes are counted
        metadata["generation"] = 1
    new = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata | _compact(given)}
    drop_status = kind.status and kind is not kinds.NODES
    new |= {key: value for key, value in obj.items() if key not in new and not (drop_status and key == "status")}
    extra = _ON_CREATE.get(kind)
    return extra(new) if extra else new


def _new_pod(pod: Obj) -> Obj:
    return {**pod, "spec": pod.get("spec") or {}, "status": {"phase": "Pending"}}


def _new_service(service: Obj) -> Obj:
    return {**service, "status": {"loadBalancer": {}}}


def _new_namespace(namespace: Obj) -> Obj:
    metadata = namespace["metadata"]
    labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    given = (namespace.get("spec") or {}).get("finalizers") or []
    spec = {"finalizers": given if "kubernetes" in given else [*given, "kubernetes"]}
    return {**namespace, "metadata": {**metadata, "labels": labels}, "spec": spec, "status": {"phase": "Active"}}


def _new_volume(volume: Obj) -> Obj:
    return {**volume, "status": {"phase": "Pending", _PHASE_TIME: volume["metadata"]["creationTimestamp"]}}


def with_phase_time(new: Obj, old: Obj, now: str) -> Obj:
    """A PersistentVolume that says since when it is in its phase, unless its author does."""
    status, before = (obj.get("status") or {} for obj in (new, old))
    if status.get("phase") == before.get("phase") or status.get(_PHASE_TIME) not in (None, before.get(_PHASE_TIME)):
        return new
    return {**new, "status": {**status, _PHASE_TIME: now}}


def _new_slice(resource_slice: Obj) -> Obj:
    """The taints of its devices say since when they are there."""
    spec, now = resource_slice.get("spec") or {}, resource_slice["metadata"]["creationTimestamp"]
    if not any(device.get("taints") for device in spec.get("devices") or ()):
        return resource_slice
    devices = [
        {**device, "taints": [{"timeAdded": now, **taint} for taint in device["taints"]]}
        if device.get("taints")
        else device
        for device in spec["devices"]
    ]
    return {**resource_slice, "spec": {**spec, "devices": devices}}


def _new_definition(definition: Obj) -> Obj:
    """Its names are not accepted yet, but it is known what will be stored."""
    versions = (definition.get("spec") or {}).get("versions") or ()
    stored = [version["name"] for version in versions if version.get("storage")]
    names = {"kind": "", "plural": ""}
    return {**definition, "status": {"acceptedNames": names, "conditions": None, "storedVersions": stored}}


def _empty_status(obj: Obj) -> Obj:
    return {**obj, "status": {}}


def _new_job(job: Obj) -> Obj:
    """Selector and template labels made from the uid, unless the author chooses the selector. What is given is kept,
    for validation to judge."""
    spec, metadata = job.get("spec") or {}, job["metadata"]
    if spec.get("manualSelector"):
        return job
    template = spec.get("template") or {}
    given = template.get("metadata") or {}
    uid, name = metadata["uid"], metadata["name"]
    labels = {f"{_BATCH}controller-uid": uid, f"{_BATCH}job-name": name, "controller-uid": uid, "job-name": name}
    labels |= given.get("labels") or {}
    selector = spec.get("selector") or {}
    selector = {**selector, "matchLabels": {f"{_BATCH}controller-uid": uid, **(selector.get("matchLabels") or {})}}
    template = {**template, "metadata": {**given, "labels": labels}}
    return {**job, "spec": {**spec, "selector": selector, "template": template}}


def _new_daemon_set(daemon_set: Obj) -> Obj:
    return _with_template_generation(daemon_set, 1)


def _with_template_generation(daemon_set: Obj, number: int) -> Obj:
    """The generation of the template alone, which older clients read from an annotation."""
    metadata = daemon_set["metadata"]
    annotations = {**(metadata.get("annotations") or {}), _TEMPLATE_GENERATION: str(number)}
    return {**daemon_set, "metadata": {**metadata, "annotations": annotations}}


def _daemon_set_update(new: Obj, old: Obj) -> Obj:
    held = str((old["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION, ""))
    number = int(held) if held.isdecimal() and len(held) < _LONG_NUMBER else 0
    now, before = (_template_of(set_defaults(kinds.DAEMON_SETS, obj)) for obj in (new, old))
    return _with_template_generation(new, number + (now != before))


def _template_of(obj: Obj) -> Any:
    return (obj.get("spec") or {}).get("template")


_ON_CREATE: dict[Kind, Callable[[Obj], Obj]] = {
    kinds.PODS: _new_pod,
    kinds.SERVICES: _new_service,
    kinds.NAMESPACES: _new_namespace,
    kinds.PERSISTENT_VOLUMES: _new_volume,
    kinds.DEPLOYMENTS: _empty_status,
    kinds.REPLICA_SETS: lambda obj: {**obj, "status": {"replicas": 0}},
    kinds.CERTIFICATE_SIGNING_REQUESTS: _empty_status,
    kinds.JOBS: _new_job,
    kinds.DAEMON_SETS: _new_daemon_set,
    kinds.RESOURCE_SLICES: _new_slice,
    kinds.CUSTOM_RESOURCE_DEFINITIONS: _new_definition,
}


def as_kept(kind: Kind, old: Obj, wanted: Obj) -> Obj:
    """A stored object as a decoder keeps it today, where a write may change more than its metadata and status: before,
    empty fields were stored, and that they are gone is no change of a spec."""
    names = (old.keys() | wanted.keys()) - set(_NOT_SPEC)
    same = all((old.get(name) or None) == (wanted.get(name) or None) for name in names)
    return old if kind.custom is not None or same or fits(kind, old) else prune(kind, old)


def prepare_update(kind: Kind, new: Obj, old: Obj, sub: str = "") -> Obj:
    """The object after a write to the main resource or to a subresource, before validation.

    Server-owned metadata stays as it was; on "status" only the status changes and, of most built-in kinds, metadata (a
    Deployment's controller writes its revision so), otherwise everything but the status; the generation rises when
    anything but metadata and status changed.
    """
    metadata = _merged_metadata(new["metadata"], old["metadata"])
    if sub == "status":
        status = new.get("status") or {}
        if kind is kinds.RESOURCE_CLAIMS:
            status = _without_given_back(status, old.get("status") or {})
        if kind is kinds.CERTIFICATE_SIGNING_REQUESTS:
            status = csr.with_decisions(status, old.get("status") or {})
        return {**old, "metadata": _status_metadata(kind, metadata, old), "status": status}
    if sub == "approval":
        conditions = (new.get("status") or {}).get("conditions") or []
        status = {**(old.get("status") or {}), "conditions": conditions}
        return {**old, "metadata": metadata, "status": status}
    if sub == "binding":
        return {**new, "metadata": metadata}
    result = {**new, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    if kind.status:
        result = _with(result, "status", old.get("status"))
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS:
        result = _with(result, "spec", old.get("spec"))
    if kind is kinds.NAMESPACES:
        result = _namespace_update(result, old, sub)
    if kind is kinds.DAEMON_SETS:
        result = _daemon_set_update(result, old)
    if kind.generation and _raises_generation(kind, result, old):
        result["metadata"] = {**result["metadata"], "generation": int(metadata.get("generation", 0)) + 1}
    return result


def _without_given_back(status: Obj, before: Obj) -> Obj:
    """A claim's status without what drivers said of devices that are not allocated any more."""
    gone = [device for device in _allocated(before) if device not in _allocated(status)]
    devices = [device for device in status.get("devices") or () if device_identity(device) not in gone]
    return _with(status, "devices", devices or None)


def _allocated(status: Obj) -> list[Obj]:
    return [device_identity(result) for result in dig(status, "allocation", "devices", "results") or ()]


def _raises_generation(kind: Kind, new: Obj, old: Obj) -> bool:
    """Whether a write counts as a new generation: of the spec, for EndpointSlices of the labels, too, and for
    Deployments of the annotations, which go on to their ReplicaSets. Of a PriorityClass nothing changes that would
    matter."""
    if kind is kinds.PRIORITY_CLASSES:
        return False
    if kind is kinds.DEPLOYMENTS and annotations_of(new) != annotations_of(old):
        return True
    if kind is kinds.ENDPOINT_SLICES and new["metadata"].get("labels") != old["metadata"].get("labels"):
        return True
    return spec_changed(new, old, kind) and spec_changed(set_defaults(kind, new), old, kind)


_FREE_METADATA = ("annotations", "finalizers", "labels", "ownerReferences")
_STATUS_ALONE = (kinds.VOLUME_ATTACHMENTS, kinds.RESOURCE_CLAIMS)
_KEPT_BY_STATUS = {kinds.DEPLOYMENTS: ("labels",), kinds.PODS: ("ownerReferences",)}


def with_status(kind: Kind) -> tuple[str, ...]:
    """The fields of the metadata that a write to a kind's status may change."""
    if kind.custom or kind in _STATUS_ALONE:
        return ()
    return tuple(field for field in _FREE_METADATA if field not in _KEPT_BY_STATUS.get(kind, ()))


def _status_metadata(kind: Kind, given: Obj, old: Obj) -> Obj:
    """The object's metadata with what of `given` may come with a status; the same where nothing of it is new."""
    metadata: Obj = old["metadata"]
    for field in with_status(kind):
        if given.get(field) != metadata.get(field):
            metadata = _with(metadata, field, given.get(field))
    return metadata


def _merged_metadata(new: Obj, old: Obj) -> Obj:
    kept = {key: old[key] for key in _SERVER_METADATA if key in old}
    free = {k: v for k, v in new.items() if k not in _NOT_FREE}
    if old.get("generateName") and "generateName" not in free:
        free["generateName"] = old["generateName"]
    return kept | _compact(free)


def _with(obj: Obj, key: str, value: Any) -> Obj:
    rest = {k: v for k, v in obj.items() if k != key}
    return rest if value is None else {**rest, key: value}


def _namespace_update(new: Obj, old: Obj, sub: str) -> Obj:
    """spec.finalizers change only through /finalize, which changes nothing else."""
    source = new if sub == "finalize" else old
    spec = {**(new.get("spec") or {}), "finalizers": (source.get("spec") or {}).get("finalizers") or []}
    if sub == "finalize":
        return {**old, "spec": spec}
    labels = {**(new["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": new["metadata"]["name"]}
    return {**new, "spec": spec, "metadata": {**new["metadata"], "labels": labels}}


def spec_changed(new: Obj, old: Obj, kind: Kind) -> bool:
    """Whether anything but type, metadata and status differs; the status of a custom object counts where it is no
    subresource."""
    left_out = _NOT_SPEC if kind.status or not kind.custom else _NOT_SPEC[:-1]
    return {k: v for k, v in new.items() if k not in left_out} != {k: v for k, v in old.items() if k not in left_out}


def same_object(new: Obj, old: Obj) -> bool:
    """Whether a write would change nothing but the resourceVersion and managedFields."""
    return _without_version(new) == _without_version(old)


def _without_version(obj: Obj) -> Obj:
    kept = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {**obj, "metadata": kept}


def mark_deleted(kind: Kind, obj: Obj, now: str, grace: int) -> Obj:
    """The object with deletionTimestamp (and its generation raised, where it has one). What goes with its contents has
    no grace, and counts no generation."""
    metadata = {**obj["metadata"], "deletionTimestamp": now}
    holds_others = kind in (kinds.NAMESPACES, kinds.CUSTOM_RESOURCE_DEFINITIONS)
    if not holds_others:
        metadata["deletionGracePeriodSeconds"] = grace
    if kind.generation and not holds_others and "deletionTimestamp" not in obj["metadata"]:
        metadata["generation"] = int(metadata.get("generation", 0)) + 1
    marked = {**obj, "metadata": metadata}
    if kind is kinds.NAMESPACES:
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked
