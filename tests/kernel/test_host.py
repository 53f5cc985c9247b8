"""The host layer on the real kernel: namespaces, links, mounts, cgroups, commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netsim.host import cgroup, conntrack, firewall, mount, netns, process, sysctl
from netsim.host.exec import CommandFailed, run
from netsim.host.netlink import Netlink, NetlinkError
from support.labs import until

pytestmark = pytest.mark.root

Make = Callable[[str], str]


@pytest.fixture
def directory() -> Iterator[str]:
    path = f"/run/netsim/hc-host-{os.getpid()}"
    yield path
    for target in mount.mounts_under(path):
        mount.unmount(target)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make(directory: str) -> Iterator[Make]:
    made: list[str] = []

    def make_(name: str) -> str:
        path = f"{directory}/netns/{name}"
        netns.create(path)
        made.append(path)
        return path

    yield make_
    for path in made:
        netns.delete(path)


@pytest.fixture
def group() -> Iterator[str]:
    top = f"netsim-hc-{os.getpid()}"
    yield f"{top}/a"
    cgroup.kill(f"{top}/a")
    cgroup.remove(f"{top}/a")
    for directory in cgroup.detect().directories(top):
        if os.path.isdir(directory):
            os.rmdir(directory)


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


@pytest.fixture
def pair(make: Make) -> Iterator[tuple[Netlink, Netlink]]:
    paths = make("a"), make("b")
    with Netlink(paths[0]) as left, Netlink(paths[1]) as right:
        left.add_veth("va", "vb", paths[1], mtu=1400, group=77, alias="shop/web", altname="hc-a-long-name-of-a-link")
        yield left, right


def test_links(pair: tuple[Netlink, Netlink]) -> None:
    left, right = pair
    link = left.link("hc-a-long-name-of-a-link")
    assert (link.name, link.kind, link.mtu, link.group, link.alias, link.up) == (
        "va",
        "veth",
        1400,
        77,
        "shop/web",
        False,
    )
    assert link.link == right.link("vb").index
    left.set_link("va", up=True, mac="0a:58:00:00:00:01", mtu=1300)
    assert (left.link("va").up, left.link("va").mac, left.link("va").mtu) == (True, "0a:58:00:00:00:01", 1300)
    left.set_down("va")
    left.rename("va", "vz")
    assert left.link(link.index).name == "vz"
    assert [one.name for one in left.links()] == ["lo", "vz"]


def test_a_bridge_and_its_ports(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    left.add_bridge("br0", mac="0a:58:00:00:00:02", up=True)
    left.set_link("va", master="br0", up=True, hairpin=True)
    assert left.link("va").master == left.link("br0").index
    left.set_link("va", master="")
    assert left.link("va").master == 0


def test_a_batch_tries_all_and_raises_the_first_error(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    with pytest.raises(NetlinkError, match=r"add address 10\.0\.0\.1/24 to va: File exists") as caught, left.batch():
        left.add_address("va", "10.0.0.1/24")
        left.add_address("va", "10.0.0.1/24")
        left.add_address("va", "10.0.1.1/24")
    assert (caught.value.errno, caught.value.asked) == (17, "add address 10.0.0.1/24 to va")
    assert [address.address for address in left.addresses("va")] == ["10.0.0.1/24", "10.0.1.1/24"]


def test_a_batch_larger_than_the_sockets_buffer(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    left.set_up("va")
    with left.batch():
        for number in range(1000):
            left.add_route(f"10.{number // 250}.{number % 250}.0/24", dev="va")
    assert len(left.routes()) == 1000


def test_nothing_of_a_batch_is_sent_when_its_block_fails(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    with pytest.raises(ZeroDivisionError), left.batch():
        left.add_address("va", "10.0.0.1/24")
        raise ZeroDivisionError
    assert left.addresses("va") == []


@pytest.mark.parametrize(("family", "net"), [(socket.AF_INET, "10.7.0.{}"), (socket.AF_INET6, "fd00:7::{}")])
def test_addresses_routes_and_neighbours(pair: tuple[Netlink, Netlink], family: int, net: str) -> None:
    left, _ = pair
    one, two, width = net.format(1), net.format(2), 32 if family == socket.AF_INET else 128
    left.set_link("va", up=True, ipv6=False)
    left.add_address("va", f"{one}/{width}")
    left.add_route(f"{two}/{width}", dev="va", src=one, protocol=96)
    left.add_route(None, via=two, dev="va", onlink=True)
    left.add_neighbour(two, "0a:58:00:00:00:09", "va")
    routes = {route.dst: route for route in left.routes(family)}
    assert (routes[f"{two}/{width}"].src, routes[f"{two}/{width}"].protocol) == (one, 96)
    assert routes["0.0.0.0/0" if width == 32 else "::/0"].via == two
    entry = next(entry for entry in left.neighbours(family) if entry.ip == two)
    assert (entry.mac, entry.state) == ("0a:58:00:00:00:09", 0x80)
    assert [address.address for address in left.addresses("va")] == [f"{one}/{width}"]
    left.del_neighbour(two, "va")
    left.del_route(None, via=two)
    left.replace_route(f"{two}/{width}", dev="lo", scope="link")
    left.del_route(f"{two}/{width}")
    left.del_address("va", f"{one}/{width}")
    assert left.addresses("va") == []
    assert [route for route in left.routes(family) if route.dst.startswith(two)] == []


def test_vxlan_forwarding(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    left.add_address("va", "10.0.0.1/24")
    left.add_vxlan("vx", 42, local="10.0.0.1", dev="va", mac="0a:58:00:00:00:01")
    left.set_up("vx")
    left.add_forwarding("00:00:00:00:00:00", "10.0.0.2", "vx")
    left.add_forwarding("00:00:00:00:00:00", "10.0.0.3", "vx")
    left.add_forwarding("0a:58:00:00:00:02", "10.0.0.2", "vx")
    assert left.link("vx").kind == "vxlan"


def test_errors_say_what_was_asked(pair: tuple[Netlink, Netlink]) -> None:
    left, _ = pair
    with pytest.raises(NetlinkError, match="change link nope: No such device"):
        left.set_up("nope")
    with pytest.raises(NetlinkError, match="find link nope: No such device"):
        left.add_address("nope", "10.0.0.1/24")
    with pytest.raises(NetlinkError, match=r"delete route 10\.9\.0\.0/24: No such process"):
        left.del_route("10.9.0.0/24")


def test_a_group_goes_at_once(pair: tuple[Netlink, Netlink]) -> None:
    left, right = pair
    left.delete_group(77)
    left.delete_group(77)
    assert [link.name for link in left.links() + right.links()] == ["lo", "lo"]
    with pytest.raises(ValueError, match="default group"):
        left.delete_group(0)


def test_sysctls_are_the_namespaces_own(make: Make) -> None:
    path = make("a")
    before = sysctl.read_sysctl("net.ipv4.ip_forward")
    netns.run_in(path, sysctl.write_sysctl, "net.ipv4.ip_forward", 1)
    assert netns.run_in(path, sysctl.read_sysctl, "net.ipv4.ip_forward") == "1"
    assert netns.run_in(path, sysctl.ensure_sysctl, "net.ipv4.ip_forward", 1) is False
    assert sysctl.read_sysctl("net.ipv4.ip_forward") == before


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
