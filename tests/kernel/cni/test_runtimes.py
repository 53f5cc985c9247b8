"""The plugin used by others: podman's CNI back end and containerd's `ctr --cni`, each in a namespace of the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netsim_cni.ipam import leases_at
from support.cni_machine import Machine, plugin_path
from support.labs import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not Path("/bin/busybox").exists(), reason="needs a static busybox: apt-get install busybox-static"
    ),
    pytest.mark.skipif(plugin_path("portmap") is None, reason="needs apt-get install containernetworking-plugins"),
    pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman, which also makes the image"),
]

ENGINE = """
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[network]
network_backend = "cni"
cni_plugin_dirs = ["{work}/bin", "/usr/lib/cni", "/opt/cni/bin"]
network_config_dir = "{work}/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
CONTAINERD = """
version = 2
root = "{work}/root"
state = "{work}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{work}/c.sock"
"""
# ctr knows one place each for plugins and configurations: a mount namespace of its own has them there.
CTR = """
mount -t tmpfs none {work}/ov && mkdir {work}/ov/up {work}/ov/work
mount -t overlay overlay -o lowerdir=/opt,upperdir={work}/ov/up,workdir={work}/ov/work /opt
mkdir -p /opt/cni/bin && cp {work}/bin/netsim /opt/cni/bin/
mount --bind {work}/net.d /etc/cni/net.d
containerd -c {work}/containerd.toml >{work}/containerd.log 2>&1 &
trap "kill $!; wait" EXIT
for i in $(seq 300); do [ -S {work}/c.sock ] && break; sleep 0.1; done
ctr -a {work}/c.sock image import {work}/image.tar >/dev/null
ctr -a {work}/c.sock run --rm --cni --snapshotter native localhost/netsim-cni-test:latest one \
    /bin/sh -c "ip addr show eth0; ping -c 1 -w 15 10.97.1.1"
"""


class Runtimes:
    """podman and ctr with storage, configuration and network of their own, on the machine's node-1."""

    def __init__(self, machine: Machine, work: Path) -> None:
        self.machine, self.work = machine, work
        machine.make("node-1")
        for name in ("bin", "net.d", "ov"):
            (work / name).mkdir()
        plugin = work / "bin" / "netsim"
        path = os.pathsep.join(sys.path)
        plugin.write_text(
            f"#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -m netsim_cni.plugin\n", encoding="utf-8"
        )
        plugin.chmod(0o755)
        (work / "containers.conf").write_text(ENGINE.format(work=work), encoding="utf-8")
        (work / "containerd.toml").write_text(CONTAINERD.format(work=work), encoding="utf-8")
        self._import_image()

    def _import_image(self) -> None:
        with tarfile.open(self.work / "rootfs.tar", "w") as archive:
            archive.add("/bin/busybox", "bin/busybox")
            for name in ("sh", "ip", "ping", "cat", "httpd"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        self.podman("import", str(self.work / "rootfs.tar"), "localhost/netsim-cni-test")

    def network(self, name: str, *plugins: dict[str, Any], version: str = "1.0.0") -> None:
        conflist = {"cniVersion": version, "name": name, "plugins": list(plugins)}
        (self.work / "net.d" / f"10-{name}.conflist").write_text(json.dumps(conflist), encoding="utf-8")

    def own(self, **more: Any) -> dict[str, Any]:
        ipam = {"type": "host-local", "ranges": [[{"subnet": "10.97.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
        return {"type": "netsim", "dataDir": self.machine.directory, "ipam": ipam, **more}

    def podman(self, *words: str) -> str:
        own = ["--root", f"{self.work}/storage", "--runroot", f"{self.work}/run", "--storage-driver", "vfs"]
        env = os.environ | {"CONTAINERS_CONF": f"{self.work}/containers.conf"}
        return self._run(["podman", *own, *words], env)

    def serve(self, network: str, port: int) -> None:
        """A web server in a container whose port 80 is that port of the host."""
        server = ("localhost/netsim-cni-test", "httpd", "-f", "-h", "/bin")
        self.podman("run", "-d", "--name", "web", "-p", f"{port}:80", "--network", network, *server)

    def ctr(self) -> str:
        """An image's container attached by `ctr run --cni`: what it prints."""
        self.podman("save", "-q", "-o", f"{self.work}/image.tar", "localhost/netsim-cni-test")
        return self._run(["unshare", "-m", "bash", "-ec", CTR.format(work=self.work)], dict(os.environ))

    def _run(self, words: list[str], env: dict[str, str]) -> str:
        argv = ["nsenter", f"--net={self.machine.path('node-1')}", *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def fetch(self, url: str) -> bool:
        return until(lambda: self.machine.run("node-1", "curl", "-sf", "-m", "5", "-o", "/dev/null", url) == 0, 30)

    def is_clean(self, name: str) -> bool:
        left = [link for link in self.machine.facts("node-1")[0] if link not in ("lo", "cni-test0")]  # type: ignore[attr-defined]
        rules = self.machine.rules("node-1")
        return left == [] and "CNI-DN-" not in rules and leases_at(self.machine.directory, name).holders() == []


@pytest.fixture
def runtimes(machine: Machine, tmp_path: Path) -> Iterator[Runtimes]:
    made = Runtimes(machine, tmp_path)
    yield made
    made.podman("rm", "-f", "-a", "-t", "0")


def test_podman(runtimes: Runtimes) -> None:
    """netsim alone with host ports of its own; then a bridge configuration whose `type` was changed, and a chain."""
    runtimes.network("pods", runtimes.own(capabilities={"portMappings": True}))
    runtimes.serve("pods", 8080)
    assert runtimes.fetch("http://127.0.0.1:8080/busybox")
    runtimes.podman("rm", "-f", "-t", "0", "web")
    assert runtimes.is_clean("pods")
    limits = {"ingressRate": 80_000_000, "ingressBurst": 8_000_000, "egressRate": 80_000_000, "egressBurst": 8_000_000}
    runtimes.network(
        "changed",
        runtimes.own(bridge="cni-test0", isGateway=True, ipMasq=True, hairpinMode=True),
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
        {"type": "bandwidth", **limits},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
        version="0.4.0",
    )
    runtimes.serve("changed", 8081)
    assert runtimes.podman("exec", "web", "cat", "/proc/sys/net/core/somaxconn").strip() == "500"
    assert runtimes.fetch("http://127.0.0.1:8081/busybox")
    runtimes.podman("rm", "-f", "-t", "0", "web")
    assert runtimes.is_clean("changed")


@pytest.mark.skipif(shutil.which("ctr") is None, reason="needs containerd: apt-get install containerd")
@pytest.mark.skipif(not Path("/etc/cni/net.d").is_dir(), reason="needs /etc/cni/net.d, where ctr looks")
def test_containerd(runtimes: Runtimes) -> None:
    runtimes.network("pods", runtimes.own(), version="1.0.0")
    shown = runtimes.ctr()
    assert "inet 10.97.1.2/32" in shown and "1 packets received" in shown
    assert runtimes.is_clean("pods")
