"""Network namespaces and sandboxes: made, entered, shared by threads, deleted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netsim.host import mount, netns
from netsim.host.exec import run

pytestmark = pytest.mark.root

Make = Callable[[str], str]


def test_a_namespace_is_another_one_with_loopback_up_and_the_caller_stays(make: Make) -> None:
    here = netns.inode()
    path = make("a")
    assert netns.exists(path) and netns.inode(path) != here
    assert netns.run_in(path, netns.inode) == netns.inode(path)
    assert netns.run_in(path, run, ["ping", "-c", "1", "-W", "2", "127.0.0.1"]).returncode == 0
    assert netns.inode() == here


def test_threads_visit_different_namespaces_at_once(make: Make) -> None:
    paths = [make(f"n{number}") for number in range(6)]
    here = netns.inode()
    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(lambda number: netns.run_in(paths[number % 6], netns.inode), range(120)))
    assert seen == [netns.inode(paths[number % 6]) for number in range(120)]
    assert netns.inode() == here


def test_create_reuses_what_a_crash_left_and_refuses_what_is_alive(make: Make, directory: str) -> None:
    os.makedirs(f"{directory}/netns")
    Path(f"{directory}/netns/a").touch()
    path = make("a")
    with pytest.raises(FileExistsError, match="delete it first"):
        netns.create(path)
    assert netns.exists(path)


def test_delete_may_be_repeated_and_leaves_no_mount(make: Make, directory: str) -> None:
    first, second = make("a"), make("b")
    assert mount.mount_of(mount.read_mounts(), f"{directory}/netns").shared
    for path in (first, first, second, f"{directory}/netns/never"):
        netns.delete(path)
    assert mount.mounts_under(directory) == []
    assert os.listdir(f"{directory}/netns") == []


def test_what_ends_with_the_boot_is_in_memory(directory: str) -> None:
    os.makedirs(directory)
    for _ in range(2):
        mount.keep_in_memory(directory, 0o711)
        assert mount.mount_of(mount.read_mounts(), directory).fstype == "tmpfs"
        assert os.stat(directory).st_mode & 0o777 == 0o711 or not mount.mounts_under(directory)
    assert mount.mounts_under(directory) in ([], [directory]), "not mounted a second time"


@pytest.mark.parametrize("propagation", ["unchanged", "slave"])
def test_unmounting_reaches_other_mount_namespaces(make: Make, propagation: str) -> None:
    """A process with a mount namespace of its own would otherwise keep every namespace it had a copy of."""
    path = make("a")
    here = netns.inode(path)
    child = subprocess.Popen(
        ["unshare", "--mount", "--propagation", propagation, "sh", "-c", "echo; read x; stat -c %i " + path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout and child.stdin
    child.stdout.readline()
    netns.delete(path)
    out, _ = child.communicate("\n", timeout=10)
    assert out.strip() != str(here)


def test_sandbox(directory: str) -> None:
    paths = {kind: f"{directory}/{kind}" for kind in ("net", "ipc", "uts")}
    name = os.uname().nodename
    netns.create_sandbox(paths["net"], paths["ipc"], paths["uts"], "web-1")
    try:
        flags = [f"--{kind}={path}" for kind, path in paths.items()]
        assert run(["nsenter", *flags, "hostname"]).stdout == b"web-1\n"
        assert os.uname().nodename == name
        assert len({netns.inode(path) for path in paths.values()}) == 3
    finally:
        for path in paths.values():
            netns.delete(path)
    assert mount.mounts_under(directory) == []


def test_a_sandbox_is_made_whole_or_not_at_all(directory: str) -> None:
    with pytest.raises(OSError, match="web"):
        netns.create_sandbox(f"{directory}/net", f"{directory}/ipc", f"{directory}/uts/" + "web" * 100, "h")
    assert mount.mounts_under(directory) == []


def test_enter_moves_this_thread_and_those_it_starts(make: Make) -> None:
    path, here, seen = make("a"), netns.inode(), []

    def visit() -> None:
        netns.enter(path)
        inner = threading.Thread(target=lambda: seen.append(netns.inode()))
        inner.start()
        inner.join(5)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join(5)
    assert seen == [netns.inode(path)] and netns.inode() == here


def test_a_socket_lives_where_it_was_opened(make: Make) -> None:
    path = make("a")
    with netns.open_socket(path, socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with netns.open_socket(path, socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(server.getsockname())
        with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
            outside.connect(server.getsockname())


def test_missing_namespace_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"no such network namespace.*hc-none"):
        netns.run_in("/run/netsim/hc-none", netns.inode)


def test_directories_made_and_emptied_by_threads_at_once_keep_their_namespaces(directory: str) -> None:
    """A namespace stays one while others come and go, and the last undoes the directory's mount."""

    def cycle(number: int) -> bool:
        path = f"{directory}/netns/t{number}"
        netns.create(path)
        alive = netns.exists(path)
        netns.delete(path)
        return alive and not os.path.exists(path)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(cycle, range(200)))
    assert mount.mounts_under(directory) == []


def test_namespaces_made_in_advance_are_as_any_other_and_end_when_deleted(directory: str) -> None:
    """In a process of its own: what is made in advance stays until the process ends."""
    script = f"""
import time
from netsim.host import netns
from netsim.host.netlink import Netlink, NetlinkError

netns.keep_ready(2)
paths = [f"{directory}/ready-{{n}}" for n in range(8)]
deadline = time.monotonic() + 20
for path in paths:
    netns.create(path)
    while not netns._pool._ready:
        assert time.monotonic() < deadline, "none is made in advance"
        time.sleep(0.005)
assert len({{netns.inode(path) for path in paths}}) == len(paths)
with Netlink(paths[0]) as node:
    for number, path in enumerate(paths[1:]):
        node.add_veth(f"to-{{number}}", "eth0", path)
    for path in paths[1:5]:
        with Netlink(path) as first, Netlink(path) as second:
            for netlink in (first, second):
                assert [(link.name, link.up) for link in netlink.links()] == [("lo", True), ("eth0", False)], path
    for path in paths[1:]:
        netns.delete(path)
    deadline = time.monotonic() + 20
    while len(node.links()) > 1:  # a veth goes with its peer's namespace
        assert time.monotonic() < deadline, node.links()
        time.sleep(0.01)
netns.delete(paths[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")


def test_namespaces_are_made_in_advance_again_after_failures(directory: str) -> None:
    """The process has too many files open for a while; a child that is forked then makes its own."""
    script = f"""
import os, time
from netsim.host import _pool, netns

_pool.FIRST_PAUSE = 0.01
failures, prepare = 3, netns._pool.prepare

def failing():
    global failures
    if failures:
        failures -= 1
        raise OSError(24, os.strerror(24))
    prepare()

netns._pool.prepare = failing
netns.keep_ready(1)
netns.create(f"{directory}/first")
deadline = time.monotonic() + 20
while not netns._pool._ready:
    assert time.monotonic() < deadline, "none is made in advance after failures"
    time.sleep(0.005)
before = netns._pool._ready[0].inode
netns.create(f"{directory}/second")
assert netns.inode(f"{directory}/second") == before
child = os.fork()
if not child:
    netns.create(f"{directory}/third")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
for name in ("first", "second", "third"):
    netns.delete(f"{directory}/{{name}}")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    assert [line.partition(";")[2] for line in done.stderr.splitlines()] == [
        f" next try in {seconds} s: [Errno 24] Too many open files" for seconds in ("0", "0", "0")
    ]
