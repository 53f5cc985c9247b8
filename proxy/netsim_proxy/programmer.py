"""Puts the rules of one family into the kernel. Blocking: runs in a thread, in the network namespace of its caller."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from netsim.host import firewall, sysctl
from netsim.host.exec import CommandFailed, CommandMissing
from netsim_proxy.backend import Outcome, SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.context import localhost_nodeports
from netsim_proxy.desired import Desired, Input
from netsim_proxy.diff import CHAINS_PER_PART, Update, diff, diff_services, join_updates, missing_hooks, render_update
from netsim_proxy.iptables import parse_save
from netsim_proxy.machine import read_local_addresses
from netsim_proxy.model import Node
from netsim_proxy.pace import failing_lines
from netsim_proxy.udp_entries import UdpEntries

SHARED_RULES = 200
"""Deleting one rule takes time linear in its chain: beyond this many, chains are compared and rewritten as a whole."""

log = logging.getLogger(__name__)


def _with_liberal_tracking(config: ProxyConfig) -> ProxyConfig:
    """Whether the kernel takes out-of-window TCP segments as valid; if so, INVALID packets are not dropped.

    Read once; the flag sets it.
    """
    name = "net.netfilter.nf_conntrack_tcp_be_liberal"
    try:
        if config.conntrack_tcp_be_liberal:
            sysctl.ensure_sysctl(name, 1)
        return replace(config, conntrack_tcp_be_liberal=sysctl.read_sysctl(name) != "0")
    except FileNotFoundError:
        log.debug("no setting %s: connection tracking is not in use yet, its default is off", name)
        return config


def _with_random_ports(config: ProxyConfig, version: str) -> ProxyConfig:
    """MASQUERADE can choose ports at random (`--random-fully`) from iptables 1.6.2 on."""
    return replace(config, random_fully=config.random_fully and firewall.parse_version(version) >= (1, 6, 2))


class Programmer:
    """Owns the rules of one family. Call from one thread at a time."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        version = firewall.version()
        self._config, self._family = _with_random_ports(_with_liberal_tracking(config), version), family
        self._desired = Desired(self._config, family)
        self._per_part = CHAINS_PER_PART if firewall.parse_backend(version) == "nf_tables" else 0
        self._trusted = False
        self._udp = UdpEntries(family)

    def prepare(self) -> None:
        """Kernel settings that the rules rely on."""
        if localhost_nodeports(self._config, self._family):
            sysctl.ensure_sysctl("net.ipv4.conf.all.route_localnet", 1)

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        """Take in changed Services and make the kernel's rules right; raises SyncFailed.

        A first sync, one after a failure and one with `check` read the kernel's rules and repair what differs; others
        send what the changes changed.
        """
        started = time.monotonic()
        step = self._desired.advance(changes, node, read_local_addresses(self._config, self._family))
        self._udp.note(step.old_udp, step.new_udp)
        full = check or step.whole or not self._trusted
        self._trusted = False
        update = Update() if full else diff_services(step.old, step.new)
        full = full or update.shared_lines > SHARED_RULES
        if full:
            update = self._full_update()
        self._send(update)
        self._trusted = True
        self._udp.clean()
        return Outcome(update.lines, time.monotonic() - started, full)

    def _full_update(self) -> Update:
        try:
            actual = parse_save(firewall.save(self._family))
        except (CommandFailed, CommandMissing) as error:
            raise SyncFailed(f"reading the rules: {error}") from error
        return join_updates(diff(actual, self._desired.state()), missing_hooks(actual, self._desired.hooks))

    def _send(self, update: Update) -> None:
        if not update:
            return
        payload = render_update(update, self._per_part)
        try:
            firewall.restore(payload, self._family)
        except (CommandFailed, CommandMissing) as error:
            lines = failing_lines(payload.decode(), str(error))
            raise SyncFailed(f"writing the rules: {error}" + (f"\n{lines}" if lines else "")) from error
