"""Network namespaces made in advance, each with a route socket in it: who needs one does not wait for the kernel.

They are held by descriptors alone, so they end with the process, whatever ends it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from netsim.host._libc import CLONE_NEWNET, setns, unshare

ROUTE_SOCKET = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
MAX_UNCLAIMED = 64
QUIET_SECONDS = 0.02


class Ready:
    """A namespace that nobody uses yet: a descriptor of it, and a socket inside."""

    __slots__ = ("fd", "sock")

    def __init__(self) -> None:
        """Made of the calling thread's namespace."""
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.sock = socket.socket(*ROUTE_SOCKET)

    def close(self) -> None:
        os.close(self.fd)
        self.sock.close()


class Pool:
    """Up to `size` namespaces, which a thread of its own makes from the first that is asked for on; it calls `prepare`
    in each. While many are asked for it waits: making them beside those who then make their own speeds up nobody.
    """

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.size, self.prepare = 0, prepare
        self._ready: deque[Ready] = deque()
        self._wanted: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._sockets: dict[str, tuple[int, socket.socket]] = {}
        self._asked = 0.0

    def take(self) -> Ready | None:
        """One of them, None when there is none just now; another will be made in its place."""
        if not self.size:
            return None
        self._asked = time.monotonic()
        self._start()
        try:
            found = self._ready.popleft()
        except IndexError:
            return None
        self._wanted.put(None)
        return found

    def _start(self) -> None:
        """Have the thread, one also when many ask for the first namespace at once."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._make_all, name="netns-pool", daemon=True)
                self._thread.start()
                for _ in range(self.size):
                    self._wanted.put(None)

    def _make_all(self) -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        while True:
            self._wanted.get()
            while (pause := self._asked + QUIET_SECONDS - time.monotonic()) > 0:
                time.sleep(pause)
            unshare(CLONE_NEWNET)
            try:
                self.prepare()
                self._ready.append(Ready())
            finally:
                setns(home, CLONE_NEWNET, "return to the pool's own network namespace")

    # --- sockets ----------------------------------------------------------------------------------------------

    def keep_socket(self, path: str, sock: socket.socket) -> None:
        """Keep the socket of the namespace now held at `path` for the first who asks; the oldest go if nobody does."""
        self._sockets[path] = os.stat(path).st_ino, sock
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
        """Close everything, in a forked child: it has the descriptors, and no thread."""
        self.size, self._thread = 0, None
        while self._ready:
            self._ready.pop().close()
        while self._sockets:
            self._sockets.popitem()[1][1].close()
