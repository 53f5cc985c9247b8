"""An event loop that calls its readers as soon as it learns that they have something to read.

asyncio's own makes each of them a callback of the next turn first, in a context of its own. A question that comes alone
finds nothing of that in the CPU's caches and waits 10 to 20 µs for it, see docs/decisions/0016-dns-hot-path.md.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Arguments = TypeVarTuple("Arguments")


@dataclass(slots=True)
class _Reader:
    call: Callable[[], None]


def _removed() -> None:
    """In place of a reader that was ready when another one removed it."""


class _Selector(selectors.EpollSelector):
    """Calls the readers that are ready, and returns what else is."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        others = []
        for ready in super().select(timeout):
            reader = ready[0].data
            if isinstance(reader, _Reader):
                reader.call()
            else:
                others.append(ready)
        return others


class DnsLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, but for `add_reader`: the callback is called where asyncio would only put it in line.

    What has such a reader cannot have a writer too.
    """

    def __init__(self) -> None:
        self._readers = _Selector()
        super().__init__(self._readers)

    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[*Arguments], Any], *args: *Arguments) -> None:
        def read() -> None:
            try:
                callback(*args)
            except Exception as failure:
                self.call_exception_handler({"message": f"reader {callback!r} failed", "exception": failure})

        self.remove_reader(fd)
        self._readers.register(fd, selectors.EVENT_READ, _Reader(read))

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        known = self._readers.get_map().get(fd)
        if known is None or not isinstance(known.data, _Reader):
            return super().remove_reader(fd)  # asyncio's own: of `sock_recv` and its like
        self._readers.unregister(fd)
        known.data.call = _removed
        return True
