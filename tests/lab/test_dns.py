"""Names as pods see them: their resolver's files, four resolvers, and `netsim dns lookup`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

import pytest

from support.labs import Lab, until

SUPPORT = Path(__file__).parents[1] / "support"
NAMESPACE = "names"
PODS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.77.7, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: toolbox}
spec:
  hostname: box
  subdomain: sub
  setHostnameAsFQDN: true
  terminationGracePeriodSeconds: 1
  hostAliases: [{ip: 192.0.2.7, hostnames: [alias.example]}]
  containers: [{name: c, image: busybox, command: [sleep, infinity], volumeMounts: [{name: t, mountPath: /tools}]}]
  volumes: [{name: t, hostPath: {path: TOOLS}}]
---
apiVersion: v1
kind: Pod
metadata: {name: few-dots}
spec:
  terminationGracePeriodSeconds: 1
  dnsConfig:
    nameservers: [192.0.2.1, 192.0.2.2, 192.0.2.3]
    searches: [a.example, web.names.svc.cluster.local]
    options: [{name: ndots, value: "1"}, {name: edns0}]
  containers: [{name: c, image: busybox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: on-node}
spec:
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  containers: [{name: c, image: busybox, command: [sleep, infinity]}]
"""


@pytest.fixture(scope="module")
def names(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    tools = tmp_path_factory.mktemp("tools")
    tools.chmod(0o755)
    shutil.copy(SUPPORT / "lookup_cares.py", tools)
    if compiler := shutil.which("musl-gcc"):
        source = str(SUPPORT / "lookup_musl.c")
        subprocess.run([compiler, "-static", "-o", str(tools / "lookup_musl"), source], check=True, timeout=60)
    lab.kubectl("create", "namespace", NAMESPACE)
    try:
        lab.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=PODS.replace("TOOLS", str(tools)))
        lab.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=60s", "pod", "--all")
        yield lab
    finally:
        lab.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=60s")


def inside(lab: Lab, pod: str, *command: str) -> subprocess.CompletedProcess[str]:
    return lab.netsim("kubectl", "exec", "-n", NAMESPACE, pod, "--", *command, check=False)


RESOLVERS = {
    "glibc": "getent ahostsv4",
    "musl": "/tools/lookup_musl",
    "c-ares": "/usr/bin/python3 /tools/lookup_cares.py",
    "python": "/usr/bin/python3 -c 'import socket, sys; print(socket.gethostbyname(sys.argv[1]))'",
}


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_every_resolver_finds_names_by_the_search_path(names: Lab, resolver: str) -> None:
    if resolver == "musl" and not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed (Debian package musl-tools)")
    if resolver == "c-ares" and not find_library("cares"):
        pytest.skip("libcares.so.2 is not installed (Debian package libc-ares2)")
    asked = ("web", "kubernetes.default", "web.names.svc.cluster.local.", "nosuch.names.svc.cluster.local.")
    script = "; ".join(f"{RESOLVERS[resolver]} {name} 2>/dev/null | head -1 | cut -d' ' -f1" for name in asked)
    assert inside(names, "toolbox", "sh", "-c", script).stdout.split() == ["10.96.77.7", "10.96.0.1", "10.96.77.7"]


def test_the_resolvers_files_are_kubelets(names: Lab) -> None:
    files = inside(names, "toolbox", "sh", "-c", "hostname; cat /etc/resolv.conf; grep -v :: /etc/hosts").stdout
    address = names.get("-n", NAMESPACE, "pod", "toolbox")["status"]["podIP"]
    fqdn = "box.sub.names.svc.cluster.local"
    assert files == (
        f"{fqdn}\nnameserver 10.96.0.10\nsearch names.svc.cluster.local svc.cluster.local cluster.local\n"
        "options ndots:5\n# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
        f"{address}\t{fqdn}\tbox\n\n# Entries added by HostAliases.\n192.0.2.7\talias.example\n"
    )
    assert "nameserver 10.96.0.10\nsearch names.svc" in inside(names, "on-node", "cat", "/etc/resolv.conf").stdout


def test_a_resolver_with_too_many_servers_is_told_of(names: Lab) -> None:
    search = "search names.svc.cluster.local svc.cluster.local cluster.local a.example web.names.svc.cluster.local\n"
    servers = "nameserver 10.96.0.10\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
    assert inside(names, "few-dots", "cat", "/etc/resolv.conf").stdout == f"{servers}{search}options ndots:1 edns0\n"
    selector = "involvedObject.name=few-dots,reason=DNSConfigForming"
    events = until(lambda: names.get("-n", NAMESPACE, "events", "--field-selector", selector)["items"])
    assert events[0]["type"] == "Warning"
    assert events[0]["message"].endswith("the applied nameserver line is: 10.96.0.10 192.0.2.1 192.0.2.2")


def test_lookup_makes_ndots_visible(names: Lab) -> None:
    text = names.netsim("dns", "lookup", "web.names.svc", "--from", f"{NAMESPACE}/toolbox").stdout
    assert "`web.names.svc` has 2 dots, fewer than ndots 5: the search path comes first" in text
    steps = [line.split()[1] for line in text.splitlines() if line[:3].strip().isdigit()]
    assert steps == [f"web.names.svc.{domain}." for domain in ("names.svc.cluster.local", "svc.cluster.local")] + [
        "web.names.svc.cluster.local."
    ]
    assert "A 10.96.77.7  (ttl 30)" in text and "3 steps, 6 queries" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    done = names.netsim("dns", "lookup", "kubernetes.default", "--from", f"{NAMESPACE}/few-dots", "-o", "json")
    found = json.loads(done.stdout)
    assert found["resolver"]["options"] == {"ndots": "1", "edns0": ""}
    assert [step["name"] for step in found["steps"]][:2] == [
        "kubernetes.default.", "kubernetes.default.names.svc.cluster.local.",
    ]  # fmt: skip
    assert found["steps"][0]["queries"][0]["outcome"] == "SERVFAIL", "no upstream"
    assert found["answered"] == "kubernetes.default.svc.cluster.local."


def test_lookup_knows_addresses_hosts_files_and_other_types(names: Lab) -> None:
    pod = ("--from", f"{NAMESPACE}/toolbox", "-o", "json")
    reverse = json.loads(names.netsim("dns", "lookup", "10.96.0.1", *pod).stdout)
    assert reverse["steps"][0]["queries"][0]["answers"][0]["data"] == "kubernetes.default.svc.cluster.local."
    assert json.loads(names.netsim("dns", "lookup", "alias.example", *pod).stdout)["hosts"] == ["192.0.2.7"]
    service = json.loads(names.netsim("dns", "lookup", "_http._tcp.web", "--type", "SRV", *pod).stdout)
    assert service["steps"][0]["queries"][0]["answers"][0]["data"].startswith("0 100 80 web.names.svc")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nosuch", "-n", NAMESPACE), "4 steps, 8 queries: nothing found"),
        (("web", "--from", f"{NAMESPACE}/nosuch"), "no node or pod `names/nosuch`; "),
        (("web", "--from", "node-1"), "--from node-1: no pod, so it has no resolver of the cluster"),
    ],
)
def test_lookup_says_what_is_wrong(names: Lab, arguments: tuple[str, ...], says: str) -> None:
    done = names.netsim("dns", "lookup", *arguments, check=False)
    assert done.returncode == 1
    assert says in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_the_servers_run_without_privileges_and_tell_their_metrics(names: Lab) -> None:
    pod = names.get("-n", "kube-system", "pods", "-l", "k8s-app=kube-dns")["items"][0]["metadata"]["name"]
    script = "id -u; grep -E 'CapEff|NoNewPrivs' /proc/1/status; touch /etc/x 2>/dev/null || echo read-only"
    done = names.kubectl("exec", "-n", "kube-system", pod, "--", "sh", "-c", script)
    assert done.split() == ["65532", "CapEff:", "0000000000000000", "NoNewPrivs:", "1", "read-only"]
    metrics = names.curl(f"{NAMESPACE}/toolbox", "http://kube-dns.kube-system:9153/metrics")
    assert 'coredns_dns_requests_total{family="1",proto="udp",server="dns://:53",type="A",view="",zone="."}' in metrics
