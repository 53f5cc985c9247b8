"""A blocking function of one pod that is called for many pods at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

AT_ONCE = 32
"""Who is first waits for the last of its group."""
PATIENCE = 0.5
"""Seconds after which those who are behind a call that takes so long wait for it no longer."""

_Asked = tuple[str, asyncio.Future[None]]


class _Group:
    """What a thread is handed, and what it has done of that; both it and the event loop take from either end."""

    def __init__(self, asked: list[_Asked]) -> None:
        self.left, self.done = deque(asked), deque[tuple[asyncio.Future[None], Exception | None]]()
        self.given_up = False
        self.timer: asyncio.TimerHandle | None = None


class Grouped:
    """Hands those that are asked for while a thread works to it together when it is done. To hand each over alone, and
    to wake the event loop for each, takes as long as the work: the interpreter runs one thread at a time. Those whose
    group is stuck, by a plugin that hangs for instance, go to `others`, each alone."""

    def __init__(self, function: Callable[[str], None], pool: Executor, others: Executor) -> None:
        self._function, self._pool, self._others = function, pool, others
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
        waiting = [asked for asked in self._waiting if not asked[1].done()]  # but for those who gave up
        some, self._waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        self._working = bool(some)
        if some:
            group = self._hand(some, self._pool)
            self._look_later(group)

    def _hand(self, some: list[_Asked], pool: Executor) -> _Group:
        group = _Group(some)
        work = asyncio.get_running_loop().run_in_executor(pool, self._work, group)
        work.add_done_callback(partial(self._finish, group))
        return group

    def _work(self, group: _Group) -> None:
        while group.left:
            try:
                uid, done = group.left.popleft()
            except IndexError:  # the last was taken back just now
                return
            group.done.append((done, self._call(uid)))

    def _call(self, uid: str) -> Exception | None:
        try:
            self._function(uid)
        except Exception as error:  # belongs to who asked
            return error
        return None

    def _look_later(self, group: _Group) -> None:
        group.timer = asyncio.get_running_loop().call_later(PATIENCE, self._look, group)

    def _look(self, group: _Group) -> None:
        if _tell(group):
            self._look_later(group)
            return
        group.timer, group.given_up = None, True
        while group.left:
            try:
                asked = group.left.popleft()
            except IndexError:
                break
            if not asked[1].done():
                self._hand([asked], self._others).given_up = True
        self._begin()

    def _finish(self, group: _Group, work: asyncio.Future[None]) -> None:
        if group.timer is not None:
            group.timer.cancel()
        if work.cancelled():  # the pool is closed: those who wait are cancelled as well
            return
        work.result()
        _tell(group)
        if not group.given_up:
            self._begin()


def _tell(group: _Group) -> bool:
    """Answer those whose call is done; whether there were any."""
    some = bool(group.done)
    while group.done:
        done, error = group.done.popleft()
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
    return some
