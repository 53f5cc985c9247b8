"""The command line of the server alone: `python -m netsim_dns`, and what `netsim dns` calls."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from .config import ConfigError, DnsConfig, Listen

EXAMPLE = "example: netsim dns -f objects.yaml --listen 127.0.0.1:5353, then: dig @127.0.0.1 -p 5353 NAME"
_LISTEN = "answer there, by UDP and TCP; may be given again (default: 0.0.0.0:53)"
_PODS = "answer names made of an address (1-2-3-4.NAMESPACE.pod) or not (default: %(default)s)"
_RANGES = "range whose reverse names belong to the cluster; may be given again"


def parse_listen(text: str) -> Listen:
    """(address, port) of `ADDRESS:PORT`, `[IPV6]:PORT` or an address alone (port 53)."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.lstrip(":")
    else:
        address, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    if not address or (port and not port.isdigit()) or int(port or 53) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:5353 or [::1]:5353")
    return address, int(port or 53)


def parser() -> argparse.ArgumentParser:
    """The options and their help."""
    options = argparse.ArgumentParser("netsim dns", description="The cluster's DNS server.", epilog=EXAMPLE)
    source = options.add_mutually_exclusive_group()
    source.add_argument("-f", "--file", help="serve the objects of a YAML or JSON file, without an API")
    source.add_argument("--kubeconfig", help="the API to watch (default: the pod's own ServiceAccount)")
    options.add_argument("--listen", type=parse_listen, action="append", metavar="ADDRESS:PORT", help=_LISTEN)
    options.add_argument("--zone", default="cluster.local", help="the cluster's domain (default: %(default)s)")
    options.add_argument("--ttl", type=int, default=30, help="seconds of every record (0-3600)")
    options.add_argument("--pods", choices=("disabled", "insecure"), default="insecure", help=_PODS)
    options.add_argument("--cluster-cidr", action="append", metavar="CIDR", help=_RANGES)
    options.add_argument("--lameduck", type=float, default=5.0, help="seconds of service after SIGTERM")
    options.add_argument(
        "--health", type=parse_listen, default=None, metavar="ADDRESS:PORT", help="serve /health there"
    )
    options.add_argument("--ready", type=parse_listen, default=None, metavar="ADDRESS:PORT", help="serve /ready there")
    return options


def make_config(options: argparse.Namespace) -> DnsConfig:
    """Settings from the options; raises ConfigError."""
    default = DnsConfig()
    return DnsConfig(
        zone=options.zone.rstrip("."),
        listen=tuple(options.listen or default.listen),
        ttl=options.ttl,
        pods=options.pods,
        cluster_cidrs=tuple(options.cluster_cidr or default.cluster_cidrs),
        lameduck=options.lameduck,
        health_listen=options.health,
        ready_listen=options.ready,
    )


async def serve(options: argparse.Namespace, config: DnsConfig) -> None:
    """Serve from a file or from an API until told to stop."""
    from . import server

    if options.file:
        from .files import load_objects

        await server.run_dns_objects(config, load_objects(options.file))
        return
    from netsim.client.kubeconfig import KubeconfigError, in_cluster_client, load_client

    try:
        client = load_client(options.kubeconfig) if options.kubeconfig else in_cluster_client()
    except KubeconfigError as failure:
        raise ConfigError(f"{failure}; give --kubeconfig or -f, see --help") from failure
    try:
        await server.run_dns(config, client)
    finally:
        await client.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 after a stop by signal, 1 with a message if it cannot run."""
    options = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        asyncio.run(serve(options, make_config(options)))
    except (ConfigError, OSError) as failure:
        print(f"netsim dns: {failure}", file=sys.stderr)
        return 1
    return 0
