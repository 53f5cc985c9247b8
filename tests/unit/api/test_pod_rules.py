"""Rules of pod specs that few use: what is refused, at which field and why, and what beside it is taken."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Obj
from netsim.api.validation import validate_create
from support.changes import merged

POD: Obj = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [{"name": "c", "image": "x"}],
        "initContainers": [{"name": "i", "image": "x"}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "b", "persistentVolumeClaim": {"claimName": "b"}}],
    },
}
C0, I0 = "spec.containers.0", "spec.initContainers.0"
SC = "spec.securityContext"
AT, INIT = "spec.containers[0]", "spec.initContainers[0]"
INVALID, REQUIRED, FORBIDDEN = "FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"
UNSUPPORTED, DUPLICATE, MISSING = "FieldValueNotSupported", "FieldValueDuplicate", "FieldValueNotFound"
TERM = {"topologyKey": "z", "matchLabelKeys": ["a"]}
WINDOWS = {"windowsOptions": {"hostProcess": True}}
TCP = {"tcpSocket": {"port": 1}}


def _mount(**more: Any) -> dict[str, Any]:
    return {f"{C0}.volumeMounts": [{"name": "v", "mountPath": "/v", **more}]}


def _hook(**action: Any) -> dict[str, Any]:
    return {f"{C0}.lifecycle": {"preStop": action}}


def _resize(policy: str, name: str = "cpu") -> list[dict[str, str]]:
    return [{"resourceName": name, "restartPolicy": policy}]


def _user(name: str) -> dict[str, Any]:
    return {"spec.securityContext": {"windowsOptions": {"runAsUserName": name}}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (_mount(subPath="/a"), f"{AT}.volumeMounts.subPath", INVALID),
    (_mount(subPath="a", subPathExpr="b"), f"{AT}.volumeMounts[0].subPathExpr", INVALID),
    (_mount(mountPropagation="Bidirectional"), f"{AT}.volumeMounts.mountPropagation", FORBIDDEN),
    (_mount(recursiveReadOnly="Enabled"), f"{AT}.volumeMounts.recursiveReadOnly", FORBIDDEN),
    ({f"{C0}.volumeDevices": [{"name": "v", "devicePath": "/d"}]}, f"{AT}.volumeDevices[0].name", INVALID),
    (
        _mount(name="b") | {f"{C0}.volumeDevices": [{"name": "b", "devicePath": "/v"}]},
        f"{AT}.volumeDevices[0].devicePath", INVALID,
    ),
    (_hook(sleep={"seconds": 31}), f"{AT}.lifecycle.preStop.sleep", INVALID),
    (
        _hook(httpGet={"port": 1, "httpHeaders": [{"name": "a b"}]}),
        f"{AT}.lifecycle.preStop.httpGet.httpHeaders", INVALID,
    ),
    (
        {f"{C0}.readinessProbe": {**TCP, "terminationGracePeriodSeconds": 5}},
        f"{AT}.readinessProbe.terminationGracePeriodSeconds", INVALID,
    ),
    (
        {f"{C0}.livenessProbe": {**TCP, "terminationGracePeriodSeconds": 0}},
        f"{AT}.livenessProbe.terminationGracePeriodSeconds", INVALID,
    ),
    ({f"{C0}.resizePolicy": _resize("NotRequired", "disk")}, f"{AT}.resizePolicy", UNSUPPORTED),
    ({f"{C0}.resizePolicy": _resize("NotRequired") * 2}, f"{AT}.resizePolicy[1]", DUPLICATE),
    ({f"{I0}.resizePolicy": _resize("RestartContainer")}, f"{INIT}.resizePolicy[0].restartPolicy", INVALID),
    ({f"{C0}.restartPolicy": "Perhaps"}, f"{AT}.restartPolicy", UNSUPPORTED),
    ({f"{C0}.restartPolicyRules": [{"action": "Restart"}]}, f"{AT}.restartPolicy", REQUIRED),
    ({f"{C0}.resources": {"claims": [{"name": "g"}]}}, f"{AT}.resources.claims[0]", MISSING),
    ({f"{C0}.resources": {"limits": {"hugepages-2Mi": "2Mi"}}}, f"{AT}.resources", FORBIDDEN),
    ({f"{C0}.securityContext": {"procMount": "Unmasked"}}, f"{AT}.securityContext.procMount", INVALID),
    (
        {f"{C0}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1k"}}}]},
        f"{AT}.env[0].valueFrom.resourceFieldRef.divisor", INVALID,
    ),
    (
        {f"{C0}.env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "k", "path": "p", "volumeName": "b"}}}]},
        f"{AT}.env[0].valueFrom.fileKeyRef.volumeName", INVALID,
    ),
    ({f"{C0}.envFrom": [{"secretRef": {"name": "A"}}]}, f"{AT}.envFrom[0].secretRef.name", INVALID),
    ({"spec.volumes": [{"name": "a", "configMap": {"name": "c", "defaultMode": 512}}]},
     "spec.volumes[0].configMap.defaultMode", INVALID),
    ({SC: {"sysctls": [{"name": "A", "value": "1"}]}}, f"{SC}.sysctls[0].name", INVALID),
    (
        {"spec.securityContext": {"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}}},
        f"{SC}.seccompProfile.localhostProfile", INVALID,
    ),
    (
        {"spec.securityContext": {"appArmorProfile": {"type": "Localhost"}}},
        f"{SC}.appArmorProfile.localhostProfile", REQUIRED,
    ),
    ({SC: {"supplementalGroupsPolicy": "All"}}, f"{SC}.supplementalGroupsPolicy", UNSUPPORTED),
    (_user("a\\b\\c"), f"{SC}.windowsOptions.runAsUserName", INVALID),
    (_user("..."), f"{SC}.windowsOptions.runAsUserName", INVALID),
    ({"spec.os": {"name": "linux"}, "spec.securityContext": WINDOWS, "spec.hostNetwork": True},
     f"{SC}.windowsOptions", FORBIDDEN),
    ({"spec.os": {"name": "windows"}, "spec.hostPID": True}, "spec.hostPID", FORBIDDEN),
    (
        {"spec.os": {"name": "windows"}, f"{C0}.securityContext": {"runAsUser": 1}},
        f"{AT}.securityContext.runAsUser", FORBIDDEN,
    ),
    ({"spec.os": {"name": "plan9"}}, "spec.os", UNSUPPORTED),
    ({"spec.securityContext": WINDOWS}, "spec.hostNetwork", INVALID),
    ({"spec.dnsConfig": {"options": [{"value": "1"}]}}, "spec.dnsConfig.options[0]", REQUIRED),
    ({"spec.dnsConfig": {"searches": ["A"]}}, "spec.dnsConfig.searches[0]", INVALID),
    ({"spec.dnsPolicy": "None"}, "spec.dnsConfig", REQUIRED),
    ({"spec.hostUsers": False, "spec.hostPID": True}, "spec.HostPID", FORBIDDEN),
    ({"spec.hostnameOverride": "a", "spec.setHostnameAsFQDN": True}, "spec.hostnameOverride", FORBIDDEN),
    ({"spec.preemptionPolicy": "Perhaps"}, "spec.preemptionPolicy", UNSUPPORTED),
    ({"spec.overhead": {"disk": "1"}}, "spec.overhead.limits[disk]", INVALID),
    ({"spec.resourceClaims": [{"name": "g"}]}, "spec.resourceClaims[0]", INVALID),
    ({"spec.resources": {"limits": {"disk": "1"}}}, "spec.resources.limits[disk]", UNSUPPORTED),
    (
        {"spec.resources": {"requests": {"cpu": "1"}}, f"{C0}.resources": {"requests": {"cpu": "2"}}},
        "spec.resources.requests[cpu]", INVALID,
    ),
    (
        {"spec.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}}},
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys", FORBIDDEN,
    ),
    ({"spec.ephemeralContainers": [{"name": "e"}]}, "spec.ephemeralContainers[0].image", REQUIRED),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "field", "reason"), REFUSED)
def test_refused(changes: dict[str, Any], field: str, reason: str) -> None:
    found = validate_create(kinds.PODS, set_defaults(kinds.PODS, merged(POD, changes)))
    assert (field, reason) in [(cause.field, cause.reason) for cause in found], found


@pytest.mark.parametrize(
    "changes",
    [
        _mount(subPath="a/b", readOnly=True, recursiveReadOnly="IfPossible"),
        {f"{C0}.volumeDevices": [{"name": "b", "devicePath": "/d"}]},
        _hook(sleep={"seconds": 0}),
        {f"{C0}.resizePolicy": _resize("RestartContainer"), f"{C0}.restartPolicy": "Never"},
        {SC: {"sysctls": [{"name": "net.ipv4/conf", "value": "1"}]}},
        _user("NT AUTHORITY\\Local service"),
        {"spec.os": {"name": "windows"}, "spec.securityContext": WINDOWS, "spec.hostNetwork": True},
        {"spec.dnsConfig": {"searches": [".", "_tcp.a."]}},
        {"spec.schedulerName": "a/b", "spec.terminationGracePeriodSeconds": -1},
        {"spec.resourceClaims": [{"name": "g", "resourceClaimName": "g"}],
         f"{C0}.resources": {"claims": [{"name": "g", "request": "r"}]}},
        {"spec.resources": {"requests": {"cpu": "2"}}, f"{C0}.resources": {"requests": {"cpu": "2"}}},
    ],
)  # fmt: skip
def test_taken(changes: dict[str, Any]) -> None:
    assert validate_create(kinds.PODS, set_defaults(kinds.PODS, merged(POD, changes))) == []


def test_an_init_container_that_ends_is_told_only_that_it_is_not_probed() -> None:
    pod = set_defaults(kinds.PODS, merged(POD, {f"{I0}.livenessProbe": {}}))
    found = validate_create(kinds.PODS, pod)
    assert [(cause.field, cause.reason) for cause in found] == [(f"{INIT}.livenessProbe", FORBIDDEN)]


def test_what_is_off_by_default_is_dropped() -> None:
    changes = {f"{I0}.lifecycle": {"stopSignal": "SIGTERM"}, "spec.schedulingGroup": {"podGroupName": "g"}}
    spec = set_defaults(kinds.PODS, merged(POD, changes))["spec"]
    assert "schedulingGroup" not in spec
    assert "lifecycle" not in spec["initContainers"][0]
