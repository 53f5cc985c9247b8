"""Worker threads: results, exceptions, reuse, and what a fork leaves."""

from __future__ import annotations

import os
import threading

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
