"""What else of the machine there is a door to: sysctls, firewall, conntrack, mounts, cgroups, processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netsim.host import cgroup, conntrack, firewall, mount, netns, process, sysctl
from netsim.host.exec import CommandFailed, run
from support.labs import until

pytestmark = pytest.mark.root

Make = Callable[[str], str]


def test_sysctls_are_the_namespaces_own(make: Make) -> None:
    path = make("a")
    before = sysctl.read_sysctl("net.ipv4.ip_forward")
    netns.run_in(path, sysctl.write_sysctl, "net.ipv4.ip_forward", 1)
    assert netns.run_in(path, sysctl.read_sysctl, "net.ipv4.ip_forward") == "1"
    assert netns.run_in(path, sysctl.ensure_sysctl, "net.ipv4.ip_forward", 1) is False
    assert sysctl.read_sysctl("net.ipv4.ip_forward") == before


def test_a_setting_that_a_thread_keeps_open_is_its_namespaces_own(make: Make) -> None:
    name, (one, other) = "net.ipv4.ip_forward", (make("a"), make("b"))

    def live() -> None:
        netns.enter(one)
        for _ in range(2):
            assert sysctl.keep_sysctl(name, 1) is True
            assert sysctl.keep_sysctl(name, 1) is False
            assert sysctl.read_sysctl(name) == "1"
            assert netns.run_in(other, sysctl.keep_sysctl, name, 0) is False
            sysctl.write_sysctl(name, 0)
        netns.enter(other)
        assert sysctl.keep_sysctl(name, 0) is False
        assert sysctl.keep_sysctl(name, 1) is True
        assert netns.run_in(one, sysctl.read_sysctl, name) == "0"

    with ThreadPoolExecutor(1) as thread:
        thread.submit(live).result()


def test_sysctls_can_be_reached_without_a_proc_file_system_of_our_own(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise PermissionError(1, "a container that may not")

    path = make("a")
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3 * sysctl.RENEWED):
        netns.run_in(path, sysctl.write_sysctl, "net.ipv4.ip_forward", 1)
    assert len(os.listdir("/proc/self/fd")) <= open_files + 3  # a worker thread has two
    monkeypatch.setattr(sysctl, "open_proc", refuse)
    for _ in range(sysctl.RENEWED + 1):
        assert netns.run_in(path, sysctl.read_sysctl, "net.ipv4.ip_forward") == "1"
    with pytest.raises(FileNotFoundError, match="/proc/sys/net/none"):
        sysctl.read_sysctl("net.none")


def test_firewall_of_a_namespace(make: Make) -> None:
    path = make("a")
    payload = b"*filter\n:HC-TEST - [0:0]\n-A HC-TEST -s 10.0.0.1/32 -j ACCEPT\nCOMMIT\n"
    netns.run_in(path, firewall.restore, payload, 4)
    assert "-A HC-TEST -s 10.0.0.1/32 -j ACCEPT" in netns.run_in(path, firewall.save, 4, "filter")
    assert netns.run_in(path, firewall.run_iptables, ["-C", "HC-TEST", "-s", "10.0.0.1/32", "-j", "ACCEPT"], 4) == 0
    assert netns.run_in(path, firewall.run_iptables, ["-C", "HC-TEST", "-s", "10.0.0.2/32", "-j", "ACCEPT"], 4) == 1
    with pytest.raises(CommandFailed, match="line 2 failed"):
        netns.run_in(path, firewall.restore, b"*filter\n-A NONE -j ACCEPT\nCOMMIT\n", 4)
    netns.run_in(path, firewall.restore, b"*filter\nCOMMIT\n", 4, flush=True)
    assert "HC-TEST" not in netns.run_in(path, firewall.save, 4, "filter")
    assert firewall.backend() in ("nf_tables", "legacy")


def test_conntrack_entries_are_counted(make: Make) -> None:
    path = make("a")
    match = ["-p", "udp", "--orig-src", "127.0.0.1", "--orig-dst", "127.0.0.1"]
    netns.run_in(
        path,
        run,
        [
            "conntrack",
            "-I",
            *match[:2],
            "-s",
            "127.0.0.1",
            "-d",
            "127.0.0.1",
            "--sport",
            "5",
            "--dport",
            "6",
            "-t",
            "60",
        ],
    )
    assert netns.run_in(path, conntrack.delete_entries, *match) == 1
    assert netns.run_in(path, conntrack.delete_entries, *match) == 0


def test_mounts(directory: str) -> None:
    source, target = f"{directory}/src", f"{directory}/dst"
    os.makedirs(source)
    Path(source, "file").write_text("low", encoding="ascii")
    mount.bind(source, target, ro=True)
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "new").touch()
    mount.mount("tmpfs", f"{directory}/tmp", options="size=1m")
    mount.overlay([target], f"{directory}/tmp/upper", f"{directory}/tmp/work", f"{directory}/root")
    Path(directory, "root", "file").write_text("high", encoding="ascii")
    assert Path(source, "file").read_text(encoding="ascii") == "low"
    under = mount.mounts_under(directory)
    assert under == [f"{directory}/{name}" for name in ("root", "tmp", "dst")]
    for path in [*under, f"{directory}/none"]:
        mount.unmount(path)
    assert mount.mounts_under(directory) == []


def test_cgroups(group: str) -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 100 & sleep 100"])
    try:
        cgroup.join(group, child.pid)
        assert child.pid in cgroup.pids(group)
        threading.Thread(target=child.wait, daemon=True).start()
        assert cgroup.kill(group) >= 1
        assert cgroup.pids(group) == []
        cgroup.remove(group)
        cgroup.remove(group)
        assert not any(os.path.exists(one) for one in cgroup.detect().directories(group))
    finally:
        with contextlib.suppress(ProcessLookupError):  # killed above, as the test wants it
            os.kill(child.pid, signal.SIGKILL)


def test_processes_of_a_namespace(make: Make) -> None:
    path = make("a")
    child = netns.run_in(path, subprocess.Popen, ["sleep", "100"])
    try:
        assert process.processes_in_netns({netns.inode(path)}) == [child.pid]
        # The kernel tells Popen of the exec a moment before it has set the arguments.
        until(lambda: process.command_line(child.pid) != "")
        assert process.command_line(child.pid) == "sleep 100"
    finally:
        child.kill()
        child.wait(5)
    assert process.processes_in_netns({netns.inode(path)}) == []
