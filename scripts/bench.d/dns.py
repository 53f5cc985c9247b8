"""`scripts/bench dns`: answers a second of CPU time, latency, two workers, changes, a large cluster.

`netsim dns` on CPU 0 serves a cluster from a file to dnsperf on the other CPUs: 12,000 distinct questions with EDNS, a
fifth of them in mixed case or denied. Beside it Debian's knot serves a zone with the same names, in turn. CoreDNS's
figures were measured on a machine where knot answered 135,000 a second; they are scaled by what it does here.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dns_load
from dns_changes import run_changes
from dns_clients import query
from dns_load import Cpus, Rate, Server, half_cores, knot, netsim
from load import pss

_KNOT = 135_000
_PLAIN, _KUBEADM, _PLAIN_TCP, _KUBEADM_TCP = 22_200, 9_800, 28_300, 14_100
_SMALL, _LARGE = (1_000, 2), (10_000, 10)
_UDP, _TCP = ("-c", "4", "-q", "100"), ("-c", "4", "-q", "100", "-m", "tcp")
_MIXED = 6
_ALONE, _ALONE_BESIDE_KNOT = 45, 1.5
_EACH_MS = ("-c", "1", "-Q", "1000", "-v")


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `peer` in the unit of `value`, 0 where there is none, `ratio` what `goal` is about."""

    work: str
    unit: str
    value: float
    peer: float
    ratio: float
    goal: float
    more: bool
    who: str = ""

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal if self.more else self.ratio <= self.goal

    def render(self) -> str:
        size = 2 if 0 < self.value < 10 else 0
        peer = f"{self.peer:,.{size}f}" if self.peer else "-"
        sign = ">=" if self.more else "<="
        return (
            f"{self.work:<52} {self.value:>9,.{size}f} {self.unit:<5} {peer:>9} {self.ratio:>8.2f} "
            f"{f'{sign} {self.goal:g}':>8} {'met' if self.met else 'MISSED':<6} {self.who}"
        )


def _in_turn(
    servers: Sequence[Server],
    questions: Path,
    how: Sequence[str],
    rounds: int,
    seconds: float,
    cpus: Cpus = Cpus.OTHERS,
) -> list[Rate]:
    """Of each server the median of some rounds, one round of each after the other; before that all is asked once."""
    for server in servers:
        server.ask_all(questions)
    found = [[server.ask(questions, seconds, *how, cpus=cpus) for server in servers] for _ in range(rounds)]
    return [
        Rate(
            *(
                statistics.median(getattr(r, name) for r in column)
                for name in ("per_second", "per_cpu_second", "latency")
            )
        )
        for column in zip(*found, strict=True)
    ]


def measure_rates(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """Small cluster: UDP, TCP and latency, in both configurations, beside knot."""
    objects, questions = directory / "small.json", directory / "small.txt"
    dns_load.write_cluster(objects, *_SMALL)
    dns_load.write_questions(questions, _SMALL[0])
    port = f"127.0.0.1:{dns_load.free_port()}"
    rows = []
    with knot(directory, _SMALL[0]) as peer, netsim(objects) as plain, netsim(objects, "--metrics", port) as kubeadm:
        servers = [plain, kubeadm, *([peer] if peer else [])]
        udp = _in_turn(servers, questions, _UDP, rounds, seconds)
        scale = udp[2].per_cpu_second / _KNOT if peer else 1.0
        rows.append(_against("UDP", udp[0], _PLAIN * scale, 4, "CoreDNS, scaled"))
        rows.append(_against("UDP, as kubeadm configures (metrics)", udp[1], _KUBEADM * scale, 9, "CoreDNS, scaled"))
        if peer:
            rows.append(_against("UDP", udp[0], udp[2].per_cpu_second, 0.7, "knot, now"))
        tcp = _in_turn([plain, kubeadm], questions, _TCP, rounds, seconds)
        rows.append(_against("TCP", tcp[0], _PLAIN_TCP * scale, 1.5, "CoreDNS, scaled"))
        rows.append(
            _against("TCP, as kubeadm configures (metrics)", tcp[1], _KUBEADM_TCP * scale, 3, "CoreDNS, scaled")
        )
        rows += measure_latency([plain, *servers[2:]], questions, rounds, seconds)
    return rows


def measure_latency(servers: Sequence[Server], questions: Path, rounds: int, seconds: float) -> list[Row]:
    """Of netsim and, if it is there, knot. On another CPU than the server's it is mostly how long this machine takes to
    wake an idle CPU; with a question each millisecond the server's part of the CPU's caches is used by others."""
    rows = []
    for cpus, where in ((Cpus.FIRST, "same CPU"), (Cpus.OTHERS, "other CPU")):
        found = [[s.ask_alone(questions, seconds, cpus) for s in servers] for _ in range(rounds)]
        rows.append(_latency(f"one question after the other, {where}", found))
    found = [[s.ask(questions, seconds, *_EACH_MS, cpus=Cpus.FIRST).latency for s in servers] for _ in range(rounds)]
    return [*rows, _latency("a question each ms, dnsperf on the same CPU", found)]


def _latency(work: str, found: Sequence[Sequence[float]]) -> Row:
    ours, *knots = (statistics.median(column) for column in zip(*found, strict=True))
    same = "after the other, same" in work
    goal, ratio = (_ALONE, ours) if same else (_ALONE_BESIDE_KNOT, ours / knots[0] if knots else 1.0)
    who = "knot, now; goal CoreDNS's" if same else "knot, now"
    return Row(f"{work}, median", "us", ours, knots[0] if knots else 0.0, ratio, goal, False, who)


def _against(work: str, ours: Rate, theirs: float, goal: float, who: str) -> Row:
    value = ours.per_cpu_second
    return Row(
        f"answers, {work}; {ours.per_second:,.0f} a second", "/CPUs", value, theirs, value / theirs, goal, True, who
    )


def measure_workers(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """One process with half a core and two with half a core each, in turn; on all CPUs, since what a client makes the
    kernel do on theirs would be missing in their halves of one."""
    objects, questions = directory / "small.json", directory / "small.txt"
    found = []
    with (
        netsim(objects, "--workers", "1", pinned=False) as one,
        netsim(objects, "--workers", "2", pinned=False) as two,
    ):
        one.ask_all(questions)
        for _ in range(_MIXED):  # each time from other ports, so that each question comes to both workers
            two.ask_all(questions)
        with half_cores(one) as first, half_cores(two) as second:
            if not (first and second):
                return []
            found = [[server.flood(questions, seconds) for server in (one, two)] for _ in range(rounds)]
    alone, both = (statistics.median(column) for column in zip(*found, strict=True))
    return [Row("two workers of half a core", "/s", both, alone, both / alone, 1.7, True, "one of half a core")]


def measure_changes(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """What is asked for while Services come and go: answers that were never true, and how long one outlived its own."""
    outcome = run_changes(directory, seconds * rounds)
    work = f"{outcome.changes:,} changes, {outcome.asked:,} questions"
    wrong, late = outcome.never_true + outcome.asked - outcome.answered, max(outcome.late, default=0.0) * 1000
    return [
        Row(f"{work}: lost or never true", "", wrong, 0, wrong, 0, False),
        Row("longest that an answer outlived its change", "ms", late, 0, late, 100, False),
    ]


def measure_large(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """10,000 Services of 10 endpoints beside the small cluster: memory and rate."""
    dns_load.write_cluster(directory / "large.json", *_LARGE)
    dns_load.write_questions(directory / "large.txt", _LARGE[0])
    with netsim(directory / "small.json") as small, netsim(directory / "large.json") as large:
        for server, name in ((small, "small"), (large, "large")):
            server.ask_all(directory / f"{name}.txt")
        pairs = [
            (small.ask(directory / "small.txt", seconds, *_UDP), large.ask(directory / "large.txt", seconds, *_UDP))
            for _ in range(rounds)
        ]
        memory = pss(large.pids[0])
    one, other = (statistics.median(pair[i].per_cpu_second for pair in pairs) for i in (0, 1))
    return [
        Row("answers, UDP, 10,000 Services of 10", "/CPUs", other, one, other / one, 0.9, True, "1,000 Services of 2"),
        Row("memory, 10,000 Services of 10, PSS", "MiB", memory, 0, memory, 250, False),
    ]


def measure_index() -> list[Row]:
    """From objects to an index, and one EndpointSlice changed with all names asked for; CPU time."""
    from netsim_dns.config import DnsConfig
    from netsim_dns.index import Index, build_index
    from netsim_dns.responder import Responder

    objects = list(dns_load.cluster(*_LARGE))
    gc.collect()
    built, index = _cpu(lambda: build_index(objects, 1))
    assert isinstance(index, Index)
    responder = Responder(index, DnsConfig())
    names = (f"web-{number}.{dns_load.namespace_of(number)}.svc.cluster.local" for number in range(_LARGE[0]))
    queries = [query(name, "A") for name in names]
    for each in queries:
        responder.udp(each)
    times = []
    for number in range(1000):
        new = dns_load.slice_object(number, _LARGE[1], first=1)
        seconds, _ = _cpu(lambda new=new, number=number: _change(index, responder, new, queries[number]))  # type: ignore[misc]
        times.append(seconds * 1000)
    changed = statistics.median(times)
    return [
        Row("index of 10,000 Services of 10, built", "s", built, 0, built, 2, False),
        Row("one slice changed, and its Service answered anew", "ms", changed, 0, changed, 1, False),
    ]


def _change(index: object, responder: object, new: dict[str, object], question: bytes) -> None:
    index.apply("EndpointSlice", None, new, 2)  # type: ignore[attr-defined]
    responder.udp(question)  # type: ignore[attr-defined]


def _cpu(work: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench dns", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each round (default 3)")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scripts/bench: ended"))  # what was started is to be removed
    if shutil.which("dnsperf") is None:
        parser.exit(1, "scripts/bench: no dnsperf; run: apt-get install dnsperf knot (do not start knot's service)\n")
    text, rows = options.output == "text", []
    if text:
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; server on CPU 0; medians of {options.rounds}\n")
        print(f"{'work':<52} {'netsim':>9} {'':<5} {'peer':>9} {'ratio':>8} {'goal':>8} {'':<6} who")
    with tempfile.TemporaryDirectory(prefix="netsim-bench-") as name:
        directory = Path(name)
        parts: Sequence[Callable[[], list[Row]]] = (
            lambda: measure_rates(directory, options.rounds, options.seconds),
            lambda: measure_workers(directory, options.rounds, options.seconds),
            lambda: measure_changes(directory, options.rounds, options.seconds),
            lambda: measure_large(directory, options.rounds, options.seconds),
            measure_index,
        )
        for part in parts:
            for row in part():
                rows.append(asdict(row) | {"met": row.met})
                if text:
                    print(row.render(), flush=True)
    if not text:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
