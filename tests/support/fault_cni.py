"""`scripts/fault-cni`: many processes attach and detach at once, some of them killed; no address twice, none lost."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netsim.host import netns
from netsim.host.netlink import Netlink
from netsim_cni import ipam
from netsim_cni.config import parse_config
from netsim_cni.errors import NO_ADDRESS, CniError
from netsim_cni.ipam import leases_at
from netsim_cni.plugin import invoke
from support.cni_machine import Machine

NODE = "node-1"
SUBNET = "10.244.0.0/20"
PODS_OF_A_WORKER = 4


@dataclass
class Held:
    """An attachment that was acknowledged: its address, and from when until when it surely had it (ns)."""

    pod: str
    ip: str
    since: int
    until: int = 0
    result: dict[str, Any] = field(default_factory=dict)


@dataclass
class Storm:
    """What is run: on one node of `machine`, whose network all attachments share."""

    machine: Machine
    logs: Path
    processes: int = 16
    each: int = 100  # operations of a worker
    share: int = 10  # of so many processes one is killed
    killed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def conf(self) -> dict[str, Any]:
        return self.machine.conf(NODE, ipam={"type": "host-local", "subnet": SUBNET})

    # --- through the library ----------------------------------------------------------------------------------

    def library(self, operations: int) -> None:
        """ADD and DEL by `invoke`, in workers of which some are killed after some of their log's lines."""
        starts = range(0, operations, self.each)
        with ThreadPoolExecutor(self.processes) as pool:
            list(pool.map(lambda at: self._lane(at, min(self.each, operations - at)), starts))

    def _lane(self, at: int, operations: int) -> None:
        pods = [f"w{at}p{number}" for number in range(PODS_OF_A_WORKER)]
        for pod in pods:
            self.machine.make(pod)
        log = self.logs / f"w{at}"
        log.touch()
        words = [self.machine.directory, str(log), str(operations), *pods]
        argv = [sys.executable, "-B", "-m", "support.fault_cni", "--worker", *words]
        with subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
            if (at // self.each) % self.share == self.share // 2:
                self._kill_midway(process, log, random.randrange(operations))
            process.wait(600)
        if process.returncode not in (0, -signal.SIGKILL):
            self.problems.append(f"worker {at} ended with {process.returncode}")

    def _kill_midway(self, process: subprocess.Popen[bytes], log: Path, lines: int) -> None:
        while process.poll() is None and log.read_bytes().count(b"\n") < lines:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.02))
        if process.poll() is None:
            process.kill()
            self.killed += 1

    def work(self, pods: list[str], log: str, operations: int) -> None:
        """One worker's part, in this process."""
        netns.enter(self.machine.path(NODE))
        held: dict[str, str] = {}
        with open(log, "ab", buffering=0) as file:
            for number in range(operations):
                pod = random.choice(pods)
                if pod in held:
                    file.write(f"{time.monotonic_ns()} del {held[pod]}\n".encode())
                    invoke("DEL", self.conf, self._env(held.pop(pod), pod))
                else:
                    container = f"{pod}-{number}"
                    result = invoke("ADD", self.conf, self._env(container, pod))
                    file.write(f"{time.monotonic_ns()} add {container} {pod} {json.dumps(result)}\n".encode())
                    held[pod] = container

    def _env(self, container: str, pod: str) -> dict[str, str]:
        return self.machine.env(pod) | {"CNI_CONTAINERID": container}

    # --- as an executable -------------------------------------------------------------------------------------

    def executables(self, count: int) -> None:
        """ADD and then mostly DEL by the exec protocol; some processes are killed after some of their time."""
        with ThreadPoolExecutor(self.processes) as pool:
            list(pool.map(self._attach, range((count + 1) // 2)))

    def _attach(self, number: int) -> None:
        pod = f"x{number}"
        self.machine.make(pod)
        log = self.logs / pod
        stdout = self._execute("ADD", pod, number % self.share == self.share // 3)
        if stdout is None:
            return
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic_ns()} add {pod} {pod} {json.dumps(json.loads(stdout))}\n")
            if number % 3 == 0:
                return  # stays
            file.write(f"{time.monotonic_ns()} del {pod}\n")
        self._execute("DEL", pod, number % self.share == self.share // 2)

    def _execute(self, command: str, pod: str, doomed: bool) -> str | None:
        """What it printed; None when it was killed."""
        argv = ["nsenter", f"--net={self.machine.path(NODE)}", sys.executable, "-m", "netsim_cni.plugin"]
        env = os.environ | self._env(pod, pod) | {"CNI_COMMAND": command, "PYTHONPATH": os.pathsep.join(sys.path)}
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            with suppress(subprocess.TimeoutExpired):
                stdout, stderr = process.communicate(json.dumps(self.conf), random.uniform(0, 1) if doomed else 120)
            if process.poll() is None:
                process.kill()
                process.communicate()
                self.killed += 1
                return None
        if process.returncode != 0:
            self.problems.append(f"{command} of {pod}: {stdout}{stderr}")
        return stdout if process.returncode == 0 else None

    # --- afterwards -------------------------------------------------------------------------------------------

    def judge(self) -> list[Held]:
        """The attachments that are held; what is wrong is added to `problems`."""
        every = list(read_logs(self.logs))
        self.problems += overlaps(every)
        held = [one for one in every if not one.until]
        keys = {container_of(one): one for one in held}
        valid = [{"containerID": container, "ifname": "eth0"} for container in keys]
        self._in_node("GC", self.conf | {"cni.dev/valid-attachments": valid}, {})
        for container, one in keys.items():
            try:
                self._in_node("CHECK", self.conf | {"prevResult": one.result}, self._env(container, one.pod))
            except CniError as error:
                self.problems.append(f"{container}: {error}")
        self._compare(set(keys), {one.ip for one in held})
        return held

    def _in_node(self, command: str, conf: dict[str, Any], env: dict[str, str]) -> None:
        netns.run_in(self.machine.path(NODE), invoke, command, conf, env)

    def _compare(self, containers: set[str], ips: set[str]) -> None:
        """The leases, the node's links and its routes with what is held, and the free addresses with the rest."""
        store = leases_at(self.machine.directory, NODE)
        kept = {holder.container_id: holder.link for holder in store.holders()}
        with Netlink(self.machine.path(NODE)) as node:
            links = {link.name for link in node.links() if link.kind == "veth"}
            routes = {route.dst.partition("/")[0] for route in node.routes() if route.dst.endswith("/32")}
        for what, found, wanted in (
            ("attachments in the database", set(kept), containers),
            ("links", links, set(kept.values())),
            ("routes", routes, ips),
        ):
            if found != wanted:
                more, fewer = sorted(found - wanted)[:5], sorted(wanted - found)[:5]
                self.problems.append(f"{what}: {len(found)}, not {len(wanted)}; beyond {more}, missing {fewer}")
        self._use_up(len(ips))

    def _use_up(self, held: int) -> None:
        """Lease every address that is left: as many as the subnet has without its ends, its gateway and those held."""
        sets = parse_config(self.conf).ipam.range_sets
        free, store = sets[0][0].subnet.num_addresses - 3 - held, leases_at(self.machine.directory, NODE)
        taken = 0
        try:
            for taken in range(free + 1):
                store.allocate(sets, (f"rest-{taken}", "eth0"), "")
        except CniError as error:
            if error.code != NO_ADDRESS:
                raise
        if taken != free:
            self.problems.append(f"{taken} addresses were left, not {free}")


def container_of(one: Held) -> str:
    return str(one.result["container"])


def read_logs(directory: Path) -> Iterator[Held]:
    """Every acknowledged ADD, with the DEL that was begun for it."""
    for log in directory.iterdir():
        known: dict[str, Held] = {}
        for line in log.read_text(encoding="utf-8").splitlines():
            when, verb, container, *rest = line.split(" ", 4)
            if verb == "add":
                result = json.loads(rest[1])
                ip = result["ips"][0]["address"].partition("/")[0]
                known[container] = Held(rest[0], ip, int(when), result={**result, "container": container})
            else:
                known[container].until = int(when)
        yield from known.values()


def overlaps(every: list[Held]) -> list[str]:
    """Addresses that two attachments surely had at the same time."""
    found = []
    by_ip: dict[str, list[Held]] = {}
    for one in sorted(every, key=lambda one: one.since):
        for other in by_ip.setdefault(one.ip, []):
            if not other.until or other.until > one.since:
                found.append(f"{one.ip} was given to {container_of(one)} while {container_of(other)} had it")
        by_ip[one.ip].append(one)
    return found


def storm(directory: str, logs: Path, operations: int, executables: int, **options: int) -> tuple[Storm, list[Held]]:
    """All of it, with the Storm's `options`; the machine is gone afterwards."""
    machine = Machine(directory)
    try:
        machine.make(NODE)
        made = Storm(machine, logs, **options)
        made.library(operations)
        made.executables(executables)
        return made, made.judge()
    finally:
        machine.close()
        ipam.close_all()


def main() -> None:
    import shutil
    import tempfile

    parser = argparse.ArgumentParser(prog="scripts/fault-cni", description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000, help="ADDs and DELs through the library")
    parser.add_argument("--executables", type=int, default=500, help="ADDs and DELs by the exec protocol")
    parser.add_argument("--processes", type=int, default=16, help="how many at once")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        where, log, operations, *pods = options.worker
        Storm(Machine(where), Path(log)).work(pods, log, int(operations))
        return
    directory, start = f"/run/netsim/fault-cni-{os.getpid()}", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netsim-fault-cni-") as logs:
        try:
            sizes = (options.operations, options.executables)
            made, held = storm(directory, Path(logs), *sizes, processes=options.processes)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print(
        f"{options.operations} operations through the library and {options.executables} executables by "
        f"{options.processes} processes in {time.monotonic() - start:.0f} s: {made.killed} processes killed, "
        f"{len(held)} attachments held and whole, {len(made.problems)} problems"
    )
    print("\n".join(made.problems[:20]))
    sys.exit(bool(made.problems))


if __name__ == "__main__":
    main()
