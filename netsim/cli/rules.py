"""`netsim rules`: the rules of one Service on a node, in words, with the kernel's counters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import Json, Lab, make_app, need_root, running_lab, want_json
from netsim.cli.rules_query import Cluster, Source, fetch_cluster, find_service, find_sources, full_name
from netsim.lab.paths import LabPaths
from netsim.lab.places import Obj
from netsim.lab.topology import LabSpec, NodeSpec

if TYPE_CHECKING:
    from netsim_proxy.config import ProxyConfig
    from netsim_proxy.model import ServicePort
    from netsim_proxy.render import Parts
    from netsim_proxy.report import PortReport, Way

app = make_app()
_TO = ("clusterip", "nodeport", "lb", "external")


@app.command(epilog="Example: netsim rules web --from client --to nodeport --node node-2")
def rules(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="NAME, NAMESPACE/NAME or svc/NAME.")],
    namespace: Annotated[str, typer.Option("-n", "--namespace", metavar="NAMESPACE", help="The namespace.")] = "",
    source: Annotated[
        str, typer.Option("--from", metavar="POD|NODE|client", help="Follow connections from there, rule by rule.")
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="|".join(_TO), help="By this way into the Service only.")] = "",
    node: Annotated[str, typer.Option("--node", metavar="NODE", help="Whose rules (default: where --from is).")] = "",
    port: Annotated[str, typer.Option("--port", metavar="NAME|NUMBER", help="This port of the Service only.")] = "",
    family: Annotated[str, typer.Option(metavar="ipv4|ipv6", help="The address family.")] = "ipv4",
    output: Json = "",
    lab: Lab = "default",
) -> None:
    """Walk through the rules of a Service: what each does, for which endpoint, how many packets it has seen.

    Ends with what a new connection from a pod, from the node and from the outside client meets; with --from, with every
    rule on its way.
    """
    as_json = want_json(output)
    need_root("rules")
    if to and to not in _TO:
        raise Fault(f"--to {to}: unknown; use one of {', '.join(_TO)}")
    if family not in ("ipv4", "ipv6"):
        raise Fault(f"--family {family}: unknown; use ipv4 or ipv6")
    spec, paths = running_lab(lab)
    cluster = fetch_cluster(paths)
    found = find_service(service, namespace, cluster.services)
    behind = {entry["addresses"][0] for part in _slices_of(found, cluster) for entry in part.get("endpoints") or ()}
    place, sources = find_sources(source, node, cluster, spec, 6 if family == "ipv6" else 4, behind)
    config = _config(spec, place)
    parts = _parts(found, cluster, config, paths, 6 if family == "ipv6" else 4)
    chosen = [each for each in parts.services if port in ("", each.port_name, str(each.port))]
    if not chosen:
        raise Fault(_no_port(found, port, family, parts))
    read = _read_table if config.mode == "nftables" else _counters
    kernel = read(paths, place, 6 if family == "ipv6" else 4)
    reports = [_report(each, parts, config, cluster, sources, to, kernel) for each in chosen]
    if to and not any(report.walks for report in reports):
        raise Fault(f"--to {to}: Service {full_name(found)} has no such address; it has {_has(parts)}")
    if as_json:
        print(json.dumps(_document(found, place, config, family, reports)))
        return
    _print(found, place, config, family, reports, detailed=bool(source))


def _config(spec: LabSpec, node: NodeSpec) -> ProxyConfig:
    from netsim_proxy.config import ProxyConfig

    fields: dict[str, Any] = {"cluster_cidr": spec.pod_cidrs, **spec.proxy, "mode": spec.proxy_mode}
    return ProxyConfig(node.name, **fields)


def _parts(service: Obj, cluster: Cluster, config: ProxyConfig, paths: LabPaths, family: Any) -> Parts:
    from netsim.host import netns
    from netsim_proxy.render import cut_objects

    addresses = netns.run_in(paths.netns(config.hostname), _addresses)
    return cut_objects([service, *_slices_of(service, cluster), *cluster.nodes], config, addresses, family)


def _addresses() -> list[str]:
    from netsim.host.netlink import Netlink

    with Netlink() as netlink:
        return [entry.address.split("/")[0] for entry in netlink.addresses()]


def _slices_of(service: Obj, cluster: Cluster) -> Iterator[Obj]:
    meta = service["metadata"]
    for part in cluster.slices:
        owner = (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if (part["metadata"]["namespace"], owner) == (meta["namespace"], meta["name"]):
            yield part


def _no_port(service: Obj, port: str, family: str, parts: Parts) -> str:
    if parts.services:
        ports = ", ".join(each.port_name or str(each.port) for each in parts.services)
        return f"--port {port}: Service {full_name(service)} has the ports {ports}"
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return f"Service {full_name(service)} is of type ExternalName: DNS answers with the name {spec['externalName']}"
    if spec.get("clusterIP") in ("None", None, ""):
        why = "DNS answers with its pods' addresses, no rule is made for it"
        return f"Service {full_name(service)} has no ClusterIP: {why}"
    return f"Service {full_name(service)} has no address of family {family}"


def _counters(paths: LabPaths, node: NodeSpec, family: Any) -> Any:
    from netsim.host import firewall, netns
    from netsim.host.exec import CommandFailed, CommandMissing
    from netsim_proxy.recent import Recent
    from netsim_proxy.report import read_counters

    try:
        lines = netns.run_in(paths.netns(node.name), firewall.save_lines, family, counters=True)
        return read_counters(lines), Recent(*netns.run_in(paths.netns(node.name), firewall.recent_lists))
    except (CommandFailed, CommandMissing) as error:
        raise Fault(f"reading the rules of {node.name}: {error}") from None


def _read_table(paths: LabPaths, node: NodeSpec, family: Any) -> Any:
    from netsim.host import netns
    from netsim_proxy.nftables.kernel import read_table

    try:
        return netns.run_in(paths.netns(node.name), read_table, family)
    except OSError as error:
        raise Fault(f"reading the table of {node.name}: {error}") from None


def _report(
    port: ServicePort,
    parts: Parts,
    config: ProxyConfig,
    cluster: Cluster,
    sources: list[Source],
    to: str,
    kernel: Any,
) -> PortReport:
    from netsim_proxy.report import Question, iptables_report, one_port
    from netsim_proxy.report_nftables import nftables_report

    family: Any = 6 if ":" in port.cluster_ip else 4
    ways = tuple(way for each in sources for way in _ways(each, port, parts, config) if to in ("", way.way))
    question = Question(one_port(parts, port), config, family, cluster.pod_names(), ways)
    return nftables_report(question, kernel) if config.mode == "nftables" else iptables_report(question, *kernel)


def _ways(source: Source, port: ServicePort, parts: Parts, config: ProxyConfig) -> Iterator[Way]:
    """Every address of the port that a connection may be made to."""
    from netsim_proxy.report import Way

    family: Any = 6 if ":" in port.cluster_ip else 4
    pod_interface = config.bridge_interface or f"{config.interface_name_prefix}0"
    interface = pod_interface if source.interface == "pod" else source.interface
    addresses = [("clusterip", port.cluster_ip, port.port)]
    addresses += [("nodeport", parts.node.address(family), port.node_port)] if port.node_port else []
    addresses += [("lb", vip, port.port) for vip in port.vips]
    addresses += [("external", address, port.port) for address in port.external_ips]
    for way, address, number in addresses:
        yield Way(source.name, source.address, way, address, number, interface)


def _has(parts: Parts) -> str:
    port = parts.services[0]
    found = {"clusterip": True, "nodeport": port.node_port, "lb": port.vips, "external": port.external_ips}
    return ", ".join(way for way, there in found.items() if there)


def _document(service: Obj, node: NodeSpec, config: ProxyConfig, family: str, reports: list[PortReport]) -> Any:
    ports = [dataclasses.asdict(report) for report in reports]
    return {"service": full_name(service), "node": node.name, "mode": config.mode, "family": family, "ports": ports}


def _print(
    service: Obj, node: NodeSpec, config: ProxyConfig, family: str, reports: list[PortReport], *, detailed: bool
) -> None:
    from netsim_proxy.report_text import render_port

    kind = service["spec"].get("type", "ClusterIP")
    print(f"{kind} Service {full_name(service)} on {node.name} ({config.mode}, {family.replace('ipv', 'IPv')})")
    for report in reports:
        print("\n" + render_port(report, detailed=detailed))
