"""Leases: what the database allows."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from netsim_cni import errors, ipam
from netsim_cni.errors import CniError
from netsim_cni.ipam import Holder, Leases, LinkTaken, leases_at
from netsim_cni.ranges import parse_range_sets

SETS = parse_range_sets({"ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/64"}]]})


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    store = Leases(str(tmp_path / "net.sqlite"))
    yield store
    store.close()


def ips(leases: Leases, container: str, *requested: str) -> list[str]:
    wanted = tuple(ip_address(text) for text in requested)
    return [str(lease.ip) for lease in leases.allocate(SETS, (container, "eth0"), f"veth-{container}", wanted)]


def test_one_address_of_each_set_and_the_next_after_the_last(leases: Leases) -> None:
    assert ips(leases, "a") == ["10.1.0.2", "fd00::2"]
    assert ips(leases, "b") == ["10.1.0.3", "fd00::3"]
    assert [str(ip) for ip in leases.release(("b", "eth0"))] == ["10.1.0.3", "fd00::3"]
    assert ips(leases, "c") == ["10.1.0.4", "fd00::4"]
    assert leases.release(("nobody", "eth0")) == []


def test_an_address_by_a_single_statement_is_the_same(tmp_path: Path) -> None:
    """One range set takes the short way, two sets the long one."""
    short, long = Leases(str(tmp_path / "short.sqlite")), Leases(str(tmp_path / "long.sqlite"))
    chance, held = random.Random(6), []
    for number in range(300):
        key = (str(number), "eth0")
        if len(held) == 5 or (held and chance.random() < 0.4):
            gone = held.pop(chance.randrange(len(held)))
            assert short.release(gone) == long.release(gone)[:1]
        given = [store.allocate(sets, key, f"veth{number}") for store, sets in ((short, SETS[:1]), (long, SETS))]
        assert given[0] == given[1][:1]
        held.append(key)
        assert short.holders() == long.holders()
        assert short.addresses_of(key) == long.addresses_of(key)[:1]
    short.close()
    long.close()


def test_the_short_way_refuses_as_the_long_one(leases: Leases) -> None:
    one = SETS[:1]
    for container in "ab":
        leases.allocate(one, (container, "eth0"), f"veth-{container}")
    with pytest.raises(CniError, match="call DEL first"):
        leases.allocate(one, ("b", "eth0"), "veth-c")
    with pytest.raises(LinkTaken):
        leases.allocate(one, ("c", "eth0"), "veth-b")
    leases.enter(("static", "eth0"), "", (ip_address("10.1.0.4"),))
    assert str(leases.allocate(one, ("c", "eth0"), "veth-c")[0].ip) == "10.1.0.5"


def test_no_address_is_given_by_what_was_last_before_another_came(leases: Leases, tmp_path: Path) -> None:
    """The rule that an address rests while others are free holds between processes."""
    one, other = SETS[:1], Leases(str(tmp_path / "net.sqlite"))
    leases.allocate(one, ("a", "eth0"), "veth-a")
    following = "INSERT INTO following VALUES ('late', 'eth0', 'veth-late', '', 0, '10.1.0.2', '10.1.0.3')"
    other.allocate(one, ("b", "eth0"), "veth-b")
    other.release(("b", "eth0"))
    with pytest.raises(sqlite3.IntegrityError, match="another was last"):
        leases._db.execute(following)
    assert [holder.container_id for holder in leases.holders()] == ["a"]
    other.close()


def test_what_is_known_of_an_attachment(leases: Leases) -> None:
    ips(leases, "a")
    leases.enter(("b", "eth0"), "", (), ("ports4", "bandwidth"))
    assert [str(ip) for ip in leases.addresses_of(("a", "eth0"))] == ["10.1.0.2", "fd00::2"]
    assert leases.find(("a", "eth1")) is None
    assert leases.holders() == [Holder("a", "eth0", "veth-a"), Holder("b", "eth0", "", ("ports4", "bandwidth"))]
    assert leases.find(("b", "eth0")) == leases.holders()[1] and leases.addresses_of(("b", "eth0")) == []


def test_exhaustion_names_the_range_and_leaves_nothing(leases: Leases) -> None:
    for container in "abcde":
        assert not leases.is_full(SETS)
        ips(leases, container)
    assert leases.is_full(SETS)
    with pytest.raises(CniError, match=r"no IP addresses available in range set: 10\.1\.0\.1-10\.1\.0\.6") as caught:
        ips(leases, "f")
    assert caught.value.code == errors.NO_ADDRESS
    leases.release(("c", "eth0"))
    assert ips(leases, "f")[0] == "10.1.0.4"


def test_requested_addresses(leases: Leases) -> None:
    assert ips(leases, "a", "10.1.0.5") == ["10.1.0.5", "fd00::2"]
    with pytest.raises(CniError, match=r"10\.1\.0\.5 is leased to another pod") as caught:
        ips(leases, "b", "10.1.0.5")
    assert caught.value.code == errors.ADDRESS_TAKEN
    # The refused request took nothing, and a request does not move the turn.
    assert ips(leases, "c") == ["10.1.0.2", "fd00::3"]


def test_an_attachment_has_one_lease(leases: Leases) -> None:
    ips(leases, "a")
    with pytest.raises(CniError, match="call DEL first") as caught:
        ips(leases, "a")
    assert caught.value.code == errors.DUPLICATE_ATTACHMENT
    assert len(leases.allocate(SETS, ("a", "eth1"), "veth", ())) == 2


def test_an_address_of_the_configuration_is_nobody_elses(leases: Leases) -> None:
    leases.enter(("a", "eth0"), "l", (ip_address("10.9.0.5"),))
    with pytest.raises(CniError, match=r"10\.9\.0\.5 is leased to another pod") as caught:
        leases.enter(("b", "eth0"), "m", (ip_address("10.9.0.6"), ip_address("10.9.0.5")))
    assert caught.value.code == errors.ADDRESS_TAKEN and leases.find(("b", "eth0")) is None
    assert leases.release(("a", "eth0")) == [ip_address("10.9.0.5")] and leases.holders() == []


def test_an_interfaces_name_is_one_attachments(leases: Leases) -> None:
    leases.enter(("a", "eth0"), "web-1a2b3")
    with pytest.raises(LinkTaken):
        leases.enter(("b", "eth0"), "web-1a2b3", (ip_address("10.9.0.5"),))
    assert [holder.container_id for holder in leases.holders()] == ["a"]
    for container in ("c", "d"):  # interfaces that others made
        leases.enter((container, "eth0"), "")


def test_the_database_itself_forbids_a_second_lease(leases: Leases) -> None:
    ips(leases, "a")
    with pytest.raises(ipam.sqlite3.IntegrityError):
        leases._db.execute("INSERT INTO address VALUES ('10.1.0.2', 0, 'x', 'eth0')")


def test_a_file_put_in_the_place_of_the_database_is_opened_anew(tmp_path: Path) -> None:
    first = leases_at(str(tmp_path), "net")
    assert leases_at(str(tmp_path), "net") is first
    for file in tmp_path.iterdir():
        file.unlink()
    second = leases_at(str(tmp_path), "net")
    assert second is not first
    assert second.holders() == []
    ipam.close_all()


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CniError, match="cannot open the leases in") as caught:
        leases_at(str(tmp_path / "file"), "net")
    assert caught.value.code == errors.IO_FAILURE


TAKE = """
import os, signal, sys
from netsim_cni.ipam import Leases
from netsim_cni.ranges import parse_range_sets

path, name, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Leases(path)
wide = parse_range_sets({"subnet": "10.2.0.0/20"})
for number in range(60):
    if number == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    store.allocate(wide, (f"{name}-{number}", "eth0"), f"{name}-{number}")
    if number % 2:
        store.release((f"{name}-{number}", "eth0"))
store.close()
"""


def test_processes_at_once_some_of_them_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "net.sqlite")
    argv = [[sys.executable, "-c", TAKE, path, f"p{n}", "30" if n == 3 else "-1"] for n in range(4)]
    workers = [subprocess.Popen(words) for words in argv]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, -signal.SIGKILL]
    store = Leases(path)
    try:
        assert len(store.holders()) == 3 * 30 + 15
        held = [row[0] for row in store._db.execute("SELECT ip FROM address")]
        assert len(held) == len(set(held)) == 3 * 30 + 15
    finally:
        store.close()
