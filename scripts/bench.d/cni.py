"""`scripts/bench cni`: the CNI plugin beside Debian's bridge + host-local, in turns; routed beside bridged pods.

Everything is in namespaces of its own, and those of pods are made within the time that counts for ADD, the peer's as
ours. Of ours the first of a turn find one ready, as a pod does that comes alone; executables alone find all made.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from cni_modes import connects, measure_modes, sink, stream
from cni_world import PEER, World, make_namespace
from scale import Row

from lab import NETSIM, wait_for

PEER_NAME = "bridge + host-local"
_TURN = 10
_READY = 4
"""So many namespaces a node process has ready: the first pods of a turn find one, the others have theirs made."""
_ADD = 1.2
"""Milliseconds that ADD may take with its namespace, whether that was ready or is made for it."""
_CLEANUP = 0.3
"""Seconds in which the kernel cleans up what a turn leaves: it would count for whoever comes next."""
_PEER_BRIDGE = {"bridge": "peer0", "isGateway": True}


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def execute(world: World, program: str, command: str, pod: str, conf: dict[str, Any]) -> None:
    """An executable of the CNI protocol, in the calling thread's namespace."""
    env = {**os.environ, **world.env(command, pod)}
    done = subprocess.run([program], input=json.dumps(conf).encode(), env=env, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"scripts/bench: {program} {command}: {done.stdout.decode()}{done.stderr.decode()}")


def measure_process(world: World, rounds: int) -> list[Row]:
    """ADD with its namespace, and DEL, as the node process does them; in turns of ten with the peer's executables."""
    from netsim.host import netns
    from netsim_cni.plugin import invoke
    from netsim_cni.reaper import start_reaper

    netns.keep_ready(_READY)
    start_reaper()
    collect_as_a_node_process()
    ours, theirs, peer = world.conf("netsim"), world.conf("peer", **_PEER_BRIDGE), f"{PEER}/bridge"
    times: dict[str, list[float]] = {"ADD": [], "burst": [], "DEL": [], "peer ADD": [], "peer DEL": []}

    def add(pod: str) -> None:
        netns.create(world.path(pod))
        invoke("ADD", ours, world.env("ADD", pod))

    def add_peer(pod: str) -> None:
        make_namespace(world.path(pod))
        execute(world, peer, "ADD", pod, theirs)

    spent: dict[str, float] = {}
    for start in range(0, rounds, _TURN):
        pods = [f"our-{number}" for number in range(start, start + _TURN)]
        with Processor(spent, "ours"):
            taken = [milliseconds(partial(add, pod)) for pod in pods]
        times["ADD"] += taken[:_READY]
        times["burst"] += taken[_READY:]
        times["DEL"] += [milliseconds(partial(invoke, "DEL", ours, world.env("DEL", pod))) for pod in pods]
        for pod in pods:
            netns.delete(world.path(pod))
        wait_for("the removal of our interfaces", lambda: not world.links("our-"))
        time.sleep(_CLEANUP)
        if os.path.exists(peer):
            others = [f"peer-{number}" for number in range(start, start + _TURN)]
            netns.keep_ready(0)
            with Processor(spent, "peer ADD"):
                times["peer ADD"] += [milliseconds(partial(add_peer, pod)) for pod in others]
            netns.keep_ready(_READY)
            times["peer DEL"] += [milliseconds(partial(execute, world, peer, "DEL", pod, theirs)) for pod in others]
            for pod in others:
                netns.delete(world.path(pod))
            time.sleep(_CLEANUP)
    ours_ms, peers_ms = (1000 * spent.get(name, 0.0) / len(times["DEL"]) for name in ("ours", "peer ADD"))
    told = f"{PEER_NAME}: {peers_ms:.1f} ms" if peers_ms else ""
    processor = Row("ADD: processor time, with the namespace", "ms", ours_ms, None, told)
    burst = statistics.median(times["burst"])
    part = f"{100 * burst / statistics.median(times['peer ADD']):.1f} % of the peer's" if times["peer ADD"] else ""
    made = Row("ADD in the node process, namespace made for it: median", "ms", burst, _ADD, part)
    return [*_process_rows("ADD", times, _ADD), made, processor, *_process_rows("DEL", times, None)]


def collect_as_a_node_process() -> None:
    """Have Python's collector look at what is new only, as the supervisor of a lab's processes does."""
    from netsim.lab.supervisor import COLLECT

    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


class Processor:
    """Processor time of what is done inside: this process' with all its threads, and that of its children."""

    def __init__(self, times: dict[str, float], name: str) -> None:
        self.times, self.name = times, name

    def __enter__(self) -> None:
        self._before = _processor_seconds()

    def __exit__(self, *_: object) -> None:
        self.times[self.name] = self.times.get(self.name, 0.0) + _processor_seconds() - self._before


def _processor_seconds() -> float:
    """By getrusage(2), which knows microseconds where times(2) counts hundredths of a second."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _process_rows(command: str, times: dict[str, list[float]], goal: float | None) -> list[Row]:
    work = "ADD in the node process, namespace ready" if command == "ADD" else "DEL in the node process"
    ours = statistics.median(times[command])
    rows = [Row(f"{work}: median", "ms", ours, goal)]
    if not times[f"peer {command}"]:
        return rows
    theirs = statistics.median(times[f"peer {command}"])
    told = f"{PEER_NAME}: {theirs:.1f} ms, {1000 / theirs:.0f}/s; ours {1000 / ours:.0f}/s"
    return [*rows, Row(f"{command}: ours as part of the peer's time", "%", 100 * ours / theirs, 6.7, told)]


def measure_executable(world: World, rounds: int) -> list[Row]:
    """ADD and DEL by processes, ours with a node process to hand them to."""
    program = f"{os.path.dirname(os.path.realpath(NETSIM))}/netsim-cni"
    service = subprocess.Popen([sys.executable, "-B", __file__, "--part", "serve", world.path("node"), world.directory])
    try:
        wait_for("the node process", lambda: any(name.endswith(".sock") for name in os.listdir(world.directory)))
        ours, theirs = world.conf("netsim"), world.conf("peer", **_PEER_BRIDGE)
        found: dict[str, list[float]] = {program: [], f"{PEER}/bridge": []}
        for number in range(rounds):
            for executable, conf in ((program, ours), (f"{PEER}/bridge", theirs)):
                pod = f"exec-{number}-{conf['name']}"
                if os.path.exists(executable):
                    make_namespace(world.path(pod))
                    both = [milliseconds(partial(execute, world, executable, c, pod, conf)) for c in ("ADD", "DEL")]
                    found[executable].append(sum(both))
    finally:
        service.kill()
        service.wait()
    mine, peers = (statistics.median(times) if times else 0.0 for times in found.values())
    rows = [Row("netsim-cni with a node process, ADD + DEL: median", "ms", mine)]
    if peers:
        rows.append(
            Row("netsim-cni as part of the peer's time", "%", 100 * mine / peers, 90, f"{PEER_NAME}: {peers:.1f} ms")
        )
    return rows


def serve(node: str, directory: str) -> None:
    """The part of a node process that executables hand their commands to."""
    from netsim.host import netns
    from netsim_cni.reaper import start_reaper
    from netsim_cni.service import serve_cni

    netns.enter(node)
    start_reaper()
    asyncio.run(serve_cni(directory))


PARTS: dict[str, Callable[..., None]] = {"serve": serve, "sink": sink, "stream": stream, "connects": connects}


def measure(options: argparse.Namespace) -> list[Row]:
    from netsim.host import netns

    world = World(f"/run/netsim/bench-cni-{os.getpid()}")
    rows: list[Row] = []

    def inside() -> None:
        netns.enter(world.path("node"))
        rows.extend(measure_process(world, options.rounds))
        rows.extend(measure_executable(world, options.rounds))
        rows.extend(measure_modes(world, 9, options.seconds / 3))

    try:
        with ThreadPoolExecutor(1) as alone:
            alone.submit(inside).result()  # what fails there is raised here
    finally:
        world.remove()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench cni", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="pods of each kind (default 100)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each stream between pods (default 1)")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if options.part:
        return PARTS[options.part[0]](*options.part[1:])
    rows = measure(options)
    if options.output == "json":
        return print(json.dumps([asdict(row) for row in rows]))
    if not os.path.exists(f"{PEER}/bridge"):
        print("no peer: apt-get install containernetworking-plugins\n")
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; in turns, {options.rounds} rounds\n")
    print("\n".join(row.render() for row in rows))


def in_netsims_interpreter() -> None:
    """The plugin is measured from inside: with the interpreter that `netsim` runs in."""
    try:
        import netsim_cni  # noqa: F401
    except ModuleNotFoundError:
        with open(shutil.which(NETSIM) or NETSIM, encoding="utf-8") as file:
            python = file.readline().removeprefix("#!").strip()
        if python == sys.executable:
            raise
        os.execv(python, [python, "-B", *sys.argv])


if __name__ == "__main__":
    in_netsims_interpreter()
    main()
