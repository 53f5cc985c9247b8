"""What one block of a Corefile comes to. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..forward.config import CacheConfig, Consolidated, ForwardZone
from .syntax import Directive

INSTEAD = "leave it out, or run CoreDNS itself (dns/README.md)"


@dataclass(slots=True)
class Server:
    """What one block comes to; `names` are its plugins'. `cache` is None without a cache."""

    zones: list[str]
    names: frozenset[str]
    values: dict[str, Any] = field(default_factory=dict)
    forwards: list[ForwardZone] = field(default_factory=list)
    cache: CacheConfig | None = None
    binds: list[str] = field(default_factory=list)
    consolidated: tuple[Consolidated, ...] = ()


Plugin = Callable[[Directive, Server], None]
"""Puts what a directive says into its block's server. Raises ConfigError."""
