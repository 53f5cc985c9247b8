"""Visits to other network namespaces: setns(2) acts on one thread, which enters, works, and goes home.

The calling thread goes itself, since to hand the work to another takes two switches of threads, on a loaded machine
most of the time of making a pod's sandbox. Only the main thread does not, because signals' handlers run there between
any two steps: a pooled worker goes in its place.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from netsim.host._home import at_home, begin_visit, end_visit, open_namespace
from netsim.host._libc import CLONE_NEWNET, setns

MAX_IDLE = 4

log = logging.getLogger(__name__)
_Job = tuple[Callable[[], Any], "_Result"]


class _Result:
    """What one job gave: a value or an exception."""

    __slots__ = ("_done", "error", "value")

    def __init__(self) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self.value: Any = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        self._done.release()

    def get(self) -> Any:
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self.value


class _Worker:
    """One thread with an inbox; `None` in the inbox ends it."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=self._serve, name="netns-worker", daemon=True).start()

    def _serve(self) -> None:
        begin_visit()  # which never ends: it is there for nothing else
        home = open_namespace()
        try:
            while (job := self.inbox.get()) is not None:
                if not self._run(job, home):
                    return
        finally:
            os.close(home)

    def _run(self, job: _Job, home: int) -> bool:
        """Run one job, return home, and only then answer; False when this thread must end."""
        call, result = job
        try:
            result.value = call()
        except BaseException as error:  # every exception belongs to the caller, who re-raises it
            result.error = error
        try:
            setns(home, CLONE_NEWNET, "return to the worker's own network namespace")
        except OSError as error:
            result.error = result.error or error
            result.finish()
            return False
        kept = _keep(self)
        result.finish()
        return kept


_lock = threading.Lock()
_idle: list[_Worker] = []


def _keep(worker: _Worker) -> bool:
    with _lock:
        if len(_idle) >= MAX_IDLE:
            return False
        _idle.append(worker)
        return True


def _take() -> _Worker:
    with _lock:
        if _idle:
            return _idle.pop()
    return _Worker()


def _forget() -> None:
    """A forked child has none of its parent's threads, and perhaps a held lock."""
    global _lock, _idle
    _lock, _idle = threading.Lock(), []


os.register_at_fork(after_in_child=_forget)


def run_visiting(call: Callable[[], Any]) -> Any:
    """Run `call`, which may change its thread's network namespace (only that), and give its result."""
    if threading.current_thread() is threading.main_thread():
        return run_on_worker(call)
    home = at_home()
    if home is None:
        return _visit_from(call, open_namespace(), keep=False)
    return _visit_from(call, home.namespace(), keep=True)


def _visit_from(call: Callable[[], Any], home: int, keep: bool) -> Any:
    begin_visit()
    try:
        return call()
    finally:
        _go_home(home)
        end_visit()
        if not keep:
            os.close(home)


def _go_home(home: int) -> None:
    """The kernel has no reason to refuse; if it does, the process ends: the thread's next work would be done in the
    wrong network."""
    try:
        setns(home, CLONE_NEWNET, "return to the thread's own network namespace")
    except OSError:
        log.critical("a thread cannot leave another network namespace", exc_info=True)
        os.abort()


def run_on_worker(call: Callable[[], Any]) -> Any:
    """Run `call` on a pooled thread, which may change its network namespace (only that), and give its result.

    A worker that cannot go home ends, so no idle thread ever keeps a deleted namespace alive.
    """
    result = _Result()
    _take().inbox.put((call, result))
    return result.get()


def run_on_throwaway(call: Callable[[], Any]) -> Any:
    """Run `call` on a thread of its own that ends afterwards: for changes of namespaces that are not undone."""
    result = _Result()

    def job() -> None:
        begin_visit()
        try:
            result.value = call()
        except BaseException as error:  # every exception belongs to the caller, who re-raises it
            result.error = error
        result.finish()

    thread = threading.Thread(target=job, name="netns-throwaway", daemon=True)
    thread.start()
    thread.join()
    return result.get()
