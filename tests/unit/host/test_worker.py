"""Visits: results, exceptions, the way home, reuse of workers, and what a fork leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from netsim.host import _worker


@pytest.fixture
def homely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going home needs a capability that unit tests do without."""
    monkeypatch.setattr(_worker, "setns", lambda *_: None)
    monkeypatch.setattr(_worker, "_idle", [])


@pytest.mark.usefixtures("homely")
def test_results_and_exceptions_come_back() -> None:
    assert _worker.run_on_worker(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        _worker.run_on_worker(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        _worker.run_on_throwaway(lambda: 1 // 0)
    assert _worker.run_on_throwaway(lambda: 5) == 5


def on_a_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


@pytest.mark.usefixtures("homely")
def test_a_thread_visits_itself_and_the_main_thread_sends_a_worker() -> None:
    assert _worker.run_visiting(threading.get_ident) != threading.get_ident()
    there, here = on_a_thread(lambda: (_worker.run_visiting(threading.get_ident), threading.get_ident()))
    assert there == here


def test_a_thread_goes_home_whatever_happened_there(monkeypatch: pytest.MonkeyPatch) -> None:
    homes: list[int] = []
    monkeypatch.setattr(_worker, "setns", lambda fd, *_: homes.append(os.fstat(fd).st_ino))
    with pytest.raises(ZeroDivisionError):
        on_a_thread(lambda: _worker.run_visiting(lambda: 1 // 0))
    assert homes == [os.stat("/proc/self/ns/net").st_ino]


def test_a_thread_that_cannot_go_home_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Aborted(Exception):
        pass

    def refuse(*_: object) -> None:
        raise PermissionError("not allowed")

    def abort() -> None:
        raise Aborted

    monkeypatch.setattr(_worker, "setns", refuse)
    monkeypatch.setattr(os, "abort", abort)
    with pytest.raises(Aborted):
        on_a_thread(lambda: _worker.run_visiting(lambda: 5))


@pytest.mark.usefixtures("homely")
def test_a_worker_is_used_again() -> None:
    assert _worker.run_on_worker(threading.get_ident) == _worker.run_on_worker(threading.get_ident)


def test_a_worker_that_cannot_go_home_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(_worker, "_idle", [])
    monkeypatch.setattr(_worker, "setns", refuse)
    with pytest.raises(PermissionError):
        _worker.run_on_worker(threading.get_ident)
    assert _worker._idle == []


@pytest.mark.usefixtures("homely")
def test_a_forked_child_makes_workers_of_its_own() -> None:
    _worker.run_on_worker(threading.get_ident)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_worker.run_on_worker(lambda: 7))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
