"""An event loop that calls its readers as soon as it learns that they have something to read.

asyncio's own makes each of them a callback of the next turn first, in a context of its own. A question that comes alone
finds nothing of that in the CPU's caches and waits 10 to 20 µs for it, see docs/decisions/0016-dns-hot-path.md.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Arguments = TypeVarTuple("Arguments")
Reader = Callable[[], None]


class _Selector(selectors.EpollSelector):
    """Waits for the `readers` and for what is registered, calls the ones and returns the others."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, Reader] = {}
        self.epoll = select.epoll()
        self.epoll.register(self.fileno(), select.EPOLLIN)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        registered = False
        for fd, _ in self.epoll.poll(timeout):
            reader = self.readers.get(fd)
            if reader is None:
                registered = True
            else:
                reader()
        return super().select(0) if registered else []

    def close(self) -> None:
        self.epoll.close()
        super().close()


class DnsLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, but for `add_reader`: the callback is called where asyncio would only put it in line."""

    def __init__(self) -> None:
        self._direct = _Selector()
        super().__init__(self._direct)

    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[*Arguments], Any], *args: *Arguments) -> None:
        number = _number(fd)

        def read() -> None:
            try:
                callback(*args)
            except Exception as failure:
                self.call_exception_handler({"message": f"reader {callback!r} failed", "exception": failure})

        known = number in self._direct.readers
        self._direct.readers[number] = read
        if not known:
            self._direct.epoll.register(number, select.EPOLLIN)

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        number = _number(fd)
        if self._direct.readers.pop(number, None) is None:
            return False
        self._direct.epoll.unregister(number)
        return True


def _number(fd: FileDescriptorLike) -> int:
    return fd if isinstance(fd, int) else fd.fileno()
