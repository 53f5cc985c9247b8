"""One thread for blocking calls, one after another; what a call comes to reaches the event loop in a single hop.

An executor's futures take several turns of the loop and a few locks for that, which counts when every write waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
Done = Callable[[Any, BaseException | None], None]
"""Told on the loop: what a call returned, or None and what it raised."""


class WorkThread:
    """Belongs to the event loop that made it; `stop` ends it after what is queued."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Callable[[], Any], Done] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any], done: Done) -> None:
        """Have `call` done after those before it, then `done` on the loop."""
        self._calls.put((call, done))

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a call; what it raises is raised here. A caller that is cancelled does not stop it."""
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: T, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.submit(partial(call, *args, **kwargs), done)
        return await future

    def stop(self) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (queued := self._calls.get()) is not None:
            result, error = _outcome(queued[0])
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(queued[1], result, error)
            del queued, result, error  # not to be kept alive until the next call


def _outcome(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except BaseException as error:
        return None, error
