"""Defaults of pods and pod templates. Functions here change the object they are handed: a private copy."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity
from netsim.api.written import status_with_zeros

_FILE_MODE = 0o644
_TOLERATION_SECONDS = 300
_NODE_CONDITIONS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def default_pod(pod: Obj) -> None:
    """A Pod itself: what its template gets, plus what only a living pod has."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in containers(spec):
        _requests_from_limits(container)
        if spec.get("hostNetwork"):
            _host_ports(container)
    _tolerate_node_trouble(spec)
    status = pod["status"] = pod_status(pod.get("status") or {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", qos_class(spec))


def pod_status(status: Obj) -> Obj:
    """A pod's status with what its types always write, and one address in both fields: the older one counts where
    they differ."""
    listed, ip = status.get("podIPs"), status.get("podIP")
    if ip and (not listed or listed[0].get("ip") != ip):
        status = {**status, "podIPs": [{"ip": ip}]}
    elif listed and not ip and listed[0].get("ip"):
        status = {**status, "podIP": listed[0]["ip"]}
    return status_with_zeros(status)


def default_pod_spec(spec: Obj) -> None:
    """The part that pods and templates share."""
    fill(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", terminationGracePeriodSeconds=30)
    fill(spec, schedulerName="default-scheduler")
    spec.setdefault("securityContext", {})
    spec.pop("schedulingGroup", None)  # dropped where the gate GenericWorkload is off, which is the default
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        # The older field is kept equal, as clients of either read it.
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def containers(spec: Obj) -> Iterator[Obj]:
    """Init, ordinary and ephemeral containers of a pod spec, in that order."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()


def containers_with_paths(spec: Obj, field: str) -> Iterator[tuple[str, Obj]]:
    """The same with the path of each, for the spec at `field`."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield f"{field}.{group}[{index}]", container


def fill(obj: Obj, **defaults: object) -> None:
    """Set what is absent or empty text (which Kubernetes does not tell apart)."""
    for key, value in defaults.items():
        if obj.get(key) in (None, ""):
            obj[key] = value


def pull_policy(image: str) -> str:
    """Always for `latest` and untagged images, IfNotPresent for a tag or digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "IfNotPresent" if digest or tag not in ("", "latest") else "Always"


def _drop_stop_signal(container: Obj) -> None:
    """As Kubernetes does where its gate ContainerStopSignals is off, which is the default."""
    if "stopSignal" in (container.get("lifecycle") or {}):
        del container["lifecycle"]["stopSignal"]
        if not container["lifecycle"]:
            del container["lifecycle"]


def _default_container(container: Obj) -> None:
    _drop_stop_signal(container)
    fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    fill(container, imagePullPolicy=pull_policy(container.get("image") or ""))
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        _default_field_ref(variable.get("valueFrom") or {})
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _default_probe(container[probe])
    for hook in (container.get("lifecycle") or {}).values():
        _default_http_get(hook)


def _default_probe(probe: Obj) -> None:
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(field):
            probe[field] = value
    _default_http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http_get(handler: Obj) -> None:
    if isinstance(handler, dict) and "httpGet" in handler:
        fill(handler["httpGet"], path="/", scheme="HTTP")


def _default_field_ref(source: Obj) -> None:
    if "fieldRef" in source:
        fill(source["fieldRef"], apiVersion="v1")


def _default_volume(volume: Obj) -> None:
    if volume.keys() <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _default_field_ref(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _default_field_ref(item)
    if "image" in volume:
        fill(volume["image"], pullPolicy=pull_policy(volume["image"].get("reference") or ""))
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim:
        fill(claim.setdefault("spec", {}), volumeMode="Filesystem")


def _requests_from_limits(container: Obj) -> None:
    resources = container["resources"]
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _host_ports(container: Obj) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def _tolerate_node_trouble(spec: Obj) -> None:
    """Five minutes on a node that is not ready or unreachable, unless the pod says otherwise (the
    DefaultTolerationSeconds admission)."""
    tolerations = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
        for key in _NODE_CONDITIONS
        if not any(_tolerates(toleration, key) for toleration in tolerations)
    ]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (None, "", key) and toleration.get("effect") in (None, "", "NoExecute")


def qos_class(spec: Obj) -> str:
    """BestEffort without requests and limits, Guaranteed if every container's cpu and memory requests equal their
    limits, else Burstable."""
    counted = [c.get("resources") or {} for g in ("initContainers", "containers") for c in spec.get(g) or ()]
    if not any(_amounts(r, "requests") or _amounts(r, "limits") for r in counted):
        return "BestEffort"
    guaranteed = all(
        len(limits) == 2 and _amounts(r, "requests") in ({}, limits)
        for r in counted
        for limits in [_amounts(r, "limits")]
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(resources: Obj, side: str) -> dict[str, object]:
    found = resources.get(side) or {}
    parsed = {name: parse_quantity(found[name]) for name in ("cpu", "memory") if name in found}
    return {name: amount for name, amount in parsed.items() if amount}
