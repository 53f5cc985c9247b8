"""Pods as a whole: sandboxes, many at once, the ends of agent and workload host."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from netsim.agent.cni_chain import CniChain
from netsim.agent.config import AgentConfig
from netsim.agent.runtime.sandboxes import Sandboxes
from netsim.host import cgroup, mount, netns
from support.agent_api import NODE
from support.agent_node import Node, conmons, get, until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


async def test_two_workloads_share_localhost(node: Node) -> None:
    node.api.pod("pair", [{"name": "web", "image": "tomcat:8.5.5"}, {"name": "db", "image": "mysql:5.6"}])
    await until(lambda: node.api.ready("pair"), "pod Ready")
    status = node.api.status("pair")
    address = status["podIP"]
    assert status["phase"] == "Running"
    text = await asyncio.to_thread(netns.run_in, node.netns, get, address, 8080, "/hello")
    assert "pod: pair" in text and "image: tomcat:8.5.5" in text and f"node: {NODE}" in text and "GET /hello" in text
    pod_ns = node.record("pair")["sandbox"]["netns"]

    def greeting() -> bytes:
        with socket.create_connection(("127.0.0.1", 3306), timeout=5) as sock:
            return sock.recv(1024)

    assert b"5.6\0" in await asyncio.to_thread(netns.run_in, pod_ns, greeting)
    # tomcat -> another tag: only that container is replaced
    pod = node.api.objects[("pods", "default/pair")]
    containers = [{**pod["spec"]["containers"][0], "image": "tomcat:9"}, pod["spec"]["containers"][1]]
    node.api.put("pods", "default/pair", {**pod, "spec": {**pod["spec"], "containers": containers}})
    await until(
        lambda: node.api.container("pair", "web")["restartCount"] == 1 and node.api.ready("pair"), "replacement"
    )
    assert node.api.container("pair", "db")["restartCount"] == 0
    assert node.api.status("pair")["podIP"] == address
    assert "image: tomcat:9" in await asyncio.to_thread(netns.run_in, node.netns, get, address, 8080)
    node.api.delete_pod("pair")
    await until(lambda: ("pods", "default/pair") not in node.api.objects, "pod gone")
    assert not os.path.exists(pod_ns)


def test_what_an_agent_killed_in_between_has_half_made_is_made_again(tmp_path: Path) -> None:
    boxes = Sandboxes(cast("AgentConfig", SimpleNamespace(run_dir=str(tmp_path))), CniChain("", str(tmp_path), {}, ()))
    paths, pod = boxes.shared_paths("u"), {"metadata": {"uid": "u"}}
    try:
        boxes.share(pod, "web")
        whole = [os.stat(path).st_ino for path in paths]
        boxes.share(pod, "web")
        assert [os.stat(path).st_ino for path in paths] == whole, "others are in them already"
        netns.delete(paths[1])
        boxes.share(pod, "web")
        assert all(netns.exists(path) for path in paths)
    finally:
        for path in paths:
            netns.delete(path)


async def test_agent_restart_adopts_and_cleans_up(node: Node) -> None:
    node.api.put(
        "configmaps",
        "default/conf",
        {"kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"key": "value"}},
    )
    sleeper = {
        "name": "s",
        "image": "busybox",
        "command": ["sh", "-c", 'trap "exit 0" TERM; cat /conf/key; echo $POD; while :; do sleep 0.1; done'],
    }
    sleeper |= {
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
    }
    node.api.pod("real", [sleeper], volumes=[{"name": "conf", "configMap": {"name": "conf"}}])
    node.api.pod("web", [{"name": "w", "image": "nginx"}])
    node.api.pod("orphan", [{"name": "w", "image": "nginx"}, dict(sleeper, name="x", env=[], volumeMounts=[])])
    for name in ("real", "web", "orphan"):
        await until(lambda name=name: node.api.ready(name), f"{name} Ready")
    before = {n: node.record(n) for n in ("real", "web")}
    orphan = node.record("orphan")["sandbox"]["netns"]
    await until(lambda: node.api.status("real")["podIP"] in node.log("real", "s"), "log of real")
    assert "stdout P value" in node.log("real", "s") or "F value" in node.log("real", "s")
    node.kill("agent")
    node.api.drop("pods", "default/orphan")
    assert "pod: web" in await asyncio.to_thread(netns.run_in, node.netns, get, node.api.status("web")["podIP"])
    node.start("agent")
    await until(lambda: not os.path.exists(orphan), "orphan removed")
    for name in ("real", "web"):
        now = node.record(name)
        assert [c["id"] for c in now["containers"].values()] == [c["id"] for c in before[name]["containers"].values()]
        assert node.api.ready(name)
    for lost in (1, 2):  # no crash of the container: it waits for no back-off the second time either
        node.kill("workloads")
        node.start("workloads")
        await until(
            lambda lost=lost: node.api.container("web", "w")["restartCount"] == lost and node.api.ready("web"),
            "web restarted",
        )
        ended = node.api.container("web", "w")["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (255, "Unknown")
        assert node.record("web")["containers"]["w"]["backoff"] == 0
    assert node.api.container("real", "s")["restartCount"] == 0
    for name in ("real", "web"):
        node.api.delete_pod(name, grace=5)
        await until(lambda name=name: ("pods", f"default/{name}") not in node.api.objects, f"{name} gone")
    await until(lambda: not conmons(node.top), "conmons gone")
    left = [m for m in mount.mounts_under(node.top) if m not in (f"{node.top}/netns", node.netns, f"{node.run_dir}/ns")]
    assert left == []
    assert os.listdir(f"{node.run_dir}/containers") == []
    assert cgroup.pids(f"netsim/{node.lab}") == []
    groups = [d for d in cgroup.detect().directories(f"netsim/{node.lab}/pods") if os.path.isdir(d)]
    assert [n for g in groups for n in os.listdir(g) if os.path.isdir(f"{g}/{n}")] == []


async def test_a_pod_that_wants_user_namespaces_is_told_that_there_are_none(node: Node) -> None:
    node.api.pod("users", [{"name": "w", "image": "nginx"}], hostUsers=False)
    told = await until(lambda: [e for e in node.api.events if e["reason"] == "FailedCreatePodSandBox"], "event")
    assert "hostUsers: false" in told[0]["message"]
    await until(lambda: node.api.status("users").get("phase") == "Pending", "Pending")


async def test_a_hundred_workload_pods_come_and_go(node: Node) -> None:
    names = [f"p{i}" for i in range(100)]
    for name in names:
        node.api.pod(name, [{"name": "w", "image": "nginx"}])
    await until(lambda: all(node.api.ready(n) for n in names), "100 pods Ready", 120)
    assert len({node.api.status(name)["podIP"] for name in names}) == len(names)
    for name in names:
        node.api.delete_pod(name)
    await until(lambda: not any(p == "pods" for p, _ in node.api.objects), "100 pods gone", 120)
    assert os.listdir(f"{node.run_dir}/pods") == [] and os.listdir(f"{node.top}/netns") == [NODE]
