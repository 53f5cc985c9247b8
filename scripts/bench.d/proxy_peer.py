"""`netsim proxy` and the real kube-proxy, both against one `netsim server`, each in a network namespace of its own.

A cost is the CPU time of the process and of the commands it ran; times are from the API's answer to the last change of
the ruleset. While one works the other is stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from load import Connection, Target, request
from proxy_load import NODE, POD_CIDR, Row, endpoint_slice, namespace, service

from netsim.host import netns
from netsim.host.nftables import Nftables

NETSIM = os.environ.get("NETSIM", "netsim")
SERVICES, CHANGED, ROUNDS, SWINGS = 1000, 7, 3, 5
_API, _SLICES = "10.255.0.1", "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices"
_QUIET_SECONDS, _PATIENCE_SECONDS = 0.3, 60.0
Cost = tuple[float, float]
"""CPU and wall milliseconds."""


def find_kube_proxy(named: str | None) -> str | None:
    """The kube-proxy to compare with: the one that was named, or the one on PATH; None without."""
    return named or shutil.which("kube-proxy")


def _in(place: str, *words: str) -> list[str]:
    return ["nsenter", f"--net={place}", *words]


def _run(place: str, *words: str) -> str:
    return subprocess.run(_in(place, *words), check=True, capture_output=True, text=True).stdout


def _connect(api: str, place: str, number: int) -> None:
    """A link between a proxy's namespace and the API's."""
    _run(api, "ip", "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", place)
    _run(api, "ip", "address", "add", f"10.255.{number}.1/24", "dev", f"to{number}")
    _run(api, "ip", "link", "set", f"to{number}", "up")
    _run(place, "ip", "address", "add", f"10.255.{number}.2/24", "dev", "eth0")
    _run(place, "ip", "link", "set", "eth0", "up")
    _run(place, "ip", "route", "add", "default", "via", f"10.255.{number}.1")


class Api:
    """`netsim server` in a namespace, asked over its unix socket."""

    def __init__(self, place: str) -> None:
        self._lab = f"bench-{os.getpid()}"
        _run(place, "ip", "address", "add", f"{_API}/32", "dev", "lo")
        words = _in(place, NETSIM, "server", "--lab", self._lab, "--advertise-address", _API)
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("the API server", self._ready)
        self._connection: Connection = self._target.connect()

    @property
    def _target(self) -> Target:
        return Target(f"/run/netsim/{self._lab}/api.sock")

    def kubeconfig(self) -> str:
        """An administrator's, for other namespaces."""
        return Path(f"/var/lib/netsim/{self._lab}/admin.conf").read_text().replace("127.0.0.1", _API)

    def _ready(self) -> bool:
        try:
            connection = self._target.connect()
            status, _ = connection.ask(request("GET", "/readyz"))
            connection.close()
        except (OSError, SystemExit):
            return False
        return status == 200

    def write(self, method: str, path: str, obj: dict[str, Any]) -> None:
        status, body = self._connection.ask(request(method, path, json.dumps(obj).encode()))
        if status not in (200, 201):
            raise SystemExit(f"scripts/bench: {method} {path}: {status} {body[:300]!r}")

    def fill(self) -> None:
        """The node, and the Services with their slices; who has which address is left to the server."""
        self.write("POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
        addresses = [{"type": "InternalIP", "address": NODE.ipv4}]
        self.write("POST", "/api/v1/nodes", {"metadata": {"name": NODE.name}, "status": {"addresses": addresses}})
        for number in range(SERVICES):
            made = service(number)
            del made["spec"]["clusterIP"]
            self.write("POST", "/api/v1/namespaces/bench/services", made)
            self.write("POST", _SLICES, _slice(number))

    def change(self, endpoints: int) -> None:
        """Set how many endpoints one Service has."""
        self.write("PUT", f"{_SLICES}/service-{CHANGED}-a", _slice(CHANGED, endpoints))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        subprocess.run([NETSIM, "down", "--lab", self._lab], check=False, stdout=subprocess.DEVNULL)


def _slice(number: int, endpoints: int = 10) -> dict[str, Any]:
    return {"apiVersion": "discovery.k8s.io/v1", **endpoint_slice(number, endpoints)}


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Poll until it holds; ends the bench after two minutes."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"scripts/bench: waited {_PATIENCE_SECONDS:.0f} s for {what}")
        time.sleep(0.01)


class Ruleset:
    """Tells when a namespace's ruleset was changed last; looks every 2 ms, in a thread."""

    def __init__(self, place: str) -> None:
        self.changed = time.perf_counter()
        self._nftables: Nftables = netns.run_in(place, Nftables, 4)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        before = self._nftables.generation()
        while not self._ending.wait(0.002):
            if (now := self._nftables.generation()) != before:
                before, self.changed = now, time.perf_counter()

    def wait_quiet(self) -> float:
        """When it was changed last, once nothing has changed it for 0.3 s."""
        begun = time.perf_counter()
        wait_until("an end of changes", lambda: time.perf_counter() > max(begun, self.changed) + _QUIET_SECONDS)
        return self.changed

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._nftables.close()


class Contestant:
    """A proxy at work in its namespace."""

    def __init__(self, place: str, words: list[str]) -> None:
        self._place, self._name = place, words[0]
        self._rules, self._begun = Ruleset(place), time.perf_counter()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(_in(place, *words), **quiet)  # type: ignore[call-overload]

    def loaded(self) -> Cost:
        """Until every endpoint has its rules."""

        def all_there() -> bool:
            if self._process.poll() is not None:
                raise SystemExit(f"scripts/bench: {self._name} ended with {self._process.returncode}")
            rules = _run(self._place, "iptables-save", "-t", "nat")
            return rules.count("-j DNAT --to-destination 10.128.") == 10 * SERVICES

        wait_until(f"{self._name} to write all rules", all_there)
        written = self._rules.changed
        self._rules.wait_quiet()
        return 1000 * self._cpu(), 1000 * (written - self._begun)

    def _cpu(self) -> float:
        """Seconds that the process has used and the commands it waited for."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def swing(self, api: Api) -> Cost:
        """One endpoint taken away and given back, some times: means by change."""
        self._process.send_signal(signal.SIGCONT)
        self._rules.wait_quiet()  # what it missed is none of it
        walls, before = [], self._cpu()
        for endpoints in (9, 10) * SWINGS:
            begun = time.perf_counter()
            api.change(endpoints)
            wait_until(f"{self._name} to change rules", lambda begun=begun: self._rules.changed > begun)  # type: ignore[misc]
            walls.append(self._rules.wait_quiet() - begun)
        cpu = self._cpu() - before
        self._process.send_signal(signal.SIGSTOP)
        return 1000 * cpu / len(walls), 1000 * statistics.median(walls)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self._rules.close()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def _field(kube_proxy: str) -> Iterator[tuple[Api, dict[str, tuple[str, list[str]]]]]:
    """The API with its Services, and by name the namespace and command line of both proxies."""
    with ExitStack() as stack:
        places = {name: stack.enter_context(namespace(name)) for name in ("api", "ours", "peer")}
        for number, name in enumerate(("ours", "peer"), 1):
            _connect(places["api"], places[name], number)
        api = Api(places["api"])
        stack.callback(api.stop)
        api.fill()
        kubeconfig = f"{stack.enter_context(tempfile.TemporaryDirectory(prefix='netsim-bench-'))}/kubeconfig"
        Path(kubeconfig).write_text(api.kubeconfig())
        flags = ["--kubeconfig", kubeconfig, "--hostname-override", NODE.name, "--cluster-cidr", POD_CIDR]
        flags += ["--conntrack-max-per-core", "0", "--iptables-min-sync-period", "0s"]
        commands = {"ours": [NETSIM, "proxy", *flags], "peer": [kube_proxy, *flags]}
        yield api, {name: (places[name], words) for name, words in commands.items()}


def measure(kube_proxy: str) -> Iterator[Row]:
    """Rows of 1,000 Services: all rules from the start of the process on, and one changed endpoint."""
    with _field(kube_proxy) as (api, commands), ExitStack() as stack:
        proxies, loads = {}, {}
        for name, command in commands.items():
            proxies[name] = Contestant(*command)
            stack.callback(proxies[name].stop)
            loads[name] = proxies[name].loaded()
            proxies[name].pause()
        yield _row(f"start and full sync, {SERVICES} Services", loads, 1.0)
        rounds = [{name: proxy.swing(api) for name, proxy in proxies.items()} for _ in range(ROUNDS)]
        costs = {name: tuple(statistics.median(r[name][i] for r in rounds) for i in (0, 1)) for name in proxies}
        yield _row(f"one endpoint changes, {SERVICES} Services", costs, 0.3)


def _row(work: str, costs: dict[str, Any], goal: float) -> Row:
    (ours, wall), (theirs, other_wall) = costs["ours"], costs["peer"]
    who = f"kube-proxy, from the API on; wall {wall:.0f} / {other_wall:.0f} ms"
    return Row(work, "ms", ours, theirs, goal, who)
