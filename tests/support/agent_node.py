"""A node with real namespaces, runc and conmon: its agent and workload host, against a small API in the test."""

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

from netsim.agent.model import dump_state
from netsim.agent.records import Records
from netsim.host import cgroup, mount, netns, process
from netsim.host.netlink import Netlink
from netsim.http.client import HttpClient
from netsim.http.server import serve
from netsim.http.types import Request
from netsim.http.websocket import connect
from support.agent_api import NODE, FakeApi, Obj

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
        return json.loads(dump_state(Records(self.run_dir).load()[uid]))

    def log(self, name: str, container: str, attempt: int = 0) -> str:
        uid = self.api.objects[("pods", f"default/{name}")]["metadata"]["uid"]
        path = Path(f"{self.run_dir}/pods/{uid}/logs/{container}/{attempt}.log")
        return path.read_text() if path.exists() else ""

    def remove(self) -> None:
        for what in list(self.processes):
            self.kill(what)
        for pid in conmons(self.top):
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


def conmons(top: str) -> list[int]:
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


@contextlib.asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
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
