"""CHECK names what is missing; an ADD that fails leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netsim.host import conntrack, firewall
from netsim.host._transport import Transport
from netsim.host.exec import CommandFailed
from netsim.host.netlink import Netlink
from netsim_cni import errors, perform
from netsim_cni.errors import CniError
from netsim_cni.extras import bandwidth, macspoof
from netsim_cni.ipam import leases_at
from support.cni_machine import MODES, Machine

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("mode", "where", "spoil", "fault"),
    [
        ("routed", "web-1", lambda nl: nl.del_route(None, via="10.244.1.1"), "pod route 0.0.0.0/0"),
        ("routed", "web-1", lambda nl: nl.add_address("eth0", "10.9.9.9/32"), ""),
        ("routed", "web-1", lambda nl: nl.del_address("eth0", "10.244.1.2/32"), "pod address 10.244.1.2/32"),
        ("routed", "web-1", lambda nl: nl.set_down("eth0"), "pod interface eth0 is down"),
        ("routed", "web-1", lambda nl: nl.delete_link("eth0"), "pod interface eth0 is missing"),
        ("routed", "node-1", lambda nl: nl.del_route("10.244.1.2/32"), "host route 10.244.1.2/32"),
        ("bridge", "node-1", lambda nl: nl.set_link(_port(nl), master=""), "no port of bridge cni0"),
        ("bridge", "node-1", lambda nl: nl.delete_link(_port(nl)), "host interface is missing"),
    ],
)
def test_check_finds_what_is_missing(
    machine: Machine, mode: str, where: str, spoil: Callable[[Netlink], None], fault: str
) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode)
    result, _ = machine.add("node-1", "web-1", conf)
    checked = conf | {"prevResult": result}
    machine.cni("CHECK", "node-1", "web-1", checked)
    with Netlink(machine.path(where)) as netlink:
        spoil(netlink)
    if not fault:
        machine.cni("CHECK", "node-1", "web-1", checked)
        return
    with pytest.raises(CniError, match=fault) as caught:
        machine.cni("CHECK", "node-1", "web-1", checked)
    assert caught.value.code == errors.CHECK_FAILED


def _port(netlink: Netlink) -> str:
    return next(link.name for link in netlink.links() if link.kind == "veth")


def test_a_failed_add_leaves_nothing(machine: Machine) -> None:
    machine.make("node-1")
    machine.make("web-1")
    with Netlink(machine.path("web-1")) as pod:
        pod.add_bridge("eth0")
    before = machine.facts("node-1")
    with pytest.raises(CniError, match=r"eth0.*File exists") as caught:
        machine.cni("ADD", "node-1", "web-1")
    assert caught.value.code == errors.DUPLICATE_ATTACHMENT
    assert machine.facts("node-1") == before
    assert leases_at(machine.directory, "node-1").holders() == []


def test_an_add_that_fails_midway_leaves_nothing(machine: Machine) -> None:
    """The route is there already, of another interface: the kernel refuses the last step but two."""
    machine.make("node-1")
    machine.make("web-1")
    with Netlink(machine.path("node-1")) as node:
        node.add_bridge("other", up=True)
        node.add_route("10.244.1.2/32", dev="other")
    before = machine.facts("node-1")
    with pytest.raises(CniError, match=r"add route 10\.244\.1\.2/32"):
        machine.cni("ADD", "node-1", "web-1")
    with Netlink(machine.path("web-1")) as pod:
        assert [link.name for link in pod.links()] == ["lo"]
    assert machine.facts("node-1") == before
    assert leases_at(machine.directory, "node-1").holders() == []


def test_add_into_a_missing_namespace_says_so(machine: Machine) -> None:
    machine.make("node-1")
    with pytest.raises(CniError, match="no such network namespace") as caught:
        machine.cni("ADD", "node-1", "nowhere")
    assert caught.value.code == errors.UNKNOWN_CONTAINER
    assert leases_at(machine.directory, "node-1").holders() == []


def test_second_add_of_the_same_attachment_is_refused_and_harmless(machine: Machine) -> None:
    machine.make("node-1")
    _, ip = machine.add("node-1", "web-1")
    with pytest.raises(CniError) as caught:
        machine.cni("ADD", "node-1", "web-1")
    assert caught.value.code == errors.DUPLICATE_ATTACHMENT
    assert machine.reaches("node-1", ip)


class Trip:
    """Lets the `at`-th of all changes that an ADD makes fail: messages to the kernel and commands alike."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.count = at, 0
        deliver = Transport.deliver

        def tripping(transport: Transport, messages: bytes, *numbers: int) -> list[tuple[int, int, str]]:
            return [(0, 12, f"fault {at}")] if self._is_now() else deliver(transport, messages, *numbers)

        patch.setattr(Transport, "deliver", tripping)
        for module in (firewall, conntrack, bandwidth, macspoof):
            patch.setattr(module, "run", self._tripping(module.run))
        patch.setattr(perform, "keep_sysctl", self._tripping(perform.keep_sysctl))

    def _tripping(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self._is_now():
                raise CommandFailed(["fault"], self.at, f"{args}")
            return real(*args, **options)

        return call

    def _is_now(self) -> bool:
        self.count += 1
        return self.count == self.at


@pytest.mark.parametrize("mode", MODES)
def test_whichever_step_of_an_add_fails_nothing_is_left(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    machine.make("node-1")
    port = {"hostPort": 8080, "containerPort": 80, "protocol": "udp"}
    limits = {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000}
    runtime = {"portMappings": [port], "bandwidth": limits}
    bridged = {"macspoofchk": True} if mode == "bridge" else {}
    conf = machine.conf("node-1", mode, ipMasq=True, runtimeConfig=runtime, **bridged)
    machine.add("node-1", "first", conf)  # makes the bridge and the shared chains, which stay
    machine.cni("DEL", "node-1", "first", conf)
    machine.make("web-1")

    def state() -> tuple[object, ...]:
        tables = machine.shown("node-1", "nft", "list", "tables")
        return machine.facts("node-1"), machine.rules("node-1"), machine.shown("web-1", "ip", "link"), tables

    before = state()
    for at in range(1, 60):
        with monkeypatch.context() as patch:
            trip = Trip(patch, at)
            try:
                result = machine.cni("ADD", "node-1", "web-1", conf)
                break
            except (CniError, CommandFailed):
                assert trip.count >= at
        assert state() == before, f"after a fault in step {at}"
        assert leases_at(machine.directory, "node-1").holders() == [], at
    assert at > 9
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result})
