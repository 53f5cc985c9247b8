"""Removing attachments in the background, many at once.

The kernel waits for a grace period (some 15 ms) before it lets go of an interface, and once for all interfaces of a
link group. So a process that stays, the node's, only marks them: DEL puts the host-side interface into group GROUP and
notes in the database that the address is going. A thread then removes the group, and only after that are the addresses
free. Whoever is killed in between leaves marks, which the next to need an address, a name or GC finds.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time

from netsim.host.netlink import Netlink, NetlinkError
from netsim_cni.errors import WIRING_FAILED, CniError
from netsim_cni.ipam import Leases, leases_in

log = logging.getLogger(__name__)
GROUP = 0x6E73
PAUSE_SECONDS = 0.02
"""So long it waits for others that go as well."""


class Reaper:
    """The thread that removes what is marked, in the network namespace of its creator."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._marked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cni-reaper", daemon=True)
        self._thread.start()

    def wake(self, store: Leases) -> None:
        """Remove what is marked in this database."""
        self._files.add(store.path)
        self._marked.set()

    def _run(self) -> None:
        while True:
            self._marked.wait()
            time.sleep(PAUSE_SECONDS)
            self._marked.clear()
            for path in list(self._files):
                self._reap(path)

    def _reap(self, path: str) -> None:
        try:
            if os.path.exists(path):  # opening would make it again, in a lab that is just being removed
                reap(leases_in(path))
        except (CniError, sqlite3.Error) as error:
            log.warning("attachments that are gone keep their addresses in %s: %s", path, error)


class _Running:
    reaper: Reaper | None = None


def start_reaper() -> None:
    """From now on DEL in this process, in this network namespace, leaves the removal to a thread."""
    _Running.reaper = Reaper()


def is_running() -> bool:
    """Whether this process has a reaper."""
    return _Running.reaper is not None


def remove_later(store: Leases, key: tuple[str, str], link: str) -> bool:
    """Mark an attachment as going; False when there is no such interface any more. Needs a reaper."""
    if _Running.reaper is None or not _mark(link):
        return False
    store.retire(key)
    _Running.reaper.wake(store)
    return True


def _mark(link: str) -> bool:
    with Netlink() as host:
        try:
            host.set_link(link, group=GROUP)
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return False
            raise CniError(WIRING_FAILED, str(error)) from error
    return True


def reap(store: Leases) -> bool:
    """Remove what is marked and free its addresses, now; whether there was anything. CniError as DEL.

    Only what was noted before the group is removed is free afterwards.
    """
    retired = store.retired()
    if not retired:
        return False
    with Netlink() as host:
        try:
            host.delete_group(GROUP)
        except NetlinkError as error:
            raise CniError(WIRING_FAILED, str(error)) from error
    store.release_all([(holder.container_id, holder.ifname) for holder in retired])
    return True
