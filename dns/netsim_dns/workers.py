"""Several server processes on one port: the kernel gives each client to one of them (SO_REUSEPORT).

A process of Python answers on one core. The workers share nothing: each watches the API itself and has an index of its
own, so that none waits for another, and one that dies is forked again while the others answer.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

LOG = logging.getLogger(__name__)
# a worker that ends sooner could not start: neither would the next
STARTED_SECONDS = 1.0
_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT}
_STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` processes. Number 0 serves the probes and metrics, and has a link to each of the others in order;
    they have one to it. A link is a connected unix stream socket, and stays when a worker is forked again."""

    number: int = 0
    count: int = 1
    links: tuple[socket.socket, ...] = ()


Work = Callable[[Worker], int]


def run_workers(count: int, work: Work) -> int:
    """Run `work` in so many processes until SIGTERM or SIGINT, which they get too; the exit status of the first that
    failed.

    With one it runs in this process. Must be called before there are threads or an event loop.
    """
    return work(Worker()) if count == 1 else _Supervisor(count, work).run()


@dataclass
class _Supervisor:
    count: int
    work: Work
    status: int = 0
    stopping: bool = False
    # process id -> number of the worker, and when it was forked
    running: dict[int, tuple[int, float]] = field(default_factory=dict)

    def run(self) -> int:
        self._workers = _make_workers(self.count)
        waited = {*_PASSED_ON, signal.SIGCHLD}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
        try:
            for worker in self._workers:
                self._fork(worker)
            while self.running:
                number = signal.sigwait(waited)
                if number == signal.SIGCHLD:
                    self._reap()
                else:
                    self._pass_on(number)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for worker in self._workers:
                for link in worker.links:
                    link.close()
        return self.status

    def _fork(self, worker: Worker) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            os._exit(_run_worker(worker, self.work, parent))
        self.running[pid] = worker.number, time.monotonic()

    def _pass_on(self, number: int) -> None:
        self.stopping = self.stopping or number in _STOPPING
        for pid in self.running:
            os.kill(pid, number)

    def _reap(self) -> None:
        for pid in tuple(self.running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._ended(*self.running.pop(pid), os.waitstatus_to_exitcode(status))

    def _ended(self, number: int, forked: float, code: int) -> None:
        if self.stopping:
            self.status = self.status or (0 if -code in _STOPPING else abs(code))
        # an exit status has a reason that the next one would meet as well, such as an upstream that is this server
        elif code > 0 or time.monotonic() - forked < STARTED_SECONDS:
            self.status = abs(code) or 1
            self._pass_on(signal.SIGTERM)
        else:
            LOG.error("dns: worker %d ended with %d and is started again", number, code)
            self._fork(self._workers[number])


def _make_workers(count: int) -> list[Worker]:
    pairs = [socket.socketpair() for _ in range(count - 1)]
    first = Worker(0, count, tuple(ours for ours, _ in pairs))
    return [first, *(Worker(number, count, (theirs,)) for number, (_, theirs) in enumerate(pairs, 1))]


def _run_worker(worker: Worker, work: Work, parent: int) -> int:
    """The exit status of a worker, which ends with its supervisor however that ends."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            return 1
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_PASSED_ON, signal.SIGCHLD})
        return work(worker)
    except SystemExit as asked:
        return asked.code if isinstance(asked.code, int) else 1
    except BaseException:  # nothing may return into the supervisor's stack
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
