"""What is answered from: namespaces, labels, slices or none, names of pods, Services without endpoints."""

from __future__ import annotations

import json
from typing import Any

import dns.message
import dns.rcode
import pytest

from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.index import Index
from netsim_dns.records import flatten
from netsim_dns.responder import Responder
from netsim_dns.selection import select_views

from .conftest import GOLDEN

FIXTURE = list(flatten([json.loads((GOLDEN / "fixture.json").read_text())]))
OWN = [
    {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"dns": "on"}}},
    {"kind": "Service", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
     "spec": {"clusterIP": "10.96.9.1", "ports": [{"port": 80}]}},
    {"kind": "Service", "metadata": {"name": "pods", "namespace": "shop", "labels": {"app": "web"}},
     "spec": {"clusterIP": "None"}},
    {"kind": "EndpointSlice", "addressType": "IPv4",
     "metadata": {"name": "pods-1", "namespace": "shop",
                  "labels": {"app": "web", "kubernetes.io/service-name": "pods"}},
     "endpoints": [{"addresses": ["10.244.9.1"], "targetRef": {"name": "web-0"}},
                   {"addresses": ["10.244.9.2"], "hostname": "h", "targetRef": {"name": "web-1"}},
                   {"addresses": ["10.244.9.3"], "targetRef": {"name": "x" * 64}}]},
]  # fmt: skip


def ask(name: str, qtype: str = "A", **settings: Any) -> str:
    """The rcode, with the first record's data if there is any."""
    config = DnsConfig(**settings)
    index = Index(views=select_views(config))
    for obj in [*FIXTURE, *OWN]:
        index.apply(obj["kind"], None, obj, 1)
    index.set_synced()
    data = Responder(index, config).udp(dns.message.make_query(name, qtype).to_wire())
    assert isinstance(data, bytes)
    reply = dns.message.from_wire(data)
    found = [str(record) for rrset in reply.answer for record in rrset]
    return found[0] if found else dns.rcode.to_text(reply.rcode())


def test_namespaces_that_are_not_listed_are_not_there() -> None:
    only = {"namespaces": ("shop", "default")}
    assert ask("web.shop.svc.cluster.local.", **only) == "10.96.9.1"
    assert ask("svc1.testns.svc.cluster.local.") == "10.96.1.1"
    assert ask("svc1.testns.svc.cluster.local.", **only) == "NXDOMAIN"
    assert ask("1-2-3-4.testns.pod.cluster.local.", **only) == "NXDOMAIN"
    assert ask("1.1.96.10.in-addr.arpa.", "PTR", **only) == "NXDOMAIN"


def test_namespaces_may_be_chosen_by_their_labels() -> None:
    chosen = {"namespace_labels": "dns in (on, yes)"}
    assert ask("web.shop.svc.cluster.local.", **chosen) == "10.96.9.1"
    assert ask("1.9.96.10.in-addr.arpa.", "PTR", **chosen) == "web.shop.svc.cluster.local."
    assert ask("1.9.244.10.in-addr.arpa.", "PTR", **chosen) == "10-244-9-1.pods.shop.svc.cluster.local."
    for name, qtype in (("svc1.testns.svc", "A"), ("1-2-3-4.testns.pod", "A"), ("testns.svc", "NS")):
        assert ask(f"{name}.cluster.local.", qtype, **chosen) == "NXDOMAIN"
    assert [ask(f"{n}.in-addr.arpa.", "PTR", **chosen) for n in ("1.1.96.10", "1.1.244.10")] == ["NXDOMAIN"] * 2
    with pytest.raises(ConfigError, match="dns namespaces: namespace-labels is given too"):
        DnsConfig(namespaces=("shop",), **chosen)
    with pytest.raises(ConfigError, match=r"dns namespace-labels: .* use a selector such as app=web"):
        select_views(DnsConfig(namespace_labels="a in b"))


def test_a_pointer_goes_and_comes_with_its_chosen_namespace() -> None:
    config = DnsConfig(namespace_labels="dns=on", cluster_cidrs=("10.96.0.0/16",))
    index = Index(views=select_views(config), synced=True)
    responder, query = Responder(index, config), dns.message.make_query("1.9.96.10.in-addr.arpa.", "PTR").to_wire()
    index.apply("Service", None, OWN[1], 1)
    rcodes = []
    for labels in ({}, {"dns": "on"}, {}):
        index.apply("Namespace", None, {"kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}, 2)
        reply = responder.udp(query)
        assert isinstance(reply, bytes)
        rcodes.append(reply[3] & 15)
    assert rcodes == [dns.rcode.NXDOMAIN, dns.rcode.NOERROR, dns.rcode.NXDOMAIN]


def test_labels_choose_services_and_slices() -> None:
    assert ask("web.shop.svc.cluster.local.", labels="app=web") == "10.96.9.1"
    assert ask("pods.shop.svc.cluster.local.", labels="app in (web)").startswith("10.244.9.")
    assert ask("web.shop.svc.cluster.local.", labels="app!=web") == "NXDOMAIN"
    assert ask("svc1.testns.svc.cluster.local.", labels="app=web") == "NXDOMAIN"
    with pytest.raises(ConfigError, match="use a selector such as app=web"):
        select_views(DnsConfig(labels="app in"))


def test_without_endpoints_only_cluster_addresses_are_answered() -> None:
    assert ask("web.shop.svc.cluster.local.", endpoints=False) == "10.96.9.1"
    assert ask("pods.shop.svc.cluster.local.", endpoints=False) == "NXDOMAIN"
    assert ask("1.9.244.10.in-addr.arpa.", "PTR", endpoints=False) == "NXDOMAIN"


def test_endpoints_may_be_named_as_their_pods() -> None:
    names = {"endpoint_pod_names": True}
    assert ask("web-0.pods.shop.svc.cluster.local.") == "NXDOMAIN"
    assert ask("web-0.pods.shop.svc.cluster.local.", **names) == "10.244.9.1"
    assert ask("10-244-9-1.pods.shop.svc.cluster.local.", **names) == "NXDOMAIN"
    assert ask("h.pods.shop.svc.cluster.local.", **names) == "10.244.9.2", "a hostname comes first"
    assert ask("web-1.pods.shop.svc.cluster.local.", **names) == "NXDOMAIN"
    assert ask("10-244-9-3.pods.shop.svc.cluster.local.", **names) == "10.244.9.3", "64 bytes are no label"


def test_services_without_endpoints_may_be_denied() -> None:
    assert ask("emptyeps.testns.svc.cluster.local.").startswith("10.96.")
    assert ask("emptyeps.testns.svc.cluster.local.", ignore_empty=True) == "NXDOMAIN"
    assert ask("svc1.testns.svc.cluster.local.", ignore_empty=True) == "10.96.1.1"
    assert ask("ext.testns.svc.cluster.local.", "CNAME", ignore_empty=True) != "NXDOMAIN"
