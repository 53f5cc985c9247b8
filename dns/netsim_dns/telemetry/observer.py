"""What is told of every exchange, and what /metrics says."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address

from netsim import __version__
from netsim.api.prometheus import render_metric

from ..seams import Exchange
from ..settings import Block, Settings
from ..shapes import Shape
from .metrics import Metrics
from .query_log import QueryLog, Wanted
from .tally import Tally, server_label

LOG = logging.getLogger(__name__)
_STARTED = time.time()


class Observer:
    """Counts exchanges and writes their lines, as the settings in use say."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tally: Tally | None = None
        self._told: tuple[Callable[[str, Sequence[Exchange], float], None], ...] = ()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over new settings."""
        blocks = [(zone, block) for block in settings.blocks for zone in block.zones]
        wanted = {zone: Wanted(frozenset(block.log), block.dns.bufsize) for zone, block in blocks}
        logged = any(block.log for block in settings.blocks)
        log = QueryLog(wanted, settings.log_format, _write) if logged else None
        self.flush()
        self._tally = Tally(self._metrics, settings.dns.listen, settings.blocks) if settings.metrics_listen else None
        self._told = tuple(each for each in (self._tally, log) if each is not None)
        self.by_shape = log is None and (self._tally is None or self._tally.by_shape)
        plugins = self._metrics.values["plugin_enabled"]
        plugins.clear()
        for block in settings.blocks:
            for name in _enabled(settings, block):
                for zone in block.zones:
                    plugins[(server_label(settings.dns.listen), zone, "", name)] = 1.0

    def __call__(self, proto: str, exchanges: Sequence[Exchange], seconds: float) -> None:
        for observe in self._told:
            observe(proto, exchanges, seconds)

    def count(self, proto: str, six: bool, shapes: Sequence[Shape], seconds: float) -> None:
        if self._tally:
            self._tally.count(proto, six, shapes, seconds)

    def flush(self) -> None:
        """Have the metrics tell of all that was seen."""
        if self._tally:
            self._tally.flush()


# they are asked nothing
SETTING_UP = frozenset({"bind", "health", "ready", "reload"})


def _enabled(settings: Settings, block: Block) -> Iterator[str]:
    """The plugins of CoreDNS whose work on a block's queries is done; of a Corefile those that it names."""
    if block.plugins is not None:
        yield from block.plugins - SETTING_UP
        return
    yield from ("errors", "loadbalance")
    given = {
        "any": block.dns.hinfo_for_any,
        "autopath": block.autopath,
        "bufsize": block.dns.bufsize,
        "cache": block.cached,
        "forward": block.forward.zones,
        "hosts": block.hosts,
        "kubernetes": block.dns.zones,
        "log": block.log,
        "loop": block.forward.zones,
        "prometheus": settings.metrics_listen and block.counted,
        "rewrite": block.rewrites,
    }
    yield from (name for name, value in given.items() if value)


def banner(settings: Settings, port: int) -> list[str]:
    """What CoreDNS prints once it serves: its server blocks, its version, its platform."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    machine = os.uname()
    listen = [address for address, _ in settings.dns.listen]
    where = "" if any(ip_address(address).is_unspecified for address in listen) else f" on {' '.join(listen)}"
    blocks = [f"{zone}:{port}{where}" for block in settings.blocks for zone in block.zones]
    return [*blocks, f"netsim-{__version__}", f"{machine.sysname.lower()}/{machine.machine}, {python}"]


def write_lines(lines: Iterable[str]) -> None:
    """Write to stdout, as the query log does."""
    _write("".join(f"{line}\n" for line in lines))


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as failure:  # a full disk or a reader gone must not cost a query its answer
        LOG.warning("dns: query log: %s", failure)


def new_metrics() -> Metrics:
    """No counts yet, and what this program is."""
    metrics = Metrics()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    metrics.set("build_info", 1, f"netsim-{__version__}", "", python)
    return metrics


_PROCESS = {
    "cpu_seconds_total": ("counter", "CPU time, user and system, of all workers"),
    "max_fds": ("gauge", "Files that all workers may open"),
    "open_fds": ("gauge", "Open files of all workers"),
    "resident_memory_bytes": ("gauge", "Memory in use by all workers, what they share counted each time"),
    "start_time_seconds": ("gauge", "When the first worker started, in epoch seconds"),
    "virtual_memory_bytes": ("gauge", "Address space in use by all workers"),
    "virtual_memory_max_bytes": ("gauge", "Address space that a worker may use, -1: any"),
}


_LEAST = ("start_time_seconds", "virtual_memory_max_bytes")


def process_values() -> dict[str, float]:
    """The usual values of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as file:
        whole, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
    return {
        "cpu_seconds_total": usage.ru_utime + usage.ru_stime,
        "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "open_fds": len(os.listdir("/proc/self/fd")),
        "resident_memory_bytes": resident,
        "start_time_seconds": _STARTED,
        "virtual_memory_bytes": whole,
        "virtual_memory_max_bytes": resource.getrlimit(resource.RLIMIT_AS)[0],
    }


def render_process(workers: Sequence[dict[str, float]]) -> str:
    """The processes' values in Prometheus' text format."""
    lines: list[str] = []
    for name, (kind, text) in _PROCESS.items():
        values = [worker[name] for worker in workers]
        value = min(values) if name in _LEAST else sum(values)
        lines += render_metric(f"process_{name}", kind, text, [({}, value, None)])
    return "".join(f"{line}\n" for line in lines)
