"""`netsim proxy render`: objects from anywhere, rules on standard output, faults that name object and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from netsim.cli.fault import Fault
from netsim.cli.object_files import read_objects
from netsim.cli.proxy import app
from netsim_proxy.config import ProxyConfig
from netsim_proxy.iptables import parse_save
from netsim_proxy.object_check import find_gaps, find_problem
from netsim_proxy.render import cut_objects, render_objects


def render(*args: str, stdin: str = "") -> Any:
    return CliRunner().invoke(app, ["render", "--hostname-override", "node1", *args], input=stdin)


def test_files_directories_lists_and_standard_input(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"kind": "ServiceList", "items": [without_kind(make.service())]}))
    (folder / "notes.txt").write_text("{")
    part = tmp_path / "slice.yaml"
    part.write_text("---\n" + json.dumps(make.slice(make.endpoint("10.180.0.1"))) + "\n---\n")
    other = json.dumps({"kind": "List", "items": [make.service("other", clusterIP="10.96.0.11")]})
    done = render("-f", str(folder), "-f", str(part), "-f", "-", stdin=other)
    assert done.exit_code == 0, done.output
    rules = parse_save(done.stdout)
    assert any("ns/web:http cluster IP" in rule for rule in rules["nat", "KUBE-SERVICES"])
    assert any("ns/other:http has no endpoints" in rule for rule in rules["filter", "KUBE-SERVICES"])


def without_kind(obj: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != "kind"}


def test_both_families_and_modes(make: Any, tmp_path: Path) -> None:
    file = tmp_path / "objects.json"
    file.write_text(json.dumps({"kind": "List", "items": [make.service(clusterIP="fd00::9")]}))
    assert "fd00::9/128" in render("-f", str(file), "--family", "ipv6").stdout
    assert "fd00::9" not in render("-f", str(file)).stdout
    assert "table ip6 kube-proxy" in render("-f", str(file), "--family", "ipv6", "--proxy-mode", "nftables").stdout
    with pytest.raises(Fault, match="--family ipv5: unknown; use ipv4 or ipv6"):
        raise render("-f", str(file), "--family", "ipv5").exception


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "objects.yaml, document 1: not a Kubernetes object: it has no kind"),
        ("kind: Service\n", "document 1: Service without metadata.name"),
        ("kind: List\nitems: [3]\n", "document 1, item 1: not a Kubernetes object"),
        ("a: [\n", "objects.yaml: not valid YAML"),
    ],
)
def test_faults_name_the_document(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(text)
    with pytest.raises(Fault, match=message):
        read_objects([str(file)])


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"no file in this directory ends in \.yaml, \.yml, \.json"):
        read_objects([str(tmp_path)])
    with pytest.raises(Fault, match="No such file"):
        read_objects([str(tmp_path / "none.yaml")])
    with pytest.raises(Fault, match="read once only"):
        read_objects(["-", "-"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ports": [{"name": "x"}]}, "Service ns/web: spec.ports[0].port: is missing; give a number"),
        ({"ports": {"port": 80}}, "Service ns/web: spec.ports: is {'port': 80}; give a list"),
        ({"ports": [{"port": "80"}]}, "Service ns/web: spec.ports[0].port: is '80'; give a number"),
        ({"clusterIP": 10}, "Service ns/web: spec.clusterIP: is 10; give a text"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named(make: Any, change: dict[str, Any], problem: str) -> None:
    assert find_problem(make.service(**change)) == problem
    assert not find_problem(make.service())


def test_a_slice_needs_addresses(make: Any) -> None:
    assert find_problem(make.slice({"nodeName": "n"})) == (
        "EndpointSlice ns/web-1: endpoints[0].addresses: is missing; give a list"
    )


def test_addresses_of_the_node_come_from_its_object_unless_given(make: Any) -> None:
    node = {"kind": "Node", "metadata": {"name": "node1"}, "status": {"addresses": []}}
    node["status"] = {"addresses": [{"type": "InternalIP", "address": "192.168.0.2"}]}
    config = ProxyConfig("node1")
    assert cut_objects([node], config, []).addresses == ("127.0.0.1", "::1", "192.168.0.2")
    assert cut_objects([node], config, ["10.0.0.1/24"]).addresses == ("127.0.0.1", "::1", "10.0.0.1")


def test_what_the_objects_lack_is_told(make: Any, tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    file.write_text(json.dumps({"kind": "Node", "metadata": {"name": "node2"}}))
    done = render("-f", str(file))
    assert "no Service among the objects" in done.stderr
    assert "no Node 'node1' among the objects: give --hostname-override one of node2" in done.stderr


@pytest.mark.parametrize(
    ("service", "part", "gap"),
    [
        ({"clusterIP": ""}, {}, "Service ns/web has no rules without a spec.clusterIP, which"),
        ({"clusterIP": "10.96.0"}, {}, "Service ns/web has no rules: its spec.clusterIP '10.96.0' is no IP address"),
        ({}, {"service": ""}, "EndpointSlice ns/-1 is of no Service: its label kubernetes.io/service-name is missing"),
        ({}, {"service": "x"}, "EndpointSlice ns/x-1 is of Service ns/x, which is not among the objects"),
        ({}, {"ports": [{"port": 80}]}, "EndpointSlice ns/web-1: a port without a name is left out"),
        ({}, {"ports": [{"name": "", "port": 80}]}, "Service ns/web has no port '' of protocol TCP"),
        ({}, {"addressType": "IPv6"}, "EndpointSlice ns/web-1: '10.180.0.1' is no IPv6 address and is left out"),
    ],
)
def test_why_objects_may_not_become_the_rules_that_are_expected(
    make: Any, service: dict[str, Any], part: dict[str, Any], gap: str
) -> None:
    endpoint = make.endpoint("10.180.0.1")
    (found,) = find_gaps([make.service(**service), make.slice(endpoint, **part)], "node1")
    assert gap in found
    fine = [make.service("head", clusterIP="None"), make.service("out", type="ExternalName", clusterIP="")]
    assert not list(find_gaps([make.service(), make.slice(endpoint), *fine], "node1"))


def test_the_bind_address_is_the_nodes_own(make: Any) -> None:
    """Whether the node may use a load balancer that is open to some sources only depends on it (D-04, L-04)."""
    objects = [
        make.service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24"], ingress=[{"ip": "203.0.113.1"}]),
        make.slice(make.endpoint("10.180.0.1")),
    ]
    for address, own in (("192.0.2.7", True), ("0.0.0.0", False)):
        text = render_objects(objects, ProxyConfig("node1", bind_address=address), ["10.0.0.1"])
        assert ("-s 203.0.113.1/32" in text) is own
