"""What a thread keeps open in the network namespace that it lives in, since it needs it again and again.

A socket, a setting and a descriptor are of the namespace in which they were opened. So a thread that visits another
one neither uses nor keeps any there, one that moves for good begins anew, and a forked child has none.
"""

from __future__ import annotations

import os
import socket
import threading


class Home:
    """One thread's: a route socket while nobody uses it, open settings by their names, and the namespace itself."""

    def __init__(self) -> None:
        self.settings: dict[str, int] = {}
        self._sock: socket.socket | None = None
        self._namespace, self._left = -1, False

    def take_socket(self) -> socket.socket | None:
        """The socket, for one user at a time: a signal's handler may come between two steps of another."""
        sock, self._sock = self._sock, None
        return sock

    def keep_socket(self, sock: socket.socket) -> None:
        """Keep a socket that waits for no answer; a second one is closed."""
        if self._sock is None and not self._left:
            self._sock = sock
        else:
            sock.close()

    def namespace(self) -> int:
        """A descriptor of the namespace, which stays open."""
        if self._namespace < 0:
            self._namespace = open_namespace()
        return self._namespace

    def leave(self) -> None:
        """Close everything, and keep nothing that comes back later."""
        self._left = True
        if self._sock is not None:
            self._sock.close()
        for fd in (*self.settings.values(), self._namespace):
            if fd >= 0:
                os.close(fd)
        self._sock, self._namespace = None, -1
        self.settings.clear()

    __del__ = leave


class _Thread(threading.local):
    def __init__(self) -> None:
        self.home, self.visits = Home(), 0


_thread = _Thread()


def open_namespace() -> int:
    """A descriptor of the network namespace that the calling thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def at_home() -> Home | None:
    """The calling thread's, None while it visits another namespace."""
    return None if _thread.visits else _thread.home


def begin_visit() -> None:
    """From now on the calling thread may be elsewhere."""
    _thread.visits += 1


def end_visit() -> None:
    _thread.visits -= 1


def move() -> None:
    """The calling thread is about to enter another namespace: for good, unless it is on a visit."""
    if not _thread.visits:
        _thread.home.leave()
        _thread.home = Home()


def _forget() -> None:
    global _thread
    visits, _thread = _thread.visits, _Thread()
    _thread.visits = visits


os.register_at_fork(after_in_child=_forget)
