"""Many pods of one Deployment: their manifest, a watch that tells when each came how far, and who answers."""

from __future__ import annotations

import http.client
import json
import os
import selectors
import socket
import subprocess
import threading
import time
from collections import defaultdict

from lab import Lab, inside

_AT_ONCE = 48
_SECONDS = 5.0
_QUESTION = b"GET / HTTP/1.0\r\n\r\n"


def manifest(name: str, count: int, container: str) -> str:
    """A Deployment of `count` pods with one container (`container` are its fields in YAML), and a Service for them."""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {count}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, {container}}}], terminationGracePeriodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}
"""


class PodWatch:
    """A watch of an app's pods; `times` has, for each phase, when (perf_counter) each pod was first seen in it.

    `others` is how many namespaces of other pods the lab had at the beginning.
    """

    def __init__(self, lab: Lab, app: str) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.others = sum(name.startswith("pod-") for name in os.listdir(f"/run/netsim/{lab.name}/netns"))
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.connect(lab.socket)
        self._connection.request("GET", f"/api/v1/namespaces/default/pods?watch=1&labelSelector=app%3D{app}")
        self._answer = self._connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def count(self, phase: str) -> int:
        return len(self.times.get(phase, ()))

    def _read(self) -> None:
        for line in self._answer:
            event, now = json.loads(line), time.perf_counter()
            pod = event["object"]
            known = self._seen[pod["metadata"]["uid"]]
            for phase in _phases(event["type"], pod):
                if phase not in known:
                    known.add(phase)
                    self.times[phase].append(now)


def _phases(change: str, pod: dict) -> list[str]:  # type: ignore[type-arg]
    """How far a pod is."""
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    found = {
        "created": True,
        "scheduled": "nodeName" in pod["spec"],
        "sandbox and status": "podIP" in status,
        "Ready": ready,
        "deletion begun": "deletionTimestamp" in pod["metadata"],
        "gone": change == "DELETED",
    }
    return [phase for phase, reached in found.items() if reached]


def service_address(lab: Lab, name: str) -> str:
    """The Service's ClusterIP."""
    return str(lab.api("GET", f"/api/v1/namespaces/default/services/{name}")["spec"]["clusterIP"])


def translations(lab: Lab, node: str, address: str) -> int:
    """How many endpoints the node's iptables have behind a ClusterIP. Counted in the chains, as the rules of
    more than a thousand endpoints carry no names, like kube-proxy's."""
    save = ["nsenter", f"--net={lab.netns(node)}", "iptables-save", "-t", "nat"]
    text = subprocess.run(save, check=True, capture_output=True, text=True).stdout.splitlines()
    entry = next((line.split()[-1] for line in text if line.startswith(f"-A KUBE-SERVICES -d {address}/32")), "")
    return sum(line.startswith(f"-A {entry} ") and "-j KUBE-SEP-" in line for line in text) if entry else 0


def seen_through(netns: str, address: str, count: int) -> tuple[int, int]:
    """Ask through a ClusterIP from a namespace until `count` different pods have answered: requests, failed ones."""
    with inside(netns, 1) as pool:
        return pool.submit(_ask_until, address, count).result()


def _ask_until(address: str, count: int) -> tuple[int, int]:
    """Some dozens of connections at once, each for one request: who answers is left to chance, as the rules do it."""
    selector, names, asked, failed = selectors.DefaultSelector(), set[bytes](), 0, 0
    deadline = time.monotonic() + 120 + count / 10
    while len(names) < count:
        if time.monotonic() > deadline or failed > count:
            raise SystemExit(f"scripts/bench: {len(names)} of {count} pods answered; {failed} of {asked} failed")
        while len(selector.get_map()) < _AT_ONCE:
            selector.register(_connect(address), selectors.EVENT_WRITE)
            asked += 1
        events = selector.select(_SECONDS)
        failed += 0 if events else 1
        for key, mask in events:
            name = _step(selector, key.fileobj, mask)  # type: ignore[arg-type]
            if name is not None:
                names.add(name) if name else None
                failed += not name
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    selector.close()
    return asked, failed


def _connect(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.connect_ex((address, 80))
    return sock


def _step(selector: selectors.BaseSelector, sock: socket.socket, mask: int) -> bytes | None:
    """Ask, or take the answer: the pod's name, empty if there was none; None while it is not there."""
    try:
        if mask & selectors.EVENT_WRITE:
            sock.send(_QUESTION)
            selector.modify(sock, selectors.EVENT_READ)
            return None
        answer = sock.recv(4096)
    except OSError:
        answer = b""
    selector.unregister(sock)
    sock.close()
    lines = (line.split() for line in answer.splitlines() if line.startswith(b"pod:"))
    return next((words[1] for words in lines if len(words) > 1), b"")
