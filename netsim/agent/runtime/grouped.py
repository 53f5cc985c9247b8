"""A blocking function of one pod that is called for many pods at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

AT_ONCE = 32
"""Who is first waits for the last of its group."""

_Asked = tuple[str, asyncio.Future[None]]


class Grouped:
    """Hands those that are asked for while a thread works to it together when it is done. To hand each over alone, and
    to wake the event loop for each, takes as long as the work: the interpreter runs one thread at a time."""

    def __init__(self, function: Callable[[str], None], pool: Executor) -> None:
        self._function, self._pool = function, pool
        self._waiting: list[_Asked] = []
        self._working = False

    async def __call__(self, uid: str) -> None:
        """Wait until the function was called with `uid`; raises what it raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((uid, done))
        if not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._begin)  # with those that are asked for in this turn of the loop
        await done

    def _begin(self) -> None:
        some, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        self._working = bool(some)
        if some:
            uids = [uid for uid, _ in some]
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._call_all, uids)
            work.add_done_callback(lambda finished: self._settle(some, finished))

    def _call_all(self, uids: list[str]) -> list[BaseException | None]:
        return [self._call(uid) for uid in uids]

    def _call(self, uid: str) -> BaseException | None:
        try:
            self._function(uid)
        except Exception as error:  # belongs to who asked
            return error
        return None

    def _settle(self, asked: list[_Asked], finished: asyncio.Future[list[BaseException | None]]) -> None:
        if finished.cancelled():  # the pool is closed: those who wait are cancelled as well
            return
        for (_, done), error in zip(asked, finished.result(), strict=True):
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        self._begin()
