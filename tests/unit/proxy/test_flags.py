"""kube-proxy's flags, by command line and by configuration file."""

from __future__ import annotations

from typing import Any

import pytest

from netsim_proxy.config import ProxyConfig, split_address
from netsim_proxy.flags import (
    API_VERSION,
    FLAGS,
    KIND,
    parse_configuration,
    parse_duration,
    parse_flags,
    render_configuration,
    render_duration,
)

HEAD = {"apiVersion": API_VERSION, "kind": KIND}


def test_every_flag_sets_a_field_of_its_own():
    fields = [flag.field for flag in FLAGS]
    assert len(set(fields)) == len(fields)
    assert set(fields) <= set(ProxyConfig.__dataclass_fields__)


def test_flags_become_settings():
    given = {
        "cluster-cidr": "10.0.0.0/8, fd00::/8",
        "masquerade-all": "true",
        "iptables-localhost-nodeports": "false",
        "iptables-sync-period": "1m30s",
        "conntrack-max-per-core": "0",
    }
    config = ProxyConfig("n", **parse_flags(given))
    assert config.cluster_cidr == ("10.0.0.0/8", "fd00::/8")
    assert config.masquerade_all and not config.localhost_nodeports
    assert (config.sync_period, config.conntrack_max_per_core) == (90.0, 0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("proxy-mode", "ipvs", "--proxy-mode 'ipvs': not known"),
        ("detect-local-mode", "Magic", "--detect-local-mode 'Magic': not known; use ClusterCIDR or"),
        ("detect-local-mode", "BridgeInterface", "needs --pod-bridge-interface"),
        ("iptables-sync-period", "5", "--iptables-sync-period '5': not usable; give a duration such as 30s"),
        ("iptables-sync-period", "0s", "--iptables-sync-period must be above 0"),
        ("iptables-min-sync-period", "31s", "--iptables-min-sync-period neither negative nor above it"),
        ("iptables-masquerade-bit", "32", "give a bit from 0 to 31"),
        ("masquerade-all", "yes", "--masquerade-all 'yes': not usable; give true or false"),
        ("cluster-cidr", "10.0.0.0/40", "--cluster-cidr '10.0.0.0/40'"),
        ("nodeport-addresses", "primary,10.0.0.0/8", "give a CIDR such as 192.168.0.0/24, or primary alone"),
        ("healthz-bind-address", "10256", "--healthz-bind-address '10256': expected IP:PORT"),
        ("healthz-bind-address", "::1:10256", "an IPv6 address in brackets"),
        ("metrics-bind-address", "0.0.0.0:70000", "a port up to 65535"),
        ("bind-address", "here", "--bind-address 'here': not an IP address"),
        ("conntrack-max-per-core", "-1", "--conntrack-max-per-core must not be negative"),
    ],
)
def test_wrong_values_name_the_flag_and_what_it_takes(name: str, value: str, says: str):
    with pytest.raises(ValueError) as raised:
        ProxyConfig("n", **parse_flags({name: value}))
    assert says in str(raised.value)


def test_an_address_alone_has_the_usual_port():
    assert split_address("healthz-bind-address", "0.0.0.0") == ("0.0.0.0", 10256)
    assert split_address("metrics-bind-address", "192.168.0.2") == ("192.168.0.2", 10249)


def test_a_configuration_says_the_same_as_the_settings_it_is_made_of():
    config = ProxyConfig(
        "n", cluster_cidr=("10.0.0.0/8",), nodeport_addresses=("192.168.0.0/24",), masquerade_bit=3, sync_period=0.5,
        conntrack_max_per_core=0, conntrack_udp=0.0,
    )  # fmt: skip
    document = render_configuration(config)
    assert document["iptables"]["syncPeriod"] == "500ms"
    assert document["conntrack"]["tcpEstablishedTimeout"] == "24h0m0s"
    fields, unknown = parse_configuration(document)
    assert ProxyConfig("n", **fields) == config
    assert unknown == []


def test_a_file_as_kubeadm_writes_it_means_the_defaults():
    document = HEAD | {
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf", "qps": 0},
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {"maxPerCore": None, "min": None, "tcpEstablishedTimeout": None},
        "healthzBindAddress": "",
        "iptables": {"masqueradeAll": False, "masqueradeBit": None, "syncPeriod": "0s"},
        "ipvs": {"scheduler": "", "strictARP": False},
        "nftables": {"syncPeriod": "30s"},
        "winkernel": {"enableDSR": False},
        "configSyncPeriod": "15m0s",
        "portRange": "",
        "iptabels": {"masqueradeAll": True},
        "mode": "",
    }
    fields, unknown = parse_configuration(document)
    assert ProxyConfig("n", **fields) == ProxyConfig("n", cluster_cidr=("10.244.0.0/16",))
    assert unknown == ["configSyncPeriod", "iptabels.masqueradeAll", "nftables"]


@pytest.mark.parametrize("document", [None, {}, [], {**HEAD, "kind": "KubeletConfiguration"}, {"kind": KIND}])
def test_what_is_no_configuration_is_refused(document: Any):
    with pytest.raises(ValueError, match="expected a document with apiVersion"):
        parse_configuration(document)


def test_wrong_values_in_a_file_name_the_field():
    with pytest.raises(ValueError, match=r"iptables\.syncPeriod 5: not usable; give a duration"):
        parse_configuration(HEAD | {"iptables": {"syncPeriod": 5}})


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m30s", 90), ("24h0m0s", 86400), ("500ms", 0.5), ("0s", 0), ("1h0m5s", 3605)]
)
def test_durations_are_those_of_go(text: str, seconds: float):
    assert parse_duration(text) == seconds
    assert render_duration(seconds) == text
