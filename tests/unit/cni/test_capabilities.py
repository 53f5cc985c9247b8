"""The bridge plugin's fields and the runtime's capabilities: what is served, and what is refused how."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from netsim_cni import errors
from netsim_cni.bridge_config import Bridge
from netsim_cni.config import parse_config
from netsim_cni.errors import CniError
from netsim_cni.runtime_config import Bandwidth, PortMapping

Conf = Callable[..., dict[str, Any]]
# The example configurations of the bridge plugin's documentation.
DOCUMENTED: list[tuple[dict[str, Any], Bridge]] = [
    (
        {
            "bridge": "mynet0",
            "isDefaultGateway": True,
            "forceAddress": False,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "subnet": "10.10.0.0/16"},
        },
        Bridge("mynet0", is_gateway=True, is_default_gateway=True, hairpin=True),
    ),
    ({"bridge": "mynet0", "ipam": {}}, Bridge("mynet0")),
    ({"bridge": "mynet0", "disableContainerInterface": True}, Bridge("mynet0", disable_container_interface=True)),
    ({"bridge": "mynet0", "portIsolation": "true"}, Bridge("mynet0", port_isolation=True)),
    ({"bridge": "mynet0", "vlan": 100, "ipam": {}}, Bridge("mynet0", vlan=100)),
    (
        {"bridge": "mynet0", "vlan": 100, "vlanTrunk": [{"id": 101}, {"minID": 200, "maxID": 299}], "ipam": {}},
        Bridge("mynet0", vlan=100, trunk=((101, 101), (200, 299))),
    ),
]


@pytest.mark.parametrize(("plugin", "bridge"), DOCUMENTED)
def test_a_bridge_configuration_needs_only_another_type(plugin: dict[str, Any], bridge: Bridge) -> None:
    config = parse_config({"cniVersion": "1.0.0", "name": "mynet", "type": "netsim"} | plugin)
    assert (config.mode, config.bridge) == ("bridge", bridge)


def test_the_rest_of_the_bridge_plugins_fields(conf: Conf) -> None:
    fields = {"promiscMode": True, "preserveDefaultVlan": True, "macspoofchk": True, "ipMasqBackend": "iptables"}
    config = parse_config(conf(**fields, enabledad=True))
    assert config.bridge == Bridge(promiscuous=True, preserve_default_vlan=True, mac_spoof_check=True)
    assert config.enable_dad


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        ({"isDefaultGatway": True}, "isDefaultGatway: True: did you mean isDefaultGateway?", errors.UNSUPPORTED_FIELD),
        ({"keyA": ["x"]}, "unsupported field keyA: ['x']", errors.UNSUPPORTED_FIELD),
        ({"ipMasqBackend": "nftables"}, "ipMasqBackend: 'nftables'", errors.UNSUPPORTED_FIELD),
        ({"runtimeConfig": {"infinibandGUID": "c2:11"}}, "runtimeConfig.infinibandGUID", errors.UNSUPPORTED_FIELD),
        ({"vlan": 4095}, "vlan 4095", errors.INVALID_CONFIG),
        ({"vlanTrunk": [{"minID": 5}]}, "vlanTrunk {'minID': 5}", errors.INVALID_CONFIG),
        ({"mode": "routed", "vlan": 5}, 'expected "mode": "bridge"', errors.INVALID_CONFIG),
        ({"hairpinMode": True, "promiscMode": True}, "hairpinMode and promiscMode", errors.INVALID_CONFIG),
        ({"disableContainerInterface": True}, "no ipam beside it", errors.INVALID_CONFIG),
        ({"vlan": 5, "isGateway": True}, "vlan: 5", errors.UNSUPPORTED_FIELD),
    ],
)
def test_what_cannot_be_served_is_refused(conf: Conf, change: dict[str, Any], words: str, code: int) -> None:
    with pytest.raises(CniError) as caught:
        parse_config(conf(**change))
    assert words in str(caught.value) and caught.value.code == code


def test_unknown_fields_keep_nothing_from_being_removed(conf: Conf) -> None:
    assert parse_config(conf(keyA=1, runtimeConfig={"x": 1}), strict=False).name == "pods"
    assert parse_config(conf(**{"cni.dev/whatever": 1})).name == "pods"


def test_port_mappings(conf: Conf) -> None:
    mappings = [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": "172.30.0.11"},
        {"hostPort": 9, "containerPort": 9, "protocol": "sctp", "hostIP": ""},
        {"hostPort": 0, "containerPort": 81},
        {"hostPort": 7, "containerPort": 7, "range": 1},
    ]
    assert parse_config(conf(runtimeConfig={"portMappings": mappings})).ports == (
        PortMapping(8080, 80, "tcp"),
        PortMapping(53, 5353, "udp", ip_address("172.30.0.11")),
        PortMapping(9, 9, "sctp"),
        PortMapping(7, 7, "tcp"),
    )


def test_bandwidth_dns_and_mac(conf: Conf) -> None:
    limits = {"ingressRate": 1000, "ingressBurst": 2000, "egressRate": 0, "egressBurst": 0}
    dns = {"servers": ["10.96.0.10"], "searches": ["a.b"], "options": ["ndots:5"]}
    config = parse_config(conf(runtimeConfig={"bandwidth": limits, "dns": dns}, dns={"nameservers": ["9.9.9.9"]}))
    assert config.bandwidth == Bandwidth(1000, 2000) and config.bandwidth and not Bandwidth()
    assert config.dns == {"nameservers": ["10.96.0.10"], "search": ["a.b"], "options": ["ndots:5"]}
    told, convention = {"MAC": "C2:00:00:00:00:01"}, {"cni": {"mac": "c2:00:00:00:00:02"}}
    assert parse_config(conf(), told).mac == "c2:00:00:00:00:01"
    assert parse_config(conf(args=convention), told).mac == "c2:00:00:00:00:02"
    assert parse_config(conf(args=convention, runtimeConfig={"mac": "c2:00:00:00:00:03"}), told).mac.endswith(":03")


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ({"portMappings": {}}, "runtimeConfig.portMappings {}"),
        ({"portMappings": [{"hostPort": 80}]}, "containerPort"),
        ({"portMappings": [{"hostPort": 70000, "containerPort": 80}]}, "hostPort 70000"),
        ({"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]}, "one of tcp, udp, sctp"),
        ({"portMappings": [{"hostPort": 80, "containerPort": 80, "hostIP": "x"}]}, "an IP address of the host"),
        ({"portMappings": [{"hostPort": 80, "containerPort": 80, "range": 3}]}, "give each port a mapping"),
        ({"bandwidth": {"ingressRate": 5}}, "give ingressRate (bits a second) and ingressBurst"),
        ({"bandwidth": {"egressRate": -5, "egressBurst": 1}}, "bandwidth.egressRate -5"),
    ],
)
def test_wrong_capabilities_are_named(conf: Conf, runtime: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_config(conf(runtimeConfig=runtime))
    assert words in str(caught.value)
