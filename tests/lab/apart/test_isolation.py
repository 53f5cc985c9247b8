"""A lab reaches nothing of the host or its network, and neither reaches into a lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.host import Host, stand_in
from support.labs import NETSIM, Lab

pytestmark = pytest.mark.root
NAME = f"pytest-iso-{os.getpid()}"
HOST, OUTSIDE = "198.51.100.2", "198.51.100.1"
PLACES = ("pod", "client", "node-1", "control-plane", "fabric")
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec: {containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: on-node}
spec: {hostNetwork: true, containers: [{name: c, image: busybox, command: [sleep, infinity]}]}
"""
LISTEN = """
import socket, sys
server = socket.create_server(("0.0.0.0", 8099)); print("listening", flush=True)
while True: server.accept()[0].close()
"""
REACH = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def reach(address):
    host, _, port = address.partition(":")
    try: socket.create_connection((host, int(port)), 1).close()
    except OSError as error: return f"not {address} {error}"
    return f"reached {address}"
with ThreadPoolExecutor() as pool: print(*pool.map(reach, sys.argv[1:]), sep="\\n")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for host in (a.partition(":")[0] for a in sys.argv[1:]):
        try: s.sendto(b"out", (host, 9))
        except OSError: pass
"""


@dataclass(frozen=True)
class World:
    """A host with a neighbour on its network, both listening on port 8099, and a lab on that host."""

    host: Host
    outside: Host

    def packets_outside(self) -> int:
        """Frames that have left the host so far."""
        (link,) = json.loads(self.outside.run("ip", "-s", "-j", "link", "show", "dev", "eth0").stdout)
        return int(link["stats64"]["rx"]["packets"])

    def reach(self, place: str, *addresses: str) -> str:
        argv = (sys.executable, "-c", REACH, *addresses)
        words = argv if place == "host" else (*NETSIM, "exec", "--lab", NAME, place, "--", *argv)
        return self.host.run(*words).stdout


@contextmanager
def listening(host: Host) -> Iterator[None]:
    with subprocess.Popen(host.argv(sys.executable, "-c", LISTEN), stdout=-1, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "listening\n"
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with stand_in() as host, stand_in() as outside:
        made = host.run("sh", "-ec", _CABLE.format(host=HOST, outside=OUTSIDE, pid=outside.pid))
        assert made.returncode == 0, made.stderr
        outside.run("sh", "-ec", f"sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip addr add {OUTSIDE}/24 dev eth0")
        assert outside.run("ip", "link", "set", "eth0", "up").returncode == 0
        with listening(host), listening(outside):
            up = host.run(*NETSIM, "up", "--lab", NAME, "--nodes", "1")
            assert up.returncode == 0, up.stderr
            try:
                lab = Lab(NAME)
                host.run(*NETSIM, "kubectl", "apply", "-f", "-", input=PODS, env=lab.environ)
                waits = ("wait", "--for=condition=Ready", "--timeout=60s", "pod/pod", "pod/on-node")
                assert host.run(*NETSIM, "kubectl", *waits, env=lab.environ).returncode == 0
                yield World(host, outside)
            finally:
                assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0


_CABLE = """
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1
ip link add eth0 address 02:00:00:00:00:02 type veth peer name eth0 address 02:00:00:00:00:01 netns {pid}
ip address add {host}/24 dev eth0
ip link set eth0 up
ip neigh add {outside} lladdr 02:00:00:00:00:01 dev eth0 nud permanent  # or its ARP would be counted
ip route add default via {outside}
"""


def test_the_host_itself_reaches_its_neighbour(world: World):
    """Or the other tests would prove nothing."""
    before = world.packets_outside()
    shown = world.reach("host", f"{OUTSIDE}:8099", f"{HOST}:8099", "127.0.0.1:8099")
    assert shown.count("reached") == 3
    assert world.packets_outside() > before


@pytest.mark.parametrize("place", [*PLACES, "on-node"])
def test_nothing_in_a_lab_reaches_the_host_or_its_network(world: World, place: str):
    api = world.host.run("ss", "-Hltn", "src", "127.0.0.1").stdout.split()[3]
    before = world.packets_outside()
    shown = world.reach(place, f"{HOST}:8099", f"{OUTSIDE}:8099", "192.0.2.77:80", "127.0.0.1:8099", api)
    assert shown.count("not ") == 5 and "reached" not in shown
    assert world.packets_outside() == before


def test_neither_the_host_nor_its_neighbour_reaches_into_a_lab(world: World):
    words = ("kubectl", "get", "pod", "pod", "-o", "jsonpath={.status.podIP}")
    pod = world.host.run(*NETSIM, *words, env=Lab(NAME).environ).stdout
    addresses = [
        f"{pod}:80",
        "172.30.0.2:6443",
        "172.30.0.11:10250",
        "10.96.0.1:443",
    ]
    assert world.reach("pod", "172.30.0.2:6443", "10.96.0.1:443").count("reached") == 2
    assert "reached" not in world.reach("host", *addresses)
    routes = "; ".join(f"ip route replace {a.partition(':')[0]} via {HOST}" for a in addresses)
    assert world.outside.run("sh", "-ec", routes).returncode == 0
    shown = world.outside.run(sys.executable, "-c", REACH, *addresses).stdout
    assert shown.count("not ") == 4 and "reached" not in shown


def test_a_kubelet_speaks_only_to_holders_of_a_certificate(world: World):
    for path in ("pods", "containerLogs/default/pod/c", "exec/default/pod/c?command=id"):
        url = f"https://172.30.0.11:10250/{path}"
        done = world.host.run(*NETSIM, "exec", "--lab", NAME, "pod", "--", "curl", "-sk", "--max-time", "5", url)
        # curl: the server ended the connection, in the handshake or (TLS 1.3) just after it: while curl sent its
        # request (55), or before an answer came (52, 56)
        assert done.returncode in (52, 55, 56) and done.stdout == ""


def test_secrets_are_readable_by_root_only(world: World):
    """A user of the machine can open no file of a lab that holds a key, token or object."""
    script = f"""
import os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for root in ("/run/netsim/{NAME}", "/var/lib/netsim/{NAME}"):
    for directory, _, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            if os.access(path, os.R_OK): print(path)
    for path in ("admin.conf", "store.db", "pki/ca.key", "node-1/kubelet.conf", "node-1/kubelet.key", "api.sock"):
        if os.access(os.path.join(root, path), os.R_OK): print(path)
"""
    readable = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    allowed = {f"/run/netsim/{NAME}/lab.json", f"/run/netsim/{NAME}/processes.json"}
    assert {path for path in readable.split() if not path.startswith(f"/run/netsim/{NAME}/netns/")} <= allowed
    assert Path(f"/var/lib/netsim/{NAME}/admin.conf").stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_a_command_line_or_a_log(world: World):
    kubeconfig = Path(f"/var/lib/netsim/{NAME}/admin.conf").read_text()
    key = next(line for line in kubeconfig.splitlines() if "client-key-data" in line).split()[-1]
    logs = "".join(path.read_text() for path in Path(f"/var/lib/netsim/{NAME}/logs").glob("*.log"))
    assert key not in logs and "eyJhbGciOi" not in logs and "PRIVATE KEY" not in logs
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert NAME not in line or "eyJhbGciOi" not in line


def test_only_the_server_holds_its_sockets(world: World):
    """And the supervisor, which keeps them open while the server is started again."""
    shown = world.host.run("ss", "-Hltnp", "src", "127.0.0.1").stdout
    assert "netsim server" in shown and "netsim node" not in shown and "netsim workload" not in shown
