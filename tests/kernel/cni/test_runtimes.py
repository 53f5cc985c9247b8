"""cni/README.md's ways with podman and with containerd, line by line as it says, in namespaces of the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.cni_machine import Machine, plugin_path

README = Path(__file__).parents[3] / "cni" / "README.md"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not Path("/bin/busybox").exists(), reason="needs apt-get install busybox-static"),
    pytest.mark.skipif(plugin_path("tuning") is None, reason="needs apt-get install containernetworking-plugins"),
    pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman, which also makes the image"),
]

OWN = (
    "/run/containers",
    "/run/containerd",
    "/run/netsim-cni",
    "/var/lib/cni",
    "/var/lib/containers",
    "/var/lib/containerd",
)
# What the reader's machine has and what is written to it, for this mount namespace alone; apt-get has done its part.
SANDBOX = r"""
set -eo pipefail
work={work}
mount -t tmpfs none $work
for part in etc opt usr/lib/cni; do
    mkdir -p $work/$part/up $work/$part/work
    mount -t overlay overlay -o lowerdir=/$part,upperdir=$work/$part/up,workdir=$work/$part/work /$part
done
for part in {own}; do mount -t tmpfs none $part; done
mkdir -p /opt/netsim/bin /etc/cni/net.d $work/bin $work/here
printf '#!/bin/sh\nPYTHONPATH={path} exec {python} -m netsim_cni.plugin\n' > /opt/netsim/bin/netsim-cni
printf '#!/bin/sh\n' > $work/bin/apt-get
chmod +x /opt/netsim/bin/netsim-cni $work/bin/apt-get
export PATH=$work/bin:$PATH
cd /etc/containers
printf '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n' > containers.conf
printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n' >> containers.conf
printf '[storage]\ndriver = "vfs"\n' > storage.conf
printf 'runroot = "/run/containers/s"\ngraphroot = "/var/lib/containers/s"\n' >> storage.conf
cd $work/here
"""
CHANGED_TYPE = """
sed -i '0,/"type": "bridge"/s//"type": "netsim"/' /etc/cni/net.d/87-podman-bridge.conflist
podman run -d --name changed -p 8081:80 localhost/busybox /bin/busybox httpd -f -h /bin
podman exec changed /bin/busybox ip addr show eth0
curl -s http://127.0.0.1:8081/busybox | wc -c
podman rm -f -t 0 changed
"""
CONTAINERD = """
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > /etc/containerd.toml
containerd -c /etc/containerd.toml > $work/containerd.log 2>&1 &
trap "kill $!; wait" EXIT
rm -f /etc/cni/net.d/*
for i in $(seq 300); do [ -S /run/containerd/containerd.sock ] && break; sleep 0.1; done
"""


def commands(heading: str) -> str:
    """The commands of one of the README's sections."""
    found = re.search(
        rf"^## {heading}\n.*?```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None, heading
    return found.group(1)


def done(machine: Machine, work: Path, *scripts: str) -> str:
    """What the scripts print on node-1, one after the other, with a machine's files of their own; none fails."""
    machine.make("node-1")
    made = [path for path in OWN if not os.path.exists(path)]
    for path in made:
        os.makedirs(path)
    sandbox = SANDBOX.format(work=work, path=os.pathsep.join(sys.path), python=sys.executable, own=" ".join(OWN))
    argv = ["nsenter", f"--net={machine.path('node-1')}", "unshare", "-m", "bash", "-c", "\n".join([sandbox, *scripts])]
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=110, check=False)
    finally:
        for path in made:
            os.rmdir(path)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def is_clean(machine: Machine) -> bool:
    links = [
        link for link in machine.shown("node-1", "ip", "-o", "link").splitlines() if "veth" in link or "web-" in link
    ]
    rules = machine.rules("node-1")
    return links == [] and "CNI-DN-" not in rules and "CNI-netsim-" not in rules


def test_podman(machine: Machine, tmp_path: Path) -> None:
    """Beside `tuning`; then podman's own bridge configuration with `type` changed, beside portmap and firewall."""
    shown = done(machine, tmp_path, commands("Use with podman"), CHANGED_TYPE)
    size = str(Path("/bin/busybox").stat().st_size)
    assert "inet 10.244.1.2/32" in shown and re.search(
        r"^10\.244\.1\.2 dev web-\w+ proto static scope link", shown, re.M
    )
    assert "inet 10.88.0.2/16" in shown
    assert [line for line in shown.splitlines() if line == size] == [size, size]
    assert is_clean(machine)


@pytest.mark.skipif(shutil.which("ctr") is None, reason="needs containerd: apt-get install containerd")
def test_containerd(machine: Machine, tmp_path: Path) -> None:
    shown = done(machine, tmp_path, CONTAINERD, commands("Use with containerd"))
    assert "inet 10.244.1.2/32" in shown
    assert is_clean(machine)
