"""What is asked of a thread for many pods is handed over together, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from netsim.agent.runtime import grouped
from netsim.agent.runtime.grouped import Grouped


class Pool(ThreadPoolExecutor):
    """Counts what it is handed."""

    def __init__(self) -> None:
        super().__init__(1)
        self.handed = 0

    def submit(self, *args, **kwargs):
        self.handed += 1
        return super().submit(*args, **kwargs)


@pytest.fixture
def pool():
    with Pool() as made:
        yield made


async def test_those_who_ask_at_once_or_meanwhile_go_together(pool: Pool):
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(uid: str) -> None:
        begun.set()
        assert go_on.wait(5)
        done.append(uid)

    call = Grouped(work, pool, pool)
    first = [asyncio.create_task(call(f"a{n}")) for n in range(3)]
    while not begun.is_set():
        await asyncio.sleep(0.001)
    second = [asyncio.create_task(call(f"b{n}")) for n in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*first, *second)
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert pool.handed == 2
    await call("later")
    assert done[-1] == "later"


async def test_a_group_is_no_larger_than_so_many(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grouped, "AT_ONCE", 2)
    done: list[str] = []
    call = Grouped(done.append, pool, pool)
    await asyncio.gather(*(call(str(n)) for n in range(5)))
    assert done == ["0", "1", "2", "3", "4"]
    assert pool.handed == 3


async def test_a_failure_is_that_of_who_asked_alone(pool: Pool):
    def work(uid: str) -> None:
        if uid == "bad":
            raise OSError("no such namespace")

    call = Grouped(work, pool, pool)
    answers = await asyncio.gather(call("good"), call("bad"), call("other"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), OSError, type(None)]


async def test_who_no_longer_waits_holds_up_nobody(pool: Pool):
    done: list[str] = []
    call = Grouped(done.append, pool, pool)
    tasks = [asyncio.create_task(call(uid)) for uid in ("left", "stays")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await tasks[1]
    assert tasks[0].cancelled() and "stays" in done
    await call("next")
    assert done[-1] == "next"


async def test_who_is_behind_one_that_hangs_waits_no_longer(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grouped, "PATIENCE", 0.01)
    monkeypatch.setattr(grouped, "AT_ONCE", 4)
    done: list[str] = []
    go_on = threading.Event()

    def work(uid: str) -> None:
        if uid.startswith("hangs"):
            assert go_on.wait(30)
        done.append(uid)

    with ThreadPoolExecutor(3) as others:
        call = Grouped(work, pool, others)
        stuck = [asyncio.create_task(call(uid)) for uid in ("before", "hangs", "after", "hangs too")]
        later = [asyncio.create_task(call(f"later {n}")) for n in range(6)]
        await asyncio.wait_for(asyncio.gather(stuck[0], stuck[2], *later), 30)
        assert not stuck[1].done() and not stuck[3].done()
        assert len(done) == 8
        go_on.set()
        await asyncio.gather(*stuck)
    assert sorted(done[8:]) == ["hangs", "hangs too"]
    assert len(done) == 10
    await call("next")
    assert done[-1] == "next"


async def test_nothing_is_handed_to_a_closed_pool_for_who_no_longer_waits(pool: Pool):
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    begun, go_on = threading.Event(), threading.Event()

    def work(uid: str) -> None:
        begun.set()
        assert go_on.wait(30)

    call = Grouped(work, pool, pool)
    tasks = [asyncio.create_task(call("first"))]
    while not begun.is_set():
        await asyncio.sleep(0.001)
    tasks.append(asyncio.create_task(call("second")))
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    async with asyncio.timeout(30):
        while call._working:
            await asyncio.sleep(0.001)
    assert not errors and pool.handed == 1
