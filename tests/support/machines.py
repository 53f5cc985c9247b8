"""Machines that stand for VMs: each a network, mount and host name of its own, joined by a switch without an uplink.

A machine's /run, /var/lib, /usr/local/bin and /etc/hostname are private. Nothing of it outlives its processes, but
for the control groups, which every machine here shares: their names carry the machine's lab.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.host import cgroup_roots
from support.labs import until

VAGRANTFILE = Path(__file__).parents[2] / "Vagrantfile"
_SWITCH = "192.168.56.1/24"
_PREPARE = """
set -e
hostname "$NAME"
mount -t tmpfs -o mode=755 machine /run
mount -t tmpfs -o mode=755 machine /var/lib
echo "$NAME" >/run/hostname
mount --bind /run/hostname /etc/hostname
mount -t tmpfs -o mode=755 machine /usr/local/bin
for program in "netsim netsim.cli" "netsim-cni netsim_cni.plugin"; do
    printf '#!/bin/sh\\nexec %s -m %s "$@"\\n' "$PYTHON" "${program#* }" >"/usr/local/bin/${program% *}"
done
chmod 755 /usr/local/bin/*
ip link set lo up
echo
exec sleep 900
"""


@dataclass(frozen=True)
class Service:
    """What the Vagrantfile runs on one machine: the address of its private network, and the service's command."""

    address: str
    command: tuple[str, ...]


def vagrant_services(text: str) -> dict[str, Service]:
    """Machine -> service, as Ruby would have it: the file's constants put into its strings."""
    constants = dict(re.findall(r'^([A-Z_]+) = (?:ENV\.fetch\("\w+", )?"([^"]*)"\)?$', text, re.M))
    workers = re.search(r"^WORKERS = \{(.*)\}$", text, re.M)
    start = re.search(r"^\s*ExecStart=(.*)$", text, re.M)
    single, loop = re.split(r"^  WORKERS\.each do \|name, address\|$", text, flags=re.M)
    assert workers and start

    def service(block: str, names: Mapping[str, str]) -> Service:
        (command,) = re.findall(r'^\s*command = "(.*)"$', block, re.M)
        (address,) = re.findall(r'"private_network", ip: (\w+)$', block, re.M)
        line = _interpolate(start[1], {"command": _interpolate(command, names)})
        return Service(names[address], tuple(shlex.split(line)))

    (name,) = re.findall(r'config\.vm\.define "([^"]+)"', single)
    found = {name: service(single, constants)}
    for name, address in re.findall(r'"([^"]+)" => "([^"]+)"', workers[1]):
        found[name] = service(loop, {**constants, "name": name, "address": address})
    return found


def _interpolate(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"#\{(\w+)\}", lambda match: names[match[1]], text)


@dataclass
class Machine:
    """A machine whose namespaces are held by the process `pid`; commands given to it run there as root."""

    name: str
    lab: str
    pid: int
    directory: Path
    services: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def network(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def run(self, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "timeout": 40, "env": self._environ, **options}
        done = subprocess.run(self._argv(command), check=False, **options)
        assert not check or done.returncode == 0, f"{self.name}: {shlex.join(command)}: {done.stdout}{done.stderr}"
        return done

    def kubectl(self, *arguments: str, check: bool = True, **options: Any) -> str:
        done = self.run("netsim", "kubectl", *arguments, check=check, **options)
        return done.stdout if done.returncode == 0 else done.stderr

    def start(self, name: str, *command: str) -> None:
        """Run a command as a service; its output goes to a file that `output` reads."""
        with open(self.directory / f"{self.name}-{name}.log", "ab") as log:
            self.services[name] = subprocess.Popen(
                self._argv(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ
            )

    def stop(self, name: str, seconds: float = 15.0) -> int:
        """SIGTERM, as systemd would; the exit status."""
        service = self.services.pop(name)
        service.terminate()
        try:
            return service.wait(seconds)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
            raise

    def output(self) -> str:
        """What its services have printed and logged so far."""
        logs = sorted(self.directory.glob(f"{self.name}-*.log"))
        logs += sorted(Path(f"/proc/{self.pid}/root/var/lib/netsim").glob("*/logs/*.log"))
        return "".join(f"--- {self.name} {log.name}\n{log.read_text(errors='replace')}" for log in logs)

    @property
    def _environ(self) -> dict[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
        return {"PATH": path, "HOME": "/run", "NETSIM_LAB": self.lab, **kept}

    def _argv(self, command: tuple[str, ...]) -> list[str]:
        # Without a fork in between: the process that we start is the service itself.
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--uts", "--wd=/", "--", *command]


class Switch:
    """A network namespace with a bridge, on which machines are plugged."""

    def __init__(self, directory: Path, labs: str) -> None:
        self.directory, self.labs = directory, labs
        self.machines: dict[str, Machine] = {}
        self._stack = ExitStack()
        script = f"ip link add br0 type bridge && ip link set br0 up && ip addr add {_SWITCH} dev br0"
        self._pid = self._hold(["unshare", "--net"], f"set -e; {script}; echo; exec sleep 900", {})

    def plug(self, name: str, address: str) -> Machine:
        """A machine with `address` on its eth1, as Vagrant's private networks have it."""
        lab = f"{self.labs}-{len(self.machines)}"
        unshare = ["unshare", "--net", "--mount", "--uts", "--propagation", "private"]
        pid = self._hold(unshare, _PREPARE, {"NAME": name, "PYTHON": sys.executable})
        machine = self.machines[name] = Machine(name, lab, pid, self.directory)
        port = f"port{len(self.machines)}"
        script = f"""
            ip link add {port} type veth peer name eth1 netns {pid}
            ip link set {port} master br0 up
        """
        self._root("--target", str(self._pid), "--net", "--", "sh", "-ec", textwrap.dedent(script))
        machine.run(
            "sh", "-ec", f"ip addr add {address}/24 dev eth1; ip link set eth1 up; ip route add default via {_GATEWAY}"
        )
        return machine

    def close(self) -> None:
        """Stop every service (what was started last comes first, so that none waits for one that is gone), take every
        lab down, and let go of the namespaces."""
        with self._stack:
            for machine in self.machines.values():
                self._stack.callback(machine.run, "netsim", "down", check=False)
                for name in list(machine.services):
                    self._stack.callback(machine.stop, name)

    def _root(self, *arguments: str) -> None:
        subprocess.run(["nsenter", *arguments], check=True, timeout=20, capture_output=True)

    def _hold(self, unshare: list[str], script: str, environ: dict[str, str]) -> int:
        """A process that holds new namespaces until the switch is closed; its pid, once it is ready."""
        holder = subprocess.Popen(
            [*unshare, "sh", "-c", script],
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            start_new_session=True,
        )

        def release() -> None:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()

        self._stack.callback(release)
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        return holder.pid


_GATEWAY = _SWITCH.partition("/")[0]


@dataclass(frozen=True)
class Traces:
    """What machines could leave behind outside their namespaces; equal before and after when nothing was."""

    network: str
    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]
    files: tuple[str, ...]
    processes: tuple[str, ...]


def traces(labs: str) -> Traces:
    """The root namespaces' network, and whatever carries a lab's name (they all start with `labs`)."""
    show = "ip -br link; ip -br address; ip route; iptables-save | grep -v '^[#:]'"
    network = subprocess.run(["sh", "-c", show], capture_output=True, text=True, timeout=20).stdout
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    groups = [str(p) for root in cgroup_roots() for p in root.glob(f"{labs}*")]
    files = [str(p) for root in ("/run", "/var/lib") for p in Path(root, "netsim").glob(f"{labs}*")]
    return Traces(
        network, tuple(sorted(m for m in mounts if labs in m)), tuple(sorted(groups)), tuple(sorted(files)),
        tuple(sorted(_processes(lambda line: f"[{labs}" in line or f"/netsim/{labs}" in line))),
    )  # fmt: skip


def processes_in(namespaces: set[str]) -> list[str]:
    """Command lines of the processes that live in one of the network or mount namespaces (`net:[4026…]`)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            own = {os.readlink(entry / "ns" / kind) for kind in ("net", "mnt")}
            if own & namespaces:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended, or not even root may look: not ours
            continue
    return found


def _processes(fits: Callable[[str], bool]) -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fits(line):
            yield line


@contextmanager
def switch(directory: Path, labs: str) -> Iterator[Switch]:
    """A switch for the block; afterwards it is checked that nothing of its machines is left."""
    before = traces(labs)
    made = Switch(directory, labs)
    namespaces: set[str] = set()
    try:
        yield made
        namespaces = {
            os.readlink(f"/proc/{m.pid}/ns/{kind}") for m in made.machines.values() for kind in ("net", "mnt")
        }
    finally:
        made.close()
    until(lambda: not processes_in(namespaces), 5, "processes are left in the machines' namespaces")
    assert not {line.split()[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()} & namespaces
    with suppress(AssertionError):  # what ends asynchronously has a moment; the comparison below shows the rest
        until(lambda: traces(labs) == before, 5)
    after = traces(labs)
    assert after == before, f"{before}\n{after}"
