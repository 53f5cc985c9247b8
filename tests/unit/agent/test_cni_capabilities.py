"""What a pod asks of its network."""

from __future__ import annotations

import pytest

from netsim.agent.cni_capabilities import bandwidth, capabilities


def test_host_ports():
    ports = [
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "172.30.0.11"},
        {"containerPort": 81},
    ]
    pod = {"metadata": {}, "spec": {"containers": [{"name": "c", "ports": ports}, {"name": "d"}]}}
    assert capabilities(pod) == {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "172.30.0.11"},
        ]
    }
    assert capabilities({"metadata": {}, "spec": {"containers": [{"name": "c"}]}}) == {}


def test_host_ports_of_init_containers_are_those_of_sidecars():
    """As the scheduler counts them: what a container opens that has ended keeps no port from others."""
    inits = [{"name": n, "ports": [{"containerPort": p, "hostPort": p}]} for n, p in (("init", 81), ("sidecar", 82))]
    inits[1]["restartPolicy"] = "Always"
    pod = {"metadata": {}, "spec": {"initContainers": inits, "containers": [{"name": "c"}]}}
    assert [port["hostPort"] for port in capabilities(pod)["portMappings"]] == [82]


def test_bandwidth_annotations_are_bits_a_second():
    annotations = {"kubernetes.io/ingress-bandwidth": "100M", "kubernetes.io/egress-bandwidth": "1Mi", "x": "y"}
    limits = {"ingressRate": 10**8, "ingressBurst": 10**7, "egressRate": 2**20, "egressBurst": 2**20}
    assert bandwidth(annotations) == limits
    pod = {"metadata": {"annotations": annotations}, "spec": {"containers": []}}
    assert capabilities(pod) == {"bandwidth": limits}


@pytest.mark.parametrize("text", ["fast", "999", "2P", "-1M", ""])
def test_a_wrong_annotation_is_named(text):
    with pytest.raises(ValueError, match=r"annotation kubernetes.io/egress-bandwidth"):
        bandwidth({"kubernetes.io/egress-bandwidth": text})
