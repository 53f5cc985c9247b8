"""What Kubernetes warns of: versions of kinds that are on their way out, and settings that are.

The texts are those that kubectl shows after "Warning: ", as in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim.api import kinds, names
from netsim.api.causes import LABEL_MESSAGE
from netsim.api.kinds import Kind, Obj
from netsim.api.quantity import parse_quantity

DEPRECATED: dict[Kind, str] = {
    kinds.COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
    kinds.ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
"""Warnings that every answer about the kind carries."""

_INGRESS_CLASS = "kubernetes.io/ingress.class"
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}


def warnings_of(kind: Kind, obj: Obj) -> list[str]:
    """What its author is warned of when an object is created."""
    rule = _RULES.get(kind)
    return list(rule(obj)) if rule else []


def _ingress(obj: Obj) -> Iterator[str]:
    if _INGRESS_CLASS in (obj["metadata"].get("annotations") or {}):
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _storage_class(obj: Obj) -> Iterator[str]:
    if _STORAGE_CLASS in (obj["metadata"].get("annotations") or {}):
        yield f'metadata.annotations[{_STORAGE_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'


def _volume(obj: Obj) -> Iterator[str]:
    yield from _storage_class(obj)
    if (obj.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )


def _pod(obj: Obj) -> Iterator[str]:
    yield from _host_name(obj, "this is used in the Pod's hostname")
    yield from _pod_spec(obj.get("spec") or {}, "spec")


def _template(obj: Obj) -> Iterator[str]:
    yield from _pod_spec(((obj.get("spec") or {}).get("template") or {}).get("spec") or {}, "spec.template.spec")


def _job(obj: Obj) -> Iterator[str]:
    yield from _host_name(obj, "this is used in Pod names and hostnames")
    yield from _template(obj)


def _cron_job(obj: Obj) -> Iterator[str]:
    yield from _host_name(obj, "this is used in Pod names and hostnames")
    jobs = ((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}
    yield from _pod_spec((jobs.get("template") or {}).get("spec") or {}, "spec.jobTemplate.spec.template.spec")


def _service(obj: Obj) -> Iterator[str]:
    spec = obj.get("spec") or {}
    if spec.get("clusterIP") == "None":
        for field in ("loadBalancerIP", "externalIPs"):
            if spec.get(field):
                yield f"spec.{field} is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    if spec.get("externalIPs"):
        yield "spec.externalIPs is deprecated"
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _host_name(obj: Obj, use: str) -> Iterator[str]:
    name = obj["metadata"].get("name", "")
    if not names.is_dns1123_label(name):
        why = "must be no more than 63 bytes" if len(name) > 63 else LABEL_MESSAGE
        yield f"metadata.name: {use}, which can result in surprising behavior; a DNS label is recommended: [{why}]"


def _pod_spec(spec: Obj, field: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in _NODE_LABELS:
            since, instead = _NODE_LABELS[key]
            yield f'{field}.nodeSelector[{key}]: deprecated since {since}; use "{instead}" instead'
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            where = f"{field}.{group}[{index}]"
            yield from _environment(container, where)
            yield from _ports(container, where)
            yield from _fractions(container.get("resources") or {}, f"{where}.resources")


def _ports(container: Obj, field: str) -> Iterator[str]:
    """Container ports given twice, of which all but one are lost when the list is merged by its keys."""
    seen: dict[tuple[object, object], int] = {}
    for index, port in enumerate(container.get("ports") or ()):
        first = seen.setdefault((port.get("containerPort"), port.get("protocol")), index)
        if first != index:
            yield f"{field}.ports[{index}]: duplicate port definition with {field}.ports[{first}]"


def _fractions(resources: Obj, field: str) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            amount = (resources.get(side) or {}).get(name)
            if amount is not None and parse_quantity(amount).denominator != 1:
                yield f'{field}.{side}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'


def _environment(container: Obj, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            yield f'{field}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


_RULES: dict[Kind, Callable[[Obj], Iterator[str]]] = {
    kinds.INGRESSES: _ingress,
    kinds.PERSISTENT_VOLUMES: _volume,
    kinds.PERSISTENT_VOLUME_CLAIMS: _storage_class,
    kinds.PODS: _pod,
    kinds.SERVICES: _service,
    kinds.JOBS: _job,
    kinds.CRON_JOBS: _cron_job,
    **dict.fromkeys(
        (kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.REPLICATION_CONTROLLERS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS),
        _template,
    ),
}
