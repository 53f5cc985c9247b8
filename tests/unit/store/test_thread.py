from __future__ import annotations

import asyncio
import threading

import pytest

from netsim.store.thread import WorkThread


async def test_calls_come_one_after_another_and_tell_what_they_came_to() -> None:
    thread, seen, told = WorkThread("t"), list[int](), asyncio.Event()
    first = threading.Event()
    thread.submit(lambda: first.wait(5) and seen.append(1), lambda *_: None)
    thread.submit(lambda: seen.append(2), lambda *_: told.set())
    first.set()
    await asyncio.wait_for(told.wait(), 5)
    assert seen == [1, 2]
    assert await thread.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await thread.run(divmod, 7, 0)
    assert await thread.run(threading.current_thread) is await thread.run(threading.current_thread)
    worker = await thread.run(threading.current_thread)
    thread.stop()
    await asyncio.to_thread(worker.join, 5)
    assert not worker.is_alive()


async def test_a_cancelled_caller_stops_nothing() -> None:
    thread, go, done = WorkThread("t"), threading.Event(), list[bool]()
    waiting = asyncio.create_task(thread.run(lambda: done.append(go.wait(5))))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go.set()
    await thread.run(int)
    assert waiting.cancelled() and done == [True]
    thread.stop()
