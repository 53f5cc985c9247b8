"""Removing attachments in the background, many at once.

The kernel waits for a grace period (some 15 ms) before it lets go of an interface, and once for all interfaces of a
link group; meanwhile it changes no other. So in a process that stays, the node's, DEL only notes in the database that
an attachment is going. A thread then removes the interfaces of all that are, and only after that are their addresses
free. Whoever is killed in between leaves notes, which the next to need an address or a name finds, and GC.
"""

from __future__ import annotations

import errno
import fcntl
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
PAUSE_SECONDS = 0.05
"""So long it waits for others that go as well."""
RETRY_SECONDS = 5.0
"""So long it waits after a failure: nobody else may come who would have it done."""


class Reaper:
    """The thread that removes what is going, in the network namespace of its creator."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._noted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cni-reaper", daemon=True)
        self._thread.start()

    def wake(self, store: Leases) -> None:
        """Remove what is going by this database."""
        self._files.add(store.path)
        self._noted.set()

    def _run(self) -> None:
        whole = True
        while True:
            self._noted.wait(None if whole else RETRY_SECONDS)
            time.sleep(PAUSE_SECONDS)
            self._noted.clear()
            whole = all([self._reap(path) for path in list(self._files)])

    def _reap(self, path: str) -> bool:
        """Whether nothing is left to be done."""
        try:
            if os.path.exists(path):  # opening would make it again, in a lab that is just being removed
                reap(leases_in(path))
        except (CniError, OSError, sqlite3.Error) as error:
            log.warning("attachments that are gone keep their addresses in %s: %s", path, error)
            return False
        return True


class _Running:
    reaper: Reaper | None = None


def start_reaper() -> None:
    """From now on DEL in this process, in this network namespace, leaves the removal to a thread."""
    _Running.reaper = Reaper()


def is_running() -> bool:
    """Whether this process has a reaper."""
    return _Running.reaper is not None


def remove_later(store: Leases, key: tuple[str, str]) -> None:
    """Note that an attachment is going; for a process that has a reaper."""
    store.retire(key)
    if _Running.reaper is not None:
        _Running.reaper.wake(store)


def reap(store: Leases) -> None:
    """Remove what is going and free its addresses, now. CniError as DEL.

    One at a time: a second one that had read its list earlier might take a new interface for the old of the same name.
    """
    if not store.retired():
        return
    with open(store.path + ".reap", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        going = store.retired()
        try:
            _remove_links([holder.link for holder in going])
        except NetlinkError as error:
            raise CniError(WIRING_FAILED, str(error)) from error
        store.release_all([(holder.container_id, holder.ifname) for holder in going])


def _remove_links(names: list[str]) -> None:
    """Those that are still there: with a namespace its interfaces go by themselves."""
    with Netlink() as host:
        present = [name for name in names if _is_there(host, name)]
        try:
            with host.batch():
                for name in present:
                    host.set_link(name, group=GROUP)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:  # one that went just now
                raise
        if present:
            host.delete_group(GROUP)


def _is_there(host: Netlink, name: str) -> bool:
    try:
        return bool(host.index(name))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
