"""The messages that make attachments, encoded once for all of a kind: they differ in names, addresses and numbers only.

A plan is made and encoded for a pod that is none; where its values are in the messages, those of each pod go. So most
ADDs neither plan nor encode, which was a fifth of their time.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from netsim.host.patterns import Draft, Pattern, Request, make_pattern
from netsim_cni.addressing import Addressing, Assigned, RouteSpec
from netsim_cni.config import Config
from netsim_cni.plan import Op, Plan, alias_of, plan_add, pod_mac
from netsim_cni.ranges import Ip
from netsim_cni.request import Request as Attachment

KINDS = 64
NAME_SIZE, ALIAS_SIZES = 16, (64, 252)
"""Texts are filled up with zeros, which the kernel takes for their end. It takes 255 bytes of an alias."""
EXAMPLES = 8

Values = dict[bytes, bytes]
Gate = tuple[int, int, Ip | None]
"""What all pods' addresses of a range have in common: family, length of the prefix, gateway."""

encode_number = struct.Struct("=i").pack
NUMBER_NAMES = (b"index", b"bridge", b"inside", b"netns")


class Numbers(NamedTuple):
    """Indexes of the host-side interface, of the bridge and of the pod's interface; descriptor of its namespace."""

    link: int = 0
    bridge: int = 0
    inside: int = 0
    netns: int = 0


NO_NUMBERS = Numbers()


class Changes(NamedTuple):
    """What makes an attachment: the pair, then the host's and the pod's side."""

    veth: list[Request]
    host: list[Request]
    pod: list[Request]


class Wiring(NamedTuple):
    """The same as messages with holes; of `plan`, which is another pod's, only what is no message of these counts."""

    plan: Plan
    veth: Pattern
    host: Pattern
    pod: Pattern


def wiring_of(request: Attachment, addressing: Addressing) -> Wiring:
    """How an attachment is made, worked out once for all of the same configuration."""
    gates = tuple([(one.ip.version, one.prefix, one.gateway) for one in addressing.ips])
    size = _alias_size(alias_of(request).encode())
    return _compile(request.config, request.ifname, gates, addressing.routes, size)


def values_of(request: Attachment, addressing: Addressing, link: str) -> Values:
    """What is an attachment's own in its messages, but for numbers."""
    alias, mac = alias_of(request).encode(), pod_mac(request, addressing)
    size = _alias_size(alias)
    values = {b"alias": alias[: size - 1].ljust(size, b"\0"), b"link": link.encode().ljust(NAME_SIZE, b"\0")}
    if mac:
        values[b"mac"] = bytes.fromhex(mac.replace(":", ""))
    for place, one in enumerate(addressing.ips):
        values[b"ip%d" % place] = one.ip.packed
    return values


def _alias_size(alias: bytes) -> int:
    return ALIAS_SIZES[len(alias) >= ALIAS_SIZES[0]]


def changes_of(plan: Plan, ifname: str, numbers: Numbers = NO_NUMBERS) -> Changes:
    """A plan's operations as requests."""
    outside = {plan.link: numbers.link, plan.bridge_name: numbers.bridge}
    return Changes(
        _requests((plan.veth,), outside, numbers.netns),
        _requests(plan.host, outside, numbers.netns),
        _requests(plan.pod, {ifname: numbers.inside}, numbers.netns),
    )


def _requests(ops: tuple[Op, ...], indexes: dict[str, int], netns: int) -> list[Request]:
    draft = Draft(indexes, netns)
    for op in ops:
        getattr(draft, op.verb)(**op.args)
    return draft.requests


@lru_cache(maxsize=KINDS)
def _compile(
    config: Config, ifname: str, gates: tuple[Gate, ...], routes: tuple[RouteSpec, ...], alias_size: int
) -> Wiring:
    """The patterns of one example, which give another's messages when that one's values are filled in."""
    for seed in range(0, EXAMPLES, 2):
        plan, changes, values = _example(seed, config, ifname, gates, routes, alias_size)
        _, others, other = _example(seed + 1, config, ifname, gates, routes, alias_size)
        patterns = [make_pattern(part, values) for part in changes]
        if [part.fill(other) for part in patterns] == [make_pattern(part, {}).fill({}) for part in others]:
            return Wiring(plan, *patterns)
    raise RuntimeError(f"the configuration of network {config.name} has all values of the examples in it")


def _example(
    seed: int, config: Config, ifname: str, gates: tuple[Gate, ...], routes: tuple[RouteSpec, ...], alias_size: int
) -> tuple[Plan, Changes, Values]:
    """An attachment that there is none of, with values that nothing else is likely to have."""
    ips = [Assigned(_address(seed, place, gate[0]), *gate[1:]) for place, gate in enumerate(gates)]
    letter = chr(1 + seed)
    args = {"K8S_POD_NAMESPACE": letter, "K8S_POD_NAME": letter * (alias_size - 3)}
    request, addressing = Attachment("ADD", "", "", ifname, args, config), Addressing(tuple(ips), routes)
    plan = plan_add(request, addressing, letter * (NAME_SIZE - 1))
    numbers = Numbers(*(0x61A2B3C4 + 0x01030507 * (4 * seed + place) % 0x10000000 for place in range(4)))
    values = values_of(request, addressing, plan.link) | number_values(numbers)
    # What is part of another comes after it: the address is in the MAC address.
    order = sorted(values, key=lambda name: -len(values[name]))
    return plan, changes_of(plan, ifname, numbers), {name: values[name] for name in order}


def number_values(numbers: Numbers) -> Values:
    """Numbers as messages have them."""
    return {name: encode_number(value) for name, value in zip(NUMBER_NAMES, numbers, strict=True)}


def _address(seed: int, place: int, family: int) -> Ip:
    size = 4 if family == 4 else 16
    return ip_address(bytes((0xF1 - 0x1D * seed + 0x35 * byte + 0x07 * place) & 0xFF for byte in range(size)))
