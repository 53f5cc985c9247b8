"""Which back end a proxy mode stands for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from netsim_proxy.backend import Backend, Outcome
from netsim_proxy.cleanup import clean_iptables, clean_nftables
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.model import Node
from netsim_proxy.nftables.programmer import NftablesProgrammer
from netsim_proxy.programmer import Programmer

log = logging.getLogger(__name__)


def open_backend(config: ProxyConfig, family: Family) -> Backend:
    """The back end of `config.mode` for one family. Blocking, in the network namespace of its caller."""
    if config.mode == "nftables":
        return Successor(NftablesProgrammer(config, family), clean_iptables, family)
    return Successor(Programmer(config, family), clean_nftables, family)


class Successor:
    """A back end that takes over from the other mode: its rules go once the new ones are in the kernel.

    So no connection meets a machine without rules. That they could not be removed is logged only, as by kube-proxy.
    """

    def __init__(self, backend: Backend, clean_other: Callable[[Family], str], family: Family) -> None:
        self._backend, self._clean_other, self._family = backend, clean_other, family
        self._alone = False

    def prepare(self) -> None:
        """As the back end's."""
        self._backend.prepare()

    def sync(self, changes: Mapping[str, Input], node: Node, *, check: bool = False) -> Outcome:
        """As the back end's; the first that succeeds is followed by the other mode's end."""
        outcome = self._backend.sync(changes, node, check=check)
        if not self._alone:
            self._alone = True
            if problem := self._clean_other(self._family):
                log.error("rules of the other proxy mode were not removed: %s", problem)
        return outcome

    def close(self) -> None:
        """As the back end's."""
        self._backend.close()
