"""port-forward with kubectl 1.37 and 1.20; ephemeral containers, debug, and requests proxied to pods and nodes."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.kubectls import WEB, Kubectl, apply
from support.labs import Lab, until

pytestmark = pytest.mark.root


def get(port: int, path: str = "/") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("target", ["web", "shell"], ids=["workload", "process"])
def test_forwards_run_side_by_side(kubectl: Kubectl, target: str):
    port = {"web": 80, "shell": 8000}[target]
    if target == "shell":
        serve = "test -e /tmp/served || { touch /tmp/served; head -c 3000000 /dev/zero > /tmp/zeros; "
        serve += f"cd /tmp; nohup python3 -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1 & }}"
        assert kubectl("exec", target, "--", "sh", "-c", serve).returncode == 0
        listens = [
            "exec",
            target,
            "--",
            "python3",
            "-c",
            f"import socket; socket.create_connection(('localhost',{port}))",
        ]
        until(lambda: kubectl(*listens).returncode == 0)
    with kubectl.forwarding(target, port) as (_, local), ThreadPoolExecutor(6) as threads:
        path = "/zeros" if target == "shell" else "/"
        answers = list(threads.map(lambda _: get(local, path), range(6)))
        assert all(a == bytes(3_000_000) if target == "shell" else b"pod: web" in a for a in answers)


def test_a_forward_to_a_closed_port_says_so(kubectl: Kubectl):
    with kubectl.forwarding("web", 81) as (process, local):
        with pytest.raises(OSError):
            get(local)
        assert process.stderr is not None
        told = process.stderr.readline()
        assert "failed to connect to localhost:81 inside namespace" in told and "connection refused" in told


def test_forwards_end_with_the_pod(lab: Lab, newest: Kubectl):
    apply(lab, newest.namespace, WEB.replace("name: web", "name: brief"), "brief")
    with newest.forwarding("brief", 80) as (process, local):
        assert b"pod: brief" in get(local)
        lab.kubectl("delete", "-n", newest.namespace, "pod/brief", "--wait=false")
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None and "lost connection to pod" in process.stderr.read()


def test_ephemeral_containers_share_the_pod(lab: Lab, newest: Kubectl):
    for target in ("shell", "web"):
        argv = ["debug", target, "--image=busybox", "--target=c", "-c", "look", "--"]
        assert newest(*argv, "sh", "-c", "cat /proc/1/cmdline; hostname; sleep infinity").returncode == 0
        shown = until(lambda target=target: newest("logs", target, "-c", "look").stdout)
        assert target in shown and (target == "web" or "sleep" in shown)
        done = newest("exec", target, "-c", "look", "--", "sh", "-c", "ls /proc; ip -o addr show eth0")
        assert lab.get("-n", newest.namespace, "pod", target)["status"]["podIP"] in done.stdout
    (status,) = lab.get("-n", newest.namespace, "pod", "web")["status"]["ephemeralContainerStatuses"]
    assert "running" in status["state"]
    assert newest("get", "pod", "web", "-o", "jsonpath={.status.phase}").stdout == "Running"


def test_debug_copies_a_pod_and_enters_a_node(newest: Kubectl):
    argv = ["debug", "-i", "web", "--image=busybox", "--copy-to=web-copy", "--"]
    copied = newest(*argv, "sh", "-c", "read x; echo $x in $(hostname)", input="copy\n")
    assert "copy in web-copy" in copied.stdout
    entered = newest(
        "debug", "-i", "node/node-1", "--image=busybox", "--", "sh", "-c", "read x; ls -d /host/$x", input="usr\n"
    )
    assert "/host/usr" in entered.stdout


def test_requests_are_proxied_to_pods_services_and_nodes(newest: Kubectl):
    base = f"/api/v1/namespaces/{newest.namespace}"
    for path in (
        f"{base}/services/web:80/proxy/a?b=c",
        f"{base}/pods/web/proxy/a?b=c",
        f"{base}/pods/http:web:80/proxy/a?b=c",
    ):
        shown = newest("get", "--raw", path)
        assert "pod" in shown.stdout and "GET /a?b=c" in shown.stdout, shown.stderr
    assert newest("get", "--raw", "/api/v1/nodes/node-1/proxy/healthz").stdout == "ok"
    refused = newest("get", "--raw", f"{base}/pods/web:81/proxy/")
    assert "error trying to reach service" in refused.stderr and "connection refused" in refused.stderr
