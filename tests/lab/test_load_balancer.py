"""Services of type LoadBalancer: an address on the fabric that answers, and goes on answering without its node."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.labs import Lab, field, until

pytestmark = pytest.mark.root
ANNOUNCED_FROM = "netsim.io/announced-from"
READY = '{"status":{"conditions":[{"type":"Ready","status":"%s"}]}}'


@pytest.fixture
def web(lab: Lab, namespace: str) -> Lab:
    """Three pods, one on each node."""
    lab.kubectl("create", "-n", namespace, "deployment", "web", "--image=nginx", "--replicas=3")
    spread = (
        '{"spec":{"template":{"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname",'
        '"whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}]}}}}'
    )
    lab.kubectl("patch", "-n", namespace, "deployment", "web", "-p", spread)
    lab.kubectl("rollout", "-n", namespace, "status", "deployment", "web", "--timeout=60s")
    return lab


def expose(lab: Lab, namespace: str, name: str, *options: str) -> str:
    """The address that a new Service of type LoadBalancer gets."""
    lab.kubectl("expose", "-n", namespace, "deployment", "web", f"--name={name}", "--port=80", "--type=LoadBalancer")
    if options:
        lab.kubectl("patch", "-n", namespace, "service", name, *options)

    def given() -> str:
        ingress = lab.get("-n", namespace, "service", name)["status"]["loadBalancer"].get("ingress") or [{}]
        return ingress[0].get("ip", "")

    return str(until(given, why="an address of the pool"))


def announcer(lab: Lab, namespace: str, name: str) -> str:
    annotations = lab.get("-n", namespace, "service", name)["metadata"].get("annotations", {})
    return str(annotations.get(ANNOUNCED_FROM, ""))


@contextmanager
def lost(lab: Lab, node: str) -> Iterator[None]:
    """The node's agent stands still, and the control plane has noticed."""
    agent = lab.pids()[node]
    os.kill(agent, signal.SIGSTOP)
    try:
        lab.kubectl("patch", "node", node, "--subresource=status", "-p", READY % "Unknown")
        yield
    finally:
        os.kill(agent, signal.SIGCONT)
    until(lambda: "True" in lab.kubectl("get", "node", node, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')]}"))


def neighbour(lab: Lab, address: str) -> str:
    """The MAC under which the client knows an address."""
    found = re.search(rf"^{re.escape(address)} .*lladdr (\S+)", lab.exec("client", "ip", "neigh").stdout, re.M)
    return found[1] if found else ""


def test_the_address_answers_and_moves_when_its_node_is_lost(web: Lab, namespace: str):
    address = expose(web, namespace, "public")
    assert address.startswith("172.30.0.24")
    pod = web.get("-n", namespace, "pods")["items"][0]["metadata"]["name"]
    for place in ("client", "node-1", "node-2", f"{namespace}/{pod}"):
        until(lambda place=place: "pod:" in web.curl(place, f"http://{address}/"), why=f"an answer to {place}")
    first, mac = announcer(web, namespace, "public"), neighbour(web, address)
    assert mac == web.exec(first, "cat", "/sys/class/net/eth0/address").stdout.strip()
    with lost(web, first):
        until(lambda: announcer(web, namespace, "public") not in ("", first), why="another node chosen")
        until(lambda: neighbour(web, address) not in ("", mac), why="the client told of it")
        until(lambda: "pod:" in web.curl("client", f"http://{address}/"), why="an answer from another node")
    events = web.kubectl("describe", "-n", namespace, "service", "public")
    assert f'Assigned IP ["{address}"]' in events
    assert f'announcing from node "{first}"' in events


def test_policy_local_keeps_the_clients_address_and_follows_the_endpoints(web: Lab, namespace: str):
    address = expose(web, namespace, "local", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    until(lambda: "pod:" in web.curl("client", f"http://{address}/"))
    answer = web.curl("client", f"http://{address}/")
    assert field(answer, "client").startswith("172.30.0.3")
    node = announcer(web, namespace, "local")
    assert field(answer, "node") == node
    port = web.get("-n", namespace, "service", "local")["spec"]["healthCheckNodePort"]
    url = f"http://{web.get('node', node)['status']['addresses'][0]['address']}:{port}/"
    until(lambda: '"localEndpoints": 1' in web.curl("client", url))
    web.kubectl("scale", "-n", namespace, "deployment", "web", "--replicas=0")
    until(lambda: announcer(web, namespace, "local") == "", why="nobody announces a Service without endpoints")
    until(lambda: '"localEndpoints": 0' in web.curl("client", url))
    web.kubectl("delete", "-n", namespace, "service", "local")
    until(lambda: not web.curl("client", url), why="the health check's port closed")


def test_addresses_are_given_back_and_classes_left_alone(web: Lab, namespace: str):
    address = expose(web, namespace, "first")
    web.kubectl("patch", "-n", namespace, "service", "first", "-p", '{"spec":{"type":"ClusterIP"}}')
    until(lambda: not web.get("-n", namespace, "service", "first")["status"]["loadBalancer"].get("ingress"))
    assert expose(web, namespace, "second") == address
    web.apply(
        "apiVersion: v1\nkind: Service\n"
        f"metadata: {{name: other, namespace: {namespace}}}\n"
        "spec: {type: LoadBalancer, loadBalancerClass: example.com/lb, ports: [{port: 80}]}\n"
    )
    third = expose(web, namespace, "third")
    assert third != address
    assert "<pending>" in web.kubectl("get", "-n", namespace, "service", "other")
