"""A network and mount namespace that stands for the whole host, and a record of what is on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SHOW = """
ip -o link; ip -o address; ip route show table all; ip neigh
iptables-save | grep -v '^[#:]'; ip6tables-save | grep -v '^[#:]'
grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/*
"""


@dataclass(frozen=True)
class Host:
    """Commands given to `argv` run in the host's stand-in, whose root is the process `pid`."""

    pid: int

    def argv(self, *command: str) -> list[str]:
        return ["nsenter", "--net", "--target", str(self.pid), "--", *command]

    def run(self, *command: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*command), capture_output=True, text=True, timeout=120, **options)  # type: ignore


@contextmanager
def stand_in() -> Iterator[Host]:
    """A fresh network namespace with loopback up; it ends with the block."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep 600"], stdout=-1)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        yield Host(holder.pid)
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


@dataclass(frozen=True)
class Snapshot:
    """Everything on a host that a lab could leave behind; two of them compare equal when nothing was."""

    network: str
    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]
    files: tuple[str, ...]
    processes: tuple[str, ...] = field(default=())


def snapshot(host: Host, lab: str) -> Snapshot:
    """Look at the host's network, and at the machine for what carries the lab's name."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    groups = [str(p) for root in cgroup_roots() for p in root.glob(f"{lab}/**")]
    files = [str(p) for root in ("/run/netsim", "/var/lib/netsim", "/tmp") for p in Path(root).glob(f"*{lab}*")]
    return Snapshot(
        host.run("sh", "-c", _SHOW).stdout,
        tuple(sorted(m for m in mounts if lab in m)),
        tuple(sorted(groups)),
        tuple(sorted(files)),
        tuple(sorted(_processes(lab))),
    )


def cgroup_roots() -> list[Path]:
    """The parents of all labs' control groups, in the one hierarchy of v2 or in each of v1."""
    top = Path("/sys/fs/cgroup")
    return [*top.glob("netsim"), *top.glob("*/netsim")]


def _processes(lab: str) -> Iterator[str]:
    """Command lines that name the lab, but for those of the test itself."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"[{lab}]" in line or f"/netsim/{lab}/" in line:
            yield line
