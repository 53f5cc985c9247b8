"""The agent with real namespaces, runc and conmon, against a small API that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from netsim.api.patch import merge_patch
from netsim.host import cgroup, mount, netns, process
from netsim.host.netlink import Netlink
from netsim.http.client import HttpClient
from netsim.http.server import serve
from netsim.http.types import Request, Response
from netsim.http.websocket import connect

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

Obj = dict[str, Any]
NODE = "agenttest-node"
NODE_IP = "10.231.0.11"
ENDED = ("Succeeded", "Failed")
CIDR = "10.244.231.0/24"
AGENT = """
import asyncio, os, socket, sys, logging
from netsim.host import netns
run_dir, node_ip, path, api = sys.argv[1:]
netns.enter(path)
logging.basicConfig(level=logging.INFO)
from netsim.agent.config import AgentConfig
from netsim.agent.run import run_agent
from netsim.client.rest import Client
from netsim.http.client import HttpClient
import netsim_cni.plugin
lab = os.path.basename(os.path.dirname(run_dir))
net_d, cgroup = run_dir + "/net.d", "netsim/" + lab
config = AgentConfig("agenttest-node", lab, node_ip, run_dir, run_dir + "/state", net_d, cgroup=cgroup)
async def main():
    client = Client(HttpClient("unix:" + api))
    path = run_dir + "/kubelet.sock"
    if os.path.exists(path):
        os.unlink(path)
    kubelet = socket.socket(socket.AF_UNIX)
    kubelet.bind(path)
    await run_agent(config, client, {"netsim": netsim_cni.plugin.invoke}, kubelet)
asyncio.run(main())
"""
HOST = """
import sys
from netsim.host import netns
netns.enter(sys.argv[1])
from netsim.agent.runtime.workload_server import run_workload_host
run_workload_host(sys.argv[2])
"""


class FakeApi:
    """As much of the API as an agent uses: objects by (plural, key), watches, and every status it was sent."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.revision = 1
        self.watchers: list[tuple[str, asyncio.Queue[bytes]]] = []
        self.events: list[Obj] = []
        self.closing = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""
        parts = parts[2:] if namespace else parts
        plural, name, sub = ([*parts, "", ""])[:3]
        key = f"{namespace}/{name}" if namespace else name
        body = json.loads(request.body) if request.body else {}
        if request.method == "GET" and not name:
            return self.watch(plural) if request.param("watch") else self.list(plural)
        if request.method == "POST" and sub == "token":
            return self.answer({**body, "status": {"token": f"token-of-{name}"}}, 201)
        if request.method == "POST":
            return self.create(plural, namespace, body)
        found = self.objects.get((plural, key))
        if found is None:
            return self.answer(
                {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{plural} {key} not found"}, 404
            )
        if request.method == "PATCH":
            return self.answer(self.put(plural, key, merge_patch(found, body)))
        if request.method == "DELETE":
            self.drop(plural, key)
        return self.answer(found)

    @staticmethod
    def answer(obj: Obj, status: int = 200) -> Response:
        return Response(status, [("Content-Type", "application/json")], json.dumps(obj).encode())

    def create(self, plural: str, namespace: str, obj: Obj) -> Response:
        if plural == "events":
            self.events.append(obj)
        obj["metadata"].setdefault("uid", str(uuid.uuid4()))
        key = f"{namespace}/{obj['metadata']['name']}" if namespace else obj["metadata"]["name"]
        if (plural, key) in self.objects:
            return self.answer({"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": key}, 409)
        return self.answer(self.put(plural, key, obj), 201)

    def list(self, plural: str) -> Response:
        items = [o for (p, _), o in self.objects.items() if p == plural]
        return self.answer({"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items})

    def watch(self, plural: str) -> Response:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers.append((plural, queue))

        async def lines() -> AsyncIterator[bytes]:
            while True:
                yield await queue.get()

        return Response(200, [("Content-Type", "application/json")], lines())

    def put(self, plural: str, key: str, obj: Obj) -> Obj:
        kind = "MODIFIED" if (plural, key) in self.objects else "ADDED"
        self.revision += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[(plural, key)] = obj
        self.tell(plural, kind, obj)
        return obj

    def drop(self, plural: str, key: str) -> None:
        self.revision += 1
        obj = self.objects.pop((plural, key))
        self.tell(plural, "DELETED", {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}})

    def tell(self, plural: str, kind: str, obj: Obj) -> None:
        for watched, queue in self.watchers:
            if watched == plural:
                queue.put_nowait(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    # what tests use

    def pod(self, name: str, containers: list[Obj], **spec: Any) -> str:
        uid = str(uuid.uuid4())
        meta = {"name": name, "namespace": "default", "uid": uid}
        kind = {"apiVersion": "v1", "kind": "Pod"}
        self.put(
            "pods",
            f"default/{name}",
            {**kind, "metadata": meta, "spec": {"nodeName": NODE, "containers": containers, **spec}},
        )
        return uid

    def delete_pod(self, name: str, grace: int = 1) -> None:
        pod = self.objects[("pods", f"default/{name}")]
        mark = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
        self.put("pods", f"default/{name}", merge_patch(pod, {"metadata": mark}))

    def status(self, name: str) -> Obj:
        return self.objects.get(("pods", f"default/{name}"), {}).get("status") or {}

    def container(self, name: str, container: str) -> Obj:
        found = self.status(name).get("containerStatuses") or []
        return next((c for c in found if c["name"] == container), {"state": {}, "restartCount": -1})

    def ready(self, name: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or [])


class Node:
    """One node: namespace, workload host and agent as processes of their own, and the API they talk to."""

    def __init__(self, lab: str) -> None:
        self.lab, self.top = lab, f"/run/netsim/{lab}"
        self.run_dir = f"{self.top}/{NODE}"
        self.netns = f"{self.top}/netns/{NODE}"
        self.socket = f"{self.top}/api.sock"
        self.api = FakeApi()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def build(self) -> None:
        netns.create(self.netns)
        os.makedirs(self.run_dir)
        self.api.put(
            "nodes",
            NODE,
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "uid": "n"}, "spec": {"podCIDR": CIDR}},
        )
        netns.run_in(self.netns, self._wire)

    @staticmethod
    def _wire() -> None:
        with Netlink() as link:
            link.add_bridge("agt0")
            link.add_address("agt0", f"{NODE_IP}/24")
            link.set_up("agt0")

    def start(self, what: str) -> None:
        code, arguments = (
            (AGENT, [self.run_dir, NODE_IP, self.netns, self.socket])
            if what == "agent"
            else (HOST, [self.netns, f"{self.run_dir}/workloads.sock"])
        )
        with open(f"{self.run_dir}/{what}.log", "ab") as log:
            environment = {**os.environ, "NETSIM_PULL": "off"}
            argv = [sys.executable, "-c", code, *arguments]
            self.processes[what] = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def kill(self, what: str, number: int = signal.SIGKILL) -> None:
        process_ = self.processes.pop(what)
        process_.send_signal(number)
        process_.wait(10)

    def record(self, name: str) -> Obj:
        uid = self.api.objects[("pods", f"default/{name}")]["metadata"]["uid"]
        return json.loads(Path(f"{self.run_dir}/pods/{uid}/record.json").read_text())

    def log(self, name: str, container: str, attempt: int = 0) -> str:
        uid = self.api.objects[("pods", f"default/{name}")]["metadata"]["uid"]
        path = Path(f"{self.run_dir}/pods/{uid}/logs/{container}/{attempt}.log")
        return path.read_text() if path.exists() else ""

    def remove(self) -> None:
        for what in list(self.processes):
            self.kill(what)
        for pid in _conmons(self.top):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            cgroup.kill(f"netsim/{self.lab}")
            cgroup.remove(f"netsim/{self.lab}")
        for directory in (f"{self.top}/netns", f"{self.run_dir}/ns"):
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                netns.delete(f"{directory}/{name}")
        for path in mount.mounts_under(self.top):
            mount.unmount(path)
        shutil.rmtree(self.top, ignore_errors=True)


def _conmons(top: str) -> list[int]:
    pids = (int(p) for p in os.listdir("/proc") if p.isdigit())
    return [p for p in pids if process.command_line(p).startswith("conmon ") and top in process.command_line(p)]


async def until(check: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node(f"agt{os.getpid()}-{uuid.uuid4().hex[:6]}")
    server = None
    try:
        made.build()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(made.socket)
        sock.setblocking(False)
        server = await serve(made.api, sock, trusted=True)
        made.start("workloads")
        made.start("agent")
        yield made
    finally:
        for (plural, key), obj in made.api.objects.items():
            if plural == "pods":
                print(key, json.dumps(obj.get("status")))
        for what in ("agent", "workloads"):
            path = Path(f"{made.run_dir}/{what}.log")
            print(what, path.read_text() if path.exists() else "")
        if server is not None:
            await server.close()
        await asyncio.to_thread(made.remove)


def get(address: str, port: int = 80, path: str = "/") -> str:
    with socket.create_connection((address, port), timeout=5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    return data.decode()


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
    node.api.pod("badimage", [{"name": "c", "image": "ngnix"}])
    await until(
        lambda: node.api.container("badimage", "c")["state"].get("waiting", {}).get("reason") == "ImagePullBackOff",
        "ImagePullBackOff",
    )
    message = node.api.container("badimage", "c")["state"]["waiting"]["message"]
    assert "'ngnix'" in message and "'nginx'" in message


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
    await until(lambda: not _conmons(node.top), "conmons gone")
    left = [m for m in mount.mounts_under(node.top) if m not in (f"{node.top}/netns", node.netns, f"{node.run_dir}/ns")]
    assert left == []
    assert os.listdir(f"{node.run_dir}/containers") == []
    assert cgroup.pids(f"netsim/{node.lab}") == []
    groups = [d for d in cgroup.detect().directories(f"netsim/{node.lab}/pods") if os.path.isdir(d)]
    assert [n for g in groups for n in os.listdir(g) if os.path.isdir(f"{g}/{n}")] == []


async def exec_in(
    node: Node, pod: str, container: str, command: list[str], *, stdin: bytes | None = None, tty: bool = False
) -> tuple[int, bytes, bytes]:
    """A v5 exec session with the agent's kubelet API: (exit status, stdout, stderr)."""
    client = HttpClient(f"unix:{node.run_dir}/kubelet.sock")
    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if stdin is not None else []
    query += [("tty", "true")] if tty else []
    web = await connect(client, Request("GET", f"/exec/default/{pod}/{container}", query), ["v5.channel.k8s.io"])
    if tty:
        await web.send(b"\x04" + b'{"Width":123,"Height":45}\n')
    if stdin is not None:
        await web.send(b"\x00" + stdin)
        await web.send(b"\xff\x00")
    output = {1: b"", 2: b"", 3: b""}
    while (message := await asyncio.wait_for(web.recv(), 20)) is not None:
        output[message[0]] += message[1:]
    await client.close()
    status = json.loads(output[3])
    if status["status"] == "Success":
        return 0, output[1], output[2]
    causes = (status.get("details") or {}).get("causes") or []
    return (int(causes[0]["message"]), output[1], output[2]) if causes else (-1, output[1], status["message"].encode())


async def logs(node: Node, pod: str, container: str, **query: str) -> bytes:
    client = HttpClient(f"unix:{node.run_dir}/kubelet.sock")
    answer = await client(Request("GET", f"/containerLogs/default/{pod}/{container}", list(query.items())))
    await client.close()
    assert answer.status == 200 and isinstance(answer.body, bytes)
    return answer.body


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


async def test_many_workload_pods_are_quick(node: Node) -> None:
    names = [f"p{i}" for i in range(100)]
    begun = time.monotonic()
    for name in names:
        node.api.pod(name, [{"name": "w", "image": "nginx"}])
    await until(lambda: all(node.api.ready(n) for n in names), "100 pods Ready", 30)
    took = time.monotonic() - begun
    print(f"100 pods Ready after {took:.2f} s")
    begun = time.monotonic()
    for name in names:
        node.api.delete_pod(name)
    await until(lambda: not any(p == "pods" for p, _ in node.api.objects), "100 pods gone", 30)
    print(f"100 pods gone after {time.monotonic() - begun:.2f} s")
    assert took < 20


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
