"""What the proxy asks the machine it runs on, and what of the machine it sets beside rules."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar

from netsim.host import sysctl
from netsim.host.netlink import Netlink
from netsim_proxy.config import PRIMARY, Family, ProxyConfig, networks_of
from netsim_proxy.context import nodeport_addresses, with_primary_addresses
from netsim_proxy.kernel_settings import BUCKETS_SHARE, MAX, conntrack_max, conntrack_timeouts
from netsim_proxy.metrics import Process
from netsim_proxy.model import Node

log = logging.getLogger(__name__)
_BUCKETS = "/sys/module/nf_conntrack/parameters/hashsize"
_T = TypeVar("_T")


def with_cpu_seconds(call: Callable[[], _T]) -> tuple[_T, float]:
    """What a blocking call returns, and the processor time it took in this thread and in commands that ended meanwhile.

    Commands of other threads count too: the kernel keeps one sum for a process's children.
    """
    before = _cpu_seconds()
    result = call()
    return result, _cpu_seconds() - before


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def read_process(started: float) -> Process:
    """What this process uses now; it runs since `started` (epoch seconds)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        virtual, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Process(time.process_time(), resident, virtual, len(os.listdir("/proc/self/fd")), most, started)


def read_local_addresses(config: ProxyConfig, family: Family) -> tuple[str, ...]:
    """Addresses of the machine's interfaces, looked up only where NodePorts are limited to some of them."""
    if config.nodeport_addresses != (PRIMARY,) and not networks_of(config.nodeport_addresses, family):
        return ()
    with Netlink() as netlink:
        return tuple(entry.address.split("/")[0] for entry in netlink.addresses())


def read_health_addresses(config: ProxyConfig, node: Node) -> tuple[str, ...]:
    """Where health checks of Services listen: everywhere ("0.0.0.0"), or where --nodeport-addresses limits them to."""
    config = with_primary_addresses(config, node)
    limited = [nodeport_addresses(config, family, read_local_addresses(config, family)) for family in config.families]
    if all(addresses is None for addresses in limited):
        return ("0.0.0.0",)
    return tuple(address for addresses in limited for address in addresses or ())


def ensure_conntrack(config: ProxyConfig) -> None:
    """Set what the configuration asks for of connection tracking. What cannot be set is logged: rules work without."""
    if wanted := conntrack_max(config, os.cpu_count() or 1):
        _ensure_conntrack_max(wanted)
    for name, value in conntrack_timeouts(config).items():
        try:
            sysctl.ensure_sysctl(name, value)
        except FileNotFoundError:
            log.debug("no setting %s: connection tracking is not in use yet", name)
        except OSError as error:
            log.warning("%s is not set to %d: %s", name, value, error.strerror)


def _ensure_conntrack_max(wanted: int) -> None:
    """The table is the whole machine's: in a network namespace it may not be set, and is then left alone entirely."""
    if not os.access(sysctl.path_of(MAX), os.W_OK):
        log.info("%s is left alone: it is of the whole machine (--conntrack-max-per-core=0 says so)", MAX)
        return
    sysctl.ensure_sysctl(MAX, wanted)
    try:
        with open(_BUCKETS, "r+", encoding="ascii") as file:
            if int(file.read()) < wanted // BUCKETS_SHARE:
                file.seek(0)
                file.write(str(wanted // BUCKETS_SHARE))
    except OSError as error:
        log.warning("%s is not raised to %d: %s", _BUCKETS, wanted // BUCKETS_SHARE, error.strerror)
