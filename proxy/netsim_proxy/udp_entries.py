"""Deletes the UDP conntrack entries that changed Services leave stale."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from netsim.host import conntrack
from netsim.host.exec import CommandFailed, CommandMissing
from netsim_proxy.config import Family
from netsim_proxy.conntrack import PortKey, UdpPort, plan_cleanup

log = logging.getLogger(__name__)


class UdpEntries:
    """Knows the UDP ports of one family as they were when entries were last deleted."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._known: dict[PortKey, UdpPort] = {}
        self._next: dict[PortKey, UdpPort | None] = {}

    def note(self, old: Iterable[PortKey], new: Mapping[PortKey, UdpPort]) -> None:
        """Remember the UDP ports of changed Services, before and after, until rules that fit are in the kernel."""
        self._next.update(dict.fromkeys(old))
        self._next.update(new)

    def clean(self) -> None:
        """Delete stale entries; a failure leaves the rules right, so it is logged only."""
        touched, self._next = self._next, {}
        new = {key: port for key, port in touched.items() if port is not None}
        commands = plan_cleanup({key: self._known[key] for key in touched if key in self._known}, new)
        for key in touched:
            self._known.pop(key, None)
        self._known.update(new)
        for command in commands:
            try:
                conntrack.delete_entries(*command, family=self._family)
            except (CommandFailed, CommandMissing) as error:
                log.error("stale UDP conntrack entries were not deleted: %s", error)
