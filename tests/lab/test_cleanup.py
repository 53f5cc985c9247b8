"""After `down` the machine is as before, however the lab came to its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host, snapshot, stand_in
from support.labs import NETSIM, Lab, until

pytestmark = pytest.mark.root
NAME = f"pytest-clean-{os.getpid()}"


@pytest.fixture
def host() -> Iterator[Host]:
    with stand_in() as made:
        yield made
        made.run(*NETSIM, "down", "--lab", NAME)


def up(host: Host) -> subprocess.Popen[str]:
    """`netsim up` as a child that is a session of its own, as started from a terminal."""
    argv = host.argv(*NETSIM, "up", "--lab", NAME, "--nodes", "2")
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def test_up_and_down_leave_the_machine_as_it_was(host: Host):
    before = snapshot(host, NAME)
    assert host.run(*NETSIM, "up", "--lab", NAME, "--nodes", "2").returncode == 0
    during = snapshot(host, NAME)
    assert during.network == before.network  # a lab adds nothing to the host's own network
    assert during.mounts and during.files and during.processes
    done = host.run(*NETSIM, "down", "--lab", NAME)
    assert (done.returncode, done.stdout) == (0, f"Lab `{NAME}` is gone.\n")
    assert snapshot(host, NAME) == before


@pytest.mark.parametrize("moment", ["fabric", "API server", "nodes ready"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_leaves_nothing_behind(host: Host, how: signal.Signals, moment: str):
    before = snapshot(host, NAME)
    with up(host) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if moment in line)
        process.send_signal(how)
        process.stdout.read()
        status = process.wait(30)
    assert status == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGKILL:
        assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0
    assert snapshot(host, NAME) == before


def test_down_after_the_supervisor_and_the_server_were_killed(host: Host):
    before = snapshot(host, NAME)
    assert host.run(*NETSIM, "up", "--lab", NAME, "--nodes", "1").returncode == 0
    pids = Lab(NAME).pids()
    for name in ("supervisor", "server", "node-1"):
        os.kill(pids[name], signal.SIGKILL)
    assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0
    assert snapshot(host, NAME) == before


def test_down_takes_the_users_own_programs_in_the_lab_too(host: Host):
    assert host.run(*NETSIM, "up", "--lab", NAME, "--nodes", "1").returncode == 0
    sleeper = subprocess.Popen(host.argv(*NETSIM, "exec", "--lab", NAME, "node-1", "--", "sleep", "300"))
    until(lambda: Path(f"/proc/{sleeper.pid}/cmdline").read_bytes().startswith(b"sleep\x00"))
    assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0
    assert sleeper.wait(5) == -signal.SIGKILL


def test_labs_live_side_by_side(lab: Lab):
    other = Lab(NAME)
    other.netsim("up", "--lab", NAME, "--nodes", "1")
    try:
        listed = lab.netsim("ls").stdout
        assert lab.name in listed and NAME in listed
        assert other.get("nodes")["items"][0]["metadata"]["name"] == "node-1"
        # The same address in both labs, and two different machines behind it.
        assert "1 received" in other.exec("client", "ping", "-c1", "-W2", "172.30.0.11").stdout
        assert "1 received" not in other.exec("client", "ping", "-c1", "-W1", "172.30.0.12", check=False).stdout
        again = other.netsim("up", "--lab", NAME, check=False)
        assert again.returncode == 1 and f"lab `{NAME}` exists" in again.stderr
    finally:
        other.netsim("down", "--lab", NAME)
    assert lab.netsim("status").returncode == 0


def test_a_taken_port_is_named_and_nothing_is_left(host: Host):
    before = snapshot(host, NAME)
    listener = subprocess.Popen(host.argv("nc", "-l", "127.0.0.1", "16443"))
    try:
        until(lambda: "16443" in host.run("ss", "-ltn").stdout)
        done = host.run(*NETSIM, "up", "--lab", NAME, "--api-port", "16443")
        assert done.returncode == 1
        assert "port 16443 on 127.0.0.1 is taken" in done.stderr
    finally:
        listener.kill()
        listener.wait()
    assert snapshot(host, NAME) == before


def test_a_machine_without_iptables_is_told_so(host: Host, tmp_path: Path):
    for program in ("unshare", "ip", "conntrack", "runc", "conmon", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    before = snapshot(host, NAME)
    done = host.run("env", f"PATH={tmp_path}", *NETSIM, "up", "--lab", NAME)
    assert done.returncode == 1
    assert "apt-get install iptables" in done.stderr
    assert snapshot(host, NAME) == before
