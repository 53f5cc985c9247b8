"""The parent of a lab's components: forks each from one preloaded image and starts again what ends.

One image means that imports are paid once, in time and in memory (children share its pages). The supervisor
holds the listening sockets of the API server too, so a client that connects while the server is being
restarted waits instead of being refused. Killing the supervisor stops nothing but the restarts.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from netsim.host import process
from netsim.lab.restart import Backoff

_TICK = 1.0
_STOP_SECONDS = 5.0
# Objects of the API are trees of many small dicts, which die without the collector: it need not look after each few.
COLLECT = (20_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the lab: `main` runs in the child until it ends; output goes to the file `log`."""

    name: str
    title: str
    main: Callable[[], None]
    log: str


@dataclass(slots=True)
class _Run:
    """The current (or next) run of a component; times are monotonic seconds."""

    component: Component
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)


def supervise_in_foreground(components: Sequence[Component], processes_file: str) -> None:
    """As `run_supervisor`, until SIGTERM or SIGINT: then the components are ended in reverse order, and it returns."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    for run in reversed(run_supervisor(components, processes_file, stop)):
        _stop(run)


def run_supervisor(
    components: Sequence[Component], processes_file: str, stop: Set[signal.Signals] = frozenset()
) -> list[_Run]:
    """Start the components in order and keep them running, until a (blocked) signal of `stop` comes."""
    process.share_one_heap()
    gc.collect()
    gc.freeze()  # the collector must not touch, and so copy, the pages shared with the children
    gc.set_threshold(*COLLECT)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    runs = [_Run(c) for c in components]
    while True:
        if _start_due(runs):
            _write_processes(runs, processes_file)
        waits = [r.due - time.monotonic() for r in runs if not r.pid]
        got = signal.sigtimedwait({signal.SIGCHLD, *stop}, max(0.0, min([_TICK, *waits])))
        _reap(runs)
        if got is not None and got.si_signo in stop:
            return runs


def _stop(run: _Run) -> None:
    """SIGTERM, and SIGKILL to what takes longer than a few seconds."""
    if not run.pid:
        return
    os.kill(run.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while not os.waitpid(run.pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(run.pid, signal.SIGKILL)
            deadline += _STOP_SECONDS
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def _start_due(runs: list[_Run]) -> bool:
    due = [r for r in runs if not r.pid and r.due <= time.monotonic()]
    for run in due:
        run.pid, run.started = _fork(run.component), time.monotonic()
    return bool(due)


def _reap(runs: list[_Run]) -> None:
    """Collect every ended child; runc's and conmon's orphans never come here (we are no subreaper)."""
    by_pid = {r.pid: r for r in runs if r.pid}
    for _ in range(len(runs)):
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in by_pid:
                _ended(by_pid[pid], status)


def _ended(run: _Run, status: int) -> None:
    now = time.monotonic()
    run.backoff = run.backoff.after_run(now - run.started)
    run.due = now + run.backoff.delay
    code = os.waitstatus_to_exitcode(status)
    print(
        f"{run.component.name} (pid {run.pid}) ended with {code}; next start in {run.backoff.delay:.1f} s", flush=True
    )
    run.pid = 0


def _fork(component: Component) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        become_daemon(component.title, component.log)
        component.main()
        code = 0
    except BaseException:  # the child must not return into the supervisor's stack, whatever happened
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def become_daemon(title: str, log: str) -> None:
    """A session of its own, signals as at the start of a program, output to `log`, no input, nobody's files open."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    _close_inherited()
    os.makedirs(os.path.dirname(log), exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    process.set_title(title)


def _close_inherited() -> None:
    """Close what the caller of our program left open: its lock (flock(1)), or a pipe whose end somebody waits for.

    What Python itself opens is never inheritable.
    """
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself, closed by now
            if fd > 2 and os.get_inheritable(fd):
                os.close(fd)


def _write_processes(runs: list[_Run], path: str) -> None:
    """Replace the file whole, so that a reader never sees half of it."""
    table = {"supervisor": os.getpid(), **{r.component.name: r.pid for r in runs}}
    with open(f"{path}.new", "w", encoding="ascii") as file:
        json.dump(table, file)
    os.replace(f"{path}.new", path)
