"""What a way of putting rules into the kernel (iptables, nftables) offers to the loop that drives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from netsim_proxy.desired import Input
from netsim_proxy.model import Node


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sync: rules written or deleted, seconds taken, and whether all rules were compared with the kernel's.

    `rules` and `written` are, by iptables table, the rules that there are and those written or deleted. `renewed` says
    that what is wanted of all rules has changed, so that what was written repairs nothing.
    """

    lines: int
    seconds: float
    full: bool
    rules: Mapping[str, int] = field(default_factory=dict)
    written: Mapping[str, int] = field(default_factory=dict)
    renewed: bool = False


class SyncFailed(Exception):
    """The rules could not be read or written; the next sync compares everything."""


class Backend(Protocol):
    """Owns the rules of one family. Its methods block and are called from one thread at a time."""

    def prepare(self) -> None:
        """Kernel settings that the rules rely on."""
        ...

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        """Take in changed Services ("ns/name" -> Input) and make the kernel's rules right; raises SyncFailed.

        A first sync, one after a failure and one with `check` read the kernel's rules and repair what differs; others
        send what the changes changed.
        """
        ...

    def close(self) -> None:
        """Let go of what the process holds; the rules stay."""
        ...
