"""Containers of both kinds: what they see, what they say, how they end."""

from __future__ import annotations

import os

import pytest

from support.agent_node import ENDED, Node, exec_in, logs, until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SMALL, BIGGER = {"limits": {"memory": "64Mi"}}, {"limits": {"memory": "96Mi"}}


async def test_real_process_logs_exit_codes_and_back_off(node: Node) -> None:
    script = "echo out; echo err >&2; cat /etc/hostname; exit 3"
    node.api.pod("crash", [{"name": "c", "image": "busybox", "command": ["sh", "-c", script]}], restartPolicy="Always")
    await until(
        lambda: (
            "waiting" in node.api.container("crash", "c")["state"]
            and node.api.container("crash", "c")["restartCount"] == 1
        ),
        "back-off",
    )
    found = node.api.container("crash", "c")
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert found["lastState"]["terminated"]["reason"] == "Error"
    assert await logs(node, "crash", "c", previous="true", stream="Stdout") == b"out\ncrash\n"
    assert await logs(node, "crash", "c", stream="Stderr") == b"err\n"
    node.api.pod("once", [{"name": "c", "image": "busybox", "command": ["true"]}], restartPolicy="Never")
    await until(lambda: node.api.status("once").get("phase") == "Succeeded", "Succeeded")
    assert node.api.container("once", "c")["state"]["terminated"]["reason"] == "Completed"
    node.api.pod("nope", [{"name": "c", "image": "busybox", "command": ["/no/such"]}], restartPolicy="Never")
    await until(lambda: node.api.status("nope").get("phase") == "Failed", "Failed")
    assert node.api.container("nope", "c")["state"]["terminated"]["reason"] == "StartError"
    sleeper = {"name": "other", "image": "busybox", "command": ["sleep", "1000"]}
    node.api.pod("half", [sleeper, {"name": "c", "image": "busybox", "command": ["/no/such"]}], restartPolicy="Never")
    await until(lambda: node.api.container("half", "c").get("state", {}).get("terminated"), "StartError beside another")
    node.api.pod("badimage", [{"name": "c", "image": "ngnix"}])
    await until(
        lambda: node.api.container("badimage", "c")["state"].get("waiting", {}).get("reason") == "ImagePullBackOff",
        "ImagePullBackOff",
    )
    message = node.api.container("badimage", "c")["state"]["waiting"]["message"]
    assert "'ngnix'" in message and "'nginx'" in message


async def test_exec_and_logs_of_both_kinds(node: Node) -> None:
    script = (
        "i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); done; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    )
    limits = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    node.api.pod("real", [{"name": "c", "image": "busybox", "command": ["sh", "-c", script], "resources": limits}])
    node.api.pod("web", [{"name": "w", "image": "nginx"}])
    for name in ("real", "web"):
        await until(lambda name=name: node.api.ready(name), f"{name} Ready")
    assert await exec_in(node, "real", "c", ["sh", "-c", "echo hello; echo oops >&2; exit 7"]) == (
        7,
        b"hello\n",
        b"oops\n",
    )
    assert await exec_in(node, "real", "c", ["cat"], stdin=b"x" * 300_000) == (0, b"x" * 300_000, b"")
    code, out, _ = await exec_in(
        node, "web", "w", ["sh", "-c", "hostname; curl -s http://127.0.0.1/; cat /etc/resolv.conf; ls /root /home"]
    )
    assert (
        code == 0
        and out.startswith(b"web\n")
        and b"pod: web" in out
        and b"search default.svc.cluster.local svc.cluster.local cluster.local" in out
    )
    # the size comes after the start, as a message of its own
    sized = 'for i in $(seq 100); do [ "$(stty size)" = "45 123" ] && break; sleep 0.05; done; stty size'
    code, out, _ = await exec_in(node, "web", "w", ["sh", "-c", sized], tty=True)
    assert (code, out) == (0, b"45 123\r\n")
    code, _, _message = await exec_in(node, "web", "w", ["/no/such"])
    assert code != 0
    code, out, _ = await exec_in(node, "web", "w", ["ping", "-c1", "-W2", node.api.status("real")["podIP"]])
    assert code == 0, out
    assert await logs(node, "real", "c", tailLines="2") == b"line 3\nline 4\n"
    assert await logs(node, "real", "c", limitBytes="6") == b"line 0"
    await until(lambda: "GET / HTTP/1.1" in node.log("web", "w"), "access log")
    assert b"nginx started" in await logs(node, "web", "w")
    node.api.pod(
        "eater",
        [
            {
                "name": "c",
                "image": "busybox",
                "command": ["sh", "-c", "x=a; while :; do x=$x$x; done"],
                "resources": limits,
            }
        ],
        restartPolicy="Never",
    )
    await until(lambda: node.api.status("eater").get("phase") == "Failed", "OOM")
    found = node.api.container("eater", "c")["state"]["terminated"]
    assert (found["reason"], found["exitCode"]) == ("OOMKilled", 137)


async def test_a_resize_reaches_a_running_container(node: Node) -> None:
    script = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    sized = {"name": "c", "image": "busybox", "command": ["sh", "-c", script], "resources": SMALL}
    strict = {**sized, "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    node.api.pod("sized", [sized])
    node.api.pod("strict", [strict], restartPolicy="OnFailure")
    for name in ("sized", "strict"):
        await until(lambda name=name: node.api.ready(name), "Ready")
        found = node.api.objects[("pods", f"default/{name}")]
        [container] = found["spec"]["containers"]
        wanted = {**found["spec"], "containers": [{**container, "resources": BIGGER}]}
        node.api.put("pods", f"default/{name}", {**found, "spec": wanted})
        await until(lambda name=name: node.api.container(name, "c").get("resources") == BIGGER, "resized")
    assert node.api.container("strict", "c")["restartCount"] == 1, "although it ended with 0"
    look = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert await exec_in(node, "sized", "c", ["sh", "-c", look]) == (0, b"100663296\n", b"")
    assert node.api.container("sized", "c")["restartCount"] == 0


async def test_probes_and_in_pod_port_clash(node: Node) -> None:
    ready = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    node.api.pod(
        "probed",
        [{"name": "w", "image": "nginx", "ports": [{"name": "http", "containerPort": 80}], "readinessProbe": ready}],
    )
    await until(lambda: node.api.ready("probed"), "Ready by probe")
    alive = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "trap 'exit 0' TERM; touch /tmp/ok; sleep 2; rm /tmp/ok; while :; do sleep 0.1; done"
    node.api.pod("sick", [{"name": "c", "image": "busybox", "command": ["sh", "-c", script], "livenessProbe": alive}])
    await until(lambda: node.api.container("sick", "c")["restartCount"] >= 1, "restart by liveness")
    node.api.pod("clash", [{"name": "a", "image": "nginx"}, {"name": "b", "image": "httpd"}])
    await until(
        lambda: (
            node.api.container("clash", "b")["restartCount"] >= 1
            or node.api.container("clash", "a")["restartCount"] >= 1
        ),
        "clash restarts",
    )
    assert "bind() to 0.0.0.0:80 failed (98" in node.log("clash", "b") + node.log("clash", "a")
    assert not node.api.ready("clash")


async def test_netsim_images_and_the_hosts_files_stay_hidden(node: Node) -> None:
    node.api.pod("help", [{"name": "c", "image": "netsim/dns", "command": ["netsim", "--help"]}], restartPolicy="Never")
    look = (
        "cat /etc/shadow /root/.bashrc; ls -A /root /home /var; touch /usr/x; echo $MY $KUBERNETES_SERVICE_HOST; id -u"
    )
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", look],
        "env": [{"name": "MY", "value": "own"}],
    }
    service = {"metadata": {"name": "kubernetes", "namespace": "default", "uid": "k"}}
    service["spec"] = {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}  # type: ignore[assignment]
    node.api.put("services", "default/kubernetes", {"apiVersion": "v1", "kind": "Service", **service})
    node.api.pod("look", [{**container, "securityContext": {"runAsUser": 1234}}], restartPolicy="Never")
    for name in ("help", "look"):
        await until(lambda name=name: node.api.status(name).get("phase") in ENDED, f"{name} ended")
    assert node.api.status("help")["phase"] == "Succeeded", node.log("help", "c")
    assert "Usage" in node.log("help", "c")
    errors = (await logs(node, "look", "c", stream="Stderr")).decode()
    assert "/etc/shadow: No such file" in errors and "cannot touch '/usr/x'" in errors
    output = (await logs(node, "look", "c", stream="Stdout")).decode()
    assert output.endswith("own 10.96.0.1\n1234\n")
