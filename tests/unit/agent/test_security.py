"""What a pod's security settings, QoS class and privileges come to for its containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netsim.agent.admission import refusal
from netsim.agent.env import CreateError
from netsim.agent.runtime.capabilities import DEFAULT_CAPABILITIES
from netsim.agent.runtime.devices import machine_devices
from netsim.agent.runtime.oom import oom_score_adj
from netsim.agent.runtime.seccomp import choose_seccomp, default_profile
from netsim.agent.runtime.spec import ProcessSpec, oci_config

Obj = dict[str, Any]
GIB = 2.0**30
HALF = {"requests": {"memory": "512Mi"}}
FULL = {"limits": {"cpu": "1", "memory": "512Mi"}}


def pod_of(*containers: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": {"containers": containers, **spec}}


def refused(profile: Obj, call: str) -> list[Obj]:
    return [rule for rule in profile["syscalls"] if call in rule["names"]]


def test_the_default_profile_follows_the_capabilities():
    plain = default_profile(DEFAULT_CAPABILITIES, "amd64")
    assert "SCMP_ARCH_X86" in plain["architectures"]
    assert refused(plain, "unshare") and refused(plain, "keyctl") and not refused(plain, "chroot")
    assert len(refused(plain, "clone")) == 7 and refused(plain, "clone3")[0]["errnoRet"] == 38
    admin = default_profile({*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"}, "amd64")
    assert not any(refused(admin, call) for call in ("unshare", "mount", "clone", "clone3", "bpf", "syslog"))
    assert refused(admin, "keyctl")


def test_profiles_of_a_node(tmp_path: Path):
    (tmp_path / "audit.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_LOG"}))
    (tmp_path / "broken.json").write_text("[]")

    def chosen(name: str, **more: bool) -> Obj:
        security = {"seccompProfile": {"type": "Localhost", "localhostProfile": name}, **more}
        return choose_seccomp(security, (), str(tmp_path), "amd64")

    assert chosen("audit.json") == {"defaultAction": "SCMP_ACT_LOG"} and chosen("none.json", privileged=True) == {}
    assert choose_seccomp({}, (), "", "amd64") == choose_seccomp({"seccompProfile": {"type": "Unconfined"}}, (), "", "")
    for name, why in (("none.json", "No such file"), ("broken.json", "defaultAction"), ("../audit.json", "without")):
        with pytest.raises(CreateError, match=f"cannot load seccomp profile .*{why}"):
            chosen(name)


@pytest.mark.parametrize(
    ("resources", "more", "score"),
    [
        ({}, {}, 1000),
        (FULL, {}, -997),
        ({}, {"priorityClassName": "system-node-critical"}, -997),
        (HALF, {}, 500),
        ({"requests": {"memory": "1"}}, {}, 999),
        ({"requests": {"memory": "2Gi"}}, {}, 3),
    ],
)
def test_what_the_kernel_ends_first(resources: Obj, more: Obj, score: int):
    container = {"name": "c", "resources": resources}
    assert oom_score_adj(pod_of(container, **more), container, GIB) == score


def test_a_sidecar_goes_no_sooner_than_what_it_serves():
    sidecar, main = {"name": "s", "restartPolicy": "Always"}, {"name": "c", "resources": HALF}
    assert oom_score_adj(pod_of(main, initContainers=[sidecar]), sidecar, GIB) == 500


@pytest.mark.parametrize("kind", ["RuntimeDefault", "Localhost", "Unconfined"])
def test_apparmor_is_refused_where_the_kernel_has_none(kind: str):
    asking = {"name": "c", "securityContext": {"appArmorProfile": {"type": kind, "localhostProfile": "p"}}}
    found = refusal(pod_of(asking), apparmor=False)
    assert found == (
        None if kind == "Unconfined" else ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    )
    assert refusal(pod_of(asking), apparmor=True) is None


def test_privileged_containers_see_the_machine():
    devices = machine_devices()
    assert not {d["path"] for d in devices} & {"/dev/null", "/dev/ptmx"} and all(d["type"] in "cb" for d in devices)
    found = oci_config(ProcessSpec(["sh"], {}, "/r", "web", "cg", security={"privileged": True}, devices=devices))
    writable = {m["destination"] for m in found["mounts"] if "rw" in m["options"]}
    assert {"/sys", "/sys/fs/cgroup"} <= writable and "maskedPaths" not in found["linux"]
    assert found["linux"]["devices"] == devices and found["linux"]["resources"]["devices"][0]["allow"]


def test_a_container_gets_its_profiles_and_the_pods_memory():
    security = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
    spec = ProcessSpec(["sh"], {}, "/r", "web", "cg", security=security, shm="/pod/shm", oom_score=7, seccomp={"a": 1})
    found = oci_config(spec)
    assert (found["process"]["apparmorProfile"], found["process"]["oomScoreAdj"]) == ("p", 7)
    assert found["linux"]["seccomp"] == {"a": 1}
    assert [m["source"] for m in found["mounts"] if m["destination"] == "/dev/shm"] == ["/pod/shm"]
