"""What the proxy answers about its health, and what it counts."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netsim.api.prometheus import Histogram, render_histogram
from netsim_proxy.backend import Outcome
from netsim_proxy.config import ProxyConfig
from netsim_proxy.cut import cut_node, cut_service, cut_slice
from netsim_proxy.desired import Input
from netsim_proxy.health import Clock, ProxyHealth, Status, answer_healthz, answer_livez, answer_service
from netsim_proxy.kernel_settings import conntrack_max, conntrack_timeouts
from netsim_proxy.metrics import HISTOGRAMS, METRICS, Metrics
from netsim_proxy.tally import Tally
from netsim_proxy.telemetry import Telemetry

CLOCK = Clock(datetime(2026, 1, 2, 3, 4, 5, 250000, UTC))


def test_a_change_that_waits_too_long_makes_the_proxy_unhealthy_until_it_is_programmed():
    health = ProxyHealth((4, 6), 30.0)
    assert health.status(1000.0) == Status(True, 1000.0)  # nothing to do, nothing late
    health.updated(4, 5.0)
    health.queued(4, 10.0)
    health.queued(4, 60.0)  # the first one counts
    assert health.status(70.0) == Status(True, 70.0)
    assert health.status(70.1) == Status(False, 5.0)
    health.updated(6, 71.0)  # the other family's work is no help
    assert not health.status(72.0).healthy
    health.updated(4, 73.0, pending=True)
    assert health.status(133.0).healthy
    assert not health.status(133.1).healthy


def test_healthz_says_that_the_node_is_leaving_and_livez_does_not():
    fine, stale = Status(True, 8.0), Status(False, 3.0)
    code, headers, body = answer_healthz(fine, 8.0, CLOCK, eligible=True)
    assert (code, dict(headers)["X-Content-Type-Options"]) == (200, "nosniff")
    moment = "2026-01-02 03:04:13.25 +0000 UTC m=+8.000000000"
    assert body.decode() == f'{{"lastUpdated": "{moment}","currentTime": "{moment}", "nodeEligible": true}}'
    code, _, body = answer_healthz(fine, 8.0, CLOCK, eligible=False)
    assert code == 503 and body.endswith(b'"nodeEligible": false}')
    assert answer_livez(fine, 8.0, CLOCK)[::2] == (
        200,
        f'{{"lastUpdated": "{moment}","currentTime": "{moment}"}}'.encode(),
    )
    code, _, body = answer_livez(stale, 8.0, CLOCK)
    assert code == 503 and b'"lastUpdated": "2026-01-02 03:04:08.25 +0000 UTC m=+3.0' in body


def test_a_services_health_check_is_answered_byte_for_byte():
    code, headers, body = answer_service("ns3/lblocal", 1, healthy=True)
    assert code == 200
    assert body == (
        b'{\n\t"service": {\n\t\t"namespace": "ns3",\n\t\t"name": "lblocal"\n\t},\n'
        b'\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}'
    )
    assert len(body) == 114
    assert dict(headers) == {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": "1",
    }
    assert answer_service("a/b", 0, healthy=True)[0] == 503
    assert answer_service("a/b", 2, healthy=False)[0] == 503


@pytest.mark.parametrize(
    ("change", "eligible"),
    [
        ({}, True),
        ({"spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}}, True),
        ({"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "PreferNoSchedule"}]}}, False),
        ({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
    ],
)
def test_a_node_about_to_go_is_not_eligible_and_no_other_node_for_rules(change: dict[str, Any], eligible: bool):
    plain = {"metadata": {"name": "n"}, "spec": {}}
    node = cut_node({**plain, **change})
    assert node.eligible == eligible
    assert node == cut_node(plain)


def balanced(make: Any, **spec: Any) -> Any:
    policy = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}
    return cut_service(make.service(**{**policy, **spec}), 4)


def test_local_endpoints_are_counted_by_address_when_ready(make: Any):
    part = cut_slice(
        make.slice(
            make.endpoint("10.0.0.1", node="n"),
            make.endpoint("10.0.0.1", node="n"),
            make.endpoint("10.0.0.2", node="n", ready=False, serving=True, terminating=True),
            make.endpoint("10.0.0.3", node="other"),
        )
    )
    tally = Tally("n")
    assert tally.apply({"ns/web": Input(balanced(make), (part,))})
    assert tally.health_checks == {"ns/web": (32000, 1)}
    assert not tally.apply({"ns/web": Input(balanced(make), (part,))})  # the same again is no news
    assert tally.apply({"ns/web": Input()})
    assert tally.health_checks == {}


def test_ports_whose_endpoints_are_elsewhere_are_counted(make: Any):
    part = cut_slice(make.slice(make.endpoint("10.0.0.3", node="other")))
    both = balanced(make, internalTrafficPolicy="Local", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    tally = Tally("n")
    tally.apply({"ns/a": Input(both, (part,)), "ns/b": Input(both, ()), "ns/c": Input(cut_service(make.service(), 4))})
    assert tally.without_local == (1, 1)


def test_histograms_count_what_is_at_most_each_bound():
    histogram = Histogram((1, 2.5))
    for value in (0.5, 1, 2, 3):
        histogram.observe(value)
    assert list(render_histogram("h", "Help", histogram)) == [
        "# HELP h Help",
        "# TYPE h histogram",
        'h_bucket{le="1"} 2',
        'h_bucket{le="2.5"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 6.5",
        "h_count 4",
    ]


RECORDED = """
sync_proxy_rules_duration_seconds sync_full_proxy_rules_duration_seconds sync_partial_proxy_rules_duration_seconds
network_programming_duration_seconds sync_proxy_rules_last_timestamp_seconds
sync_proxy_rules_last_queued_timestamp_seconds sync_proxy_rules_endpoint_changes_pending
sync_proxy_rules_service_changes_pending sync_proxy_rules_iptables_total sync_proxy_rules_iptables_last
sync_proxy_rules_no_local_endpoints_total sync_proxy_rules_endpoint_changes_total
sync_proxy_rules_service_changes_total sync_proxy_rules_iptables_restore_failures_total
sync_proxy_rules_iptables_partial_restore_failures_total proxy_healthz_total proxy_livez_total
"""


def test_metrics_have_kube_proxys_names():
    assert {*(metric.name for metric in METRICS), *HISTOGRAMS} == set(RECORDED.split())
    text = Metrics().render()
    assert "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 0\n" in text
    assert "healthz_total" not in text  # a label without a value has no row
    assert len(re.findall(r"^kubeproxy_network_programming_duration_seconds_bucket", text, re.M)) == 2 + 59 + 12 + 7 + 1


def value_of(text: str, name: str) -> float:
    found = re.search(rf"^kubeproxy_{re.escape(name)} (\S+)$", text, re.M)
    assert found, f"no {name} in {text}"
    return float(found[1])


def test_syncs_and_failures_are_told(make: Any):
    telemetry = Telemetry(ProxyConfig("n", sync_period=0.01))
    telemetry.queued(4)
    telemetry.failed(4, {"ns/web": Input(balanced(make), ())}, partial=True)
    time.sleep(0.03)
    assert telemetry.answer_healthz()[0] == telemetry.answer_livez()[0] == 503
    assert telemetry.answer_service("ns/web", 1)[0] == 503
    began = time.time()
    telemetry.synced(4, Outcome(3, 0.2, True), {}, [began - 1000, began + 0.0], pending=False)
    assert telemetry.answer_healthz()[0] == 200
    assert telemetry.health_checks == {"ns/web": (32000, 0)}  # also what only the failed sync had
    telemetry.eligible = False
    assert (telemetry.answer_healthz()[0], telemetry.answer_livez()[0]) == (503, 200)
    text = telemetry.render_metrics((2, 1))
    assert value_of(text, "sync_proxy_rules_iptables_restore_failures_total") == 1
    assert value_of(text, "sync_proxy_rules_iptables_partial_restore_failures_total") == 1
    assert value_of(text, "sync_full_proxy_rules_duration_seconds_count") == 1
    assert value_of(text, "sync_partial_proxy_rules_duration_seconds_count") == 0
    assert value_of(text, "network_programming_duration_seconds_count") == 1  # not what was before us
    assert value_of(text, "sync_proxy_rules_last_timestamp_seconds") >= began
    assert value_of(text, "sync_proxy_rules_service_changes_pending") == 2
    assert value_of(text, 'proxy_healthz_total{code="503"}') == 2
    assert value_of(text, 'sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"}') == 0


def test_times_are_printed_as_go_prints_them():
    clock = Clock(datetime(2026, 1, 2, tzinfo=UTC))
    assert clock.show(1.5) == "2026-01-02 00:00:01.5 +0000 UTC m=+1.500000000"
    assert clock.show(3.0) == "2026-01-02 00:00:03 +0000 UTC m=+3.000000000"
    assert Clock(clock.started + timedelta(days=1)).show(0).startswith("2026-01-03 00:00:00 +")


def test_connection_tracking_is_sized_by_cores_and_left_alone_with_0():
    assert conntrack_max(ProxyConfig("n"), 2) == 131072
    assert conntrack_max(ProxyConfig("n"), 8) == 8 * 32768
    assert conntrack_max(ProxyConfig("n", conntrack_max_per_core=0), 8) == 0
    assert conntrack_timeouts(ProxyConfig("n", conntrack_tcp_close_wait=0.0, conntrack_udp=10.0)) == {
        "net.netfilter.nf_conntrack_tcp_timeout_established": 86400,
        "net.netfilter.nf_conntrack_udp_timeout": 10,
    }
    liberal = conntrack_timeouts(ProxyConfig("n", conntrack_tcp_be_liberal=True))
    assert liberal["net.netfilter.nf_conntrack_tcp_be_liberal"] == 1
