"""`scripts/bench dns`: answers a second of CPU time, latency, two workers, changes, a large cluster.

`netsim dns` on CPU 0 serves a cluster to dnsperf on the other CPUs: 12,000 distinct questions with EDNS, a fifth of
them in mixed case or denied. Beside it, in turn, Debian's knot serves a zone with the same names, and CoreDNS, where
there is one, the same API. Where there is none its figures are those of a machine on which knot answered 135,000 a
second, scaled by what knot does here.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import dns_coredns
import dns_load
from dns_changes import run_changes
from dns_clients import query
from dns_load import Cpus, Rate, Server, half_cores, knot, netsim, netsim_of
from load import pss

_KNOT = 135_000
# transport, 0 for the plugin alone or 1 for kubeadm's configuration, answers a second where knot gave _KNOT, goal
_BESIDE_COREDNS = (("UDP", 0, 22_200, 4), ("UDP", 1, 9_800, 9), ("TCP", 0, 28_300, 1.5), ("TCP", 1, 14_100, 3))
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
    servers: Sequence[Server], questions: Path, how: Sequence[str], rounds: int, seconds: float
) -> dict[Server, list[Rate]]:
    """What each server answers in some rounds, one of each after the other; before that all is asked once."""
    for server in servers:
        server.ask_all(questions)
    found: dict[Server, list[Rate]] = {server: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            found[server].append(server.ask(questions, seconds, *how))
    return found


class Small(NamedTuple):
    """Servers of the small cluster: netsim in both configurations, knot and CoreDNS in both if they are there."""

    plain: Server
    kubeadm: Server
    knot: Server | None
    coredns: tuple[Server, Server] | None

    @property
    def all(self) -> list[Server]:
        return [self.plain, self.kubeadm, *([self.knot] if self.knot else []), *(self.coredns or ())]


@contextlib.contextmanager
def small_cluster(directory: Path, coredns: str | None) -> Iterator[Small]:
    """Netsim and CoreDNS read the same API, and kubeadm's Corefile."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(dns_coredns.api(dns_load.cluster(*_SMALL)))
        config = dns_coredns.kubeconfig(directory, url)
        yield Small(
            stack.enter_context(netsim_of("--kubeconfig", config)),
            stack.enter_context(netsim_of("--kubeconfig", config, "--config", dns_coredns.kubeadm_corefile(directory))),
            stack.enter_context(knot(directory, _SMALL[0])),
            (
                stack.enter_context(dns_coredns.coredns(coredns, directory, url, kubeadm=False)),
                stack.enter_context(dns_coredns.coredns(coredns, directory, url, kubeadm=True)),
            )
            if coredns
            else None,
        )


def measure_rates(directory: Path, rounds: int, seconds: float, coredns: str | None) -> list[Row]:
    """Small cluster by UDP and TCP, in both configurations, beside knot and CoreDNS."""
    rows = []
    with small_cluster(directory, coredns) as small:
        found = {
            work: _in_turn(small.all, directory / "small.txt", how, rounds, seconds)
            for work, how in (("UDP", _UDP), ("TCP", _TCP))
        }
        by_knot = [rate.per_cpu_second for rate in found["UDP"][small.knot]] if small.knot else []
        if by_knot:
            rows.append(_against("UDP", found["UDP"][small.plain], by_knot, 0.7, "knot, now"))
        for work, number, told, goal in _BESIDE_COREDNS:
            ours = found[work][(small.plain, small.kubeadm)[number]]
            peer, who = [told * rate / _KNOT for rate in by_knot or [_KNOT] * rounds], "CoreDNS, scaled"
            if small.coredns:
                peer, who = [rate.per_cpu_second for rate in found[work][small.coredns[number]]], "CoreDNS, now"
            rows.append(_against(work + (", as kubeadm configures" if number else ""), ours, peer, goal, who))
    return rows


def measure_latency(directory: Path, rounds: int, seconds: float, coredns: str | None) -> list[Row]:
    """On another CPU than the server's it is mostly how long this machine takes to wake an idle CPU; with a question
    each millisecond the server's part of the CPU's caches is used by others."""
    questions = directory / "small.txt"
    with small_cluster(directory, coredns) as small:
        servers = [small.plain, *([small.knot] if small.knot else []), *(small.coredns or ())[:1]]
        for server in servers:
            server.ask_all(questions)
        ways: list[tuple[str, Callable[[Server], float]]] = [
            ("one after the other, same CPU", lambda s: s.ask_alone(questions, seconds, Cpus.FIRST)),
            ("one after the other, other CPU", lambda s: s.ask_alone(questions, seconds, Cpus.OTHERS)),
            ("one each ms, dnsperf, same CPU", lambda s: s.ask(questions, seconds, *_EACH_MS, cpus=Cpus.FIRST).latency),
        ]
        rows = []
        for work, ask in ways:
            found = [[ask(server) for server in servers] for _ in range(rounds)]
            ours, *peers = (statistics.median(column) for column in zip(*found, strict=True))
            names = [*(["knot"] if small.knot else []), *(["CoreDNS"] if small.coredns else [])]
            for name, peer in zip(names, peers, strict=True):
                goal = 1.0 if name == "CoreDNS" else _ALONE_BESIDE_KNOT
                rows.append(
                    Row(f"questions {work}, median", "us", ours, peer, ours / peer, goal, False, f"{name}, now")
                )
            if not small.coredns and "after the other, same" in work:
                rows.append(
                    Row(f"questions {work}, median", "us", ours, _ALONE, ours / _ALONE, 1, False, "CoreDNS, told")
                )
    return rows


def _against(work: str, ours: Sequence[Rate], theirs: Sequence[float], goal: float, who: str) -> Row:
    """The ratio is the median of the rounds': how fast the machine is changes from one to the next."""
    value, peer = statistics.median(rate.per_cpu_second for rate in ours), statistics.median(theirs)
    ratio = statistics.median(rate.per_cpu_second / other for rate, other in zip(ours, theirs, strict=True))
    seen = statistics.median(rate.per_second for rate in ours)
    return Row(f"answers, {work}; {seen:,.0f} a second", "/CPUs", value, peer, ratio, goal, True, who)


def measure_workers(directory: Path, rounds: int, seconds: float, _: str | None) -> list[Row]:
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


def measure_changes(directory: Path, rounds: int, seconds: float, _: str | None) -> list[Row]:
    """What is asked for while Services come and go: answers that were never true, and how long one outlived its own."""
    outcome = run_changes(directory, seconds * rounds)
    work = f"{outcome.changes:,} changes, {outcome.asked:,} questions"
    wrong, late = outcome.never_true + outcome.asked - outcome.answered, max(outcome.late, default=0.0) * 1000
    return [
        Row(f"{work}: lost or never true", "", wrong, 0, wrong, 0, False),
        Row("longest that an answer outlived its change", "ms", late, 0, late, 100, False),
    ]


def measure_large(directory: Path, rounds: int, seconds: float, _: str | None) -> list[Row]:
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


def measure_index(*_: object) -> list[Row]:
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


_PARTS: dict[str, Callable[[Path, int, float, str | None], list[Row]]] = {
    "rates": measure_rates,
    "latency": measure_latency,
    "workers": measure_workers,
    "changes": measure_changes,
    "large": measure_large,
    "index": measure_index,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench dns", description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=_PARTS, action="append", help="only this one; again for more (default all)")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each round (default 3)")
    parser.add_argument("--coredns", metavar="FILE", help="the program to compare with (default: that on PATH, if any)")
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
        directory, coredns = Path(name), options.coredns or shutil.which("coredns")
        dns_load.write_cluster(directory / "small.json", *_SMALL)
        dns_load.write_questions(directory / "small.txt", _SMALL[0])
        for part in options.part or _PARTS:
            for row in _PARTS[part](directory, options.rounds, options.seconds, coredns):
                rows.append(asdict(row) | {"met": row.met})
                if text:
                    print(row.render(), flush=True)
    if not text:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
