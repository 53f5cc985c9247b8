"""One server process: what belongs to it, in the order in which it comes and goes.

Lines of the log that CoreDNS has as well are in its words, for those who look for them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from .config import ConfigError
from .index import Index
from .origins import ApiOrigin, FileOrigin, Origin, wait_synced
from .plugged import Plugged
from .probes import metrics_page, poll_health, probe, serve_page
from .reload import ConfigFile, ReadFile, digest, follow_file
from .selection import select_views
from .server import DnsServer, make_responder
from .settings import Settings, chooses_otherwise, keep_fixed
from .telemetry.links import Links, Report, answer_link
from .telemetry.metrics import merged
from .telemetry.observer import Observer, banner, new_metrics, process_values, render_process, write_lines
from .workers import Worker

if TYPE_CHECKING:
    from netsim.client.rest import Client

LOG = logging.getLogger(__name__)
COLLECT = (20_000, 20, 20)
# after the lameduck, for upstreams to answer what they were asked; CoreDNS's servers have as long
FINISH_SECONDS = 5.0
ALONE = Worker()
Followed = tuple[asyncio.Task[None], asyncio.Event]
"""A task that looks at a file, and what has it look at once."""


class Process:
    """A server with its probes, metrics, forwarder and watched files. Raises ConfigError."""

    def __init__(
        self, settings: Settings, index: Index, config: ConfigFile | None = None, worker: Worker = ALONE
    ) -> None:
        self.settings, self._index, self._config, self._worker = settings, index, config, worker
        self.origin: Origin | None = None
        self._refilling: asyncio.Task[None] | None = None
        self.metrics = new_metrics()
        self._observer = Observer(settings, self.metrics)
        self._responder = make_responder(index, settings.dns)
        self._plugged = Plugged(settings, self._responder, self.metrics)
        observed = bool(settings.metrics_listen or any(block.log for block in settings.blocks) or config)
        self._server = DnsServer(self._responder, self._observer if observed else None, share=worker.count > 1)
        self._links: Links | None = None
        self._pages: list[asyncio.Server] = []
        self._ready: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pokes: list[asyncio.Event] = []
        self._hosts: list[Followed] = []
        self._synced = False
        self._looped = ""

    async def open(self) -> None:
        """Serve the pages or, as another worker than the first, its metrics to that; follow files. Raises OSError."""
        if self._worker.number:
            self._start(answer_link(self._worker.links[0], self._report))
        else:
            self._links = Links(self._worker.links)
            await self._open_pages()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._poke)
        loop.add_signal_handler(signal.SIGHUP, LOG.info, "dns: SIGHUP is ignored; SIGUSR1 looks at the files now")
        if self._config:
            self._tell_version(self._config.file.text)
            self.follow(self._config.file, self._reload)
        self._follow_hosts()

    async def _open_pages(self) -> None:
        dns = self.settings.dns
        if dns.health_listen:
            self._pages.append(await serve_page(dns.health_listen, "/health", probe(str)))
            self._start(poll_health(dns.health_listen, self.metrics))
        if dns.ready_listen:
            self._ready = await serve_page(dns.ready_listen, "/ready", probe(self._unready))
        if self.settings.metrics_listen:
            page = metrics_page(self._render_metrics)
            self._pages.append(await serve_page(self.settings.metrics_listen, "/metrics", page))

    def follow(self, file: ReadFile, changed: Callable[[str, str], None]) -> Followed | None:
        """Call `changed` with the file's path and text whenever it has changed, if files are looked at."""
        if not self.settings.reload:
            return None
        poke = asyncio.Event()
        self._pokes.append(poke)
        return self._start(follow_file(file.find, file.text, self.settings.reload, poke, changed)), poke

    def _follow_hosts(self) -> None:
        """Follow the files of the hosts in use, and no others."""
        for task, poke in self._hosts:
            task.cancel()
            self._tasks.remove(task)
            self._pokes.remove(poke)
        files = [ReadFile(path, "", partial(str, path)) for path in self.settings.hosts_files]
        followed = (self.follow(file, self._plugged.hosts_changed) for file in files)
        self._hosts = [each for each in followed if each is not None]

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until told to stop, and for the time of the lameduck after that. Raises OSError, ConfigError."""
        if stop.is_set():
            return

        def looped(why: str) -> None:
            self._looped = why
            stop.set()

        _settle_memory()
        await self._server.start()
        self._plugged.start(looped)
        listen = self.settings.dns.listen
        where = ", ".join(f"{at[0]}:{port}" for at, port in zip(listen, self._server.ports, strict=True))
        if not self._worker.number:
            write_lines(banner(self.settings, self._server.ports[0]))
        zone = self.settings.dns.zone or "of no cluster"
        LOG.info("dns: zone %s on %s, %s", zone, where, _say_forward(self.settings))
        await stop.wait()
        if self._looped:
            raise ConfigError(self._looped)
        if self._ready:
            self._ready.close()
        await asyncio.sleep(self.settings.dns.lameduck)
        await self._server.finish(FINISH_SECONDS)

    async def close(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._plugged.close()
        await self._server.close()
        for page in (*self._pages, *([self._ready] if self._ready else [])):
            page.close()

    def _unready(self) -> str:
        self._synced = self._synced or self._index.synced
        return "" if self._synced else "kubernetes"

    def _report(self) -> Report:
        self._observer.flush()
        self.metrics.set("panics_total", self._plugged.failures)
        return Report(self.metrics, process_values())

    async def _render_metrics(self) -> str:
        reports = [self._report(), *(await self._links.collect() if self._links else [])]
        total = merged(report.metrics for report in reports)
        return total.render() + render_process([report.process for report in reports])

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)
        self._tasks.append(task)
        return task

    def _poke(self) -> None:
        for poke in self._pokes:
            poke.set()

    def _reload(self, path: str, text: str) -> None:
        assert self._config is not None
        try:
            settings, fixed = keep_fixed(self.settings, self._config.parse(path, text))
            if settings.dns.zones and not self.origin:
                raise ConfigError("dns zone: a server without a cluster's zones needs a new start to serve some")
            if self._refilling:
                self._refilling.cancel()
            if self.origin and chooses_otherwise(self.settings.dns, settings.dns):
                self._refilling = self._start(self._refill(self.origin, path, text, settings, fixed))
            else:
                self._take_over(path, text, settings, fixed)
        except (ConfigError, OSError) as failure:
            self._refuse(path, failure)

    async def _refill(self, origin: Origin, path: str, text: str, settings: Settings, fixed: list[str]) -> None:
        """Take over settings that choose other objects once these are there: no query may be answered without them."""
        taken = False
        try:
            index = await origin.refill(settings.dns)
            self._take_over(path, text, settings, fixed, index)
            taken = True
        except (ConfigError, OSError) as failure:
            self._refuse(path, failure)
        await origin.settle(taken)

    def _take_over(
        self, path: str, text: str, settings: Settings, fixed: list[str], index: Index | None = None
    ) -> None:
        self._plugged.configure(settings, index)
        self.settings = settings
        if index:
            self._index = index
            _settle_memory()
        self._follow_hosts()
        self._observer.configure(self.settings)
        for name in fixed:
            LOG.warning("dns: %s: %s has changed, which needs a new start; it stays as it was", path, name)
        self._tell_version(text)

    def _refuse(self, path: str, failure: Exception) -> None:
        self.metrics.add("reload_failed_total")
        LOG.error("dns: %s has changed but cannot be used: %s; the configuration before stays", path, failure)

    def _tell_version(self, text: str) -> None:
        versions = self.metrics.values["reload_version_info"]
        versions.clear()
        versions[("sha512", digest(text))] = 1.0
        LOG.info("plugin/reload: Running configuration SHA512 = %s", digest(text))


def _say_forward(settings: Settings) -> str:
    zones = [zone for block in settings.blocks for zone in block.forward.zones]
    if not any(zone.zone == "." for zone in zones):
        others = "".join(f"{zone.zone} and " for zone in zones)
        return f"{f'upstreams for {others[:-5]}; ' if others else ''}no upstream: other names are SERVFAIL"
    return f"upstreams for {', '.join(zone.zone for zone in zones)}"


def _settle_memory() -> None:
    """Have the collector leave alone what stays: a look at the objects of a large cluster keeps all clients waiting."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def _report(task: asyncio.Task[None]) -> None:
    failure = None if task.cancelled() else task.exception()
    if failure:
        LOG.error("dns: background work failed", exc_info=failure)


async def run_dns(settings: Settings, client: Client, config: ConfigFile | None = None, worker: Worker = ALONE) -> None:
    """Serve the cluster behind `client` until SIGTERM or SIGINT, then for `lameduck` seconds more.

    Ports open once every watched kind was listed, or after `startup_timeout`: what is known is then answered, and
    what is not is SERVFAIL rather than denied. With the API lost the last data is served on.
    """
    index = Index(views=select_views(settings.dns))
    process = Process(settings, index, config, worker)
    process.origin = origin = ApiOrigin(client, process.metrics)
    try:
        feed = await origin.begin(index, settings.dns)
        stop = stop_signal()
        await process.open()
        if not await wait_synced(feed, settings.dns.startup_timeout, _say_waiting):
            LOG.warning("plugin/kubernetes: starting server with unsynced Kubernetes API")
        await process.serve(stop)
    finally:
        await process.close()
        await origin.close()


def _say_waiting() -> None:
    LOG.info("plugin/kubernetes: waiting for Kubernetes API before starting server")


async def run_dns_objects(
    settings: Settings, file: ReadFile, config: ConfigFile | None = None, worker: Worker = ALONE
) -> None:
    """Serve the objects of a file, without an API; a changed file is taken over if it can be read."""
    origin = FileOrigin(file, settings.dns)
    process = Process(settings, origin.index, config, worker)
    process.origin = origin
    try:
        stop = stop_signal()
        await process.open()
        process.follow(file, origin.changed)
        await process.serve(stop)
    finally:
        await process.close()


async def run_dns_alone(settings: Settings, config: ConfigFile | None = None, worker: Worker = ALONE) -> None:
    """Serve settings without a cluster's zones: there are no objects to learn of."""
    process = Process(settings, Index(synced=True), config, worker)
    try:
        stop = stop_signal()
        await process.open()
        await process.serve(stop)
    finally:
        await process.close()


def stop_signal() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT. A second SIGTERM acts as without us, a second SIGINT ends the
    process at once with the status 2, as CoreDNS's does."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def caught() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, os._exit, 2)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, caught)
    return stop
