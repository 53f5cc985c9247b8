"""The server's event loop: its readers are called at once, and what they do has all that asyncio promises."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from netsim_dns.eventloop import DnsLoop

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=DnsLoop) as runner:
        return runner.run(asyncio.wait_for(work, 10))


async def turns() -> None:
    """Enough of the loop for everything that is ready."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_reader_may_use_the_loop(pair: Pair) -> None:
    """What it schedules runs though nothing else happens; a stream and a timer go on beside it; replaced and removed
    ones are not called."""
    here, there = pair

    async def work() -> list[str]:
        loop, done, said = asyncio.get_running_loop(), asyncio.Event(), list[str]()
        reader, writer = await asyncio.open_connection(sock=there)

        def read(word: str) -> None:
            said.append(word + here.recv(1).decode())
            loop.call_soon(done.set)

        loop.add_reader(here.fileno(), read, "old ")
        loop.add_reader(here, read, "new ")
        writer.write(b"1")
        await done.wait()
        assert loop.remove_reader(here)
        assert not loop.remove_reader(here)
        writer.write(b"2")
        await turns()
        here.sendall(b"answer")
        said.append((await reader.readexactly(6)).decode())
        writer.close()
        return said

    assert run(work()) == ["new 1", "answer"]


def test_a_reader_that_fails_is_told_of_and_called_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    here, there = pair

    async def work() -> None:
        done = asyncio.Event()

        def read() -> None:
            word = here.recv(1)
            if word == b"x":
                raise RuntimeError("broken")
            done.set()

        asyncio.get_running_loop().add_reader(here, read)
        there.sendall(b"x.")
        await done.wait()

    run(work())
    assert "broken" in caplog.text


def test_a_reader_that_another_one_removes_is_not_called(pair: Pair) -> None:
    """Though both were found ready at the same time."""

    async def work() -> int:
        loop, calls = asyncio.get_running_loop(), list[socket.socket]()

        def read(this: socket.socket, other: socket.socket) -> None:
            calls.append(this)
            loop.remove_reader(other)
            this.recv(1)

        for this, other in (pair, pair[::-1]):
            other.sendall(b"x")
            loop.add_reader(this, read, this, other)
        await turns()
        return len(calls)

    assert run(work()) == 1


def test_asyncios_own_readers_leave_nothing_behind(pair: Pair) -> None:
    """A file that gets the number of one that was waited for is waited for itself."""
    here, there = pair
    here.setblocking(False)

    async def ask(other: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        loop.call_soon(other.sendall, b"answer")
        return await loop.sock_recv(here, 6)

    async def work() -> None:
        assert await ask(there) == b"answer"
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            os.dup2(near.fileno(), here.fileno())
            assert await ask(far) == b"answer"

    run(work())
