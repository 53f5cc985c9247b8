"""One server process: what belongs to it, in the order in which it comes and goes.

Lines of the log that CoreDNS has as well are in its words, for those who look for them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from .config import ConfigError
from .index import Index
from .origins import Origin
from .pages import Pages, Places
from .plugged import Plugged
from .probes import metrics_page, poll_health, probe
from .reload import ConfigFile, Meaning, ReadFile, digest, follow_file
from .server import FINISH_SECONDS, DnsServer, make_responder, own_addresses
from .settings import Settings, chooses_otherwise, keep_fixed, listens_otherwise
from .telemetry.links import Links, Report, answer_link
from .telemetry.metrics import merged
from .telemetry.observer import Observer, banner, new_metrics, process_values, render_process, write_lines
from .workers import Worker

LOG = logging.getLogger(__name__)
COLLECT = (20_000, 20, 20)
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
        self._changing: asyncio.Task[None] | None = None
        self._one_change = asyncio.Lock()
        self.metrics = new_metrics()
        self._observer = Observer(settings, self.metrics)
        self._responder = make_responder(index, settings.dns)
        self._plugged = Plugged(settings, self._responder, self.metrics)
        observed = bool(settings.metrics_listen or any(block.log for block in settings.blocks) or config)
        self._server = DnsServer(self._responder, self._observer if observed else None, share=worker.count > 1)
        self._links: Links | None = None
        self._pages = Pages(
            {"/health": probe(str), "/ready": probe(self._unready), "/metrics": metrics_page(self._render_metrics)},
            {"/health": partial(poll_health, metrics=self.metrics)},
        )
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
            await self._pages.move(_places(self.settings))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._poke)
        loop.add_signal_handler(signal.SIGHUP, LOG.info, "dns: SIGHUP is ignored; SIGUSR1 looks at the files now")
        if self._config:
            self._tell_version(self._config, self._config.file.path, self._config.file.text)
            self.follow(self._config.file, self._reload, self._config.meaning)
        self._follow_hosts()

    def follow(
        self, file: ReadFile, changed: Callable[[str, str], None], meaning: Meaning | None = None
    ) -> Followed | None:
        """Call `changed` with the file's path and text whenever it has changed, if files are looked at."""
        if not self.settings.reload:
            return None
        poke = asyncio.Event()
        self._pokes.append(poke)
        return self._start(follow_file(file.find, file.text, self.settings.reload, poke, changed, meaning)), poke

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
        self._pages.close("/ready")
        await asyncio.sleep(self.settings.dns.lameduck)
        await self._server.finish(FINISH_SECONDS)

    async def close(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._plugged.close()
        await self._server.close()
        self._pages.close()

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
            if self._changing:
                self._changing.cancel()
            # a change that gives way to this one goes back to where it began first
            if self._one_change.locked() or _needs_time(self.settings, settings):
                self._changing = self._start(self._change(path, text, settings, fixed))
            else:
                self._take_over(path, text, settings, fixed)
        except (ConfigError, OSError) as failure:
            self._refuse(path, failure)

    async def _change(self, path: str, text: str, settings: Settings, fixed: list[str]) -> None:
        """Take over settings that listen elsewhere, or choose other objects: once these are there, as no query may be
        answered without them."""
        async with self._one_change:
            origin = self.origin if chooses_otherwise(self.settings.dns, settings.dns) else None
            taken, old = False, self.settings
            try:
                index = await origin.refill(settings.dns) if origin else None
                try:
                    await self._listen(settings)
                    self._take_over(path, text, settings, fixed, index)
                    taken = True
                finally:
                    if not taken:
                        await self._listen(old)
            except (ConfigError, OSError) as failure:
                self._refuse(path, failure)
            finally:
                if origin:
                    await origin.settle(taken)

    async def _listen(self, settings: Settings) -> None:
        """Answer, and serve the pages, where these settings say. After OSError some of it may be done."""
        if not self._worker.number:
            await self._pages.move(_places(settings))
        if self._server.ports:
            await self._server.move(settings.dns.listen)
            self._responder.local = own_addresses(settings.dns)

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
        if self._config:
            self._tell_version(self._config, path, text)

    def _refuse(self, path: str, failure: Exception) -> None:
        self.metrics.add("reload_failed_total")
        LOG.error("dns: %s has changed but cannot be used: %s; the configuration before stays", path, failure)

    def _tell_version(self, config: ConfigFile, path: str, text: str) -> None:
        number = digest(repr(config.meaning(path, text)))
        versions = self.metrics.values["reload_version_info"]
        versions.clear()
        versions[("sha512", number)] = 1.0
        LOG.info("plugin/reload: Running configuration SHA512 = %s", number)


def _needs_time(old: Settings, new: Settings) -> bool:
    return listens_otherwise(old, new) or chooses_otherwise(old.dns, new.dns)


def _places(settings: Settings) -> Places:
    dns = settings.dns
    return {"/health": dns.health_listen, "/ready": dns.ready_listen, "/metrics": settings.metrics_listen}


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
