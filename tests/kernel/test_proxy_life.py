"""The proxy's life on a node of its own: what it answers, how it bears storms and a sudden end, what it leaves."""

from __future__ import annotations

import http.client
import json
import random
import re
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from netsim.cli import proxy as proxy_verb
from netsim.host import firewall, netns, sysctl
from netsim.host.exec import run
from netsim_proxy.backend import SyncFailed
from netsim_proxy.cleanup import clean_up
from netsim_proxy.config import ProxyConfig
from netsim_proxy.iptables import parse_save
from netsim_proxy.model import Node
from netsim_proxy.programmer import Programmer
from support.labs import until
from support.proxy_api import Api, ProxyThread
from support.proxy_storm import kill_storm, names, some_input
from support.proxy_world import endpoints, service
from support.rulesets import comparable

pytestmark = pytest.mark.root
HEALTHZ, METRICS, CHECK = 10256, 10249, 32017


class NodeAlone:
    """A namespace with a proxy in it, and a client's view of its ports."""

    def __init__(self) -> None:
        self.path = f"/run/nsproxy-life-{uuid.uuid4().hex[:8]}"
        netns.create(self.path)
        self.api = Api()
        self.proxy: ProxyThread | None = None

    def start(self, **flags: Any) -> ProxyThread:
        self.proxy = ProxyThread(self.path, self.api, ProxyConfig("node1", **flags))
        return self.proxy

    def stop(self) -> None:
        if self.proxy:
            self.proxy.stop()
            self.proxy = None

    def get(self, port: int, path: str = "/", host: str = "127.0.0.1") -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of the answer to a GET; status 0 if nobody answers."""

        def ask() -> tuple[int, str, dict[str, str]]:
            connection = http.client.HTTPConnection(host, port, timeout=3)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode(), dict(answer.getheaders())
            except OSError:  # also a port that is being closed, which may break off or forget who has just come
                return 0, "", {}
            finally:
                connection.close()

        result: tuple[int, str, dict[str, str]] = netns.run_in(self.path, ask)
        return result

    def metric(self, name: str) -> float:
        lines = self.get(METRICS, "/metrics")[1].splitlines()
        found = [line for line in lines if line.startswith(f"kubeproxy_{name} ")]
        assert found, f"no {name}"
        return float(found[0].split()[1])

    def rules(self, table: str = "") -> str:
        return str(netns.run_in(self.path, firewall.save, 4, table))


@pytest.fixture
def alone() -> Iterator[NodeAlone]:
    made = NodeAlone()
    try:
        yield made
    finally:
        made.stop()
        netns.delete(made.path)


def balanced(name: str = "lb", port: int = CHECK) -> dict[str, Any]:
    return service(
        name, "10.96.0.20", 30020, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=port
    )


def node(**taints: Any) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": "node1"}, "spec": taints, "status": {}}


def test_health_metrics_and_health_checks_follow_the_cluster(alone: NodeAlone) -> None:
    alone.api.put(node())
    alone.api.put(balanced())
    alone.api.put(endpoints("lb", "10.180.0.11", "10.180.1.21"))
    proxy = alone.start()
    proxy.wait_synced()
    until(lambda: [e["reason"] for e in alone.api.events] == ["Starting"])
    told = alone.api.events[0]
    about = told["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("Node", "node1", "node1")
    assert (told["action"], told["reportingInstance"], told["source"]) == ("StartKubeProxy", "kube-proxy-node1", {})

    assert alone.get(HEALTHZ, "/healthz")[0] == alone.get(HEALTHZ, "/livez")[0] == 200
    assert alone.get(HEALTHZ, "/other")[0] == 404
    assert alone.get(METRICS, "/proxyMode")[1] == "iptables"
    assert alone.get(METRICS, "/healthz")[1] == "ok"
    assert json.loads(alone.get(METRICS, "/configz")[1])["kubeproxy.config.k8s.io"]["mode"] == "iptables"

    own = dict(re.findall(r"^(process_\w+) (\S+)$", alone.get(METRICS, "/metrics")[1], re.M))
    assert float(own["process_resident_memory_bytes"]) < float(own["process_virtual_memory_bytes"])
    assert 0 < float(own["process_open_fds"]) < float(own["process_max_fds"])
    assert float(own["process_start_time_seconds"]) < time.time() and float(own["process_cpu_seconds_total"]) > 0

    until(lambda: alone.get(CHECK, "/any/path")[0] == 200)
    _, body, headers = alone.get(CHECK)
    assert json.loads(body)["localEndpoints"] == 1
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "1"
    ours = [line for line in alone.rules("nat").splitlines() if line.startswith("-A KUBE-")]
    assert alone.metric('sync_proxy_rules_iptables_total{table="nat"}') == len(ours)
    proxy.put(endpoints("lb", "10.180.1.21"))
    until(lambda: alone.get(CHECK)[0] == 503)
    ours = [line for line in alone.rules("nat").splitlines() if line.startswith("-A KUBE-")]
    assert alone.metric('sync_proxy_rules_iptables_total{table="nat"}') == len(ours)
    assert alone.metric('sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"}') == 1

    proxy.put(node(taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]))
    until(lambda: alone.get(HEALTHZ, "/healthz")[0] == 503)
    assert '"nodeEligible": false' in alone.get(HEALTHZ, "/healthz")[1]
    assert alone.get(HEALTHZ, "/livez")[0] == 200
    assert json.loads(alone.get(CHECK)[1])["serviceProxyHealthy"] is True

    proxy.put(balanced(port=CHECK + 1))
    until(lambda: alone.get(CHECK)[0] == 0 and alone.get(CHECK + 1)[0] == 503)
    proxy.put(balanced(), delete=True)
    until(lambda: alone.get(CHECK + 1)[0] == 0)


def test_only_the_primary_address_takes_node_ports_and_health_checks(alone: NodeAlone) -> None:
    own = "192.168.77.2"
    netns.run_in(alone.path, run, ["ip", "address", "add", f"{own}/24", "dev", "lo"])
    addresses = [{"type": "InternalIP", "address": own}]
    alone.api.put({"kind": "Node", "metadata": {"name": "node1"}, "status": {"addresses": addresses}})
    alone.api.put(balanced())
    alone.api.put(endpoints("lb", "10.180.0.11"))
    alone.start(nodeport_addresses=("primary",)).wait_synced()
    (jump,) = [line for line in alone.rules("nat").splitlines() if line.endswith("-j KUBE-NODEPORTS")]
    assert f"-d {own}/32 " in jump
    until(lambda: alone.get(CHECK, host=own)[0] == 200)
    assert alone.get(CHECK)[0] == 0
    assert netns.run_in(alone.path, sysctl.read_sysctl, "net.ipv4.conf.all.route_localnet") == "0"


def test_a_taken_port_is_told_and_tried_again(alone: NodeAlone) -> None:
    taken = netns.open_socket(alone.path, 2, 1)
    try:
        taken.bind(("0.0.0.0", CHECK))
        taken.listen()
        alone.api.put(balanced())
        alone.api.put(endpoints("lb", "10.180.0.11", "fd00::9"))
        alone.start(sync_period=0.2).wait_synced()
        until(lambda: len(alone.api.events) == 3)
        told = {event["action"]: event for event in alone.api.events if event["involvedObject"]["name"] == "lb"}
        assert {event["type"] for event in told.values()} == {"Warning"}
        assert told["Listen"]["reason"] == "FailedToStartServiceHealthcheck"
        assert told["Listen"]["message"].startswith('node node1 failed to start healthcheck "ns/lb" on port 32017: ')
        assert told["GatherEndpoints"]["reason"] == "KubeProxyIncorrectIPVersion"
        assert told["GatherEndpoints"]["message"] == "fd00::9 in endpointslice has incorrect IP version"
    finally:
        taken.close()
    until(lambda: alone.get(CHECK)[0] == 200)


def test_rules_that_cannot_be_programmed_make_the_proxy_unhealthy_until_they_can(alone: NodeAlone) -> None:
    alone.api.put(balanced())
    alone.api.put(endpoints("lb", "10.180.0.11"))
    proxy = alone.start(sync_period=0.2)
    proxy.wait_synced()
    before = alone.rules()
    bad = service("bad", "10.96.0.99", protocol="NOTAPROTOCOL")
    proxy.put(bad)
    until(lambda: alone.get(HEALTHZ, "/livez")[0] == 503)
    until(lambda: alone.get(CHECK)[0] == 503)
    assert json.loads(alone.get(CHECK)[1])["serviceProxyHealthy"] is False
    assert comparable(parse_save(alone.rules())) == comparable(parse_save(before))  # the old state stays
    assert alone.metric("sync_proxy_rules_iptables_restore_failures_total") >= 1
    proxy.put(bad, delete=True)
    until(lambda: alone.get(HEALTHZ, "/livez")[0] == 200)
    until(lambda: alone.get(CHECK)[0] == 200)


def test_a_storm_of_changes_is_merged_and_what_came_last_is_programmed(alone: NodeAlone) -> None:
    names = [f"s{number}" for number in range(20)]
    for number, name in enumerate(names):
        alone.api.put(service(name, f"10.96.1.{number + 1}"))
    proxy = alone.start(min_sync_period=0.2)
    proxy.wait_synced()
    before = alone.metric("sync_proxy_rules_duration_seconds_count")
    rounds = 1000
    for number in range(rounds):
        proxy.put(endpoints(names[number % 20], f"10.180.{number // 250}.{number % 250 + 1}"))
    last = [f"10.180.{number // 250}.{number % 250 + 1}:8080" for number in range(rounds - 20, rounds)]
    until(
        lambda: sorted(line.split()[-1] for line in alone.rules("nat").splitlines() if "DNAT" in line) == sorted(last)
    )
    assert alone.metric("sync_proxy_rules_endpoint_changes_total") >= rounds
    syncs = alone.metric("sync_proxy_rules_duration_seconds_count") - before
    assert syncs < rounds / 20, f"{syncs} syncs for {rounds} changes"
    assert alone.metric("sync_proxy_rules_endpoint_changes_pending") == 0


def test_killed_at_any_instant_the_next_one_makes_everything_right(alone: NodeAlone) -> None:
    rng = random.Random(7)
    wanted = {f"ns/{name}": some_input(rng, name) for name in names(60)}
    for attempt in range(3):
        kill_storm(alone.path, attempt, "iptables", 60, rng.uniform(0.05, 0.3))
        programmer = netns.run_in(alone.path, Programmer, ProxyConfig("node1"), 4)

        def at_rest(programmer: Programmer = programmer) -> bool:
            """A command of the one that was killed may still write: then there is something to try again or repair."""
            try:
                return bool(netns.run_in(alone.path, programmer.sync, wanted, Node("node1"), check=True).lines == 0)
            except SyncFailed:
                return False

        until(at_rest, 10)
        saved = parse_save(alone.rules())
        assert sum("-j DNAT" in rule for rules in saved.values() for rule in rules) == sum(
            len(given.slices[0].endpoints) for given in wanted.values() if given.ports
        )
        used = {chain for rules in saved.values() for rule in rules for chain in rule.split() if "KUBE-S" in chain}
        assert {chain for _, chain in saved if chain.startswith(("KUBE-SVC", "KUBE-SEP"))} <= used


FOREIGN = (
    "*nat\n:MINE - [0:0]\n-A POSTROUTING -s 10.9.0.0/16 -j MINE\n[7:420] -A MINE -j RETURN\nCOMMIT\n"
    "*filter\n[3:180] -A FORWARD -s 10.9.0.0/16 -j DROP\nCOMMIT\n"
)


def test_init_only_sets_the_kernel_up_and_makes_no_rule(alone: NodeAlone) -> None:
    names = ("net.ipv4.conf.all.route_localnet", "net.netfilter.nf_conntrack_tcp_timeout_close_wait")
    initialise = partial(proxy_verb._initialise, ProxyConfig("node1", conntrack_tcp_close_wait=77.0))
    netns.run_in(alone.path, initialise)
    assert [netns.run_in(alone.path, sysctl.read_sysctl, name) for name in names] == ["1", "77"]
    assert "KUBE" not in alone.rules()


def test_cleanup_removes_all_of_ours_and_nothing_of_others(alone: NodeAlone) -> None:
    netns.run_in(alone.path, firewall.restore, FOREIGN.encode(), 4, counters=True)
    empty = {family: parse_save(netns.run_in(alone.path, firewall.save, family)) for family in (4, 6)}
    for name, number in (("a", 1), ("b", 2)):
        alone.api.put(service(name, f"10.96.0.{number}", 30000 + number))
        alone.api.put(endpoints(name, "10.180.0.11", "10.180.0.12"))
    alone.start(families=(4, 6)).wait_synced()
    alone.stop()
    assert "KUBE-SEP" in alone.rules()  # an end leaves the rules
    for _ in range(2):  # the second time there is nothing left to do
        assert netns.run_in(alone.path, clean_up) == []
        for family, before in empty.items():
            after = parse_save(netns.run_in(alone.path, firewall.save, family))
            assert {place: rules for place, rules in after.items() if rules or place in before} == {
                place: rules for place, rules in after.items() if place in before
            }
            assert not [place for place in after if place[1].startswith("KUBE-")]
    saved = netns.run_in(alone.path, run, ["iptables-save", "-c"]).stdout.decode()
    assert "[7:420] -A MINE -j RETURN" in saved
    assert "[3:180] -A FORWARD -s 10.9.0.0/16 -j DROP" in saved


def test_settings_of_the_namespace_are_made_and_those_of_the_machine_are_not(alone: NodeAlone) -> None:
    hashsize = Path("/sys/module/nf_conntrack/parameters/hashsize")
    maximum = "net.netfilter.nf_conntrack_max"
    before = sysctl.read_sysctl(maximum), hashsize.read_text()
    alone.start(conntrack_max_per_core=100_000, conntrack_tcp_close_wait=77.0, conntrack_udp=11.0).wait_synced()

    def read(name: str) -> str:
        return str(netns.run_in(alone.path, sysctl.read_sysctl, f"net.netfilter.nf_conntrack_{name}"))

    assert (read("tcp_timeout_close_wait"), read("udp_timeout")) == ("77", "11")
    assert read("tcp_timeout_established") == "86400"
    assert netns.run_in(alone.path, sysctl.read_sysctl, "net.ipv4.conf.all.route_localnet") == "1"
    assert (sysctl.read_sysctl(maximum), hashsize.read_text()) == before
