"""Network namespaces made in advance, each with a route socket in it: who needs one does not wait for the kernel.

They are held by descriptors alone, so they end with the process, whatever ends it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from netsim.host._libc import CLONE_NEWNET, open_timer, start_timer, unshare
from netsim.host._socket import netlink_socket
from netsim.host._worker import run_visiting

MAX_UNCLAIMED = 64
QUIET_SECONDS = 0.02
TIMER_SIZE = 8  # of what a timer gives when it is read
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds after a failure, twice as many after each further one."""

log = logging.getLogger(__name__)


class Ready:
    """A namespace that nobody uses yet: a descriptor of it, its inode number, and a socket inside."""

    __slots__ = ("fd", "inode", "sock")

    def __init__(self) -> None:
        """Made of the calling thread's namespace."""
        self.sock = netlink_socket()
        try:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.sock.close()
            raise
        self.inode = os.fstat(self.fd).st_ino

    def close(self) -> None:
        os.close(self.fd)
        self.sock.close()


class Pool:
    """Up to `size` namespaces, which a thread of its own makes from the first that is asked for on; it calls `prepare`
    in each. While many are asked for it waits: making them beside those who then make their own speeds up nobody.

    A timer wakes it, not who takes one: that thread would have to wait for it at its next system call.
    """

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.size, self.prepare = 0, prepare
        self._ready: deque[Ready] = deque()
        self._quiet, self._timer = False, -1
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._sockets: dict[str, tuple[int, socket.socket]] = {}

    def take(self) -> Ready | None:
        """One of them, None when there is none just now; another will be made in its place."""
        if not self.size:
            return None
        if self._thread is None:
            self._start()
        self._quiet = False
        start_timer(self._timer, QUIET_SECONDS)
        try:
            return self._ready.popleft()
        except IndexError:
            return None

    def _start(self) -> None:
        """Have the thread, one also when many ask for the first namespace at once."""
        with self._starting:
            if self._thread is None:
                self._timer = open_timer()
                self._thread = threading.Thread(target=self._make_all, name="netns-pool", daemon=True)
                self._thread.start()

    def _make_all(self) -> None:
        pause = 0.0
        while True:
            os.read(self._timer, TIMER_SIZE)
            self._quiet = True
            while self._quiet and len(self._ready) < self.size:
                try:
                    run_visiting(self._make)
                    pause = 0.0
                except OSError as error:  # too many files are open, for instance: those who need one make their own
                    pause = min(2 * pause or FIRST_PAUSE, LONGEST_PAUSE)
                    log.warning("no network namespace could be made in advance; next try in %.0f s: %s", pause, error)
                    time.sleep(pause)

    def _make(self) -> None:
        unshare(CLONE_NEWNET)
        self.prepare()
        self._ready.append(Ready())

    # --- sockets ----------------------------------------------------------------------------------------------

    def keep_socket(self, path: str, sock: socket.socket, inode: int) -> None:
        """Keep the socket of the namespace now held at `path` for the first who asks; the oldest go if nobody does."""
        self._sockets[path] = inode, sock
        while len(self._sockets) > MAX_UNCLAIMED:
            self.drop_socket(next(iter(self._sockets)))

    def claim_socket(self, path: str) -> socket.socket | None:
        """The socket kept for `path`, if it is of the namespace that is there."""
        kept = self._sockets.pop(path, None)
        if kept is None:
            return None
        inode, sock = kept
        if os.stat(path).st_ino == inode:
            return sock
        sock.close()
        return None

    def drop_socket(self, path: str) -> None:
        """Close the socket kept for `path`, which would keep its namespace alive."""
        kept = self._sockets.pop(path, None)
        if kept is not None:
            kept[1].close()

    def forget(self) -> None:
        """Close everything, in a forked child: it has the descriptors, and no thread, but perhaps a held lock."""
        if self._thread is not None:
            os.close(self._timer)
        self.size, self._thread, self._starting = 0, None, threading.Lock()
        while self._ready:
            self._ready.pop().close()
        while self._sockets:
            self._sockets.popitem()[1][1].close()
