"""Links, addresses, routes and neighbours by netlink."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from netsim.host import netns
from netsim.host.netlink import Netlink, NetlinkError

pytestmark = pytest.mark.root

Make = Callable[[str], str]


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


def _raise(side: Netlink, dev: str, own: int, other: int) -> None:
    side.set_link(dev, up=True)
    side.add_address(dev, f"10.0.0.{own}/24")
    side.add_neighbour(f"10.0.0.{other}", f"0a:58:00:00:00:0{other}", dev)


def test_packets_pass_a_settled_link(make: Make) -> None:
    """Of links that are not settled some one in five drops the first packet."""
    here, there = make("a"), make("b")
    with Netlink(here) as left:
        with netns.open_socket(there, socket.AF_INET, socket.SOCK_DGRAM) as to:
            to.bind(("", 9))
            to.settimeout(2)
            for number in range(30):
                left.add_veth("va", "vb", there, mac="0a:58:00:00:00:01", peer_mac="0a:58:00:00:00:02")
                _raise(left, "va", 1, 2)
                with Netlink(there) as right:
                    _raise(right, "vb", 2, 1)
                left.settle("va")
                with netns.open_socket(here, socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(bytes([number]), ("10.0.0.2", 9))
                assert to.recv(9) == bytes([number])
                left.delete_link("va")
        with pytest.raises(NetlinkError, match="settle link va: No such device"):
            left.settle("va")


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
