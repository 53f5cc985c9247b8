"""Puts the table of one family into the kernel. Blocking: runs in a thread, in the network namespace of its caller."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from netsim.host.nftables import Nftables as Socket
from netsim.host.nftables import NftablesError
from netsim_proxy.backend import Outcome, SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.machine import read_local_addresses
from netsim_proxy.model import Node
from netsim_proxy.nftables import dump
from netsim_proxy.nftables.expressions import text
from netsim_proxy.nftables.language import TABLE, Nftables
from netsim_proxy.nftables.plan import Transaction, plan_transaction
from netsim_proxy.nftables.state import Desired, Step
from netsim_proxy.nftables.wire import DEL_TABLE, encode
from netsim_proxy.udp_entries import UdpEntries

MANY_CHANGES = 100
ATTEMPTS = 10
"""To read and write without somebody else writing in between."""

log = logging.getLogger(__name__)


class NftablesProgrammer:
    """Owns the table `kube-proxy` of one family. Call from one thread at a time."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        self._config, self._family = config, family
        self._desired = Desired(config, family)
        self._socket = Socket(family)
        self._pending: dict[str, Input] = {}
        self._generation: int | None = None
        self._trusted = False
        self._udp = UdpEntries(family)

    def prepare(self) -> None:
        """Nothing: NodePorts do not answer on loopback addresses in this mode, so no setting is needed."""

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        """As `Backend.sync`. A check reads nothing while nobody has changed any rules of this namespace."""
        with _without_collector(len(self._pending) + len(changes)):
            return self._sync(changes, node, check)

    def _sync(self, changes: Mapping[str, Input], node: Node, check: bool) -> Outcome:
        started = time.monotonic()
        self._pending.update(changes)
        try:
            step = self._desired.advance(self._pending, node, read_local_addresses(self._config, self._family))
        except (ValueError, OSError) as error:
            self._trusted = False
            raise SyncFailed(str(error)) from error
        self._pending.clear()
        self._udp.note(step.old_udp, step.new_udp)
        known = self._trusted and not step.whole
        self._trusted = False
        try:
            known = known and not (check and self._is_touched())
            written = self._write(step) if known else self._write_all()
        except OSError as error:  # the kernel's answer, or a socket that had no room for it
            raise SyncFailed(f"nftables: {error}") from error
        self._trusted = True
        self._udp.clean()
        return Outcome(written, time.monotonic() - started, check or not known)

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._socket.close()

    def _write(self, step: Step) -> int:
        """Send what the step changed; chains that nothing leads to any more go in a transaction of their own.

        Kernels before 6.2 refuse to delete a chain together with the map element that led to it.
        """
        plan = plan_transaction(step.old, step.new)
        gone = Transaction(delete_chains=plan.delete_chains)
        parts = [part for part in (replace(plan, delete_chains=()), gone) if part]
        for part in parts:
            if not self._send(part, self._generation):
                self._send(part, None)  # somebody changed rules, ours or not: the next check looks at everything
        return sum(part.size for part in parts)

    def _is_touched(self) -> bool:
        """Whether somebody else may have changed rules since the last sync."""
        return self._generation is None or self._socket.generation() != self._generation

    def _write_all(self) -> int:
        """Compare the kernel's table with the desired one and send the difference; how much that was."""
        written = 0
        desired = self._desired.value()
        for _ in range(ATTEMPTS):
            generation = self._socket.generation()
            plan = plan_transaction(self._read(desired), desired)
            if not plan:
                self._generation = generation
                return written
            # What leads to a chain goes first, the chain in a transaction of its own: see `_write`.
            first = replace(plan, delete_chains=())
            if self._send(first or plan, generation):
                written += (first or plan).size
                if not plan.delete_chains or not first:
                    return written
        raise NftablesError(errno.ERESTART, f"table {TABLE}", "others kept changing the ruleset")

    def _read(self, desired: Nftables) -> Nftables | None:
        """Our table as it is in the kernel; None if there is none."""
        dormant = dump.is_dormant(self._socket.dump(dump.GET_TABLE))
        if dormant is None:
            return None
        ours = text(1, TABLE)
        sets = dump.recognise_sets(self._socket.dump(dump.GET_SET, ours), desired, self._family)
        chains = self._socket.dump(dump.GET_CHAIN), self._socket.dump(dump.GET_RULE, ours)
        elements = {
            name: dump.parse_elements(self._socket.dump(dump.GET_ELEMENTS, dump.elements_request(name)))
            for name, spec in sets.items()
            if spec == desired.sets.get(name) and not spec.timeout
        }
        found = dump.recognise_chains(*chains, desired, self._family)
        return Nftables(self._family, sets, found, elements, dormant=dormant)

    def _send(self, plan: Transaction, generation: int | None) -> bool:
        """Whether the transaction took place; not when `generation` is over and everything has to be compared again."""
        messages = encode(plan, self._family)
        requests = [(message.kind, message.flags, message.body) for message in messages]
        try:
            self._socket.commit(requests, generation)
        except NftablesError as error:
            if error.errno == errno.ERESTART and generation is not None:
                return False
            named = messages[error.index].about(error.offset) if error.index is not None else f"table {TABLE}"
            raise NftablesError(error.errno or errno.EIO, named, error.detail) from error
        self._generation = None if generation is None else (generation + 1) & 0xFFFFFFFF or 1
        return True


@contextlib.contextmanager
def _without_collector(changes: int) -> Iterator[None]:
    """Many values are made at once, none with a cycle: looking for cycles among them takes a seventh of the time."""
    paused = changes > MANY_CHANGES and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def remove_table(family: Family) -> bool:
    """Delete the table `kube-proxy` of a family, whosever it is; whether there was one. Raises OSError."""
    with Socket(family) as sock:
        if dump.is_dormant(sock.dump(dump.GET_TABLE)) is None:
            return False
        sock.commit([(DEL_TABLE, 0, text(1, TABLE))])
        return True
