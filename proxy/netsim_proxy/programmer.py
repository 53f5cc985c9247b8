"""Puts the rules of one family into the kernel. Blocking: runs in a thread, in the network namespace of its caller."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

from netsim.host import firewall, sysctl
from netsim.host.exec import CommandFailed, CommandMissing
from netsim_proxy.backend import Outcome, SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.context import localhost_nodeports
from netsim_proxy.desired import Desired, Input
from netsim_proxy.diff import ChainUpdate, Payload, Update, diff_chains, diff_services, missing_hooks
from netsim_proxy.iptables import State
from netsim_proxy.kernel_rules import read_rules
from netsim_proxy.machine import read_local_addresses
from netsim_proxy.model import Node
from netsim_proxy.pace import failing_lines
from netsim_proxy.rule_counts import RuleCounts
from netsim_proxy.udp_entries import UdpEntries

SHARED_RULES = 200
"""Deleting one rule takes time linear in its chain: beyond this many, chains are compared and rewritten as a whole."""

RULES_PER_CHAIN = 3
"""Of a Service's chains, on average."""

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
        self._config, self._family = _with_random_ports(_with_liberal_tracking(config), firewall.version()), family
        self._desired = Desired(self._config, family)
        self._pending: dict[str, Input] = {}
        self._trusted = False
        self._unreadable: frozenset[str] = frozenset()
        self._counts, self._written = RuleCounts(), Counter[str]()
        self._udp = UdpEntries(family)

    def prepare(self) -> None:
        """Kernel settings that the rules rely on."""
        if localhost_nodeports(self._config, self._family):
            sysctl.ensure_sysctl("net.ipv4.conf.all.route_localnet", 1)

    def desired_state(self) -> State:
        """The text of all rules as they should be."""
        return self._desired.state()

    def close(self) -> None:
        """Nothing is held."""

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        """Take in changed Services and make the kernel's rules right; raises SyncFailed.

        A first sync, one after a failure and one with `check` read the kernel's rules and repair what differs; others
        send what the changes changed.
        """
        started = time.monotonic()
        self._pending.update(changes)
        try:
            addresses = read_local_addresses(self._config, self._family)
        except OSError as error:
            self._trusted = False
            raise SyncFailed(f"reading this machine's addresses: {error}") from error
        check = check or not self._trusted
        step = self._desired.advance(self._pending, node, addresses, check=check)
        self._pending = {}
        self._udp.note(step.old_udp, step.new_udp)
        self._counts.shift(step.old, step.new)
        full = check or step.whole
        self._trusted = False
        update = Update() if full else diff_services(step.old, step.new)
        full = full or update.shared_lines > SHARED_RULES
        lines = self._repair() if full else self._send(update.chains, sum(self._counts.total.values()))
        self._trusted = True
        self._udp.clean()
        rules, written = dict(self._counts.total), dict(self._written)
        return Outcome(lines, time.monotonic() - started, full, rules, written, step.whole)

    def _repair(self) -> int:
        """Compare all rules with the kernel's and send the difference; how many rules that were."""
        hooks = self._desired.hooks
        try:
            actual = read_rules(self._family, hooks)
        except (CommandFailed, CommandMissing) as error:
            raise SyncFailed(f"reading the rules: {error}") from error
        self._unreadable = actual.unreadable
        wanted = self._counts.recount(self._desired.chains())
        changes = chain(diff_chains(actual.chains, wanted), missing_hooks(actual.chains, hooks).chains)
        return self._send(changes, RULES_PER_CHAIN * len(actual.chains))

    def _send(self, changes: Iterable[ChainUpdate], rules_there: int) -> int:
        """Write the changes; how many rules they write or delete. The kernel has about `rules_there`."""
        payload, self._written = Payload(self._unreadable), Counter()
        for change in changes:
            payload.add(change)
            self._written[change.place[0]] += change.lines
        if not payload:
            return 0
        text = payload.render(rules_there)
        try:
            firewall.restore(text, self._family, timeout=60 + payload.lines / 500)
        except (CommandFailed, CommandMissing) as error:
            lines = failing_lines(text.decode(), str(error))
            raise SyncFailed(f"writing the rules: {error}" + (f"\n{lines}" if lines else "")) from error
        return payload.lines
