"""`netsim dns lookup`: a name as a pod's resolver looks it up, step by step."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsim.cli import dns_steps
from netsim.cli.dns_steps import Answer, Asked, BadName, Step
from netsim.cli.exec import find_place
from netsim.cli.fault import Fault
from netsim.cli.options import Json, Lab, make_app, need_root, running_lab, want_json
from netsim.cli.pod_resolver import pod_hosts_file, pod_resolv_conf
from netsim.lab.paths import LabPaths
from netsim.lab.places import Obj, Place
from netsim.lab.topology import LabSpec

if TYPE_CHECKING:
    from netsim.agent.resolv import Resolv

app = make_app()
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "NS", "SOA", "MX", "ANY")
DNS_PORT, UDP_MAX, SECONDS = 53, 4096, 2.0
_NOT_FOUND = 1


@app.command("lookup", epilog="Example: netsim dns lookup web.shop --from toolbox")
def lookup(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name as a program gives it, or an address.")],
    source: Annotated[str, typer.Option("--from", metavar="POD", help="Ask as this pod; NAMESPACE/POD too.")] = "",
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NAMESPACE", help="Without --from: as a pod of this namespace.")
    ] = "default",
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="A, AAAA, SRV, PTR … (default: A and AAAA).")
    ] = None,
    output: Json = "",
    lab: Lab = "default",
) -> None:
    """Show each name that a pod's resolver tries, with rcode and answer.

    The pod's own resolv.conf (nameserver, search, ndots) says which; the questions are real packets from inside its
    network. Without --from they are a new pod's, sent from the first node. Exit status 1: nothing was found.
    """
    as_json = want_json(output)
    need_root("dns lookup")
    wanted, absolute = _question(name, types or [])
    spec, paths = running_lab(lab)
    place, pod = _asker(source, namespace, spec, paths)
    resolv = _resolver(pod, spec, paths)
    options = dict(resolv.options)
    try:
        names = dns_steps.plan_names(absolute or name, resolv.searches, dns_steps.read_ndots(options))
    except BadName as error:
        raise Fault(str(error)) from None
    known = [] if absolute else dns_steps.hosts_entry(pod_hosts_file(pod, spec, paths), name, wanted)
    steps = [] if known else _walk(names, wanted, resolv.nameservers, place)
    if as_json:
        print(json.dumps(_document(name, place, resolv, known, steps)))
    else:
        _print(absolute or name, place, resolv, known, steps)
    if not known and not steps[-1].found:
        raise typer.Exit(_NOT_FOUND)


def _question(name: str, types: Sequence[str]) -> tuple[list[str], str]:
    """The types to ask for, and the name to ask for if `name` is an address."""
    wanted = [each.upper() for each in types]
    for each in wanted:
        if each not in TYPES:
            raise Fault(f"--type {each}: unknown; use one of {', '.join(TYPES)}")
    reverse = dns_steps.reverse_name(name)
    return wanted or (["PTR"] if reverse else ["A", "AAAA"]), reverse


def _asker(source: str, namespace: str, spec: LabSpec, paths: LabPaths) -> tuple[Place, Obj]:
    """From where the questions go, and the pod whose resolver asks them."""
    if not source:
        node = spec.nodes[0].name
        meta = {"name": "", "namespace": namespace, "uid": ""}
        return Place(f"a pod of namespace {namespace}, from {node}", paths.netns(node)), {"metadata": meta, "spec": {}}
    place = find_place(source, spec, paths)
    if place.pod is None:
        raise Fault(f"--from {source}: no pod, so it has no resolver of the cluster; name a pod, or leave --from out")
    phase = place.pod.get("status", {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise Fault(f"--from {source}: pod {place.name} has ended (phase {phase}); name one that runs")
    return place, place.pod


def _resolver(pod: Obj, spec: LabSpec, paths: LabPaths) -> Resolv:
    from netsim.agent.resolv import parse_resolv

    resolv = parse_resolv(pod_resolv_conf(pod, spec, paths))
    if not resolv.nameservers:
        raise Fault("the pod's resolv.conf names no nameserver; give its spec.dnsConfig one, or another dnsPolicy")
    return resolv


def _walk(names: Sequence[str], types: Sequence[str], servers: Sequence[str], place: Place) -> list[Step]:
    steps: list[Step] = []
    for name in names:
        steps.append(Step(name, tuple(_ask(name, kind, servers, place) for kind in types)))
        if steps[-1].ends:
            break
    return steps


def _ask(name: str, kind: str, servers: Sequence[str], place: Place) -> Asked:
    """One question to the first nameserver that takes it; else the last one that answered, or the last one."""
    from dnslib import DNSRecord

    query, asked = DNSRecord.question(name, kind).pack(), list[Asked]()
    for server in servers:
        asked.append(_exchange(query, kind, server, place))
        if not dns_steps.asks_next(asked[-1].rcode):
            return asked[-1]
    return next((each for each in reversed(asked) if each.rcode not in dns_steps.SILENT), asked[-1])


def _exchange(query: bytes, kind: str, server: str, place: Place) -> Asked:
    from dnslib import DNSError, DNSRecord

    transport = "udp"
    start = time.perf_counter()
    try:
        with _connected(server, socket.SOCK_DGRAM, place) as sock:
            start = time.perf_counter()
            reply = DNSRecord.parse(_send_udp(sock, query))
        if reply.header.tc:
            transport = "tcp"
            with _connected(server, socket.SOCK_STREAM, place) as sock:
                reply = DNSRecord.parse(_send_tcp(sock, query))
    except TimeoutError:
        return Asked(kind, server, transport, dns_steps.NO_ANSWER, (), _milliseconds(start))
    except OSError:
        return Asked(kind, server, transport, dns_steps.UNREACHABLE, (), _milliseconds(start))
    except DNSError as error:
        raise Fault(f"the answer of {server} to a {kind} query cannot be read: {error}") from None
    return Asked(kind, server, transport, _rcode(reply), tuple(map(_answer, reply.rr)), _milliseconds(start))


def _milliseconds(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _rcode(reply: Any) -> str:
    from dnslib import RCODE

    return str(RCODE.get(reply.header.rcode))


def _answer(record: Any) -> Answer:
    from dnslib import QTYPE

    return Answer(str(record.rname), record.ttl, str(QTYPE.get(record.rtype)), str(record.rdata))


def _send_udp(sock: socket.socket, query: bytes) -> bytes:
    sock.send(query)
    deadline = time.monotonic() + SECONDS
    while True:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        reply = sock.recv(UDP_MAX)
        if reply[:2] == query[:2]:
            return reply


def _send_tcp(sock: socket.socket, query: bytes) -> bytes:
    sock.sendall(len(query).to_bytes(2, "big") + query)
    with sock.makefile("rb") as stream:
        reply = stream.read(int.from_bytes(stream.read(2), "big"))
    if not reply:
        raise ConnectionError("closed without an answer")
    return reply


def _connected(server: str, kind: socket.SocketKind, place: Place) -> socket.socket:
    from netsim.host import netns
    from netsim_dns.forward.recverr import TOLD_OF_ERRORS

    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    sock = netns.open_socket(place.netns, family, kind)
    try:
        sock.settimeout(SECONDS)
        sock.setsockopt(*TOLD_OF_ERRORS[family])  # as glibc does
        sock.connect((server, DNS_PORT))
    except BaseException:
        sock.close()
        raise
    return sock


def _document(name: str, place: Place, resolv: Resolv, known: list[str], steps: list[Step]) -> dict[str, Any]:
    resolver = {"nameservers": resolv.nameservers, "search": resolv.searches, "options": dict(resolv.options)}
    found: dict[str, Any] = {"name": name, "from": place.name, "resolver": resolver, "hosts": known}
    won = next((step.name for step in steps if step.found), None)
    return {**found, "steps": dns_steps.document(steps), "answered": won}


def _print(name: str, place: Place, resolv: Resolv, known: list[str], steps: list[Step]) -> None:
    write: Callable[[str], None] = print
    write(f"as {f'pod {place.name}' if place.pod else place.name}")
    for line in resolv.render().splitlines():
        write(dns_steps.folded(f"  {line}", indent="    "))
    if place.pod and dns_steps.asks_the_nodes_servers(place.pod):
        write("in its node's network and with dnsPolicy ClusterFirst it asks the node's own servers;")
        write("dnsPolicy: ClusterFirstWithHostNet would have it ask the cluster's")
    if known:
        write(f"/etc/hosts has it: {', '.join(known)}; nobody is asked")
        return
    order = dns_steps.explain_order(name, dns_steps.read_ndots(dict(resolv.options)), resolv.searches)
    write(dns_steps.folded(order))
    for line in (*dns_steps.render_steps(steps), *dns_steps.conclude(steps)):
        write(line)
