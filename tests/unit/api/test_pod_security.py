"""What the levels of the Pod Security Standards refuse, in the words of kube-apiserver 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.pod_security import Policy, existing_violations, label_problems, policy, tightened, told, violations

Obj = dict[str, Any]
GOOD: Obj = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
BARE = (
    'allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false),'
    ' unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]),'
    ' runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true),'
    ' seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
    ' "Localhost")'
)


def two(container: Obj | None = None, **spec: Any) -> Obj:
    """A spec of two containers that say nothing of security but what is given for the first."""
    return {"containers": [{"name": "a", "image": "i", **(container or {})}, {"name": "b", "image": "i"}], **spec}


def strict(context: Obj | None = None, **spec: Any) -> Obj:
    """A spec of one container that keeps to all rules but for what is given."""
    return {"containers": [{"name": "a", "image": "i", "securityContext": GOOD | (context or {})}], **spec}


def judge(level: str, spec: Obj, version: str = "latest") -> str:
    return told(violations(Policy(level, version), {}, spec))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (two(), ""),
        (two(hostPID=True, hostIPC=True), "host namespaces (hostPID=true, hostIPC=true)"),
        (
            two({"securityContext": {"privileged": True}}),
            'privileged (container "a" must not set securityContext.privileged=true)',
        ),
        (
            two({"securityContext": {"capabilities": {"add": ["SYS_TIME", "NET_ADMIN", "CHOWN"]}}}),
            'non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_TIME" in'
            " securityContext.capabilities.add)",
        ),
        (
            two(volumes=[{"name": "h", "hostPath": {"path": "/"}}, {"name": "g", "hostPath": {"path": "/x"}}]),
            'hostPath volumes (volumes "h", "g")',
        ),
        (
            two({"ports": [{"containerPort": 1, "hostPort": 8081}, {"containerPort": 2, "hostPort": 80}]}),
            'hostPort (container "a" uses hostPorts 80, 8081)',
        ),
        (
            two(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            two(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_syncookies"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            two(securityContext={"seLinuxOptions": {"type": "foo", "user": "u", "role": "r"}}),
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "foo"; user may not be set; role'
            " may not be set)",
        ),
        (
            two({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            two(
                {"livenessProbe": {"tcpSocket": {"host": "h"}}, "lifecycle": {"postStart": {"httpGet": {"host": "x"}}}}
            ),
            'probe or lifecycle host (container "a" uses probe or lifecycle hosts "h", "x")',
        ),
        (
            two(hostNetwork=True, securityContext={"windowsOptions": {"hostProcess": True}}),
            "host namespaces (hostNetwork=true), hostProcess (pod must not set"
            " securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_baseline(spec: Obj, told: str) -> None:
    assert judge("baseline", spec) == told
    assert judge("privileged", spec) == ""


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (strict(), ""),
        (two(), BARE),
        (two(hostNetwork=True), f"host namespaces (hostNetwork=true), {BARE}"),
        (strict({"runAsNonRoot": None}, securityContext={"runAsNonRoot": True}), ""),
        (
            strict(securityContext={"runAsNonRoot": False}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (strict({"runAsUser": 0}), 'runAsUser=0 (container "a" must not set runAsUser=0)'),
        (strict({"runAsUser": 0, "runAsNonRoot": None}, hostUsers=False), ""),
        (strict({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), ""),
        (
            strict({"capabilities": {"add": ["CHOWN"]}}),
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a"'
            ' must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            strict({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (strict({"seccompProfile": None}, securityContext={"seccompProfile": {"type": "Localhost"}}), ""),
        (
            strict(volumes=[{"name": "n", "nfs": {}}, {"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {}}]),
            'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
        ),
        (
            strict(volumes=[{"name": "h", "hostPath": {}}]),
            'restricted volume types (volume "h" uses restricted volume type "hostPath")',
        ),
        (strict({"procMount": "Unmasked"}, hostUsers=False), None),
        (two(os={"name": "windows"}, securityContext={"runAsNonRoot": True}), ""),
    ],
)
def test_restricted(spec: Obj, told: str | None) -> None:
    wanted = 'procMount (container "a" must not set securityContext.procMount to "Unmasked")' if told is None else told
    assert judge("restricted", spec) == wanted


def test_a_version_has_the_checks_of_its_time() -> None:
    probed = strict()
    probed["containers"][0]["livenessProbe"] = {"httpGet": {"host": "10.0.0.1", "port": 1}}
    assert judge("baseline", probed) and not judge("baseline", probed, "v1.33")
    assert not judge("restricted", strict({"runAsUser": 0}), "v1.22")


def test_annotations_count_as_profiles() -> None:
    metadata = {"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}}
    spec = two({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}})
    assert told(violations(Policy("baseline"), metadata, spec)) == (
        'forbidden AppArmor profiles (container "a" and annotation must not set AppArmor profile type to "Unconfined",'
        ' "container.apparmor.security.beta.kubernetes.io/a="unconfined"")'
    )


def labels(**given: str) -> Obj:
    return {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in given.items()}


def test_what_labels_ask_for() -> None:
    assert policy({}, "enforce") == policy(None, "warn") == Policy("privileged", "latest")
    enforced = labels(enforce="baseline", enforce_version="v1.30")
    assert policy(enforced, "enforce") == policy(enforced, "warn") == Policy("baseline", "v1.30")
    assert policy(enforced | labels(warn="restricted"), "warn") == Policy("restricted", "latest")
    assert policy(enforced | labels(warn="privileged"), "warn") == Policy("privileged", "latest")


def test_labels_that_ask_for_what_there_is_not() -> None:
    found = list(label_problems(labels(enforce="strict", warn_version="1.2", audit="baseline", audit_version="v1.300")))
    assert [(cause.field, cause.message) for cause in found] == [
        (
            "metadata.labels[pod-security.kubernetes.io/enforce]",
            'Invalid value: "strict": must be one of privileged, baseline, restricted',
        ),
        (
            "metadata.labels[pod-security.kubernetes.io/warn-version]",
            'Invalid value: "1.2": must be "latest" or "v1.x"',
        ),
    ]


def test_pods_that_are_there_are_told_of() -> None:
    pods = [
        {"metadata": {"name": name}, "spec": spec}
        for name, spec in (("p1", two(hostPID=True)), ("p2", two(hostNetwork=True)), ("p3", two()))
    ]
    assert existing_violations(Policy("baseline"), "old", pods) == [
        'existing pods in namespace "old" violate the new PodSecurity enforce level "baseline:latest"',
        "p1 (and 1 other pod): host namespaces",
    ]
    assert existing_violations(Policy("baseline"), "old", pods[2:]) == []
    assert tightened(Policy("baseline"), Policy()) and not tightened(Policy(), Policy("baseline"))
    assert not tightened(Policy("baseline"), Policy("restricted"))
    assert tightened(Policy("baseline", "v1.33"), Policy("restricted"))


def test_labels_written_before_they_were_looked_at_are_lived_with() -> None:
    stale = labels(enforce="strict", enforce_version="newest")
    assert (policy(stale, "enforce"), policy(stale, "warn")) == (Policy("restricted"), Policy())
    assert policy(labels(enforce="baseline", enforce_version="1.2"), "enforce") == Policy("baseline")
    assert policy(labels(enforce="baseline", warn="strict"), "warn") == Policy()
    assert violations(policy(stale, "enforce"), {}, two())
