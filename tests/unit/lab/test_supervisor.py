import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netsim.lab.supervisor import Component, become_daemon, supervise_in_foreground


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "did not happen within 10 s"
        time.sleep(0.01)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A supervisor in a child process with one component that waits for a signal."""
    table = tmp_path / "processes.json"
    component = Component("sleeper", "netsim test sleeper", lambda: signal.pause() and None, str(tmp_path / "log"))
    pid = os.fork()
    if pid == 0:
        try:
            supervise_in_foreground([component], str(table))
        finally:
            os._exit(0)
    yield pid, table
    if os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def pids(table: Path) -> dict[str, int]:
    return json.loads(table.read_text()) if table.exists() else {}


def test_what_is_killed_is_started_again_and_stop_ends_all(supervised: tuple[int, Path]):
    supervisor, table = supervised
    wait_for(lambda: pids(table).get("sleeper", 0) > 0)
    first = pids(table)["sleeper"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pids(table)["sleeper"] not in (0, first))
    second = pids(table)["sleeper"]
    os.kill(supervisor, signal.SIGTERM)
    os.waitpid(supervisor, 0)
    assert not os.path.exists(f"/proc/{second}")


def test_a_daemon_holds_nothing_of_its_caller(tmp_path: Path):
    """Neither its open files (a lock would stay taken) nor its ignored signals."""
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            become_daemon("netsim test daemon", str(tmp_path / "log"))
            signal.pause()
        finally:
            os._exit(3)
    os.close(theirs)
    try:
        assert os.read(ours, 1) == b""  # would wait for ever while the daemon held the other end
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    finally:
        os.close(ours)
