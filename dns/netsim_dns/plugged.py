"""What is plugged into responders by the settings in use: rewrites, hosts tables, the forwarders behind them."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import Any

from .autopath import Autopath
from .config import ConfigError
from .forward.config import ForwardConfig
from .forward.forwarder import Forwarder
from .forward.loop import OnLoop
from .hosts import HostsConfig, HostsTable, make_table
from .hosts_first import HostsFirst
from .index import Index
from .reload import read_file
from .responder import Responder
from .rewrite_first import RewriteFirst
from .settings import Block, Settings
from .telemetry.metrics import Metrics
from .telemetry.tally import server_label
from .zones import ZoneTable

LOG = logging.getLogger(__name__)


class PluggedBlock:
    """Rewrites, hosts, forwarder of one server block, and the responder they are for. Raises ConfigError, OSError."""

    def __init__(self, settings: Block, responder: Responder, metrics: Metrics) -> None:
        dns = settings.dns
        self._settings, self._responder, self._metrics = settings, responder, metrics
        self._unrewritten = Responder(responder.index, dns, responder.local)
        self._forwarder = Forwarder(settings.forward, dns.zones, dns.udp_max, metrics, server_label(dns.listen))
        self._table = self._read(settings.hosts)
        self._plug()

    @property
    def responder(self) -> Responder:
        """Who answers."""
        return self._responder

    @property
    def failures(self) -> int:
        """How many questions there were whose answering raised."""
        return self._responder.failures + self._unrewritten.failures

    def start(self, on_loop: OnLoop) -> None:
        """Look for upstreams that ask us what we ask them. Call when the ports are open."""
        self._forwarder.start(on_loop)

    def close(self) -> None:
        """Give up everything under way."""
        self._forwarder.close()

    def retire(self) -> None:
        """Ask nothing new; what is under way comes to its end."""
        self._forwarder.reconfigure(ForwardConfig())

    def configure(self, settings: Block, index: Index | None = None) -> None:
        """Take over new settings, and an index if there is another; ConfigError, OSError: nothing has changed."""
        table = self._read(settings.hosts)
        self._forwarder.reconfigure(settings.forward, settings.dns.zones)
        self._settings, self._table = settings, table
        if index:
            for responder in (self._responder, self._unrewritten):
                responder.answer_from(index)
        self._plug()

    def hosts_changed(self, path: str) -> None:
        """Read the hosts again, one of whose files has changed."""
        if path not in self._settings.hosts.files:
            return
        try:
            self._table = self._read(self._settings.hosts)
        except (ConfigError, OSError) as failure:
            LOG.error("dns: %s has changed but cannot be used: %s; the hosts before stay", path, failure)
            return
        self._plug()

    def _read(self, hosts: HostsConfig) -> HostsTable:
        lines = [*hosts.lines, *(line for path in hosts.files for line in read_file(path).splitlines())]
        table = make_table(lines, hosts.reverse)
        if hosts:
            self._metrics.set("hosts_entries", len(table), ",".join(hosts.files))
            self._metrics.set("hosts_reload_timestamp_seconds", time.time())
        return table

    def _plug(self) -> None:
        """Have the responder answer by the settings; without rewrites, hosts, upstreams there is nobody to ask."""
        dns, forwarder = self._settings.dns, self._forwarder if self._settings.forward.zones else None
        hosts = self._settings.hosts
        first = HostsFirst(self._table, dns.through_cache(hosts.ttl), dns.udp_max, forwarder, hosts)
        after = first if hosts else forwarder
        udp, tcp, rewrites = self._unrewritten.udp, self._unrewritten.tcp, self._settings.rewrites
        self._unrewritten.forwarder = after
        self._responder.forwarder = RewriteFirst(rewrites, udp, tcp, dns.udp_max, after) if rewrites else after
        for responder in (self._responder, self._unrewritten):
            responder.config, responder.local = dns, self._responder.local
            responder.forget()
        path = self._settings.autopath
        server = server_label(dns.listen)
        self._responder.by_client = (
            Autopath(path, self._responder, self._unrewritten, self._metrics, server) if path else None
        )
        self._forwarder.udp_max = dns.udp_max
        self._forwarder.forget()


_NO_ZONES: dict[str, Any] = {"zone": "", "more_zones": (), "reverse_zones": ()}


class Plugged:
    """What is plugged in for all server blocks; `responder` is that of the cluster's. Raises ConfigError, OSError."""

    def __init__(self, settings: Settings, responder: Responder, metrics: Metrics) -> None:
        self._responder, self._metrics = responder, metrics
        self._main = PluggedBlock(settings, responder, metrics)
        self._others = {block: self._new(block) for block in settings.others}
        self._on_loop: OnLoop | None = None
        self._failures_before = 0
        self._route(settings)

    @property
    def failures(self) -> int:
        """How many questions there were whose answering raised."""
        return self._failures_before + sum(block.failures for block in self._blocks)

    @property
    def _blocks(self) -> list[PluggedBlock]:
        return [self._main, *self._others.values()]

    def start(self, on_loop: OnLoop) -> None:
        """Look for upstreams that ask us what we ask them. Call when the ports are open."""
        self._on_loop = on_loop
        for block in self._blocks:
            block.start(on_loop)

    def close(self) -> None:
        """Give up everything under way."""
        for block in self._blocks:
            block.close()

    def configure(self, settings: Settings, index: Index | None = None) -> None:
        """Take over new settings, and an index if there is another; ConfigError, OSError: nothing has changed."""
        new = {block: self._new(block) for block in settings.others if block not in self._others}
        self._main.configure(settings, index)
        gone = [plugged for block, plugged in self._others.items() if block not in settings.others]
        self._others = {block: new.get(block) or self._others[block] for block in settings.others}
        if self._on_loop:
            for plugged in new.values():
                plugged.start(self._on_loop)
        for plugged in gone:
            self._failures_before += plugged.failures
            plugged.retire()
        self._route(settings)

    def hosts_changed(self, path: str, _text: str) -> None:
        """Read the hosts tables again that this file, which has changed, is one of."""
        for block in self._blocks:
            block.hosts_changed(path)

    def _new(self, block: Block) -> PluggedBlock:
        return PluggedBlock(block, Responder(Index(), block.dns, self._responder.local), self._metrics)

    def _route(self, settings: Settings) -> None:
        zones: dict[str, Responder | None] = dict.fromkeys(settings.zones)
        for block, plugged in self._others.items():
            zones |= dict.fromkeys(block.zones, plugged.responder)
        alone = not self._others and settings.zones == (".",)
        nobody = Responder(Index(), replace(settings.dns, catch_all=False, bufsize=0, hinfo_for_any=False, **_NO_ZONES))
        self._responder.blocks = None if alone else partial(ZoneTable(zones).find, default=nobody)
