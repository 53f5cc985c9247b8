"""Several processes behind one port: all run, one that dies comes again, a signal ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netsim_dns.config import ConfigError
from netsim_dns.server import open_pair
from netsim_dns.workers import run_workers

PROGRAM = """
import os, signal, sys
from netsim_dns import workers

def work(worker):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if len(sys.argv) > 1:
        return int(sys.argv[1])
    os.write(1, f"{worker.number} {worker.count} {len(worker.links)} {os.getpid()}\\n".encode())
    return signal.sigwait({signal.SIGTERM}) - signal.SIGTERM

workers.STARTED_SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 0
sys.exit(workers.run_workers(2, work))
"""


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def next_worker(process: subprocess.Popen[str]) -> list[int]:
    """What a worker says of itself: number, of how many, links, process id."""
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def test_a_dead_worker_is_forked_again_and_a_signal_ends_all() -> None:
    with started() as process:
        first = sorted(next_worker(process) for _ in range(2))
        assert [words[:3] for words in first] == [[0, 2, 1], [1, 2, 1]]
        os.kill(first[1][3], signal.SIGKILL)
        again = next_worker(process)
        assert again[:3] == [1, 2, 1]
        assert again[3] != first[1][3]
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize("words", [("0", "60"), ("3", "60"), ("3", "0")], ids=["at once", "failed at once", "later"])
def test_workers_that_cannot_start_or_go_on_end_all_with_their_status(words: tuple[str, str]) -> None:
    with started(*words) as process:
        assert process.wait(20) == (int(words[0]) or 1)


def test_one_worker_is_this_process() -> None:
    assert run_workers(1, lambda worker: worker.number + 10 * worker.count + os.getpid()) == 10 + os.getpid()


def test_workers_share_a_port_that_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"port 0 of 127\.0\.0\.1 cannot be shared"):
        open_pair(("127.0.0.1", 0), share=True)
    pair = open_pair(("127.0.0.1", 0))
    port = pair[0].getsockname()[1]
    for sock in pair:
        sock.close()
    pairs = [open_pair(("127.0.0.1", port), share=True) for _ in range(2)]
    for sock in (each for pair in pairs for each in pair):
        sock.close()
