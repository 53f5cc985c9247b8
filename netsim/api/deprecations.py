"""What Kubernetes warns of: versions of kinds that are on their way out, and settings that are.

The texts are those that kubectl shows after "Warning: ", as in Kubernetes 1.36.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator

from netsim.api import deprecated_labels, kinds, names
from netsim.api.causes import LABEL_MESSAGE
from netsim.api.deprecated_labels import deprecated
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import annotations_of, dig
from netsim.api.quantity import canonical_quantity, parse_quantity

DEPRECATED: dict[Kind, str] = {
    kinds.COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
    kinds.ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
"""Warnings that every answer about the kind carries."""

_INGRESS_CLASS = "kubernetes.io/ingress.class"
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def warnings_of(kind: Kind, obj: Obj) -> list[str]:
    """What its author is warned of when an object is created."""
    rule = _RULES.get(kind)
    return list(rule(obj)) if rule else []


def update_warnings_of(kind: Kind, obj: Obj, old: Obj) -> list[str]:
    """What its author is warned of when an object is changed: of Services, Secrets and classes always, of drivers when
    their tokens have changed, of templates when the spec has, of accounts what is new. Pods are changed by programs."""
    if kind in _TEMPLATES:
        changed = obj["metadata"].get("generation") != old["metadata"].get("generation")
        return list(_template(obj)) if changed else []
    if kind is kinds.SERVICE_ACCOUNTS:
        return [] if _MOUNTABLE in annotations_of(old) else warnings_of(kind, obj)
    if kind is kinds.CSI_DRIVERS:
        now, before = ((each.get("spec") or {}).get("tokenRequests") for each in (obj, old))
        return warnings_of(kind, obj) if now != before else []
    return warnings_of(kind, obj) if kind in _ALWAYS else []


def _csi_driver(obj: Obj) -> Iterator[str]:
    spec = obj.get("spec") or {}
    if spec.get("tokenRequests") and spec.get("serviceAccountTokenInSecrets") is None:
        yield (
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
            "possible logging of tokens in volume attributes"
        )


def _secret(obj: Obj) -> Iterator[str]:
    """A pair of certificate and key of which one is no PEM at all; whether the two fit is not looked at."""
    data = obj.get("data") or {}
    if obj.get("type") != "kubernetes.io/tls":
        return
    for name, key in (("certificate", "tls.crt"), ("key", "tls.key")):
        if b"-----BEGIN " not in base64.b64decode(data.get(key) or ""):
            yield f"tls: failed to find any PEM data in {name} input"
            return


def _endpoint_slice(obj: Obj) -> Iterator[str]:
    if obj.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"


def _ingress(obj: Obj) -> Iterator[str]:
    if _INGRESS_CLASS in (obj["metadata"].get("annotations") or {}):
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _node(obj: Obj) -> Iterator[str]:
    if (obj.get("spec") or {}).get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


def _storage_class(obj: Obj) -> Iterator[str]:
    if _STORAGE_CLASS in (obj["metadata"].get("annotations") or {}):
        yield f'metadata.annotations[{_STORAGE_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'


def _claim(obj: Obj) -> Iterator[str]:
    yield from _storage_class(obj)
    amount = dig(obj, "spec", "resources", "requests", "storage")
    if amount is not None and parse_quantity(amount).denominator != 1:
        shown = canonical_quantity(amount)
        yield f'spec.resources.requests[storage]: fractional byte value "{shown}" is invalid, must be an integer'


def _account(obj: Obj) -> Iterator[str]:
    if _MOUNTABLE in annotations_of(obj):
        yield (
            f"metadata.annotations[{_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access "
            "to mounted secrets"
        )


def _volume(obj: Obj) -> Iterator[str]:
    yield from _storage_class(obj)
    if (obj.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )


def _pod(obj: Obj) -> Iterator[str]:
    yield from pod_name_warnings(obj)
    yield from pod_spec_warnings(obj.get("spec") or {})


def pod_name_warnings(obj: Obj) -> Iterator[str]:
    """Of a pod's warnings those of its name."""
    return _host_name(obj, "this is used in the Pod's hostname")


def pod_spec_warnings(spec: Obj) -> Iterator[str]:
    """Of a pod's warnings those of its spec."""
    return _pod_spec(spec, "spec")


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
    if spec.get("externalIPs") and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
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
        yield from deprecated(f"{field}.nodeSelector[{key}]", key)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        yield from _no_selector(constraint, f"{field}.topologySpreadConstraints[{index}]")
    yield from _twice(spec.get("hostAliases") or (), "ip", f"{field}.hostAliases")
    yield from _twice(spec.get("imagePullSecrets") or (), "name", f"{field}.imagePullSecrets")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{field}.imagePullSecrets[{index}].name: invalid empty name ""'
    for container, where in _containers(spec, field):
        yield from _fractions(container.get("resources") or {}, f"{where}.resources")
        yield from _environment(container, where)
    yield from _ports(spec, field)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{field}.terminationGracePeriodSeconds: {why}"
    for name in ("podAffinity", "podAntiAffinity"):
        terms = (spec.get("affinity") or {}).get(name) or {}
        yield from _affinity(terms, f"{field}.affinity.{name}")


def _containers(spec: Obj, field: str) -> Iterator[tuple[Obj, str]]:
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield container, f"{field}.{group}[{index}]"


def _affinity(terms: Obj, field: str) -> Iterator[str]:
    required, preferred = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
    for index, term in enumerate(terms.get(required) or ()):
        yield from _no_selector(term, f"{field}.{required}[{index}]")
    for index, weighted in enumerate(terms.get(preferred) or ()):
        yield from _no_selector(weighted.get("podAffinityTerm") or {}, f"{field}.{preferred}[{index}].podAffinityTerm")


def _no_selector(term: Obj, field: str) -> Iterator[str]:
    if term.get("labelSelector") is None:
        yield f"{field}.labelSelector: a null labelSelector results in matching no pod"


def _twice(items: Iterable[Obj], key: str, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key, "")
        if value in seen:
            yield f'{field}[{index}].{key}: duplicate {key} "{value}"'
        seen.add(value)


def _ports(spec: Obj, field: str) -> Iterator[str]:
    """Ports that the pod's containers, which share an address, give twice."""
    seen: dict[tuple[object, object], list[tuple[str, Obj]]] = {}
    for container, where in _containers(spec, field):
        for index, port in enumerate(container.get("ports") or ()):
            here = f"{where}.ports[{index}]"
            same = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for place, other in same:
                how = _clash(port, other)
                if how:
                    yield f"{here}: {how} port definition with {place}"
            same.append((here, port))


def _clash(one: Obj, other: Obj) -> str:
    (ip, port), (other_ip, other_port) = ((p.get("hostIP") or "", p.get("hostPort") or 0) for p in (one, other))
    if (ip, port) == (other_ip, other_port):
        return "duplicate"
    if not port or not other_port:
        return "overlapping"
    return "dangerously ambiguous" if port == other_port and not (ip and other_ip) else ""


def _fractions(resources: Obj, field: str) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            amount = (resources.get(side) or {}).get(name)
            if amount is not None and parse_quantity(amount).denominator != 1:
                yield f'{field}.{side}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'


def _environment(container: Obj, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value") or ""
        extended = f"$({name})" in value and value != f"$({name})" and variable.get("valueFrom") is None
        if name in seen and not extended:
            yield f'{field}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


_TEMPLATES = frozenset(
    (kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.REPLICATION_CONTROLLERS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS)
)
_ALWAYS = frozenset(
    (kinds.CSI_STORAGE_CAPACITIES, kinds.RUNTIME_CLASSES, kinds.SECRETS, kinds.SERVICES, kinds.STORAGE_CLASSES)
)
_RULES: dict[Kind, Callable[[Obj], Iterator[str]]] = {
    kinds.CSI_DRIVERS: _csi_driver,
    kinds.ENDPOINT_SLICES: _endpoint_slice,
    kinds.INGRESSES: _ingress,
    kinds.NODES: _node,
    kinds.PERSISTENT_VOLUMES: _volume,
    kinds.PERSISTENT_VOLUME_CLAIMS: _claim,
    kinds.CSI_STORAGE_CAPACITIES: deprecated_labels.storage_capacity,
    kinds.RUNTIME_CLASSES: deprecated_labels.runtime_class,
    kinds.SERVICE_ACCOUNTS: _account,
    kinds.STORAGE_CLASSES: deprecated_labels.storage_class,
    kinds.PODS: _pod,
    kinds.SECRETS: _secret,
    kinds.SERVICES: _service,
    kinds.JOBS: _job,
    kinds.CRON_JOBS: _cron_job,
    **dict.fromkeys(_TEMPLATES, _template),
}
