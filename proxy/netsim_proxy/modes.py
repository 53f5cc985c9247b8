"""Which back end a proxy mode stands for."""

from __future__ import annotations

from netsim_proxy.backend import Backend
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.programmer import Programmer


def open_backend(config: ProxyConfig, family: Family) -> Backend:
    """The back end of `config.mode` for one family. Blocking, in the network namespace of its caller."""
    return Programmer(config, family)
