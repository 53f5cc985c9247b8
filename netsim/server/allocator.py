"""Allocators of Service IPs and node ports: values taken by owners, reservations for writes under way.

State lives in memory and is derived from the stored Services at start, so the Services themselves are the durable
record. A reservation is made before the write and either kept or given back after it; two concurrent requests
therefore never get the same value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Rand = Callable[[int], int]
"""A random index below its argument."""


class AllocationError(ValueError):
    """The message is the text for the user, as Kubernetes words it."""


class Allocator:
    """Integers of [first, first + size) with owners. `static` values at the low end are handed out last, so that
    requested values (such as 10.96.0.10) seldom clash with allocated ones (KEP-3070, KEP-3668).

    One owner may hold a value several times over, once for each of its writes under way: only one of those will
    succeed, and what the others give back must not free what that one keeps.
    """

    def __init__(self, first: int, size: int, *, static: int = 0) -> None:
        self._first, self._size, self._static = first, size, min(static, size)
        self._owners: dict[int, str] = {}
        self._holds: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, value: int) -> bool:
        return value in self._owners

    def in_range(self, value: int) -> bool:
        return self._first <= value < self._first + self._size

    def owner(self, value: int) -> str | None:
        return self._owners.get(value)

    def take(self, value: int, owner: str) -> bool:
        """Reserve one value; False when another owner has it."""
        if self._owners.setdefault(value, owner) != owner:
            return False
        self._holds[value] = self._holds.get(value, 0) + 1
        return True

    def allocate(self, owner: str, rand: Rand) -> int | None:
        """Reserve a free value; None when all are taken."""
        upper = self._size - self._static
        value = self._free_in(self._first + self._static, upper, rand) if upper else None
        if value is None and self._static:
            value = self._free_in(self._first, self._static, rand)
        if value is not None:
            self.take(value, owner)
        return value

    def _free_in(self, first: int, size: int, rand: Rand) -> int | None:
        start = rand(size)
        return next(
            (first + (start + i) % size for i in range(size) if first + (start + i) % size not in self._owners), None
        )

    def release(self, value: int, owner: str) -> None:
        """Give a value back, free once all of the owner's holds are; ignored when another owner has it by now."""
        if self._owners.get(value) != owner:
            return
        self._holds[value] -= 1
        if not self._holds[value]:
            del self._owners[value], self._holds[value]


def _static_band(size: int, low: int, high: int, step: int) -> int:
    if size < low:
        return 0
    return min(max(low, size // step), high)


class IpAllocator:
    """Service IPs of one CIDR; the network and (IPv4) broadcast addresses are never given out."""

    def __init__(self, cidr: str) -> None:
        self.network: IPv4Network | IPv6Network = ip_network(cidr)
        last_reserved = 1 if self.network.version == 4 else 0
        size = min(self.network.num_addresses - 1 - last_reserved, sys.maxsize)
        self._values = Allocator(int(self.network.network_address) + 1, size, static=_static_band(size, 16, 256, 16))

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    def holds(self, address: str) -> bool:
        """Whether an address may be allocated from here."""
        return self._values.in_range(int(ip_address(address))) and ip_address(address) in self.network

    def owner(self, address: str) -> str | None:
        return self._values.owner(int(ip_address(address)))

    def take(self, address: str, owner: str) -> None:
        """Reserve one address; raises AllocationError when it is out of range or taken."""
        if not self.holds(address):
            raise AllocationError(
                f"failed to allocate IP {address}: the provided network does not match the current range"
            )
        if not self._values.take(int(ip_address(address)), owner):
            raise AllocationError(f"failed to allocate IP {address}: provided IP is already allocated")

    def allocate(self, owner: str, rand: Rand) -> str:
        value = self._values.allocate(owner, rand)
        if value is None:
            raise AllocationError("failed to allocate a serviceIP: range is full")
        return str(self.network.network_address + (value - int(self.network.network_address)))

    def release(self, address: str, owner: str) -> None:
        self._values.release(int(ip_address(address)), owner)


class PortAllocator:
    """Node ports of an inclusive range."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        size = last - first + 1
        self._values = Allocator(first, size, static=_static_band(size, 16, 128, 32))

    def owner(self, port: int) -> str | None:
        return self._values.owner(port)

    def take(self, port: int, owner: str) -> None:
        if not self._values.in_range(port):
            raise AllocationError(
                f"provided port is not in the valid range. The range of valid ports is {self.first}-{self.last}"
            )
        if not self._values.take(port, owner):
            raise AllocationError("provided port is already allocated")

    def allocate(self, owner: str, rand: Rand) -> int:
        value = self._values.allocate(owner, rand)
        if value is None:
            raise AllocationError("range is full")
        return value

    def release(self, port: int, owner: str) -> None:
        self._values.release(port, owner)
